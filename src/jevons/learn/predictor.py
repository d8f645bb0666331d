"""What routes ask: how probable it is that each candidate's answer to a request is good enough.

Good enough = no harm done: not (the reference's answer is good and this one is not). Does not know: thresholds, costs, who is asked in the end.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from jevons.core.features import Features

Floats = NDArray[np.float32]


class Predictor(Protocol):
    """Candidates' chances on one request, without I/O."""

    @property
    def models(self) -> tuple[str, ...]:
        """Whom it knows, as the route names them."""

    @property
    def needs_vector(self) -> bool:
        """It was trained with embeddings: without one it has nothing to say."""

    def scores(self, features: Features, vector: Floats | None) -> tuple[float, ...]:
        """P(good enough) of each of `models`, in [0, 1]; empty if it needs a vector, f32[dimensions] of length 1, and there is none."""


class Examples(NamedTuple):
    """Judged requests as numbers: n of them, d columns, m models."""

    rows: Floats
    """f32[n, d]"""
    good: Floats
    """f32[n, m]: 1 good enough, 0 not, NaN nobody judged."""
    weights: Floats
    """f32[n]: how many requests each stands for."""

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Examples":
        return Examples(self.rows[which], self.good[which], self.weights[which])


class Head(Protocol):
    """One kind of predictor, fitted: from rows of numbers to log-odds."""

    kind: ClassVar[str]

    def logits(self, rows: Floats) -> Floats:
        """f32[n, d] -> f32[n, m]: log-odds that each model is good enough."""

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """All that it is, for a file; its constructor takes the same by these names."""


def probabilities(logits: Floats) -> Floats:
    """Log-odds -> probabilities, without overflow."""
    out: Floats = 0.5 * (1 + np.tanh(0.5 * logits))
    return out
