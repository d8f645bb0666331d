"""What a request saved against its own baseline: the steps from what was asked for to what was paid, each an exact number of nano-dollars.

Comes in: the usage that was charged and its price; the prices of the models that stood before the one that answered, and why each gave way; how many
tokens were trimmed; who marked what the provider's prompt cache holds. Goes out: lines in the order of `SavingKind`. Each is the difference of two totals,
every total rounded once by `core.price.charge`, so that list cost + lines = baseline to the nano-dollar.

    baseline          the first model's price (asked for by name, or its route's reference), what was trimmed is there, no token of what was sent is cached
      - route, …      the same at the price of the model that a route chose (student: if that is one)
      - model         the same at the price of the cheaper one that a budget made of it
      - trim          what was sent, no token cached
      - prompt_…      as it was: the list cost

What was trimmed counts as the text beside it that was sent: read, written and plain in the same shares; what is new in this request cannot have
been read. So no token that was sent is cached in a baseline, yet none is said to have been computed that a cache would have had.
Does not know: requests, the ledger, why a step was taken.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from jevons.core.money import allot
from jevons.core.price import Price, UnpricedKind, charge
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import REQUESTS, Usage

Markers = Literal["planned", "client", "automatic"]
"""By whose doing the provider's prompt cache holds anything: our marks, the client's own marks, or nobody's."""

_PROMPT = {
    "planned": SavingKind.PROMPT_PLANNED,
    "client": SavingKind.PROMPT_CLIENT,
    "automatic": SavingKind.PROMPT_AUTOMATIC,
}
_PLAIN = {
    f"cache_{modality}_{done}": f"input_{modality}" for modality in ("audio", "image", "video") for done in ("read", "write")
}
"""Cached input of another modality, and what it is uncached."""


def marked_by(model: str) -> Markers:
    """Where we marked nothing: Claude models cache what a request marks, and only that; for the others a provider may cache by itself."""
    return "client" if "claude" in model.lower() else "automatic"


def savings_of(
    usage: Usage,
    price: Price,
    list_nusd: int,
    *,
    before: Sequence[tuple[SavingKind, Price]] = (),
    markers: Markers = "automatic",
    trimmed_tokens: int = 0,
    trimmed_new_tokens: int = 0,
) -> tuple[Saving, ...]:
    """The lines of one attempt that was charged `list_nusd` = charge(usage, price).

    `before`: of each model that stood before the one that answered, in order, and the kind of step that leads from it to the next.
    `trimmed_new_tokens`: how many of the trimmed ones belong to what this request is the first to say. A step between two totals
    of which one has no price is left out: its saving is not known, and the baseline is that much lower.
    """
    cached = _cached(usage)
    if not cached and not trimmed_tokens and not before:
        return ()
    sent = _uncached(usage) if cached else usage
    whole = _with_trimmed(sent, usage, trimmed_tokens, trimmed_new_tokens) if trimmed_tokens else sent
    sent_nusd = _total(sent, price) if cached else list_nusd
    whole_nusd = _total(whole, price) if trimmed_tokens else sent_nusd
    lines: list[Saving] = []
    totals = [*(_total(_of(whole, model), model) for _, model in before), whole_nusd]
    for (kind, _), dearer, cheaper in zip(before, totals, totals[1:], strict=False):
        _add(lines, kind, dearer, cheaper, 0, estimated=True)
    _add(lines, SavingKind.TRIM, whole_nusd, sent_nusd, trimmed_tokens, estimated=True)
    if cached:
        _add(lines, _PROMPT[markers], sent_nusd, list_nusd, _read(usage), estimated=False)
    return tuple(lines)


def hit_saving(usage: Usage, price: Price, kind: SavingKind) -> Saving:
    """The line of an answer that was made before, with this usage: what making it again would cost at today's price.

    A usage of a kind that has no price today saves nothing that is known.
    """
    return Saving(kind, _total(usage, price) or 0, usage.input_total + usage.output, estimated=True)


def check_saving(usage: Usage, list_nusd: int, kind: SavingKind = SavingKind.CHECK) -> Saving:
    """The only line of a call that nobody asked for, so that its baseline is 0: made to check a cached answer, or (`kind`) to compare models
    (SHADOW), or as the first try of a cascade that was not shown (ROUTE)."""
    return Saving(kind, -list_nusd, -(usage.input_total + usage.output))


def _add(lines: list[Saving], kind: SavingKind, before: int | None, after: int | None, tokens: int, *, estimated: bool) -> None:
    """The step between two totals, if both are known and there is one."""
    if before is not None and after is not None and (before != after or tokens):
        lines.append(Saving(kind, before - after, tokens, estimated))


def _of(usage: Usage, price: Price) -> Usage:
    """The same asked of another model: whether the request itself is billed is a matter of its price."""
    other = tuple([unit for unit in usage.other if unit[0] != REQUESTS])
    if REQUESTS in price.tiers[0].nums:
        other = (*other, (REQUESTS, 1))
    return usage if other == usage.other else msgspec.structs.replace(usage, other=other)


def _total(usage: Usage, price: Price) -> int | None:
    try:
        return charge(usage, price).nusd
    except UnpricedKind:
        return None


def _read(usage: Usage) -> int:
    return usage.cache_read + sum(n for kind, n in usage.other if kind in _PLAIN and kind.endswith("_read"))


def _cached(usage: Usage) -> bool:
    """Did the provider's cache have any part in it, by reading or by writing?"""
    if usage.cache_read or usage.cache_write_5m or usage.cache_write_1h:
        return True
    return any(n and kind in _PLAIN for kind, n in usage.other)


def _uncached(usage: Usage) -> Usage:
    """The same tokens, all of them computed and none written."""
    other: dict[str, int] = {}
    for kind, n in usage.other:
        plain = _PLAIN.get(kind, kind)
        other[plain] = other.get(plain, 0) + n
    return Usage(
        input=usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h,
        output=usage.output,
        reasoning=usage.reasoning,
        other=tuple(other.items()),
    )


def _with_trimmed(sent: Usage, usage: Usage, tokens: int, new_tokens: int) -> Usage:
    """`sent` with what was trimmed, in the shares of the text that `usage` has."""
    unread = (usage.input, 0, usage.cache_write_5m, usage.cache_write_1h)
    every = (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
    new, old = _shared(new_tokens, unread), _shared(tokens - new_tokens, every)
    plain, read, written_5m, written_1h = map(sum, zip(new, old, strict=True))
    return msgspec.structs.replace(
        sent,
        input=sent.input + plain,
        cache_read=read,
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
    )


def _shared(tokens: int, counts: tuple[int, ...]) -> list[int]:
    """So many tokens, shared out as `counts` are; where these are none, all of them to the first."""
    whole = sum(counts)
    return allot([tokens * n for n in counts], whole)[1] if whole else [tokens, *[0] * (len(counts) - 1)]
