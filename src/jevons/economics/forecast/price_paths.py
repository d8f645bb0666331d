"""What becomes of the list prices of what is used: announced changes as they are dated, then a step process with the chronology's pace.

A list price does not slide: it stands, and then it is another. How often, and by how much, is counted by tier from the price history: every
change of a line's price, by its own vendor's cut or rise or by the successor's price, over the years that lines were on sale. Counted sizes are
moved together so that their mean drift is pooled with the prior's, by number of events. No price falls below its floor.

Comes in: the price book and the price history, the tiers' priors. Goes out: `Pace`s, `Announced` changes, rates of a model on a day. Does not
know: the ledger, chance.
"""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from jevons.core.usage import CACHE_READ, CACHE_WRITE_5M, INPUT, OUTPUT
from jevons.economics.fits import DAYS_A_YEAR
from jevons.economics.forecast.formula import Rates
from jevons.economics.forecast.priors import Trend
from jevons.economics.history import price_rows, series
from jevons.economics.indices import BEGIN
from jevons.meter.lineages import Tier
from jevons.meter.naming import sold_by
from jevons.meter.pricebook import PriceBook

SAME = 1e-6
"""Of a ratio of prices: less is no change."""
_NOON = timedelta(hours=12)
"""Prices are read at noon UTC, so that tariffs by the hour are no change each night."""


class Pace(NamedTuple):
    """How a tier's list prices move."""

    tier: str
    line_years: float
    own: tuple[float, ...]
    """ln(new / old) of each change of a model's own price, 3:1 blend."""
    succeeded: tuple[float, ...]
    """The same where a successor came at another price."""
    shift: float
    """Added to each size, so that the drift is the pooled one."""
    weight: float
    """Of the chronology against the prior: events / (events + the prior's)."""
    source: str

    @property
    def own_a_year(self) -> float:
        return len(self.own) / self.line_years

    @property
    def succeeded_a_year(self) -> float:
        return len(self.succeeded) / self.line_years

    @property
    def drift(self) -> float:
        """Mean of ln(price) a year, where every successor is followed."""
        return (sum(self.own) + sum(self.succeeded)) / self.line_years + self.shift * (self.own_a_year + self.succeeded_a_year)


class Announced(NamedTuple):
    """A dated change that is on record: price of each kind against the one before it."""

    day: date
    model: str
    input: float
    cached: float
    written: float
    output: float
    source: str


@lru_cache(maxsize=8)
def pace(tier: Tier, trend: Trend, until: date) -> Pace:
    """Counted over all lines of a tier from `indices.BEGIN` to `until`; announced prices are not counted."""
    line_years = 0.0
    own: list[float] = []
    succeeded: list[float] = []
    for line in series(tier=tier, until=until):
        rows = [row for row in line.rows if row.dated and row.date >= BEGIN]
        for old, new in pairwise(rows):
            line_years += (new.date - old.date).days / DAYS_A_YEAR
            size = math.log(new.blend_nusd / old.blend_nusd) if old.blend_nusd and new.blend_nusd else 0.0
            if abs(size) > SAME:
                (own if new.model == old.model else succeeded).append(size)
    events = len(own) + len(succeeded)
    weight = events / (events + trend.events)
    counted = (sum(own) + sum(succeeded)) / line_years
    shift = (1 - weight) * (trend.log_a_year - counted) * line_years / events
    return Pace(tier, line_years, tuple(own), tuple(succeeded), shift, weight, trend.source)


def rates_of(book: PriceBook, upstream: str | None, model: str, day: date) -> Rates | None:
    """List rates at the base tier on a day, nano-USD a token; None where the book does not know the model."""
    sold = sold_by(book, upstream, model)
    price = book.price(*sold, _noon_ms(day)) if sold else None
    if price is None:
        return None
    nums = price.tier(0).nums
    read, cached, written, output = (
        nums[kind] / price.den if kind in nums else None for kind in (INPUT, CACHE_READ, CACHE_WRITE_5M, OUTPUT)
    )
    return Rates(read, cached, written, output)


def announced(book: PriceBook | None, upstream: str, model: str, today: date, until: date) -> list[Announced]:
    """Changes from tomorrow to `until`: the price book's; where it has none, those of the price history's last rows."""
    found = list(_in_book(book, upstream, model, today, until)) if book is not None else []
    return found or list(_in_history(model, today, until))


def _in_book(book: PriceBook, upstream: str, model: str, today: date, until: date) -> Iterator[Announced]:
    before = rates_of(book, upstream, model, today)
    for offset in range(1, (until - today).days + 1):
        day = today + timedelta(days=offset)
        after = rates_of(book, upstream, model, day)
        if before is not None and after is not None and after != before:
            read, cached, written, output = (_ratio(old, new) for old, new in zip(before[:4], after[:4], strict=True))
            yield Announced(day, model, read, cached, written, output, f"price book ({book.source})")
        before = after


def _in_history(model: str, today: date, until: date) -> Iterator[Announced]:
    rows = [row for row in price_rows() if row.model == model.rpartition("/")[2].lower() and not row.variant]
    for old, new in pairwise(rows):
        if today < new.date <= until and old.provider == new.provider:
            ratio = _ratio(old.input_nusd, new.input_nusd)
            cached = _ratio(old.cached_nusd, new.cached_nusd)
            yield Announced(
                new.date, model, ratio, cached, ratio, _ratio(old.output_nusd, new.output_nusd),
                f"price history ({', '.join(new.sources)})",
            )  # fmt: skip


def _ratio(old: float | None, new: float | None) -> float:
    return new / old if old and new is not None else 1.0


def _noon_ms(day: date) -> int:
    return int((datetime(day.year, day.month, day.day, tzinfo=UTC) + _NOON).timestamp() * 1000)
