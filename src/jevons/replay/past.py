"""What was posted to an account before it is needed in a replay: in the ledger before the replay begins, in the replay itself since.

A `policy.books.History`. The ledger's part is read by `ledger.history` as it stood at the beginning; the replay's own part is kept in a scratch file
of the same shape and read by the very same code, and only where it can be asked for: where limits change on the way, or runs are
too many to keep their accounts.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

from jevons.core.limits import REPLAY_ROWS_KEPT
from jevons.core.usage import Usage
from jevons.ledger.history import History
from jevons.ledger.ops import Adjusted, Key
from jevons.ledger.rollup import DAY_MS, HOUR_MS, MINUTE_MS, STEP
from jevons.policy.amounts import Amounts
from jevons.policy.rules import COUNTED, Measure, Rule, Who
from jevons.policy.runs import Record, Run

_SUMS = "input cache_read cache_write_5m cache_write_1h output reasoning list_nusd billed_nusd".split()
_PERIODS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
_SCHEMA = f"""
CREATE TABLE entries (id INTEGER PRIMARY KEY, key_id, run_id, agent, target, outcome, requests, {", ".join(_SUMS)});
CREATE INDEX entries_of_run ON entries (run_id, key_id) WHERE run_id IS NOT NULL;
CREATE TABLE adjustments (id INTEGER PRIMARY KEY, key_id, entry_id, nusd, created_ms);
CREATE TABLE runs (key_id, run_id, parent_run_id, steps, {", ".join(_SUMS)}, PRIMARY KEY (key_id, run_id));
"""
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in ("steps", *_SUMS))
_STEPS = f"sum({STEP})"
_COLUMNS = 7 + len(_SUMS)
_OF_STEPS = COUNTED.index(Measure.STEPS)


class Past:
    """Both parts. `overruns` is what the replay records, `granted` what people have said yes to; whoever replays keeps them up."""

    def __init__(self, ledger: Path, keys: Mapping[int, Key], since_ms: int, scratch: Path | None) -> None:
        """`scratch`: a file that is not there yet; None = nothing of the replay itself will be asked for."""
        self.overruns: dict[tuple[str, int], int] = {}
        self.grants: dict[tuple[str, int], int] = {}
        self.budgets: dict[tuple[int, str], int] = {}
        """What runs have tightened their own budgets to."""
        self._keys: dict[bytes, Key] = {}
        self._follow(keys)
        self._before = History(ledger, self._keys, self.overruns, self.grants, since_ms) if since_ms else None
        self._ledger = History(ledger, self._keys, self.overruns, self.grants)
        self._since_ms = since_ms
        self._scratch = _Scratch(scratch, self._keys) if scratch is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for history in (self._before, self._ledger, self._scratch):
            if history is not None:
                history.close()

    def posted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        if self._before is not None:
            yield from self._before.posted(rule, who, run, since_ms)
        if self._scratch is not None:
            yield from self._scratch.history.posted(rule, who, run, since_ms)

    def overrun(self, label: str, window_ms: int) -> int:
        return self.overruns.get((label, window_ms), 0)

    def granted(self, label: str, window_ms: int) -> int:
        return self.grants.get((label, window_ms), 0)

    def recall(self, key_id: int, label: str) -> Record | None:
        """What is known of a run that is not in memory: from before the replay began, or because it was let go. None if it is new."""
        found, budget_nusd = self._run(key_id, label), self.budgets.get((key_id, label))
        met = self._scratch is not None and self._scratch.has_run(key_id, label)
        if found is None or (found[1] >= self._since_ms and not met):
            return None if budget_nusd is None else Record(None, None, 0, budget_nusd)
        children = self._ledger.db.execute(
            "SELECT count(*) FROM runs WHERE key_id = ? AND parent_run_id = ? AND first_ms < ?", (key_id, label, self._since_ms)
        ).get
        return Record(found[0], found[1], children, budget_nusd)

    def parent(self, key_id: int, label: str) -> str | None:
        """The run that started it, as its first call said."""
        found = self._run(key_id, label)
        return None if found is None else found[0]

    @property
    def remembers(self) -> bool:
        """Can accounts be made anew in the middle?"""
        return self._scratch is not None

    def keep(self, keys: Mapping[int, Key]) -> None:
        """Before accounts are made anew: keys are these now, and all that was posted is to be found."""
        self._follow(keys)
        if self._scratch is not None:
            self._scratch.write()

    def post(self, entry_id: int, who: Who, run: Run | None, target: str, usage: Usage, amounts: Amounts) -> None:
        """A call has come to this."""
        if self._scratch is not None:
            counts = (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output, usage.reasoning)
            steps = amounts[_OF_STEPS]
            said = ("ok" if steps else "void", steps)
            row = (entry_id, who.key_id, who.run, who.agent, target, *said, *counts, amounts[1], amounts[0])
            self._scratch.add(row, run)

    def adjust(self, adjusted: Adjusted) -> None:
        """A correction came in."""
        if self._scratch is not None:
            self._scratch.adjust(adjusted)

    def _follow(self, keys: Mapping[int, Key]) -> None:
        self._keys.clear()
        self._keys.update({key.digest: key for key in keys.values()})

    def _run(self, key_id: int, label: str) -> tuple[str | None, int] | None:
        found: tuple[str | None, int] | None = self._ledger.db.execute(
            "SELECT parent_run_id, first_ms FROM runs WHERE key_id = ? AND run_id = ?", (key_id, label)
        ).fetchone()
        return found


class _Scratch:
    """The replay's own posts, in a file as the ledger's history reads it."""

    def __init__(self, path: Path, keys: Mapping[bytes, Key]) -> None:
        self._db = apsw.Connection(str(path))
        self._db.pragma("synchronous", "OFF")
        self._db.pragma("journal_mode", "MEMORY")
        self._db.execute(_SCHEMA)
        for period in _PERIODS:
            self._db.execute(
                f"CREATE TABLE rollup_{period} (key_id, {period}, agent, target, steps, {', '.join(_SUMS)},"
                f" PRIMARY KEY (key_id, {period}, agent, target)) WITHOUT ROWID"
            )
        self.history = History(path, keys, {}, {})
        self._rows: list[tuple[Any, ...]] = []
        self._parents: dict[tuple[int, str], str | None] = {}

    def add(self, row: tuple[Any, ...], run: Run | None) -> None:
        self._rows.append(row)
        for node in run.lineage if run is not None else ():
            self._parents[node.key_id, node.label] = node.parent.label if node.parent is not None else None
        if len(self._rows) >= REPLAY_ROWS_KEPT:
            self.write()

    def has_run(self, key_id: int, label: str) -> bool:
        """Was anything posted to it, of what is written?"""
        return self._db.execute("SELECT 1 FROM runs WHERE key_id = ? AND run_id = ?", (key_id, label)).get is not None

    def adjust(self, adjusted: Adjusted) -> None:
        self._db.execute(
            "INSERT INTO adjustments (key_id, entry_id, nusd, created_ms) VALUES (?, ?, ?, ?)",
            (adjusted.key_id, adjusted.entry_id, adjusted.nusd, adjusted.created_ms),
        )

    def write(self) -> None:
        """Rows, and the sums over them."""
        db, sums = self._db, ", ".join(f"sum({name})" for name in _SUMS)
        with db:
            db.execute("CREATE TEMP TABLE fresh AS SELECT * FROM entries LIMIT 0")
            db.executemany(f"INSERT INTO fresh VALUES ({', '.join('?' * _COLUMNS)})", self._rows)
            db.execute("INSERT INTO entries SELECT * FROM fresh")
            for period, width_ms in _PERIODS.items():
                db.execute(
                    f"INSERT INTO rollup_{period} SELECT key_id, (id >> 18) / {width_ms}, agent, target, {_STEPS}, {sums} FROM fresh"
                    f" GROUP BY 1, 2, 3, 4 ON CONFLICT DO UPDATE SET {_ADDED}"
                )
            db.executemany(
                f"INSERT OR IGNORE INTO runs VALUES (?, ?, ?, 0{', 0' * len(_SUMS)})",
                [(*run, parent) for run, parent in self._parents.items()],
            )
            db.execute(
                f"INSERT INTO runs SELECT key_id, run_id, NULL, {_STEPS}, {sums} FROM fresh WHERE run_id IS NOT NULL"
                f" GROUP BY 1, 2 ON CONFLICT DO UPDATE SET {_ADDED}"
            )
            db.execute("DROP TABLE fresh")
        self._rows.clear()
        self._parents.clear()

    def close(self) -> None:
        self.history.close()
        self._db.close()
