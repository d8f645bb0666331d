"""Multinomial logistic regression, trained in seconds: rows of numbers to one of many classes.

Comes in: f32[n, d] rows, i64[n] classes. Goes out: f32[d + 1, k] weights, the last row of which is the intercepts. Adam (Kingma & Ba 2015,
arXiv 1412.6980, its betas) over small batches, the step going down to 0; an L2 penalty. The same seed gives the same weights. Does not know:
what rows and classes mean.
"""

import numpy as np
from numpy import float32, int64
from numpy.typing import NDArray

EPOCHS = 15
STEPS_LEAST = 200
"""Small sets are gone through more often."""
BATCH = 256
STEP = 0.01
PENALTY = 1e-4
"""Per row. Of 1e-6 to 1e-4 the largest: as good with clean labels, and two points better where 5 % are wrong (banking77, clinc150)."""
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def fit(
    rows: NDArray[float32], classes: NDArray[int64], count: int, *, penalty: float = PENALTY, seed: int = 0
) -> NDArray[float32]:
    """f32[d + 1, count]. A few seconds for 15,000 rows of 1,280 numbers and 150 classes on one core."""
    random = np.random.default_rng(seed)
    size = len(rows)
    batches = -(-size // BATCH)
    total = batches * max(EPOCHS, -(-STEPS_LEAST // batches))
    weights = np.zeros((rows.shape[1] + 1, count), float32)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    order = random.permutation(size)
    for step in range(total):
        if step and step % batches == 0:
            order = random.permutation(size)
        picked = order[step % batches * BATCH :][:BATCH]
        some = rows[picked]
        wrong = probabilities(some @ weights[:-1] + weights[-1])
        wrong[np.arange(len(picked)), classes[picked]] -= 1
        gradient = np.vstack((some.T @ wrong, wrong.sum(axis=0))) / len(picked)
        gradient[:-1] += penalty * weights[:-1]
        mean += (1 - _BETA1) * (gradient - mean)
        square += (1 - _BETA2) * (gradient * gradient - square)
        unbiased = np.sqrt(square / (1 - _BETA2 ** (step + 1))) + _EPSILON
        weights -= STEP * (1 - step / total) / (1 - _BETA1 ** (step + 1)) * mean / unbiased
    return weights


def probabilities(logits: NDArray[float32]) -> NDArray[float32]:
    """Of each row; a vector is one row."""
    raised: NDArray[float32] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised
