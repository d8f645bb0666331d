"""How likely is it that something comes back within a time? Learnt online, from nothing, by counting who did and who did not.

Comes in: for each thing that is watched its traits (any hashable values), and in which age bin it came back, or which it left without. Goes
out: the odds of a return by the end of each bin. Does not know: what is watched, clocks (ages are given).

The odds that what enters an age bin comes back in it are the product of a factor for the bin, one for each trait, and one for each trait in
that bin: a logistic model of the discrete hazard (Cox 1972, section 6), so that what has not come back *yet* counts for as long
as it is known. The factors are learnt by gradient steps that shrink with what a trait has seen (AdaGrad: Duchi, Hazan, Singer 2011): a new
trait stands where the whole does, and finds its own place as it is seen more often. Traits that go together share what they explain; in the
life tables of `policy.park`, where each is set against the whole, it would count twice.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from math import exp, sqrt

from jevons.core.limits import RETURNS_MEMO_MAX, RETURNS_TRAITS_MAX

AGE_EDGES_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 86_400.0)
"""Upper edges of the age bins; the first begins at 0. The lifetimes that providers offer are among them. Beyond a day nothing is learnt."""
BINS = len(AGE_EDGES_S)
PRIOR = -3.0
"""Logarithm of the odds in every bin before anything is learnt: one in twenty."""
STEP = 0.25
"""Length of a gradient step, before it shrinks."""
CALM = 1.0
"""What a weight is taken to have seen (sum of squared gradients) before it is moved."""
NEWS = 32
"""After so many observations the odds are worked out anew."""


class _Weights:
    """Of one trait: in each bin, and at the end in all of them."""

    __slots__ = ("seen", "values")

    def __init__(self, value: float) -> None:
        self.values = [0.0] * BINS + [value]
        self.seen = [CALM] * (BINS + 1)


class Returns:
    """The odds, and how they are learnt. Deterministic: what it was told is all it knows."""

    def __init__(self) -> None:
        self._all = _Weights(PRIOR)
        self._traits: OrderedDict[Hashable, _Weights] = OrderedDict()
        self._odds: dict[tuple[Hashable, ...], tuple[float, ...]] = {}
        self._news = 0

    def odds(self, traits: tuple[Hashable, ...]) -> tuple[float, ...]:
        """For each bin, the probability of a return before its upper edge."""
        found = self._odds.get(traits)
        if found is None:
            if len(self._odds) >= RETURNS_MEMO_MAX:
                self._odds.clear()
            found = self._odds[traits] = self._derived(traits)
        return found

    def learn(self, traits: tuple[Hashable, ...], bin_: int, came: bool) -> None:
        """Something with these traits left this bin: it had come back in it, or had not."""
        rows = [self._all, *map(self._weights, traits)]
        logit = 0.0
        for row in rows:
            logit += row.values[bin_] + row.values[BINS]
        gradient = 1.0 / (1.0 + exp(-logit)) - came
        square = gradient * gradient
        step = STEP * gradient
        for row in rows:
            values, seen = row.values, row.seen
            seen[bin_] += square
            values[bin_] -= step / sqrt(seen[bin_])
            seen[BINS] += square
            values[BINS] -= step / sqrt(seen[BINS])
        self._news += 1
        if self._news >= NEWS:
            self._news = 0
            self._odds.clear()

    def _derived(self, traits: tuple[Hashable, ...]) -> tuple[float, ...]:
        known = [self._all.values, *(weights.values for weights in map(self._traits.get, traits) if weights is not None)]
        *bins, common = map(sum, zip(*known, strict=True))
        away, found = 1.0, []
        for logit in bins:
            away /= 1.0 + exp(logit + common)
            found.append(1.0 - away)
        return tuple(found)

    def _weights(self, trait: Hashable) -> _Weights:
        weights = self._traits.get(trait)
        if weights is None:
            weights = self._traits[trait] = _Weights(0.0)
            if len(self._traits) > RETURNS_TRAITS_MAX:
                self._traits.popitem(last=False)
        else:
            self._traits.move_to_end(trait)
        return weights


def bin_of(age_s: float) -> int:
    """The age bin; BINS = beyond the last."""
    return bisect_right(AGE_EDGES_S, age_s)


def within(odds: Sequence[float], seconds: float) -> float:
    """The probability of a return within that time, or within the last edge before it."""
    bin_ = bin_of(seconds)
    return odds[bin_ - 1] if bin_ else 0.0
