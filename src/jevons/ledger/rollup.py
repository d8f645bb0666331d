"""Sums by the minute, hour and day, and by run, kept up in the same transaction as the entries they sum: no page ever counts entries.

An entry belongs to the minute, hour and (UTC) day of its admission.
"""

import apsw

from jevons.core.entry import ATTEMPT_BITS, Entry, Estimate, admitted_ms
from jevons.policy.amounts import is_step

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
MINUTES_KEPT = 32 * 24 * 60
"""How far back the sums by the minute go: the longest rolling window, and a month in any time zone."""
MEASURES = (
    "entries",
    "steps",
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
STEP = f"(id & {2**ATTEMPT_BITS - 1} = 0 AND outcome NOT IN ('void', 'free'))"
"""Is an entry a step? As `policy.amounts.is_step` says, in SQL."""
OF_ENTRIES = {
    **{measure: f"sum({measure})" for measure in MEASURES},
    "entries": "count(*)",
    "steps": f"sum({STEP})",
    "estimated_nusd": "sum(iif(estimate <> '', billed_nusd, 0))",
}
"""Each measure as SQL over the entries themselves."""
_ZERO = (0,) * len(MEASURES)


class Rollup:
    """Sums of one batch: by (minute, key, agent, upstream, target), and by run."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int, str, str, str], list[int]] = {}
        self._runs: dict[tuple[int, str], _RunSums] = {}

    def add(self, entry: Entry) -> None:
        hold, usage = entry.hold, entry.usage
        at_ms = admitted_ms(hold.id)
        added = (
            1,
            int(is_step(entry)),
            usage.input,
            usage.cache_read,
            usage.cache_write_5m,
            usage.cache_write_1h,
            usage.output,
            usage.reasoning,
            entry.list_nusd,
            entry.billed_nusd,
            entry.billed_nusd if entry.estimate is not Estimate.NONE else 0,
        )
        group = (at_ms // MINUTE_MS, hold.key_id, hold.agent, hold.upstream, hold.target)
        self._sums[group] = [a + b for a, b in zip(self._sums.get(group, _ZERO), added, strict=True)]
        if hold.run_id is not None:
            run = self._runs.get((hold.key_id, hold.run_id))
            if run is None:
                run = self._runs[hold.key_id, hold.run_id] = _RunSums(entry, at_ms)
            run.add(at_ms, added)

    def write(self, db: apsw.Connection) -> None:
        hours: dict[tuple[int, int, str, str, str], list[int]] = {}
        for (minute, key_id, agent, upstream, target), sums in self._sums.items():
            db.execute(_UPSERT_MINUTE, (minute, key_id, agent, upstream, target, *sums))
            group = (minute // 60, key_id, agent, upstream, target)
            hours[group] = [a + b for a, b in zip(hours.get(group, _ZERO), sums, strict=True)]
        for (hour, *rest), sums in hours.items():
            db.execute(_UPSERT_HOUR, (hour, *rest, *sums))
            db.execute(_UPSERT_DAY, (hour // 24, *rest, *sums))
        for (key_id, run_id), run in self._runs.items():
            db.execute(_UPSERT_RUN, (key_id, run_id, *run.said, run.first_ms, run.last_ms, *run.sums))


class _RunSums:
    """One run's part of a batch."""

    def __init__(self, entry: Entry, at_ms: int) -> None:
        hold = entry.hold
        self.said = (hold.parent_run_id, hold.agent, hold.run_source)
        self.first_ms = self.last_ms = at_ms
        self.sums: list[int] = list(_ZERO)

    def add(self, at_ms: int, added: tuple[int, ...]) -> None:
        self.first_ms, self.last_ms = min(self.first_ms, at_ms), max(self.last_ms, at_ms)
        self.sums = [a + b for a, b in zip(self.sums, added, strict=True)]


def _upsert(table: str, period: str) -> str:
    added = ", ".join(f"{m} = {m} + excluded.{m}" for m in MEASURES)
    return (
        f"INSERT INTO {table} ({period}, key_id, agent, upstream, target, {', '.join(MEASURES)})"
        f" VALUES ({', '.join('?' * (5 + len(MEASURES)))}) ON CONFLICT DO UPDATE SET {added}"
    )


_UPSERT_MINUTE = _upsert("rollup_minute", "minute")
_UPSERT_HOUR = _upsert("rollup_hour", "hour")
_UPSERT_DAY = _upsert("rollup_day", "day")
_UPSERT_RUN = (
    f"INSERT INTO runs (key_id, run_id, parent_run_id, agent, source, first_ms, last_ms, {', '.join(MEASURES)})"
    f" VALUES ({', '.join('?' * (7 + len(MEASURES)))}) ON CONFLICT DO UPDATE SET first_ms = min(first_ms, excluded.first_ms),"
    f" last_ms = max(last_ms, excluded.last_ms), agent = iif(agent = '', excluded.agent, agent),"
    f" source = iif(source = '', excluded.source, source), {', '.join(f'{m} = {m} + excluded.{m}' for m in MEASURES)}"
)
