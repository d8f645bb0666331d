"""Exact rates by kind, before they become a `Price`: read, replaced, scaled, filled in, and compared.

Comes in: decimal texts of a book row or an override. Goes out: a `core.price.Price` of integers over one denominator.
Does not know: providers, dates, request context.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import lcm

from jevons.core.money import NUSD_PER_USD
from jevons.core.price import Price, PriceTier
from jevons.core.usage import INPUT_KINDS, INPUT_MODALITIES, OUTPUT, OUTPUT_PARTS
from jevons.meter.compiled import Steps, Unit

Ladder = tuple[tuple[int, Fraction], ...]
"""(above, nano-USD per unit), ascending; the first has above = -1."""
Rates = dict[str, Ladder]
"""kind -> its rates by context tier."""

FALLBACK_KINDS = (
    *INPUT_KINDS,
    *sorted(INPUT_MODALITIES),
    OUTPUT,
    *sorted(OUTPUT_PARTS),
    *("input_audio_seconds", "output_audio_seconds", "input_annotated_document_pages"),
)
"""Kinds that a usage may report and that are billed as the kind which contains them when they have no rate of their own.
`reasoning` is not here: core.price bills it as output anyway unless the row has a rate for it."""


def ladder(steps: Steps, per: int) -> Ladder:
    """USD per `per` units -> nano-USD per unit."""
    return tuple((above, Fraction(Decimal(usd)) * NUSD_PER_USD / per) for above, usd in steps)


def read_rates(row: Mapping[str, Steps], units: Mapping[str, Unit]) -> Rates:
    return {kind: ladder(steps, units[kind].per) for kind, steps in row.items()}


def scaled(rates: Rates, factor: Fraction) -> Rates:
    return {kind: tuple((above, rate * factor) for above, rate in steps) for kind, steps in rates.items()}


def filled(rates: Rates, units: Mapping[str, Unit]) -> Rates:
    """Give every kind of FALLBACK_KINDS the rate of the nearest kind that contains it.

    genai-prices bills the same by subtracting priced parts from their whole (genai_prices.decompose). Where two kinds contain
    it and neither contains the other (input_audio and cache_read, of cached audio), its data must name the joint price; an
    override need not, and then the dearer one holds.
    """
    whole = dict(rates)
    for kind in FALLBACK_KINDS:
        if kind in rates or kind not in units:
            continue
        priced = [a for a in units[kind].ancestors if a in rates]
        nearest = [a for a in priced if not any(a in units[b].ancestors for b in priced)]
        if nearest:
            whole[kind] = rates[max(nearest, key=lambda a: (rates[a][-1][1], a))]
    whole.pop("cache_write", None)  # stands for the two lifetimes, which are kinds of their own
    return whole


def _at(steps: Ladder, above: int) -> Fraction:
    """The rate for input totals just over `above`."""
    return next(rate for start, rate in reversed(steps) if start <= above)


def price_of(rates: Rates, row: str, book: str, note: str = "") -> Price:
    """Integers over the least common denominator; a tier at every threshold that any kind has."""
    starts = sorted({above for steps in rates.values() for above, _ in steps})
    den = lcm(*(rate.denominator for steps in rates.values() for _, rate in steps))
    tiers = tuple(PriceTier(start, {kind: int(_at(steps, start) * den) for kind, steps in rates.items()}) for start in starts)
    return Price(row, book, den, tiers, note)


def dearest_of(prices: Iterable[Price]) -> Price:
    """Per kind and tier the highest of several prices (at least one); a kind that only one of them has counts too.

    Row, book and note are those of the first, the note says how many were compared.
    """
    candidates: list[Price] = []
    for price in prices:
        if price not in candidates:
            candidates.append(price)
    first = candidates[0]
    if len(candidates) == 1:
        return first
    den = lcm(*(price.den for price in candidates))
    tiers = []
    for start in sorted({tier.above for price in candidates for tier in price.tiers}):
        nums: dict[str, int] = {}
        for price in candidates:
            for kind, num in price.tier(start + 1).nums.items():
                nums[kind] = max(nums.get(kind, 0), num * (den // price.den))
        tiers.append(PriceTier(start, nums))
    return Price(first.row, first.book, den, tuple(tiers), f"dearest of {len(candidates)} prices that may apply")
