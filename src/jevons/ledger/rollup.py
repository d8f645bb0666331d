"""Hourly and daily sums, kept up in the same transaction as the entries they sum, so that no page ever counts entries.

An entry belongs to the hour and the (UTC) day of its admission.
"""

import apsw

from jevons.core.entry import Entry, Estimate, admitted_ms

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
MEASURES = (
    "entries",
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "list_nusd",
    "billed_nusd",
    "estimated_nusd",
)


class Rollup:
    """Sums of one batch, by (hour, key, upstream, target)."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int, str, str], list[int]] = {}

    def add(self, entry: Entry) -> None:
        hold, usage = entry.hold, entry.usage
        group = (admitted_ms(hold.id) // HOUR_MS, hold.key_id, hold.upstream, hold.target)
        sums = self._sums.get(group)
        if sums is None:
            sums = self._sums[group] = [0] * len(MEASURES)
        sums[0] += 1
        sums[1] += usage.input
        sums[2] += usage.cache_read
        sums[3] += usage.cache_write_5m
        sums[4] += usage.cache_write_1h
        sums[5] += usage.output
        sums[6] += usage.reasoning
        sums[7] += entry.list_nusd
        sums[8] += entry.billed_nusd
        if entry.estimate is not Estimate.NONE:
            sums[9] += entry.billed_nusd

    def write(self, db: apsw.Connection) -> None:
        for (hour, *rest), sums in self._sums.items():
            db.execute(_UPSERT_HOUR, (hour, *rest, *sums))
            db.execute(_UPSERT_DAY, (hour // 24, *rest, *sums))


def _upsert(table: str, period: str) -> str:
    added = ", ".join(f"{m} = {m} + excluded.{m}" for m in MEASURES)
    return (
        f"INSERT INTO {table} ({period}, key_id, upstream, target, {', '.join(MEASURES)}) VALUES ({', '.join('?' * (4 + len(MEASURES)))})"
        f" ON CONFLICT DO UPDATE SET {added}"
    )


_UPSERT_HOUR = _upsert("rollup_hour", "hour")
_UPSERT_DAY = _upsert("rollup_day", "day")
