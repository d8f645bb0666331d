"""The views say what the tables and the bill say, in names, times and dollars. tests/docs holds their columns against docs/sql.md."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.ledger.bill import bill, latest_entries, reading, request_entries
from jevons.ledger.ops import FileMark, Imported, ImportRow, KeyCreated, KeySettings, LimitPut, Opened, Posted
from jevons.ledger.runs import runs
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.rules import Limit
from tests.ledger.making import NOON_MS, batches, make_entry, make_hold, make_key

NUSD = "coalesce(sum(billed_nusd), 0), coalesce(sum(list_nusd), 0)"


@pytest.fixture
def worked(path: Path) -> Iterator[apsw.Connection]:
    """Two keys of one organisation and one of a team with rows of another's log; runs, retries, corrections, holds under way."""
    store = SqliteStore(path)
    for batch in batches(random.Random(7), 60):
        store.apply(batch)
    store.apply([KeyCreated(make_key(3, settings=KeySettings(team="search", org="acme", source="demo")))])
    rows = tuple(
        ImportRow(
            bytes([n]) * 16,
            make_entry(make_hold(first_id_of_ms(NOON_MS + n), key_id=3), 2_500_000_000, source="demo", requests=n),
        )
        for n in range(5)
    )
    store.apply([Imported(rows, FileMark("demo", "/logs/demo.jsonl", 900, 1, 900, 6, 1, NOON_MS))])
    store.close()
    with reading(path) as db:
        yield db


def one(db: apsw.Connection, sql: str) -> Any:
    return db.execute(sql).fetchone()


def test_every_view_sums_to_the_bill(worked: apsw.Connection) -> None:
    found = bill(Path(worked.filename))
    billed = found["total_nusd"] - found["adjustments_nusd"]
    assert billed and found["adjustments_nusd"]
    assert one(worked, f"SELECT {NUSD} FROM calls") == (billed, found["list_nusd"])
    assert one(worked, f"SELECT {NUSD} FROM daily_spend") == (billed, found["list_nusd"])
    assert one(worked, "SELECT sum(list_nusd) FROM call_lines") == (found["list_nusd"],)
    assert one(worked, "SELECT sum(nusd) FROM corrections") == (found["adjustments_nusd"],)
    assert one(worked, "SELECT sum(posted_nusd) FROM key_limits") == (found["total_nusd"],)
    assert one(worked, f"SELECT {NUSD} FROM run_costs") == one(worked, f"SELECT {NUSD} FROM calls WHERE run IS NOT NULL")


def test_a_call_is_the_entry_in_words(worked: apsw.Connection) -> None:
    entry = next(entry for entry in latest_entries(Path(worked.filename), 1_000) if entry["run_id"] == "child")
    cursor = worked.execute("SELECT * FROM calls WHERE request = ? AND attempt = ?", (entry["request"], entry["id"] & 15))
    call = dict(zip((name for name, _ in cursor.get_description()), cursor.fetchone() or (), strict=True))
    assert call["entry_id"] == entry["id"]
    assert (call["key"], call["org"], call["team"], call["run"]) == (f"key-{entry['key_id']}", "default", "", "child")
    assert (call["asked"], call["model"], call["upstream"], call["source"]) == ("asked", "sent", "openai", "")
    assert call["admitted"].startswith("2026-09-21 ") and call["admitted"].endswith(f".{(entry['id'] >> 18) % 1000:03d}")
    assert call["day"] == call["admitted"][:10]
    assert call["tokens"] == 21 and call["steps"] == 1
    assert call["billed_usd"] == entry["billed_nusd"] / 1e9
    assert call["duration_ms"] == entry["settled_ms"] - (entry["id"] >> 18)
    lines = worked.execute("SELECT kind, count, list_nusd FROM call_lines WHERE entry_id = ? ORDER BY position", (entry["id"],))
    [again] = request_entries(Path(worked.filename), entry["id"], 1)
    assert lines.fetchall() == [(line["kind"], line["count"], line["nusd"]) for line in again["lines"]]


