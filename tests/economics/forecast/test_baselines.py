"""AutoETS and AutoTheta as the library gives them: their columns in order, their refusals told."""

import numpy as np
import pytest

from jevons.economics.forecast.baselines import Method, NoForecast, quantiles

PAST = np.array([12, 14, 11, 15, 17, 16, 19, 18, 21, 20, 24, 22], dtype=float)


@pytest.mark.parametrize("method", ["AutoETS", "AutoTheta"])
@pytest.mark.parametrize("log", [False, True])
def test_quantiles_ascend(method: Method, log: bool) -> None:
    rows = quantiles(method, PAST, 3, (50, 80, 95), None, log=log)
    assert rows.shape == (3, 7) and (np.diff(rows, axis=1) > 0).all()
    assert 15 < rows[0, 3] < 35


def test_what_autoets_refuses_or_knows_no_width_of() -> None:
    with pytest.raises(NoForecast, match="AutoETS of 6 points: tiny datasets"):
        quantiles("AutoETS", PAST[:6], 2, (80,), None)


def test_below_zero_lies_zero() -> None:
    falling = np.array([30, 24, 19, 15, 10, 6, 3, 1, 0.5], dtype=float)
    assert quantiles("AutoTheta", falling, 6, (95,), None).min() == 0
    assert quantiles("AutoTheta", falling, 6, (95,), None, positive=False).min() < 0
