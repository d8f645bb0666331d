"""Quantiles of what many models say together, and how wide they are.

Comes in: a mixture of models' forecasts with the prior's shares, or quantiles that are there. Goes out: quantiles, [step, probability],
ascending in a row. Does not know how models were fitted.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from jevons.economics.fits import student_t
from jevons.economics.forecast.structural import Mixture, Prior

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

KEPT = 0.999
"""Models that hold together so much of the weight; the others, most of them, are left out."""
PARTS = 99
"""Every Student's t stands for itself by so many quantiles of equal weight."""


def of_mixture(
    found: Mixture,
    log_shares: "Array",
    known: Prior,
    probabilities: Sequence[float],
    *,
    width: float = 1.0,
    positive: bool = True,
) -> "Array":
    """Quantiles of the weighted mixture, in the units of the series. A model's weight is its prior share times its evidence;
    every model's own spread is taken `width` times, on its own scale."""
    import numpy as np  # noqa: PLC0415 - an extra

    log_weight = (found.log_evidence + log_shares).ravel()
    weight = np.exp(log_weight - log_weight.max())
    order = np.argsort(-weight, kind="stable")
    total = weight[order].cumsum()
    order = order[: int(np.searchsorted(total, KEPT * total[-1])) + 1]
    powers = np.repeat([scale.power for scale in known.power], found.centre.shape[1])[order]
    horizon = found.centre.shape[2]
    centre, spread = (part.reshape(-1, horizon)[order] for part in (found.centre, found.spread))
    values = centre[:, :, None] + width * spread[:, :, None] * np.array(_t_parts(found.degrees))
    for power in np.unique(powers):
        values[powers == power] = _unscaled(values[powers == power], float(power))
    values = np.moveaxis(values, 1, 0).reshape(horizon, -1)
    weights = np.repeat(weight[order], PARTS)
    rows = np.empty((horizon, len(probabilities)))
    for step in range(horizon):
        place = np.argsort(values[step], kind="stable")
        below = weights[place].cumsum() - weights[place] / 2
        rows[step] = np.interp(probabilities, below / weights.sum(), values[step][place])
    rows *= found.unit
    return np.maximum(rows, 0) if positive else rows


def averaged(rows: "Sequence[Array]", shares: Sequence[float]) -> "Array":
    """Vincent's average: the weighted mean of each quantile. Lichtendahl, Grushka-Cockayne, Winkler 2013, Management Science 59(7)."""
    import numpy as np  # noqa: PLC0415

    return np.average(np.stack(rows), axis=0, weights=shares)


def _unscaled(values: "Array", power: float) -> "Array":
    """From a scale of Box and Cox back; below what a root can reach lies zero. As it is (1), values may be negative."""
    import numpy as np  # noqa: PLC0415

    if power == 0:
        return np.exp(np.minimum(values, 700))
    return 1 + values if power == 1 else np.maximum(1 + power * values, 0) ** (1 / power)


@lru_cache(maxsize=256)
def _t_parts(degrees: int) -> tuple[float, ...]:
    """Student's t at the middles of `PARTS` equal shares."""
    upper = [student_t((PARTS + 2 + 2 * place) / (2 * PARTS), degrees) for place in range(PARTS // 2)]
    return (*(-value for value in reversed(upper)), 0.0, *upper)
