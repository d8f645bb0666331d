"""Clusters of requests, found without labels; each model's share of good answers in each.

Comes in: Examples. Goes out: centres, and for each the share of each model, drawn towards its share over all. A row's answer is a mixture of
the centres that it is near to. As in Avengers-Pro (arXiv 2508.12631) and UniRoute (arXiv 2502.08773). Does not know: what the columns mean.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jevons.learn.predictor import log_odds
from jevons.learn.rows import Examples, Floats, Rows, unit
from jevons.learn.softmax import probabilities

ROUNDS = 25
PRIOR = 10.0
"""The share over all counts like so many examples in each cluster."""
SOFTNESS = 0.1
"""Difference of cosines by which a centre's say falls to 1 / e."""


class Clusters:
    """f32[k, d] centres of length 1, f32[k, t] share of good answers near each."""

    kind: ClassVar[str] = "clusters"

    def __init__(self, centres: Floats, shares: Floats) -> None:
        if len(centres) != len(shares):
            raise ValueError("arrays of a predictor by clusters do not fit each other")
        self._centres, self._shares = centres, shares

    def logits(self, rows: Rows) -> Floats:
        return log_odds(_belonging(unit(rows.dense), self._centres) @ self._shares)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"centres": self._centres, "shares": self._shares}


def fit(examples: Examples, count: float) -> Clusters:
    """Spherical k-means from centres drawn as in k-means++; then shares by how much each example is of each cluster."""
    rows = unit(examples.rows.dense)
    centres = _centres(rows, min(int(count), len(rows)), np.random.default_rng(0))
    return Clusters(centres, _shares(_belonging(rows, centres), examples.good, examples.weights))


def _centres(rows: Floats, count: int, chance: np.random.Generator) -> Floats:
    centres = rows[[int(chance.integers(len(rows)))]]
    nearest = rows @ centres[0]
    while len(centres) < count:
        far = np.maximum(1 - nearest, 0)
        pick = int(chance.choice(len(rows), p=far / far.sum()) if far.sum() > 0 else chance.integers(len(rows)))
        centres = np.concatenate((centres, rows[[pick]]))
        nearest = np.maximum(nearest, rows @ rows[pick])
    for _ in range(ROUNDS):
        own = np.argmax(rows @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, rows)
        empty = np.bincount(own, minlength=count) == 0
        centres = np.where(empty[:, None], centres, unit(sums))
    return centres


def _belonging(rows: Floats, centres: Floats) -> Floats:
    return probabilities((rows @ centres.T) / SOFTNESS)


def _shares(belonging: Floats, good: Floats, weights: Floats) -> Floats:
    """f32[k, t]"""
    judged = weights[:, None] * ~np.isnan(good)
    right = judged * np.where(np.isnan(good), 0, good)
    everywhere = (right.sum(0) + 0.5) / (judged.sum(0) + 1)
    shares: Floats = ((belonging.T @ right + PRIOR * everywhere) / (belonging.T @ judged + PRIOR)).astype(np.float32)
    return shares
