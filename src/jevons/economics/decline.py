"""How fast a price falls: times a year, months to halve, with an interval drawn anew over models; Moore's law beside it.

Three things are measured, and they are not the same. A *milestone*: the cheapest model that scores enough, a running minimum. A *line*: what the
newest model of one line costs. A *tier*: all lines of it together, each with a level of its own and one slope in common. A minimum can
only fall; a line and a tier can rise.

Comes in: the price history and its scores, and the day until which rows count (announced prices are never fitted). Goes out: `Decline`s.
Does not know: the ledger, the clock.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from random import Random
from typing import NamedTuple

from jevons.economics.fits import Fit, bootstrap, halving_months, least_squares, years
from jevons.economics.history import Kind, PriceRow, Series, series
from jevons.economics.quality import Milestone, minima, qualified
from jevons.meter.lineages import Tier

MOORE_MONTHS = 24
"""Transistors on a chip double about every two years: G. E. Moore, "Progress in Digital Integrated Electronics", IEDM 1975."""
SEED = 1865
"""Of every draw here, so that a figure can be printed twice; the year of "The Coal Question"."""
DRAWS = 1_000
POINTS_MIN = 4
"""Fewer make no line worth drawing (Epoch's rule too)."""

Points = list[tuple[float, float]]


class Decline(NamedTuple):
    """How fast one price fell."""

    what: str
    first: date
    last: date
    models: int
    fit: Fit
    low: float
    """Of the factor a year, drawn anew over models."""
    high: float
    drawn: float
    """Share of draws that had points enough."""

    @property
    def factor_a_year(self) -> float:
        return self.fit.factor_a_year

    @property
    def halving_months(self) -> float | None:
        return halving_months(self.factor_a_year)


def of_milestone(milestone: Milestone, until: date, kind: Kind = "blend") -> Decline | None:
    """Of the running minimum; drawn anew over the models that qualify."""
    rows = qualified(milestone, until)
    lowest = minima(rows, kind)
    if len(lowest) < POINTS_MIN:
        return None
    models = _by_model(rows)

    def slope(drawn: list[list[PriceRow]]) -> float | None:
        again = minima(sorted((row for rows in drawn for row in rows), key=lambda row: row.date), kind)
        return _factor(_points(again, kind)) if len(again) >= POINTS_MIN else None

    low, high, share = bootstrap(models, slope, Random(SEED), DRAWS)
    fit = least_squares(_points(lowest, kind))
    return Decline(milestone.title, lowest[0].date, lowest[-1].date, len({row.model for row in lowest}), fit, low, high, share)


def of_line(line: Series, kind: Kind = "blend") -> Decline | None:
    """Of one line's price; drawn anew over its models."""
    return _of_lines(line.name, [line], kind)


def of_tier(tier: Tier, until: date, kind: Kind = "blend") -> Decline | None:
    """The slope that all lines of a tier have in common, each at its own level; drawn anew over models, lines kept together."""
    return _of_lines(f"{tier} tier, list prices", series(tier=tier, until=until), kind)


def _of_lines(what: str, lines: Sequence[Series], kind: Kind) -> Decline | None:
    clusters = [
        (number, model) for number, line in enumerate(lines) for model in _by_model([row for row in line.rows if row.dated])
    ]
    rows = [row for _, model in clusters for row in model]
    if len(rows) < POINTS_MIN or len({row.date for row in rows}) < POINTS_MIN:
        return None

    def slope(drawn: list[tuple[int, list[PriceRow]]]) -> float | None:
        return _factor(within(drawn, kind))

    low, high, share = bootstrap(clusters, slope, Random(SEED), DRAWS)
    days = [row.date for row in rows]
    return Decline(what, min(days), max(days), len(clusters), least_squares(within(clusters, kind)), low, high, share)


def within(clusters: Sequence[tuple[int, list[PriceRow]]], kind: Kind) -> Points:
    """Points with each line's own mean taken out (the within estimator: its slope is that of a line with fixed effects)."""
    lines: dict[int, Points] = defaultdict(list)
    for number, rows in clusters:
        lines[number] += _points(rows, kind)
    found: Points = []
    for points in lines.values():
        mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True)) if points else (0.0, 0.0)
        found += [(x - mean_x, y - mean_y) for x, y in points]
    return found


def _points(rows: Sequence[PriceRow], kind: Kind) -> Points:
    return [(years(row.date), math.log(price)) for row in rows if (price := row.price(kind))]


def _factor(points: Points) -> float | None:
    try:
        return least_squares(points).factor_a_year
    except ValueError:
        return None  # a draw of one model has no slope


def _by_model(rows: Sequence[PriceRow]) -> list[list[PriceRow]]:
    models: dict[tuple[str, str], list[PriceRow]] = defaultdict(list)
    for row in rows:
        models[row.provider, row.model].append(row)
    return list(models.values())
