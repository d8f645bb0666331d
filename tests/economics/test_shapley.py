"""Shapley's shares are fair and whole, and what levers do together is parted from what each does."""

from fractions import Fraction
from itertools import combinations, permutations
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.economics.shapley import shares, split, subsets

NAMES = ("a", "b", "c")
COSTS = st.lists(st.integers(0, 10**12), min_size=8, max_size=8)


@given(COSTS)
def test_shares_sum_to_the_fall_and_are_the_mean_over_all_orders(costs: list[int]) -> None:
    cost = dict(zip(subsets(NAMES), costs, strict=True))
    found = shares(cost.__getitem__, NAMES)
    assert sum(found.values()) == cost[frozenset()] - cost[frozenset(NAMES)]
    for name in NAMES:
        gains = []
        for order in permutations(NAMES):
            before = frozenset(order[: order.index(name)])
            gains.append(cost[before] - cost[before | {name}])
        assert abs(found[name] - Fraction(sum(gains), len(gains))) < 1


@given(COSTS)
def test_who_does_nothing_gets_nothing_and_equals_get_the_same(costs: list[int]) -> None:
    idle = dict(zip(subsets(NAMES), costs, strict=True))
    for levers in subsets(NAMES):
        idle[levers] = idle[levers - {"c"}]
    assert shares(idle.__getitem__, NAMES)["c"] == 0
    counted = {levers: costs[len(levers)] * 6 for levers in subsets(NAMES)}
    assert len(set(shares(counted.__getitem__, NAMES).values())) <= 2  # but for a unit that cannot be parted


@given(st.lists(st.floats(-5, 5), min_size=16, max_size=16))
def test_own_parts_and_pairs_sum_to_the_change(numbers: list[float]) -> None:
    names = (*NAMES, "d")
    value = dict(zip(subsets(names), numbers, strict=True))
    found = split(value.__getitem__, names)
    change = value[frozenset(names)] - value[frozenset()]
    assert sum(found.values.values()) == pytest.approx(change, abs=1e-9)
    assert sum(found.own.values()) + sum(found.pairs.values()) == pytest.approx(change, abs=1e-9)
    for name in names:
        halves = sum(part for pair, part in found.pairs.items() if name in pair) / 2
        assert found.own[name] + halves == pytest.approx(found.values[name], abs=1e-9)
    for one, other in combinations(names, 2):  # by orders: the pair enters as one player
        rest, gains = [name for name in names if name not in (one, other)], []
        for order in permutations([*rest, "pair"]):
            before = frozenset(order[: order.index("pair")])
            gains.append(value[before | {one, other}] - value[before | {one}] - value[before | {other}] + value[before])
        assert found.pairs[one, other] == pytest.approx(sum(gains) / len(gains), abs=1e-9)


def test_factors_that_do_not_meet_are_their_own_logarithms() -> None:
    factor = {"a": 2.0, "b": 0.25, "c": 10.0}
    found = split(lambda levers: sum(log(factor[name]) for name in levers), NAMES)
    for name in NAMES:
        assert found.values[name] == pytest.approx(found.own[name]) == pytest.approx(log(factor[name]))
    assert all(abs(part) < 1e-12 for part in found.pairs.values())


def test_two_that_only_work_together_interact() -> None:
    found = split(lambda levers: 1.0 if {"a", "b"} <= levers else 0.0, NAMES)
    assert (found.values["a"], found.values["b"], found.values["c"]) == (0.5, 0.5, 0.0)
    assert found.pairs == {("a", "b"): 1.0, ("a", "c"): 0.0, ("b", "c"): 0.0}
    assert found.own == {"a": 0.0, "b": 0.0, "c": 0.0}
