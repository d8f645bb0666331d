"""The cache doctor's report: groups, shares, the month, and the ledger that it reads."""

from pathlib import Path

import pytest

from jevons.core.entry import Outcome
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.economics.prefix_breaks import ADVICE, WHAT, Calls, Loss, Report, doctor, report
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.breaks import Cause
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key, request_ids

CLOCK = Loss("a", "codex", "m", "clock", 1, "system", 1000, 500, "req_1")
CALLS = [Calls("a", "codex", "m", 10, 4000, 1000), Calls("b", "", "m", 5, 1000, 0), Calls("b", "", "n", 0, 0, 0)]


def test_every_cause_is_explained() -> None:
    assert set(WHAT) == set(ADVICE) == set(Cause)
    assert all(text.endswith(".") for text in ADVICE.values())


def test_groups_and_shares() -> None:
    losses = [
        CLOCK,
        CLOCK._replace(lost_nusd=700, request="req_2"),
        CLOCK._replace(position=0, role="tools", cause="tools_order"),
    ]
    found = report(losses, CALLS, 10 * DAY_MS)
    assert [(one.cause, one.position, one.times, one.share, one.lost_nusd, one.request) for one in found.findings] == [
        ("clock", 1, 2, 0.2, 1200, "req_2"),
        ("tools_order", 0, 1, 0.1, 500, "req_1"),
    ]
    assert (found.requests, found.broken, found.lost_tokens, found.lost_nusd) == (15, 3, 3000, 1700)
    assert found.month_nusd == sum(one.month_nusd or 0 for one in found.findings) == 1700 * 3
    assert [(one.model, one.requests, one.share) for one in found.models] == [("m", 15, 0.2), ("n", 0, 0.0)]


def test_where_nothing_differs_the_position_says_nothing() -> None:
    losses = [CLOCK._replace(cause="expired", role="", position=place) for place in (3, 5, 9)]
    [one] = report(losses, [], DAY_MS).findings
    assert (one.position, one.times, one.share) == (None, 3, 0.0)


def test_an_hour_is_a_day_and_no_time_is_no_month() -> None:
    hour = report([CLOCK], CALLS, DAY_MS // 24)
    assert (hour.observed_days, hour.month_nusd) == (1.0, 500 * 30)
    timeless = report([CLOCK], CALLS, None)
    assert (timeless.observed_days, timeless.month_nusd, timeless.findings[0].month_nusd) == (None, None, None)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Three calls of one key and one of another, an imported one, and one that failed."""
    following = request_ids()
    store = SqliteStore(tmp_path / "ledger.db")
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2))])
    broke = Break(1, "system", "clock", 2000, 4_000_000)
    for key_id, agent, more in (
        (1, "codex", {"broke": broke}),
        (1, "codex", {"broke": broke}),
        (1, "codex", {"usage": Usage(input=100, cache_read=900, output=5)}),
        (2, "aider", {"broke": Break(0, "model", "model", 700, 5)}),
        (2, "aider", {"source": "codex"}),
    ):
        hold = make_hold(following(), 500, key_id=key_id, agent=agent)
        store.apply([Opened(hold), Posted(make_entry(hold, 10, **more))])
    store.close()
    return tmp_path / "ledger.db"


def test_of_a_ledger(ledger: Path) -> None:
    found = doctor(ledger, 0, NOON_MS + 2 * DAY_MS)
    assert [(one.key, one.agent, one.cause, one.times) for one in found.findings] == [
        ("key-1", "codex", "clock", 2),
        ("key-2", "aider", "model", 1),
    ]
    assert found.requests == 4 and found.findings[0].share == round(2 / 3, 4)
    assert found.findings[0].request.startswith("req_")


def test_some_of_it(ledger: Path) -> None:
    def some(**wanted: str) -> Report:
        return doctor(ledger, 0, NOON_MS, **wanted)

    assert [one.key for one in some(key="key-2").findings] == ["key-2"]
    assert [one.key for one in some(agent="codex").findings] == ["key-1"]
    assert (some(model="nothing").requests, some(model="nothing").observed_days) == (0, None)
    assert doctor(ledger, NOON_MS + 30 * DAY_MS, NOON_MS + 31 * DAY_MS).requests == 0


def test_a_month_is_scaled_from_when_breaks_are_recorded(ledger: Path) -> None:
    """An installation that was updated has calls of which nobody looked at the prompt."""
    store = SqliteStore(ledger)
    old = make_hold(request_ids(NOON_MS - 28 * DAY_MS)(), 500, key_id=1)
    store.apply([Opened(old), Posted(make_entry(old, 10))])
    store.close()
    found = doctor(ledger, 0, NOON_MS + 2 * DAY_MS)
    assert found.observed_days == 2.0 and found.month_nusd is not None and found.month_nusd > found.lost_nusd * 14


def test_a_call_that_was_broken_off_and_lost_its_prefix_counts_among_the_calls(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db")
    hold = make_hold(request_ids()(), 500)
    gone = make_entry(hold, 10, outcome=Outcome.CANCELLED, broke=Break(1, "system", "clock", 2000, 4_000_000))
    store.apply([KeyCreated(make_key(1)), Opened(hold), Posted(gone)])
    store.close()
    [one] = doctor(tmp_path / "ledger.db", 0, NOON_MS).findings
    assert one.share == 1.0


def test_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        doctor(tmp_path / "ledger.db", 0, NOON_MS)
