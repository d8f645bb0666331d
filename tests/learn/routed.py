"""Requests of which is known who does well on them: a small model fails on proofs, and on long prompts."""

import numpy as np

from jevons.core.features import Features
from jevons.learn.matrix import Columns, Request, columns
from jevons.learn.rows import Examples, Floats

DIMENSIONS = 8


def requests(n: int, *, reads: bool, seed: int = 0) -> tuple[list[Request], Floats]:
    """And f32[n, 2]: is each of two models good enough? The first is on two of ten hard ones and nineteen of twenty easy ones, the second on nine of ten."""
    chance = np.random.default_rng(seed)
    made, good = [], []
    for _ in range(n):
        hard = bool(chance.random() < 0.4)
        features = Features(
            input_tokens=int(chance.integers(50, 200)) * (4 if hard else 1), task="" if reads else ("proof", "talk")[not hard]
        )
        if reads:
            vector = chance.normal(size=DIMENSIONS).astype(np.float32) * 0.2
            vector[int(hard)] += 1
            question = f"{'prove the theorem of' if hard else 'say hello to'} number {chance.integers(99)}"
            made.append(Request(features, vector / np.float32(np.linalg.norm(vector)), question))
        else:
            made.append(Request(features))
        good.append([chance.random() < (0.2 if hard else 0.95), chance.random() < 0.9])
    return made, np.array(good, np.float32)


def examples(n: int, *, reads: bool, seed: int = 0) -> tuple[Columns, Examples, list[Request]]:
    made, good = requests(n, reads=reads, seed=seed)
    by = columns(made)
    return by, Examples(by.rows(made), good, np.ones(n, np.float32)), made
