"""Reading the ledger: every sum is that of its rows, and a wrong sum is found."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from jevons.core.entry import Estimate, admitted_ms, first_id_of_ms, request_text
from jevons.ledger import bill as reading
from jevons.ledger.bill import accounts, bill, check, latest_entries, open_holds, request_entries, response_owner
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import Adjusted, KeyCreated, LimitSet, Opened, Posted
from jevons.ledger.rollup import DAY_MS, HOUR_MS, MINUTE_MS, MINUTES_KEPT
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, SETTINGS, WRONG_TYPE, make_entry, make_hold, make_key, overruns

MIDNIGHT_MS = NOON_MS // DAY_MS * DAY_MS
FIRST = first_id_of_ms(MIDNIGHT_MS + 1)
SECOND = first_id_of_ms(MIDNIGHT_MS + DAY_MS - 1)
THIRD = first_id_of_ms(MIDNIGHT_MS + DAY_MS)
OPEN = first_id_of_ms(MIDNIGHT_MS + DAY_MS + 5)


@pytest.fixture
def filled(path: Path) -> Path:
    """Two days, two keys, two models; one estimate, one subscription, one correction, one call under way."""
    store = SqliteStore(path)
    one = make_hold(FIRST, run_id="run-a")
    other = make_hold(SECOND, run_id="run-a", target="large", key_id=2)
    retried = make_hold(THIRD + 1, run_id="run-a", upstream="anthropic")
    store.apply(
        [
            KeyCreated(make_key(1, 1_000, settings=SETTINGS)),
            KeyCreated(make_key(2)),
            *map(Opened, (one, other, retried, make_hold(OPEN, 55, key_id=2))),
            Posted(make_entry(one, 30, response_id="resp_1", finish="stop")),
            Posted(make_entry(other, 50, billed_nusd=0)),
            Posted(make_entry(retried, 20, estimate=Estimate.SEEN, first_byte_ms=3)),
            Adjusted(1, -11, "refund", MIDNIGHT_MS + 7),
            Adjusted(1, 7, "none", MIDNIGHT_MS + 8, FIRST, 7, overruns(1, 7, FIRST)),
        ]
    )
    store.close()
    return path


def rows(document: dict[str, Any], by: str) -> list[tuple[Any, ...]]:
    return [(row[by], row["entries"], row["billed_nusd"], row["list_nusd"], row["estimated_nusd"]) for row in document["rows"]]


def test_bills_by_day_model_key_and_run(filled: Path) -> None:
    assert rows(bill(filled), "day") == [("2026-09-21", 2, 30, 80, 0), ("2026-09-22", 1, 20, 20, 20)]
    assert rows(bill(filled, by="model"), "model") == [
        ("openai/sent", 1, 30, 30, 0),
        ("anthropic/sent", 1, 20, 20, 20),
        ("openai/large", 1, 0, 50, 0),
    ]
    assert rows(bill(filled, by="key"), "key") == [("key-1", 2, 50, 50, 20), ("key-2", 1, 0, 50, 0)]
    by_run = bill(filled, by="run")
    assert rows(by_run, "run") == [("run-a", 2, 50, 50, 20), ("run-a", 1, 0, 50, 0)]  # a run is its key's own
    assert [row["key"] for row in by_run["rows"]] == ["key-1", "key-2"]


@pytest.mark.parametrize("by", ["day", "model", "key", "run"])
def test_totals_are_the_sums_of_the_rows_and_corrections(filled: Path, by: reading.By) -> None:
    document = bill(filled, by=by)
    assert {name: value for name, value in document.items() if name != "rows"} == {
        "total_nusd": 46,
        "list_nusd": 100,
        "estimated_nusd": 20,
        "adjustments_nusd": -4,
        "entries": 3,
    }
    assert sum(row["output"] for row in document["rows"]) == 15


def test_a_bill_of_some_days_or_one_key(filled: Path) -> None:
    second_day = MIDNIGHT_MS + DAY_MS
    assert bill(filled, since_ms=second_day)["total_nusd"] == 20
    assert bill(filled, until_ms=second_day)["total_nusd"] == 26
    assert bill(filled, until_ms=second_day + 1)["total_nusd"] == 46  # a day that has begun counts whole
    assert bill(filled, by="run", until_ms=second_day + 1)["entries"] == 3
    assert bill(filled, by="run", since_ms=MIDNIGHT_MS + 2)["entries"] == 2
    assert bill(filled, key="key-2") | {"rows": []} == {
        "total_nusd": 0,
        "list_nusd": 50,
        "estimated_nusd": 0,
        "adjustments_nusd": 0,
        "entries": 1,
        "rows": [],
    }
    assert bill(filled, key="key-1", by="run")["adjustments_nusd"] == -4
    assert bill(filled, key="nobody")["rows"] == []


def test_entries_come_with_their_lines_and_their_public_id(filled: Path) -> None:
    (entry,) = request_entries(filled, FIRST, 16)
    assert entry["request"] == request_text(FIRST)
    assert entry["lines"] == [
        {"kind": "input", "count": 10, "nusd": 10, "rate_numerator": 7},
        {"kind": "output", "count": 5, "nusd": 20, "rate_numerator": 9},
    ]
    assert (entry["chain"], entry["finish"], entry["first_byte_ms"]) == ("63" * 16, "stop", None)
    assert [e["id"] for e in request_entries(filled, THIRD, 16)] == [THIRD + 1]  # a later attempt of the same request
    assert request_entries(filled, FIRST, 16, key_id=2) == []
    assert request_entries(filled, FIRST, 16, key_id=1) == [entry]
    assert [e["id"] for e in latest_entries(filled, 2)] == [THIRD + 1, SECOND]


def test_calls_under_way_and_accounts(filled: Path) -> None:
    (hold,) = open_holds(filled)
    assert (hold["id"], hold["key_name"], hold["held_nusd"]) == (OPEN, "key-2", 55)
    one, two = accounts(filled)
    assert (one["name"], one["limit_nusd"], one["posted_nusd"], one["held_nusd"]) == ("key-1", 1_000, 46, 0)
    assert one["settings"] == {"default_output_tokens": 300, "models": ["gpt-*"], "denial_status": 429}
    assert (two["limit_nusd"], two["posted_nusd"], two["held_nusd"], two["settings"]) == (None, 0, 55, {})


def test_only_its_creator_owns_a_stored_response(filled: Path) -> None:
    assert response_owner(filled, "resp_1") == (1, "openai")
    assert response_owner(filled, "resp_2") is None


def test_the_view_of_lines_is_there_for_other_tools(filled: Path) -> None:
    with reading.reading(filled) as db:
        found = list(db.execute("SELECT position, kind, count, nusd FROM entry_lines WHERE entry_id = ?", (FIRST,)))
    assert found == [(0, "input", 10, 10), (1, "output", 5, 20)]


def test_without_a_ledger_it_says_how_to_get_one(path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger at"):
        bill(path)
    assert not path.exists()


DAMAGES = {
    "an account": (
        "UPDATE accounts SET posted_nusd = posted_nusd + 1 WHERE key_id = 1",
        "key key-1: the account says 47 nano-USD, its entries and adjustments 46",
    ),
    "an hour": ("UPDATE rollup_hour SET billed_nusd = billed_nusd + 1 WHERE key_id = 2", "rollup_hour: 1 sums"),
    "tokens of days": ("UPDATE rollup_day SET output = output - 1", "rollup_day: 3 sums"),
    "a day's model": ("UPDATE rollup_day SET target = 'other' WHERE key_id = 2", "rollup_day: 2 sums"),
    "an hour that is gone": ("DELETE FROM rollup_hour WHERE key_id = 2", "rollup_hour: 1 sums"),
    "steps of minutes": ("UPDATE rollup_minute SET steps = 7 WHERE key_id = 2", "rollup_minute: 1 sums"),
    "a minute's agent": ("UPDATE rollup_minute SET agent = 'codex' WHERE key_id = 2", "rollup_minute: 2 sums"),
    "a minute that is gone": ("DELETE FROM rollup_minute WHERE key_id = 2", "rollup_minute: 1 sums"),
    "a run": ("UPDATE runs SET estimated_nusd = 0 WHERE key_id = 1", "runs: 1 sums"),
    "a run that is gone": ("DELETE FROM runs WHERE key_id = 2", "runs: 1 sums"),
    "an overrun": (
        "UPDATE accounts SET overrun_nusd = 9 WHERE key_id = 1",
        "key key-1: the account says 9 nano-USD of overrun, the records of it 7",
    ),
    "the record of an overrun": (
        "DELETE FROM overruns",
        "key key-1: the account says 7 nano-USD of overrun, the records of it 0",
    ),
    "an overrun's entry": ("UPDATE overruns SET entry_id = 1", "1 overruns of entries that are not there"),
    "a correction's entry": ("UPDATE adjustments SET entry_id = 1", "2 adjustments of entries that are not there"),
    "lines": (
        "DROP TRIGGER entries_are_never_edited; UPDATE entries SET lines = '[]' WHERE key_id = 2",
        "1 entries whose lines do not sum",
    ),
    "a hold resolved by half": ("UPDATE holds SET id = (SELECT min(id) FROM entries)", "1 holds are open although"),
    "the file itself": (WRONG_TYPE, "SQLite says"),
}


def test_sums_by_the_minute_are_held_against_the_entries_as_far_back_as_they_are_kept(path: Path) -> None:
    store = SqliteStore(path)
    old, new = make_hold(FIRST), make_hold(FIRST + first_id_of_ms(MINUTES_KEPT * MINUTE_MS + HOUR_MS))
    for hold in (old, new):
        store.apply([*([KeyCreated(make_key())] if hold is old else []), Opened(hold), Posted(make_entry(hold, 30))])
    assert [minute for (minute,) in store.db.execute("SELECT minute FROM rollup_minute")] == [admitted_ms(new.id) // MINUTE_MS]
    assert check(path) == []
    store.close()


def test_an_overrun_that_no_entry_caused_is_none_of_an_entry_that_is_gone(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key()), LimitSet(1, 0, NOON_MS, 7, overruns(1, 7))])
    store.close()
    assert check(path) == []


def test_a_run_that_has_called_and_has_no_entry_yet_is_no_wrong_sum(filled: Path) -> None:
    store = SqliteStore(filled)
    store.db.execute("INSERT INTO runs SELECT 1, 'begun', NULL, '', '', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0")
    assert check(filled) == []
    store.db.execute("UPDATE runs SET billed_nusd = 1 WHERE run_id = 'begun'")
    assert check(filled) == ["runs: 1 sums are not those of the entries"]
    store.close()


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_wrong_sum_is_found_and_named(filled: Path, damage: str, words: str) -> None:
    assert check(filled) == []
    db = apsw.Connection(str(filled))
    db.execute(damage)
    db.close()
    problems = check(filled)
    assert [problem for problem in problems if words in problem], problems
