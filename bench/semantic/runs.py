"""A stream through a cache that starts empty, under each rule that decides what is served from it.

Comes in: a stream in arrival order. Goes out: what was served, and how much of it was wrong. A rule learns of an answer only what a gateway
would: when the model was asked, whether its answer is the same as the one that was cached."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log
from random import Random

import numpy as np
from numpy.typing import NDArray

from bench.semantic.sets import Stream
from jevons.policy.semantic import NEIGHBOURS, Act, Neighbour, Partition, Proof
from jevons.policy.similar import Features, ineligible, literals

PARTS = 8
"""A learning curve has so many parts of the stream."""


@dataclass
class Outcome:
    """Of one stream: requests, answers from the cache that the model was not asked for, wrong answers, checks."""

    requests: int
    hits: int = 0
    wrong: int = 0
    checks: int = 0
    demoted: list[int] = field(default_factory=list)
    """Requests at which the watch struck."""
    served_at: list[int] = field(default_factory=list)
    wrong_at: list[int] = field(default_factory=list)

    def curve(self) -> list[float]:
        """Share of requests served in each part of the stream, in percent."""
        counts = np.histogram(self.served_at, bins=PARTS, range=(0, self.requests))[0]
        return [100 * float(count) * PARTS / self.requests for count in counts]


class Cache:
    """Vectors, labels (the true answers: only compared, as same_answer would), answer numbers, proofs, keys."""

    def __init__(self, stream: Stream) -> None:
        self.vectors = np.empty_like(stream.vectors)
        self.labels: list[int] = []
        self.answers: list[int] = []
        self.proofs: list[Proof] = []
        self.keys: dict[object, list[int]] = {}

    def nearest(self, vector: NDArray[np.float32], key: object) -> tuple[list[int], list[float]]:
        """Entries of the same key, nearest first, and their cosines."""
        rows = np.array(self.keys.get(key, ()), int) if key is not None else np.arange(len(self.labels))
        if not len(rows):
            return [], []
        cosines = (self.vectors[: len(self.labels)] if key is None else self.vectors[rows]) @ vector
        best = np.argpartition(-cosines, NEIGHBOURS - 1)[:NEIGHBOURS] if len(rows) > NEIGHBOURS else np.arange(len(rows))
        best = best[np.argsort(-cosines[best])]
        return rows[best].tolist(), cosines[best].tolist()

    def add(self, vector: NDArray[np.float32], label: int, near: Sequence[int], generation: int, key: object) -> None:
        same = next((self.answers[entry] for entry in near if self.labels[entry] == label), len(self.labels))
        number = len(self.labels)
        self.vectors[number] = vector
        self.labels.append(label)
        self.answers.append(same)
        self.proofs.append(Proof(generation=generation))
        self.keys.setdefault(key, []).append(number)


def ours(stream: Stream, delta: float, seed: int, *, rules: bool = False) -> Outcome:
    """policy/semantic.py; with `rules`, policy/similar.py decides first, as in the gateway."""
    chance, partition, cache, outcome = Random(seed), Partition(), Cache(stream), Outcome(len(stream))
    for number, (vector, label, text) in enumerate(_requests(stream)):
        if rules and ineligible(Features(text)):
            continue
        key = literals(text) if rules else None
        near, cosines = cache.nearest(vector, key)
        neighbours = [
            Neighbour(cosine, cache.answers[entry], cache.proofs[entry]) for entry, cosine in zip(near, cosines, strict=True)
        ]
        decision = partition.decide(neighbours, chance.random(), delta)
        if neighbours:
            entry = near[decision.index]
            right = cache.labels[entry] == label
            if decision.act is not Act.EXPLORE:
                outcome.served_at.append(number)
                outcome.wrong_at.extend([number] * (not right))
                outcome.checks += decision.act is Act.CHECK
            if decision.act is not Act.SERVE:
                generation = partition.generation
                cache.proofs[entry] = partition.observe(decision, neighbours[decision.index], right)
                outcome.demoted.extend([number] * (partition.generation - generation))
        if decision.act is not Act.SERVE:
            cache.add(vector, label, near, partition.generation, key)
    outcome.wrong, outcome.hits = len(outcome.wrong_at), len(outcome.served_at) - outcome.checks
    return outcome


def static(stream: Stream, thresholds: NDArray[np.float64]) -> list[Outcome]:
    """The nearest entry is served from a similarity on; what is not served is added. One outcome for each threshold."""
    count, cosines = len(stream), stream.vectors @ stream.vectors.T
    cached = np.zeros((len(thresholds), count), bool)
    outcomes = [Outcome(count) for _ in thresholds]
    for number in range(count):
        here = np.where(cached[:, :number], cosines[number, :number], -2) if number else np.full((len(thresholds), 1), -2.0)
        nearest = here.argmax(axis=1)
        served = here[np.arange(len(thresholds)), nearest] >= thresholds
        cached[:, number] = ~served
        for rule in np.flatnonzero(served):
            outcomes[rule].hits += 1
            outcomes[rule].wrong += int(stream.labels[nearest[rule]] != stream.labels[number])
    return outcomes


class Logistic:
    """What one entry of vCache knows: a logistic curve of the similarity, its threshold with a confidence bound (arXiv 2502.03771, section 4).

    Likelihoods on a grid of thresholds and slopes, which stays defined where all observations agree; the bound is that of the profile."""

    T, SLOPE = np.linspace(0.0, 1.5, 61), np.array([2.0, 5.0, 10.0, 20.0, 40.0, 80.0])
    DOUBTS = np.array([0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05])
    FALLS = np.array([4.775, 3.940, 3.317, 2.706, 2.109, 1.769, 1.353])
    """How far the log-likelihood falls at the one-sided bound of each doubt: half the square of the normal quantile."""

    def __init__(self) -> None:
        self.fit = np.zeros((len(self.T), len(self.SLOPE)))

    def saw(self, similarity: float, right: bool) -> None:
        margin = (similarity - self.T[:, None]) * self.SLOPE
        self.fit -= np.logaddexp(0, -margin if right else margin)

    def explore(self, similarity: float, delta: float) -> float:
        """Probability with which the model must be asked: the least over the doubts."""
        profile = self.fit.max(axis=1)
        best = []
        for doubt, fall in zip(self.DOUBTS, self.FALLS, strict=True):
            worst = int(np.flatnonzero(profile >= profile.max() - fall)[-1])
            slope = self.SLOPE[self.fit[worst].argmax()]
            sure = (1 - doubt) / (1 + np.exp(-slope * (similarity - self.T[worst])))
            best.append((1 - delta - sure) / (1 - sure))
        return max(0.0, min(best))


def per_entry(stream: Stream, delta: float, seed: int) -> Outcome:
    """vCache's rule: 1 - delta of every answer by its entry's own observations; an entry is added where the nearest was wrong."""
    chance, cache, outcome, known = Random(seed), Cache(stream), Outcome(len(stream)), []
    for vector, label, _ in _requests(stream):
        near, cosines = cache.nearest(vector, None)
        right = bool(near) and cache.labels[near[0]] == label
        if near and chance.random() >= known[near[0]].explore(cosines[0], delta):
            outcome.hits += 1
            outcome.wrong += not right
            continue
        if near:
            known[near[0]].saw(cosines[0], right)
        if not right:
            cache.add(vector, label, near, 0, None)
            known.append(Logistic())
    return outcome


def turned(stream: Stream, share: float, seed: int) -> Stream:
    """Half-way, a share of the labels comes to mean something else: what was right for them is wrong from then on."""
    chance, labels = Random(seed), stream.labels.copy()
    moved = {label for label in np.unique(labels).tolist() if chance.random() < share}
    half = len(stream) // 2
    labels[half:] = [label + 1_000_000 if label in moved else label for label in labels[half:].tolist()]
    return Stream(stream.vectors, labels, stream.texts)


def surprise(wrong: int, requests: int, delta: float) -> float:
    """Probability of so many wrong answers or more if each request had one with probability delta (binomial, one-sided)."""
    total, term = 0.0, requests * log(1 - delta)
    for number in range(wrong):
        total += float(np.exp(term))
        term += log((requests - number) / (number + 1) * delta / (1 - delta))
    return max(0.0, 1 - total)


def _requests(stream: Stream) -> Iterator[tuple[NDArray[np.float32], int, str]]:
    return zip(stream.vectors, stream.labels.tolist(), stream.texts, strict=True)
