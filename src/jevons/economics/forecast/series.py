"""One series of usage at even steps, made of dated amounts: what a forecast starts from.

Comes in: pairs of a day and an amount, in any order. Goes out: a `Series` of whole days, weeks or months, where an amount that is not known
is None. Does not know: ledgers, what the amounts are, forecasts.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

import msgspec

Step = Literal["day", "week", "month"]
Absent = Literal["zero", "unknown"]
SEASONS: dict[Step, int | None] = {"day": 7, "week": None, "month": 12}
"""Steps in a cycle: days of a week, months of a year. A year of weeks has 52.18, and few ledgers have two of them."""


class Series(msgspec.Struct, frozen=True):
    """Amounts of consecutive periods."""

    name: str
    step: Step
    first: date
    """The first day of the first period; weeks begin on Mondays."""
    values: tuple[float | None, ...]
    """None = unknown. Neither the first nor the last is."""

    @property
    def season(self) -> int | None:
        return SEASONS[self.step]

    def starts(self, ahead: int = 0) -> tuple[date, ...]:
        """The first day of every period, and of so many after the last."""
        return tuple(later(self.first, self.step, number) for number in range(len(self.values) + ahead))

    def filled(self) -> tuple[float, ...]:
        return filled(self.values)


def filled(values: Sequence[float | None]) -> tuple[float, ...]:
    """What is unknown (neither the first nor the last) laid evenly between its neighbours: in ratio where all are positive, else in difference."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    in_ratio = all(value > 0 for _, value in known)
    found = [value for _, value in known[:1]]
    for (left, before), (right, value) in pairwise(known):
        for place in range(left + 1, right):
            share = (place - left) / (right - left)
            found.append(before * (value / before) ** share if in_ratio else before + (value - before) * share)
        found.append(value)
    return tuple(found)


def series(
    name: str, pairs: Iterable[tuple[date, float]], step: Step, *, today: date, since: date | None = None, absent: Absent = "zero"
) -> Series:
    """Amounts summed by the period; only whole ones: that of `today` is not over, and one that began before `since` was not seen whole.

    `absent` says what a period without a pair is: "zero" where the books would know (the series then runs to the last whole period, also
    when nothing is used any more), "unknown" for figures that somebody publishes now and then. Periods before the first pair are left out.
    Raises ValueError where no whole period is left, or an amount is no number.
    """
    sums: dict[date, float] = {}
    for day, amount in pairs:
        if not math.isfinite(amount):
            raise ValueError(f"{name}: {amount} on {day} is no amount")
        start = begin(day, step)
        sums[start] = sums.get(start, 0.0) + amount
    after = begin(today, step)
    whole = [start for start in sums if start < after and (since is None or start >= since)]
    if not whole:
        raise ValueError(f"{name}: no whole {step} before {today} has an amount")
    first = min(whole)
    end = after if absent == "zero" else later(max(whole), step, 1)
    values, start = [], first
    while start < end:
        values.append(sums.get(start, 0.0 if absent == "zero" else None))
        start = later(start, step, 1)
    return Series(name, step, first, tuple(values))


def begin(day: date, step: Step) -> date:
    """The first day of the period that a day lies in."""
    if step == "day":
        return day
    return day - timedelta(day.weekday()) if step == "week" else day.replace(day=1)


def later(start: date, step: Step, count: int) -> date:
    """The first day of the period so many after the one that begins at `start`."""
    if step == "month":
        months = start.year * 12 + start.month - 1 + count
        return date(months // 12, months % 12 + 1, 1)
    return start + timedelta(count * (7 if step == "week" else 1))
