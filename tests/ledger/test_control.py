"""What the operator says and decides: in force when it should be, the same after a restart, and refused in words where it makes no sense."""

import asyncio
from pathlib import Path

import apsw
import pytest

from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, Kill, Noted
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.rules import Limit
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, caught_up, dump_file, make_key, running

DAILY = Limit("daily", per="day", usd="5")
QUESTION = Approval("apr_1", "daily:usd key:key-1", 0, "May it go on?", 50, NOON_MS, NOON_MS + 900_000)
OTHER = Approval("apr_2", "daily:usd key:key-2", 0, "May it go on?", 7, NOON_MS, NOON_MS + 900_000)
FULL = (apsw.FullError("full"), False)


def test_limits_stand_where_they_were_set_and_are_changed_there(path: Path) -> None:
    async def scene() -> None:
        ledger = Ledger(SqliteStore(path), path, asyncio.get_running_loop(), limits=[Limit("org", scope="org", usd=9)])
        control = ledger.control
        await ledger.put_limit(DAILY, NOON_MS)
        await ledger.put_limit(Limit("steps", scope="run", steps=5, mode="off"), NOON_MS)
        where = {limit.name: place for limit, place in control.limits}
        assert where == {"org": "jevons.toml", "daily": "", "steps": "", "loops": "built in"}
        assert [rule.name for rule in control.rules] == ["org", "daily", "loops"]
        for refused, words in (
            (Limit("org", usd=1), r"'org' stands in jevons\.toml"),
            (Limit("none"), "it limits nothing"),
            (Limit("key", usd=1), "this name is taken"),
            (Limit("run-budget", scope="run", usd=1), "this name is taken"),
        ):
            with pytest.raises(LedgerError, match=words):
                await ledger.put_limit(refused, NOON_MS)
        with pytest.raises(LedgerError, match=r"'org' stands in jevons\.toml; take it out there"):
            await ledger.remove_limit("org", NOON_MS)
        with pytest.raises(LedgerError, match=r"There is no limit 'dayly'\. Limits: daily, org, steps"):
            await ledger.remove_limit("dayly", NOON_MS)
        await ledger.remove_limit("steps", NOON_MS)
        ledger.close()

    asyncio.run(scene())
    assert [row[0] for row in dump_file(path)["limits"]] == ["daily"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([DAILY], "Two limits are called daily"),
        ([Limit("a", usd=1), Limit("b", usd=1), Limit("b", usd=2)], "Two limits are called b"),
    ],
)
def test_two_limits_of_one_name_keep_a_ledger_from_starting(path: Path, limits: list[Limit], words: str) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.put_limit(DAILY, NOON_MS)
        store = SqliteStore(path)
        with pytest.raises(LedgerError, match=words):
            Ledger(store, path, asyncio.get_running_loop(), limits=limits)
        store.close()

    asyncio.run(scene())


def test_a_kill_is_in_force_at_once_and_stays_so_over_a_restart_until_it_is_lifted(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))
    told: list[Kill] = []

    async def scene() -> None:
        async with running(path, store) as ledger:
            control = ledger.control
            control.on_kill.append(told.append)
            store.failures = [FULL]
            stopping = asyncio.ensure_future(control.kill("key:agent", "runaway", NOON_MS))
            await asyncio.sleep(0)
            first = Kill(1, "key:agent", "runaway", NOON_MS)
            assert told == [first] and control.kills == {1: first}
            with pytest.raises(LedgerUnavailable, match="full"):
                await stopping
            assert control.kills == {1: first}
            await caught_up(ledger)
            assert (await control.kill("everything", "", NOON_MS)).id == 2
            store.failures = [FULL]
            with pytest.raises(LedgerUnavailable):
                await control.lift(1, NOON_MS + 1)
            assert list(control.kills) == [1, 2]
            await caught_up(ledger)
            await asyncio.gather(control.lift(2, NOON_MS + 1), control.lift(2, NOON_MS + 1))  # two operators at once
            with pytest.raises(LedgerError, match=r"No kill 2 is in force\. In force: 1\."):
                await control.lift(2, NOON_MS + 2)

    async def again() -> None:
        async with running(path) as ledger:
            control = ledger.control
            assert control.kills == {1: Kill(1, "key:agent", "runaway", NOON_MS)}
            await control.lift(1, NOON_MS)
            with pytest.raises(LedgerError, match="In force: none"):
                await control.lift(1, NOON_MS)
            assert (await control.kill("everything", "", NOON_MS)).id == 3  # a number is never given again

    asyncio.run(scene())
    asyncio.run(again())


def test_an_answer_counts_once_in_time_or_late_and_may_be_changed(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))
    told: list[tuple[str, int, int]] = []

    async def scene() -> None:
        async with running(path, store) as ledger:
            control = ledger.control
            control.on_grant.append(lambda account, window_ms, granted: told.append((account, window_ms, granted)))
            assert control.asked(QUESTION.account, 0) is None
            for question in (QUESTION, OTHER):
                control.ask(question)
            assert control.asked(QUESTION.account, 0) == QUESTION
            assert QUESTION.open(NOON_MS) and not QUESTION.open(QUESTION.expires_ms)
            with pytest.raises(LedgerError, match="There is no question 'apr_9'"):
                await control.decide("apr_9", True, NOON_MS)
            answered = await control.decide("apr_1", True, NOON_MS + 10**9)
            assert (answered.state, answered.decided_ms, answered.open(NOON_MS)) == ("approved", NOON_MS + 10**9, False)
            await control.decide("apr_1", True, NOON_MS)
            assert control.grants == {(QUESTION.account, 0): 50}
            store.failures = [FULL]
            with pytest.raises(LedgerUnavailable):
                await control.decide("apr_1", False, NOON_MS)
            assert control.grants == {(QUESTION.account, 0): 50} and control.asked(QUESTION.account, 0).state == "approved"
            await caught_up(ledger)
            await asyncio.gather(control.decide("apr_1", True, NOON_MS), control.decide("apr_1", False, NOON_MS))
            assert control.grants == {(QUESTION.account, 0): 0}  # the last answer counts
            await control.decide("apr_1", True, NOON_MS)

    async def again() -> None:
        async with running(path) as ledger:
            control = ledger.control
            assert {one.id: one.state for one in control.approvals.values()} == {"apr_1": "approved", "apr_2": "pending"}
            assert control.grants == {(QUESTION.account, 0): 50}
            assert ledger.history.granted(QUESTION.account, 0) == 50 and ledger.history.granted(OTHER.account, 0) == 0
            assert control.asked(OTHER.account, 0) == OTHER

    asyncio.run(scene())
    assert told == [(QUESTION.account, 0, granted) for granted in (50, 50, 50, 0, 50)]
    asyncio.run(again())


def test_an_account_asks_again_where_an_approval_raised_it_to(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            await ledger.put_limit(Limit("daily", per="total", usd="1", approve="10e-9"), NOON_MS)
            ledger.control.ask(QUESTION)
            await ledger.control.decide("apr_1", True, NOON_MS)
            account = ledger.path_of(ledger.who(ledger.by_id[1]), None, "sent", NOON_MS)[0]
            assert (account.label, account.granted) == (QUESTION.account, 50)

    asyncio.run(scene())


def test_a_note_is_a_line_of_the_audit_log(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            ledger.control.note(Noted(NOON_MS, "denied", "key:agent", {"limit_name": "daily"}))

    asyncio.run(scene())
    assert [row[1:5] for row in dump_file(path)["audit"]] == [(NOON_MS, "denied", "key:agent", '{"limit_name":"daily"}')]
