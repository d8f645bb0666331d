"""Straight lines through the logarithm of a price, and how sure they are: least squares, Student's t, the bootstrap.

Comes in: points (years, ln price), or what to draw anew. Goes out: a `Fit`, an interval. Floats: these are statistics, not money.
Does not know: prices, models, the clock. Chance comes in as a seeded `random.Random`.
"""

import math
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from random import Random
from typing import NamedTuple, TypeVar

T = TypeVar("T")

DAYS_A_YEAR = 365.25
_EPOCH = date(2020, 1, 1)

CONFIDENCE = 0.90
"""Of every interval in this room: what Epoch publishes, so that figures can be laid beside theirs."""


class Fit(NamedTuple):
    """ln price = intercept + slope × years."""

    slope: float
    intercept: float
    stderr: float
    """Of the slope; infinite with two points."""
    r2: float
    n: int

    @property
    def factor_a_year(self) -> float:
        """By how much the price is divided in a year: 10 = a tenth; below 1 it rises."""
        return math.exp(-self.slope)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Of `factor_a_year`, by Student's t: what holds if the points were independent, which a running minimum's are not."""
        if self.n < 3:
            return 0.0, math.inf
        spread = student_t((1 + confidence) / 2, self.n - 2) * self.stderr
        return _exp(-self.slope - spread), _exp(-self.slope + spread)


def years(day: date) -> float:
    return (day - _EPOCH).days / DAYS_A_YEAR


def halving_months(factor_a_year: float) -> float | None:
    """Months in which a price halves; None if it does not fall."""
    return 12 * math.log(2) / math.log(factor_a_year) if factor_a_year > 1 else None


def least_squares(points: Sequence[tuple[float, float]]) -> Fit:
    """The line with the least squared error. Raises ValueError if the points have fewer than two different times."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / max(n, 1), sum(y for _, y in points) / max(n, 1)
    square_x = sum((x - mean_x) ** 2 for x, _ in points)
    if square_x == 0:
        raise ValueError("a line needs points at two different times")
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square_x
    intercept = mean_y - slope * mean_x
    left = sum((y - intercept - slope * x) ** 2 for x, y in points)
    total = sum((y - mean_y) ** 2 for _, y in points)
    stderr = math.sqrt(left / (n - 2) / square_x) if n > 2 else math.inf
    return Fit(slope, intercept, stderr, 1 - left / total if total else 1.0, n)


def bootstrap(
    items: Sequence[T], statistic: Callable[[list[T]], float | None], rng: Random, draws: int, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """(low, high, share of draws that had the statistic) of as many items drawn with replacement, by percentiles (Efron 1979).

    `statistic` answers None where a draw has too little in it. With no draw left the interval is (nan, nan).
    """
    found = []
    for _ in range(draws):
        value = statistic(rng.choices(items, k=len(items)) if items else [])
        if value is not None:
            found.append(value)
    if not found:
        return math.nan, math.nan, 0.0
    found.sort()
    return quantile(found, (1 - confidence) / 2), quantile(found, (1 + confidence) / 2), len(found) / draws


def quantile(ordered: Sequence[float], p: float) -> float:
    """Of values in order, straight between neighbours (Hyndman and Fan's type 7)."""
    place = p * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@lru_cache(maxsize=256)
def student_t(p: float, dof: int) -> float:
    """The p-quantile (p > 0.5) of Student's t with `dof` degrees of freedom, by halving until it is exact to 1e-9."""
    low, high = 0.0, 1.0
    while _t_below(high, dof) < p:
        high *= 2
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, dof) < p else (low, middle)
    return (low + high) / 2


def _t_below(t: float, dof: int) -> float:
    """P(T <= t) for t >= 0. Closed form for whole degrees of freedom: Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(dof))
    cosine2 = math.cos(angle) ** 2
    if dof % 2:
        term, total = math.cos(angle), math.cos(angle) if dof > 1 else 0.0
        for k in range(3, dof - 1, 2):
            term *= cosine2 * (k - 1) / k
            total += term
        within = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        term = total = 1.0
        for k in range(2, dof - 1, 2):
            term *= cosine2 * (k - 1) / k
            total += term
        within = math.sin(angle) * total
    return (1 + within) / 2


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
