"""Forecasts of short series: what must hold of any, and what a known future looks like in them."""

import math
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.economics.forecast.blend import FEWEST, LEVELS, LIGHT, TooShort, forecast, probabilities
from jevons.economics.forecast.scores import coverage

usages = st.sampled_from([FEWEST, 9, 15]).flatmap(
    lambda count: st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e9)), min_size=count, max_size=count)
)


def test_levels_become_quantiles_around_the_median() -> None:
    assert probabilities(LEVELS) == (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    found = forecast([3, 4, 3, 5, 4, 6, 5], 3, levels=(80,))
    assert found.probabilities == (0.1, 0.5, 0.9) and found.values.shape == (3, 3)
    low, high = found.interval(80)
    assert (low < found.median).all() and (found.median < high).all()


@given(usages, st.sampled_from([None, 7]))
@settings(max_examples=25, deadline=None)
def test_quantiles_ascend_are_finite_and_never_below_zero(values: list[float], season: int | None) -> None:
    rows = forecast(values, 4, season=season).values
    assert np.isfinite(rows).all() and (rows >= 0).all()
    assert (np.diff(rows, axis=1) >= 0).all()


@given(st.lists(st.floats(1, 1e3), min_size=10, max_size=10), st.sampled_from([1e-6, 1e-9 * 7, 1e12]))
@settings(max_examples=25, deadline=None)
def test_the_unit_does_not_matter(values: list[float], unit: float) -> None:
    assert forecast([value * unit for value in values], 3).values == pytest.approx(unit * forecast(values, 3).values, rel=1e-6)


def test_the_same_past_gives_the_same_forecast() -> None:
    past = [Random(3).uniform(1, 9) for _ in range(40)]
    assert (forecast(past, 6, season=7).values == forecast(past, 6, season=7).values).all()


def test_growth_goes_on_but_is_damped() -> None:
    found = forecast([100 * 1.2**week for week in range(12)], 8)
    assert 100 * 1.2**11.5 < found.median[0] < 100 * 1.2**12.1
    assert 100 * 1.2**13 < found.median[-1] < 100 * 1.2**18
    assert (np.diff(np.log(found.interval(80)[1] / found.interval(80)[0])) > 0).all(), "less is known of later"


def test_a_rise_and_a_fall_are_treated_alike() -> None:
    rise = forecast([10.0] * 8 + [30.0] * 3, 1)
    fall = forecast([30.0] * 8 + [10.0] * 3, 1)
    assert math.log(rise.median[0] / 30) == pytest.approx(-math.log(fall.median[0] / 10), abs=0.1)


def test_a_week_is_found_after_two_of_them() -> None:
    week = [100, 110, 105, 108, 95, 20, 15]
    random = Random(5)
    found = forecast([day * random.uniform(0.95, 1.05) for day in week * 2], 7, season=7)
    assert found.models == ("structural",)
    assert all(low < day < high for day, low, high in zip(week, *found.interval(95), strict=True))
    assert found.median[5] < 0.5 * found.median[1]


def test_from_three_weeks_on_autoets_is_averaged_in() -> None:
    random = Random(6)
    past = [day * random.uniform(0.9, 1.1) for day in (10, 11, 12, 11, 9, 3, 2) * 3]
    assert forecast(past, 2, season=7).models == ("structural", "AutoETS")
    assert forecast(past[1:], 2, season=7).models == ("structural",)


def test_without_statsforecast_it_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    found = forecast([float(4 + day % 7) for day in range(21)], 2, season=7)
    assert found.models == ("structural", LIGHT) and np.isfinite(found.values).all()


def test_intervals_hold_what_they_say_on_walks() -> None:
    """200 walks of 12 to 30 steps with drift: 80 % intervals hold 74 to 90 %, 50 % ones less, 95 % ones more."""
    random = Random(8)
    ends: dict[int, list[tuple[float, float]]] = {level: [] for level in LEVELS}
    truths = []
    for _ in range(200):
        steps = [random.gauss(0.02, 0.15) for _ in range(random.randrange(12, 31))]
        path = [math.exp(sum(steps[: place + 1])) for place in range(len(steps))]
        found = forecast(path[:-2], 2)
        truths += path[-2:]
        for level in LEVELS:
            ends[level] += zip(*(side.tolist() for side in found.interval(level)), strict=True)
    fifty, eighty, ninety_five = (coverage(ends[level], truths) for level in LEVELS)
    assert 0.74 < eighty < 0.9 and fifty < 0.65 < 0.9 < ninety_five


def test_nothing_used_stays_nothing_and_a_constant_stays_itself() -> None:
    nothing = forecast([0] * 9, 2)
    assert not nothing.values.any() and nothing.models == ("nothing was used",)
    assert forecast([5] * 9, 2).median == pytest.approx([5, 5])


def test_what_may_be_negative_is() -> None:
    found = forecast([-3, 1, -2, 4, -1, -4, 2, -3], 2, positive=False)
    assert found.values[0, 0] < 0


def test_too_short_and_no_series() -> None:
    with pytest.raises(TooShort, match="5 points are too few for a forecast: it takes 6"):
        forecast([1, 2, 3, 4, 5], 2)
    with pytest.raises(ValueError, match="none of them below zero"):
        forecast([1, 2, 3, -4, 5, 6], 2)
    with pytest.raises(ValueError, match="takes numbers"):
        forecast([1, 2, 3, math.nan, 5, 6], 2, positive=False)
    with pytest.raises(ValueError, match="0 steps ahead"):
        forecast([1] * 8, 0)
