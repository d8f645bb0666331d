"""How much of a change each factor of a product caused: LMDI-I and Shapley, both additive and both exact.

Comes in: a value before and after, and by how much each of its factors was multiplied. Goes out: one amount for each factor; they sum to
the change. Attribution is not unique: the two methods are two fair ways to share out what factors did together. Does not know: money, models.

LMDI-I: Ang, "The LMDI approach to decomposition analysis", Energy Policy 33 (2005). An effect is L(v1, v0) ln(x1/x0).
Shapley: the mean, over all orders of change, of what a factor adds; by Owen's multilinear extension ("Multilinear extensions of games",
Management Science 18, 1972) the integral over t of (r-1) Π (1 + t (r'-1)), which a Gauss-Legendre rule of 6 points gives exactly.
"""

from collections.abc import Sequence
from math import log, log1p
from typing import NamedTuple

FACTORS_MAX = 12
"""The integrand is a polynomial of one degree less, and 6 points are exact up to degree 11."""

_POINTS = tuple(
    (0.5 + sign * x / 2, weight / 2)
    for x, weight in (
        (0.9324695142031521, 0.1713244923791704),
        (0.6612093864662645, 0.3607615730481386),
        (0.2386191860831969, 0.4679139345726910),
    )
    for sign in (-1, 1)
)
"""Abramowitz & Stegun, table 25.4, n = 6, moved to [0, 1]."""


def log_mean(a: float, b: float) -> float:
    """The logarithmic mean of two values >= 0: (a - b) / ln(a/b); a if they are equal, 0 if one of them is (its limits)."""
    if a == b:
        return a
    if a <= 0 or b <= 0:
        return 0.0
    part = (a - b) / b
    return (a - b) / (log1p(part) if -0.5 < part < 1 else log(a / b))


class Cell(NamedTuple):
    """One product > 0 before and after; `ratios`: by how much its own factors were multiplied, beside those that it shares with others."""

    before: float
    after: float
    ratios: Sequence[float]


class Effects(NamedTuple):
    """By LMDI and by Shapley."""

    lmdi: float
    shapley: float


def share_out(shared: Sequence[float], cells: Sequence[Cell]) -> tuple[list[Effects], list[list[Effects]]]:
    """The effects of factors that all cells share, each over all cells, and of each cell's own. Ratios > 0; at most FACTORS_MAX of them.

    A cell's `after` is its `before` times all ratios, its own and the shared ones; all effects sum to the change of all cells.
    """
    grown = [ratio - 1 for ratio in shared]
    own_grown = [[ratio - 1 for ratio in cell.ratios] for cell in cells]
    by_shapley = [0.0] * len(grown)
    own_by_shapley = [[0.0] * len(own) for own in own_grown]
    for t, weight in _POINTS:
        terms = [1 + t * more for more in grown]
        outer = weight
        for term in terms:
            outer *= term
        whole = 0.0
        for cell, own, sums in zip(cells, own_grown, own_by_shapley, strict=True):
            value = cell.before * outer
            own_terms = [1 + t * more for more in own]
            for term in own_terms:
                value *= term
            whole += value
            for place, more in enumerate(own):
                sums[place] += value * more / own_terms[place]
        for place, more in enumerate(grown):
            by_shapley[place] += whole * more / terms[place]
    means = [log_mean(cell.after, cell.before) for cell in cells]
    mean = sum(means)
    effects = [Effects(mean * log(ratio), effect) for ratio, effect in zip(shared, by_shapley, strict=True)]
    own_effects = [
        [Effects(of_cell * log(ratio), effect) for ratio, effect in zip(cell.ratios, sums, strict=True)]
        for of_cell, cell, sums in zip(means, cells, own_by_shapley, strict=True)
    ]
    return effects, own_effects
