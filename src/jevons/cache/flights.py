"""One question to the provider for many who ask the same at once: the first leads, the others wait for its answer.

Comes in: keys. Goes out: who leads, and for each who waits its end: the answer; the lead, if the leader left; or to go alone, if the leader's answer
is none that can be given to others. Does not know: what an answer is, what leading costs.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

A = TypeVar("A")


class End(enum.Enum):
    """What becomes of one who waits, if it is not given an answer."""

    LEADS = "leads"
    """The leader left without an answer; this one takes its place, and the others wait on."""
    ALONE = "alone"
    """The leader was given something that is nobody else's; everyone asks for itself."""


class Flights(Generic[A]):
    """All that are under way. Lives on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[asyncio.Future[A | End]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> int:
        """How many wait for others' answers."""
        return sum(not future.done() for waiting in self._waiting.values() for future in waiting)

    def join(self, key: Hashable) -> "asyncio.Future[A | End] | None":
        """None: you lead, and end it by `land`, `leave` or `fail`. Else a future for `wait`."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            return None
        future: asyncio.Future[A | End] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        return future

    async def wait(self, key: Hashable, future: "asyncio.Future[A | End]", timeout_s: float) -> A | End:
        """The end for one who joined. Whoever is cancelled after it was given the lead hands it on."""
        try:
            await asyncio.wait((future,), timeout=timeout_s)
        except asyncio.CancelledError:
            if not future.cancel() and future.result() is End.LEADS:
                self.leave(key)
            raise
        if not future.done():
            future.cancel()
            return End.ALONE
        return future.result()

    def land(self, key: Hashable, answer: A) -> None:
        """The answer, for all who wait."""
        self._end(key, answer)

    def fail(self, key: Hashable) -> None:
        """All who wait go alone."""
        self._end(key, End.ALONE)

    def leave(self, key: Hashable) -> None:
        """The leader has nothing, and nobody's answer is coming: the next one leads."""
        waiting = self._waiting[key]
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(End.LEADS)
                return
        del self._waiting[key]

    def _end(self, key: Hashable, end: A | End) -> None:
        for future in self._waiting.pop(key):
            if not future.done():
                future.set_result(end)