def test_imported_rows_say_so(worked: apsw.Connection) -> None:
    assert one(worked, "SELECT source, keys, entries, billed_nusd, billed_usd, first_day FROM import_sources") == (
        *("demo", 1, 5, 12_500_000_000, 12.5, "2026-09-21"),
    )
    assert one(worked, "SELECT kind, path, rows, set_aside, bytes_done, bytes FROM import_progress") == (
        "demo",
        "/logs/demo.jsonl",
        6,
        1,
        900,
        900,
    )
    assert one(
        worked, "SELECT count(*), sum(requests), sum(steps) FROM calls WHERE source = 'demo' AND team = 'search' AND org = 'acme'"
    ) == (5, 10, 10)
    assert one(worked, "SELECT sum(entries), sum(steps), sum(billed_usd) FROM daily_spend WHERE source = 'demo'") == (5, 10, 12.5)
    assert one(worked, "SELECT count(*) FROM key_limits WHERE source = 'demo' AND NOT revoked AND limit_usd IS NULL") == (1,)


def test_key_limits_are_the_accounts(worked: apsw.Connection) -> None:
    held = worked.execute("SELECT key, held_nusd FROM key_limits WHERE source = '' ORDER BY key").fetchall()
    assert (
        held
        == worked.execute(
            "SELECT name, sum(held_nusd) FROM holds JOIN keys ON keys.id = key_id GROUP BY name ORDER BY name"
        ).fetchall()
    )
    limits = worked.execute("SELECT key, limit_nusd, overrun_nusd FROM key_limits").fetchall()
    assert limits == worked.execute("SELECT name, limit_nusd, overrun_nusd FROM keys JOIN accounts ON key_id = id").fetchall()


def test_trees_sum_to_their_runs(worked: apsw.Connection) -> None:
    trees = worked.execute(
        "SELECT key, run, root, runs, steps, input_tokens, output_tokens, billed_nusd FROM run_trees ORDER BY key, run"
    ).fetchall()
    listed = [
        (*(r["key"], r["run_id"], int(r["depth"] == 1), 2 - (r["run_id"] == "child"), r["tree_steps"], r["tree_input_tokens"]),
         *(r["tree_output_tokens"], r["tree_billed_nusd"]))
        for r in runs(Path(worked.filename))
    ]  # fmt: skip
    assert trees == sorted(listed)
    assert one(worked, f"SELECT {NUSD} FROM run_trees WHERE root") == one(worked, f"SELECT {NUSD} FROM run_costs")
    assert worked.execute("SELECT DISTINCT parent, named_by FROM run_costs WHERE run = 'child'").fetchall() == [
        ("run", "inferred")
    ]


def test_runs_that_name_each_other_are_followed_once(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key())])
    for n, (run, parent) in enumerate((("a", "b"), ("b", "a"), ("lost", "gone"))):
        hold = make_hold(first_id_of_ms(NOON_MS + n), run_id=run, parent_run_id=parent)
        store.apply([Opened(hold), Posted(make_entry(hold, 10))])
    assert store.db.execute("SELECT run, root, runs, billed_nusd FROM run_trees ORDER BY run").fetchall() == [
        ("a", 0, 2, 20),
        ("b", 0, 2, 20),
        ("lost", 1, 1, 10),
    ]
    store.close()


def test_what_was_never_sent_is_no_step(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key())])
    for n, outcome in ((0, Outcome.VOID), (1, Outcome.OK)):
        hold = make_hold(first_id_of_ms(NOON_MS) + n * 16)
        store.apply([Opened(hold), Posted(make_entry(hold, 10, outcome=outcome))])
    retry = make_hold(first_id_of_ms(NOON_MS) + 17)
    store.apply([Opened(retry), Posted(make_entry(retry, 10))])
    assert store.db.execute("SELECT attempt, outcome, steps FROM calls ORDER BY entry_id").fetchall() == [
        (0, "void", 0),
        (0, "ok", 1),
        (1, "ok", 0),
    ]
    store.close()


def test_limits_that_were_set(path: Path) -> None:
    store = SqliteStore(path)
    store.apply(
        [
            LimitPut(Limit("daily", scope="team", per="day", usd="5", mode="observe"), NOON_MS),
            LimitPut(Limit("all", steps=9), NOON_MS),
        ]
    )
    assert store.db.execute("SELECT name, scope, per, mode, usd, steps, at FROM limits_set ORDER BY name").fetchall() == [
        ("all", "key", "total", "enforce", None, 9, "2026-09-21 14:13:20.000"),
        ("daily", "team", "day", "observe", "5", None, "2026-09-21 14:13:20.000"),
    ]
    store.close()


def test_a_view_cannot_be_written(worked: apsw.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="cannot modify"):
        worked.execute("UPDATE calls SET billed_nusd = 0")
