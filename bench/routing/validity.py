"""Is a promise kept as often as it says, and what does it cover: `policy.promise.certify` beside other procedures that are valid, on fresh resamples.

Comes in: scores and harms of all rows, which are taken for the whole population, so that the harm above every threshold is known exactly. From it n
labels are drawn with replacement, again and again; each procedure makes a promise from them. A promise is broken when the population's harm from
its threshold on is above alpha. Goes out: for each procedure the mean coverage, how often there was a promise, how often it was broken, and the
one-sided probability of so many breaks or more if they came with probability delta.

Does not know: predictors.
"""

from collections.abc import Callable, Sequence
from math import ceil, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jevons.policy.promise import Judged, at_most, certify

RESAMPLES = 1_000
GRID = 20

Procedure = Callable[[Sequence[Judged], float, float], float | None]
"""Labels, alpha, delta -> threshold."""


class Kept(NamedTuple):
    """One procedure, over all resamples."""

    coverage: float
    """Mean over all, 0 where nothing was promised."""
    promised: float
    """Share of resamples with a promise."""
    broken: int
    p_value: float
    """P(so many broken or more), were each broken with probability delta."""


class Population:
    """Rows by falling score, with what is true of each threshold."""

    def __init__(self, scores: NDArray[np.floating], harms: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores, kind="stable")
        self.scores, self.harms = scores[order], harms[order]
        self._rates = np.cumsum(self.harms) / np.arange(1, len(order) + 1)

    def true(self, threshold: float) -> tuple[float, float]:
        """(coverage, harm) among rows from this score on."""
        n = int(np.searchsorted(-self.scores, -threshold, side="right"))
        return n / len(self.scores), float(self._rates[n - 1])

    def oracle(self, alpha: float) -> float:
        """The most that could be covered by whoever knew the population."""
        held = np.flatnonzero(self._rates <= alpha)
        return (int(held[-1]) + 1) / len(self.scores) if len(held) else 0.0


def certified(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    found = certify(judged, alpha, delta)
    return None if found is None else found.threshold


def from_few(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    """Fixed sequence from the least number of answers that could pass, each test with a quarter more."""
    ordered, harms = _counted(judged)
    due, found = ceil(log(delta) / log1p(-alpha)), None
    while due <= len(ordered) and at_most(harms[due - 1], due, alpha) <= delta:
        found, due = ordered[due - 1].score, ceil(due * 1.25)
    return found


def bonferroni(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    """The lowest of GRID thresholds that passes at delta / GRID."""
    ordered, harms = _counted(judged)
    for step in range(GRID, 0, -1):
        n = len(ordered) * step // GRID
        if n and at_most(harms[n - 1], n, alpha) <= delta / GRID:
            return ordered[n - 1].score
    return None


def halves(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    """One half says which threshold would pass on the other, which tests that one alone."""
    ordered, harms = _counted(judged[::2])
    other = judged[1::2]
    for n in range(len(ordered), 0, -1):
        if at_most(harms[n - 1], n, alpha) <= delta:
            reach = [one.harm for one in other if one.score >= ordered[n - 1].score]
            return ordered[n - 1].score if reach and at_most(sum(reach), len(reach), alpha) <= delta else None
    return None


def whatever_passes(judged: Sequence[Judged], alpha: float, delta: float) -> float | None:
    """NOT valid: the lowest of all thresholds that passes, each tested at delta. It shows that this bench can see a broken promise."""
    ordered, harms = _counted(judged)
    for n in range(len(ordered), 0, -1):
        if at_most(harms[n - 1], n, alpha) <= delta:
            return ordered[n - 1].score
    return None


PROCEDURES: dict[str, Procedure] = {
    "certify": certified,
    "fixed sequence from few": from_few,
    "Bonferroni, 20 thresholds": bonferroni,
    "halves": halves,
    "whatever passes (not valid)": whatever_passes,
}


def kept(
    population: Population, procedure: Procedure, n: int, alpha: float, delta: float, resamples: int = RESAMPLES, seed: int = 0
) -> Kept:
    """Resamples of n labels each. The same seed draws the same labels for every procedure."""
    random = np.random.default_rng(seed)
    coverage, promised, broken = 0.0, 0, 0
    for _ in range(resamples):
        rows = random.integers(0, len(population.scores), n)
        threshold = procedure([Judged(float(population.scores[i]), bool(population.harms[i])) for i in rows], alpha, delta)
        if threshold is None:
            continue
        covered, harm = population.true(threshold)
        coverage += covered / resamples
        promised += 1
        broken += harm > alpha
    return Kept(coverage, promised / resamples, broken, p_value(broken, resamples, delta))


def p_value(broken: int, resamples: int, delta: float) -> float:
    """One-sided binomial test that promises are broken more often than delta; below .05 they are."""
    return 1.0 if not broken else 1 - at_most(broken - 1, resamples, delta)


def _counted(judged: Sequence[Judged]) -> tuple[list[Judged], list[int]]:
    ordered = sorted(judged, key=lambda one: -one.score)
    return ordered, [int(n) for n in np.cumsum([one.harm for one in ordered])]
