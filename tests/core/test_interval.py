"""The interval of a share, against published figures."""

import pytest

from jevons.core.interval import wilson


def test_wilson() -> None:
    """Newcombe 1998, table I: 81 of 263. statsmodels: proportion_confint(10, 100, method="wilson")."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(10, 100) == pytest.approx((0.05523, 0.17437), abs=1e-4)
    assert wilson(0, 0) == (0, 1) and wilson(0, 10)[0] == pytest.approx(0)
