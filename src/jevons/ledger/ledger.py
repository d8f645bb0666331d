"""The ledger as the journey uses it: accounts in memory, the disk as their journal.

`take` decides and reserves in one synchronous step and journals the hold; `post` resolves it. A hold resolves once. A hold whose
commit fails is undone. Does not know: dialects, upstreams, why a call costs what it costs.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from jevons.core.entry import ATTEMPT_BITS, COUNTER_BITS, UNSENT, Entry, Hold, Outcome, admitted_ms, first_id_of_ms
from jevons.core.limits import COMMIT_ROWS_MAX, IDEMPOTENCY_TTL_S
from jevons.ledger.errors import LedgerUnavailable
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
    for hold in snapshot.holds:
        books[hold.key_id] = accounts.restore(books[hold.key_id], hold.held_nusd)
    posts: list[Op] = []
    for hold in snapshot.holds:
        settled = settle_killed(hold)
        before = books[hold.key_id]
        after = books[hold.key_id] = accounts.post(before, hold.held_nusd, settled.billed_nusd)
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
        """`path` is where readers open the file by themselves. The store must have no open holds (`settle_open_holds` comes first).

        `durable` False writes no hold and no entry: for measuring what the disk costs.
        """
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
        self._operator = asyncio.Lock()
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
            self._remember(hold)
        future = self.writer.submit(Opened(hold)) if self._durable else self._done()
        future.add_done_callback(lambda done: self._undo(hold) if _failed(done) else None)
        return future

    def post(self, entry: Entry) -> "asyncio.Future[None]":
        """Resolve a hold. Await the future before the client sees the end of the answer. Raises KeyError if it is resolved already.

        If the commit fails, the future does, and the entry is kept and written when the disk is back.
        """
        hold = self.open_holds.pop(entry.hold.id)
        before = self.accounts[hold.key_id]
        after = self.accounts[hold.key_id] = accounts.post(before, hold.held_nusd, entry.billed_nusd)
        if hold.idempotency_key and entry.outcome in UNSENT:
            self._forget(hold)
        self._wake()
        return self.writer.submit(Posted(entry, after.overrun_nusd - before.overrun_nusd)) if self._durable else self._done()

    async def adjust(self, key_id: int, nusd: int, reason: str, created_ms: int, entry_id: int | None = None) -> None:
        """A dated correction of what an account has spent. Raises LedgerUnavailable; then nothing was corrected."""
        await self._alone(lambda: self._adjust(key_id, nusd, reason, created_ms, entry_id))

    async def set_limit(self, key_id: int, limit_nusd: int | None) -> None:
        """A new limit. Raises LedgerUnavailable; then the old one stands."""
        await self._alone(lambda: self._set_limit(key_id, limit_nusd))

    async def add_key(self, key: Key) -> None:
        """Its name is taken at once. Raises LedgerUnavailable; then there is no such key."""
        self.keys[key.digest] = key
        self.accounts[key.id] = Account(key.limit_nusd)
        await self._alone(lambda: self._add_key(key))

    async def revoke_key(self, key_id: int, now_ms: int) -> None:
        """The key is refused from now on. Raises LedgerUnavailable; then this is written when the disk is back."""
        for digest, key in self.keys.items():
            if key.id == key_id and key.revoked_ms is None:
                self.keys[digest] = msgspec.structs.replace(key, revoked_ms=now_ms)
        await self.writer.submit(KeyRevoked(key_id, now_ms))

    def repeated(self, key_id: int, idempotency_key: bytes) -> tuple[bytes, int] | None:
        """(digest of the earlier body, its entry id) if this Idempotency-Key was used by this key."""
        return self._idempotency.get((key_id, idempotency_key))

    def on_resolved(self) -> "asyncio.Future[None]":
        """A future that is done when money may have become free: a hold resolved, a limit raised."""
        future = self._loop.create_future()
        self._resolved.append(future)
        return future

    def close(self) -> None:
        """Write what is queued and close the file. Blocks."""
        self.writer.close()
        self.store.close()

    async def _alone(self, change: Callable[[], Coroutine[None, None, None]]) -> None:
        """One operator's change at a time, each to its end although its caller may leave: memory says what the disk says."""

        async def run() -> None:
            async with self._operator:
                await change()

        await asyncio.shield(self._loop.create_task(run()))

    async def _adjust(self, key_id: int, nusd: int, reason: str, created_ms: int, entry_id: int | None) -> None:
        before = self.accounts[key_id]
        after = accounts.adjust(before, nusd)
        excess = after.overrun_nusd - before.overrun_nusd
        op = Adjusted(key_id, nusd, reason, created_ms, entry_id, excess)
        if nusd < 0:  # money that comes back may be spent when it is on disk
            await self.writer.submit(op)
            self.accounts[key_id] = accounts.adjust(self.accounts[key_id], nusd)
            self._wake()
            return
        self.accounts[key_id] = after
        try:
            await self.writer.submit(op)
        except LedgerUnavailable:
            self.accounts[key_id] = accounts.take_back(self.accounts[key_id], before.limit_nusd, nusd, excess)
            raise

    async def _set_limit(self, key_id: int, limit_nusd: int | None) -> None:
        before = self.accounts[key_id]
        after = accounts.set_limit(before, limit_nusd)
        excess = after.overrun_nusd - before.overrun_nusd
        op = LimitSet(key_id, limit_nusd, excess)
        if limit_nusd is None or (before.limit_nusd is not None and limit_nusd >= before.limit_nusd):
            await self.writer.submit(op)
            self.accounts[key_id] = accounts.set_limit(self.accounts[key_id], limit_nusd)
            self._wake()
            return
        self.accounts[key_id] = after
        try:
            await self.writer.submit(op)
        except LedgerUnavailable:
            self.accounts[key_id] = accounts.take_back(self.accounts[key_id], before.limit_nusd, 0, excess)
            raise

    async def _add_key(self, key: Key) -> None:
        try:
            await self.writer.submit(KeyCreated(key))
        except LedgerUnavailable:
            del self.keys[key.digest], self.accounts[key.id]
            raise

    def _remember(self, hold: Hold) -> None:
        oldest = first_id_of_ms(admitted_ms(hold.id) - IDEMPOTENCY_TTL_S * 1000)
        while self._idempotency:  # in the order of their ids: the oldest comes first
            first = next(iter(self._idempotency))
            if self._idempotency[first][1] >= oldest:
                break
            del self._idempotency[first]
        self._idempotency.pop((hold.key_id, hold.idempotency_key), None)
        self._idempotency[hold.key_id, hold.idempotency_key] = (hold.body_digest, hold.id)

    def _undo(self, hold: Hold) -> None:
        """A hold that was refused because it could not be written. If it was resolved meanwhile, its money is free already."""
        if self.open_holds.pop(hold.id, None) is not None:
            self.accounts[hold.key_id] = accounts.release(self.accounts[hold.key_id], hold.held_nusd)
            self._wake()
        self._forget(hold)

    def _forget(self, hold: Hold) -> None:
        """The hold's Idempotency-Key may be used again: nothing was done under it."""
        remembered = self._idempotency.get((hold.key_id, hold.idempotency_key))
        if remembered is not None and remembered[1] == hold.id:
            del self._idempotency[hold.key_id, hold.idempotency_key]

    def _wake(self) -> None:
        if self._resolved:
            waiting, self._resolved = self._resolved, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _done(self) -> "asyncio.Future[None]":
        done = self._loop.create_future()
        done.set_result(None)
        return done


def _failed(future: "asyncio.Future[None]") -> bool:
    return not future.cancelled() and future.exception() is not None
