"""What could answer in the teacher's place by the same embeddings, without training: a cache of the nearest answer, and OCaTS.

Comes in: the teacher's answers as they come. Goes out: an answer and a score, which the same promise puts its threshold on. OCaTS
(Stogiannidis et al. 2023, arXiv 2310.13395): the k nearest vote, weighted by distance; two gates, the entropy of the vote and the distance to
the neighbours' centroid. Here both gates open together, at one level of what was seen so far: its score.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jevons.learn.student import Answered, Vector

NEIGHBOURS = 5


class Local(Protocol):
    """Answers by itself, and learns from the teacher."""

    name: str

    def answer(self, question: str, vector: Vector) -> Answered | None: ...

    def learn(self, question: str, vector: Vector, answer: str) -> None: ...


class Nearest:
    """A cache of answers: the one to the nearest question, at its cosine."""

    name = "knn_cache"

    def __init__(self, most: int, dimensions: int = 256) -> None:
        self._vectors: NDArray[np.float32] = np.zeros((most, dimensions), np.float32)
        self._answers: list[str] = []

    def answer(self, question: str, vector: Vector) -> Answered | None:
        if not self._answers:
            return None
        cosines = self._vectors[: len(self._answers)] @ vector
        place = int(np.argmax(cosines))
        return Answered(self._answers[place], float(cosines[place]))

    def learn(self, question: str, vector: Vector, answer: str) -> None:
        self._vectors[len(self._answers)] = vector
        self._answers.append(answer)

    def nearest(self, vector: Vector) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(cosines, places) of the nearest, the best first."""
        cosines = self._vectors[: len(self._answers)] @ vector
        places = np.argsort(-cosines)[:NEIGHBOURS]
        return cosines[places], places

    def of(self, places: Sequence[int] | NDArray[np.int64]) -> list[str]:
        return [self._answers[place] for place in places]

    def centroid(self, places: NDArray[np.int64], weights: NDArray[np.float32]) -> Vector:
        mean: Vector = (weights[:, None] * self._vectors[places]).sum(axis=0) / weights.sum()
        return mean

    def __len__(self) -> int:
        return len(self._answers)


class Ocats:
    """The two gates over a vote of the nearest."""

    name = "ocats"

    def __init__(self, most: int, dimensions: int = 256) -> None:
        self._near = Nearest(most, dimensions)
        self._entropies: list[float] = []
        self._distances: list[float] = []

    def answer(self, question: str, vector: Vector) -> Answered | None:
        if len(self._near) < NEIGHBOURS:
            return None
        answer, entropy, distance = self._vote(vector)
        level = max(_rank(self._entropies, entropy), _rank(self._distances, distance))
        return Answered(answer, 1 - level)

    def learn(self, question: str, vector: Vector, answer: str) -> None:
        if len(self._near) >= NEIGHBOURS:
            _, entropy, distance = self._vote(vector)
            insort(self._entropies, entropy)
            insort(self._distances, distance)
        self._near.learn(question, vector, answer)

    def _vote(self, vector: Vector) -> tuple[str, float, float]:
        """(answer, entropy of the vote, distance to the neighbours' centroid)"""
        cosines, places = self._near.nearest(vector)
        weights = (1 / (1.0001 - cosines)).astype(np.float32)
        votes: dict[str, float] = {}
        for said, weight in zip(self._near.of(places), weights, strict=True):
            votes[said] = votes.get(said, 0.0) + float(weight)
        shares = np.array(list(votes.values())) / sum(votes.values())
        distance = float(np.linalg.norm(vector - self._near.centroid(places, weights)))
        return max(votes, key=lambda one: votes[one]), float(-(shares * np.log(shares)).sum()), distance


def _rank(seen: list[float], value: float) -> float:
    """Share of what was seen that is smaller."""
    return bisect_left(seen, value) / len(seen) if seen else 1.0
