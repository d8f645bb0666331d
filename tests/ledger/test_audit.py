"""The audit log: every change leaves its line, and no line can be changed, put in or taken out unseen."""

import asyncio
from pathlib import Path

import apsw
import msgspec
import pytest

from jevons.ledger import audit
from jevons.ledger.audit import Anchor, Record, append, parse_anchor, verify
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import (
    Adjusted,
    Approval,
    Began,
    Decided,
    Key,
    KeyChanged,
    KeyCreated,
    KeyRevoked,
    KeySettings,
    Kill,
    Lifted,
    LimitPut,
    LimitRemoved,
    LimitSet,
    Noted,
    Op,
    Opened,
    Overran,
    Overrun,
    Posted,
    RunTightened,
    Withdrawn,
)
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.rules import Limit
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, caught_up, make_entry, make_hold, make_key, running, written

KEY = b"k" * 32
ANOTHER = b"a" * 32
QUESTION = Approval("apr_1", "daily:usd key:key-1", 0, "May it?", 50, NOON_MS, NOON_MS + 9)
EXCESS = (Overrun("daily:usd key:key-1", 7, 20, "post", NOON_MS + 1, 16),)
HOLD = make_hold(16)
OPERATIONS: list[tuple[Op, list[tuple[int, str, str, dict[str, object]]]]] = [
    (
        KeyCreated(make_key(1, 100)),
        [(NOON_MS, "key-create", "key:key-1", {"limit_nusd": 100, "settings": msgspec.to_builtins(KeySettings())})],
    ),
    (Opened(HOLD), []),
    (
        Posted(make_entry(HOLD, 120), 20, EXCESS),
        [(NOON_MS + 1, "overrun", "daily:usd key:key-1", {"amount": 20, "cause": "post", "entry_id": 16})],
    ),
    (Withdrawn((32,)), []),
    (Began(1, "run", None, "codex", "", NOON_MS), []),
    (Overran(EXCESS), [(NOON_MS + 1, "overrun", "daily:usd key:key-1", {"amount": 20, "cause": "post", "entry_id": 16})]),
    (
        Adjusted(1, -5, "refund", NOON_MS, 16, 0, EXCESS),
        [
            (NOON_MS, "adjust", "key:key-1", {"nusd": -5, "reason": "refund", "entry_id": 16}),
            (NOON_MS + 1, "overrun", "daily:usd key:key-1", {"amount": 20, "cause": "post", "entry_id": 16}),
        ],
    ),
    (
        KeyChanged(1, KeySettings(team="red"), NOON_MS),
        [(NOON_MS, "key-change", "key:key-1", {"settings": msgspec.to_builtins(KeySettings(team="red"))})],
    ),
    (
        LimitSet(1, 50, NOON_MS, 0, EXCESS),
        [
            (NOON_MS, "key-limit", "key:key-1", {"limit_nusd": 50}),
            (NOON_MS + 1, "overrun", "daily:usd key:key-1", {"amount": 20, "cause": "post", "entry_id": 16}),
        ],
    ),
    (KeyRevoked(1, NOON_MS), [(NOON_MS, "key-revoke", "key:key-1", {})]),
    (KeyRevoked(1, NOON_MS + 1), []),
    (
        LimitPut(Limit("daily", per="day", usd=5), NOON_MS),
        [(NOON_MS, "limit-set", "limit:daily", {"limit": msgspec.to_builtins(Limit("daily", per="day", usd=5))})],
    ),
    (LimitRemoved("daily", NOON_MS), [(NOON_MS, "limit-remove", "limit:daily", {})]),
    (RunTightened(1, "run", 500, NOON_MS), [(NOON_MS, "run-budget", "run:key-1/run", {"budget_nusd": 500})]),
    (RunTightened(1, "run", 500, NOON_MS), []),
    (Kill(3, "key:key-1", "runaway", NOON_MS), [(NOON_MS, "kill", "key:key-1", {"kill": 3, "reason": "runaway"})]),
    (Kill(3, "key:key-1", "runaway", NOON_MS), []),
    (Lifted(3, NOON_MS), [(NOON_MS, "lift", "kill:3", {})]),
    (QUESTION, [(NOON_MS, "ask", QUESTION.account, {"approval": "apr_1", "question": "May it?"})]),
    (Noted(NOON_MS, "denied", "key:key-1", {"b": 1, "a": "é"}), [(NOON_MS, "denied", "key:key-1", {"a": "é", "b": 1})]),
]


