"""How likely is it that something comes back within a time? Learnt online, from nothing, by counting who did and who did not.

Comes in: for each thing that is watched its traits (any hashable values), and at what ages it came back, or had not yet. Goes out: the
odds of a return by each of some ages. Does not know: what is watched, clocks (ages are given).

Ages are cut in bins. The odds that what enters a bin comes back in it are the product of a factor for the bin, one for each trait, and one for each
trait in that bin: a logistic model of the discrete hazard (Cox 1972, section 6), so that what has not come back *yet* counts for as long
as it is known. The factors are learnt by gradient steps that shrink with what a trait has seen (AdaGrad: Duchi, Hazan, Singer 2011): a new
trait begins where the whole stands, and finds its own place as it is seen more often. Traits that go together share what they explain; in the
life tables of `policy.park`, where each is set against the whole, it would count twice.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from math import exp, sqrt

AGE_EDGES_S = (0.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 86_400.0)
"""Lower edges of the age bins. All lifetimes that providers offer are among them; the last bin, beyond a day, is not learnt of."""
BINS = len(AGE_EDGES_S) - 1
PRIOR = -3.0
"""Logarithm of the odds in every bin before anything is learnt: one in twenty."""
STEP = 0.25
"""Length of a gradient step, before it shrinks."""
CALM = 1.0
"""What a weight is taken to have seen (sum of squared gradients) before it is moved."""
TRAITS_MAX = 4_096
"""So many traits are remembered; the one seen longest ago goes."""


class _Weights:
    """Of one trait: for all bins, and for each."""

    __slots__ = ("seen", "values")

    def __init__(self, value: float) -> None:
        self.values = [value] + [0.0] * BINS
        self.seen = [CALM] * (BINS + 1)


class Returns:
    """The odds, and how they are learnt. Deterministic: what it was told is all it knows."""

    def __init__(self) -> None:
        self._all = _Weights(PRIOR)
        self._traits: OrderedDict[Hashable, _Weights] = OrderedDict()

    def came(self, traits: Sequence[Hashable], bin_: int) -> None:
        """Something with these traits came back while its age was in this bin."""
        self._learn(traits, bin_, 1.0)

    def waited(self, traits: Sequence[Hashable], bin_: int) -> None:
        """It left the bin, and had not come back."""
        self._learn(traits, bin_, 0.0)

    def odds(self, traits: Sequence[Hashable]) -> tuple[float, ...]:
        """For each bin, the probability of a return before its upper edge."""
        known = [self._all.values, *(weights.values for weights in map(self._traits.get, traits) if weights is not None)]
        common = sum([values[0] for values in known])
        away, found = 1.0, []
        for column in range(1, BINS + 1):
            logit = common
            for values in known:
                logit += values[column]
            away /= 1.0 + exp(logit)
            found.append(1.0 - away)
        return tuple(found)

    def _learn(self, traits: Sequence[Hashable], bin_: int, came: float) -> None:
        rows = [self._all, *(self._weights(trait) for trait in traits)]
        column = bin_ + 1
        logit = 0.0
        for row in rows:
            logit += row.values[0] + row.values[column]
        gradient = 1.0 / (1.0 + exp(-logit)) - came
        square = gradient * gradient
        for row in rows:
            for place in (0, column):
                row.seen[place] += square
                row.values[place] -= STEP * gradient / sqrt(row.seen[place])

    def _weights(self, trait: Hashable) -> _Weights:
        weights = self._traits.get(trait)
        if weights is None:
            weights = self._traits[trait] = _Weights(0.0)
            if len(self._traits) > TRAITS_MAX:
                self._traits.popitem(last=False)
        else:
            self._traits.move_to_end(trait)
        return weights


def within(odds: Sequence[float], seconds: float) -> float:
    """The probability of a return within that time, or within the last edge before it."""
    found = 0.0
    for edge_s, probability in zip(AGE_EDGES_S[1:], odds, strict=True):
        if edge_s > seconds:
            break
        found = probability
    return found
