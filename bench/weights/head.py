"""A logistic head on frozen embeddings, and how sure one can be that two sets of its answers differ.

Comes in: embeddings f32[n, d], classes int[n]. Goes out: a classifier; intervals of accuracy. Does not know: where embeddings come from.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Classes = NDArray[np.int64]

PENALTY = 1e-4
"""Of the squared weights, per text; the features have variance one or less."""
STEPS = 100
"""Three times as many change no accuracy by more than 0.03 points, and a thousand fit the training texts without fault."""
RESAMPLES = 4_000


@dataclass(frozen=True)
class Head:
    """argmax over classes of (x - mean) · weights + bias."""

    mean: Array
    weights: Array
    bias: Array

    def classes(self, x: Array) -> Classes:
        found: Classes = ((x - self.mean) @ self.weights + self.bias).argmax(axis=1)
        return found


def trained(x: Array, y: Classes) -> Head:
    """Softmax regression by Nesterov's accelerated gradient with the step 1/L; from zero, so that there is no seed."""
    mean, size = x.mean(axis=0), np.float32(math.sqrt(x.shape[1]))  # unit vectors become vectors of unit coordinates
    scaled = np.hstack([(x - mean) * size, np.ones((len(x), 1), np.float32)])
    truth = np.eye(y.max() + 1, dtype=np.float32)[y]
    lipschitz = np.linalg.eigvalsh(scaled.T @ scaled / len(x))[-1] / 2 + PENALTY  # of the gradient: Böhning, 1992
    weights = ahead = np.zeros((scaled.shape[1], truth.shape[1]), np.float32)
    for step in range(STEPS):
        scores = scaled @ ahead
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        before = weights
        weights = ahead - (scaled.T @ (scores - truth) / len(x) + PENALTY * ahead) / lipschitz
        ahead = weights + step / (step + 3) * (weights - before)
    return Head(mean, weights[:-1] * size, weights[-1])


def intervals(right: NDArray[np.bool_], seed: int = 1865) -> tuple[Array, Array]:
    """95 % intervals by bootstrap over texts, in points of accuracy: right bool[systems, texts] -> (of each system, of its difference from
    the first system on the same resampled texts), f32[systems, 2] each."""
    chance = np.random.default_rng(seed)
    texts = right.shape[1]
    counts = chance.multinomial(texts, np.full(texts, 1 / texts), RESAMPLES).astype(np.float32)
    accuracies = counts @ right.T.astype(np.float32) / texts * 100
    ends = [2.5, 97.5]
    return np.percentile(accuracies, ends, axis=0).T, np.percentile(accuracies - accuracies[:, :1], ends, axis=0).T
