"""What takes a page long to find, kept for a moment: a question that is asked again is answered with what was found.

Comes in: a question, and how to find its answer. Goes out: the answer. Does not know: what is asked. Used by several threads.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from jevons.core.limits import PAGE_ANSWER_KEPT_S, PAGE_ANSWERS_KEPT

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """Answers by question, the latest last. What fails is not kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[float, _T]] = OrderedDict()

    def get(self, question: Hashable, find: Callable[[], _T]) -> _T:
        """Found now, or not long ago."""
        at, kept = self._kept.get(question, (None, None))
        if at is not None and kept is not None and time.monotonic() - at < PAGE_ANSWER_KEPT_S:
            return kept
        found = find()
        self._kept.pop(question, None)  # each step by itself, as several threads do this at once
        self._kept[question] = (time.monotonic(), found)
        while len(self._kept) > PAGE_ANSWERS_KEPT:
            self._kept.popitem(last=False)
        return found
