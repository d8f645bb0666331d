"""How often a key may ask for what costs it nothing and us something.

Comes in: a key. Goes out: nothing, or a Refusal that says when to come back. Does not know: what is asked for, but for its name.
"""

import time
from collections import deque

from jevons.core.refusal import Kind, Refusal


class PerMinute:
    """So many of one thing within any minute, for each key."""

    def __init__(self, most: int, what: str) -> None:
        """`what`: in the plural, for the refusal."""
        self._most, self._what = most, what
        self._asked: dict[int, deque[float]] = {}
        """Key id -> when, on a clock of its own; the latest `most` at most."""

    def take(self, key_id: int) -> None:
        """One more. Raises Refusal (429)."""
        recent, now = self._asked.setdefault(key_id, deque()), time.monotonic()
        while recent and recent[0] < now - 60:
            recent.popleft()
        if len(recent) >= self._most:
            raise Refusal(
                Kind.RATE_LIMIT,
                429,
                f"More than {self._most} {self._what} a minute.",
                code="rate_limit_exceeded",
                retry_after_s=max(1, int(recent[0] + 60 - now)),
            )
        recent.append(now)
