"""Nearest judged requests: how did each model do on those most like this one?

Comes in: Examples. Goes out: for a row, the share of good answers among its nearest rows, each counted by its likeness, drawn towards the share
of all. Exact search by one matrix product. So simple a router is hard to beat with labels from one's own traffic (arXiv 2505.12601).
Does not know: what the columns mean; rows that are compared should have columns of like weight.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jevons.core.limits import LEARN_NEIGHBOURS_ROWS_MAX
from jevons.learn.predictor import log_odds
from jevons.learn.rows import Examples, Floats, Rows, unit

PRIOR = 5.0
"""The share of all examples counts like so many neighbours: a model with few labels near by is believed to be as it is elsewhere."""
SHARPNESS = 3.0
"""Weight of a neighbour = cosine to this power."""


class Nearest:
    """f32[n, d] rows of length 1, f32[n, t] what was judged (NaN = not), f32[n] weights, f32[1] how many neighbours are looked at."""

    kind: ClassVar[str] = "nearest"

    def __init__(self, rows: Floats, good: Floats, weights: Floats, count: Floats) -> None:
        if not len(rows) == len(good) == len(weights) or count.shape != (1,) or not 1 <= count[0] <= max(1, len(rows)):
            raise ValueError("arrays of a predictor by nearest requests do not fit each other")
        self._rows, self._good, self._weights, self._count = rows, good, weights, count
        judged = weights[:, None] * ~np.isnan(good)
        right = judged * np.where(np.isnan(good), 0, good)
        self._shares = (right.sum(0) + 0.5) / (judged.sum(0) + 1)
        self._both = np.concatenate((right, judged), axis=1).astype(np.float32)

    def logits(self, rows: Rows) -> Floats:
        likeness = unit(rows.dense) @ self._rows.T
        count = int(self._count[0])
        near = np.argpartition(likeness, len(self._rows) - count, axis=1)[:, -count:]
        weights = np.maximum(np.take_along_axis(likeness, near, axis=1), 0.0) ** SHARPNESS
        weights /= np.maximum(weights.max(axis=1, keepdims=True), 1e-9)
        right, judged = np.split((weights[:, None, :] @ self._both[near])[:, 0], 2, axis=1)
        return log_odds((right + PRIOR * self._shares) / (judged + PRIOR))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"rows": self._rows, "good": self._good, "weights": self._weights, "count": self._count}


def fit(examples: Examples, count: float) -> Nearest:
    """Keeps the latest LEARN_NEIGHBOURS_ROWS_MAX examples; looks at `count` of them for each answer."""
    kept = examples.take(np.arange(max(0, examples.size - LEARN_NEIGHBOURS_ROWS_MAX), examples.size))
    looked = np.array([min(int(count), kept.size)], np.float32)
    return Nearest(unit(kept.rows.dense), kept.good, kept.weights, looked)
