"""The operator's hand on a call under way: it is cut off wherever it waits, and its client is told why.

Made by the task that makes the call. `cut` cancels it; who catches the cancellation asks `was_cut`. Does not know: kills, clients.
"""

import asyncio

from jevons.core.refusal import Refusal


class Stop:
    """Of one call."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.refusal: Refusal | None = None
        """Why it was stopped."""

    def cut(self, refusal: Refusal) -> None:
        """Stop the call now; the first reason counts."""
        if self.refusal is None:
            self.refusal = refusal
            self._task.cancel()

    def was_cut(self) -> Refusal | None:
        """Why the task was cancelled, if it was by `cut`. Asking takes the cancellation back."""
        if self.refusal is None or not self._task.cancelling():
            return None
        self._task.uncancel()
        return self.refusal