def test_every_change_leaves_its_line_and_calls_that_go_their_way_leave_none(path: Path) -> None:
    store = SqliteStore(path, audit_key=KEY)
    expected: list[tuple[int, str, str, dict[str, object]]] = []
    for op, lines in OPERATIONS:
        store.apply([op])
        expected += lines
        found = [(row["at_ms"], row["action"], row["subject"], row["detail"]) for row in audit.rows(path, 100)]
        assert found[::-1] == expected, op
    store.close()
    assert verify(path, KEY) == audit.Verdict(len(expected), verify(path, KEY).anchor, "")
    assert [row["seq"] for row in audit.rows(path, 3)] == [len(expected) - place for place in range(3)]
    assert {row["action"] for row in audit.rows(path, 100, "overrun")} == {"overrun"}
    assert len(audit.rows(path, 2, "overrun")) == 2


@pytest.mark.parametrize("state", ["approved", "denied"])
def test_an_answer_is_a_line_of_its_own(path: Path, state: str) -> None:
    store = SqliteStore(path, audit_key=KEY)
    answered = msgspec.structs.replace(QUESTION, state=state, decided_ms=NOON_MS + 5)
    store.apply([QUESTION, Decided(answered)])
    assert store.load().approvals == [answered]
    store.close()
    (row, _) = audit.rows(path, 2)
    assert (row["at_ms"], row["subject"], row["detail"]) == (NOON_MS + 5, QUESTION.account, {"approval": "apr_1", "grants": 50})
    assert str(row["action"]).endswith(state)


def test_a_line_of_a_key_that_is_not_there_names_its_number(path: Path) -> None:
    store = SqliteStore(path, audit_key=KEY)
    store.apply([RunTightened(9, "run", 5, NOON_MS)])
    store.close()
    assert [row["subject"] for row in audit.rows(path, 9)] == ["run:9/run"]


@pytest.mark.parametrize("was_written", [False, True])
def test_what_is_written_again_after_a_failed_commit_is_one_line(path: Path, was_written: bool) -> None:
    store = DoubtfulStore(SqliteStore(path, audit_key=KEY))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1))
            run = ledger.runs.enter(1, "run", None, NOON_MS)
            for change in (
                lambda: ledger.control.kill("key:key-1", "", NOON_MS),
                lambda: ledger.revoke_key(1, NOON_MS),
            ):
                store.failures = [(apsw.FullError("full"), was_written)]
                assert not await written(change())  # type: ignore[no-untyped-call]
                await caught_up(ledger)
            store.failures = [(apsw.FullError("full"), was_written)]
            ledger.tighten(run, ledger.who(ledger.by_id[1], "", "run"), 5, NOON_MS)
            await caught_up(ledger)

    asyncio.run(scene())
    assert [row["action"] for row in audit.rows(path, 9)] == ["run-budget", "key-revoke", "kill", "key-create"]
    assert verify(path, KEY).broken == ""


@pytest.fixture
def log(path: Path) -> Path:
    """Five lines."""
    store = SqliteStore(path, audit_key=KEY)
    for number in range(1, 6):
        store.apply([Noted(NOON_MS + number, "denied", f"key:key-{number}", {"number": number})])
    store.close()
    return path


def damaged(log: Path, sql: str) -> None:
    db = apsw.Connection(str(log))
    db.execute(f"DROP TRIGGER audit_is_never_edited; DROP TRIGGER audit_is_never_shortened; {sql}")
    db.close()


