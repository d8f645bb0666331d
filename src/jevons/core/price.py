"""The price of one model at one instant, and what a usage costs under it.

Rates are exact: integers over one denominator per row, in nano-USD per unit. A row is resolved already (date, time of day,
service tier); what remains open is the context tier, since only the usage decides it.
Does not know: the price book, providers, dates.
"""

import re
from functools import lru_cache

import msgspec

from jevons.core.limits import TARIFF_MEMO_ENTRIES_MAX
from jevons.core.money import allot, round_up
from jevons.core.usage import INPUT_KINDS, INPUT_MODALITIES, OUTPUT, OUTPUT_PARTS, REASONING, Usage


class PriceTier(msgspec.Struct, frozen=True):
    """Rates that apply to the *whole* request when its input total is greater than `above` tokens (a cliff, as vendors bill)."""

    above: int
    nums: dict[str, int]
    """kind -> numerator; nano-USD per unit = numerator / Price.den."""
    input_max: int | None = None
    """The dearest rate that an input token may take (a cache write of one hour, another modality); None = no rate. Derived."""
    output_max: int | None = None
    """The same for an output token. Derived."""

    def __post_init__(self) -> None:
        inputs = [num for kind, num in self.nums.items() if kind in INPUT_KINDS or kind in INPUT_MODALITIES]
        outputs = [num for kind, num in self.nums.items() if kind in (OUTPUT, REASONING) or kind in OUTPUT_PARTS]
        msgspec.structs.force_setattr(self, "input_max", max(inputs, default=None))
        msgspec.structs.force_setattr(self, "output_max", max(outputs, default=None))


class Price(msgspec.Struct, frozen=True):
    """One resolved row of the price book."""

    row: str
    """Where it stands in the book, for people and for re-rating: "anthropic/claude-sonnet-4-5@2025-09-29"."""
    book: str
    """Hash of the price book it came from (with overrides)."""
    den: int
    tiers: tuple[PriceTier, ...]
    """Ascending by `above`; the first has above = -1."""
    note: str = ""

    def __post_init__(self) -> None:
        assert self.den > 0 and self.tiers and self.tiers[0].above == -1
        assert all(a.above < b.above for a, b in zip(self.tiers, self.tiers[1:], strict=False))

    def tier(self, input_total: int) -> PriceTier:
        for tier in reversed(self.tiers):
            if input_total > tier.above:
                return tier
        return self.tiers[0]


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of an entry: `count` units of `kind` for `nusd`, at `num`/den nano-USD each. Stored as [kind, count, nusd, num]."""

    kind: str
    count: int
    nusd: int
    num: int


class Charge(msgspec.Struct, frozen=True):
    """What a usage costs: lines sum to `nusd` exactly."""

    nusd: int
    lines: tuple[Line, ...]


class UnpricedKind(Exception):
    """A usage has units of a kind for which the price row has no rate: the cost is unknown, never zero."""

    def __init__(self, kinds: list[str], price: Price) -> None:
        super().__init__(f"{price.row} has no rate for {', '.join(kinds)}")
        self.kinds = kinds


def charge(usage: Usage, price: Price) -> Charge:
    """Usage x price, rounded half-even once; lines get the remainder by largest fraction.

    Reasoning tokens are part of `output`; where the row has a rate of its own for `reasoning`, they are split off and billed at it.
    Raises UnpricedKind if a non-zero kind has no rate.
    """
    nums = price.tier(usage.input_total).nums
    counts = usage.counts()
    if usage.reasoning and REASONING in nums:
        counts = [(k, n - usage.reasoning if k == OUTPUT else n) for k, n in counts if k != OUTPUT or n > usage.reasoning]
        counts.append((REASONING, usage.reasoning))
    try:
        rated = [(kind, n, nums[kind]) for kind, n in counts]
    except KeyError:
        raise UnpricedKind([k for k, _ in counts if k not in nums], price) from None
    total, parts = allot([n * num for _, n, num in rated], price.den)
    return Charge(total, tuple([Line(k, n, part, num) for (k, n, num), part in zip(rated, parts, strict=True)]))


def worst_case(price: Price, input_tokens: int, output_tokens: int, units: tuple[tuple[str, int], ...] = ()) -> int:
    """Nano-USD that no usage within these bounds can exceed, rounded up: what a strict hold takes.

    input_tokens at the dearest input rate that may apply (a cache write of one hour, a long-context tier, another modality),
    output_tokens at the dearest output rate, plus priced units ((kind, at most count)). Raises UnpricedKind.
    """
    dearest = 0
    for tier in price.tiers:
        if input_tokens <= tier.above:
            continue
        if input_tokens and tier.input_max is None:
            raise UnpricedKind(["input"], price)
        if output_tokens and tier.output_max is None:
            raise UnpricedKind(["output"], price)
        numerator = input_tokens * (tier.input_max or 0) + output_tokens * (tier.output_max or 0)
        if units:
            unpriced = [kind for kind, _ in units if kind not in tier.nums]
            if unpriced:
                raise UnpricedKind(unpriced, price)
            numerator += sum(n * tier.nums[kind] for kind, n in units)
        dearest = max(dearest, numerator)
    return round_up(dearest, price.den)


HELD = "held"
"""The tariff of what was charged as a whole hold: its money is of no kind of token."""

_VARIANT = re.compile(r"(?:@(?:\d{4}-\d\d-\d\d)?(\d\d:\d\d-\d\d:\d\dZ)?)?((?:\?[a-z_]+=[^+?]*)*)(?:\+.*)?$")


def tariff_of(price: Price, input_total: int) -> str:
    """Which of a model's rates a row stands for, whatever their date: "" the plain ones, "service_tier=batch", the hours of the day,
    ">200000" where the size of the input decides; with commas between."""
    tariff = _variant(price.row)
    above = price.tier(input_total).above if len(price.tiers) > 1 else -1
    if above < 0:
        return tariff
    return f"{tariff},>{above}" if tariff else f">{above}"


@lru_cache(TARIFF_MEMO_ENTRIES_MAX)
def _variant(row: str) -> str:
    match = _VARIANT.search(row)
    assert match is not None  # all of it is optional
    return ",".join(part for part in (match[1], *match[2].split("?")) if part)
