"""How much of a change each factor of a product caused: LMDI-I and Shapley, both additive and both exact.

Comes in: a value before and after, and by how much each of its factors was multiplied. Goes out: one amount for each factor; they sum to
the change. Attribution is not unique: the two methods are two fair ways to share out what factors did together. Does not know: money, models.

LMDI-I: Ang, "The LMDI approach to decomposition analysis", Energy Policy 33 (2005). An effect is L(v1, v0) ln(x1/x0).
Shapley: the mean, over all orders of change, of what a factor adds; by Owen's multilinear extension ("Multilinear extensions of games",
Management Science 18, 1972) the integral over t of (r-1) Π (1 + t (r'-1)), which a Gauss-Legendre rule of 7 points gives exactly.
"""

from collections.abc import Sequence
from math import log, log1p

FACTORS_MAX = 14
"""The integrand is a polynomial of one degree less, and 7 points are exact up to degree 13."""

_HALF = (
    (0.9491079123427585, 0.1294849661688697),
    (0.7415311855993945, 0.2797053914892766),
    (0.4058451513773972, 0.3818300505051189),
)
_POINTS = (
    (0.5, 0.4179591836734694 / 2),
    *((0.5 + sign * x / 2, weight / 2) for x, weight in _HALF for sign in (-1, 1)),
)
"""Abramowitz & Stegun, table 25.4, n = 7, moved to [0, 1]."""


def log_mean(a: float, b: float) -> float:
    """The logarithmic mean of two values >= 0: (a - b) / ln(a/b); a if they are equal, 0 if one of them is (its limits)."""
    if a == b:
        return a
    if a <= 0 or b <= 0:
        return 0.0
    part = (a - b) / b
    return (a - b) / (log1p(part) if -0.5 < part < 1 else log(a / b))


def lmdi(before: float, after: float, ratios: Sequence[float]) -> list[float]:
    """The effect of each factor that was multiplied by its ratio > 0, for values > 0 with `after = before · Π ratios`."""
    mean = log_mean(after, before)
    return [mean * log(ratio) for ratio in ratios]


def shapley(before: float, ratios: Sequence[float]) -> list[float]:
    """The same by Shapley; ratios >= 0. At most FACTORS_MAX of them."""
    assert len(ratios) <= FACTORS_MAX
    grown = [ratio - 1 for ratio in ratios]
    effects = [0.0] * len(grown)
    for t, weight in _POINTS:
        terms = [1 + t * more for more in grown]
        whole = before * weight
        for term in terms:
            whole *= term
        for place, more in enumerate(grown):
            effects[place] += whole * more / terms[place]
    return effects
