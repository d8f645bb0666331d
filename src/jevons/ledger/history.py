"""What was posted to an account before it was made in memory: read from the rollups and, for runs, from their rows and entries.

A connection of its own, read-only. What is on disk counts; whoever asks has seen to it that nothing of the account is on its way there.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import apsw
import msgspec

from jevons.core.entry import ATTEMPT_BITS, COUNTER_BITS, first_id_of_ms
from jevons.core.limits import LEDGER_BUSY_S, LINEAGE_RECALLED_MAX
from jevons.ledger.ops import Key
from jevons.ledger.rollup import DAY_MS, HOUR_MS, MINUTE_MS, MINUTES_KEPT, STEP
from jevons.policy.rules import Measure, Rule, Scope, Who, matches
from jevons.policy.runs import Record
from jevons.policy.windows import FOREVER

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
"""Of a sum; of a single entry all but the steps."""
_AT_MS = f"id >> {ATTEMPT_BITS + COUNTER_BITS}"
_TREE = "WITH RECURSIVE tree(run) AS (VALUES(:run) UNION SELECT runs.run_id FROM runs JOIN tree ON parent_run_id = run WHERE runs.key_id = :key)"


class History:
    """Reads the ledger for `policy.books` and `policy.runs`."""

    def __init__(
        self,
        path: Path,
        keys: Mapping[bytes, Key],
        overruns: Mapping[tuple[str, int], int],
        grants: Mapping[tuple[str, int], int],
        until_ms: int = FOREVER.end_ms,
    ) -> None:
        """`overruns` and `grants` are by account and start of its window; the ledger keeps them up. `until_ms`: what was admitted from then
        on is left out: how accounts stood before."""
        self._path = path
        self._keys = keys
        self._overruns = overruns
        self._grants = grants
        self._until_ms = until_ms
        self._db: apsw.Connection | None = None

    def posted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        """(instant in Unix ms, amount) of all that counts there since, and perhaps a little from before.

        Sums stand at the last instant of their period, which lies in the same bucket of a rolling window and in the same calendar window.
        """
        if rule.scope in (Scope.RUN, Scope.CHILD):
            assert run is not None
            yield from self._of_run(rule, who.key_id, run, since_ms)
        else:
            yield from self._of_sums(rule, who, since_ms)
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

    def has_entry(self, key_id: int, entry_id: int) -> bool:
        return self.db.execute("SELECT 1 FROM entries WHERE id = ? AND key_id = ?", (entry_id, key_id)).get is not None

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

    def stated_policy(self) -> dict[str, object] | None:
        """What the log says last of the configured policy; None = nothing."""
        found = self.db.execute("SELECT detail FROM audit WHERE action = 'policy' ORDER BY seq DESC LIMIT 1").get
        if found is None:
            return None
        stated: dict[str, object] = msgspec.json.decode(found)
        del stated["order"]
        return stated

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
        until = min(first_id_of_ms(self._until_ms), 2**63 - 1)
        bindings = {"key": key_id, "run": run, "since": first_id_of_ms(since_ms), "until": until}
        if rule.model == rule.agent == "*" and not since_ms and self._until_ms == FOREVER.end_ms:
            query = f"{_TREE} SELECT 0, coalesce(sum({COLUMNS[rule.measure]}), 0) FROM runs JOIN tree ON run_id = run WHERE key_id = :key"
            yield from self.db.execute(query, bindings)
            return
        query = (
            f"{_TREE} SELECT {_AT_MS}, agent, target, {_of_entry(rule)} FROM entries JOIN tree ON run_id = run"
            " WHERE key_id = :key AND id >= :since AND id < :until"
        )
        yield from _counted(rule, None, self.db.execute(query, bindings))

    def _of_sums(self, rule: Rule, who: Who, since_ms: int) -> Iterator[tuple[int, int]]:
        """Whole periods from the rollups; what the window has of a period at either end from the entries."""
        end_ms = min(rule.window.period(since_ms).end_ms, self._until_ms)
        period, width_ms = _sums_for(rule)
        first, after = -(-since_ms // width_ms), end_ms // width_ms
        if rule.window.rolling_ms and rule.window.bucket_ms < width_ms:
            first = after  # no sums are as fine as its buckets; it is an hour long at most
        if width_ms == MINUTE_MS and self._until_ms != FOREVER.end_ms:
            first = after  # sums by the minute of so long ago may be gone
        apart = "agent, target"
        if rule.agent == rule.model == "*" and rule.scope is not Scope.AGENT:
            apart = "'', ''"  # whoever called what: a month of minutes has many rows
        query = (
            f"SELECT {period} * {width_ms} + {width_ms - 1}, {apart}, sum({COLUMNS[rule.measure]}) FROM rollup_{period}"
            f" WHERE {period} >= ? AND {period} < ? AND key_id IN ({self._counted_keys(rule, who)}) GROUP BY {period}, {apart}"
        )
        yield from self._of_entries(rule, who, since_ms, first * width_ms)
        yield from _counted(rule, who, self.db.execute(query, (first, after)))
        if end_ms != FOREVER.end_ms:
            yield from self._of_entries(rule, who, after * width_ms, end_ms)

    def _of_entries(self, rule: Rule, who: Who, since_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
        if since_ms < until_ms:
            query = (
                f"SELECT {_AT_MS}, agent, target, {_of_entry(rule)} FROM entries"
                f" WHERE id >= ? AND id < ? AND key_id IN ({self._counted_keys(rule, who)})"
            )
            ids = (first_id_of_ms(since_ms), min(first_id_of_ms(until_ms), 2**63 - 1))
            yield from _counted(rule, who, self.db.execute(query, ids))

    def _adjusted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        """Corrections: those of an entry count where it counts; the others for their key, team and organisation."""
        query = (
            f"SELECT coalesce(entry_id >> {ATTEMPT_BITS + COUNTER_BITS}, created_ms) AS at_ms, coalesce(agent, ''), coalesce(target, ''), nusd,"
            " run_id FROM adjustments LEFT JOIN entries ON entries.id = entry_id"
            f" WHERE at_ms >= ? AND created_ms < ? AND adjustments.key_id IN ({self._counted_keys(rule, who)})"
        )
        tree = self._tree(who.key_id, run) if run is not None else None
        found = self.db.execute(query, (since_ms, self._until_ms))
        yield from _counted(rule, who, (row[:4] for row in found if tree is None or row[4] in tree))

    def _tree(self, key_id: int, run: str) -> set[str]:
        return {label for (label,) in self.db.execute(f"{_TREE} SELECT run FROM tree", {"key": key_id, "run": run})}

    def _counted_keys(self, rule: Rule, who: Who) -> str:
        """Whose calls count for this account: ids with commas between them."""
        found = []
        for key in self._keys.values():
            if key.settings.source:
                continue  # imported: what was spent elsewhere
            org, team = key.settings.org, key.settings.team
            within = {
                Scope.ORG: org == who.org,
                Scope.TEAM: (org, team) == (who.org, who.team),
            }.get(rule.scope, key.id == who.key_id)
            if within and matches(key.name, rule.key) and matches(team, rule.team) and matches(org, rule.org):
                found.append(str(key.id))
        return ", ".join(found)


def _counted(rule: Rule, who: Who | None, rows: Iterable[tuple[int, str, str, int]]) -> Iterator[tuple[int, int]]:
    """Of rows (instant, agent, model, amount) those that the rule counts. `who` is None where they are of one run."""
    for at_ms, agent, target, amount in rows:
        if rule.scope is Scope.AGENT and who is not None and agent != who.agent:
            continue
        if matches(agent, rule.agent) and matches(target, rule.model):
            yield at_ms, amount


def _of_entry(rule: Rule) -> str:
    return STEP if rule.measure is Measure.STEPS else COLUMNS[rule.measure]


def _sums_for(rule: Rule) -> tuple[str, int]:
    """The coarsest sums that tell what is in the window, but for its ends."""
    window = rule.window
    if window.name == "total":
        return "day", DAY_MS
    if window.name != "hour" and not window.rolling_ms:
        return "hour", HOUR_MS
    assert window.rolling_ms <= MINUTES_KEPT * MINUTE_MS
    return "minute", MINUTE_MS
