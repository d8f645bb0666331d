"""From which score on a model may answer in another's place, so that few of its answers are worse: "harm at most alpha, with confidence 1 - delta".

Comes in: judged answers, each with what was believed of it before, whether it did harm, and for how many requests it stands. Goes out: a
`Certificate`, or None where nothing can be promised.

Does not know: models, predictors, time, chance.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil, exp, lgamma, log, log1p
from typing import NamedTuple

import msgspec


class Judged(NamedTuple):
    """One answer that was judged."""

    score: float
    """What was believed of it before: the higher, the more likely it is good."""
    harm: bool
    weight: float = 1.0
    """1 / probability with which the request was taken for judging."""


class Certificate(msgspec.Struct, frozen=True):
    """What is promised."""

    threshold: float
    """From this score on, it included."""
    coverage: float
    """Share of the requests whose score reaches it."""
    n: int
    """Judged answers that reach it."""
    harms: int
    """Of these."""
    bound: float
    """Harm among requests that reach it, at most, with confidence 1 - delta; at most alpha."""


START = 3.0
"""The first look is where so many times the answers stand that would pass without a single harm."""
STEP = 1.25
"""Each look takes in so many times the answers of the one before."""


def certify(judged: Sequence[Judged], alpha: float, delta: float) -> Certificate | None:
    """The lowest threshold that holds.

    Fixed-sequence testing (Maurer et al. 1995; "Learn then test", arXiv 2110.01052): thresholds are tested from the strictest, each at level
    delta, and the first that fails ends it. Where each look lies depends on the number of answers alone, never on harm.
    """
    ordered = sorted(judged, key=lambda one: -one.score)
    first = ceil(START * log(delta) / log1p(-alpha))
    found: Certificate | None = None
    harms = n = looked = 0
    for score, group in groupby(ordered, key=lambda one: one.score):
        for one in group:
            n += 1
            harms += one.harm
        if n < (first if not looked else looked * STEP) and n < len(ordered):
            continue
        looked = n
        if not passes(n, harms, alpha, delta):
            break
        found = Certificate(score, n / len(ordered), n, harms, upper(n, harms, delta))
    return found


def passes(n: int, harms: int, alpha: float, delta: float) -> bool:
    """Would so few harms among n be seen with probability delta at most, were the rate alpha?"""
    return at_most(harms, n, alpha) <= delta


def upper(n: int, harms: int, delta: float) -> float:
    """One-sided Clopper-Pearson bound: the rate at which so few harms are seen with probability delta."""
    if harms >= n:
        return 1.0
    low, high = harms / n, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(harms, n, middle) > delta else (low, middle)
    return high


def at_most(k: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) <= k), from the largest term down to where terms no longer count."""
    if k >= n:
        return 1.0
    if rate <= 0 or rate >= 1:
        return 1.0 if rate <= 0 else 0.0
    odds = rate / (1 - rate)
    term = total = 1.0
    top = min(k, int((n + 1) * rate))
    for i in range(top, 0, -1):
        term *= i / ((n - i + 1) * odds)
        total += term
        if term < total * 1e-17:
            break
    term = 1.0
    for i in range(top, k):
        term *= (n - i) * odds / (i + 1)
        total += term
    first = lgamma(n + 1) - lgamma(top + 1) - lgamma(n - top + 1) + top * log(rate) + (n - top) * log1p(-rate)
    return min(1.0, total * exp(first))
