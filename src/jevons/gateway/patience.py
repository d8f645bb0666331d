"""A clock on waiting: cancels the task when nothing has come for too long, for the price of one timer per attempt.

Arming costs a timer, each chunk only a store; the timer looks at the store when it fires.
"""

import asyncio
import math


class Patience:
    """Belongs to the task that makes it. After a cancellation ask `expired()`: was it this clock?"""

    def __init__(self, most_s: float = math.inf) -> None:
        """`most_s`: from now on, however often something comes."""
        self._loop = asyncio.get_running_loop()
        self._most_s = most_s
        self._until = self._loop.time() + most_s
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fired = False
        self.seconds = 0.0

    def start(self, seconds: float) -> None:
        """From now on, `seconds` may pass without a `touch`."""
        self.stop()
        self.seconds = min(seconds, self._most_s)
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._rest(), self._look)

    def touch(self) -> None:
        self._last = self._loop.time()

    def quiet_s(self) -> float:
        """Seconds since the last `touch`."""
        return self._loop.time() - self._last

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expired(self) -> bool:
        """Was the task cancelled by this clock? Asking takes the cancellation back."""
        if self._fired:
            self._fired = False
            self._task.uncancel()
            return True
        return False

    def _rest(self) -> float:
        return min(self._last + self.seconds, self._until) - self._loop.time()

    def _look(self) -> None:
        rest = self._rest()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._look)
            return
        self._timer = None
        self._fired = True
        self._task.cancel()
