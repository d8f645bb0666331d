"""A turn's seconds are what its formula says, for every set of levers."""

from fractions import Fraction

import pytest

from jevons.economics.levers import (
    BATCHED,
    COMPRESSED,
    KEPT,
    LEVERS,
    QUANTISED,
    Rates,
    Workload,
    corners,
    turn_seconds,
)

RATES = Rates(
    {False: 100.0, True: 200.0},
    {(False, False): 20.0, (False, True): 80.0, (True, False): 50.0, (True, True): 100.0},
    {False: 0.0001, True: 0.0002},
    {False: 0.5, True: 1.0},
)
WORK = Workload(1_000, 800, 100)


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
