"""List prices that rise: lately, or on a day that is already announced; among them introductory and free prices that end.

Two sources. The price book has the prices of every model that the ledger shows in use, with the changes that vendors have scheduled; updated by
`jevons prices update`. Where nothing is in use, the price history tells what rose anywhere.

Comes in: a price book or rows, the models in use, the day. Goes out: `Alarm`s, the nearest first. Does not know: the ledger's file format,
configuration, the clock.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple

from jevons.core.price import Price
from jevons.core.usage import CACHE_READ, INPUT, OUTPUT
from jevons.economics.history import PriceRow, Step, price_rows, steps
from jevons.meter.naming import sold_by
from jevons.meter.pricebook import PriceBook

BEHIND_DAYS = 90
"""How long a rise stays an alarm: a quarter, in which somebody reads it."""
AHEAD_DAYS = 180
"""How far announcements are looked for; vendors give days to months."""
_KINDS = {"input": INPUT, "output": OUTPUT, "cached": CACHE_READ}
_NOON = timedelta(hours=12)
"""Prices are compared at noon UTC of each day, so that tariffs by the hour raise no alarm each night."""

What = Literal["rise", "introduction ends", "free price ends", "dearer successor"]
_Rates = dict[str, int]
"""input, output, cached -> nano-USD for a million tokens."""


class Alarm(NamedTuple):
    """One rise."""

    day: date
    what: What
    provider: str
    model: str
    before: _Rates
    after: _Rates
    announced: bool
    """The day is still to come."""
    source: str

    @property
    def rises(self) -> dict[str, float]:
        """The kinds that become dearer, by what part (0.5 = +50 %; infinite from zero)."""
        both = self.before.keys() & self.after.keys()
        return {
            kind: self.after[kind] / self.before[kind] - 1 if self.before[kind] else float("inf")
            for kind in _KINDS
            if kind in both and self.after[kind] > self.before[kind]
        }

    def as_dict(self) -> dict[str, object]:
        """For --json: stable keys."""
        return {
            "date": self.day.isoformat(), "what": self.what, "provider": self.provider, "model": self.model, "announced": self.announced,
            "before": {f"{kind}_nusd_per_mtok": nusd for kind, nusd in self.before.items()},
            "after": {f"{kind}_nusd_per_mtok": nusd for kind, nusd in self.after.items()}, "source": self.source,
        }  # fmt: skip


class Watched(NamedTuple):
    """What was looked at."""

    alarms: list[Alarm]
    models: int
    unpriced: tuple[str, ...]
    """Models in use that the price book does not know."""


def of_models(book: PriceBook, used: Iterable[tuple[str | None, str]], today: date) -> Watched:
    """Rises of (provider, model)s in the price book, from BEHIND_DAYS ago to AHEAD_DAYS from now."""
    alarms: dict[tuple[str, str], list[Alarm]] = {}
    unpriced = []
    for provider, model in used:
        sold = sold_by(book, provider, model)
        if sold is None:
            unpriced.append(model)
        elif sold not in alarms:
            alarms[sold] = list(_rises_in_book(book, *sold, today))
    return Watched(_nearest(alarm for found in alarms.values() for alarm in found), len(alarms), tuple(unpriced))


def of_history(today: date) -> Watched:
    """Rises anywhere in the price history in the same days, and successors that are dearer than what they follow."""
    first, last = today - timedelta(days=BEHIND_DAYS), today + timedelta(days=AHEAD_DAYS)
    rows = price_rows()
    found = (alarm for step in steps(rows) if first <= step.row.date <= last and (alarm := _rise_of(step, today)))
    return Watched(_nearest(found), len({(row.provider, row.model) for row in rows}), ())


def _nearest(alarms: Iterable[Alarm]) -> list[Alarm]:
    """What is to come first, the next day at the top; then what has been, the latest at the top."""
    return sorted(alarms, key=lambda a: (not a.announced, a.day.toordinal() * (1 if a.announced else -1), a.provider, a.model))


def _rises_in_book(book: PriceBook, seller: str, model: str, today: date) -> Iterator[Alarm]:
    before = None
    for offset in range(-BEHIND_DAYS - 1, AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        noon_ms = int((datetime(day.year, day.month, day.day, tzinfo=UTC) + _NOON).timestamp() * 1000)
        price = book.price(seller, model, noon_ms)
        after = None if price is None else _rates(price)
        if before is not None and after is not None and after != before:
            alarm = Alarm(day, _what(seller, model, before), seller, model, before, after, day > today, book.source)
            if alarm.rises:
                yield alarm
        before = after


def _what(seller: str, model: str, before: _Rates) -> What:
    if not any(before.values()):
        return "free price ends"
    stated = any(row.event == "introductory" for row in price_rows() if (row.provider, row.model) == (seller, model))
    return "introduction ends" if stated else "rise"


def _rates(price: Price) -> _Rates:
    """The base tier, for a million tokens."""
    nums = price.tier(0).nums
    return {kind: round(nums[name] * 1_000_000 / price.den) for kind, name in _KINDS.items() if name in nums}


def _rise_of(step: Step, today: date) -> Alarm | None:
    row, before, _ = step
    if before is None:
        return None
    what: What = "rise"
    if step.succeeds:
        what = "dearer successor"
    elif before.event == "introductory":
        what = "introduction ends"
    source = f"price history: {', '.join(row.sources)}"
    alarm = Alarm(row.date, what, row.provider, row.model, _of_row(before), _of_row(row), row.date > today, source)
    return alarm if alarm.rises else None


def _of_row(row: PriceRow) -> _Rates:
    rates = {"input": row.input_nusd, "output": row.output_nusd}
    return rates if row.cached_nusd is None else {**rates, "cached": row.cached_nusd}
