"""Reading the ledger: bills, entries, who owns what. Own read-only connections; never the writer's.

Every figure comes from rows that can be named: rollups for sums, entries for detail.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import apsw
import msgspec

from jevons.core.entry import first_id_of_ms, request_text
from jevons.core.limits import LEDGER_BUSY_S
from jevons.ledger import savings
from jevons.ledger.errors import LedgerError
from jevons.ledger.rollup import DAY_MS, HOUR_MS, MEASURES, MINUTE_MS, MINUTES_KEPT, OF_ENTRIES, OF_ENTRIES_BY_DAY
from jevons.ledger.schema import in_words
from jevons.policy.books import KEY_TOTAL

By = Literal["day", "model", "key", "run"]


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A read-only connection. Raises LedgerError if there is no ledger."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError:
        raise LedgerError(f"There is no ledger at {path} yet. `make run`, `jevons serve` or `jevons import` makes one.") from None
    try:
        db.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
        with in_words(path):
            yield db
    finally:
        db.close()


def bill(path: Path, *, by: By = "day", since_ms: int = 0, until_ms: int | None = None, key: str | None = None) -> dict[str, Any]:
    """Sums by day, model, key or run: {"total_nusd", "list_nusd", "entries", "adjustments_nusd", "rows": [...]}.

    `since_ms` and `until_ms` are cut to whole UTC days, except by run, where they are exact. total = sum of rows + adjustments.
    """
    with reading(path) as db:
        rows = _by_run(db, since_ms, until_ms, key) if by == "run" else _by_rollup(db, by, since_ms, until_ms, key)
        adjusted = db.execute(
            "SELECT coalesce(sum(nusd), 0) FROM adjustments JOIN keys ON keys.id = key_id"
            " WHERE adjustments.created_ms >= ? AND adjustments.created_ms < ? AND (? IS NULL OR name = ?)",
            (since_ms, _end(until_ms), key, key),
        ).get
    return {
        "total_nusd": sum(row["billed_nusd"] for row in rows) + adjusted,
        "list_nusd": sum(row["list_nusd"] for row in rows),
        "estimated_nusd": sum(row["estimated_nusd"] for row in rows),
        "adjustments_nusd": adjusted,
        "entries": sum(row["entries"] for row in rows),
        "rows": rows,
    }


def request_entries(path: Path, first_id: int, span: int, key_id: int | None = None) -> list[dict[str, Any]]:
    """Entries with ids in [first_id, first_id + span), as dictionaries with their lines, savings and baseline."""
    with reading(path) as db:
        found = db.execute(
            "SELECT * FROM entries WHERE id >= ? AND id < ? AND (? IS NULL OR key_id = ?) ORDER BY id",
            (first_id, first_id + span, key_id, key_id),
        )
        return [_entry(found, row) for row in found]


def latest_entries(path: Path, limit: int) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    with reading(path) as db:
        found = db.execute("SELECT * FROM entries ORDER BY id DESC LIMIT ?", (limit,))
        return [_entry(found, row) for row in found]


def open_holds(path: Path) -> list[dict[str, Any]]:
    """Calls under way: holds that have no entry yet."""
    with reading(path) as db:
        found = db.execute("SELECT holds.*, keys.name AS key_name FROM holds JOIN keys ON keys.id = key_id ORDER BY holds.id")
        return [_record(found, row) for row in found]


def accounts(path: Path) -> list[dict[str, Any]]:
    """Every key with its account: limit, spent, held now, recorded overrun."""
    with reading(path) as db:
        found = db.execute(
            "SELECT id, name, prefix, settings, created_ms, revoked_ms, limit_nusd, posted_nusd, overrun_nusd,"
            " (SELECT coalesce(sum(held_nusd), 0) FROM holds WHERE holds.key_id = keys.id) AS held_nusd"
            " FROM keys JOIN accounts ON key_id = id ORDER BY id"
        )
        return [{**_record(found, row), "settings": msgspec.json.decode(row[3])} for row in found]


def response_owner(path: Path, response_id: str) -> tuple[int, str] | None:
    """(key id, upstream) of the key that created a stored response."""
    with reading(path) as db:
        row = db.execute(
            "SELECT key_id, upstream FROM stored_responses WHERE digest = ?", (hashlib.sha256(response_id.encode()).digest(),)
        ).fetchone()
        return (row[0], row[1]) if row else None


def check(path: Path) -> list[str]:
    """What is wrong with the ledger, in words; empty if nothing is. Adds up every entry. Raises LedgerError if it cannot be read.

    Each question is one statement, so that a ledger that is being written gives one answer.
    """
    with reading(path) as db:
        problems = [f"SQLite says: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        if problems:
            return problems  # sums of a damaged file say nothing
        return [*_wrong_accounts(db), *_wrong_sums(db), *_wrong_rows(db), *savings.problems(db)]


def _wrong_accounts(db: apsw.Connection) -> Iterator[str]:
    for name, posted, counted in db.execute(
        "SELECT name, posted_nusd, (SELECT coalesce(sum(billed_nusd), 0) FROM entries WHERE key_id = keys.id)"
        " + (SELECT coalesce(sum(nusd), 0) FROM adjustments WHERE key_id = keys.id) AS counted FROM keys JOIN accounts ON key_id = id"
        " WHERE posted_nusd <> counted"
    ):
        yield f"key {name}: the account says {posted} nano-USD, its entries and adjustments {counted}"
    for name, overrun, recorded in db.execute(
        "SELECT name, overrun_nusd, (SELECT coalesce(sum(amount), 0) FROM overruns WHERE account = ? || name) AS recorded"
        " FROM keys JOIN accounts ON key_id = id WHERE overrun_nusd <> recorded",
        (f"{KEY_TOTAL.name}:{KEY_TOTAL.measure} key:",),
    ):
        yield f"key {name}: the account says {overrun} nano-USD of overrun, the records of it {recorded}"


def _wrong_sums(db: apsw.Connection) -> Iterator[str]:
    groups = {column: column for column in ("key_id", "agent", "upstream", "target")}
    minute, hour, day = (f"id / {first_id_of_ms(ms)}" for ms in (MINUTE_MS, HOUR_MS, DAY_MS))
    kept = f"(SELECT coalesce(max({minute}), 0) FROM entries WHERE source = '') - {MINUTES_KEPT}"
    yield from _unlike(
        db, "rollup_minute", {"minute": minute, **groups}, f"minute >= {kept}", f"{minute} >= {kept} AND source = ''"
    )
    yield from _unlike(db, "rollup_hour", {"hour": hour, **groups})
    yield from _unlike(db, "rollup_day", {"day": day, **groups, "tariff": "tariff"}, measures=OF_ENTRIES_BY_DAY)
    # A run that has called and has no entry yet stands there with nothing.
    begun = f"({', '.join(MEASURES)}) <> ({', '.join('0' * len(MEASURES))})"
    yield from _unlike(db, "runs", {"key_id": "key_id", "run_id": "run_id"}, begun, "run_id IS NOT NULL")


def _unlike(
    db: apsw.Connection,
    table: str,
    groups: dict[str, str],
    rolled_where: str = "true",
    counted_where: str = "true",
    *,
    measures: dict[str, str] = OF_ENTRIES,
) -> Iterator[str]:
    """Sums of `table` that are not those of the entries. `groups`: its columns, and each as SQL over an entry; so `measures`."""
    names = ", ".join(groups)
    rolled = f"SELECT {names}, {', '.join(measures)} FROM {table} WHERE {rolled_where}"
    counted = (
        f"SELECT {', '.join(f'{of_entry} AS {name}' for name, of_entry in groups.items())}, {', '.join(measures.values())}"
        f" FROM entries WHERE {counted_where} GROUP BY {', '.join(str(place + 1) for place in range(len(groups)))}"
    )
    wrong = db.execute(
        f"SELECT count(*) FROM (SELECT {names} FROM ({rolled} EXCEPT {counted}) UNION SELECT {names} FROM ({counted} EXCEPT {rolled}))"
    ).get
    if wrong:
        yield f"{table}: {wrong} sums are not those of the entries"


def _wrong_rows(db: apsw.Connection) -> Iterator[str]:
    if both := db.execute("SELECT count(*) FROM holds JOIN entries USING (id)").get:
        yield f"{both} holds are open although their entries are written"
    uneven = db.execute(
        "SELECT count(*) FROM entries WHERE list_nusd <> (SELECT coalesce(sum(value ->> 2), 0) FROM json_each(entries.lines))"
    ).get
    if uneven:
        yield f"{uneven} entries whose lines do not sum to them"
    for table in ("adjustments", "overruns"):
        lost = db.execute(
            f"SELECT count(*) FROM {table} WHERE entry_id IS NOT NULL AND entry_id NOT IN (SELECT id FROM entries)"
        ).get
        if lost:
            yield f"{lost} {table} of entries that are not there"


def _by_rollup(db: apsw.Connection, by: By, since_ms: int, until_ms: int | None, key: str | None) -> list[dict[str, Any]]:
    group = {"day": "date(day * 86400, 'unixepoch')", "model": "upstream || '/' || target", "key": "keys.name"}[by]
    sums = ", ".join(f"sum({column}) AS {column}" for column in MEASURES)
    found = db.execute(
        f"SELECT {group} AS {by}, {sums} FROM rollup_day JOIN keys ON keys.id = key_id"
        f" WHERE day >= ? AND day < ? AND (? IS NULL OR keys.name = ?) GROUP BY 1 ORDER BY {'1' if by == 'day' else 'billed_nusd DESC, 1'}",
        (since_ms // DAY_MS, -(-_end(until_ms) // DAY_MS), key, key),
    )
    return [_record(found, row) for row in found]


def _by_run(db: apsw.Connection, since_ms: int, until_ms: int | None, key: str | None) -> list[dict[str, Any]]:
    sums = ", ".join(f"{sql} AS {measure}" for measure, sql in OF_ENTRIES.items())
    found = db.execute(
        f"SELECT run_id AS run, (SELECT name FROM keys WHERE keys.id = key_id) AS key, {sums} FROM entries"
        " WHERE id >= ? AND id < ? AND (? IS NULL OR key_id = (SELECT id FROM keys WHERE name = ?))"
        " GROUP BY run_id, key_id ORDER BY billed_nusd DESC",
        (first_id_of_ms(since_ms), first_id_of_ms(_end(until_ms)), key, key),
    )
    return [_record(found, row) for row in found]


def _end(until_ms: int | None) -> int:
    return until_ms if until_ms is not None else 2**44  # the year 2527: whatever is in the ledger is before it


def _record(cursor: apsw.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    record = {name: value for (name, _), value in zip(cursor.get_description(), row, strict=True)}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in record.items()}


def _entry(cursor: apsw.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    record = _record(cursor, row)
    record["lines"] = [
        dict(zip(("kind", "count", "nusd", "rate_numerator"), line, strict=True)) for line in msgspec.json.decode(record["lines"])
    ]
    record["savings"] = [
        dict(zip(("kind", "nusd", "tokens", "estimated"), one, strict=True)) for one in msgspec.json.decode(record["savings"])
    ]
    baseline_nusd = record["list_nusd"] + sum(one["nusd"] for one in record["savings"])
    return {"request": request_text(record["id"]), **record, "baseline_nusd": baseline_nusd}
