"""The odds of a return, learnt by counting."""

import random

import pytest

from jevons.core.limits import RETURNS_MEMO_MAX, RETURNS_TRAITS_MAX
from jevons.policy.returns import AGE_EDGES_S, BINS, NEWS, PRIOR, Returns, bin_of, within


def live(returns: Returns, traits: tuple[object, ...], hazard: float, chance: random.Random, bins: int = BINS) -> None:
    """One life: in each bin it comes back with these odds."""
    for bin_ in range(bins):
        came = chance.random() < hazard
        returns.learn(traits, bin_, came)
        if came:
            return


def test_before_anything_is_learnt():
    """One in twenty in each bin, whatever the traits."""
    odds = Returns().odds(("any",))
    share = 1 / (1 + 2.718281828459045**-PRIOR)
    assert odds == pytest.approx([1 - (1 - share) ** (bin_ + 1) for bin_ in range(BINS)])


def test_each_trait_finds_its_odds():
    """Two traits that go together share what they explain: neither counts twice."""
    returns, chance = Returns(), random.Random(1)
    for _ in range(2_000):
        live(returns, ("often", "busy"), 0.4, chance, 6)
        live(returns, ("seldom", "idle"), 0.04, chance, 6)
    assert within(returns.odds(("often", "busy")), 300) == pytest.approx(1 - 0.6**6, abs=0.03)
    assert within(returns.odds(("seldom", "idle")), 300) == pytest.approx(1 - 0.96**6, abs=0.05)
    between = within(returns.odds(()), 300)
    assert within(returns.odds(("seldom", "idle")), 300) < between < within(returns.odds(("often", "busy")), 300)


def test_what_changes_is_followed():
    returns, chance = Returns(), random.Random(2)
    for hazard in (0.5, 0.02):
        for _ in range(2_000):
            live(returns, ("one",), hazard, chance, 6)
    assert within(returns.odds(("one",)), 300) < 0.25


def test_odds_are_derived_anew_after_news():
    returns = Returns()
    before = returns.odds(("one",))
    for number in range(NEWS):
        assert returns.odds(("one",)) == before, number
        returns.learn(("one",), 0, True)
    assert returns.odds(("one",))[0] > before[0]


def test_memory_is_bounded():
    """The trait seen longest ago goes; remembered odds go all at once."""
    returns = Returns()
    for _ in range(400):
        returns.learn(("kept",), 0, True)
        returns.learn(("gone",), 0, False)
    for number in range(RETURNS_TRAITS_MAX - 2):
        returns.learn((number,), BINS - 1, False)
    returns.learn(("kept",), BINS - 1, False)
    returns.learn(("one more",), BINS - 1, False)
    for number in range(RETURNS_MEMO_MAX + 1):
        returns.odds((number,))
    assert returns.odds(("gone",)) == returns.odds(("never seen",))
    assert returns.odds(("kept",))[0] > returns.odds(("never seen",))[0]


def test_ages():
    assert bin_of(0.0) == 0 and bin_of(AGE_EDGES_S[0]) == 1 and bin_of(1e9) == BINS
    odds = tuple([bin_ / BINS for bin_ in range(1, BINS + 1)])
    assert within(odds, 300) == odds[AGE_EDGES_S.index(300.0)]
    assert within(odds, 299) == odds[AGE_EDGES_S.index(120.0)]
    assert within(odds, 1) == 0.0 and within(odds, 1e9) == odds[-1]
