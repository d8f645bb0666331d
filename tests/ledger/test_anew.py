"""Accounts that are made anew, after a start or a change of limits: each says what it would say had it been there all the time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from jevons.core.entry import Hold, admitted_ms
from jevons.core.usage import Usage
from jevons.ledger import ledger as ledger_module
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeySettings
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.accounts import Account
from jevons.policy.amounts import bound
from jevons.policy.rules import Limit
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, balance, caught_up, dump_file, make_entry, make_hold, make_key, running

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
OTHER = Limit("other", steps=10**6)
"""Setting it makes all accounts anew and changes nothing for those there are."""


def unix_ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


def path_of(
    ledger: Ledger, at_ms: int, *, run: str | None = None, parent: str | None = None, key_id: int = 1
) -> dict[str, Account]:
    """The accounts of a call, by limit and subject."""
    node = ledger.runs.enter(key_id, run, parent, at_ms) if run is not None else None
    path = ledger.path_of(ledger.who(ledger.by_id[key_id], "codex", run), node, "sent", at_ms)
    return {f"{account.rule.name} {account.subject}": account for account in path}


async def hold_at(
    ledger: Ledger, at_ms: int, nusd: int, *, run: str | None = None, parent: str | None = None, key_id: int = 1
) -> Hold:
    path = tuple(path_of(ledger, at_ms, run=run, parent=parent, key_id=key_id).values())
    hold = make_hold(ledger.next_request(at_ms), nusd, key_id=key_id, run_id=run, parent_run_id=parent, agent="codex")
    assert admitted_ms(hold.id) == at_ms
    await ledger.take(hold, path, bound(nusd, nusd, 10, 10, step=True))
    return hold


async def call_at(ledger: Ledger, at_ms: int, nusd: int, **of: str | int | None) -> Hold:
    hold = await hold_at(ledger, at_ms, nusd, **of)  # type: ignore[arg-type]
    await ledger.post(make_entry(hold, nusd, usage=Usage(input=10, output=10)))
    return hold


Scene = Callable[[Ledger], Awaitable[None]]


def lives(path: Path, *scenes: Scene, limits: tuple[Limit, ...] = ()) -> None:
    """Each scene in a process of its own, over the same ledger."""

    async def live(scene: Scene, first: bool) -> None:
        async with running(path) as ledger:
            if first:
                await ledger.add_key(make_key(1))
                for limit in limits:
                    await ledger.put_limit(limit, NOON_MS)
            await scene(ledger)

    for number, scene in enumerate(scenes):
        asyncio.run(live(scene, number == 0))


def test_an_open_call_stays_in_the_window_of_its_admission(path: Path) -> None:
    """A post belongs to the window of its hold, although the limits changed meanwhile."""
    late = unix_ms(2026, 9, 21, 23, 59)

    async def scene(ledger: Ledger) -> None:
        hold = await hold_at(ledger, late, 100)
        await call_at(ledger, late + HOUR_MS, 7)
        await ledger.put_limit(OTHER, late + HOUR_MS)
        assert balance(path_of(ledger, late)["daily key:key-1"])[1:3] == (0, 100)
        assert balance(path_of(ledger, late + HOUR_MS)["daily key:key-1"])[1:3] == (7, 0)
        await ledger.post(make_entry(hold, 90))

    async def again(ledger: Ledger) -> None:
        assert balance(path_of(ledger, late)["daily key:key-1"])[1:3] == (90, 0)
        assert balance(path_of(ledger, late + HOUR_MS)["daily key:key-1"])[1:3] == (7, 0)

    lives(path, scene, again, limits=(Limit("daily", per="day", usd="1"),))


def test_what_left_a_rolling_window_while_a_call_was_open_is_no_excess(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        await call_at(ledger, NOON_MS, 100)
        await hold_at(ledger, NOON_MS + MINUTE_MS, 0)
        await call_at(ledger, NOON_MS + 6 * MINUTE_MS, 100)
        await ledger.put_limit(OTHER, NOON_MS)
        assert balance(path_of(ledger, NOON_MS + 6 * MINUTE_MS)["burst key:key-1"]) == (100, 100, 0, 0)

    lives(path, scene, limits=(Limit("burst", per="5m", usd="100e-9"),))
    assert dump_file(path)["overruns"] == []


def test_a_short_rolling_window_forgets_over_a_restart_when_it_would_have_without(path: Path) -> None:
    """Its buckets are finer than the sums by the minute."""
    at_ms = NOON_MS - NOON_MS % MINUTE_MS + 1_000

    async def scene(ledger: Ledger) -> None:
        await call_at(ledger, at_ms, 100)
        await call_at(ledger, at_ms + 20_000, 30)

    async def again(ledger: Ledger) -> None:
        assert path_of(ledger, at_ms + 30_499)["burst key:key-1"].posted == 130
        assert path_of(ledger, at_ms + 30_500)["burst key:key-1"].posted == 30

    lives(path, scene, again, limits=(Limit("burst", per="30s", usd="200e-9"),))


@pytest.mark.parametrize(
    ("per", "timezone", "start_ms"),
    [
        ("year", "Asia/Kolkata", unix_ms(2025, 12, 31, 18, 30)),
        ("year", "UTC", unix_ms(2026, 1, 1)),
        ("month", "Asia/Kolkata", unix_ms(2026, 3, 31, 18, 30)),
        ("month", "Europe/Zurich", unix_ms(2026, 3, 31, 22)),
        ("week", "Australia/Lord_Howe", unix_ms(2026, 4, 5, 13, 30)),
        ("day", "Asia/Kathmandu", unix_ms(2026, 4, 5, 18, 15)),
        ("hour", "Asia/Kathmandu", unix_ms(2026, 4, 5, 9, 15)),
    ],
)
def test_a_calendar_window_begins_and_ends_over_a_restart_where_its_clock_says(
    path: Path, per: str, timezone: str, start_ms: int
) -> None:
    """Also where midnight there is no full hour in UTC, and the sums by the hour lie across it."""

    async def scene(ledger: Ledger) -> None:
        end_ms = path_of(ledger, start_ms)["budget key:key-1"].period.end_ms
        for at_ms, nusd in (
            (start_ms - 1, 1),
            (start_ms, 10),
            (start_ms + 40 * MINUTE_MS, 100),
            (end_ms - 1, 1_000),
            (end_ms, 10_000),
        ):
            await call_at(ledger, at_ms, nusd)

    async def again(ledger: Ledger) -> None:
        end_ms = path_of(ledger, start_ms)["budget key:key-1"].period.end_ms
        assert timedelta(minutes=30) < timedelta(milliseconds=end_ms - start_ms)
        assert path_of(ledger, start_ms)["budget key:key-1"].posted == 1_110
        assert path_of(ledger, start_ms - 1)["budget key:key-1"].posted == 1
        assert path_of(ledger, end_ms)["budget key:key-1"].posted == 10_000

    lives(path, scene, again, limits=(Limit("budget", per=per, timezone=timezone, usd="1"),))


def test_a_correction_counts_in_its_window_although_nobody_called_in_it(path: Path) -> None:
    september, october = unix_ms(2026, 9, 30), unix_ms(2026, 10, 1)

    async def scene(ledger: Ledger) -> None:
        await call_at(ledger, september, 100)
        await ledger.adjust(1, 60, "an invoice", october)
        assert path_of(ledger, october + DAY_MS)["monthly key:key-1"].posted == 60

    async def again(ledger: Ledger) -> None:
        assert path_of(ledger, october + DAY_MS)["monthly key:key-1"].posted == 60
        assert path_of(ledger, september)["monthly key:key-1"].posted == 100

    lives(path, scene, again, limits=(Limit("monthly", per="month", usd="1"),))


def test_a_correction_of_an_entry_counts_where_the_entry_counts(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        await ledger.add_key(make_key(2))
        of_run = await call_at(ledger, NOON_MS, 100, run="root")
        await call_at(ledger, NOON_MS + DAY_MS, 200)
        await ledger.adjust(1, -40, "refund", NOON_MS + 2 * DAY_MS, of_run.id)
        await ledger.adjust(1, 7, "fee", NOON_MS + 2 * DAY_MS)
        for entry_id, key_id in ((of_run.id, 2), (of_run.id + 16, 1), (16, 1)):
            with pytest.raises(LedgerError, match=rf"Key 'key-{key_id}' has no request req_0.* to correct"):
                await ledger.adjust(key_id, -1, "refund", NOON_MS, entry_id)
        await says(ledger)

    async def says(ledger: Ledger) -> None:
        first = path_of(ledger, NOON_MS, run="root")
        assert {name: account.posted for name, account in first.items()} == {
            "codex agent:key-1/codex": 260,
            "daily key:key-1": 60,
            "key key:key-1": 267,
            "session run:key-1/root": 60,
            "run-budget run:key-1/root": 60,
        }
        assert path_of(ledger, NOON_MS + 2 * DAY_MS)["daily key:key-1"].posted == 7

    lives(
        path,
        scene,
        says,
        limits=(Limit("daily", per="day", usd=1), Limit("codex", scope="agent", usd=1), Limit("session", scope="run", usd=1)),
    )
    assert [(row[2], row[3]) for row in dump_file(path)["adjustments"]][-1] == (None, 7)


def test_a_tree_of_runs_is_whole_although_one_between_has_no_entry_yet(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        await hold_at(ledger, NOON_MS, 5, run="middle", parent="root")
        await call_at(ledger, NOON_MS + 1, 70, run="leaf", parent="middle")
        await ledger.put_limit(OTHER, NOON_MS)
        assert balance(path_of(ledger, NOON_MS + 2, run="leaf")["session run:key-1/root"])[1:3] == (70, 5)
        await call_at(ledger, NOON_MS + 3, 1, run="root")

    async def again(ledger: Ledger) -> None:
        path = path_of(ledger, NOON_MS + 4, run="leaf")
        assert [name for name in path if name.startswith("run-budget")] == [
            "run-budget run:key-1/root",
            "run-budget run:key-1/middle",
            "run-budget run:key-1/leaf",
        ]
        assert path["session run:key-1/root"].posted == 70 + 1 + 5  # the open call died with its process, and is charged whole
        assert path["run-budget run:key-1/middle"].posted == 70 + 5

    def crashed() -> None:
        store = SqliteStore(path)
        settle_open_holds(store, NOON_MS)
        store.close()

    lives(path, scene, limits=(Limit("session", scope="run", usd=1),))
    crashed()
    lives_on(path, again)
    rows = {row[1]: row[2:5] for row in dump_file(path)["runs"]}
    assert rows == {"root": (None, "codex", ""), "middle": ("root", "codex", ""), "leaf": ("middle", "codex", "")}


def lives_on(path: Path, scene: Scene) -> None:
    async def live() -> None:
        async with running(path) as ledger:
            await scene(ledger)

    asyncio.run(live())


def test_a_run_is_on_record_although_the_commit_that_began_it_failed(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1))
            store.failures = [(apsw.FullError("full"), False)]
            with pytest.raises(LedgerUnavailable):
                await hold_at(ledger, NOON_MS, 5, run="leaf", parent="root")
            await call_at(ledger, NOON_MS + 1, 70, run="leaf", parent="root")

    asyncio.run(scene())
    assert [(row[1], row[2], row[7]) for row in dump_file(path)["runs"]] == [("leaf", "root", 1), ("root", None, 0)]


def test_a_budget_that_could_not_be_written_is_written_when_the_disk_is_back(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1))
            run, who = ledger.runs.enter(1, "root", None, NOON_MS), ledger.who(ledger.by_id[1], "", "root")
            store.failures = [(apsw.FullError("full"), False)]
            ledger.tighten(run, who, 500, NOON_MS)
            ledger.tighten(run, who, 900, NOON_MS)  # a budget is never raised
            await caught_up(ledger)

    async def again(ledger: Ledger) -> None:
        assert path_of(ledger, NOON_MS + 1, run="root")["run-budget run:key-1/root"].limit == 500

    asyncio.run(scene())
    lives_on(path, again)
    assert dump_file(path)["run_budgets"] == [(1, "root", 500)]


def test_a_budget_counts_what_was_spent_and_held_before_it_came(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        await call_at(ledger, NOON_MS, 40, run="root")
        await hold_at(ledger, NOON_MS + 1, 30, run="child", parent="root")
        run, who = ledger.runs.enter(1, "root", None, NOON_MS + 2), ledger.who(ledger.by_id[1], "", "root")
        ledger.tighten(run, who, 60, NOON_MS + 2)
        assert balance(path_of(ledger, NOON_MS + 3, run="child")["run-budget run:key-1/root"]) == (60, 40, 30, 10)

    lives(path, scene)
    assert [row[1:5] for row in dump_file(path)["overruns"]] == [("run-budget:usd run:key-1/root", 0, 10, "limit")]


def test_a_change_that_is_on_disk_is_made_although_the_disk_fails_right_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changed it is told so; the accounts follow with the first call that finds the disk in order."""

    def fails() -> None:
        raise LedgerUnavailable("full")

    async def scene(ledger: Ledger) -> None:
        await call_at(ledger, NOON_MS, 40)
        with monkeypatch.context() as broken:
            broken.setattr(ledger.writer, "flush", fails)
            await ledger.put_limit(Limit("cap", usd="100e-9"), NOON_MS)
            assert "cap key:key-1" not in path_of(ledger, NOON_MS + 1)
        assert balance(path_of(ledger, NOON_MS + 2)["cap key:key-1"]) == (100, 40, 0, 0)

    lives(path, scene)


