"""The ledger as the journey uses it: accounts in memory, the disk as their journal.

`take` reserves on every account of a path in one synchronous step and journals the hold; `post` resolves it. A hold resolves once. A hold
whose commit fails is undone. Does not know: dialects, upstreams, why a call costs what it costs.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import msgspec

from jevons.core.entry import (
    ATTEMPT_BITS,
    COUNTER_BITS,
    UNSENT,
    Entry,
    Hold,
    admitted_ms,
    first_order_of_ms,
    request_text,
)
from jevons.core.limits import ACCOUNTS_KEPT_MAX, RUNS_KEPT_MAX
from jevons.ledger.control import Control
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.history import History
from jevons.ledger.ops import (
    Adjusted,
    Began,
    Grown,
    Key,
    KeyChanged,
    KeyCreated,
    KeyRevoked,
    KeySettings,
    LimitSet,
    Noted,
    Opened,
    Overran,
    Overrun,
    Posted,
    RunTightened,
)
from jevons.ledger.repeats import Repeats
from jevons.ledger.store import Store
from jevons.ledger.writer import Writer
from jevons.policy.access import Access
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts, bound, plus, spent
from jevons.policy.books import KEY_TOTAL, Books
from jevons.policy.rules import Limit, Who
from jevons.policy.runs import Run, Runs
from jevons.policy.terms import with_growth
from jevons.policy.windows import FOREVER


class OpenCall:
    """A hold with what it reserved, and where."""

    __slots__ = ("amounts", "claims", "hold")

    def __init__(self, hold: Hold, claims: list[tuple[Account, int]], amounts: Amounts) -> None:
        self.hold = hold
        self.claims = claims
        """Each account of its path with the bucket that the hold is pinned to."""
        self.amounts = amounts


class Ledger:
    """Hot state and its writer. Lives on one event loop; none of its methods may be called from another thread."""

    def __init__(
        self, store: Store, path: Path, loop: asyncio.AbstractEventLoop, *, limits: Sequence[Limit] = (), durable: bool = True
    ) -> None:
        """`path` is where readers open the file by themselves. The store must have no open holds (`settle_open_holds` comes first).

        `limits` are those of the configuration; those set while serving are in the store. Raises LedgerError for limits of one name.
        `durable` False writes no hold and no entry: for measuring what the disk costs.
        """
        snapshot = store.load()
        assert not snapshot.holds, "open holds are settled before a ledger starts"
        self.store = store
        self.path = path
        self.keys: dict[bytes, Key] = {key.digest: key for key in snapshot.keys}
        self.by_id: dict[int, Key] = {key.id: key for key in snapshot.keys}
        self.accounts: dict[int, Account] = {}
        """Key id -> its total account."""
        for key in snapshot.keys:
            posted, overrun = snapshot.posted[key.id]
            self.accounts[key.id] = _total(key, posted, overrun)
        self.open_holds: dict[int, OpenCall] = {}
        self._repeats = Repeats(snapshot.idempotency)
        self._last_request = snapshot.last_id >> ATTEMPT_BITS
        self._last_order = max(snapshot.last_order, first_order_of_ms(admitted_ms(snapshot.last_id)))
        """Place of the latest event: what takes effect here has an order, and keeps it in the ledger."""
        self._loop = loop
        self._durable = durable
        self._resolved: list[asyncio.Future[None]] = []
        self._operator = asyncio.Lock()
        self._last_adjusted_ms = snapshot.last_adjusted_ms
        self._begun: set[tuple[int, str]] = set()
        """(key id, label) of runs that are on record as begun."""
        self._stale = False
        """The limits changed, and the accounts could not be made anew yet."""
        self._cause = "limit"
        """Why an account that is made now may be over its limit."""
        self.writer = Writer(store, loop)
        self.control = Control(self.writer, snapshot, limits)
        self.overruns = snapshot.overruns
        self.history = History(path, self.keys, self.overruns, self.control.grants)
        self.runs = Runs(self.history.recall)
        self.books = self._new_books()
        self.writer.start()

    def next_request(self, now_ms: int) -> int:
        """Entry id of the first attempt of a new request; ids never repeat and never go back, whatever the clock does."""
        self._last_request = max(now_ms << COUNTER_BITS, self._last_request + 1)
        return self._last_request << ATTEMPT_BITS

    def who(self, key: Key, agent: str = "", run: str | None = None) -> Who:
        """Whom a call is for."""
        return Who(key.settings.org, key.settings.team, key.id, key.name, agent, run)

    def path_of(self, who: Who, run: Run | None, model: str, at_ms: int) -> tuple[Account, ...]:
        """Every account that a call counts in, outermost first."""
        if self._stale or len(self.books.accounts) > ACCOUNTS_KEPT_MAX or len(self.runs) > 2 * RUNS_KEPT_MAX:
            self._renew()
        found = self.books.path(who, run, model, at_ms)
        if self.books.fresh_excess:
            self._record_found(at_ms)
        return found

    def take(self, hold: Hold, path: Sequence[Account] | None = None, amounts: Amounts | None = None) -> "asyncio.Future[None]":
        """Reserve and journal a hold that policy admitted in this same step. Await the future before anything is sent.

        Without a path it is held on the key's total alone, as money.
        """
        if path is None or amounts is None:
            path = (self.accounts[hold.key_id],)
            amounts = bound(hold.held_nusd, hold.list_held_nusd, hold.input_tokens, hold.output_tokens, step=False)
        if hold.run_id is not None and (hold.key_id, hold.run_id) not in self._begun:
            self._begin(hold)
        at_ms = admitted_ms(hold.id)
        msgspec.structs.force_setattr(hold, "order", self._next_order(at_ms))
        claims = [(account, account.bucket(at_ms)) for account in path]
        for account, bucket in claims:
            account.reserve(bucket, amounts[account.index])
        self.open_holds[hold.id] = OpenCall(hold, claims, amounts)
        self._repeats.remember(hold)
        future = self.writer.submit(Opened(hold)) if self._durable else self._done()
        future.add_done_callback(lambda done: self._undo(hold) if _failed(done) else None)
        return future

    def grow(self, hold_id: int, more: Amounts) -> "tuple[Hold, asyncio.Future[None]] | None":
        """Hold more for a call under way, on all its accounts or on none (then None). Await the future before more is relayed."""
        call = self.open_holds[hold_id]
        if any(account.enforced and not account.fits(more[account.index]) for account, _ in call.claims):
            return None
        for account, bucket in call.claims:
            account.grow(bucket, more[account.index])
        before = call.hold
        call.amounts = plus(call.amounts, more)
        call.hold = msgspec.structs.replace(
            before,
            held_nusd=call.amounts[0],
            list_held_nusd=call.amounts[1],
            output_tokens=call.amounts[6],
            terms=with_growth(before.terms, self._next_order(0), more[6]),
        )
        return call.hold, self.writer.submit(Grown(call.hold)) if self._durable else self._done()

    def post(self, entry: Entry) -> "asyncio.Future[None]":
        """Resolve a hold. Await the future before the client sees the end of the answer. Raises KeyError if it is resolved already.

        If the commit fails, the future does, and the entry is kept and written when the disk is back.
        """
        call = self.open_holds.pop(entry.hold.id)
        msgspec.structs.force_setattr(entry, "order", self._next_order(entry.settled_ms))
        hold, came_to = call.hold, spent(entry)
        excess_nusd, overruns = 0, []
        for account, bucket in call.claims:
            excess = account.post(bucket, call.amounts[account.index], came_to[account.index])
            if excess:
                overruns.append(self._overrun(account, excess, "post", entry.settled_ms, hold.id))
                if account.rule is KEY_TOTAL:
                    excess_nusd = excess
        if entry.outcome in UNSENT:
            self._repeats.forget(hold)
        self._wake()
        return self.writer.submit(Posted(entry, excess_nusd, tuple(overruns))) if self._durable else self._done()

    def tighten(self, run: Run, who: Who, budget_nusd: int, now_ms: int) -> None:
        """A run's own call lowers its budget; a higher one changes nothing."""
        if run.budget_nusd is not None and run.budget_nusd <= budget_nusd:
            return
        if excess := self.books.tighten(run, who, budget_nusd):
            self.books.fresh_excess.append((self.books.budget(run, who), excess))
        self.writer.submit(RunTightened(who.key_id, run.label, budget_nusd, now_ms))

    async def adjust(self, key_id: int, nusd: int, reason: str, created_ms: int, entry_id: int | None = None) -> None:
        """A dated correction of what an account has spent; with an entry, wherever that entry counts.

        Raises LedgerError if the key has no such entry, LedgerUnavailable; then nothing was corrected.
        """
        if entry_id is not None and not self.history.has_entry(key_id, entry_id):
            raise LedgerError(f"Key {self.by_id[key_id].name!r} has no request {request_text(entry_id)} to correct.")
        await self._alone(lambda: self._adjust(key_id, nusd, reason, created_ms, entry_id))

    async def set_limit(self, key_id: int, limit_nusd: int | None, now_ms: int) -> None:
        """A new total limit of a key. Raises LedgerUnavailable; then the old one stands."""
        await self._alone(lambda: self._set_limit(key_id, limit_nusd, now_ms))

    async def add_key(self, key: Key) -> None:
        """Its name is taken at once. Raises LedgerUnavailable; then there is no such key."""
        self._put_key(key)
        self.accounts[key.id] = _total(key, 0, 0)
        await self._alone(lambda: self._add_key(key))

    async def change_key(self, key_id: int, settings: KeySettings, now_ms: int) -> None:
        """New settings of a key. What it spent moves with it to another team. Raises LedgerUnavailable; then the old ones stand."""

        async def change() -> None:
            await self.writer.submit(KeyChanged(key_id, settings, now_ms))
            self._put_key(msgspec.structs.replace(self.by_id[key_id], settings=settings))
            self._renew("limit")
            self._in_force(f"key:{self.by_id[key_id].name}", now_ms)

        await self._alone(change)

    async def revoke_key(self, key_id: int, now_ms: int) -> None:
        """The key is refused from now on. Raises LedgerUnavailable; then this is written when the disk is back."""
        if self.by_id[key_id].revoked_ms is None:
            self._put_key(msgspec.structs.replace(self.by_id[key_id], revoked_ms=now_ms))
        await self.writer.submit(KeyRevoked(key_id, now_ms))

    async def put_limit(self, limit: Limit, now_ms: int) -> None:
        """Set or replace a limit. What was spent in its window counts already. Raises LedgerError, LedgerUnavailable; then nothing changed."""

        async def change() -> None:
            await self.control.put_limit(limit, now_ms)
            self._renew("limit")
            self._in_force(f"limit:{limit.name}", now_ms)

        await self._alone(change)

    async def remove_limit(self, name: str, now_ms: int) -> None:
        """Raises LedgerError, LedgerUnavailable; then it stands."""

        async def change() -> None:
            await self.control.remove_limit(name, now_ms)
            self._renew("limit")
            self._in_force(f"limit:{name}", now_ms)

        await self._alone(change)

    def note_policy(self, access: Sequence[Access], governor: dict[str, object], now_ms: int) -> None:
        """Put on record what of the policy stands in the configuration, if it is not what the log says last: from it calls are decided again."""
        limits = list(self.control.configured.values())
        said = {"limits": limits, "access": access, "governor": governor}
        stated: dict[str, object] = msgspec.json.decode(msgspec.json.encode(said))  # as the log has it
        before = self.history.stated_policy()
        if before != stated and (before is not None or any(stated.values())):
            self.control.note(Noted(now_ms, "policy", "jevons.toml", {**stated, "order": self._next_order(now_ms)}))

    def repeated(self, key_id: int, idempotency_key: bytes) -> tuple[bytes, int] | None:
        """(digest of the earlier body, its entry id) if this Idempotency-Key was used by this key."""
        return self._repeats.find(key_id, idempotency_key)

    def on_resolved(self) -> "asyncio.Future[None]":
        """A future that is done when money may have become free: a hold resolved, a limit raised."""
        future = self._loop.create_future()
        self._resolved.append(future)
        return future

    def close(self) -> None:
        """Write what is queued and close the file. Blocks."""
        self.writer.close()
        self.history.close()
        self.store.close()

    async def _alone(self, change: Callable[[], Coroutine[None, None, None]]) -> None:
        """One operator's change at a time, each to its end although its caller may leave: memory says what the disk says."""

        async def run() -> None:
            async with self._operator:
                await change()

        await asyncio.shield(self._loop.create_task(run()))

    async def _adjust(self, key_id: int, nusd: int, reason: str, created_ms: int, entry_id: int | None) -> None:
        """The key's total changes at once when it rises, and when it is on disk where it falls; its other accounts are made anew."""
        account = self.accounts[key_id]
        excess = account.adjust(0, nusd) if nusd >= 0 else 0
        overruns = (self._overrun(account, excess, "adjustment", created_ms, entry_id),) if excess else ()
        try:
            await self.writer.submit(Adjusted(key_id, nusd, reason, created_ms, entry_id, excess, overruns))
        except LedgerUnavailable:
            if nusd >= 0:
                account.take_back(account.limit, 0, nusd, excess)
                self._not_overrun(overruns)
            raise
        if nusd < 0:
            account.adjust(0, nusd)
        self._last_adjusted_ms = max(self._last_adjusted_ms, created_ms)
        self._renew("adjustment")
        self._in_force(f"key:{self.by_id[key_id].name}", created_ms)
        self._wake()

    async def _set_limit(self, key_id: int, limit_nusd: int | None, now_ms: int) -> None:
        account = self.accounts[key_id]
        before = account.limit
        raised = limit_nusd is None or (before is not None and limit_nusd >= before)
        excess = 0 if raised else account.set_limit(limit_nusd)
        overruns = (self._overrun(account, excess, "limit", now_ms, None),) if excess else ()
        try:
            written = self.writer.submit(LimitSet(key_id, limit_nusd, now_ms, excess, overruns))
            if not raised:
                self._in_force(f"key:{self.by_id[key_id].name}", now_ms)
            await written
        except LedgerUnavailable:
            if not raised:
                account.take_back(before, 0, 0, excess)
                self._not_overrun(overruns)
            raise
        if raised:  # more may be spent when that is on disk
            account.set_limit(limit_nusd)
            self._in_force(f"key:{self.by_id[key_id].name}", now_ms)
            self._wake()
        self._put_key(msgspec.structs.replace(self.by_id[key_id], limit_nusd=limit_nusd))

    async def _add_key(self, key: Key) -> None:
        try:
            await self.writer.submit(KeyCreated(key))
        except LedgerUnavailable:
            del self.keys[key.digest], self.by_id[key.id], self.accounts[key.id]
            raise

    def _next_order(self, at_ms: int) -> int:
        """Each event's place after all before it, and about its time: orders go on over a restart without being looked for."""
        self._last_order = max(self._last_order + 1, first_order_of_ms(at_ms))
        return self._last_order

    def _in_force(self, what: str, at_ms: int) -> None:
        """An operator's change holds from now on. Its row in the log was written before, and calls may have been decided in between;
        where nothing happened since its millisecond began, its place in the order of events is the beginning of that.
        """
        order = self._next_order(at_ms)
        if order != first_order_of_ms(at_ms):
            self.control.note(Noted(at_ms, "in-force", "policy", {"of": what, "order": order}))

    def _put_key(self, key: Key) -> None:
        self.keys[key.digest] = self.by_id[key.id] = key

    def _new_books(self) -> Books:
        return Books(
            self.control.rules, self.history, self.accounts, max(self._last_request >> COUNTER_BITS, self._last_adjusted_ms)
        )

    def _renew(self, cause: str | None = None) -> None:
        """Make the accounts of the limits anew from the disk, with the open holds on them. Blocks for about a commit.

        If the disk is behind, this is done when a call next asks for its path. `cause`: of what is found over its limit from now on.
        """
        self._stale, self._cause = True, cause or self._cause
        try:
            self.writer.flush()
        except LedgerUnavailable:
            return
        self._stale = False
        self._begun.clear()
        self.runs.forget(RUNS_KEPT_MAX, {(call.hold.key_id, call.hold.run_id or "") for call in self.open_holds.values()})
        self.books = self._new_books()
        now_ms = self._last_request >> COUNTER_BITS
        for call in self.open_holds.values():
            self._claim_again(call, now_ms)
        for account in self.books.accounts.values():
            if excess := account.cover():
                self.books.fresh_excess.append((account, excess))
        if self.books.fresh_excess:
            self._record_found(now_ms)
        self._wake()

    def _claim_again(self, call: OpenCall, now_ms: int) -> None:
        """Put an open hold on the new accounts: rolling windows as of now, calendar windows as of its admission."""
        hold, at_ms, run = call.hold, admitted_ms(call.hold.id), None
        who = self.who(self.by_id[hold.key_id], hold.agent, hold.run_id)
        if hold.run_id is not None:
            run = self.runs.enter(hold.key_id, hold.run_id, hold.parent_run_id, at_ms)
        self.books.path(who, run, hold.target, now_ms)
        call.claims = [(account, account.pinned(at_ms)) for account in self.books.path(who, run, hold.target, at_ms)]
        for account, bucket in call.claims:
            if account is not self.accounts[hold.key_id]:
                account.restore(bucket, 0, call.amounts[account.index])

    def _record_found(self, now_ms: int) -> None:
        found, self.books.fresh_excess = self.books.fresh_excess, []
        self.writer.submit(
            Overran(tuple([self._overrun(account, excess, self._cause, now_ms, None) for account, excess in found]))
        )

    def _begin(self, hold: Hold) -> None:
        """Put a run and those above it on record before it calls: whoever is asked for what was spent under one of them finds it all,
        although some have no entry yet."""
        assert hold.run_id is not None
        at_ms = admitted_ms(hold.id)
        run = self.runs.enter(hold.key_id, hold.run_id, hold.parent_run_id, at_ms)
        for node in run.lineage:
            if (key := (hold.key_id, node.label)) not in self._begun:
                self._begun.add(key)
                agent, source = (hold.agent, hold.run_source) if node is run else ("", "")
                above = node.parent.label if node.parent is not None else None
                self.writer.submit(Began(*key, above, agent, source, at_ms))

    def _overrun(self, account: Account, excess: int, cause: str, at_ms: int, entry_id: int | None) -> Overrun:
        key = (account.label, account.period.start_ms)
        self.overruns[key] = self.overruns.get(key, 0) + excess
        return Overrun(*key, excess, cause, at_ms, entry_id)

    def _not_overrun(self, overruns: Sequence[Overrun]) -> None:
        for overrun in overruns:
            self.overruns[overrun.account, overrun.window_ms] -= overrun.amount

    def _undo(self, hold: Hold) -> None:
        """A hold that was refused because it could not be written. If it was resolved meanwhile, its money is free already."""
        if (call := self.open_holds.pop(hold.id, None)) is not None:
            for account, bucket in call.claims:
                account.release(bucket, call.amounts[account.index])
            self._wake()
        self._repeats.forget(hold)

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


def _total(key: Key, posted_nusd: int, overrun_nusd: int) -> Account:
    account = Account(KEY_TOTAL, f"key:{key.name}", FOREVER, key.limit_nusd, overrun_nusd)
    account.restore(0, posted_nusd)
    return account
