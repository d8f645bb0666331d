"""The ledger as the journey uses it: accounts in memory, the disk as their journal.

`take` decides and reserves in one synchronous step and journals the hold; `post` resolves it. A hold resolves once. A hold whose
commit fails is undone. Does not know: dialects, upstreams, why a call costs what it costs.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from jevons.core.entry import ATTEMPT_BITS, COUNTER_BITS, Entry, Hold, Outcome
from jevons.core.limits import COMMIT_ROWS_MAX
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import Adjusted, Key, KeyCreated, KeyRevoked, LimitSet, Op, Opened, Posted
from jevons.ledger.sqlite import Store
from jevons.ledger.writer import Writer
from jevons.policy import accounts
from jevons.policy.accounts import Account
from jevons.policy.settle import settle_killed


def settle_open_holds(store: Store, now_ms: int) -> int:
    """After a crash: every open hold becomes its entry, charged whole and marked estimated. Returns how many there were."""
    snapshot = store.load()
    books = dict(snapshot.accounts)
    posts: list[Op] = []
    for hold in snapshot.holds:
        settled = settle_killed(hold)
        before = books[hold.key_id]
        held = Account(before.limit_nusd, before.posted_nusd, hold.held_nusd, before.overrun_nusd)
        after = books[hold.key_id] = accounts.post(held, hold.held_nusd, settled.billed_nusd)
        entry = Entry(
            hold=hold,
            outcome=Outcome.KILLED,
            status=0,
            usage=settled.usage,
            lines=settled.lines,
            list_nusd=settled.list_nusd,
            billed_nusd=settled.billed_nusd,
            estimate=settled.estimate,
            settled_ms=now_ms,
        )
        posts.append(Posted(entry, after.overrun_nusd - before.overrun_nusd))
    for start in range(0, len(posts), COMMIT_ROWS_MAX):
        store.apply(posts[start : start + COMMIT_ROWS_MAX])
    return len(posts)


class Ledger:
    """Hot state and its writer. Lives on one event loop; none of its methods may be called from another thread."""

    def __init__(self, store: Store, path: Path, loop: asyncio.AbstractEventLoop, *, durable: bool = True) -> None:
        """`path` is where readers open the file by themselves. The store must have no open holds (`settle_open_holds` comes first). `durable` False writes nothing: for measuring what the disk costs."""
        snapshot = store.load()
        assert not snapshot.holds, "open holds are settled before a ledger starts"
        self.store = store
        self.path = path
        self.keys: dict[bytes, Key] = {key.digest: key for key in snapshot.keys}
        self.accounts: dict[int, Account] = snapshot.accounts
        self.open_holds: dict[int, Hold] = {}
        self._idempotency = snapshot.idempotency
        self._last_request = snapshot.last_id >> ATTEMPT_BITS
        self._loop = loop
        self._durable = durable
        self._resolved: list[asyncio.Future[None]] = []
        self.writer = Writer(store, loop)
        self.writer.start()

    def next_request(self, now_ms: int) -> int:
        """Entry id of the first attempt of a new request; ids never repeat and never go back, whatever the clock does."""
        self._last_request = max(now_ms << COUNTER_BITS, self._last_request + 1)
        return self._last_request << ATTEMPT_BITS

    def take(self, hold: Hold) -> "asyncio.Future[None]":
        """Reserve and journal a hold that policy admitted in this same step. Await the future before anything is sent."""
        account = self.accounts[hold.key_id]
        self.accounts[hold.key_id] = accounts.reserve(account, hold.held_nusd)
        self.open_holds[hold.id] = hold
        if hold.idempotency_key:
            self._idempotency[hold.key_id, hold.idempotency_key] = (hold.body_digest, hold.id)
        future = self._submit(Opened(hold))
        future.add_done_callback(lambda done: self._undo(hold) if _failed(done) else None)
        return future

    def post(self, entry: Entry) -> "asyncio.Future[None]":
        """Resolve a hold. Await the future before the client sees the end of the answer. Raises KeyError if it is resolved already."""
        hold = self.open_holds.pop(entry.hold.id)
        before = self.accounts[hold.key_id]
        after = self.accounts[hold.key_id] = accounts.post(before, hold.held_nusd, entry.billed_nusd)
        return self._submit(Posted(entry, after.overrun_nusd - before.overrun_nusd))

    def adjust(self, key_id: int, nusd: int, reason: str, created_ms: int, entry_id: int | None = None) -> "asyncio.Future[None]":
        """A dated correction of what an account has spent."""
        before = self.accounts[key_id]
        after = self.accounts[key_id] = accounts.adjust(before, nusd)
        return self._submit(Adjusted(key_id, nusd, reason, created_ms, entry_id, after.overrun_nusd - before.overrun_nusd))

    def add_key(self, key: Key) -> "asyncio.Future[None]":
        self.keys[key.digest] = key
        self.accounts[key.id] = Account(key.limit_nusd)
        return self._submit(KeyCreated(key))

    def revoke_key(self, key_id: int, now_ms: int) -> "asyncio.Future[None]":
        for digest, key in self.keys.items():
            if key.id == key_id:
                self.keys[digest] = Key(
                    key.id, key.name, key.digest, key.prefix, key.created_ms, key.limit_nusd, key.settings, now_ms
                )
        return self._submit(KeyRevoked(key_id, now_ms))

    def set_limit(self, key_id: int, limit_nusd: int | None) -> "asyncio.Future[None]":
        before = self.accounts[key_id]
        after = self.accounts[key_id] = accounts.set_limit(before, limit_nusd)
        return self._submit(LimitSet(key_id, limit_nusd, after.overrun_nusd - before.overrun_nusd))

    def repeated(self, key_id: int, idempotency_key: bytes) -> tuple[bytes, int] | None:
        """(digest of the earlier body, its entry id) if this Idempotency-Key was used by this key."""
        return self._idempotency.get((key_id, idempotency_key))

    def on_resolved(self) -> "asyncio.Future[None]":
        """A future that is done when the next hold is resolved."""
        future = self._loop.create_future()
        self._resolved.append(future)
        return future

    async def run_on_writer(self, work: Callable[[], None]) -> None:
        """Run blocking store work (a backup) between two commits; its exception is raised here."""
        done = self._loop.create_future()

        def errand() -> None:
            try:
                work()
            except (LedgerError, OSError) as error:
                self._loop.call_soon_threadsafe(done.set_exception, error)
            else:
                self._loop.call_soon_threadsafe(done.set_result, None)

        self.writer.call(errand)
        await done

    def close(self) -> None:
        """Write what is queued and close the file. Blocks."""
        self.writer.close()
        self.store.close()

    def _submit(self, op: Op) -> "asyncio.Future[None]":
        if self._resolved and type(op) is not Opened:
            waiting, self._resolved = self._resolved, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        if self._durable or isinstance(op, KeyCreated | KeyRevoked | LimitSet | Adjusted):
            return self.writer.submit(op)
        done = self._loop.create_future()
        done.set_result(None)
        return done

    def _undo(self, hold: Hold) -> None:
        """A hold that never reached the disk. If it was resolved meanwhile, there is nothing left to undo."""
        if self.open_holds.pop(hold.id, None) is not None:
            self.accounts[hold.key_id] = accounts.release(self.accounts[hold.key_id], hold.held_nusd)
            self._idempotency.pop((hold.key_id, hold.idempotency_key), None)


def _failed(future: "asyncio.Future[None]") -> bool:
    return not future.cancelled() and future.exception() is not None
