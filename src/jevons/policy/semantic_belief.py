"""How likely a cached answer is right for a similar request: one small logistic model for all entries, and a correction for each.

Comes in: the nearest entries of a request: cosine, which of them share an answer, what each has proved. Goes out: which answer they
speak for, and the probability that it is wrong. Every request that the model answered although something near was cached teaches it.

An entry alone learns too slowly: vCache (arXiv 2502.03771) fits a curve of the similarity for each entry, and at 2 % wrong hundreds of
requests must come near one before it may be served. Here entries share one curve, and each only shifts it by its own record, the less the
less it has seen (a random intercept, shrunk to nought). And the similarity alone says little: whether the other neighbours have the same
answer says more (measured in docs/semantic-cache.md).

Does not know: budgets, chance, texts.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import msgspec

NEIGHBOURS = 8
"""So many of the nearest entries are looked at."""

SHARPNESS = 20.0
"""A neighbour's vote is exp(SHARPNESS * cosine): one that is nearer by 0.05 counts e times as much."""
NEAREST = 0.02
"""A distance (1 - cosine) below this is taken for this."""
UNCOUNTED = 0.02
"""Share of the votes that is added for and against."""

PRIOR = (0.0, 0.5, 0.5, 0.5)
"""Weights before anything was seen."""
PRIOR_VARIANCE = 1.0
"""Of each weight: vague enough that nothing is served on the prior alone, and not so vague that a lucky start makes the curve too steep."""
ENTRY_VARIANCE = 1.0
"""How far entries differ from each other, in log-odds squared."""
DRIFT = 1e-5
"""Variance that each weight gains with every observation: traffic changes slowly, and the curve must be able to follow."""
LEAST = 0.005
"""Nothing is surer than this: judges of answers err, too."""

_Row = tuple[float, ...]


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """What requests near one entry have shown of it: all that is kept with an entry, beside its vector and its answer."""

    residual: float = 0.0
    """Sum of (was it right, 0 or 1) - (how likely it was thought to be)."""
    weight: float = 0.0
    """Sum of p(1 - p): how much those observations could tell."""
    generation: int = 0
    """Of the partition, when the entry was made or was last right (semantic.Partition.generation)."""

    @property
    def shift(self) -> float:
        """Log-odds by which this entry is better or worse than others: the most likely value, to first order, shrunk to 0."""
        return ENTRY_VARIANCE * self.residual / (1 + ENTRY_VARIANCE * self.weight)


class Neighbour(NamedTuple):
    """A cached entry near a request."""

    similarity: float
    """Cosine, -1 to 1."""
    answer: int
    """Entries whose answers were judged to be the same (same_answer.py) carry the same number."""
    proof: Proof


def spoken(neighbours: Sequence[Neighbour]) -> tuple[int, _Row]:
    """The answer of most votes among `neighbours` (nearest first, at least one): the nearest that has it, and what speaks for it.

    Features: 1, nearness, log-odds of the votes, and these again by how many agree: each about -1 to 3. The last is what the votes of many
    are worth more than those of few; without it the surest answers are held to be twice as often wrong as they are (measured).
    """
    votes: dict[int, float] = {}
    for near in neighbours:
        votes[near.answer] = votes.get(near.answer, 0.0) + exp(SHARPNESS * (near.similarity - neighbours[0].similarity))
    best = max(votes, key=votes.__getitem__)
    index = next(i for i, near in enumerate(neighbours) if near.answer == best)
    share = votes[best] / sum(votes.values())
    agreement = 2 * sum(near.answer == best for near in neighbours) / NEIGHBOURS - 1
    nearness = -log(max(1 - neighbours[index].similarity, NEAREST)) - 1
    odds = log((share + UNCOUNTED) / (1 - share + UNCOUNTED)) / 2
    return index, (1.0, nearness, odds, odds * agreement)


def _vague() -> list[list[float]]:
    return [[PRIOR_VARIANCE if i == j else 0.0 for j in range(len(PRIOR))] for i in range(len(PRIOR))]


class Belief(msgspec.Struct):
    """The shared curve: weights of the features and their covariance, learnt one observation at a time."""

    weights: list[float] = msgspec.field(default_factory=lambda: list(PRIOR))
    covariance: list[list[float]] = msgspec.field(default_factory=_vague)

    def right(self, features: _Row, proof: Proof) -> float:
        """Probability that the answer is right."""
        return _logistic(_dot(self.weights, features) + proof.shift)

    def wrong_at_most(self, features: _Row, proof: Proof, deviations: float) -> float:
        """Probability that the answer is wrong if the curve is so many standard deviations worse than it seems; LEAST to 1 - LEAST."""
        spread = sqrt(_dot(features, [_dot(row, features) for row in self.covariance]))
        return min(max(_logistic(deviations * spread - _dot(self.weights, features) - proof.shift), LEAST), 1 - LEAST)

    def learn(self, features: _Row, proof: Proof, correct: bool, generation: int) -> Proof:
        """One observation moves the weights; returns what the entry has proved with it.

        A step of the extended Kalman filter for logistic regression: Laplace's approximation of the posterior, one rank at a time.
        """
        right = self.right(features, proof)
        weight, residual = right * (1 - right), correct - right
        direction = [_dot(row, features) for row in self.covariance]
        divisor = 1 + weight * _dot(features, direction)
        self.weights = [w + d * residual / divisor for w, d in zip(self.weights, direction, strict=True)]
        self.covariance = [
            [cell - a * b * weight / divisor for cell, b in zip(row, direction, strict=True)]
            for row, a in zip(self.covariance, direction, strict=True)
        ]
        for i, row in enumerate(self.covariance):
            row[i] += DRIFT
        return Proof(proof.residual + residual, proof.weight + weight, generation if correct else proof.generation)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum([x * y for x, y in zip(a, b, strict=True)])


def _logistic(x: float) -> float:
    """Never out of range: log-odds beyond 500 are taken for 500."""
    return 1 / (1 + exp(min(-x, 500.0)))
