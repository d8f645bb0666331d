"""What `policy.promise.certify` promises of these predictors, and whether it is kept.

In each outer fold the threshold is chosen on the labels outside it, with what was foreseen of each by predictors trained without it; it then stands
before the fold's own questions. And on fresh resamples, drawn from all questions with what the outer folds foresaw, as if those were the whole
world: how often harm lies above alpha there (validity.py)."""

from typing import NamedTuple

import numpy as np

from bench.routing.outer import Outer
from bench.routing.sets import Asked
from bench.routing.validity import Population, certified, kept
from jevons.policy.promise import Judged, certify

ALPHA = DELTA = 0.10
RESAMPLES = 300


class Promised(NamedTuple):
    coverage_pct: float
    """Of all questions, those that go to the small model under the promise."""
    harm_pct: float
    """Of these."""
    folds: str
    """In how many there is a promise."""
    oracle_pct: float
    """What could be covered by whoever knew all answers, with these scores."""
    resampled_pct: float
    broken_pct: float
    p_value: float
    """Were each promise broken with probability delta: chance of so many broken or more. Below .05 the promise is not kept."""


def promised(asked: Asked, found: Outer) -> Promised:
    sent = np.zeros(len(asked), bool)
    made = 0
    for fold in found.folds:
        labels = [
            Judged(float(score), bool(harm)) for score, harm in zip(fold.foreseen[:, 0], asked.harm[fold.train], strict=True)
        ]
        certificate = certify(labels, ALPHA, DELTA)
        if certificate is not None:
            made += 1
            sent[fold.test] = found.chances[fold.test, 0] >= certificate.threshold
    population = Population(found.chances[:, 0].astype(np.float64), asked.harm)
    n = len(found.folds[0].train)
    again = kept(population, certified, n, ALPHA, DELTA, RESAMPLES)
    return Promised(
        round(100 * float(sent.mean()), 2),
        round(100 * float(asked.harm[sent].mean()) if sent.any() else 0.0, 2),
        f"{made} of {len(found.folds)}",
        round(100 * population.oracle(ALPHA), 2),
        round(100 * again.coverage, 2),
        round(100 * again.broken / RESAMPLES, 2),
        round(again.p_value, 4),
    )
