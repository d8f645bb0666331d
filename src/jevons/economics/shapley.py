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
from itertools import combinations
from math import factorial
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
    exact = {name: _value(lambda levers: -Fraction(cost(levers)), name, names) for name in names}
    scale = factorial(len(names))
    total, parts = allot([int(exact[name] * scale) for name in names], scale)
    assert total == cost(frozenset()) - cost(frozenset(names))
    return dict(zip(names, parts, strict=True))


def split(value: Callable[[Set], float], names: Sequence[str]) -> Split:
    """Of numbers; logarithms, where levers multiply. They sum to the change but for rounding in the last places."""
    exact = {levers: Fraction(value(levers)) for levers in subsets(names)}
    values = {name: _value(exact.__getitem__, name, names) for name in names}
    pairs = {pair: _interaction(exact.__getitem__, pair, names) for pair in combinations(names, 2)}
    own = {name: values[name] - sum(found for pair, found in pairs.items() if name in pair) / 2 for name in names}
    return Split(
        {name: float(found) for name, found in values.items()},
        {name: float(found) for name, found in own.items()},
        {pair: float(found) for pair, found in pairs.items()},
    )


def subsets(names: Sequence[str]) -> list[Set]:
    """All sets, the smaller first."""
    return [frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]


def _value(value: Callable[[Set], Fraction], name: str, names: Sequence[str]) -> Fraction:
    """The mean, over all orders, of what `name` adds when it comes after those before it."""
    others = [other for other in names if other != name]
    return sum(
        (_weight(len(before), len(names)) * (value(before | {name}) - value(before)) for before in subsets(others)), Fraction(0)
    )


def _interaction(value: Callable[[Set], Fraction], pair: tuple[str, str], names: Sequence[str]) -> Fraction:
    """As if the pair were one of the players: what it does beyond its two, in the mean over all orders of the rest."""
    one, other = ({name} for name in pair)
    rest = [name for name in names if name not in pair]
    return sum(
        (
            _weight(len(before), len(names) - 1)
            * (value(before | one | other) - value(before | one) - value(before | other) + value(before))
            for before in subsets(rest)
        ),
        Fraction(0),
    )


def _weight(before: int, players: int) -> Fraction:
    """The share of all orders of `players` in which just these come before a given one."""
    return Fraction(factorial(before) * factorial(players - before - 1), factorial(players))
