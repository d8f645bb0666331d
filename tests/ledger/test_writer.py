"""The writer under failing disks and bad operations: what is lost, what is kept, and what is said."""

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import msgspec
import pytest

from jevons.core.entry import Outcome
from jevons.core.limits import COMMIT_ROWS_MAX
from jevons.ledger import writer
from jevons.ledger.bill import check
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import KeyCreated, Op
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.failing import DoubtfulStore, FailingDisk
from tests.ledger.making import NOON_MS, balance, caught_up, dump_file, make_entry, make_hold, make_key, running, written

FULL = ("write", "-wal"), apsw.FullError
SYNC = ("sync", "-wal"), apsw.IOError
CHECKPOINT = ("write", "ledger.db"), apsw.FullError


def entries(path: Path) -> list[tuple[int, str, int]]:
    return [(row[0], row[8], row[18]) for row in dump_file(path)["entries"]]


@pytest.mark.parametrize(("broken", "error"), [FULL, SYNC, CHECKPOINT], ids=["disk full", "sync fails", "checkpoint fails"])
def test_a_disk_that_fails_refuses_holds_keeps_entries_and_writes_them_once_it_is_back(
    broken: tuple[str, str], error: type[Exception], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FailingDisk()
    store = SqliteStore(path, vfs=disk.name)
    store.db.pragma("wal_autocheckpoint", 1)

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            holds = [make_hold(ledger.next_request(NOON_MS), 100) for _ in range(4)]
            await asyncio.gather(*map(ledger.take, holds[:3]))
            disk.broken = {broken: error}
            with pytest.raises(LedgerUnavailable, match=error.__name__):
                await ledger.take(holds[3])
            assert balance(ledger.accounts[1]) == (1_000, 0, 300, 0)
            with pytest.raises(LedgerUnavailable, match=error.__name__):
                await ledger.post(make_entry(holds[0], 70))
            assert not await written(ledger.post(make_entry(holds[1], 80)))
            assert balance(ledger.accounts[1]) == (1_000, 150, 100, 0)
            assert ledger.writer.unwritten > 0 and error.__name__ in ledger.writer.failing
            disk.broken = {}
            await caught_up(ledger)
            assert (ledger.writer.unwritten, ledger.writer.failing) == (0, "")
            assert balance(ledger.accounts[1]) == (1_000, 150, 100, 0)
            await ledger.post(make_entry(holds[2], 90))
            with pytest.raises(KeyError):
                ledger.post(make_entry(holds[0], 70))
            assert [entry_id for entry_id, *_ in dump_file(path)["holds"]] == []

    asyncio.run(scene())
    assert [nusd for *_, nusd in entries(path)] == [70, 80, 90]
    assert check(path) == []
    assert disk.refused > 0
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "cannot be written" in said[0] and "written again" in said[-1]


@pytest.mark.parametrize("spared", range(0, 16, 2))
def test_a_disk_that_fills_up_in_the_middle_of_a_commit_leaves_nothing_of_it(spared: int, path: Path, tmp_path: Path) -> None:
    disk = FailingDisk()
    store = SqliteStore(path, vfs=disk.name)
    store.db.pragma("wal_autocheckpoint", 0)

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 10_000))
            holds = [make_hold(ledger.next_request(NOON_MS), run_id=f"run-{number}") for number in range(60)]
            await asyncio.gather(*map(ledger.take, holds[:40]))
            disk.broken, disk.spared = dict([FULL]), spared
            calls = [ledger.take(hold) for hold in holds[40:]] + [ledger.post(make_entry(hold, 7)) for hold in holds[:20]]
            assert not any([await written(call) for call in calls])
            for end in ("", "-wal"):  # as a crash would leave it
                shutil.copy(f"{path}{end}", f"{tmp_path / 'crashed.db'}{end}")
            disk.broken = {}
            await caught_up(ledger)
            assert balance(ledger.accounts[1]) == (10_000, 140, 2_000, 0)

    asyncio.run(scene())
    assert check(path) == []
    assert (len(entries(path)), len(dump_file(path)["holds"])) == (20, 20)
    assert check(tmp_path / "crashed.db") == []
    assert (len(entries(tmp_path / "crashed.db")), len(dump_file(tmp_path / "crashed.db")["holds"])) == (0, 40)


