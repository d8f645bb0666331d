"""Windows of time: periods tile time in every zone, whatever its clocks do; lengths and their buckets."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jevons.policy.windows import BUCKET_MS_MAX, CALENDAR, FOREVER, Window, window

HOUR_MS = 3_600_000
PLAIN = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Auckland")
"""Zones whose clocks have never moved at midnight since 1970."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = (
    "UTC",
    "Europe/Zurich",
    "America/Sao_Paulo",  # clocks changed at midnight: days without their first hour
    "America/Havana",  # and back to midnight: the day begins twice
    "America/St_Johns",  # half an hour; until 2011 clocks went back from 00:01 to 23:01 of the day before
    "Asia/Kolkata",
    "Asia/Kathmandu",  # 05:45
    "Pacific/Auckland",
    "Pacific/Chatham",  # 12:45 and 13:45
    "Pacific/Apia",  # a whole day left out
    "Australia/Lord_Howe",  # clocks move by half an hour
    "Antarctica/Casey",  # back by three hours, over midnight
    "America/Caracas",  # half an hour forward, once, in the middle of an hour
    "Africa/Monrovia",  # 44 minutes and 30 seconds, once
)


def unix_ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return (at.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def changes_of(zone: str) -> list[int]:
    """Every instant from 1970 to 2037 at which the clocks of a zone move, Unix milliseconds."""

    def offset(second: int) -> timedelta | None:
        return (EPOCH + timedelta(seconds=second)).astimezone(ZoneInfo(zone)).utcoffset()

    found, step = [], 10 * 86_400
    for later in range(step, 2_145_916_800, step):
        low, high = later - step, later
        if offset(low) == offset(high):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offset(later - step) else (low, middle)
        found.append(high * 1000)
    return found


CHANGES = [(zone, change) for zone in ZONES for change in changes_of(zone)]
anywhere = st.tuples(st.sampled_from(ZONES), st.integers(0, unix_ms("2100-01-01")))
near_a_change = st.builds(
    lambda change, by: (change[0], max(0, change[1] + by)),
    st.sampled_from(CHANGES),
    st.sampled_from((-1, 0, 1)) | st.integers(-3 * HOUR_MS, 3 * HOUR_MS) | st.integers(-40 * 24 * HOUR_MS, 40 * 24 * HOUR_MS),
)


@given(st.sampled_from(CALENDAR), anywhere | near_a_change)
@example("hour", ("Australia/Lord_Howe", unix_ms("2025-04-06T01:45", "Australia/Lord_Howe", fold=1)))
@example("hour", ("Australia/Lord_Howe", unix_ms("2025-10-05T02:30", "Australia/Lord_Howe")))
@example("day", ("America/St_Johns", unix_ms("2010-11-06T23:30", "America/St_Johns", fold=1)))
def test_every_instant_is_in_one_period_and_periods_leave_no_gap(name: str, where: tuple[str, int]) -> None:
    zone, at_ms = where
    kind = window(name, zone)
    start_ms, end_ms = period = kind.period(at_ms)
    assert start_ms <= at_ms < end_ms
    assert kind.period(start_ms) == kind.period((start_ms + at_ms) // 2) == kind.period((at_ms + end_ms) // 2) == period
    assert kind.period(end_ms - 1) == period
    assert kind.period(end_ms).start_ms == end_ms
    assert kind.period(start_ms - 1).end_ms == start_ms


@given(st.sampled_from(CALENDAR), st.sampled_from(PLAIN), st.integers(0, unix_ms("2100-01-01")))
def test_a_period_begins_at_the_first_midnight_of_its_days(name: str, zone: str, at_ms: int) -> None:
    start_ms, end_ms = window(name, zone).period(at_ms)
    start, end, at = ((EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(zone)) for ms in (start_ms, end_ms, at_ms))
    assert (start.minute, start.second, start.microsecond) == (0, 0, 0)
    if name == "hour":
        assert (start.date(), start.hour, end_ms - start_ms) == (at.date(), at.hour, HOUR_MS)
        return
    assert start.hour == end.hour == 0
    assert start.date() <= at.date() < end.date()
    first, next_first = {
        "day": (at.date(), at.date() + timedelta(days=1)),
        "week": (at.date() - timedelta(days=at.weekday()), at.date() + timedelta(days=7 - at.weekday())),
        "month": (at.date().replace(day=1), (at.date().replace(day=28) + timedelta(days=4)).replace(day=1)),
        "year": (at.date().replace(month=1, day=1), at.date().replace(year=at.year + 1, month=1, day=1)),
    }[name]
    assert (start.date(), end.date()) == (first, next_first)


@pytest.mark.parametrize(
    ("name", "zone", "at", "start", "end", "hours"),
    [
        ("day", "UTC", "2026-11-22T12:00", "2026-11-22", "2026-11-23", 24),
        ("day", "Europe/Zurich", "2026-03-29T12:00", "2026-03-29", "2026-03-30", 23),
        ("day", "Europe/Zurich", "2026-10-25T12:00", "2026-10-25", "2026-10-26", 25),
        ("week", "Europe/Zurich", "2026-10-25T23:59:59.999", "2026-10-19", "2026-10-26", 169),
        ("week", "Europe/Zurich", "2026-10-26T00:00", "2026-10-26", "2026-11-02", 168),
        ("week", "Pacific/Auckland", "2027-01-01T00:00", "2026-12-28", "2027-01-04", 168),
        ("month", "Europe/Zurich", "2026-03-31T23:59", "2026-03-01", "2026-04-01", 31 * 24 - 1),
        ("month", "UTC", "2028-02-29T10:00", "2028-02-01", "2028-03-01", 29 * 24),
        ("month", "UTC", "2100-02-28T10:00", "2100-02-01", "2100-03-01", 28 * 24),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01", "2027-01-01", 31 * 24),
        ("year", "UTC", "2028-12-31T00:00", "2028-01-01", "2029-01-01", 366 * 24),
        ("year", "Pacific/Auckland", "2027-06-01T00:00", "2027-01-01", "2028-01-01", 365 * 24),
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00", "2018-11-05", 23),  # there was no midnight
        ("day", "America/Sao_Paulo", "2018-02-17T12:00", "2018-02-17", "2018-02-18", 25),  # 23:00 came twice
        ("day", "America/Havana", "2026-11-01T12:00", "2026-11-01", "2026-11-02", 25),  # midnight came twice
        ("day", "Pacific/Auckland", "2026-04-05T12:00", "2026-04-05", "2026-04-06", 25),
        ("day", "Asia/Kolkata", "2026-11-22T00:00", "2026-11-22", "2026-11-23", 24),
        ("day", "Pacific/Apia", "2011-12-29T12:00", "2011-12-29", "2011-12-31", 24),  # there was no 30th
        ("hour", "Asia/Kolkata", "2026-11-22T10:59:59", "2026-11-22T10:00", "2026-11-22T11:00", 1),
        ("hour", "Europe/Zurich", "2026-03-29T03:30", "2026-03-29T03:00", "2026-03-29T04:00", 1),
        ("hour", "Australia/Lord_Howe", "2025-10-05T02:45", "2025-10-05T02:30", "2025-10-05T03:00", 0.5),
        ("hour", "Australia/Lord_Howe", "2025-10-05T01:45", "2025-10-05T01:00", "2025-10-05T02:00", 1),
        ("hour", "America/Caracas", "2016-05-01T02:15", "2016-05-01T02:00", "2016-05-01T03:00", 0.5),
    ],
)
def test_periods_by_the_wall_clock(name: str, zone: str, at: str, start: str, end: str, hours: float) -> None:
    period = window(name, zone).period(unix_ms(at, zone))
    assert period == (unix_ms(start, zone), unix_ms(end, zone))
    assert period.end_ms - period.start_ms == hours * HOUR_MS


def test_an_hour_that_comes_twice_is_two_hours() -> None:
    zone = "Europe/Zurich"
    first, second = unix_ms("2026-10-25T02:30", zone), unix_ms("2026-10-25T02:30", zone, fold=1)
    hours = window("hour", zone)
    assert hours.period(first).end_ms == hours.period(second).start_ms == first + HOUR_MS // 2
    half = "Australia/Lord_Howe"  # 01:30 to 02:00 comes twice: the second time it is an hour of thirty minutes
    again = window("hour", half).period(unix_ms("2025-04-06T01:45", half, fold=1))
    assert again == (unix_ms("2025-04-06T01:30", half, fold=1), unix_ms("2025-04-06T02:00", half))
    assert again.end_ms - again.start_ms == HOUR_MS // 2


def test_milliseconds_are_told_apart() -> None:
    days = window("day", "Europe/Zurich")
    border = unix_ms("2026-11-23", "Europe/Zurich")
    assert days.period(border - 1).end_ms == border == days.period(border).start_ms


@pytest.mark.parametrize(
    ("name", "length_ms", "bucket_ms"),
    [
        ("1s", 1_000, 16),
        ("59s", 59_000, 983),
        ("1m", 60_000, 1_000),
        ("5m", 300_000, 5_000),
        ("1h", HOUR_MS, BUCKET_MS_MAX),
        ("24h", 24 * HOUR_MS, BUCKET_MS_MAX),
        ("31d", 31 * 24 * HOUR_MS, BUCKET_MS_MAX),
    ],
)
def test_rolling_windows(name: str, length_ms: int, bucket_ms: int) -> None:
    rolling = window(name)
    assert (rolling.rolling_ms, rolling.bucket_ms) == (length_ms, bucket_ms)
    assert rolling.bucket_ms * 60 <= rolling.rolling_ms
    assert rolling.period(unix_ms("2026-11-22")) == FOREVER


@pytest.mark.parametrize("name", ["total", "run"])
def test_all_of_time_is_one_period(name: str) -> None:
    assert window(name).period(0) == window(name).period(2**62) == FOREVER
    assert window(name).rolling_ms == 0 and window(name, "Asia/Kolkata") == Window(name, ZoneInfo("Asia/Kolkata"))


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        (
            "fortnight",
            "UTC",
            "per = 'fortnight' is not a window; write total, run, hour, day, week, month, year, or a length such as 5m",
        ),
        ("0m", "UTC", "'0m' is not a window"),
        ("-5m", "UTC", "'-5m' is not a window"),
        ("5 m", "UTC", "'5 m' is not a window"),
        ("1.5h", "UTC", "'1.5h' is not a window"),
        ("Day", "UTC", "'Day' is not a window"),
        ("", "UTC", "'' is not a window"),
        ("32d", "UTC", "per = '32d': a rolling window is from 1s to 31d long"),
        ("45000m", "UTC", "from 1s to 31d long"),
        ("day", "Europe/Bern", "timezone 'Europe/Bern' is not known; write for example Europe/Zurich or UTC"),
        ("day", "Europe", "timezone 'Europe' is not known"),
        ("day", "", "timezone '' is not known"),
        ("day", "../../etc/passwd", "timezone '../../etc/passwd' is not known"),
        ("day", "/etc/localtime", "timezone '/etc/localtime' is not known"),
        ("day", "Europe/Zurich\0", "is not known"),
    ],
)
def test_what_is_no_window_says_what_one_is(name: str, zone: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        window(name, zone)
