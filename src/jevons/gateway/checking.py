"""Questions that are asked again behind the client's back, to check an answer that was given from the cache.

Comes in: journeys that nobody waits for. Each is a call of its own: admitted, held, charged and settled like any other, killed like any other, and
cut off when the gateway stops. Does not know: what is checked, what comes of it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from jevons.core.limits import SIMILAR_CHECKS_MAX
from jevons.gateway.client import Client

log = logging.getLogger("jevons.gateway")


class Nobody(Client):
    """The client of such a call: it never leaves, and what it is sent is heard by no one."""

    def __init__(self) -> None:
        super().__init__(_never, _nothing)
        self.admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Is its hold taken, and the call on its way? Known before anything is sent."""

    def admit(self) -> None:
        """It has its hold."""
        if not self.admitted.done():
            self.admitted.set_result(True)

    def watch(self, after_s: float) -> None:
        return

    def interrupt_on_leave(self, interrupt: bool) -> None:
        return


class Checks:
    """All that are under way, at most SIMILAR_CHECKS_MAX. Lives on one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.begun = 0
        """Since the start."""

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        return len(self._tasks) >= SIMILAR_CHECKS_MAX

    async def begin(self, call: Coroutine[Any, Any, None], client: Nobody) -> bool:
        """Make the call in the background. True once it is admitted: it has its hold; False if it was refused, or could not be made."""
        task = asyncio.get_running_loop().create_task(_alone(call, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            admitted = await asyncio.shield(client.admitted)
        except asyncio.CancelledError:
            task.cancel()  # nobody is given the answer that was to be checked
            raise
        self.begun += admitted
        return admitted

    async def close(self) -> None:
        """Cut off what is under way; each call is settled when this returns."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _alone(call: Coroutine[Any, Any, None], client: Nobody) -> None:
    try:
        await call
    except Exception:
        log.exception("a bug, in the check of a cached answer")
    finally:
        with contextlib.suppress(asyncio.InvalidStateError):
            client.admitted.set_result(False)


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


async def _nothing(_message: Any) -> None:
    return
