"""Which predictor is best for these labels: by cross-validation, nested so that what is reported of the choice is honest too.

Comes in: Examples, and which of them belong together (the same question asked twice must not be on both sides of a split). Goes out: heads and
their mixture, and the log-loss of all that was tried, on examples that they had not seen. Does not know: what rows mean, files.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jevons.learn import clusters, kernel, knn, logistic
from jevons.learn.mixed import Mix, said
from jevons.learn.predictor import Head, probabilities
from jevons.learn.rows import Examples, Floats, Rows, Whole

FOLDS = 3
"""Of the inner cross-validation: each further one costs as much time, for examples that are a few per cent more."""
JUDGING_FOLDS = 5
MIX_PENALTY = 30.0
"""Holds the mixture's weights to equal shares: with a few hundred labels it can tell a bad head, not tune good ones."""
MIXTURE = "mixture"

Fit = Callable[[Examples], Head]


class Candidate(NamedTuple):
    kind: str
    setting: float
    fit: Fit


class Chosen(NamedTuple):
    """The best, fitted on all examples."""

    heads: tuple[Head, ...]
    mix: Mix
    kind: str
    """One head's kind, or `mixture`."""
    losses: dict[str, float]
    """Of everything that was tried: mean log-loss of the models, in nats, on examples not seen."""
    unseen: Floats
    """f32[n, m]: probabilities of the examples, by predictors of this kind that had not seen them."""

    def probabilities(self, rows: Rows) -> Floats:
        """f32[n, m]"""
        out: Floats = probabilities(self.mix(said(self.heads, rows)))
        return out


def candidates(reads: bool) -> tuple[Candidate, ...]:
    """What is tried. Where no content is read, a decision must take microseconds: kinds that go through hundreds of rows are left out."""
    wanted: list[tuple[str, float, Callable[..., Head]]] = [("logistic", one, logistic.fit) for one in (5.0,)]
    wanted += [("clusters", one, clusters.fit) for one in (30, 100)]
    if reads:
        wanted += [("nearest", one, knn.fit) for one in (100, 300)] + [("kernel", one, kernel.fit) for one in (10.0,)]
    return tuple(Candidate(kind, setting, _with(fit, setting)) for kind, setting, fit in wanted)


def choose(examples: Examples, groups: Whole, models: int, tried: Sequence[Candidate], folds: int = FOLDS) -> Chosen:
    """`groups` i64[n]; `models`: how many of the judged columns are models'. The best setting of each kind, then the best kind or all mixed."""
    unseen = {one: np.zeros_like(examples.good) for one in tried}
    for train, test in splits(groups, folds):
        seen, rows = examples.take(train), examples.rows.take(test)
        for one, out in unseen.items():
            out[test] = one.fit(seen).logits(rows)
    losses: dict[str, float] = {}
    crossed: dict[str, Floats] = {}
    best: dict[str, tuple[float, Candidate]] = {}
    for one, out in unseen.items():
        chances, found = _crossed([out], examples, groups, models, folds)
        losses[f"{one.kind} {one.setting:g}"] = found
        if one.kind not in best or found < best[one.kind][0]:
            best[one.kind], crossed[one.kind] = (found, one), chances
    members = [one for _, one in best.values()]
    crossed[MIXTURE], losses[MIXTURE] = _crossed([unseen[one] for one in members], examples, groups, models, folds)
    kind, (least, single) = min(best.items(), key=lambda one: one[1][0])
    if least <= losses[MIXTURE]:
        members = [single]
    else:
        kind = MIXTURE
    mix = mixture([unseen[one] for one in members], examples, models)
    return Chosen(tuple(one.fit(examples) for one in members), mix, kind, losses, crossed[kind])


def nested(
    examples: Examples, groups: Whole, models: int, tried: Sequence[Candidate], folds: int = JUDGING_FOLDS
) -> Iterator[tuple[Whole, Whole, Chosen]]:
    """The outer round: for each fold, the examples on which all was chosen and fitted, those that had no part in it, and what was chosen."""
    for train, test in splits(groups, folds):
        yield train, test, choose(examples.take(train), groups[train], models, tried)


