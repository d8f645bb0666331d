"""What was posted to an account before it was made in memory: read from the rollups and, for runs, from their rows and entries.

A connection of its own, read-only. What is on disk counts; whoever asks has seen to it that nothing of the account is on its way there.
"""

import hashlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import apsw

from jevons.core.entry import ATTEMPT_BITS, COUNTER_BITS, first_id_of_ms
from jevons.core.limits import LEDGER_BUSY_S, LINEAGE_RECALLED_MAX
from jevons.ledger.ops import Key
from jevons.ledger.rollup import DAY_MS, HOUR_MS, MINUTE_MS, MINUTES_KEPT
from jevons.policy.rules import Measure, Rule, Scope, Who
from jevons.policy.runs import Record

COLUMNS = {
    Measure.USD: "billed_nusd",
    Measure.LIST_USD: "list_nusd",
    Measure.TOKENS: "input + cache_read + cache_write_5m + cache_write_1h + output",
    Measure.INPUT: "input",
    Measure.CACHE_READ: "cache_read",
    Measure.CACHE_WRITE: "cache_write_5m + cache_write_1h",
    Measure.OUTPUT: "output",
    Measure.REASONING: "reasoning",
    Measure.STEPS: "steps",
    Measure.CONCURRENT: "0",
}
_STEP = f"(id & {2**ATTEMPT_BITS - 1} = 0 AND outcome NOT IN ('void', 'free'))"
_TREE = "WITH RECURSIVE tree(run) AS (VALUES(:run) UNION SELECT runs.run_id FROM runs JOIN tree ON parent_run_id = run WHERE runs.key_id = :key)"


