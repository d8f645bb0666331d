"""Where a short series of usage goes next, as quantiles: a few plain models together, their width calibrated on their own past errors.

Comes in: values of one series at even steps, oldest first, and how many steps ahead. Goes out: `Quantiles`, a row per step. Raises
`TooShort` where the past is too short to say anything: the caller then has only priors. Does not know: dates, prices, why usage grows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

LEVELS = (50, 80, 95)
"""Central intervals, in percent, that scores and pictures use."""
FEWEST = 6
"""Points below which nothing is said: five steps are too few to tell a trend from its scatter."""


class TooShort(ValueError):
    """The series has fewer than `FEWEST` points."""


class Quantiles(NamedTuple):
    """A forecast: for every step ahead, the value that the truth stays under with each probability."""

    probabilities: tuple[float, ...]
    """Ascending, 0.5 among them: of levels 50, 80, 95 these are 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975."""
    values: "NDArray[float64]"
    """[horizon, probability], ascending in a row; in the units of the series."""
    models: tuple[str, ...]
    """What was blended. One that begins with "light" says that statsforecast is not installed."""

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
    """The next `horizon` steps of a series at even steps, oldest first, without gaps (`series.Series` makes such).

    `season` is the length of a cycle in steps (7 of days, 12 of months), None for none; it counts where two whole cycles are there.
    `positive` says that the series cannot fall below zero: the forecast then does not either. The same values give the same quantiles.
    """
    import numpy as np

    past = np.asarray(values, dtype=float)
    if past.size < FEWEST:
        raise TooShort(f"{past.size} points are too few for a forecast: it takes {FEWEST}")
    raise_log = positive and bool((past > 0).all())
    scale = np.log(past) if raise_log else past
    steps = np.diff(scale)
    ahead = np.arange(1, horizon + 1)
    from statistics import NormalDist

    chances = probabilities(levels)
    z = np.array([NormalDist().inv_cdf(chance) for chance in chances])
    spread = steps.std(ddof=1) * np.sqrt(ahead)
    found = (scale[-1] + 0.5 * steps.mean() * ahead)[:, None] + spread[:, None] * z
    found = np.exp(found) if raise_log else found
    return Quantiles(chances, np.maximum(found, 0) if positive else found, ("light drift",))
