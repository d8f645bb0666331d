"""Shapley's shares are fair and whole; a turn's seconds are what its formula says."""

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.economics.levers import (
    BATCHED,
    COMPRESSED,
    KEPT,
    LEVERS,
    QUANTISED,
    Rates,
    Workload,
    corners,
    shares,
    subsets,
    turn_seconds,
)

NAMES = ("a", "b", "c")
COSTS = st.lists(st.integers(0, 10**12), min_size=8, max_size=8)
RATES = Rates(
    {False: 100.0, True: 200.0},
    {(False, False): 20.0, (False, True): 80.0, (True, False): 50.0, (True, True): 100.0},
    {False: 0.0001, True: 0.0002},
    {False: 0.5, True: 1.0},
)
WORK = Workload(1_000, 800, 100)


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


def test_a_turns_seconds() -> None:
    def seconds(*levers: str) -> float:
        return turn_seconds(RATES, WORK, frozenset(levers))

    assert seconds() == 1_000 / 100 + 100 / 20
    assert seconds(QUANTISED) == 1_000 / 200 + 100 / 50
    assert seconds(BATCHED) == 1_000 / 100 + 100 / 80
    assert seconds(KEPT) == pytest.approx(600 / 100 + 100 / 20 + 400 * 0.0001)
    assert seconds(COMPRESSED) == seconds()  # what is not kept is not compressed
    assert seconds(KEPT, COMPRESSED) == pytest.approx(200 / 100 + 100 / 20 + 800 * 0.0002)


def test_every_set_has_its_price() -> None:
    found = corners(RATES, WORK, Fraction(1, 10**5))
    assert len(found) == 2 ** len(LEVERS)
    assert found[frozenset()].nusd_per_million == round(Fraction(15, 1_100) * 10**15 / 10**5)  # 15 s for 1,100 tokens
    assert found[frozenset(LEVERS)].nusd_per_million < min(c.nusd_per_million for s, c in found.items() if s != frozenset(LEVERS))
