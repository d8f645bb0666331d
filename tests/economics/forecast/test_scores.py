"""The weighted interval score against values worked by hand, and what must hold of any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.economics.forecast.scores import coverage, interval_score, pinball, wis

THREE = (0.1, 0.5, 0.9)
numbers = st.floats(-1e6, 1e6)
rows = st.lists(numbers, min_size=7, max_size=7).map(sorted)
SEVEN = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


def test_a_quantile_is_charged_by_its_side() -> None:
    assert pinball(0.9, 10, 14) == pytest.approx(3.6)
    assert pinball(0.9, 10, 6) == pytest.approx(0.4)
    assert pinball(0.9, 10, 10) == 0


def test_an_interval_pays_its_width_and_ten_times_a_miss_at_80_percent() -> None:
    assert interval_score(80, 8, 13, 10) == 5
    assert interval_score(80, 8, 13, 15) == pytest.approx(5 + 10 * 2)
    assert interval_score(80, 8, 13, 7) == pytest.approx(5 + 10 * 1)
    assert interval_score(50, 8, 13, 7) == pytest.approx(5 + 4 * 1)


def test_by_hand_one_interval() -> None:
    """(|12 − 10| / 2 + 0.2 / 2 × (13 − 8)) / 1.5 = 1; outside: (|15 − 10| / 2 + 0.1 × 25) / 1.5 = 10 / 3."""
    assert wis(THREE, (8, 10, 13), 12) == pytest.approx(1.0)
    assert wis(THREE, (8, 10, 13), 15) == pytest.approx(10 / 3)


def test_by_hand_three_intervals() -> None:
    """Truth 21: |21 − 20| / 2; 50 %: 0.25 × 4; 80 %: 0.1 × (10 + 10 × 0); 95 %: 0.025 × 20; sum 3, over 3.5."""
    assert wis(SEVEN, (10, 15, 18, 20, 22, 25, 30), 21) == pytest.approx(3.0 / 3.5)


@given(rows, numbers)
def test_it_is_the_weighted_sum_of_the_interval_scores(row: list[float], truth: float) -> None:
    parts = [(100 - level) / 200 * interval_score(level, row[k], row[-1 - k], truth) for k, level in enumerate((95, 80, 50))]
    assert wis(SEVEN, row, truth) == pytest.approx((abs(truth - row[3]) / 2 + sum(parts)) / 3.5, rel=1e-6, abs=1e-6)


@given(numbers, numbers)
def test_a_point_forecast_is_charged_its_absolute_error(point: float, truth: float) -> None:
    assert wis(SEVEN, [point] * 7, truth) == pytest.approx(abs(truth - point), abs=1e-6)


@given(rows, numbers, st.floats(0.01, 100))
def test_it_is_in_the_units_of_the_series(row: list[float], truth: float, factor: float) -> None:
    times = wis(SEVEN, [factor * value for value in row], factor * truth)
    assert times == pytest.approx(factor * wis(SEVEN, row, truth), rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("probabilities", [(0.1, 0.9), (0.1, 0.5), (0.1, 0.5, 0.8)])
def test_quantiles_that_are_no_median_with_intervals(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="takes a median and central intervals"):
        wis(probabilities, [0.0] * len(probabilities), 1)


def test_coverage_counts_the_ends() -> None:
    assert coverage([(0, 1), (0, 1), (2, 3), (2, 3)], [0, 1.5, 3, 9]) == 0.5
    with pytest.raises(ValueError, match="no forecast"):
        coverage([], [])
