"""Which file is the cheapest that is good enough: decided on what was measured, with the doubt of the measurement counted against it.

Comes in: `Measured` files, a bound, a mix of prompt and answer. Goes out: rows with their figures, and the one that is chosen, if any.
Pure: the same measurements give the same choice. Does not know: how they came about.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from jevons.core.interval import wilson
from jevons.engine.weights.measure import Measured
from jevons.engine.weights.probe import Quality, Speed
from jevons.engine.weights.statistics import mean_per_token, paired_loss, paired_loss_limit, upper_limit

By = Literal["seconds", "bytes"]
KLD_MAX = 0.05
"""Nats per token, where nothing else is asked for. Q4_K_M of larger models lies near it, Q8_0 a hundred times below; see docs/models.md."""


class Bound(msgspec.Struct, frozen=True):
    """What may be lost at most, per token and per question; None = no matter."""

    kld_max: float | None = KLD_MAX
    task_loss_max: float | None = None


class Mix(msgspec.Struct, frozen=True):
    """Tokens that are read for tokens that are written."""

    prompt_tokens: int
    output_tokens: int
    source: str
    """Where it is from, for people."""

    def seconds(self, prefill_tok_s: float, decode_tok_s: float) -> float:
        """Of 1,000 tokens in this mix."""
        both = self.prompt_tokens + self.output_tokens
        return 1000 * (self.prompt_tokens / prefill_tok_s + self.output_tokens / decode_tok_s) / both


class Row(msgspec.Struct, frozen=True):
    """One candidate's figures. Absent ones are None: it could not be measured, or there was nothing to measure it on."""

    label: str
    reference: bool
    requantised: bool
    passes: bool
    why_not: str
    """Which bound it does not hold, or what went wrong; empty if it passes."""
    size_bytes: int | None = None
    bits_per_weight: float | None = None
    types: dict[str, float] | None = None
    fell_back: str = ""
    perplexity: float | None = None
    kld_mean: float | None = None
    kld_upper: float | None = None
    """One-sided upper limit of 95 %; None also with too few texts."""
    kld_p99: float | None = None
    top1_agreement: float | None = None
    task_score: float | None = None
    task_low: float | None = None
    task_high: float | None = None
    task_loss: float | None = None
    task_loss_upper: float | None = None
    prefill_tok_s: float | None = None
    decode_tok_s: float | None = None
    rss_mib: float | None = None
    seconds_per_1000: float | None = None


def rows(measured: Sequence[Measured], bound: Bound, mix: Mix, *, requantised: bool) -> list[Row]:
    """A row of each, in their order; the first is the reference, which passes whatever the bound. `requantised`: it is quantised itself."""
    reference = measured[0].quality
    assert reference is not None and measured[0].speeds, "the reference is measured, or there is an error"
    return [_row(one, reference, bound, mix, place == 0, requantised) for place, one in enumerate(measured)]


def cheapest(found: Sequence[Row], by: By) -> Row:
    """The one that passes and takes the fewest seconds or bytes; the reference itself if no other does."""

    def cost(row: Row) -> float:
        value = row.size_bytes if by == "bytes" else row.seconds_per_1000
        return math.inf if value is None else value

    return min((row for row in found if row.passes), key=cost)


def _row(one: Measured, reference: Quality, bound: Bound, mix: Mix, is_reference: bool, requantised: bool) -> Row:
    requantised = requantised and not is_reference
    if one.file is None or one.quality is None or not one.speeds:
        return Row(one.label, is_reference, requantised, passes=False, why_not=one.error or "it was not measured")
    figures: dict[str, Any] = {**_quality(one.quality, reference), **_speed(one.speeds, mix)}
    why_not = "" if is_reference else _why_not(figures, bound)
    return Row(one.label, is_reference, requantised, not why_not, why_not, **msgspec.structs.asdict(one.file), **figures)


def _quality(one: Quality, reference: Quality) -> dict[str, float | None]:
    klds, tokens = [text.kld for text in one.texts], [text.tokens for text in one.texts]
    limit = upper_limit(klds, tokens)
    figures: dict[str, float | None] = {
        "perplexity": math.exp(sum(text.surprise for text in one.texts) / sum(tokens)),
        "kld_mean": mean_per_token(klds, tokens),
        "kld_upper": limit if math.isfinite(limit) else None,
        "kld_p99": one.kld_p99,
        "top1_agreement": sum(text.agreed for text in one.texts) / sum(tokens),
    }
    if one.right:
        low, high = wilson(sum(one.right), len(one.right))
        figures |= {
            "task_score": sum(one.right) / len(one.right),
            "task_low": low,
            "task_high": high,
            "task_loss": paired_loss(reference.right, one.right),
            "task_loss_upper": paired_loss_limit(reference.right, one.right),
        }
    return figures


def _speed(rounds: Sequence[Speed], mix: Mix) -> dict[str, float | None]:
    """Of the fastest round: what else ran on the machine could only slow it."""
    prefill, decode = max(one.prefill_tok_s for one in rounds), max(one.decode_tok_s for one in rounds)
    return {
        "prefill_tok_s": prefill,
        "decode_tok_s": decode,
        "rss_mib": max(one.rss_mib for one in rounds),
        "seconds_per_1000": mix.seconds(prefill, decode),
    }


def _why_not(figures: dict[str, float | None], bound: Bound) -> str:
    """The first bound that the upper limit does not hold; a loss without a limit holds none."""
    for maximum, name, what in (
        (bound.kld_max, "kld_upper", "KLD"),
        (bound.task_loss_max, "task_loss_upper", "loss of right answers"),
    ):
        if maximum is None:
            continue
        limit = figures.get(name)
        if limit is None:
            return f"{what}: too little was measured to bound it; more --tokens or --questions, or a file with more texts"
        if limit > maximum:
            return f"{what} may be {limit:.4f}, more than {maximum:g}"
    return ""