def test_what_could_not_be_written_is_tried_again_while_nobody_calls(path: Path, retry_at_once: None) -> None:
    disk = FailingDisk()

    async def scene() -> None:
        async with running(path, SqliteStore(path, vfs=disk.name)) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            disk.broken = dict([FULL])
            assert not await written(ledger.post(make_entry(hold, 70)))
            refused = disk.refused
            await until(lambda: disk.refused > refused + 2)
            disk.broken = {}
            await until(lambda: not ledger.writer.failing)
            assert entries(path) == [(hold.id, Outcome.OK, 70)]

    asyncio.run(scene())


def test_a_disk_that_is_back_is_noticed_although_nothing_is_left_to_write(path: Path, retry_at_once: None) -> None:
    """Else `/health/ready` would keep the very traffic away that could show it."""
    disk = FailingDisk()

    async def scene() -> None:
        async with running(path, SqliteStore(path, vfs=disk.name)) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            disk.broken = dict([FULL])
            assert not await written(ledger.take(make_hold(ledger.next_request(NOON_MS))))
            refused = disk.refused
            await until(lambda: disk.refused > refused + 2)
            assert ledger.writer.failing
            disk.broken = {}
            await until(lambda: not ledger.writer.failing)

    asyncio.run(scene())


def test_more_than_a_batch_at_once_keeps_its_order(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            holds = [make_hold(ledger.next_request(NOON_MS)) for _ in range(2 * COMMIT_ROWS_MAX)]
            done: list[int] = []
            takes = [ledger.take(hold) for hold in holds]
            for hold, take in zip(holds, takes, strict=True):
                take.add_done_callback(lambda _, number=hold.id: done.append(number))  # type: ignore[misc]
            posts = [ledger.post(make_entry(hold, 1)) for hold in holds]
            await asyncio.gather(*takes, *posts)
            assert done == [hold.id for hold in holds]

    asyncio.run(scene())
    assert check(path) == []


def test_who_left_before_a_commit_failed_is_not_answered(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 100))
            store.failures = [(apsw.FullError("full"), False)]
            hold = make_hold(ledger.next_request(NOON_MS))
            ledger.take(hold).cancel()
            other = ledger.take(make_hold(ledger.next_request(NOON_MS), 0))
            assert not await written(other)
            await ledger.post(make_entry(hold, 0, outcome=Outcome.VOID, lines=(), list_nusd=0))
            assert balance(ledger.accounts[1]) == (100, 0, 0, 0)

    asyncio.run(scene())
    assert [outcome for _, outcome, _ in entries(path)] == ["void"]


def test_a_hold_that_was_resolved_before_its_commit_failed_is_not_undone_twice(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 100))
            store.failures = [(apsw.FullError("full"), False)]
            durable = ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            posted = ledger.post(make_entry(hold, 0, outcome=Outcome.VOID, lines=(), list_nusd=0))
            assert not await written(durable) and not await written(posted)
            await caught_up(ledger)
            assert balance(ledger.accounts[1]) == (100, 0, 0, 0)

    asyncio.run(scene())
    assert [outcome for _, outcome, _ in entries(path)] == ["void"]
    assert dump_file(path)["holds"] == []


