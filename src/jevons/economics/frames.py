"""What was used and what it cost in a span of days, apart by who, which model and which of its rates: what a change is explained from.

Comes in: a ledger file. Goes out: `Frame`s, read from the sums by the day and the rows of runs; no entry is counted. All numbers are those of
the ledger. Does not know: what caused what.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from operator import add, sub
from pathlib import Path
from typing import Literal, NamedTuple

import apsw
import msgspec

from jevons.core.price import HELD
from jevons.ledger.bill import reading
from jevons.ledger.ops import KeySettings
from jevons.ledger.rollup import COSTS, DAY_MS
from jevons.meter.lineages import lineage_of

Cost = Literal["billed", "list"]
DIMENSIONS = ("org", "team", "key", "agent", "source")
"""What groups are told apart by; below them stand tier, line, model and tariff."""

CALLS, INPUT, OUTPUT, INPUT_NUSD, OUTPUT_NUSD, LIST_NUSD, BILLED_NUSD = 0, 1, 5, 6, 10, 11, 12
"""Places in `Sums`: calls; tokens of the five kinds in the order of core.usage.TOKEN_KINDS; their list costs; list and billed cost."""
MEASURES = 13
Sums = list[int]

_NOTHING = (0,) * MEASURES
BY_CALLS, BY_TOKENS = "", "tokens"
"""How work is counted in a group. Where a source does not say how many calls there were, each token counts as one."""
BUCKET_DAYS = 6
"""Rows that are always this far apart are sums of several days (a week, with a day's play)."""
UNATTRIBUTED, CORRECTIONS = "unattributed", "corrections"


class Span(NamedTuple):
    """Whole UTC days, as days since 1970: [first, after)."""

    first: int
    after: int

    @classmethod
    def of_ms(cls, from_ms: int, until_ms: int) -> "Span":
        return cls(from_ms // DAY_MS, -(-until_ms // DAY_MS))

    @property
    def days(self) -> int:
        return self.after - self.first


class Group(NamedTuple):
    """Whose work, and how it is counted."""

    labels: tuple[str, ...]
    """In the order that was asked for."""
    basis: str


class Leaf(NamedTuple):
    group: Group
    tier: str
    line: str
    """vendor/line"""
    model: str
    tariff: str
    """The upstream, and which of the model's rates there."""


class Aside(NamedTuple):
    """Money that has no factors: its change is an effect of its own."""

    effect: str
    labels: tuple[str, ...]
    model: str


class Frame(msgspec.Struct):
    """One span of days."""

    leaves: dict[Leaf, Sums]
    tasks: dict[Group, int]
    loose: dict[Group, int]
    """Calls outside any run."""
    aside: dict[Aside, int]

    def nusd(self, cost: Cost) -> int:
        place = BILLED_NUSD if cost == "billed" else LIST_NUSD
        return sum(sums[place] for sums in self.leaves.values()) + sum(self.aside.values())


class _Day(NamedTuple):
    leaves: dict[Leaf, Sums]
    loose: list[tuple[Group, int]]
    aside: list[tuple[Aside, int]]


class Days:
    """The sums of a span, day by day, in memory: as many as there are combinations of who and what, not of calls."""

    def __init__(self, path: Path, span: Span, dimensions: Sequence[str], cost: Cost) -> None:
        """Raises LedgerError if there is no ledger."""
        self._dimensions = tuple(dimensions)
        self._cost = cost
        self._groups: dict[tuple[int, str], tuple[tuple[str, ...], str]] = {}
        self._by_tokens: set[tuple[tuple[str, ...], str]] = set()
        """(labels, source) of work of which some rows do not tell how many calls they stand for."""
        self._by_calls: set[Group] = set()
        self._told_days: dict[str, set[int]] = {}
        """Name of an imported key -> days on which it has rows."""
        self._leaves: dict[tuple[int, str, str, str, str, str], Leaf] = {}
        self._days: dict[int, _Day] = {}
        self._runs: list[tuple[Group, int, int, int]] = []
        """(group, first day, last day, how many) of runs that no run started."""
        with reading(path) as db:
            self._keys = {
                key_id: (name, msgspec.json.decode(settings, type=KeySettings))
                for key_id, name, settings in db.execute("SELECT id, name, settings FROM keys")
            }
            self._read_untold(db, span)
            self._read_sums(db, span)
            self._read_runs(db, span)
            if cost == "billed":
                self._read_corrections(db, span)

    def any(self, span: Span) -> bool:
        """Was anything used in the span?"""
        return any(day in self._days and self._days[day].leaves for day in range(*span))

    def told(self, spans: Sequence[Span]) -> list[str]:
        """What a reader should know of the days: sums of several days that a source tells as one."""
        said = []
        for name, days in sorted(self._told_days.items()):
            gaps = [b - a for a, b in pairwise(sorted(days))]
            if gaps and min(gaps) >= BUCKET_DAYS:
                counts = [sum(day in range(*span) for day in days) for span in spans]
                if counts[0] != counts[-1]:
                    apart = f"{name} tells sums of {min(gaps)} days or more"
                    said.append(
                        f"{apart}: {counts[0]} and {counts[-1]} of them are compared. --every week compares like with like."
                    )
        return said

    def count_calls(self, groups: Iterable[Group]) -> None:
        """From now on each call of these groups counts as a task."""
        self._by_calls.update(groups)

    def frames(self, spans: Sequence[Span]) -> Iterator[Frame]:
        """One for each span. Where they overlap, only the days that come and go are added up."""
        leaves: dict[Leaf, Sums] = {}
        loose: dict[Group, int] = {}
        aside: dict[Aside, int] = {}
        before = Span(0, 0)
        for span in spans:
            for day in range(before.first, before.after):
                if not span.first <= day < span.after:
                    self._add(day, -1, leaves, loose, aside)
            for day in range(span.first, span.after):
                if not before.first <= day < before.after:
                    self._add(day, 1, leaves, loose, aside)
            before = span
            there = {leaf: sums.copy() for leaf, sums in leaves.items() if any(sums)}
            tasks = self._tasks(span, there, loose)
            yield Frame(there, tasks, loose.copy(), {place: nusd for place, nusd in aside.items() if nusd})

    def _add(self, day: int, sign: int, leaves: dict[Leaf, Sums], loose: dict[Group, int], aside: dict[Aside, int]) -> None:
        found = self._days.get(day)
        if found is None:
            return
        combine = add if sign > 0 else sub
        for leaf, sums in found.leaves.items():
            leaves[leaf] = list(map(combine, leaves.get(leaf, _NOTHING), sums))
        for group, steps in found.loose:
            loose[group] = loose.get(group, 0) + sign * steps
        for place, nusd in found.aside:
            aside[place] = aside.get(place, 0) + sign * nusd

    def _tasks(self, span: Span, leaves: dict[Leaf, Sums], loose: dict[Group, int]) -> dict[Group, int]:
        """A task is a run, wherever the span meets it, or a call outside any run."""
        calls: dict[Group, int] = {}
        for leaf, sums in leaves.items():
            calls[leaf.group] = calls.get(leaf.group, 0) + sums[CALLS]
        tasks = dict.fromkeys(calls, 0)
        for group, first, last, runs in self._runs:
            if group in tasks and first < span.after and last >= span.first:
                tasks[group] += runs
        for group in tasks:
            # Where nobody says what a call is, or a caller began to name its runs, a call is a task.
            tasks[group] = calls[group] if group in self._by_calls else (tasks[group] + loose.get(group, 0)) or calls[group]
        return tasks

    def _read_sums(self, db: apsw.Connection, span: Span) -> None:
        costs = ", ".join(COSTS)
        query = (
            "SELECT day, key_id, agent, upstream, target, tariff, steps, loose, input, cache_read, cache_write_5m,"
            f" cache_write_1h, output, {costs}, list_nusd, billed_nusd FROM rollup_day WHERE day >= ? AND day < ?"
        )
        for day, key_id, agent, upstream, target, tariff, steps, loose, *sums in db.execute(query, span):
            found = self._days.get(day)
            if found is None:
                found = self._days[day] = _Day({}, [], [])
            nusd = sums[-1] if self._cost == "billed" else sums[-2]
            labels, source = self._group(key_id, agent)
            tokens = sum(sums[:5])
            if source:
                self._told_days.setdefault(self._keys[key_id][0], set()).add(day)
            if tariff == HELD:
                found.aside.append((Aside(HELD, labels, target), nusd))
                continue
            if nusd < 0 or sums[LIST_NUSD - 1] < sum(sums[INPUT_NUSD - 1 : LIST_NUSD - 1]):
                found.aside.append((Aside(CORRECTIONS, labels, target), nusd))  # credits among the rows
                continue
            if nusd and (not sums[-2] or (source and not steps and not tokens)):
                found.aside.append((Aside(UNATTRIBUTED, labels, target), nusd))  # money without a list price, or without tokens
                continue
            by_tokens = (labels, source) in self._by_tokens
            basis, calls = (BY_TOKENS, tokens) if by_tokens else (BY_CALLS, steps)  # a retry's tokens are no call of their own
            leaf = self._leaf(key_id, agent, upstream, target, tariff, basis)
            there = found.leaves.get(leaf)  # keys of one team are one leaf
            found.leaves[leaf] = [calls, *sums] if there is None else list(map(add, there, (calls, *sums)))
            if loose and not by_tokens:
                found.loose.append((leaf.group, loose))

    def _read_untold(self, db: apsw.Connection, span: Span) -> None:
        sources = [key_id for key_id, (_, settings) in self._keys.items() if settings.source]
        if not sources:
            return
        query = (
            "SELECT DISTINCT key_id, agent FROM rollup_day WHERE day >= ? AND day < ? AND steps = 0"
            f" AND input + cache_read + cache_write_5m + cache_write_1h + output > 0 AND key_id IN ({', '.join(map(str, sources))})"
        )
        for key_id, agent in db.execute(query, span):
            self._by_tokens.add(self._group(key_id, agent))

    def _read_runs(self, db: apsw.Connection, span: Span) -> None:
        """A run is a task of its group unless a run of the same group started it: agents that others start have tasks of their own."""
        apart = " OR above.agent <> runs.agent" if "agent" in self._dimensions else ""
        query = (
            f"SELECT runs.key_id, runs.agent, runs.first_ms / {DAY_MS}, runs.last_ms / {DAY_MS}, count(*) FROM runs"
            " LEFT JOIN runs AS above ON above.key_id = runs.key_id AND above.run_id = runs.parent_run_id"
            f" WHERE (above.run_id IS NULL{apart}) AND runs.steps > 0 AND runs.last_ms >= ? AND runs.first_ms < ? GROUP BY 1, 2, 3, 4"
        )
        for key_id, agent, first, last, runs in db.execute(query, (span.first * DAY_MS, span.after * DAY_MS)):
            self._runs.append((Group(self._group(key_id, agent)[0], BY_CALLS), first, last, runs))

    def _read_corrections(self, db: apsw.Connection, span: Span) -> None:
        query = "SELECT created_ms, key_id, nusd FROM adjustments WHERE created_ms >= ? AND created_ms < ?"
        for created_ms, key_id, nusd in db.execute(query, (span.first * DAY_MS, span.after * DAY_MS)):
            found = self._days.setdefault(created_ms // DAY_MS, _Day({}, [], []))
            found.aside.append((Aside(CORRECTIONS, self._group(key_id, "")[0], ""), nusd))

    def _group(self, key_id: int, agent: str) -> tuple[tuple[str, ...], str]:
        """Its labels, and the source of its rows."""
        found = self._groups.get((key_id, agent))
        if found is None:
            name, settings = self._keys[key_id]
            labels = {"org": settings.org, "team": settings.team, "key": name, "agent": agent, "source": settings.source}
            found = self._groups[key_id, agent] = (tuple(labels[dimension] for dimension in self._dimensions), settings.source)
        return found

    def _leaf(self, key_id: int, agent: str, upstream: str, target: str, tariff: str, basis: str) -> Leaf:
        place = (key_id, agent, upstream, target, tariff, basis)
        leaf = self._leaves.get(place)
        if leaf is None:
            lineage = lineage_of(upstream, target)
            leaf = self._leaves[place] = Leaf(
                Group(self._group(key_id, agent)[0], basis),
                lineage.tier,
                f"{lineage.vendor}/{lineage.line}",
                target,
                f"{upstream} {tariff}".strip(),
            )
        return leaf