class History:
    """Reads the ledger for `policy.books` and `policy.runs`."""

    def __init__(
        self,
        path: Path,
        keys: Mapping[bytes, Key],
        overruns: Mapping[tuple[str, int], int],
        grants: Mapping[tuple[str, int], int],
    ) -> None:
        """`overruns` and `grants` are by account and start of its window; the ledger keeps them up."""
        self._path = path
        self._keys = keys
        self._overruns = overruns
        self._grants = grants
        self._db: apsw.Connection | None = None

    def posted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        """(instant in Unix ms, amount) of all that counts there since; a minute's amounts at its last instant."""
        if rule.scope in (Scope.RUN, Scope.CHILD):
            assert run is not None
            yield from self._of_run(rule, who.key_id, run, since_ms)
        else:
            yield from self._of_rollups(rule, who, since_ms)
        if rule.measure is Measure.USD:
            yield from self._adjusted(rule, who, run, since_ms)

    def overrun(self, label: str, window_ms: int) -> int:
        return self._overruns.get((label, window_ms), 0)

    def granted(self, label: str, window_ms: int) -> int:
        return self._grants.get((label, window_ms), 0)

    def recall(self, key_id: int, label: str) -> Record | None:
        """What is known of a run; None if it is new."""
        ((parent, first_ms, children, budget_nusd),) = self.db.execute(
            "SELECT parent_run_id, first_ms, (SELECT count(*) FROM runs WHERE key_id = :key AND parent_run_id = :run),"
            " (SELECT budget_nusd FROM run_budgets WHERE key_id = :key AND run_id = :run)"
            " FROM (SELECT 1) LEFT JOIN runs ON key_id = :key AND run_id = :run",
            {"key": key_id, "run": label},
        )
        if first_ms is None and budget_nusd is None:
            return None
        return Record(parent, first_ms, children, budget_nusd)

    def run_of_response(self, key_id: int, response_id: str) -> str | None:
        """The run of the call that made a stored response; None if this key made no such response, or in no run."""
        found = self.db.execute(
            "SELECT run_id FROM stored_responses JOIN entries ON entries.id = entry_id WHERE digest = ? AND entries.key_id = ?",
            (hashlib.sha256(response_id.encode()).digest(), key_id),
        ).fetchone()
        return found[0] if found is not None else None

    def inferred(self, since_ms: int) -> list[tuple[int, str, bytes, int]]:
        """(key id, run, head of its chain, Unix ms) of the latest calls whose runs were inferred, oldest first."""
        found = self.db.execute(
            f"SELECT e.key_id, e.run_id, e.chain, e.id >> {ATTEMPT_BITS + COUNTER_BITS} FROM entries e JOIN runs r"
            " ON r.key_id = e.key_id AND r.run_id = e.run_id WHERE e.id >= ? AND r.source = 'inferred' ORDER BY e.id DESC LIMIT ?",
            (first_id_of_ms(max(0, since_ms)), LINEAGE_RECALLED_MAX),
        )
        return list(found)[::-1]

    @property
    def db(self) -> apsw.Connection:
        if self._db is None:
            self._db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            self._db.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
        return self._db

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _of_run(self, rule: Rule, key_id: int, run: str, since_ms: int) -> Iterator[tuple[int, int]]:
        bindings = {"key": key_id, "run": run, "since": first_id_of_ms(since_ms)}
        if rule.model == rule.agent == "*" and not since_ms:
            query = f"{_TREE} SELECT 0, coalesce(sum({COLUMNS[rule.measure]}), 0) FROM runs JOIN tree ON run_id = run WHERE key_id = :key"
            yield from self.db.execute(query, bindings)
            return
        column = _STEP if rule.measure is Measure.STEPS else COLUMNS[rule.measure]
        query = (
            f"{_TREE} SELECT id >> {ATTEMPT_BITS + COUNTER_BITS}, agent, target, {column} FROM entries JOIN tree ON run_id = run"
            " WHERE key_id = :key AND id >= :since"
        )
        for at_ms, agent, target, amount in self.db.execute(query, bindings):
            if fnmatchcase(agent, rule.agent) and fnmatchcase(target, rule.model):
                yield at_ms, amount

    def _of_rollups(self, rule: Rule, who: Who, since_ms: int) -> Iterator[tuple[int, int]]:
        table, width_ms = _table(rule, since_ms)
        keys = self._counted_keys(rule, who)
        query = (
            f"SELECT {table}, agent, target, sum({COLUMNS[rule.measure]}) FROM rollup_{table} WHERE {table} >= ?"
            f" AND key_id IN ({', '.join(map(str, keys))}) GROUP BY 1, 2, 3"
        )
        for period, agent, target, amount in self.db.execute(query, (since_ms // width_ms,)):
            if rule.scope is Scope.AGENT and agent != who.agent:
                continue
            if fnmatchcase(agent, rule.agent) and fnmatchcase(target, rule.model):
                yield period * width_ms + width_ms - 1, amount

    def _adjusted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        """Corrections: those of an entry count where it counts; the others for their key, team and organisation."""
        keys = self._counted_keys(rule, who)
        query = (
            f"SELECT coalesce(entry_id >> {ATTEMPT_BITS + COUNTER_BITS}, created_ms) AS at_ms, nusd, coalesce(agent, ''), coalesce(target, ''),"
            f" run_id FROM adjustments LEFT JOIN entries ON entries.id = entry_id"
            f" WHERE at_ms >= ? AND adjustments.key_id IN ({', '.join(map(str, keys))})"
        )
        tree = self._tree(who.key_id, run) if run is not None else None
        for at_ms, nusd, agent, target, run_id in self.db.execute(query, (since_ms,)):
            if tree is not None and run_id not in tree:
                continue
            if rule.scope is Scope.AGENT and agent != who.agent:
                continue
            if fnmatchcase(agent, rule.agent) and fnmatchcase(target, rule.model):
                yield at_ms, nusd

    def _tree(self, key_id: int, run: str) -> set[str]:
        return {label for (label,) in self.db.execute(f"{_TREE} SELECT run FROM tree", {"key": key_id, "run": run})}

    def _counted_keys(self, rule: Rule, who: Who) -> list[int]:
        """Whose calls count for this account."""
        found = []
        for key in self._keys.values():
            org, team = key.settings.org, key.settings.team
            within = {
                Scope.ORG: org == who.org,
                Scope.TEAM: (org, team) == (who.org, who.team),
            }.get(rule.scope, key.id == who.key_id)
            if within and fnmatchcase(key.name, rule.key) and fnmatchcase(team, rule.team) and fnmatchcase(org, rule.org):
                found.append(key.id)
        return found


def _table(rule: Rule, since_ms: int) -> tuple[str, int]:
    """The coarsest sums that tell the window's start: minutes for all that may begin at one, within what is kept of them."""
    if not since_ms:
        return "day", DAY_MS
    if rule.window.name == "year":
        return "hour", HOUR_MS
    assert rule.window.rolling_ms <= MINUTES_KEPT * MINUTE_MS
    return "minute", MINUTE_MS
