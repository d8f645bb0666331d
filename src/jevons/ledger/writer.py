"""One thread that writes: everything waiting goes into one transaction and shares one sync (group commit).

Comes in: operations from the event loop. Goes out: one future each, resolved when the operation is on disk. A post whose commit failed
is kept and tried again until it is written: an entry is never lost while the process lives, and after it the hold is still on disk.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable

import apsw

from jevons.core.limits import COMMIT_ROWS_MAX
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ops import Op, Posted
from jevons.ledger.sqlite import Store

log = logging.getLogger("jevons.ledger")

RETRY_UNWRITTEN_S = 1.0
"""How long the writer waits for new work before it tries again what could not be written."""

Ticket = tuple[Op, "asyncio.Future[None]"]


class Writer:
    """Owns the store from `start` to `close`; everybody else goes through `submit` (or reads by a connection of their own)."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._queue: queue.SimpleQueue[list[Ticket] | Callable[[], None] | None] = queue.SimpleQueue()
        self._gathered: list[Ticket] = []
        self._unwritten: deque[Posted] = deque()
        self._thread = threading.Thread(target=self._run, name="jevons-ledger", daemon=True)
        self.failing = ""
        """Why the last commit failed; empty when it succeeded."""

    def start(self) -> None:
        self._thread.start()

    def submit(self, op: Op) -> "asyncio.Future[None]":
        """Queue an operation. Order is kept. The future fails with LedgerUnavailable if the commit does.

        The thread is woken once for all that one turn of the loop submits: a wake-up costs more than a row, and would split the batch.
        """
        future = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((op, future))
        return future

    def call(self, work: Callable[[], None]) -> None:
        """Run `work` on the writer's thread between two commits (a backup)."""
        self._hand_over()
        self._queue.put(work)

    def close(self) -> None:
        """Write what is queued, then end the thread. Blocks."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()

    @property
    def unwritten(self) -> int:
        return len(self._unwritten)

    def _hand_over(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._queue.put(gathered)

    def _run(self) -> None:
        closing = False
        while not closing:
            batch: list[Ticket] = []
            errands: list[Callable[[], None]] = []
            try:
                item = self._queue.get(timeout=RETRY_UNWRITTEN_S if self._unwritten else None)
                while True:
                    if item is None:
                        closing = True
                    elif isinstance(item, list):
                        batch += item
                    else:
                        errands.append(item)
                    if len(batch) >= COMMIT_ROWS_MAX:
                        break
                    item = self._queue.get_nowait()
            except queue.Empty:
                pass
            if self._unwritten:
                self._write_unwritten()
            if batch:
                self._commit(batch)
            for errand in errands:
                errand()

    def _commit(self, batch: list[Ticket]) -> None:
        try:
            self._store.apply([op for op, _ in batch])
        except apsw.ConstraintError as error:
            if len(batch) > 1:  # one bad operation must not take its neighbours down
                for ticket in batch:
                    self._commit([ticket])
                return
            self._failed(batch, error)
        except (apsw.Error, OSError) as error:
            self._failed(batch, error)
        else:
            self.failing = ""
            self._loop.call_soon_threadsafe(_resolve, [future for _, future in batch])

    def _failed(self, batch: list[Ticket], error: Exception) -> None:
        self.failing = f"{type(error).__name__}: {error}"
        log.error("ledger commit of %d operations failed: %s", len(batch), self.failing)
        self._unwritten.extend(op for op, _ in batch if isinstance(op, Posted))
        self._loop.call_soon_threadsafe(_fail, [future for _, future in batch], self.failing)

    def _write_unwritten(self) -> None:
        """Entries whose commit failed, one at a time: a commit that reported failure may still have been written."""
        while self._unwritten:
            op = self._unwritten[0]
            try:
                if not self._store.has_entry(op.entry.hold.id):
                    self._store.apply([op])
            except (apsw.Error, OSError) as error:
                self.failing = f"{type(error).__name__}: {error}"
                return
            self._unwritten.popleft()
            self.failing = ""


def _resolve(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _fail(futures: "list[asyncio.Future[None]]", reason: str) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(LedgerUnavailable(f"the ledger could not be written: {reason}"))
            future.exception()  # a caller that left has nobody to read it
