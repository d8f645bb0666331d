"""The embedded store: one SQLite file in WAL mode, every commit synced.

Comes in: batches of operations, each batch one transaction. Goes out: what a start needs (keys, accounts, open holds).
Does not know: threads, event loops, limits. One caller at a time.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import msgspec

from jevons.core.entry import UNSENT, Entry, Hold, admitted_ms, first_id_of_ms
from jevons.core.limits import IDEMPOTENCY_TTL_S, LEDGER_BUSY_S, ORDERS_READ_MAX, RESPONSE_OWNER_TTL_S
from jevons.ledger import imported, routing, savings
from jevons.ledger.audit import append, records_of
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import (
    Adjusted,
    Approval,
    Began,
    Decided,
    Grown,
    Imported,
    Key,
    KeyChanged,
    KeyCreated,
    KeyRevoked,
    KeySettings,
    Kill,
    Labelled,
    Learnt,
    Lifted,
    LimitPut,
    LimitRemoved,
    LimitSet,
    Op,
    Opened,
    Overran,
    Overrun,
    Posted,
    RunTightened,
    StudentPut,
    Withdrawn,
)
from jevons.ledger.rollup import MEASURES, MINUTE_MS, MINUTES_KEPT, Rollup
from jevons.ledger.rows import drop_holds, read_holds, write_entries, write_holds
from jevons.ledger.schema import APPLICATION_ID, in_words, migrate, version_of
from jevons.ledger.store import Snapshot
from jevons.policy.rules import Limit

APPROVAL_COLUMNS = "id account window_ms question granted asked_ms expires_ms state decided_ms".split()
_BEGIN_RUN = (
    f"INSERT OR IGNORE INTO runs (key_id, run_id, parent_run_id, agent, source, first_ms, last_ms, {', '.join(MEASURES)})"
    f" VALUES (?, ?, ?, ?, ?, ?, ?{', 0' * len(MEASURES)})"
)


class SqliteStore:
    """`path` is created 0600 if absent. `vfs` and `synchronous` are for the tests that take power away.

    Raises LedgerError for a file that is foreign, newer, damaged or cannot be opened; nothing is changed then.
    """

    def __init__(
        self,
        path: Path,
        *,
        audit_key: bytes = b"",
        vfs: str | None = None,
        synchronous: str = "FULL",
        backups: Path | None = None,
    ) -> None:
        """`audit_key`: at most 64 bytes; without one the audit log shows accidents, not tampering."""
        self._path = path
        self._audit_key = audit_key
        self._pruned_hour = 0
        with in_words(path):
            if vfs is None and not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self.db = apsw.Connection(str(path), vfs=vfs)
            try:
                self.db.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
                version_of(self.db)
                if (mode := self.db.pragma("journal_mode", "wal")) != "wal":
                    raise LedgerError(f"The file system of {path} cannot keep a ledger (journal mode {mode}); use a local one.")
                self.db.pragma("synchronous", synchronous)
                self.db.pragma("foreign_keys", True)
                self.db.pragma("recursive_triggers", True)  # else a REPLACE removes an entry without being asked
                self.migrated = migrate(self.db, backups)
            except BaseException:
                self.db.close()
                raise

    def load(self) -> Snapshot:
        with in_words(self._path):
            return self._load()

    def _load(self) -> Snapshot:
        keys, posted = [], {}
        rows = self.db.execute(
            "SELECT id, name, digest, prefix, created_ms, limit_nusd, settings, revoked_ms, posted_nusd, overrun_nusd"
            " FROM keys JOIN accounts ON key_id = id"
        )
        for key_id, name, digest, prefix, created_ms, limit_nusd, settings, revoked_ms, posted_nusd, overrun_nusd in rows:
            decoded = msgspec.json.decode(settings, type=KeySettings)
            keys.append(Key(key_id, name, digest, prefix, created_ms, limit_nusd, decoded, revoked_ms))
            posted[key_id] = (posted_nusd, overrun_nusd)
        holds = read_holds(self.db)
        remembered = {
            (key_id, digest): (body_digest, entry_id)
            for key_id, digest, body_digest, entry_id in self.db.execute(
                "SELECT key_id, digest, body_digest, entry_id FROM idempotency ORDER BY entry_id"
            )
        }
        last_id = max(self.db.execute("SELECT max(id) FROM entries").get or 0, holds[-1].id if holds else 0)
        last_adjusted_ms = self.db.execute("SELECT coalesce(max(created_ms), 0) FROM adjustments").get
        limits = [
            msgspec.json.decode(text, type=Limit) for (text,) in self.db.execute("SELECT settings FROM limits ORDER BY name")
        ]
        overruns = {
            (account, window_ms): amount
            for account, window_ms, amount in self.db.execute(
                "SELECT account, window_ms, sum(amount) FROM overruns GROUP BY 1, 2"
            )
        }
        kills = [
            Kill(*row) for row in self.db.execute("SELECT id, subject, reason, created_ms FROM kills WHERE lifted_ms IS NULL")
        ]
        last_kill = self.db.execute("SELECT coalesce(max(id), 0) FROM kills").get
        approvals = [
            Approval(*row) for row in self.db.execute(f"SELECT {', '.join(APPROVAL_COLUMNS)} FROM approvals ORDER BY asked_ms")
        ]
        last_order = self.db.execute(
            "SELECT coalesce(max(max(held_order, posted_order)), 0) FROM (SELECT held_order, posted_order FROM entries"
            f" ORDER BY id DESC LIMIT {ORDERS_READ_MAX})"
        ).get
        last_order = max([last_order, *(hold.order for hold in holds)])
        return Snapshot(
            keys, posted, holds, remembered, last_id, last_adjusted_ms, limits, overruns, kills, last_kill, approvals, last_order
        )

    def apply(self, batch: Sequence[Op]) -> None:
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._write(batch)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def has_entry(self, entry_id: int) -> bool:
        return self.db.execute("SELECT 1 FROM entries WHERE id = ?", (entry_id,)).get is not None

    def probe(self) -> None:
        self.db.pragma("application_id", APPLICATION_ID)  # rewrites a page with what it holds already

    def close(self) -> None:
        self.db.close()

    def _write(self, batch: Sequence[Op]) -> None:
        opened, posted = [], []
        for op in batch:
            if isinstance(op, Opened):
                opened.append(op.hold)
            elif isinstance(op, Posted):
                posted.append(op)
            elif isinstance(op, Began):  # as often as there are new runs, and nothing for the audit log
                self.db.execute(_BEGIN_RUN, (op.key_id, op.run_id, op.parent_run_id, op.agent, op.source, op.at_ms, op.at_ms))
            elif isinstance(op, Imported):
                self._write_imported(op)
            elif isinstance(op, Labelled | Learnt | StudentPut):
                routing.write(self.db, op)
            else:
                self._write_rare(op)
        if opened:
            write_holds(self.db, opened)
            self._remember(opened)
        if posted:
            self._write_posts(posted)

    def _write_posts(self, posted: list[Posted]) -> None:
        self._write_entries([op.entry for op in posted])
        ids = [op.entry.hold.id for op in posted]
        drop_holds(self.db, ids)
        self._own_responses([op.entry for op in posted if op.entry.response_id])
        unsent = [(op.entry.hold.id,) for op in posted if op.entry.hold.idempotency_key and op.entry.outcome in UNSENT]
        if unsent:
            self.db.executemany("DELETE FROM idempotency WHERE entry_id = ?", unsent)
        for key_id, (posted_nusd, excess_nusd) in _sums(posted).items():
            self._move(key_id, posted_nusd, excess_nusd)
        for op in posted:
            if op.overruns:
                self._record(op.overruns)
                self._note(op)
        self._forget_minutes(admitted_ms(ids[-1]) // MINUTE_MS)

    def _write_entries(self, entries: list[Entry]) -> None:
        write_entries(self.db, entries)
        rollup = Rollup()
        for entry in entries:
            rollup.add(entry)
        rollup.write(self.db)
        savings.write(self.db, entries)

    def _write_imported(self, op: Imported) -> None:
        fresh = imported.enter(self.db, op.rows)
        self._write_entries(fresh)
        if op.mark is not None:
            imported.mark(self.db, op.mark)
        op.fresh, op.fresh_nusd = len(fresh), {}
        for entry in fresh:
            key_id = entry.hold.key_id
            op.fresh_nusd[key_id] = op.fresh_nusd.get(key_id, 0) + entry.billed_nusd
        for key_id, nusd in op.fresh_nusd.items():
            self._move(key_id, nusd, 0)

    def _forget_minutes(self, minute: int) -> None:
        """Once an hour, the sums by the minute that no window needs any more."""
        if minute // 60 != self._pruned_hour:
            self._pruned_hour = minute // 60
            self.db.execute(
                "DELETE FROM rollup_minute WHERE key_id IN (SELECT id FROM keys) AND minute < ?", (minute - MINUTES_KEPT,)
            )

    def _write_rare(self, op: Op) -> None:
        match op:
            case Withdrawn(hold_ids):
                self.db.executemany("DELETE FROM holds WHERE id = ?", [(hold_id,) for hold_id in hold_ids])
                self.db.executemany("DELETE FROM idempotency WHERE entry_id = ?", [(hold_id,) for hold_id in hold_ids])
            case Grown(hold):
                self.db.execute(
                    "UPDATE holds SET held_nusd = ?, list_held_nusd = ?, output_tokens = ?, terms = ? WHERE id = ?",
                    (hold.held_nusd, hold.list_held_nusd, hold.output_tokens, hold.terms, hold.id),
                )
            case Adjusted(key_id, nusd, reason, created_ms, entry_id, excess_nusd):
                self.db.execute(
                    "INSERT INTO adjustments (key_id, entry_id, nusd, reason, created_ms) VALUES (?, ?, ?, ?, ?)",
                    (key_id, entry_id, nusd, reason, created_ms),
                )
                self._move(key_id, nusd, excess_nusd)
                self._record(op.overruns)
            case KeyCreated(key):
                settings = msgspec.json.encode(key.settings).decode()
                self.db.execute(
                    "INSERT INTO keys (id, name, digest, prefix, settings, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
                    (key.id, key.name, key.digest, key.prefix, settings, key.created_ms),
                )
                self.db.execute("INSERT INTO accounts (key_id, limit_nusd) VALUES (?, ?)", (key.id, key.limit_nusd))
            case KeyRevoked(key_id, revoked_ms):
                self.db.execute("UPDATE keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL", (revoked_ms, key_id))
            case KeyChanged(key_id, changed, _):
                self.db.execute("UPDATE keys SET settings = ? WHERE id = ?", (msgspec.json.encode(changed).decode(), key_id))
            case LimitSet(key_id, limit_nusd):
                self.db.execute("UPDATE accounts SET limit_nusd = ? WHERE key_id = ?", (limit_nusd, key_id))
                self._move(key_id, 0, op.excess_nusd)
                self._record(op.overruns)
            case _:
                self._write_rule(op)
        if isinstance(op, KeyRevoked | Kill | RunTightened) and not self.db.changes():
            return  # it is written again, and was written the first time
        self._note(op)

    def _write_rule(self, op: Op) -> None:
        match op:
            case LimitPut(limit, at_ms):
                self.db.execute(
                    "INSERT OR REPLACE INTO limits (name, settings, created_ms) VALUES (?, ?, ?)",
                    (limit.name, msgspec.json.encode(limit).decode(), at_ms),
                )
            case LimitRemoved(name, _):
                self.db.execute("DELETE FROM limits WHERE name = ?", (name,))
            case RunTightened(key_id, run_id, budget_nusd):
                self.db.execute(
                    "INSERT INTO run_budgets (key_id, run_id, budget_nusd) VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET budget_nusd = excluded.budget_nusd WHERE budget_nusd > excluded.budget_nusd",
                    (key_id, run_id, budget_nusd),
                )
            case Kill():
                self.db.execute(
                    "INSERT OR IGNORE INTO kills (id, subject, reason, created_ms) VALUES (?, ?, ?, ?)",
                    (op.id, op.subject, op.reason, op.created_ms),
                )
            case Lifted(kill_id, at_ms):
                self.db.execute("UPDATE kills SET lifted_ms = ? WHERE id = ?", (at_ms, kill_id))
            case Approval() | Decided():
                approval = op if isinstance(op, Approval) else op.approval
                self.db.execute(
                    f"INSERT OR REPLACE INTO approvals ({', '.join(APPROVAL_COLUMNS)}) VALUES ({', '.join('?' * len(APPROVAL_COLUMNS))})",
                    msgspec.structs.astuple(approval),
                )
            case Overran(overruns):
                self._record(overruns)

    def _record(self, overruns: Sequence[Overrun]) -> None:
        self.db.executemany(
            "INSERT INTO overruns (account, window_ms, amount, cause, at_ms, entry_id) VALUES (?, ?, ?, ?, ?, ?)",
            [msgspec.structs.astuple(overrun) for overrun in overruns],
        )

    def _note(self, op: Op) -> None:
        """What the operation leaves in the audit log, in the same transaction."""
        key_id = getattr(op, "key_id", None)
        name = "" if key_id is None else self.db.execute("SELECT name FROM keys WHERE id = ?", (key_id,)).get or str(key_id)
        for record in records_of(op, name):
            append(self.db, self._audit_key, record)

    def _move(self, key_id: int, posted_nusd: int, excess_nusd: int) -> None:
        self.db.execute(
            "UPDATE accounts SET posted_nusd = posted_nusd + ?, overrun_nusd = overrun_nusd + ? WHERE key_id = ?",
            (posted_nusd, excess_nusd, key_id),
        )

    def _remember(self, opened: list[Hold]) -> None:
        rows = [(h.key_id, h.idempotency_key, h.body_digest, h.id) for h in opened if h.idempotency_key]
        if not rows:
            return
        oldest = first_id_of_ms(admitted_ms(rows[-1][3]) - IDEMPOTENCY_TTL_S * 1000)
        self.db.execute("DELETE FROM idempotency WHERE entry_id < ?", (oldest,))
        self.db.executemany(
            "INSERT OR REPLACE INTO idempotency (key_id, digest, body_digest, entry_id) VALUES (?, ?, ?, ?)", rows
        )

    def _own_responses(self, entries: list[Entry]) -> None:
        if not entries:
            return
        oldest = first_id_of_ms(admitted_ms(entries[-1].hold.id) - RESPONSE_OWNER_TTL_S * 1000)
        self.db.execute("DELETE FROM stored_responses WHERE entry_id < ?", (oldest,))
        self.db.executemany(
            "INSERT OR REPLACE INTO stored_responses (digest, key_id, upstream, entry_id) VALUES (?, ?, ?, ?)",
            [(_digest(e.response_id), e.hold.key_id, e.hold.upstream, e.hold.id) for e in entries],
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _sums(posted: list[Posted]) -> dict[int, tuple[int, int]]:
    sums: dict[int, tuple[int, int]] = {}
    for op in posted:
        nusd, excess = sums.get(op.entry.hold.key_id, (0, 0))
        sums[op.entry.hold.key_id] = (nusd + op.entry.billed_nusd, excess + op.excess_nusd)
    return sums
