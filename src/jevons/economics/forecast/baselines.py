"""AutoETS and AutoTheta as statsforecast keeps them, with their own prediction intervals: what ours is blended with and judged beside.

Comes in: values at even steps, a method's name. Goes out: quantiles, [step, probability]. Raises ModuleNotFoundError where statsforecast
is not installed, `NoForecast` where a method refuses the series. Does not know ours.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

Method = Literal["AutoETS", "AutoTheta"]


class NoForecast(ValueError):
    """The method says nothing about this series: AutoETS of six points and fewer, or an infinite interval."""


def quantiles(
    method: Method,
    past: "Array",
    horizon: int,
    levels: Sequence[float],
    season: int | None,
    *,
    log: bool = False,
    positive: bool = True,
) -> "Array":
    """The median (the method's mean, which it takes for it) and both ends of every level, by ascending probability.

    `log` fits the logarithms, which must be there, and gives their quantiles back in the units of the series.
    """
    import numpy as np  # noqa: PLC0415 - an extra
    from statsforecast.models import AutoETS, AutoTheta  # noqa: PLC0415 - takes seconds

    model = {"AutoETS": AutoETS, "AutoTheta": AutoTheta}[method](season_length=season or 1)
    asked = sorted({float(level) for level in levels}, reverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a division by no degrees of freedom: told below by what is not finite
        try:
            found = model.forecast(y=np.log(past) if log else past, h=horizon, level=asked)
        except (NotImplementedError, ValueError, ZeroDivisionError) as error:
            raise NoForecast(f"{method} of {past.size} points: {error}") from error
    columns = (
        [found[f"lo-{_name(level)}"] for level in asked]
        + [found["mean"]]
        + [found[f"hi-{_name(level)}"] for level in asked[::-1]]
    )
    rows: Array = np.stack(columns, axis=1)
    if not np.isfinite(rows).all():
        raise NoForecast(f"{method} of {past.size} points: its intervals are infinite")
    return np.exp(rows) if log else np.maximum(rows, 0) if positive else rows


def _name(level: float) -> str:
    return f"{level}"