def test_the_log_refuses_to_be_edited_or_shortened(log: Path) -> None:
    store = SqliteStore(log)
    for sql in ("UPDATE audit SET at_ms = 0", "DELETE FROM audit", "REPLACE INTO audit SELECT * FROM audit WHERE seq = 2"):
        with pytest.raises(apsw.ConstraintError, match="the audit log is never"):
            store.db.execute(sql)
    store.close()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 3", "row 3 is not what was written"),
        ("UPDATE audit SET action = 'allowed' WHERE seq = 1", "row 1 is not what was written"),
        ("UPDATE audit SET subject = 'key:me' WHERE seq = 5", "row 5 is not what was written"),
        ("UPDATE audit SET detail = '{}' WHERE seq = 2", "row 2 is not what was written"),
        ("UPDATE audit SET mac = zeroblob(32) WHERE seq = 5", "row 5 is not what was written"),
        ("DELETE FROM audit WHERE seq = 1", "row 1 is missing"),
        ("DELETE FROM audit WHERE seq = 3", "row 3 is missing"),
        ("DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3", "row 3 is not what was written"),
        (
            "UPDATE audit SET seq = 9 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 9",
            "row 2 is not what was written",
        ),
        (
            "INSERT INTO audit SELECT 6, at_ms, action, subject, detail, mac FROM audit WHERE seq = 5",
            "row 6 is not what was written",
        ),
    ],
)
def test_a_changed_missing_or_foreign_line_is_found_and_named(log: Path, sql: str, words: str) -> None:
    assert verify(log, KEY).broken == ""
    damaged(log, sql)
    assert verify(log, KEY).broken == words


def test_who_has_not_the_key_cannot_write_a_line(log: Path) -> None:
    db = apsw.Connection(str(log))
    append(db, ANOTHER, Record(NOON_MS, "approved", "key:me", {}))
    db.close()
    assert verify(log, KEY).broken == "row 6 is not what was written"
    assert verify(log, ANOTHER).broken == "row 1 is not what was written"


def test_lines_cut_off_at_the_end_are_seen_against_an_anchor_only(log: Path) -> None:
    anchor = verify(log, KEY).anchor
    assert anchor.seq == 5 and parse_anchor(f" {anchor}\n") == anchor
    damaged(log, "DELETE FROM audit WHERE seq > 3")
    assert verify(log, KEY).broken == ""
    assert verify(log, KEY, anchor).broken == "rows after 3 are missing: the anchor names row 5"
    store = SqliteStore(log, audit_key=KEY)
    for number in (4, 5, 6):  # by whoever has the key, in place of those cut off
        store.apply([Noted(NOON_MS + number, "allowed", "key:me", {})])
    store.close()
    assert verify(log, KEY).broken == ""
    assert verify(log, KEY, anchor).broken == "row 5 is not the anchored one"


def test_an_anchor_in_the_middle_or_of_an_empty_log_is_met_by_what_came_after(log: Path, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "empty.db").close()
    first = verify(tmp_path / "empty.db", KEY)
    assert first == audit.Verdict(0, Anchor(0, bytes(32)), "")
    assert verify(log, KEY, first.anchor).broken == ""
    anchor = verify(log, KEY).anchor
    store = SqliteStore(log, audit_key=KEY)
    store.apply([Noted(NOON_MS, "denied", "key:key-1", {})])
    store.close()
    assert verify(log, KEY, anchor) == audit.Verdict(6, verify(log, KEY).anchor, "")
    damaged(log, "UPDATE audit SET detail = '{}' WHERE seq = 5")
    assert verify(log, KEY, anchor).broken == "row 5 is not what was written"  # said once, of what comes first


@pytest.mark.parametrize("text", ["", "5", "5:abc", f"x:{'0' * 64}", f"5:{'g' * 64}", f"5:{'0' * 64}0"])
def test_what_is_no_anchor_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not an anchor; it looks like"):
        parse_anchor(text)


def test_without_a_ledger_there_is_no_log(path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        verify(path, KEY)


def test_a_key_of_the_ledger_is_no_secret_of_the_log(path: Path) -> None:
    """The log says of a key what people may know: never its digest."""
    store = SqliteStore(path, audit_key=KEY)
    secret = Key(1, "agent", b"\x07" * 32, "jv-abcd", NOON_MS)
    store.apply([KeyCreated(secret)])
    store.close()
    (row,) = audit.rows(path, 9)
    assert "0707" not in repr(row) and "\\x07" not in repr(row)
