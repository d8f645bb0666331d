"""Where a short series of usage goes next, as quantiles: structural models mixed, their widths from many series, AutoETS beside them.

Comes in: values of one series at even steps, oldest first, and how many steps ahead. Goes out: `Quantiles`, a row per step. Raises
`TooShort` where the past is too short to say anything: the caller then has only priors. Does not know: dates, prices, why usage grows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jevons.economics.forecast import baselines, intervals, structural

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

LEVELS = (50, 80, 95)
"""Central intervals, in percent, that scores and pictures use."""
FEWEST = 6
"""Points below which nothing is said: five steps are too few to tell a trend from its scatter."""


LONGEST = 104
"""The newest points that are looked at: eight years of months, two of weeks, fifteen weeks of days. Older ones cost time and say little of the next steps."""
LIGHT = "without AutoETS: statsforecast is not installed"


class TooShort(ValueError):
    """The series has fewer than `FEWEST` points."""


class Quantiles(NamedTuple):
    """A forecast: for every step ahead, the value that the truth stays under with each probability."""

    probabilities: tuple[float, ...]
    """Ascending, 0.5 among them: of levels 50, 80, 95 these are 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975."""
    values: "NDArray[float64]"
    """[horizon, probability], ascending in a row; in the units of the series."""
    models: tuple[str, ...]
    """What was blended; `LIGHT` stands there where AutoETS would have been."""

    @property
    def median(self) -> "NDArray[float64]":
        """[horizon]."""
        return self.values[:, self.probabilities.index(0.5)]

    def interval(self, level: float) -> "tuple[NDArray[float64], NDArray[float64]]":
        """Both ends of the central interval of so many percent, [horizon] each; ValueError if that level was not asked for."""
        low = self.probabilities.index(probabilities((level,))[0])
        return self.values[:, low], self.values[:, -1 - low]


def probabilities(levels: Sequence[float]) -> tuple[float, ...]:
    """The quantiles that central intervals of these percentages and the median need, ascending."""
    tails = sorted({round((100 - level) / 200, 6) for level in levels})
    return (*tails, 0.5, *(round(1 - tail, 6) for tail in reversed(tails)))


def forecast(
    values: Sequence[float], horizon: int, levels: Sequence[float] = LEVELS, season: int | None = None, positive: bool = True
) -> Quantiles:
    """The next `horizon` steps of a series at even steps, oldest first, without gaps (`series.Series.filled` makes such).

    `season` is the length of a cycle in steps (7 of days, 12 of months), None for none. `positive` says that the series cannot fall below
    zero: the forecast then does not either. The same values give the same quantiles. Raises `TooShort`; ValueError for what is no series.

    Several hundred structural models are mixed by how well each tells the past (`structural`). Where three whole cycles are there, AutoETS
    is averaged in, quantile by quantile; where no whole cycle is, intervals are widened. data/series_prior.toml holds these figures.
    """
    import numpy as np  # noqa: PLC0415 - an extra

    past = np.asarray(values, dtype=float)[-LONGEST:]
    chances = probabilities(levels)
    if past.size < FEWEST:
        raise TooShort(f"{past.size} points are too few for a forecast: it takes {FEWEST}")
    if not np.isfinite(past).all() or (positive and (past < 0).any()):
        raise ValueError("a forecast takes numbers" + (", none of them below zero" if positive else ""))
    if horizon < 1 or (season is not None and season < 2):
        raise ValueError(f"no forecast goes {horizon} steps ahead with a season of {season}")
    if not past.any():
        return Quantiles(chances, np.zeros((horizon, len(chances))), ("nothing was used",))
    known = structural.prior()
    found = structural.fit(past, horizon, season, known)
    width = known.unseen_width if season is None or past.size <= season else 1.0
    rows = intervals.of_mixture(found, structural.log_shares(known, season), known, chances, width=width, positive=positive)
    if season is None or past.size < known.cycles * season:
        return Quantiles(chances, rows, ("structural",))
    try:
        beside = baselines.quantiles("AutoETS", past, horizon, levels, season, positive=positive)
    except ModuleNotFoundError:
        return Quantiles(chances, rows, ("structural", LIGHT))
    except baselines.NoForecast:
        return Quantiles(chances, rows, ("structural",))
    return Quantiles(chances, intervals.averaged((rows, beside), (1 - known.autoets, known.autoets)), ("structural", "AutoETS"))
