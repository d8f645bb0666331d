"""A route's predictor: one head or several of different kinds, and how their answers are mixed into probabilities.

Comes in: a request's features, its vector and its question. Goes out: P(good enough) of each model. The mixture is a logistic regression over the
heads' log-odds (stacking), fitted on what each head said of examples that it had not seen: it makes them probabilities, and gives each head
its say. Does not know: labels, files.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jevons.core.features import Features
from jevons.learn.matrix import Columns, Request
from jevons.learn.predictor import Head, probabilities
from jevons.learn.rows import Floats, Rows


class Mix(NamedTuple):
    """From what heads say, h log-odds of t things each, to log-odds of m models."""

    weights: Floats
    """f32[h * t, m]"""
    intercepts: Floats
    """f32[m]"""

    def __call__(self, said: Floats) -> Floats:
        out: Floats = said @ self.weights + self.intercepts
        return out


def said(heads: Sequence[Head], rows: Rows) -> Floats:
    """f32[n, h * t]: log-odds of all heads side by side."""
    return np.concatenate([head.logits(rows) for head in heads], axis=1)


class Mixed:
    """What a route asks of a request, without I/O."""

    def __init__(self, models: tuple[str, ...], columns: Columns, heads: Sequence[Head], mix: Mix) -> None:
        """Raises ValueError where the mixture is not of these models."""
        if mix.weights.shape[1:] != (len(models),) or mix.intercepts.shape != (len(models),):
            raise ValueError("a mixture of other models")
        self.models, self.columns, self.heads, self.mix = models, columns, tuple(heads), mix

    @property
    def needs_vector(self) -> bool:
        """It was trained with questions and their embeddings: without them it has nothing to say."""
        return self.columns.vector > 0

    def scores(self, features: Features, vector: Floats | None, question: str = "") -> tuple[float, ...]:
        """P(good enough) of each of `models`, in [0, 1]; empty if it needs a vector, f32[dimensions] of length 1, and there is none."""
        if self.needs_vector and (vector is None or len(vector) != self.columns.vector):
            return ()
        rows = self.columns.rows((Request(features, vector, question),))
        return tuple(self.batch(rows)[0].tolist())

    def batch(self, rows: Rows) -> Floats:
        """f32[n, m] of many requests at once."""
        out: Floats = probabilities(self.mix(said(self.heads, rows)))
        return out
