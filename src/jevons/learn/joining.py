"""A new model joins a predictor: what is known of the others tells much of it, so that a few hundred judged requests are enough.

Comes in: a predictor, and requests of which the new model's answers were judged. Goes out: the predictor with one model more. Its heads stay as
they are: what they say of the known models (which requests are hard, and of what kind) is what the new one's chances are told by. With few
labels its weights are held to the mean of the known models' own; each further label tells more of its own. As in UniRoute (arXiv 2502.08773),
where a model is told by its errors on probes; there by cluster, here by all that the heads tell. Does not know: which probes are asked.
"""

import numpy as np

from jevons.learn.mixed import Mix, Mixed, said
from jevons.learn.rows import Floats, Rows
from jevons.learn.select import held_logistic

PENALTY = 10.0
"""How strongly it is held to the known models' mean."""


def join(known: Mixed, name: str, rows: Rows, good: Floats, weights: Floats) -> Mixed:
    """`rows` of n probes by `known.columns`; f32[n] 1 good enough, 0 not; f32[n] weights. Raises ValueError for a model that it knows."""
    if name in known.models:
        raise ValueError(f"{name} is known already: train anew with its labels")
    heard = said(known.heads, rows)
    spread = np.maximum(heard.std(0), 1e-3)
    mean = known.mix.weights.mean(axis=1) * spread
    beta = held_logistic(heard / spread, good, weights, mean.astype(np.float64), PENALTY)
    mix = Mix(
        np.column_stack([known.mix.weights, beta[:-1] / spread]).astype(np.float32),
        np.append(known.mix.intercepts, beta[-1]).astype(np.float32),
    )
    return Mixed((*known.models, name), known.columns, known.heads, mix)
