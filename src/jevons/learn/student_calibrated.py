"""A student whose scores are probabilities: what it said of examples that it did not know is held against what came out.

Comes in: a student, and trials of it. Goes out: the same answers in the same order of sureness, with the share that was right among those that were
scored alike. By Platt's logistic of the score's log-odds (Platt 1999): two numbers, so a few hundred trials are enough, and nothing changes places.
Does not know: what a score is good for (`policy.promise`).
"""

from collections.abc import Sequence
from math import exp, log
from typing import Any, ClassVar, Self

import numpy as np

from jevons.learn.student import Answered, Arrays, Student, Tried, Vector

STEPS = 50
SLOPE_LEAST = 0.05
"""A student whose score says nothing, or the contrary, still keeps its order."""
_EDGE = 1e-9


class Calibrated:
    kind: ClassVar[str] = "calibrated"

    def __init__(self, student: Student, slope: float, intercept: float) -> None:
        self._student = student
        self._slope = slope
        self._intercept = intercept

    @classmethod
    def fitted(cls, student: Student, trials: Sequence[Tried]) -> Self:
        """By Newton's method, with one right and one wrong trial of no leaning beside the others, so that no number runs away."""
        odds = np.array([_odds(one.score) for one in trials] + [0.0, 0.0])
        right = np.array([not one.harm for one in trials] + [True, False], np.float64)
        columns = np.stack([odds, np.ones_like(odds)], axis=1)
        found = np.array([1.0, 0.0])
        for _ in range(STEPS):
            likely = 1 / (1 + np.exp(-np.clip(columns @ found, -30, 30)))
            bent = (columns * (likely * (1 - likely))[:, None]).T @ columns + 1e-6 * np.eye(2)
            found -= np.clip(np.linalg.solve(bent, columns.T @ (likely - right)), -1, 1)
        return cls(student, max(SLOPE_LEAST, float(found[0])), float(found[1]))

    @property
    def embeds(self) -> bool:
        return self._student.embeds

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        said = self._student.answer(question, vector)
        return None if said is None else Answered(said.text, self.score(said.score))

    def score(self, raw: float) -> float:
        """The probability that stands for a score of the student itself."""
        return 1 / (1 + exp(-max(-30.0, min(30.0, self._slope * _odds(raw) + self._intercept))))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        settings, arrays = self._student.state()
        return {"kind": self._student.kind, "of": settings, "slope": self._slope, "intercept": self._intercept}, arrays


def _odds(score: float) -> float:
    return log(max(score, _EDGE) / max(1 - score, _EDGE))
