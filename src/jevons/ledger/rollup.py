"""Sums by the minute, hour and day, and by run, kept up in the same transaction as the entries they sum: no page ever counts entries.

An entry belongs to the minute, hour and (UTC) day of its admission. The sums by the day say more than the others: they are apart by
tariff, and have the list cost of each kind of token.
"""

from collections.abc import Sequence
from operator import add

import apsw

from jevons.core.entry import ATTEMPT_BITS, Entry, Estimate, admitted_ms
from jevons.core.usage import CACHE_READ, CACHE_WRITE_1H, CACHE_WRITE_5M, INPUT, OUTPUT, REASONING
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
COSTS = ("input_nusd", "cache_read_nusd", "cache_write_5m_nusd", "cache_write_1h_nusd", "output_nusd")
"""List cost by kind of token; what `list_nusd` has beyond these is fees (requests, searches, other modalities) and whole holds."""
DAY_MEASURES = (*MEASURES, "loose", *COSTS)
"""`loose`: steps outside any run."""
STEP = f"iif(id & {2**ATTEMPT_BITS - 1} = 0 AND outcome NOT IN ('void', 'free', 'cached'), requests, 0)"
"""How many steps an entry is: as `policy.amounts.is_step` says, in SQL, times the calls that it stands for."""
OF_ENTRIES = {
    **{measure: f"sum({measure})" for measure in MEASURES},
    "entries": "count(*)",
    "steps": f"sum({STEP})",
    "estimated_nusd": "sum(iif(estimate <> '', billed_nusd, 0))",
}
"""Each measure as SQL over the entries themselves."""
OF_ENTRIES_BY_DAY = {
    **OF_ENTRIES,
    "loose": f"sum(iif(run_id IS NULL, {STEP}, 0))",
    **{
        cost: f"sum((SELECT coalesce(sum(value ->> 2), 0) FROM json_each(lines) WHERE value ->> 0 IN ({kinds})))"
        for cost, kinds in zip(
            COSTS, ("'input'", "'cache_read'", "'cache_write_5m'", "'cache_write_1h'", "'output', 'reasoning'"), strict=True
        )
    },
}
_COST_OF = {INPUT: 0, CACHE_READ: 1, CACHE_WRITE_5M: 2, CACHE_WRITE_1H: 3, OUTPUT: 4, REASONING: 4}
"""Place of a line's kind among `COSTS`."""
_ZERO = (0,) * len(MEASURES)
_ZERO_DAY = (0,) * len(DAY_MEASURES)


class Rollup:
    """Sums of one batch: by (minute, key, agent, upstream, target), by day and tariff, and by run."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[int, int, str, str, str], list[int]] = {}
        self._hours: dict[tuple[int, int, str, str, str], list[int]] = {}
        self._days: dict[tuple[int, int, str, str, str, str], list[int]] = {}
        self._runs: dict[tuple[int, str], _RunSums] = {}

    def add(self, entry: Entry) -> None:
        hold, usage = entry.hold, entry.usage
        at_ms = admitted_ms(hold.id)
        steps = entry.requests if is_step(entry) else 0
        added = (
            1,
            steps,
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
        if entry.source:  # no limit counts it, and minutes are kept for limits
            hour = (at_ms // HOUR_MS, hold.key_id, hold.agent, hold.upstream, hold.target)
            self._hours[hour] = _sum(self._hours.get(hour, _ZERO), added)
        else:
            minute = (at_ms // MINUTE_MS, hold.key_id, hold.agent, hold.upstream, hold.target)
            self._minutes[minute] = _sum(self._minutes.get(minute, _ZERO), added)
        day = (at_ms // DAY_MS, hold.key_id, hold.agent, hold.upstream, hold.target, entry.tariff)
        more = (*added, steps if hold.run_id is None else 0, *_costs(entry))
        self._days[day] = _sum(self._days.get(day, _ZERO_DAY), more)
        if hold.run_id is not None:
            run = self._runs.get((hold.key_id, hold.run_id))
            if run is None:
                run = self._runs[hold.key_id, hold.run_id] = _RunSums(entry, at_ms)
            run.add(at_ms, added)

    def write(self, db: apsw.Connection) -> None:
        hours = self._hours
        for (minute, key_id, agent, upstream, target), sums in self._minutes.items():
            db.execute(_UPSERT_MINUTE, (minute, key_id, agent, upstream, target, *sums))
            group = (minute // 60, key_id, agent, upstream, target)
            hours[group] = _sum(hours.get(group, _ZERO), sums)
        for hour, sums in hours.items():
            db.execute(_UPSERT_HOUR, (*hour, *sums))
        for day, sums in self._days.items():
            db.execute(_UPSERT_DAY, (*day, *sums))
        for (key_id, run_id), run in self._runs.items():
            db.execute(_UPSERT_RUN, (key_id, run_id, *run.said, run.first_ms, run.last_ms, *run.sums))


def _sum(sums: Sequence[int], added: Sequence[int]) -> list[int]:
    """Measure by measure."""
    return list(map(add, sums, added))


def _costs(entry: Entry) -> list[int]:
    costs = [0] * len(COSTS)
    for line in entry.lines:
        if (place := _COST_OF.get(line.kind)) is not None:
            costs[place] += line.nusd
    return costs


class _RunSums:
    """One run's part of a batch."""

    def __init__(self, entry: Entry, at_ms: int) -> None:
        hold = entry.hold
        self.said = (hold.parent_run_id, hold.agent, hold.run_source)
        self.first_ms = self.last_ms = at_ms
        self.sums: list[int] = list(_ZERO)

    def add(self, at_ms: int, added: tuple[int, ...]) -> None:
        self.first_ms, self.last_ms = min(self.first_ms, at_ms), max(self.last_ms, at_ms)
        self.sums = _sum(self.sums, added)


def _upsert(table: str, key: str, measures: tuple[str, ...] = MEASURES) -> str:
    places = ", ".join("?" * (len(key.split()) + len(measures)))
    return (
        f"INSERT INTO {table} ({', '.join((*key.split(), *measures))}) VALUES ({places})"
        f" ON CONFLICT DO UPDATE SET {', '.join(f'{m} = {m} + excluded.{m}' for m in measures)}"
    )


_UPSERT_MINUTE = _upsert("rollup_minute", "minute key_id agent upstream target")
_UPSERT_HOUR = _upsert("rollup_hour", "hour key_id agent upstream target")
_UPSERT_DAY = _upsert("rollup_day", "day key_id agent upstream target tariff", DAY_MEASURES)
_UPSERT_RUN = (
    f"INSERT INTO runs (key_id, run_id, parent_run_id, agent, source, first_ms, last_ms, {', '.join(MEASURES)})"
    f" VALUES ({', '.join('?' * (7 + len(MEASURES)))}) ON CONFLICT DO UPDATE SET first_ms = min(first_ms, excluded.first_ms),"
    f" last_ms = max(last_ms, excluded.last_ms), agent = iif(agent = '', excluded.agent, agent),"
    f" source = iif(source = '', excluded.source, source), {', '.join(f'{m} = {m} + excluded.{m}' for m in MEASURES)}"
)
