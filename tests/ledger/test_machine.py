"""The real ledger on a real file, under any order of calls, cancellations, failed commits, restarts and crashes.

After every step memory says what the disk says, each hold has been resolved at most once, and everything adds up.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jevons.core.entry import Estimate, Hold, Outcome
from jevons.ledger.bill import check
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger, settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy import accounts
from tests.ledger.failing import DoubtfulStore
from tests.ledger.making import NOON_MS, caught_up, make_entry, make_hold, make_key, written

amounts = st.integers(0, 600)
sizes = st.integers(1, 5)
picks = st.integers(0, 10**6)
failures = st.lists(
    st.tuples(st.sampled_from([apsw.FullError("full"), apsw.IOError("sync"), OSError("gone")]), st.booleans()), max_size=3
)
unwritten_failures = st.lists(st.tuples(st.just(apsw.FullError("full")), st.just(False)), max_size=2)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="jevons-machine-"))
        self.path = self.folder / "ledger.db"
        self.lives = 0
        self.resolved: dict[int, tuple[str, int]] = {}
        """What must stand in the ledger: entry id -> (outcome, billed)"""
        self.corrected: dict[int, int] = {}
        self.holds: dict[int, Hold] = {}
        self.open()

    def open(self) -> None:
        self.store = DoubtfulStore(SqliteStore(self.path, synchronous="OFF"))
        for hold in self.store.load().holds:
            self.holds.pop(hold.id, None)
            self.resolved[hold.id] = (Outcome.KILLED, hold.held_nusd)
        assert self.holds == {}
        settle_open_holds(self.store, NOON_MS)
        self.ledger = Ledger(self.store, self.path, self.loop)

    def run(self, work: Awaitable[object]) -> None:
        """One step, and then wait until the writer has caught up."""

        async def step() -> None:
            await work
            self.store.failures.clear()
            await caught_up(self.ledger)

        self.loop.run_until_complete(step())

    def teardown(self) -> None:
        self.ledger.close()
        self.loop.close()
        shutil.rmtree(self.folder)

    # What requests do

    def granted(self, key: int, nusd: int) -> Hold | None:
        number = 1 + key % len(self.ledger.accounts)
        if not accounts.fits(self.ledger.accounts[number], nusd):
            return None
        idempotency = number.to_bytes(16, "big") if nusd % 3 == 0 else b""
        return make_hold(self.ledger.next_request(NOON_MS), nusd, key_id=number, idempotency_key=idempotency)

    @rule(keys=st.lists(picks, min_size=1, max_size=6), nusd=amounts, failing=failures)
    def take(self, keys: list[int], nusd: int, failing: list[tuple[Exception, bool]]) -> None:
        async def takes() -> None:
            self.store.failures = failing
            begun = [(hold, self.ledger.take(hold)) for key in keys if (hold := self.granted(key, nusd))]
            for hold, durable in begun:
                try:
                    await durable
                except LedgerUnavailable:
                    await asyncio.sleep(0)  # what is undone is undone in the same turn of the loop
                    assert self.ledger.repeated(hold.key_id, hold.idempotency_key) != (hold.body_digest, hold.id)
                else:
                    self.holds[hold.id] = hold

        self.run(takes())

    @rule(key=picks, nusd=amounts, failing=failures)
    def take_and_leave(self, key: int, nusd: int, failing: list[tuple[Exception, bool]]) -> None:
        """A client that goes while its hold is being written: the gate voids it."""

        async def leave() -> None:
            if not (hold := self.granted(key, nusd)):
                return
            self.store.failures = failing
            request = self.loop.create_task(_awaiting(self.ledger.take(hold)))
            await asyncio.sleep(0)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            self.resolved[hold.id] = (Outcome.VOID, 0)
            await written(self.ledger.post(make_entry(hold, 0, outcome=Outcome.VOID, lines=(), list_nusd=0)))

        self.run(leave())

    @precondition(lambda self: self.holds)
    @rule(which=st.lists(picks, min_size=1, max_size=6), nusd=amounts, failing=failures, leaves=st.booleans())
    def post(self, which: list[int], nusd: int, failing: list[tuple[Exception, bool]], leaves: bool) -> None:
        async def posts() -> None:
            self.store.failures = failing
            begun = []
            for number in which:
                if self.holds:
                    hold = self.holds.pop(list(self.holds)[number % len(self.holds)])
                    self.resolved[hold.id] = (Outcome.OK, nusd)
                    entry = make_entry(hold, nusd, estimate=Estimate.SEEN if nusd % 2 else Estimate.NONE)
                    begun.append(self.ledger.post(entry))
                    with pytest.raises(KeyError):
                        self.ledger.post(entry)
            for durable in begun:
                if leaves:
                    durable.cancel()
                else:
                    await written(durable)
            await caught_up(self.ledger)

        self.run(posts())

    # What the operator does

    @rule(limit=st.none() | st.integers(0, 5_000), failing=unwritten_failures)
    def add_key(self, limit: int | None, failing: list[tuple[Exception, bool]]) -> None:
        number = len(self.ledger.accounts) + 1
        if number <= 4:
            self.operate(lambda: self.ledger.add_key(make_key(number, limit)), failing)

    @rule(key=picks, nusd=st.integers(-800, 800), failing=unwritten_failures)
    def adjust(self, key: int, nusd: int, failing: list[tuple[Exception, bool]]) -> None:
        number = 1 + key % len(self.ledger.accounts)
        if self.operate(lambda: self.ledger.adjust(number, nusd, "reason", NOON_MS), failing):
            self.corrected[number] = self.corrected.get(number, 0) + nusd

    @rule(key=picks, limit=st.none() | st.integers(0, 5_000), failing=unwritten_failures)
    def set_limit(self, key: int, limit: int | None, failing: list[tuple[Exception, bool]]) -> None:
        number = 1 + key % len(self.ledger.accounts)
        before = self.ledger.accounts[number].limit_nusd
        done = self.operate(lambda: self.ledger.set_limit(number, limit), failing)
        assert self.ledger.accounts[number].limit_nusd == (limit if done else before)

    @rule(key=picks, failing=failures)
    def revoke(self, key: int, failing: list[tuple[Exception, bool]]) -> None:
        number = 1 + key % len(self.ledger.accounts)
        self.operate(lambda: self.ledger.revoke_key(number, NOON_MS + 1), failing)
        assert next(key for key in self.ledger.keys.values() if key.id == number).revoked_ms

    def operate(self, change: Callable[[], Awaitable[None]], failing: list[tuple[Exception, bool]]) -> bool:
        done = False

        async def change_beside_a_call() -> None:
            nonlocal done
            self.store.failures = failing
            task = asyncio.ensure_future(change())
            await asyncio.sleep(0)
            hold = self.granted(0, 50)
            durable = self.ledger.take(hold) if hold else None
            done = await written(task)
            if hold and durable and await written(durable):
                self.holds[hold.id] = hold

        self.run(change_beside_a_call())
        return done

    # What happens to the process

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.open()

    @rule(nusd=amounts)
    def crash(self, nusd: int) -> None:
        """The process dies while the disk is broken; what the system had taken from it is there. Nothing is closed."""

        async def last_call() -> None:
            self.store.failures = [(apsw.FullError("full"), False)] * 10**4
            for hold in list(self.holds.values())[:1]:
                assert not await written(self.ledger.post(make_entry(hold, nusd)))

        self.loop.run_until_complete(last_call())
        self.lives += 1
        after = self.folder / f"life-{self.lives}.db"
        for end in ("", "-wal"):
            if (left := Path(f"{self.path}{end}")).exists():
                shutil.copy(left, f"{after}{end}")
        self.ledger.close()
        self.path = after
        self.open()

    # What must hold

    @initialize()
    def first_keys(self) -> None:
        self.run(self.ledger.add_key(make_key(1, 2_000)))
        self.run(self.ledger.add_key(make_key(2, None)))

    @invariant()
    def memory_is_what_the_disk_says(self) -> None:
        snapshot = self.store.load()
        held: dict[int, int] = dict.fromkeys(snapshot.accounts, 0)
        for hold in snapshot.holds:
            held[hold.key_id] += hold.held_nusd
        expected = {
            key: accounts.Account(a.limit_nusd, a.posted_nusd, held[key], a.overrun_nusd) for key, a in snapshot.accounts.items()
        }
        assert self.ledger.accounts == expected
        assert list(self.ledger.open_holds) == [hold.id for hold in snapshot.holds] == list(self.holds)
        assert {key.id: key.revoked_ms for key in self.ledger.keys.values()} == {key.id: key.revoked_ms for key in snapshot.keys}

    @invariant()
    def each_hold_is_resolved_once_and_everything_adds_up(self) -> None:
        db = self.store.store.db
        assert {row[0]: row[1:] for row in db.execute("SELECT id, outcome, billed_nusd FROM entries")} == self.resolved
        corrections = dict(db.execute("SELECT key_id, sum(nusd) FROM adjustments GROUP BY 1"))
        assert {k: v for k, v in corrections.items() if v} == {k: v for k, v in self.corrected.items() if v}
        assert check(self.path) == []

    @invariant()
    def no_account_is_over_its_limit_but_for_recorded_excess(self) -> None:
        for account in self.ledger.accounts.values():
            assert accounts.excess(account) <= account.overrun_nusd


async def _awaiting(future: Awaitable[None]) -> None:
    await future


@pytest.mark.usefixtures("retry_at_once")
class TestLedger(LedgerMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
