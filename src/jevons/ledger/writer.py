"""One thread that writes: everything waiting goes into one transaction and shares one sync (group commit).

Comes in: operations from the event loop. Goes out: one future each, resolved when the operation is on disk. What happened for good
(an entry, a revoked key) and could not be written is kept and tried again until it is; a hold whose commit failed is withdrawn. If
the process ends before, the entry's hold is still on disk, and is charged at the next start.
"""

import asyncio
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import apsw

from jevons.core.limits import COMMIT_ROWS_MAX, LEDGER_FLUSH_S, LEDGER_RETRY_S
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ops import KeyRevoked, Kill, Lasting, Op, Opened, Posted, Withdrawn
from jevons.ledger.store import Store

log = logging.getLogger("jevons.ledger")

DISK_ERRORS = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.NoMemError,
    OSError,
    MemoryError,
)
"""The store's fault: it may work again later. Any other exception is the fault of one operation in the batch."""

Ticket = tuple[Op, "asyncio.Future[None]"]


class Writer:
    """Owns the store from `start` to `close`; everybody else goes through `submit` (or reads by a connection of their own)."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._queue: queue.SimpleQueue[list[Ticket] | None] = queue.SimpleQueue()
        self._gathered: list[Ticket] = []
        self._closed = False
        self._unwritten: deque[Lasting] = deque()
        self._doubtful: list[int] = []
        """Holds whose commit reported failure, and may have been written all the same."""
        self._handed = 0
        self._done = 0
        """Lists of operations handed to the thread, and those it is done with."""
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="jevons-ledger", daemon=True)
        self.failing = ""
        """Why the last commit failed; empty when all is written."""

    def start(self) -> None:
        self._thread.start()

    def submit(self, op: Op) -> "asyncio.Future[None]":
        """Queue an operation. Order is kept. The future fails with LedgerUnavailable if the commit does.

        The thread is woken once for all that one turn of the loop submits: a wake-up costs more than a row, and would split the batch.
        """
        future = self._loop.create_future()
        if self._closed:
            _fail([future], "it is closed")
            return future
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((op, future))
        return future

    def close(self) -> None:
        """Write what is queued, then end the thread. Blocks."""
        self._hand_over()
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def flush(self) -> None:
        """Block until all that was submitted is on disk: about a millisecond. Raises LedgerUnavailable if it cannot be."""
        self._hand_over()
        with self._progress:
            in_time = self._progress.wait_for(lambda: self._done >= self._handed, timeout=LEDGER_FLUSH_S)
        if not in_time or self.failing:
            raise LedgerUnavailable(f"the ledger could not be written: {self.failing or 'it takes too long'}")

    @property
    def unwritten(self) -> int:
        return len(self._unwritten)

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._handed += 1
            self._queue.put(gathered)

    def _run(self) -> None:
        _yield_to_the_loop()
        closing = False
        while not closing:
            batch, lists, closing = self._next()
            if self.failing:
                self._catch_up(probe=not batch)
            if batch:
                self._commit(batch)
                with self._progress:
                    self._done += lists
                    self._progress.notify_all()
        if self.failing:
            self._catch_up(probe=False)
        entries = sum(isinstance(op, Posted) for op in self._unwritten)
        if entries:
            log.critical(
                "%d entries could not be written (%s). Their holds stay in the ledger and are charged whole, as estimates, at the next start.",
                entries,
                self.failing,
            )
        if lost := [type(op).__name__ for op in self._unwritten if isinstance(op, KeyRevoked | Kill)]:
            log.critical(
                "%s could not be written (%s) and do not hold after a restart: say them again.", ", ".join(lost), self.failing
            )

    def _next(self) -> tuple[list[Ticket], int, bool]:
        """(all that waits, in how many lists it was handed over, is it the last)"""
        batch: list[Ticket] = []
        lists = 0
        try:
            item = self._queue.get(timeout=LEDGER_RETRY_S if self.failing else None)
            while item is not None:
                batch += item
                lists += 1
                if len(batch) >= COMMIT_ROWS_MAX:
                    return batch, lists, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch, lists, False
        return batch, lists, True

    def _commit(self, batch: list[Ticket]) -> None:
        ops, futures = [op for op, _ in batch], [future for _, future in batch]
        try:
            self._store.apply(ops)
        except DISK_ERRORS as error:
            self._fails(error)
            self._unwritten.extend(op for op in ops if isinstance(op, Lasting))
            self._doubtful.extend(op.hold.id for op in ops if isinstance(op, Opened))
            self._tell(_fail, futures, self.failing)
        except Exception as error:
            if len(batch) > 1:  # one bad operation must not take its neighbours down
                middle = len(batch) // 2
                self._commit(batch[:middle])
                self._commit(batch[middle:])
                return
            log.exception("the ledger refused %r", ops[0])
            self._tell(_fail, futures, f"it refused this: {error}")
        else:
            if self.failing and not self._unwritten and not self._doubtful:
                self._works()
            self._tell(_resolve, futures)

    def _catch_up(self, *, probe: bool) -> None:
        """Write what a failed commit left, one at a time: it may have been written all the same. With nothing left, `probe` the disk."""
        proven = False
        try:
            if self._doubtful:  # costs no write where nothing is found
                self._store.apply([Withdrawn(tuple(self._doubtful))])
                self._doubtful.clear()
            while self._unwritten:
                self._write_again(self._unwritten[0])
                self._unwritten.popleft()
                proven = True
            if probe and not proven:
                self._store.probe()
                proven = True
        except DISK_ERRORS as error:
            self._fails(error)
        else:
            if proven:
                self._works()

    def _write_again(self, op: Lasting) -> None:
        try:
            if not (isinstance(op, Posted) and self._store.has_entry(op.entry.hold.id)):
                self._store.apply([op])
        except DISK_ERRORS:
            raise
        except Exception:  # it came down with its neighbours, and is bad by itself
            log.exception("the ledger refused %r; if it is an entry, its hold stays and is charged whole at the next start", op)

    def _fails(self, error: Exception) -> None:
        if not self.failing:  # said once, not per request: the log may be on the same disk
            log.error("the ledger cannot be written: %s: %s", type(error).__name__, error)
        self.failing = f"{type(error).__name__}: {error}"

    def _works(self) -> None:
        log.warning("the ledger is written again, nothing is missing")
        self.failing = ""

    def _tell(self, answer: Callable[..., None], futures: "list[asyncio.Future[None]]", *reason: str) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(answer, futures, *reason)


def _yield_to_the_loop() -> None:
    """Waking this thread does not take the core from the loop's thread, which still holds the interpreter lock that it needs (Linux).

    On one core at 64 connections that saves about a quarter of the CPU per request.
    """
    with suppress(OSError, AttributeError):  # a sandbox may forbid it, another system not have it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _resolve(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _fail(futures: "list[asyncio.Future[None]]", reason: str) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(LedgerUnavailable(f"the ledger could not be written: {reason}"))
            future.exception()  # a caller that left has nobody to read it
