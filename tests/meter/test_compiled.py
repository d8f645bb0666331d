"""Periods and match clauses: the rules a compiled book is read by."""

from hypothesis import given
from hypothesis import strategies as st

from jevons.meter.compiled import DAY_MS, EVER_MS, Clause, Period

HOUR = DAY_MS // 24
of_day = st.integers(0, 23).map(lambda hour: hour * HOUR)
instant = st.integers(19_000 * 24, 19_003 * 24).map(lambda hour: hour * HOUR)
periods = st.builds(
    Period,
    st.one_of(st.just(-EVER_MS), instant),
    st.one_of(st.just(EVER_MS), instant),
    st.one_of(st.just(-1), of_day),
    of_day,
)


@given(period=periods, at_ms=instant, nudge=st.integers(-1, 1))
def test_nothing_changes_between_two_borders(period: Period, at_ms: int, nudge: int) -> None:
    at_ms += nudge
    before, after = period.borders(at_ms)
    assert before <= at_ms < after
    for moment in (before, (max(before, at_ms - DAY_MS) + at_ms) // 2, (at_ms + min(after, at_ms + DAY_MS)) // 2, after - 1):
        assert period.active(moment) == period.active(at_ms) or abs(moment) >= EVER_MS - 1


@given(start=of_day, end=of_day, at_ms=instant)
def test_a_daily_period_and_its_rest_make_the_day(start: int, end: int, at_ms: int) -> None:
    day, rest = Period(start_ms=start, end_ms=end), Period(start_ms=end, end_ms=start)
    if start == end:
        assert not day.active(at_ms)  # as genai-prices has it
    else:
        assert day.active(at_ms) != rest.active(at_ms)


def test_clauses() -> None:
    yes, no = Clause("equals", "a-b"), Clause("contains", "x")
    assert yes.matches("a-b")
    assert not yes.matches("a-b-c")
    assert Clause("starts_with", "a-").matches("a-b")
    assert Clause("ends_with", "-b").matches("a-b")
    assert Clause("or", "", (no, yes)).matches("a-b")
    assert not Clause("and", "", (no, yes)).matches("a-b")
    assert Clause("and", "", ()).matches("a-b")
    assert Clause("regex", r"-\w$").matches("a-b")
    assert not Clause("regex", r"^\w$").matches("a-b")
