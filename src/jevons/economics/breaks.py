"""Did prices begin to fall differently from some day on? Chow's test at a given day, and the search for the day that divides best (sup-F).

The model is that of a tier's decline: lines with a level each and one slope in common. The break gives it another level and another slope from
the day on; F compares the squared errors (G. C. Chow, Econometrica 28, 1960; D. W. K. Andrews, Econometrica 61, 1993, for the search). How
rare such an F is by chance is found by exchange, not from a table, in two ways, since prices of one line hang together:

    rows    what the slope leaves over is dealt out anew among all rows (D. Freedman, D. Lane, J. Bus. Econ. Stat. 1, 1983)
    lines   the signs of what it leaves over are flipped line by line: harder to impress, and the one to believe where the two differ

Comes in: series of the price history. Goes out: a `Break`. Chance is seeded. Does not know: the clock, the ledger.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from operator import mul
from random import Random
from typing import NamedTuple

from jevons.economics.decline import SEED
from jevons.economics.fits import years
from jevons.economics.history import Kind, Series
from jevons.economics.indices import months

SUSPECTED = date(2024, 5, 1)
"""The break that Du (arXiv 2603.28576) reports: the month of GPT-4o and Gemini 1.5 Flash."""
EXCHANGES = 999
TRIMMED = 0.15
"""Share of rows that must stand on either side of a day for it to be searched (Andrews' own choice)."""

Vector = list[float]


class Break(NamedTuple):
    """One day tested."""

    day: date
    searched: bool
    """Whether the day was looked for; then the p-values allow for the looking."""
    f: float
    p_rows: float
    p_lines: float
    before: float
    """Factor a year before and from the day on."""
    after: float
    rows: int
    lines: int


class _Panel(NamedTuple):
    """Rows of all lines, with the line of each."""

    lines: list[int]
    x: Vector
    y: Vector

    def centred(self, values: Sequence[float]) -> Vector:
        """Each line's own mean taken out."""
        sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for line, value in zip(self.lines, values, strict=True):
            total = sums[line]
            total[0] += value
            total[1] += 1
        return [value - sums[line][0] / sums[line][1] for line, value in zip(self.lines, values, strict=True)]


_Exchange = Callable[[_Panel, Vector, Random], Vector]


def find_breaks(series: Sequence[Series], suspected: date = SUSPECTED, kind: Kind = "blend") -> list[Break]:
    """The break at the suspected day, and the best one anywhere; none where the rows are too few, or all on one side."""
    panel = _panel(series, kind)
    trend = _unit(panel.centred(panel.x)) if panel.x else None
    freedom = len(panel.x) - len(set(panel.lines)) - 3
    if trend is None or freedom < 1:
        return []
    searched = _searchable(panel)
    splits = {day: axes for day in {*searched, suspected} if (axes := _axes(panel, trend, years(day))) is not None}
    searched = [day for day in searched if day in splits]
    if suspected not in splits or not searched:
        return []
    left = _without(panel.centred(panel.y), trend)
    real = {day: _f(left, axes, freedom) for day, axes in splits.items()}
    best = max(searched, key=lambda day: real[day])

    def rarity(exchange: _Exchange, by_search: bool) -> float:
        days = searched if by_search else [suspected]
        rng = Random(SEED)
        dealt = (_without(panel.centred(exchange(panel, left, rng)), trend) for _ in range(EXCHANGES))
        rarer = sum(max(_f(again, splits[day], freedom) for day in days) >= max(real[day] for day in days) for again in dealt)
        return (1 + rarer) / (1 + EXCHANGES)

    found = []
    for day, by_search in ((suspected, False), (best, True)):
        before, after = _factors(panel, years(day))
        p_rows, p_lines = rarity(_by_rows, by_search), rarity(_by_lines, by_search)
        found.append(Break(day, by_search, real[day], p_rows, p_lines, before, after, len(panel.x), len(set(panel.lines))))
    return found


def _panel(series: Sequence[Series], kind: Kind) -> _Panel:
    rows = [
        (number, years(row.date), math.log(price))
        for number, line in enumerate(series)
        for row in line.rows
        if row.dated and (price := row.price(kind))
    ]
    return _Panel([line for line, _, _ in rows], [x for _, x, _ in rows], [y for _, _, y in rows])


def _searchable(panel: _Panel) -> list[date]:
    """First days of months with enough rows on either side."""
    ordered = sorted(panel.x)
    skipped = math.ceil(TRIMMED * len(ordered))
    low, high = ordered[skipped], ordered[-skipped - 1]
    return [day for day in months(date(2020, 1, 1), date(2100, 1, 1)) if low <= years(day) <= high]


def _axes(panel: _Panel, trend: Vector, break_at: float) -> tuple[Vector, Vector] | None:
    """What a new level and a new slope from the break on can explain beyond lines and trend, as two perpendicular unit vectors."""
    level = _unit(_without(panel.centred([float(x >= break_at) for x in panel.x]), trend))
    if level is None:
        return None
    slope = _unit(_without(_without(panel.centred([max(0.0, x - break_at) for x in panel.x]), trend), level))
    return None if slope is None else (level, slope)


def _f(left: Vector, axes: tuple[Vector, Vector], freedom: int) -> float:
    """F with 2 and `freedom` degrees of freedom: what the break explains of what the trend leaves over."""
    explained = sum(_dot(left, axis) ** 2 for axis in axes)
    return (explained / 2) / (max(_dot(left, left) - explained, 1e-12) / freedom)


def _by_rows(_: _Panel, left: Vector, rng: Random) -> Vector:
    dealt = left.copy()
    rng.shuffle(dealt)
    return dealt


def _by_lines(panel: _Panel, left: Vector, rng: Random) -> Vector:
    signs = {line: rng.choice((-1.0, 1.0)) for line in sorted(set(panel.lines))}
    return [signs[line] * value for line, value in zip(panel.lines, left, strict=True)]


def _factors(panel: _Panel, break_at: float) -> tuple[float, float]:
    """By how much a price was divided in a year before the break, and from it on."""
    step = panel.centred([float(x >= break_at) for x in panel.x])
    hinge = panel.centred([max(0.0, x - break_at) for x in panel.x])
    slope, _, turn = _coefficients([panel.centred(panel.x), step, hinge], panel.centred(panel.y))
    return math.exp(-slope), math.exp(-slope - turn)


def _coefficients(columns: list[Vector], y: Vector) -> Vector:
    """Least squares by Gram and Schmidt, solved from the last column back. The columns are not collinear: `_axes` has seen to it."""
    axes: list[Vector] = []
    shares: list[Vector] = []
    for column in columns:
        shares.append([_dot(column, axis) for axis in axes])
        rest = column
        for axis in axes:
            rest = _without(rest, axis)
        length = math.sqrt(_dot(rest, rest))
        shares[-1].append(length)
        axes.append([value / length for value in rest])
    found = [0.0] * len(columns)
    for i in reversed(range(len(columns))):
        later = sum(shares[j][i] * found[j] for j in range(i + 1, len(columns)))
        found[i] = (_dot(y, axes[i]) - later) / shares[i][i]
    return found


def _dot(a: Vector, b: Vector) -> float:
    total: float = sum(map(mul, a, b))
    return total


def _without(values: Vector, axis: Vector) -> Vector:
    along = _dot(values, axis)
    return [value - along * unit for value, unit in zip(values, axis, strict=True)]


def _unit(values: Vector) -> Vector | None:
    """Of length one; None if there is next to nothing of it."""
    length = math.sqrt(_dot(values, values))
    return [value / length for value in values] if length > 1e-9 else None
