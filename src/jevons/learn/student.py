"""What a student is to whoever asks it: a question in, an answer with a score out, or nothing.

A student answers one kind of request (`learn.student_card`: whose, of which template) as its teacher did. Does not know: how it was made
(`distil`), whether its answer may be given (`gateway.students`).
"""

from typing import Any, ClassVar, NamedTuple, Protocol

from numpy import float32
from numpy.typing import NDArray

Vector = NDArray[float32]
"""f32[256] of length 1: the question as `embed.Embedder.vector` sees it, whole and unchanged."""
Arrays = dict[str, NDArray[Any]]


class Answered(NamedTuple):
    """What a student says."""

    text: str
    """In the teacher's own spelling, byte for byte."""
    score: float
    """In [0, 1], the higher the surer. It orders answers; what it is worth is the promise's to find out."""


class Tried(NamedTuple):
    """One example that a student was not trained on."""

    score: float
    """0 where it had no answer."""
    harm: bool
    """It did not answer as the teacher did."""


class Student(Protocol):
    """One way of answering. Pure and quick (well under a millisecond); usable from many threads."""

    kind: ClassVar[str]
    """table, classifier, extractor"""

    @property
    def embeds(self) -> bool:
        """It needs the question's vector."""

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        """None where it has nothing to say. Raises ValueError without a vector that it needs."""

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """All that it is: what JSON can hold, and arrays of numbers."""
