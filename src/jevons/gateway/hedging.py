"""Two attempts at one answer: the second is sent when the first has not begun in time, and whichever begins first is shown.

Comes in: what sends the second. Goes out: who won; the other is cancelled and settled. The first runs in the task that makes the race, and so do the
client's leaving and a kill; the second in a task of its own. Does not know: attempts, answers, who is asked.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from jevons.core.ask import Ask
from jevons.core.limits import HEDGE_OUTPUT_TOKENS_MAX
from jevons.policy.sampling import comparable


def is_interactive(ask: Ask) -> bool:
    """Does somebody wait for it, and may it be asked twice? What a provider stores would be there twice, and what its own tools do done twice."""
    return comparable(ask) and (ask.stream or (ask.output_cap is not None and ask.output_cap <= HEDGE_OUTPUT_TOKENS_MAX))


class Race:
    """Between the current task and a second one."""

    def __init__(self, second: Callable[["Race"], Coroutine[Any, Any, None]]) -> None:
        """`second` is to call `second_shows` before it shows anything."""
        task = asyncio.current_task()
        assert task is not None
        self._first = task
        self._make = second
        self._second: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = False
        self._waits = False
        """The first has ended, and its task waits for the second."""
        self.won: bool | None = None
        """True: the second began first; False: the first did; None: neither has begun."""

    @property
    def under_way(self) -> bool:
        """Has the second been sent, and not ended?"""
        return self._second is not None and not self._second.done()

    @property
    def begun(self) -> bool:
        """Was there a second?"""
        return self._second is not None

    def start(self, after_s: float) -> None:
        """Send the second `after_s` from now, if the first has not begun until then."""
        self._timer = asyncio.get_running_loop().call_later(after_s, self._begin)

    def first_shows(self) -> None:
        """The first is about to show something. Raises CancelledError if the second does already."""
        self._show(second=False)

    def second_shows(self) -> None:
        """The second is about to show something. Raises CancelledError if the first does already."""
        self._show(second=True)

    def first_is_beaten(self) -> bool:
        """Is the second shown in its place?"""
        return self.won is True

    def second_is_beaten(self) -> bool:
        return self.won is False

    def lost(self) -> bool:
        """Was the first cancelled because the second began? Asking takes the cancellation back."""
        if not self._cancelled:
            return False
        self._cancelled = False
        self._first.uncancel()
        return True

    async def second(self) -> None:
        """Wait for the second: raises what it raises. Cancelling this cancels it."""
        assert self._second is not None
        self._waits = True
        await self._second

    async def end(self) -> None:
        """Whoever has not won is cut off, and settled when this returns."""
        if self._timer is not None:
            self._timer.cancel()
        if self._second is not None:
            if not self.won:
                self._second.cancel()
            await asyncio.wait((self._second,))
            if not self._second.cancelled():
                self._second.exception()  # what it failed with was said by the first, or matters to nobody
        self.lost()

    def _begin(self) -> None:
        if self.won is None:
            self._second = asyncio.get_running_loop().create_task(self._make(self))

    def _show(self, *, second: bool) -> None:
        if self.won is not None and self.won is not second:
            raise asyncio.CancelledError
        if self.won is None:
            self.won = second
            if second:
                self._cancelled = not self._waits
                if not self._waits:
                    self._first.cancel()
            elif self._second is not None:
                self._second.cancel()