def splits(groups: Whole, folds: int, seed: int = 0) -> Iterator[tuple[Whole, Whole]]:
    """Examples to train on and to test on, each fold tested once; a group is never torn."""
    names, owned = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    for begin, end in pairwise(np.linspace(0, len(names), min(folds, len(names)) + 1).astype(int)):
        held = np.isin(owned, order[begin:end])
        yield np.flatnonzero(~held), np.flatnonzero(held)


def mixture(outs: Sequence[Floats], examples: Examples, models: int) -> Mix:
    """Logistic regression of each model's labels on all log-odds, in units of their spread; its penalty draws to equal shares of that model's own."""
    heard = np.concatenate(outs, axis=1)
    t = outs[0].shape[1]
    spread = np.maximum(heard.std(0), 1e-3)
    weights, intercepts = np.zeros((heard.shape[1], models), np.float32), np.zeros(models, np.float32)
    for model in range(models):
        equal = np.zeros(heard.shape[1])
        equal[model::t] = spread[model::t] / len(outs)
        beta = held_logistic(heard / spread, examples.good[:, model], examples.weights, equal, MIX_PENALTY)
        weights[:, model], intercepts[model] = beta[:-1] / spread, beta[-1]
    return Mix(weights, intercepts)


def held_logistic(
    rows: Floats, good: Floats, weights: Floats, towards: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """f64[d + 1]: weights, drawn to `towards` f64[d], and a free intercept, by a few steps of Newton's method. Where all labels are alike, half an
    example of each kind keeps the intercept finite."""
    seen = ~np.isnan(good)
    wide = np.hstack([rows[seen], np.ones((int(seen.sum()), 1))]).astype(np.float64)
    good, of = good[seen].astype(np.float64), weights[seen].astype(np.float64)
    wide = np.vstack([wide, np.eye(1, wide.shape[1], wide.shape[1] - 1)])
    good, of = np.append(good, 0.5), np.append(of, 1.0)
    hold, centre = np.append(np.full(len(towards), penalty), 1e-6), np.append(towards, 0.0)

    def value(at: NDArray[np.float64]) -> float:
        logits = wide @ at
        return float(of @ (np.logaddexp(0, logits) - good * logits) + (hold * (at - centre) ** 2).sum() / 2)

    beta = centre.copy()
    for _ in range(30):
        p = probabilities(wide @ beta)
        slope = wide.T @ (of * (p - good)) + hold * (beta - centre)
        curved = (wide * (of * p * (1 - p))[:, None]).T @ wide + np.diag(hold)
        step = np.linalg.solve(curved, slope)
        while value(beta - step) > value(beta) and np.abs(step).max() > 1e-9:
            step /= 2
        beta = beta - step
        if np.abs(step).max() < 1e-6:
            break
    return beta


def log_loss(chances: Floats, good: Floats, weights: Floats) -> float:
    """Mean over what was judged, in nats."""
    seen = ~np.isnan(good)
    held = np.clip(chances, 1e-6, 1 - 1e-6)
    loss = np.where(seen, -np.where(good > 0.5, np.log(held), np.log1p(-held)), 0) * weights[:, None]
    return float(loss.sum() / (weights[:, None] * seen).sum())


def _crossed(outs: list[Floats], examples: Examples, groups: Whole, models: int, folds: int) -> tuple[Floats, float]:
    """Heads mixed by what the other folds say: f32[n, m] probabilities, and their log-loss."""
    chances = np.zeros((examples.size, models), np.float32)
    for train, test in splits(groups, folds):
        mix = mixture([out[train] for out in outs], examples.take(train), models)
        chances[test] = probabilities(mix(np.concatenate([out[test] for out in outs], axis=1)))
    return chances, log_loss(chances, examples.good[:, :models], examples.weights)


def _with(fit: Callable[..., Head], setting: float) -> Fit:
    return lambda examples: fit(examples, setting)
