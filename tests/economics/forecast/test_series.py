"""Series of whole periods out of dated amounts."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.economics.forecast.series import SEASONS, Series, Step, series

TODAY = date(2026, 3, 18)
"""A Wednesday."""


def test_days_are_summed_and_today_is_not_over() -> None:
    pairs = [
        (date(2026, 3, 16), 2.0),
        (date(2026, 3, 14), 1.0),
        (date(2026, 3, 16), 3.0),
        (TODAY, 100.0),
        (date(2026, 4, 1), 7.0),
    ]
    made = series("tokens", pairs, "day", today=TODAY)
    assert made == Series("tokens", "day", date(2026, 3, 14), (1.0, 0.0, 5.0, 0.0))
    assert made.starts(1)[-1] == TODAY


def test_the_current_week_and_month_are_dropped() -> None:
    pairs = [(date(2026, 1, 5) + timedelta(day), 1.0) for day in range(73)]
    assert series("w", pairs, "week", today=TODAY).values == (7.0,) * 10
    months = series("m", pairs, "month", today=TODAY)
    assert months == Series("m", "month", date(2026, 1, 1), (27.0, 28.0))
    assert series("m", pairs, "month", today=TODAY, since=date(2026, 1, 5)).first == date(2026, 2, 1)


def test_nothing_published_is_unknown_and_ends_with_what_is_known() -> None:
    pairs = [(date(2025, 11, 2), 100.0), (date(2026, 1, 30), 400.0)]
    made = series("volume", pairs, "month", today=TODAY, absent="unknown")
    assert made.values == (100.0, None, 400.0)
    assert made.filled() == pytest.approx((100.0, 200.0, 400.0))
    assert series("used", pairs, "month", today=TODAY).values == (100.0, 0.0, 400.0, 0.0)


def test_a_gap_beside_zero_is_filled_evenly() -> None:
    assert Series("s", "day", TODAY, (0.0, None, None, 3.0)).filled() == pytest.approx((0, 1, 2, 3))


def test_no_whole_period_and_no_number() -> None:
    with pytest.raises(ValueError, match="no whole week before 2026-03-18"):
        series("s", [(TODAY, 1.0)], "week", today=TODAY)
    with pytest.raises(ValueError, match="nan on 2026-03-18 is no amount"):
        series("s", [(TODAY, float("nan"))], "day", today=TODAY)


@given(
    st.lists(st.tuples(st.dates(date(2023, 12, 1), date(2026, 3, 1)), st.floats(0, 1e9)), min_size=1, max_size=30),
    st.sampled_from(sorted(SEASONS)),
)
def test_nothing_is_lost_and_periods_follow_each_other(pairs: list[tuple[date, float]], step: Step) -> None:
    made = series("s", pairs, step, today=date(2026, 4, 6))
    assert sum(value or 0.0 for value in made.values) == pytest.approx(sum(amount for _, amount in pairs))
    starts = made.starts(1)
    longest = {"day": 1, "week": 7, "month": 31}[step]
    assert all(timedelta(0) < after - start <= timedelta(longest) for start, after in pairwise(starts))
    assert starts[-1] == {"day": date(2026, 4, 6), "week": date(2026, 4, 6), "month": date(2026, 4, 1)}[step]
