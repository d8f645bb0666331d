"""A student whose scores are probabilities: what it said of examples that it did not know is held against what came out.

Comes in: a student, and trials of it. Goes out: the same answers in the same order of sureness, with the share that was right among those that were
scored alike. By isotonic regression (pool adjacent violators: Ayer et al. 1955) of a few stretches of the score, each with as many trials, and straight
lines between them: where the teacher itself contradicts itself now and then, the surest answers are right only so often, which no logistic can say.
Does not know: what a score is good for (`policy.promise`).
"""

from collections.abc import Sequence
from math import exp, log
from typing import Any, ClassVar, Self

import numpy as np
from numpy import float64

from jevons.learn.student import Answered, Arrays, Student, Tried, Vector

STRETCHES_MAX = 20
STRETCH_LEAST = 25
"""Trials of one stretch: with fewer its share says little."""
ORDER = 1e-4
"""Scores of one share keep their order by so much."""
_EDGE = 1e-9


class Calibrated:
    """f64[s] log-odds of the student's own score, rising, and f64[s] the share that was right there."""

    kind: ClassVar[str] = "calibrated"

    def __init__(self, student: Student, odds: Sequence[float], shares: Sequence[float]) -> None:
        self._student = student
        self._odds = list(odds)
        self._shares = list(shares)

    @classmethod
    def fitted(cls, student: Student, trials: Sequence[Tried]) -> Self:
        """Each stretch begins with one right and one wrong trial: a few right ones are no certainty."""
        ranked = sorted((_odds(one.score), not one.harm) for one in trials)
        count = max(1, min(STRETCHES_MAX, len(ranked) // STRETCH_LEAST))
        parts = [part for part in np.array_split(np.array(ranked, float64).reshape(-1, 2), count) if len(part)]
        odds = [float(part[:, 0].mean()) for part in parts]
        shares = [(float(part[:, 1].sum()) + 1) / (len(part) + 2) for part in parts]
        return cls(student, odds or [0.0], _rising(shares, [len(part) for part in parts]) or [0.5])

    @property
    def embeds(self) -> bool:
        return self._student.embeds

    def answer(self, question: str, vector: Vector | None) -> Answered | None:
        said = self._student.answer(question, vector)
        return None if said is None else Answered(said.text, self.score(said.score))

    def score(self, raw: float) -> float:
        """The probability that stands for a score of the student itself."""
        odds = _odds(raw)
        share = float(np.interp(odds, self._odds, self._shares))
        return share * (1 - ORDER) + ORDER / (1 + exp(-odds))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        settings, arrays = self._student.state()
        return {"kind": self._student.kind, "of": settings, "odds": self._odds, "shares": self._shares}, arrays


def _rising(shares: Sequence[float], weights: Sequence[int]) -> list[float]:
    """The nearest sequence that never falls: neighbours that do are pooled."""
    pools: list[tuple[float, int, int]] = []
    for share, weight in zip(shares, weights, strict=True):
        pools.append((share, weight, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (one, its, many), (other, theirs, more) = pools.pop(), pools.pop()
            pools.append(((one * its + other * theirs) / (its + theirs), its + theirs, many + more))
    return [share for share, _, count in pools for _ in range(count)]


def _odds(score: float) -> float:
    return log(max(score, _EDGE) / max(1 - score, _EDGE))
