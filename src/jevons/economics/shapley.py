"""What each of several levers did, when they also act on one another: Shapley's values, and the interaction of each pair.

Comes in: a value for every set of levers, whole units or a number of any kind. Goes out: one amount for each lever, which sum to the change from
no lever to all; and for each pair what the two do together beyond what each does. Does not know: what the levers are.

Shapley, "A Value for n-Person Games", 1953: the mean, over all orders in which levers can be pulled, of what a lever adds; the only share that sums
to the whole, treats equals alike and gives nothing to what does nothing. Interaction of a pair: Grabisch & Roubens, "An axiomatic approach to the
concept of interaction among players in cooperative games", 1999: the mean of v(both) - v(one) - v(other) + v(neither) over all orders of the rest.
A lever's value is what it does by itself (`Split.own`) and half of each of its interactions, so all `own` and all pairs sum to the change too.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import factorial, fsum
from typing import NamedTuple

from jevons.core.money import allot

Set = frozenset[str]


class Split(NamedTuple):
    """A change from no lever to all; `values` sum to it, and so do all `own` and `pairs` together."""

    values: dict[str, float]
    """Shapley's."""
    own: dict[str, float]
    """Each without its interactions."""
    pairs: dict[tuple[str, str], float]


def shares(cost: Callable[[Set], int], names: Sequence[str]) -> dict[str, int]:
    """Shapley's share of each name in `cost` of none less `cost` of all, in whole units that sum to it exactly.

    Shares are exact fractions first; what rounding leaves goes to the largest remainders.
    """
    everyone, scale = tuple(names), factorial(len(names))
    exact = [-sum(weight * cost(levers) for levers, weight in _weights(everyone, (name,)).items()) for name in names]
    total, parts = allot([int(share * scale) for share in exact], scale)
    assert total == cost(frozenset()) - cost(frozenset(names))
    return dict(zip(names, parts, strict=True))


def split(value: Callable[[Set], float], names: Sequence[str]) -> Split:
    """Of numbers; logarithms, where levers multiply. They sum to the change but for rounding in the last places."""
    everyone = tuple(names)

    def of(*together: str) -> float:
        return fsum(float(weight) * value(levers) for levers, weight in _weights(everyone, together).items())

    values = {name: of(name) for name in names}
    pairs = {pair: of(*pair) for pair in combinations(names, 2)}
    own = {name: values[name] - sum(found for pair, found in pairs.items() if name in pair) / 2 for name in names}
    return Split(values, own, pairs)


def subsets(names: Sequence[str]) -> list[Set]:
    """All sets, the smaller first."""
    return [frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]


@lru_cache(maxsize=256)
def _weights(names: tuple[str, ...], together: tuple[str, ...]) -> dict[Set, Fraction]:
    """What `together` do beyond all smaller sets of them, as a weighted sum over the values of all sets: Shapley's value of one, the
    interaction of two. The mean over all orders in which they come as one player among the others.
    """
    rest = [name for name in names if name not in together]
    players = len(rest) + 1
    found = {}
    for before in subsets(rest):
        share = Fraction(factorial(len(before)) * factorial(players - len(before) - 1), factorial(players))
        for some in subsets(together):
            found[before | some] = share * (-1) ** (len(together) - len(some))
    return found
