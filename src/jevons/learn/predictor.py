"""What a kind of predictor is: one head, from requests to log-odds that each candidate's answer is good enough; and log-odds as probabilities.

Good enough = no harm done: not (the reference's answer is good and this one is not). Does not know: thresholds, costs, who is asked in the end.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from jevons.learn.rows import Floats, Rows


class Head(Protocol):
    """One kind of predictor, fitted: from rows to log-odds."""

    kind: ClassVar[str]

    def logits(self, rows: Rows) -> Floats:
        """f32[n, t]: log-odds of everything that was judged."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All that it is, for a file; its constructor takes the same by these names. Raises ValueError there for what does not fit."""


def log_odds(shares: Floats) -> Floats:
    """Of probabilities, none taken for nearer to 0 or 1 than a thousandth."""
    held = np.minimum(np.maximum(shares, 1e-3), 1 - 1e-3)  # np.clip takes three times as long on a single row
    out: Floats = np.log(held / (1 - held)).astype(np.float32)
    return out


def probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    """Log-odds -> probabilities, without overflow."""
    out: NDArray[Any] = 0.5 * (1 + np.tanh(0.5 * logits))
    return out
