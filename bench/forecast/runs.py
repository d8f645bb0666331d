"""Every forecast of the rolling origin: ours, AutoETS and AutoTheta on the values and on their logarithms, and the last value.

Comes in: series. Goes out: a `Judged` per forecast point and method. All methods get the same past, the same steps, the same season; none sees
what comes after. A loss is the weighted interval score over the past's mean absolute step, so that series of any size count alike.
"""

import math
from collections.abc import Iterable, Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.forecast.usage import FEWEST_KNOWN, Usage
from jevons.economics.forecast.baselines import Method, NoForecast, quantiles
from jevons.economics.forecast.blend import LEVELS, forecast, probabilities
from jevons.economics.forecast.scores import wis
from jevons.economics.forecast.series import filled

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

CHANCES = probabilities(LEVELS)
OURS, ETS, THETA = "ours", "AutoETS", "AutoTheta"
METHODS = (OURS, ETS, "AutoETS of logarithms", THETA, "AutoTheta of logarithms", "the last value")


class Judged(NamedTuple):
    """One step ahead of one origin, by one method."""

    group: str
    name: str
    held_out: bool
    method: str
    origin: int
    step: int
    loss: float
    held: tuple[bool, ...]
    """By level of `LEVELS`: whether the interval held the truth."""


def judged(usage: Usage) -> Iterator[Judged]:
    """Every forecast of one series; an origin whose last value is unknown, or whose past never moved, is none."""
    for first, origin in usage.cuts():
        known = [value for value in usage.values[first:origin] if value is not None]
        if usage.values[origin - 1] is None or len(known) < FEWEST_KNOWN:
            continue
        past = np.array(filled(usage.values[first:origin]))
        size = float(np.abs(np.diff(past)).mean())
        truths = [(step, truth) for step, truth in enumerate(usage.values[origin : origin + usage.horizon]) if truth is not None]
        if not truths or not size:
            continue
        for method, rows in forecasts(past, truths[-1][0] + 1, usage.season).items():
            for step, truth in truths:
                row = [float(value) for value in rows[step]]
                held = tuple(
                    row[CHANCES.index(round((100 - level) / 200, 6))]
                    <= truth
                    <= row[-1 - CHANCES.index(round((100 - level) / 200, 6))]
                    for level in LEVELS
                )
                yield Judged(
                    usage.group, usage.name, usage.held_out, method, origin, step + 1, wis(CHANCES, row, truth) / size, held
                )


def forecasts(past: "Array", horizon: int, season: int | None) -> "dict[str, Array]":
    """Quantiles of every method, [step, probability]. Where AutoETS or AutoTheta refuse a season, or give infinite ends, they go without."""
    found = {OURS: forecast([float(value) for value in past], horizon, LEVELS, season).values}
    both: tuple[Method, ...] = (ETS, THETA)
    for method in both:
        found[method] = baseline(method, past, horizon, season)
        positive = bool((past > 0).all())
        found[f"{method} of logarithms"] = baseline(method, past, horizon, season, log=True) if positive else found[method]
    found["the last value"] = last_value(past, horizon)
    return found


def baseline(method: Method, past: "Array", horizon: int, season: int | None, *, log: bool = False) -> "Array":
    try:
        return quantiles(method, past, horizon, LEVELS, season, log=log)
    except NoForecast:
        return quantiles(method, past, horizon, LEVELS, None, log=log)


def last_value(past: "Array", horizon: int) -> "Array":
    """A walk without a trend: on logarithms where all is positive."""
    scaled = np.log(past) if (past > 0).all() else past
    spread = math.sqrt(float((np.diff(scaled) ** 2).mean()))
    ends = np.array([NormalDist().inv_cdf(chance) for chance in CHANCES])
    rows = scaled[-1] + spread * np.sqrt(np.arange(1, horizon + 1))[:, None] * ends
    return np.exp(rows) if (past > 0).all() else np.maximum(rows, 0)


def run(usages: Iterable[Usage]) -> Iterator[list[Judged]]:
    """By the series."""
    for usage in usages:
        yield list(judged(usage))
