"""Sums of a workload are those of the rows, and what rows do not say is not known."""

from pathlib import Path

import pytest

from jevons.core.entry import Outcome, first_id_of_ms
from jevons.core.routed import Role
from jevons.core.saving import Break, Saving, SavingKind
from jevons.core.usage import Usage
from jevons.economics.workload import DAYS_A_MONTH, Tokens, workload
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import KeyCreated, Op, Opened, Posted
from jevons.ledger.rollup import DAY_MS, HOUR_MS
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

DAY0 = NOON_MS // DAY_MS * DAY_MS
UNTIL = DAY0 + 2 * DAY_MS
CALL = Usage(input=600, cache_read=300, cache_write_5m=100, output=100)


def ledger(path: Path, ops: list[Op]) -> Path:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(number)) for number in (1, 2)])
    store.apply(ops)
    store.close()
    return path


def call(
    at_ms: int, lasts_ms: int, nusd: int = 1_000, *, key_id: int = 1, agent: str = "", target: str = "small", **changes: object
) -> list[Op]:
    hold = make_hold(first_id_of_ms(at_ms), key_id=key_id, agent=agent, target=target)
    fields: dict[str, object] = {"usage": CALL, "settled_ms": at_ms + lasts_ms, "first_byte_ms": 1_000}
    return [Opened(hold), Posted(make_entry(hold, nusd, **(fields | changes)))]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Three that overlap and one in the next hour, of the first day; one of another key on the second; a hit and a void."""
    saved = {"savings": (Saving(SavingKind.ROUTE, 500, 0, False),)}
    return ledger(
        tmp_path / "ledger.db",
        [
            *call(DAY0, 11_000),
            *call(DAY0 + 5_000, 21_000, agent="codex", broke=Break(2, "user", "changed", 900, 77)),
            *call(DAY0 + 10_999, 5_000, target="large"),
            *call(DAY0 + HOUR_MS, 11_000),
            *call(DAY0 + DAY_MS, 3_000, key_id=2, **saved),
            *call(DAY0 + DAY_MS + 1, 3_000, outcome=Outcome.CACHED),
            *call(DAY0 + DAY_MS + 2, 3_000, outcome=Outcome.VOID, usage=Usage()),
        ],
    )


def test_sums_are_those_of_the_rows(calls: Path) -> None:
    found = workload(calls, DAY0, UNTIL)
    assert found is not None
    assert found.sums == Tokens(5, 5 * 600, 5 * 300, 5 * 100, 5 * 100)
    assert (found.sums.computed, found.sums.prompt, found.sums.all) == (3_500, 5_000, 5_500)
    assert found.busiest == Tokens(3, 1_800, 900, 300, 300) and found.busiest_hour == DAY0 // HOUR_MS
    assert found.open_most == 3 and found.open_mean == (11_000 + 21_000 + 5_000 + 11_000 + 3_000) / (2 * DAY_MS)
    # 100 tokens in 10, 20, 4, 10 and 2 seconds after the first byte
    assert found.tok_s_user == 10
    assert found.days == 2 and found.tokens_a_month == pytest.approx(5_500 / 2 * DAYS_A_MONTH)
    assert (found.money.list_nusd, found.money.ours_nusd, found.money.baseline_nusd) == (7_000, 500, 7_500)
    assert found.prefix_lost_nusd == found.document()["prefix_lost_nusd"] == 77
    with reading(calls) as db:
        again = db.execute(found.sql).fetchone()
    assert again is not None and again[:6] == (5, 5, 3_000, 1_500, 500, 500)


def test_a_part_of_the_calls(calls: Path) -> None:
    whole = workload(calls, DAY0, UNTIL)
    parts = [workload(calls, DAY0, UNTIL, key=f"key-{number}") for number in (1, 2)]
    assert whole is not None and sum(part.sums.all for part in parts if part) == whole.sums.all
    agent, model = workload(calls, DAY0, UNTIL, agent="codex"), workload(calls, DAY0, UNTIL, model="openai/l*")
    assert agent is not None and model is not None and agent.entries == model.entries == 1
    assert (agent.prefix_lost_nusd, model.prefix_lost_nusd) == (77, 0)
    second = workload(calls, 0, UNTIL, key="key-2")
    assert (
        second is not None and second.since_ms == DAY0 + DAY_MS and second.days == 1
    )  # days before the first call thin out nothing
    with reading(calls) as db:
        assert db.execute(second.sql).fetchone()[0] == 1  # type: ignore[index]
    assert workload(calls, DAY0, UNTIL, key="it's nobody's") is None
    assert workload(calls, UNTIL, UNTIL + DAY_MS) is None


def test_what_our_caches_answered_is_asked_for_and_what_we_asked_ourselves_is_not(tmp_path: Path) -> None:
    spared = [Saving(SavingKind.ANSWER_EXACT, 1_000, 1_100, True), Saving(SavingKind.TRIM, 5, 50, True)]
    own = {"role": Role.SHADOW, "savings": (Saving(SavingKind.SHADOW, -700, -1_100),)}
    ops = [
        *call(DAY0, 11_000, savings=(spared[1],)),
        *call(DAY0 + 1, 50, 0, usage=Usage(), outcome=Outcome.CACHED, savings=(spared[0],)),
        *call(DAY0 + 2, 90_000, 700, **own),
    ]
    path = ledger(tmp_path / "ledger.db", ops)
    found = workload(path, DAY0, UNTIL)
    assert found is not None
    assert (found.sums, found.open_most, found.tok_s_user) == (Tokens(1, 600, 300, 100, 100), 1, 10)
    assert (found.spared, found.asked) == (1_150, 2_250) and found.tokens_a_month == 2_250 / found.months
    assert found.money.baseline_nusd == 1_000 + 1_000 + 5 and found.money.billed_nusd == 1_700
    assert (found.own_entries, found.own_billed_nusd) == (1, 700)
    with reading(path) as db:
        again = db.execute(found.sql).fetchone()
    assert again is not None and again[2:6] == (600, 300, 100, 100)


def test_imported_rows_do_not_say_how_long_a_call_took_nor_buckets_their_hour(tmp_path: Path) -> None:
    bucket = {"source": "buckets", "requests": 50, "usage": Usage(input=50_000, output=5_000)}
    found = workload(ledger(tmp_path / "a.db", call(DAY0, DAY_MS, **bucket)), DAY0, UNTIL)
    assert found is not None and found.sums.requests == 50
    assert (found.busiest, found.open_mean, found.open_most, found.tok_s_user) == (None, None, None, None)
    document = found.document()
    assert document["busiest_hour"] is None and document["tokens"] == 55_000
    single = workload(
        ledger(tmp_path / "b.db", [*call(DAY0, 0, source="codex"), *call(DAY0 + 1, 0, source="codex")]), DAY0, UNTIL
    )
    assert single is not None and single.busiest is not None and single.busiest.requests == 2 and single.open_most is None


def test_without_a_ledger_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        workload(tmp_path / "ledger.db", 0, UNTIL)