def test_what_a_key_spent_moves_with_it_to_another_team(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        await ledger.add_key(make_key(2, settings=KeySettings(team="blue")))
        await call_at(ledger, NOON_MS, 40)
        await call_at(ledger, NOON_MS + 1, 7, key_id=2)
        await hold_at(ledger, NOON_MS + 2, 100)
        await ledger.change_key(1, KeySettings(team="blue"), NOON_MS)
        assert balance(path_of(ledger, NOON_MS + 3, key_id=2)["team team:default/blue"]) == (120, 47, 100, 27)

    async def again(ledger: Ledger) -> None:
        assert balance(path_of(ledger, NOON_MS + 4)["team team:default/blue"]) == (120, 47, 100, 27)

    limit = Limit("team", scope="team", usd="120e-9")
    lives(path, scene, limits=(limit,))
    assert [row[1:5] for row in dump_file(path)["overruns"]] == [("team:usd team:default/blue", 0, 27, "limit")]


def test_each_overrun_says_what_caused_it(path: Path) -> None:
    async def scene(ledger: Ledger) -> None:
        hold = await hold_at(ledger, NOON_MS, 60)
        await ledger.post(make_entry(hold, 90))
        await ledger.adjust(1, 25, "fee", NOON_MS)
        path_of(ledger, NOON_MS + 1)
        await ledger.put_limit(Limit("cap", usd="20e-9"), NOON_MS)
        path_of(ledger, NOON_MS + 2)

    lives(path, scene, limits=(Limit("cap", usd="80e-9"),))
    assert [row[1:5] for row in dump_file(path)["overruns"]] == [
        ("cap:usd key:key-1", 0, 10, "post"),
        ("cap:usd key:key-1", 0, 25, "adjustment"),
        ("cap:usd key:key-1", 0, 60, "limit"),
    ]


def test_accounts_and_runs_are_let_go_when_they_are_too_many_and_found_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "ACCOUNTS_KEPT_MAX", 20)
    monkeypatch.setattr(ledger_module, "RUNS_KEPT_MAX", 5)

    async def scene(ledger: Ledger) -> None:
        first = await hold_at(ledger, NOON_MS, 9, run="run-0")
        for number in range(1, 60):
            await call_at(ledger, NOON_MS + number, number, run=f"run-{number}")
            assert len(ledger.runs) <= 12 and len(ledger.books.accounts) <= 24
        for number in range(1, 60):
            assert path_of(ledger, NOON_MS + 70, run=f"run-{number}")["session run:key-1/" + f"run-{number}"].posted == number
        assert balance(path_of(ledger, NOON_MS + 70, run="run-0")["session run:key-1/run-0"])[1:3] == (0, 9)
        await ledger.post(make_entry(first, 8))
        assert balance(path_of(ledger, NOON_MS + 70, run="run-0")["session run:key-1/run-0"])[1:3] == (8, 0)

    lives(path, scene, limits=(Limit("session", scope="run", usd=1),))
