"""The student for questions with few different answers: which of them it is, and how surely.

Comes in: a question and its vector. Goes out: one of the teacher's answers, with the probability that the teacher would give it. Its rows are
the question's meaning (the embedder's vector, as it is) beside its words (`student_grams`). A question unlike all that it was trained on gets a
flat distribution, and so a low score. Does not know: which examples are good enough for it (`distil.dataset`).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy import float32
from numpy.typing import NDArray

from jevons.learn import softmax
from jevons.learn.student import Answered, Arrays, Vector
from jevons.learn.student_grams import folded

SCALE = 3.0
"""Of both halves of a row. Larger ones fit wrong labels sooner: 6 costs 1.5 points where 5 % are wrong (banking77, clinc150)."""


class Classifier:
    """answers[k], f32[d + 1, k] weights."""

    kind: ClassVar[str] = "classifier"
    embeds: ClassVar[bool] = True

    def __init__(self, answers: tuple[str, ...], weights: NDArray[float32]) -> None:
        self._answers = answers
        self._weights = weights

    @classmethod
    def made(cls, rows: NDArray[float32], said: Sequence[str], *, seed: int = 0) -> Self:
        """Of rows (`row`) and the answer to each."""
        answers = tuple(sorted(set(said)))
        places = {answer: place for place, answer in enumerate(answers)}
        classes = np.array([places[answer] for answer in said], np.int64)
        return cls(answers, softmax.fit(rows, classes, len(answers), seed=seed))

    @classmethod
    def of(cls, settings: dict[str, Any], arrays: Arrays) -> Self:
        """From `state`. Raises KeyError for another's."""
        return cls(tuple(settings["answers"]), arrays["weights"])

    @property
    def answers(self) -> int:
        """How many different answers it can give."""
        return len(self._answers)

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        if vector is None:
            raise ValueError("a classifier needs the question's vector")
        return self.judged(row(question, vector))

    def judged(self, one: NDArray[float32]) -> Answered:
        """The same for a row."""
        likely = softmax.probabilities(one @ self._weights[:-1] + self._weights[-1])
        best = int(likely.argmax())
        return Answered(self._answers[best], float(likely[best]))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        return {"answers": list(self._answers)}, {"weights": self._weights}


def row(question: str, vector: Vector) -> NDArray[float32]:
    """f32[256 + COLUMNS]"""
    joined: NDArray[float32] = np.concatenate((vector, folded(question))) * float32(SCALE)
    return joined
