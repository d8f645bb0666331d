"""Packed holds: hold what a caller's answers usually need, and more as an answer grows (docs/governor.md, "Holds").

Comes in: how long answers were. Goes out: how long the next one will hardly be exceeded by, and how much more to hold when it is.
Does not know: money, streams.
"""

from bisect import insort
from collections import OrderedDict, deque

from jevons.core.limits import (
    IN_FLIGHT_OUTPUT_TOKENS,
    PACKED_CALLERS_MAX,
    PACKED_GROWTH_TOKENS,
    PACKED_SAMPLES,
    PACKED_SAMPLES_MIN,
)

PERCENTILE = 95
MARGIN_TOKENS = 2 * IN_FLIGHT_OUTPUT_TOKENS
"""Held beyond what is relayed: what the provider may have made unseen when the stream is cut, and the events of one read."""


class Outputs:
    """Output tokens of the latest answers, by key and model."""

    def __init__(self) -> None:
        self._callers: OrderedDict[tuple[int, str], tuple[deque[int], list[int]]] = OrderedDict()

    def saw(self, key_id: int, model: str, tokens: int) -> None:
        """One answer more."""
        latest, ascending = self._callers.setdefault((key_id, model), (deque(), []))
        self._callers.move_to_end((key_id, model))
        latest.append(tokens)
        insort(ascending, tokens)
        if len(latest) > PACKED_SAMPLES:
            ascending.remove(latest.popleft())
        if len(self._callers) > PACKED_CALLERS_MAX:
            self._callers.popitem(last=False)

    def expected(self, key_id: int, model: str) -> int | None:
        """What an answer of this caller hardly exceeds, with the margin; None = too little is known: strict."""
        _, ascending = self._callers.get((key_id, model), (None, ()))
        if len(ascending) < PACKED_SAMPLES_MIN:
            return None
        return ascending[min(len(ascending) - 1, len(ascending) * PERCENTILE // 100)] + MARGIN_TOKENS


def growth(held_output: int, cap: int) -> list[int]:
    """By how many output tokens to grow a hold, best first: a good part of what it has, then less, to the last that helps."""
    steps, step = [], min(cap - held_output, max(PACKED_GROWTH_TOKENS, held_output // 2))
    while step >= IN_FLIGHT_OUTPUT_TOKENS:
        steps.append(step)
        step //= 2
    return steps