def test_a_failure_is_said_once_not_per_request(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = FailingDisk()

    async def scene() -> None:
        async with running(path, SqliteStore(path, vfs=disk.name)) as ledger:
            await ledger.add_key(make_key(1, 100_000))
            disk.broken = dict([FULL])
            for _ in range(20):
                assert not await written(ledger.take(make_hold(ledger.next_request(NOON_MS))))
            disk.broken = {}

    asyncio.run(scene())
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1


@pytest.mark.parametrize("written_all_the_same", [False, True])
def test_a_commit_of_unknown_fate_counts_once(
    path: Path, caplog: pytest.LogCaptureFixture, *, written_all_the_same: bool
) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            store.failures = [(apsw.IOError("?"), written_all_the_same)]
            assert not await written(ledger.post(make_entry(hold, 70)))
            await caught_up(ledger)
            store.failures = [(apsw.IOError("?"), written_all_the_same)]
            refused = make_hold(ledger.next_request(NOON_MS), idempotency_key=b"key")
            assert not await written(ledger.take(refused))
            await caught_up(ledger)
            assert store.load().holds == [] and store.load().idempotency == {}
            assert ledger.repeated(1, b"key") is None

    asyncio.run(scene())
    assert [nusd for *_, nusd in entries(path)] == [70]
    assert check(path) == []
    assert "refused" not in caplog.text  # it is looked for, not tried


def test_a_refused_hold_that_was_written_is_withdrawn_although_the_first_try_fails(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            store.failures = [(apsw.IOError("?"), True), (apsw.IOError("?"), False)]
            refused, taken = (make_hold(ledger.next_request(NOON_MS)) for _ in range(2))
            assert not await written(ledger.take(refused))
            assert await written(ledger.take(taken))  # its commit works, what comes before it does not
            assert ledger.writer.failing
            await caught_up(ledger)
            assert [hold.id for hold in store.load().holds] == [taken.id]

    asyncio.run(scene())


def test_a_disk_that_stays_broken_loses_no_money_and_says_what_happens(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = FailingDisk()
    store = SqliteStore(path, vfs=disk.name)

    async def scene() -> None:
        ledger = Ledger(store, path, asyncio.get_running_loop())
        await ledger.add_key(make_key(1, 1_000))
        await ledger.take(hold := make_hold(ledger.next_request(NOON_MS), 100))
        disk.broken = dict([FULL])
        assert not await written(ledger.post(make_entry(hold, 70)))
        ledger.writer.close()

    asyncio.run(scene())
    disk.broken = {}
    store.close()
    (said,) = [record.message for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "1 entries could not be written" in said and "charged whole" in said
    store = SqliteStore(path)
    assert settle_open_holds(store, NOON_MS) == 1
    store.close()
    assert [(outcome, nusd) for _, outcome, nusd in entries(path)] == [("killed", 100)]


def test_a_kill_that_was_never_written_is_said_to_be_lost(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = FailingDisk()

    async def scene() -> None:
        async with running(path, SqliteStore(path, vfs=disk.name)) as ledger:
            await ledger.add_key(make_key(1))
            disk.broken = dict([FULL])
            assert not await written(ledger.control.kill("everything", "", NOON_MS))
            assert not await written(ledger.revoke_key(1, NOON_MS))

    asyncio.run(scene())
    (said,) = [record.message for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "Kill, KeyRevoked could not be written" in said and "do not hold after a restart" in said


def test_what_is_queued_at_the_end_is_written_although_its_first_commit_fails(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            store.failures = [(apsw.FullError("full"), False)]
            ledger.post(make_entry(hold, 70))

    asyncio.run(scene())
    assert [nusd for *_, nusd in entries(path)] == [70]


def test_one_bad_operation_is_refused_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            good = [make_hold(ledger.next_request(NOON_MS)) for _ in range(9)]
            bad = make_hold(ledger.next_request(NOON_MS), 2**64)
            answers = [ledger.take(hold) for hold in [*good[:4], bad, *good[4:]]]
            assert [await written(answer) for answer in answers] == [True] * 4 + [False] + [True] * 5
            assert ledger.accounts[1].held == 900
            posts = [ledger.post(make_entry(hold, 5)) for hold in good[:5]]
            posts.insert(2, ledger.post(make_entry(good[5], 2**64)))
            assert [await written(post) for post in posts] == [True, True, False, True, True, True]
            with pytest.raises(LedgerUnavailable, match="UNIQUE"):
                await ledger.add_key(msgspec.structs.replace(make_key(2), name="key-1"))
            assert list(ledger.accounts) == [1]

    asyncio.run(scene())
    assert len(entries(path)) == 5
    assert check(path) == []
    assert len([record for record in caplog.records if "refused" in record.message]) == 3
    assert [row[0] for row in dump_file(path)["holds"]] != []  # the refused entry's hold is charged at the next start


def test_a_bad_entry_that_came_down_with_its_batch_does_not_keep_the_others_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1))
            holds = [make_hold(ledger.next_request(NOON_MS)) for _ in range(3)]
            await asyncio.gather(*map(ledger.take, holds))
            store.failures = [(apsw.FullError("full"), False)]
            posts = [ledger.post(make_entry(hold, nusd)) for hold, nusd in zip(holds, (5, 2**64, 7), strict=True)]
            assert [await written(post) for post in posts] == [False] * 3
            await caught_up(ledger)

    asyncio.run(scene())
    assert [nusd for *_, nusd in entries(path)] == [5, 7]
    assert "charged whole at the next start" in caplog.text
    assert len(dump_file(path)["holds"]) == 1


@pytest.mark.parametrize("error", [apsw.FullError("full"), OSError("gone"), MemoryError("none left")])
def test_an_operators_change_that_cannot_be_written_is_undone(path: Path, error: Exception) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1, 1_000))
            await ledger.take(make_hold(ledger.next_request(NOON_MS), 900))
            before = balance(ledger.accounts[1])

            async def fails(change: object) -> None:
                store.failures = [(error, False)]
                with pytest.raises(LedgerUnavailable):
                    await change  # type: ignore[misc]
                await caught_up(ledger)
                assert balance(ledger.accounts[1]) == before

            await fails(ledger.adjust(1, 500, "up", NOON_MS))
            await fails(ledger.adjust(1, -500, "down", NOON_MS))
            await fails(ledger.set_limit(1, 10, NOON_MS))
            await fails(ledger.set_limit(1, 5_000, NOON_MS))
            await fails(ledger.set_limit(1, None, NOON_MS))
            await fails(ledger.add_key(make_key(2)))
            assert list(ledger.accounts) == [1] and len(ledger.keys) == 1
            await ledger.add_key(make_key(2))

    asyncio.run(scene())
    assert dump_file(path)["adjustments"] == []


def test_money_that_an_operator_gives_cannot_be_spent_before_it_is_on_disk(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            raising = asyncio.ensure_future(ledger.set_limit(1, 500, NOON_MS))
            await asyncio.sleep(0)
            assert ledger.accounts[1].limit == 100
            await raising
            assert ledger.accounts[1].limit == 500
            lowering = asyncio.ensure_future(ledger.set_limit(1, 50, NOON_MS))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert ledger.accounts[1].limit == 50
            await lowering

    asyncio.run(scene())


def test_operators_who_change_a_limit_at_once_are_served_in_turn(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1, 100))
            await asyncio.gather(
                ledger.set_limit(1, 500, NOON_MS),
                ledger.set_limit(1, 50, NOON_MS),
                ledger.adjust(1, -5, "a", NOON_MS),
                ledger.adjust(1, 9, "b", NOON_MS),
            )
            assert balance(ledger.accounts[1]) == (50, 4, 0, 0)

    asyncio.run(scene())
    assert dump_file(path)["accounts"] == [(1, 50, 4, 0)]


def test_a_revoked_key_stays_refused_and_is_written_when_the_disk_is_back(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            await ledger.add_key(make_key(1))
            store.failures = [(apsw.FullError("full"), False)]
            with pytest.raises(LedgerUnavailable):
                await ledger.revoke_key(1, NOON_MS)
            assert next(iter(ledger.keys.values())).revoked_ms == NOON_MS
            await caught_up(ledger)

    asyncio.run(scene())
    assert dump_file(path)["keys"][0][-1] == NOON_MS


def test_a_flush_ends_when_all_that_was_submitted_is_on_disk(path: Path) -> None:
    async def scene() -> None:
        async with running(path) as ledger:
            ledger.writer.flush()  # nothing to wait for
            made = [ledger.writer.submit(KeyCreated(make_key(number))) for number in range(1, 9)]
            ledger.writer.flush()
            assert len(dump_file(path)["keys"]) == 8  # in the same turn of the loop
            await asyncio.gather(*made)
        ledger.writer.flush()  # nor is there after the end

    asyncio.run(scene())


def test_a_flush_says_so_when_the_disk_fails(path: Path) -> None:
    store = DoubtfulStore(SqliteStore(path))

    async def scene() -> None:
        async with running(path, store) as ledger:
            store.failures = [(apsw.FullError("full"), False)]
            refused = ledger.writer.submit(KeyCreated(make_key()))
            with pytest.raises(LedgerUnavailable, match="FullError: full"):
                ledger.writer.flush()
            assert not await written(refused)
            await caught_up(ledger)
            ledger.writer.flush()

    asyncio.run(scene())


def test_a_flush_does_not_wait_for_ever_for_a_disk_that_hangs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LEDGER_FLUSH_S", 0.01)
    store, hangs = DoubtfulStore(SqliteStore(path)), threading.Event()
    write = store.apply

    def apply(batch: Sequence[Op]) -> None:
        assert hangs.wait(60)
        write(batch)

    store.apply = apply  # type: ignore[method-assign]

    async def scene() -> None:
        async with running(path, store) as ledger:
            slow = ledger.writer.submit(KeyCreated(make_key()))
            with pytest.raises(LedgerUnavailable, match="it takes too long"):
                ledger.writer.flush()
            hangs.set()
            assert await written(slow)

    asyncio.run(scene())
    assert len(dump_file(path)["keys"]) == 1


def test_an_answer_for_a_loop_that_is_gone_ends_nothing(path: Path) -> None:
    store = SqliteStore(path)
    loop = asyncio.new_event_loop()
    ledger = Ledger(store, path, loop)
    ledger.writer.submit(KeyCreated(make_key()))
    loop.close()
    ledger.close()
    assert len(dump_file(path)["keys"]) == 1


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does; the test's time-out ends it."""
    for _ in iter(true, True):
        await asyncio.sleep(0.001)
