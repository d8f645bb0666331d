"""Logistic regression with an L2 penalty over a request's row and the hashed words of its question.

Comes in: Examples. Goes out: weights for everything that was judged. Words in RARE examples or more count, weighed by how rare they are (tf-idf);
a question's words together have length 1. The loss is convex: one answer is right. Does not know: what the columns mean.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jevons.learn.descent import least
from jevons.learn.predictor import probabilities
from jevons.learn.rows import Examples, Floats, Grams, Rows, Whole

STEPS = 40
CLOSE = 3e-4
"""Slope of the mean loss."""
RARE = 3
"""A word in fewer examples tells of them only."""
HELD = 0.5
"""So many good and so many bad answers besides hold the intercept where all are alike."""


class Logistic:
    """f32[d, t] weights, f32[t] intercepts; i64[w] words in rising order, f32[w] their rarity, f32[w, t] their weights; w may be 0."""

    kind: ClassVar[str] = "logistic"

    def __init__(self, weights: Floats, intercepts: Floats, words: Whole, rarity: Floats, says: Floats) -> None:
        if (
            weights.shape[1:] != intercepts.shape
            or not len(words) == len(rarity) == len(says)
            or says.shape[1:] != intercepts.shape
        ):
            raise ValueError("arrays of a logistic predictor do not fit each other")
        self._weights, self._intercepts, self._words, self._rarity, self._says = weights, intercepts, words, rarity, says

    def logits(self, rows: Rows) -> Floats:
        out: Floats = rows.dense @ self._weights + self._intercepts
        if rows.grams is None or not len(self._words):
            return out
        grams = _weighed(rows.grams, self._words, self._rarity)
        return out + _sums(grams.starts, grams.values[:, None] * self._says[grams.places])

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {
            "weights": self._weights,
            "intercepts": self._intercepts,
            "words": self._words,
            "rarity": self._rarity,
            "says": self._says,
        }


def fit(examples: Examples, penalty: float) -> Logistic:
    """`penalty`: the L2 factor of every weight, beside the log-loss summed over examples by their weights. Intercepts are free."""
    dense, found = examples.rows
    words, rarity = _rarity(found)
    grams = None if found is None else _weighed(found, words, rarity)
    width, judged = dense.shape[1], examples.good.shape[1]
    size = width + 1 + len(words)
    by_place = None if grams is None else _turned(grams)
    seen = ~np.isnan(examples.good)
    good, of = np.where(seen, examples.good, 0), examples.weights[:, None] * seen
    total = float(of.sum()) or 1.0

    def loss(flat: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        beta = flat.reshape(size, judged)
        logits = dense @ beta[:width] + beta[width]
        if grams is not None:
            logits = logits + _sums(grams.starts, grams.values[:, None] * beta[width + 1 :][grams.places])
        free = beta[width].astype(np.float64)
        value = float((of * (np.logaddexp(0, logits) - good * logits)).sum(dtype=np.float64))
        value += float((HELD * (2 * np.logaddexp(0, free) - free)).sum())
        value += penalty / 2 * float((beta * beta).sum(dtype=np.float64) - (free * free).sum())
        off = (of * (probabilities(logits) - good)).astype(np.float32)
        slope = penalty * beta
        slope[:width] += dense.T @ off
        slope[width] = off.sum(0) + HELD * (2 * probabilities(free) - 1)
        if by_place is not None:
            places, starts, owners, values = by_place
            slope[width + 1 + places] += _sums(starts, values[:, None] * off[owners])
        return value / total, (slope / total).reshape(-1)

    beta = least(loss, np.zeros(size * judged, np.float32), steps=STEPS, close=CLOSE).reshape(size, judged).astype(np.float32)
    return Logistic(beta[:width], beta[width], words, rarity, beta[width + 1 :])


def _rarity(grams: Grams | None) -> tuple[Whole, Floats]:
    """Words that count, in rising order, and 1 + log of how many questions there are to each that has it."""
    if grams is None:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    words, counts = np.unique(grams.places, return_counts=True)
    words, counts = words[counts >= RARE], counts[counts >= RARE]
    return words, (1 + np.log((len(grams.starts) - 1) / counts)).astype(np.float32)


def _weighed(grams: Grams, words: Whole, rarity: Floats) -> Grams:
    """Of words that count: their numbers in place of their hashes, values of length 1 together."""
    if not len(words):
        return Grams(np.zeros_like(grams.starts), grams.places[:0], grams.values[:0])
    numbers = np.minimum(np.searchsorted(words, grams.places), len(words) - 1)
    known = words[numbers] == grams.places
    starts = np.concatenate(([0], np.cumsum(known)))[grams.starts]
    values = grams.values[known] * rarity[numbers[known]]
    length = np.sqrt(_sums(starts, (values * values)[:, None])[:, 0])
    lengths = np.repeat(np.where(length > 0, length, 1), np.diff(starts))
    return Grams(starts, numbers[known], (values / lengths).astype(np.float32))


def _turned(grams: Grams) -> tuple[Whole, Whole, Whole, Floats]:
    """By place: those that occur, where each begins, the row of each value, values."""
    order = np.argsort(grams.places, kind="stable")
    places, begins = np.unique(grams.places[order], return_index=True)
    return places, np.append(begins, len(order)), grams.owners[order], grams.values[order]


def _sums(starts: Whole, values: Floats) -> Floats:
    """f32[n, t]: of each stretch of values f32[all, t]; an empty one sums to 0."""
    if not len(values):
        return np.zeros((len(starts) - 1, values.shape[1]), np.float32)
    sums = np.add.reduceat(values, np.minimum(starts[:-1], len(values) - 1), axis=0)
    sums[np.diff(starts) == 0] = 0
    return sums
