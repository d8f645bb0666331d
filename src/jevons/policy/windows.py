"""Windows of time that limits count in: pure arithmetic over Unix milliseconds.

A calendar window is an account of its own for each period (each day, each month) in a time zone. A rolling window is one account whose
parts expire: buckets of a minute at most, each counted until its last instant is out of the window ("expired late").
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

CALENDAR = ("hour", "day", "week", "month", "year")
BUCKET_MS_MAX = 60_000
BUCKETS_MIN = 60
"""A rolling window shorter than an hour has finer buckets than a minute: this many."""
ROLLING_MIN_MS = 1_000
ROLLING_MAX_MS = 31 * 86_400_000
"""What the minute rollups (kept 32 days) can rebuild after a restart."""

_ROLLING = re.compile(r"([1-9]\d{0,5})([smhd])")
_DAYS_TO_NEXT = {"day": 1, "week": 7, "month": 32, "year": 367}
"""From the start of a period this many days lead into the next one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_MS = 3_600_000
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Period(NamedTuple):
    """One calendar window, Unix milliseconds; `end_ms` is its first instant after."""

    start_ms: int
    end_ms: int


FOREVER = Period(0, 2**63 - 1)


class Window(msgspec.Struct, frozen=True):
    """`name`: "total", "run", a calendar word, or a length such as "5m", "24h", "7d". `zone` counts for calendar windows."""

    name: str = "total"
    zone: tzinfo = UTC

    @property
    def rolling_ms(self) -> int:
        """Length of a rolling window, 0 for the others."""
        match = _ROLLING.fullmatch(self.name)
        return int(match[1]) * _UNIT_MS[match[2]] if match else 0

    @property
    def bucket_ms(self) -> int:
        """Width of a rolling window's buckets."""
        return max(1, min(BUCKET_MS_MAX, self.rolling_ms // BUCKETS_MIN))

    def period(self, at_ms: int) -> Period:
        """The account period that an instant belongs to; all of time for a window that is not of the calendar."""
        if self.name not in CALENDAR:
            return FOREVER
        if self.name == "hour":
            return _hour(at_ms, self.zone)
        to_next = timedelta(days=_DAYS_TO_NEXT[self.name])
        start = _start_of(self.name, _local(at_ms, self.zone))
        after = _start_of(self.name, start + to_next)
        if _unix_ms(after) <= at_ms:  # clocks went back over midnight: the day that had begun goes on
            start, after = after, _start_of(self.name, after + to_next)
        return Period(_unix_ms(start), _unix_ms(after))


def window(name: str, zone: str = "UTC") -> Window:
    """Raises ValueError that says what is expected."""
    try:
        place: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"timezone {zone!r} is not known; write for example Europe/Zurich or UTC") from None
    found = Window(name, place)
    if name in ("total", "run", *CALENDAR):
        return found
    if not found.rolling_ms:
        raise ValueError(
            f"per = {name!r} is not a window; write total, run, {', '.join(CALENDAR)}, or a length such as 5m, 24h, 7d"
        )
    if not ROLLING_MIN_MS <= found.rolling_ms <= ROLLING_MAX_MS:
        raise ValueError(f"per = {name!r}: a rolling window is from 1s to 31d long")
    return found


def _hour(at_ms: int, zone: tzinfo) -> Period:
    """An hour of real time: where clocks go back an hour comes twice, and each is one of its own.

    Where they move by a part of an hour (Lord Howe), an hour ends with the old time and another begins with the new.
    """
    past = _past_hour(at_ms, zone)
    start_ms, last_ms = at_ms - past, at_ms - past + _HOUR_MS - 1
    if _past_hour(start_ms, zone):
        start_ms = _first(start_ms, at_ms, lambda ms: _past_hour(ms, zone) == past - (at_ms - ms))
    if _past_hour(last_ms, zone) != _HOUR_MS - 1:
        last_ms = _first(at_ms, last_ms, lambda ms: _past_hour(ms, zone) != past + (ms - at_ms)) - 1
    return Period(start_ms, last_ms + 1)


def _past_hour(at_ms: int, zone: tzinfo) -> int:
    """Milliseconds since the wall clock was last at minute 0."""
    at = _local(at_ms, zone)
    return (at.minute * 60 + at.second) * 1000 + at_ms % 1000


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number at which it holds, if it does at `high`, not at `low`, and from somewhere between on."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


def _start_of(name: str, at: datetime) -> datetime:
    """Midnight (wall clock of the zone) of the period's first day; datetime resolves what a change of the clock leaves open."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match name:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day


def _unix_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
