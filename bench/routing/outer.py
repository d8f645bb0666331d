"""The outer round of nested cross-validation: for each question, what was foreseen by predictors that it had no part in.

Comes in: questions. Goes out: P(no harm) of either model's answer for every question, and for each fold what the labels outside it said, from which
thresholds are chosen."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.routing.sets import MODELS, Asked
from jevons.learn.matrix import columns
from jevons.learn.rows import Floats, Whole
from jevons.learn.select import candidates, choose, splits


class Fold(NamedTuple):
    train: Whole
    test: Whole
    foreseen: Floats
    """f32[len(train), m]: of the questions trained on, each by predictors trained without it."""


class Outer(NamedTuple):
    chances: Floats
    """f32[n, m]: the small model does no harm; the large one does none."""
    folds: list[Fold]
    kinds: list[str]
    """Chosen in each fold."""


def outer(asked: Asked, folds: int, say: Callable[[str], None]) -> Outer:
    groups = asked.groups
    chances = np.zeros((len(asked), MODELS), np.float32)
    kept, kinds = [], []
    for train, test in splits(groups, folds):
        began = time.monotonic()
        by = columns([asked.requests[place] for place in train])
        chosen = choose(asked.take(train).examples(by), groups[train], MODELS, candidates(reads=True))
        chances[test] = chosen.probabilities(by.rows([asked.requests[place] for place in test]))
        kept.append(Fold(train, test, chosen.unseen))
        kinds.append(chosen.kind)
        say(f"  fold {len(kept)} of {folds}: {chosen.kind}, {time.monotonic() - began:.0f} s")
    return Outer(chances, kept, kinds)


def judged(found: Outer) -> NDArray[np.float32]:
    """How much more good GPT-4's answer is expected to do: f32[n]. P(Mixtral harms) - P(GPT-4 harms)."""
    out: NDArray[np.float32] = found.chances[:, 1] - found.chances[:, 0]
    return out
