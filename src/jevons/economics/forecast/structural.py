"""A short series as level, damped trend, season and noise: a few hundred such models, each weighed by how well it tells the past.

Comes in: values at even steps and the length of a season. Goes out: a `Mixture`, for every step ahead a Student's t of each model, and the
weights. numpy only. Does not know other methods, dates, or what the series is.

A model is a Gaussian process (Rasmussen and Williams 2006, chapter 2) with the covariance of a structural time series (Harvey 1989,
chapter 2) on one of Box and Cox's scales: logarithm, square root, as it is. Its overall variance is integrated out against an
inverse gamma prior, which makes forecasts Student's t (Rasmussen and Williams, section 9.9). What a short past cannot say comes
from the prior: how often series of usage had which noise, trend and season (data/series_prior.toml, which says how that was found).
"""

import tomllib
from functools import lru_cache
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

ANY_LEVEL = 1e3
"""Variance of the level at the beginning, in units of a step's: nothing is known of it before the first point."""
SMALLEST = 1e-3
"""Of the mean: what a zero counts as in the change of scale, whose slope at zero is infinite under a root."""


class Power(msgspec.Struct, frozen=True):
    """A scale of Box and Cox: 0 the logarithm, 1 as it is."""

    power: float
    share: float


class Level(msgspec.Struct, frozen=True):
    """How much of a step's variance stays in the level; the rest is noise that is gone the next step."""

    stays: float
    share: float


class Trend(msgspec.Struct, frozen=True):
    """A slope that changes by `variance` (in units of a step's) and is damped by a factor every step."""

    variance: float
    damping: float
    share: float


class Season(msgspec.Struct, frozen=True):
    """Variance between the places of a cycle, in units of a step's."""

    variance: float
    share: float


class Prior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """data/series_prior.toml; the file's comments explain every field."""

    spread: float
    degrees: int
    persistence: float
    unseen_width: float
    cycles: int
    autoets: float
    power: tuple[Power, ...]
    level: tuple[Level, ...]
    trend: tuple[Trend, ...]
    season: tuple[Season, ...]


class Mixture(NamedTuple):
    """Forecasts of all models, on the scale of each."""

    log_evidence: "Array"
    """[power, model]: log of how probable the past is under each, without the prior's shares; -inf for a scale the values do not have."""
    centre: "Array"
    """[power, model, step], on the scale of the power, of values divided by `unit`."""
    spread: "Array"
    """[power, model, step]"""
    degrees: int
    """Of freedom of Student's t."""
    unit: float
    """The mean of the past."""


@lru_cache(maxsize=1)
def prior() -> Prior:
    """As shipped."""
    text = resources.files("jevons.economics").joinpath("data/series_prior.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Prior)


def models(known: Prior, season: int | None) -> list[tuple[int, int, int]]:
    """Places of level, trend and season in the prior, of every model; without a season only its first, which has none."""
    return list(product(range(len(known.level)), range(len(known.trend)), range(len(known.season) if season else 1)))


def fit(past: "Array", horizon: int, season: int | None, known: Prior) -> Mixture:
    """Every model's forecast of the next steps and its evidence. `past` [n], not all zero; values below zero leave only the scale as it is."""
    import numpy as np  # noqa: PLC0415 - an extra

    count, unit = past.size, float(np.abs(past).mean())
    values = past / unit
    root, gain, ahead = _solved(count, horizon, season, known)
    powers = np.array([scale.power for scale in known.power])
    fits = (powers == 1) | ((powers > 0) & bool((past >= 0).all())) | bool((past > 0).all())
    scaled = np.stack(
        [_scaled(values if fit else np.ones(count), power) for fit, power in zip(fits, powers, strict=True)], axis=1
    )
    whitened = _forward(root, np.broadcast_to(scaled, (len(root), *scaled.shape)))
    square = known.degrees * known.spread**2 + (whitened**2).sum(1).T
    degrees = known.degrees + count
    jacobian = (powers - 1) * np.log(np.maximum(np.abs(values), SMALLEST)).sum()
    log_size = 2 * np.log(np.einsum("kii->ki", root)).sum(1)
    evidence = jacobian[:, None] - log_size / 2 - degrees / 2 * np.log(square)
    evidence[~fits] = -np.inf
    centre = np.einsum("knh,knp->pkh", gain, whitened)
    return Mixture(evidence, centre, np.sqrt(square[:, :, None] * ahead / degrees), degrees, unit)


def _scaled(values: "Array", power: float) -> "Array":
    """Box and Cox 1964: the logarithm, or a power that has its slope at 1."""
    import numpy as np  # noqa: PLC0415

    return np.log(values) if power == 0 else (values**power - 1) / power


def _forward(root: "Array", right: "Array") -> "Array":
    """Solves root x = right for lower triangles [model, n, n], row by row for all models at once; `right` is [model, n, column]."""
    import numpy as np  # noqa: PLC0415

    found = np.empty(right.shape)
    for row in range(right.shape[1]):
        known = np.einsum("kj,kjc->kc", root[:, row, :row], found[:, :row])
        found[:, row] = (right[:, row] - known) / root[:, row, [row]]
    return found


def log_shares(known: Prior, season: int | None) -> "Array":
    """[power, model]: the prior's, of every model of a `Mixture`."""
    import numpy as np  # noqa: PLC0415

    levels, trends, seasons = (np.log([part.share for part in parts]) for parts in (known.level, known.trend, known.season))
    each = [levels[level] + trends[trend] + (seasons[cycle] if season else 0) for level, trend, cycle in models(known, season)]
    shares: Array = np.log([power.share for power in known.power])[:, None] + np.array(each)
    return shares


@lru_cache(maxsize=4)
def _solved(count: int, horizon: int, season: int | None, known: Prior) -> "tuple[Array, Array, Array]":
    """What does not depend on the values: roots of the past's covariances [model, n, n], gain [model, n, step], variances [model, step]."""
    import numpy as np  # noqa: PLC0415

    at = np.arange(count + horizon)
    apart = np.abs(np.subtract.outer(at, at))
    noise, walk = np.eye(at.size), np.minimum.outer(at, at) + 1.0
    summed = np.tril(np.ones((at.size, at.size)), -1)
    trends = []
    for trend in known.trend:
        slope = trend.variance / (1 - trend.damping**2) * trend.damping**apart
        trends.append(summed @ slope @ summed.T)
    cycle = np.zeros_like(noise)
    if season:
        cycle = ((apart % season == 0) - 1 / season) * known.persistence ** (apart / season)
    covariance = np.array(
        [
            ANY_LEVEL + (1 - known.level[level].stays) * noise + known.level[level].stays * walk + trends[trend]
            + known.season[place].variance * cycle
            for level, trend, place in models(known, season)
        ]
    )  # fmt: skip
    root = np.linalg.cholesky(covariance[:, :count, :count])
    gain = _forward(root, covariance[:, :count, count:])
    ahead = np.einsum("kii->ki", covariance[:, count:, count:]) - (gain**2).sum(1)
    return root, gain, ahead
