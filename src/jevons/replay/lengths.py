"""How much longer or shorter another model's answers are: from the ledger's own answers where there are enough, else assumed.

Comes in: calls that go to another model. Goes out: an interval for what they cost there. The same tokens at the other model's price are the middle:
a model may be more or less wordy, and its tokenizer may cut the same text into more or fewer pieces.
"""

import random
from statistics import fmean

import apsw
import msgspec

from jevons.core.entry import first_id_of_ms
from jevons.core.limits import REPLAY_RESAMPLES, REPLAY_SAMPLES, REPLAY_SAMPLES_MIN
from jevons.meter.models import model_facts
from jevons.replay.tally import Moved

WORDS_ASSUMED = (0.5, 2.0)
"""Output of one model as a multiple of another's for the same task, where nothing is known: models of one family differ by less,
a model that reasons from one that does not by more."""
PIECES_ASSUMED = (0.8, 1.35)
"""Tokens of a text in one tokenizer as a multiple of another's: what vendors say of their own changes, and o200k against cl100k on code."""
CONFIDENCE = 0.95


class Costs(msgspec.Struct, frozen=True):
    """What calls that moved cost, at least and at most, beside the same tokens."""

    low_nusd: int
    high_nusd: int
    basis: str
    """Where the interval is from."""


def costs(db: apsw.Connection, agent: str, before: str, after: str, moved: Moved, until_ms: int, seed: int = 0) -> Costs:
    """Of one agent's calls that go from one model to another."""
    words, basis = _words(db, agent, before, after, until_ms, seed)
    pieces = (1.0, 1.0) if _same_tokenizer(before, after) else PIECES_ASSUMED
    if pieces != (1.0, 1.0):
        basis += f"; input tokens x {pieces[0]} to {pieces[1]} assumed (another tokenizer)"
    low, high = (round(moved.input_nusd * piece + moved.output_nusd * word) for piece, word in zip(pieces, words, strict=True))
    same = moved.input_nusd + moved.output_nusd
    return Costs(min(low, same), max(high, same), basis)


def _words(db: apsw.Connection, agent: str, before: str, after: str, until_ms: int, seed: int) -> tuple[tuple[float, float], str]:
    of_before, of_after = (_outputs(db, agent, model, until_ms) for model in (before, after))
    enough = min(len(of_before), len(of_after)) >= REPLAY_SAMPLES_MIN and fmean(of_before) > 0
    if not enough:
        return (
            WORDS_ASSUMED,
            f"output x {WORDS_ASSUMED[0]} to {WORDS_ASSUMED[1]} assumed (too few answers of both models to compare)",
        )
    chance = random.Random(seed)
    ratios = sorted(
        fmean(chance.choices(of_after, k=len(of_after))) / max(1e-9, fmean(chance.choices(of_before, k=len(of_before))))
        for _ in range(REPLAY_RESAMPLES)
    )
    cut = round(len(ratios) * (1 - CONFIDENCE) / 2)
    low, high = ratios[cut], ratios[-cut - 1]
    basis = f"output x {low:.2f} to {high:.2f}: 95 % of {REPLAY_RESAMPLES:,} resamples of this agent's {len(of_before)} and {len(of_after)} answers"
    return (low, high), basis


def _outputs(db: apsw.Connection, agent: str, model: str, until_ms: int) -> list[int]:
    """Output tokens of the latest answers."""
    return [
        tokens
        for (tokens,) in db.execute(
            "SELECT output FROM entries WHERE id < ? AND agent = ? AND target = ? AND estimate = '' AND output > 0 ORDER BY id DESC LIMIT ?",
            (min(first_id_of_ms(until_ms), 2**63 - 1), agent, model, REPLAY_SAMPLES),
        )
    ]


def _same_tokenizer(before: str, after: str) -> bool:
    one, other = model_facts("", before), model_facts("", after)
    return one.known and other.known and one.tokenizer == other.tokenizer != "bytes"
