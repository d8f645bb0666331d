"""Index of list prices of a tier: what became of the price of the same thing, month by month.

The formula is the classical Jevons index, the geometric mean of price relatives without weights (W. S. Jevons, "A Serious Fall in the Value of
Gold", 1863; it is what statistical offices use where there are no quantities: ILO/IMF, Consumer Price Index Manual, 2020, chapter 8), chained
over months. An item is one provider's line of models. When a model follows another in its line, two answers are right, so both are given:

    succession   the new model's price against the old one's: a dearer successor is a rise (direct comparison)
    matched      only prices of the same model are compared, a successor is linked in without effect (overlap linking)

Comes in: series of the price history. Goes out: `Point`s, 100 at the beginning. Does not know: quantities, scores, the clock.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

from jevons.economics.history import Kind, PriceRow, Series

Method = Literal["succession", "matched"]

BEGIN = date(2023, 5, 1)
"""The first month at whose beginning two vendors sell frontier models by the token."""
SILENT_MONTHS_MAX = 18
"""A line without a row for longer is taken to be gone, else every dead line would hold its index still. The longest silence of a line that
went on is 17 months (Mistral Large, January 2025 to June 2026)."""


class Point(NamedTuple):
    """The index on a day: 100 at the beginning."""

    day: date
    value: float
    lines: int
    """How many lines were compared with the month before; 0 at the beginning."""


def months(first: date, last: date) -> Iterator[date]:
    """First days of months, from the first on or after `first` to `last`."""
    day = first if first.day == 1 else _next_month(first)
    while day <= last:
        yield day
        day = _next_month(day)


def list_index(
    series: Sequence[Series], last: date, *, first: date = BEGIN, kind: Kind = "blend", method: Method = "succession"
) -> list[Point]:
    """The index on the first of each month in [first, last], and on `last`. A month without lines to compare carries the value on."""
    days = list(months(first, last))
    if not days:
        return []
    days += [last] if days[-1] != last else []
    points = [Point(days[0], 100.0, 0)]
    for before, day in pairwise(days):
        relatives = [ratio for line in series if (ratio := _relative(line, before, day, kind, method)) is not None]
        mean = sum(map(math.log, relatives)) / len(relatives) if relatives else 0.0
        points.append(Point(day, points[-1].value * math.exp(mean), len(relatives)))
    return points


def _relative(line: Series, before: date, day: date, kind: Kind, method: Method) -> float | None:
    old, new = _on_sale(line, before), _on_sale(line, day)
    if old is None or new is None:
        return None
    if method == "matched" and old.model != new.model:
        return _same_model(line, old, day, kind)
    was, now = old.price(kind), new.price(kind)
    return now / was if was and now else None


def _same_model(line: Series, old: PriceRow, day: date, kind: Kind) -> float | None:
    """What the old model's own price did in the month in which it was followed; then the new one is linked in."""
    last = [row for row in line.rows if row.model == old.model and row.date <= day][-1]
    was, now = old.price(kind), last.price(kind)
    return now / was if was and now else None


def _on_sale(line: Series, day: date) -> PriceRow | None:
    row = line.at(day)
    return row if row is not None and day - row.date <= timedelta(days=SILENT_MONTHS_MAX * 30.5) else None


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
