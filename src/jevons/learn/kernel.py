"""Kernel regression: how did models do on requests like this one, with likeness falling smoothly and the noise of single labels ironed out.

Comes in: Examples. Goes out: for a row, shares foreseen by ridge regression on its likeness, exp(-distance^2 / WIDTH), to some of the examples
(Nyström's method: Williams and Seeger 2001). Does not know: what the columns mean; like `nearest`, it wants columns of like weight.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from jevons.learn.predictor import log_odds
from jevons.learn.rows import Examples, Floats, Rows

LANDMARKS = 1_000
WIDTH = 0.6
"""Unit vectors of unrelated questions lie 2 apart, squared: their likeness is 0.04; of a question said otherwise (cosine 0.75): 0.43."""
SMALLEST = 1e-5
"""Directions of less than this share of the largest eigenvalue are noise."""


class Kernel:
    """f32[l, d] landmarks, f32[l, t] their say, f32[t] shares of all examples."""

    kind: ClassVar[str] = "kernel"

    def __init__(self, landmarks: Floats, says: Floats, shares: Floats) -> None:
        if len(landmarks) != len(says) or says.shape[1:] != shares.shape:
            raise ValueError("arrays of a kernel predictor do not fit each other")
        self._landmarks, self._says, self._shares = landmarks, says, shares
        self._squares = (landmarks * landmarks).sum(1)

    def logits(self, rows: Rows) -> Floats:
        return log_odds(self._shares + _likeness(rows.dense, self._landmarks, self._squares) @ self._says)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"landmarks": self._landmarks, "says": self._says, "shares": self._shares}


def fit(examples: Examples, penalty: float) -> Kernel:
    """`penalty`: the ridge, in examples."""
    dense = examples.rows.dense
    which = np.random.default_rng(0).permutation(len(dense))[:LANDMARKS]
    landmarks = dense[which]
    squares = (landmarks * landmarks).sum(1)
    among = _likeness(landmarks, landmarks, squares).astype(np.float64)
    strength, directions = np.linalg.eigh(among)
    large = strength > SMALLEST * strength[-1]
    turn = (directions[:, large] / np.sqrt(strength[large])).astype(np.float32)
    columns = _likeness(dense, landmarks, squares) @ turn
    says, shares = [], []
    for judged in range(examples.good.shape[1]):
        seen = np.flatnonzero(~np.isnan(examples.good[:, judged]))
        of, good = examples.weights[seen], examples.good[seen, judged]
        share = (float(of @ good) + 0.5) / (float(of.sum()) + 1)
        weighed = columns[seen] * of[:, None]
        square = (weighed.T @ columns[seen]).astype(np.float64)
        square[np.diag_indices_from(square)] += penalty
        says.append(turn @ np.linalg.solve(square, weighed.T @ (good - share)))
        shares.append(share)
    return Kernel(landmarks, np.stack(says, 1).astype(np.float32), np.array(shares, np.float32))


def _likeness(rows: Floats, landmarks: Floats, squares: Floats) -> Floats:
    distance = (rows * rows).sum(1)[:, None] + squares - 2 * rows @ landmarks.T
    out: Floats = np.exp(np.maximum(distance, 0) / -WIDTH)
    return out
