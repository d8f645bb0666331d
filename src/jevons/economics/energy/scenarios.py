"""Draws of what is not known, the same in every run: an interval becomes a number per scenario.

Comes in: intervals of 5 to 95 %, and the name of what is uncertain. Goes out: tuples of `SCENARIOS` numbers, and quantiles of such. Does not
know: what they are of.

What has one name has one draw: a sum over calls of a model, taken scenario by scenario, is as uncertain as the model, however many calls there
are. Draws are stratified (one in every share of 1/512 of the distribution, McKay, Beckman and Conover 1979) and shuffled by their name.
"""

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import exp, log
from statistics import NormalDist
from typing import NamedTuple

SCENARIOS = 512
SEED = 1865
LOW, MIDDLE, HIGH = 0.05, 0.5, 0.95
Z90 = NormalDist().inv_cdf(HIGH)

Draws = Sequence[float]
"""One number for each scenario."""


class Interval(NamedTuple):
    """5, 50 and 95 %."""

    low: float
    middle: float
    high: float


@lru_cache(maxsize=1024)
def normal(name: str) -> tuple[float, ...]:
    """Standard normal, of one uncertain thing."""
    values = [NormalDist().inv_cdf((place + 0.5) / SCENARIOS) for place in range(SCENARIOS)]
    random.Random(f"{SEED} {name}").shuffle(values)
    return tuple(values)


def lognormal(name: str, low: float, high: float) -> tuple[float, ...]:
    """Of which `low` and `high` are 5 and 95 %, both above 0."""
    middle, spread = log(low * high) / 2, log(high / low) / 2 / Z90
    return tuple(exp(middle + spread * z) for z in normal(name))


def uniform(name: str) -> tuple[float, ...]:
    """Between 0 and 1."""
    return tuple(NormalDist().cdf(z) for z in normal(name))


def scattered(name: str, spread: float) -> tuple[float, ...]:
    """Factors about 1; `spread` is the standard deviation of their logarithm."""
    return tuple(exp(spread * z) for z in normal(name))


def product(*factors: Draws) -> tuple[float, ...]:
    """Scenario by scenario."""
    made = [1.0] * SCENARIOS
    for draws in factors:
        made = [one * other for one, other in zip(made, draws, strict=True)]
    return tuple(made)


def total(parts: Iterable[Draws]) -> tuple[float, ...]:
    """Sum, scenario by scenario."""
    return tuple(map(sum, zip(*parts, strict=True))) or (0.0,) * SCENARIOS


def interval(draws: Draws) -> Interval:
    """Of the scenarios."""
    ordered = sorted(draws)
    low, middle, high = (ordered[min(SCENARIOS - 1, int(share * SCENARIOS))] for share in (LOW, MIDDLE, HIGH))
    return Interval(low, middle, high)
