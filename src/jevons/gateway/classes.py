"""The operator's classes of requests: a question belongs to the class of the example that is nearest to it.

Comes in: `[[classes]]` tables, then questions as vectors. Goes out: the name of a class, or "". Needs numpy, and is loaded only where a route names classes.
Does not know: how a question is found, how it is made a vector.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from jevons.policy.routes import TaskClass

Vector = NDArray[np.float32]


class Classes:
    """All examples as one matrix."""

    def __init__(self, classes: Iterable[TaskClass], embed: Callable[[str], Vector]) -> None:
        told = [(one, embed(example)) for one in classes for example in one.examples if example.strip()]
        self._names = [one.name for one, _ in told]
        self._examples = np.stack([vector for _, vector in told])
        self._least = np.array([one.min_likeness for one, _ in told], np.float32)

    def of(self, vector: Vector) -> str:
        """`vector`: f32[dimensions] of length 1. "" = it is not like enough to any example."""
        likeness = self._examples @ vector
        likeness[likeness < self._least] = -1
        nearest = int(likeness.argmax())
        return self._names[nearest] if likeness[nearest] > 0 else ""
