"""From which score on a model may answer in another's place, so that few of its answers are worse: "harm at most alpha, with confidence 1 - delta".

Comes in: judged answers, each with what was believed of it before, whether it did harm, and for how many requests it stands. Goes out: a
`Certificate`, or None where nothing can be promised.

Thresholds are tested from the strictest to the loosest, each exactly and at level delta; the first that fails ends it, so that all of them together
err with probability delta at most (fixed-sequence testing: Maurer et al. 1995; "Learn then test", arXiv 2110.01052). The answers above a threshold
are a sample of those that it lets through, so their harms are binomial. Where the tests lie depends on the scores and on how many there are, never
on harm. The first lies where the test would very likely be passed if the scores were right: a start among too few answers fails by chance, and ends
everything. Scores that are wrong cost coverage, not the promise. What was compared with it is in docs/promise.md.

Answers that stand for different numbers of requests are thinned to an even sample first, as many as weigh as much as the heaviest.

Does not know: models, predictors, time, chance.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil, exp, lgamma, log, log1p, sqrt
from typing import NamedTuple

import msgspec

PART = 0.1
LEAST, ENOUGH = 3.0, 8.0
"""No test among fewer than this part of all answers; yet at least and at most so many times those that would pass without a single harm."""
SURE = 2.5
"""The first test lies where harm, if the scores are right, is so many standard deviations below alpha."""
STEP = 1.05
"""Each test takes in so many times the answers of the one before: every further one is a chance to fail."""
_HALVINGS = 40


class Judged(NamedTuple):
    """One answer that was judged."""

    score: float
    """What was believed of it before: probability that it does no harm. Higher is better; validity asks for no more."""
    harm: bool
    weight: float = 1.0
    """1 / probability with which the request was taken for judging; above 0."""


class Certificate(msgspec.Struct, frozen=True):
    """What is promised."""

    threshold: float
    """From this score on, it included."""
    coverage: float
    """Share of requests whose score reaches it, as far as the judged ones tell."""
    n: int
    """Judged answers that reach it, after thinning."""
    harms: int
    """Of these."""
    bound: float
    """Harm among requests that reach it, at most, with confidence 1 - delta; at most alpha."""


def certify(judged: Sequence[Judged], alpha: float, delta: float) -> Certificate | None:
    """The lowest threshold above which at most alpha of the answers do harm, with confidence 1 - delta. alpha, delta: in (0, 1)."""
    ordered = even(judged)
    found: Certificate | None = None
    harms = n = 0
    due = _first(ordered, alpha, delta)
    for score, group in groupby(ordered, key=lambda one: one.score):
        for one in group:
            n += 1
            harms += one.harm
        if n < due and n < len(ordered):
            continue
        if at_most(harms, n, alpha) > delta:
            break
        found = Certificate(score, 1.0, n, harms, 1.0)
        due = ceil(n * STEP)
    if found is None:
        return None
    bound = min(upper(found.harms, found.n, delta), alpha)
    return msgspec.structs.replace(found, coverage=covered(judged, found.threshold), bound=bound)


def spent(delta: float, look: int) -> float:
    """Of delta, what the first, second, third … look at the same promise may take: 1/2, 1/6, 1/12 … of it. However many there are, together they take no
    more than delta."""
    return delta / (look * (look + 1))


def even(judged: Sequence[Judged]) -> list[Judged]:
    """By falling score; as many as weigh as much as the heaviest, evenly by weight along the scores: systematic sampling, which asks for no chance."""
    ordered = sorted(judged, key=lambda one: -one.score)
    heaviest = max((one.weight for one in ordered), default=1.0)
    if all(one.weight == heaviest for one in ordered):
        return ordered
    kept: list[Judged] = []
    weighed = 0.5
    for one in ordered:
        weighed += one.weight / heaviest
        if weighed >= 1:
            kept.append(one)
            weighed -= 1
    return kept


def covered(judged: Sequence[Judged], threshold: float) -> float:
    """Share of requests whose score reaches the threshold, by the weights of those that were judged: at least one."""
    return sum(one.weight for one in judged if one.score >= threshold) / sum(one.weight for one in judged)


def harmed(judged: Sequence[Judged], threshold: float) -> float:
    """Share of those who reach it that are harmed, by weight; 0 where nobody does."""
    reach = [one for one in judged if one.score >= threshold]
    weight = sum(one.weight for one in reach)
    return sum(one.weight for one in reach if one.harm) / weight if reach else 0.0


def at_most(k: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) <= k), rate in (0, 1): from the largest term outwards, to where terms count no more."""
    if k >= n:
        return 1.0
    odds = rate / (1 - rate)
    top = min(k, int((n + 1) * rate))
    total = term = 1.0
    for i in range(top, 0, -1):
        term *= i / ((n - i + 1) * odds)
        total += term
        if term < total * 1e-17:
            break
    term = 1.0
    for i in range(top, k):
        term *= (n - i) * odds / (i + 1)
        total += term
    largest = lgamma(n + 1) - lgamma(top + 1) - lgamma(n - top + 1) + top * log(rate) + (n - top) * log1p(-rate)
    return min(1.0, total * exp(largest))


def upper(harms: int, n: int, delta: float) -> float:
    """One-sided bound of Clopper and Pearson (1934): the rate at which so few harms are seen with probability delta."""
    if harms >= n:
        return 1.0
    low, high = harms / n, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(harms, n, middle) > delta else (low, middle)
    return high


def lower(harms: int, n: int, delta: float) -> float:
    """The same from below."""
    return 1 - upper(n - harms, n, delta)


def _first(ordered: Sequence[Judged], alpha: float, delta: float) -> int:
    """Among how many answers the first test lies, by the scores alone: where it is expected to pass, or else where that is likeliest."""
    spotless = log(delta) / log1p(-alpha)
    least = ceil(min(max(PART * len(ordered), LEAST * spotless), ENOUGH * spotless))
    best, most = least, float("-inf")
    harm = 0.0
    for n, one in enumerate(ordered, 1):
        harm += 1 - min(max(one.score, 0.0), 1.0)
        if n < least:
            continue
        room = (alpha - harm / n) * sqrt(n / (alpha * (1 - alpha)))
        if room >= SURE:
            return n
        if room > most:
            best, most = n, room
    return best
