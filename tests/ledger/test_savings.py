"""What was saved is summed with the entries, in one transaction, and added up again by the ledger's check."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from jevons.core.entry import Outcome, first_id_of_ms, parse_request_text
from jevons.core.saving import Break, Saving, SavingKind
from jevons.core.usage import Usage
from jevons.ledger.bill import check, request_entries
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

READ = Saving(SavingKind.PROMPT_CLIENT, 70, 90)
TRIMMED = Saving(SavingKind.TRIM, 30, 12, estimated=True)
CHECKED = Saving(SavingKind.CHECK, -40, -15)
HIT = Saving(SavingKind.ANSWER_EXACT, 500, 21, estimated=True)


def posted(store: SqliteStore, at_ms: int, nusd: int, *savings: Saving, **changes: Any) -> int:
    hold = make_hold(first_id_of_ms(at_ms), **({"key_id": changes.pop("key_id")} if "key_id" in changes else {}))
    store.apply([Opened(hold), Posted(make_entry(hold, nusd, savings=savings, **changes))])
    return hold.id


@pytest.fixture
def saved(path: Path) -> Path:
    """Two days of two keys: reads, a trimmed request, a check, an answer from our cache."""
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2))])
    posted(store, NOON_MS, 100, TRIMMED, READ)
    posted(store, NOON_MS + 1, 100, READ, broke=Break(3, "system", "clock", 900, 45))
    posted(store, NOON_MS + 2, 40, CHECKED)
    posted(store, NOON_MS + 3, 60)
    posted(store, NOON_MS + DAY_MS, 0, HIT, key_id=2, outcome=Outcome.CACHED, usage=Usage(), lines=(), status=0)
    store.close()
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def test_lines_are_summed_by_the_day_and_shown_in_words(saved: Path) -> None:
    assert rows(saved, "SELECT day, key, kind, entries, tokens, nusd, estimated_nusd FROM daily_savings ORDER BY day, kind") == [
        ("2026-09-21", "key-1", "check", 1, -15, -40, 0),
        ("2026-09-21", "key-1", "prompt_client", 2, 180, 140, 0),
        ("2026-09-21", "key-1", "trim", 1, 12, 30, 30),
        ("2026-09-22", "key-2", "answer_exact", 1, 21, 500, 500),
    ]
    assert rows(saved, "SELECT list_nusd, baseline_nusd, steps FROM calls ORDER BY entry_id") == [
        (100, 200, 1),
        (100, 170, 1),
        (40, 0, 1),
        (60, 60, 1),
        (0, 500, 0),
    ]
    assert rows(saved, "SELECT key, model, position, role, cause, lost_tokens, lost_nusd FROM cache_breaks") == [
        ("key-1", "sent", 3, "system", "clock", 900, 45)
    ]
    assert check(saved) == []


def test_a_request_shows_its_baseline_and_each_line(saved: Path) -> None:
    first = parse_request_text(rows(saved, "SELECT request FROM calls ORDER BY entry_id LIMIT 1")[0][0]) or 0
    [entry] = request_entries(saved, first, 16)
    assert entry["baseline_nusd"] == 200
    assert entry["savings"] == [
        {"kind": "trim", "nusd": 30, "tokens": 12, "estimated": True},
        {"kind": "prompt_client", "nusd": 70, "tokens": 90, "estimated": False},
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE savings_day SET nusd = nusd + 1 WHERE kind = 'trim'",
        "UPDATE savings_day SET estimated_nusd = 0 WHERE kind = 'trim'",
        "DELETE FROM savings_day WHERE kind = 'trim'",
        "INSERT INTO savings_day SELECT day, key_id, agent, upstream, target, 'model', 1, 0, 5, 5 FROM savings_day WHERE kind = 'trim'",
    ],
)
def test_a_sum_that_is_not_of_the_entries_is_found(saved: Path, damage: str) -> None:
    db = apsw.Connection(str(saved))
    db.execute(damage)
    db.close()
    assert check(saved) == ["savings_day: 1 sums are not those of the entries"]


@pytest.mark.parametrize("lines", [(Saving("luck", 5, 5),), (Saving(SavingKind.CHECK, -39, -15),), (CHECKED, READ)])  # type: ignore[arg-type]
def test_a_line_that_no_entry_can_have_is_found(saved: Path, lines: tuple[Saving, ...]) -> None:
    store = SqliteStore(saved)
    posted(store, NOON_MS + 9, 40, *lines)
    store.close()
    assert check(saved) == ["1 entries whose savings are not as savings are written"]
