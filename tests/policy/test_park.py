"""What a parked block is worth."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.policy.park import (
    AGE_EDGES_S,
    BINS,
    GROWTH_EDGES,
    LENGTH_EDGES,
    PATHS_MAX,
    TURN_EDGES,
    Learnt,
    Lru,
    Prefill,
    admits,
    bin_of,
    holding_price,
    holding_rates,
)

AGES_S = [0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 1_000_000.0]


def test_prefill_grows_with_depth():
    """At `even_tokens` before it a token costs twice what the first one costs, and parts of a path sum to the whole."""
    prefill = Prefill(token_s=0.001, even_tokens=4_000)
    assert prefill.saved_s(2, 3_999) == pytest.approx(2 * 0.002)
    assert prefill.saved_s(256, 0) + prefill.saved_s(256, 256) == pytest.approx(prefill.saved_s(512, 0))
    assert prefill.token_saved_s(512) * 512 == pytest.approx(prefill.saved_s(512, 0))


def test_what_has_learnt_nothing_is_lru():
    learnt, lru = Learnt(), Lru()
    kinds = {learnt.kind_of(turn, tokens, grown) for turn in TURN_EDGES for tokens in LENGTH_EDGES for grown in GROWTH_EDGES}
    assert len(kinds) == len(TURN_EDGES) * len(LENGTH_EDGES) * len(GROWTH_EDGES)
    for policy in (learnt, lru):
        for kind in kinds:
            worths = [policy.worth(kind, age_s, 1.0, 1) for age_s in AGES_S]
            assert worths == sorted(worths, reverse=True)
    assert len({learnt.rate(kind, 60.0) for kind in kinds}) == 1


def test_lru_learns_nothing():
    lru = Lru()
    before = lru.worth(0, 60.0, 1.0, 1)
    lru.used(0, 0, 1.0)
    lru.aged(0, 0, 1.0)
    assert lru.kind_of(9, 10**6, 10) == 0 and lru.worth(0, 60.0, 5.0, 7) == before


def test_the_class_that_goes_on_is_worth_more():
    """Of those in their fifth turn half come back within a minute, of the single ones a tenth: both are seen a hundred times."""
    learnt = Learnt()
    often, seldom = learnt.kind_of(5, 4_000, 500), learnt.kind_of(0, 4_000, 0)
    at = bin_of(60.0)
    for kind, share in ((often, 0.5), (seldom, 0.1)):
        for bin_ in range(at):
            learnt.aged(kind, bin_, 100.0)
        learnt.used(kind, at, 100 * share)
        learnt.aged(kind, at, 100 * (1 - share))
    assert learnt.rate(often, 0.0) > 1.3 * learnt.rate(seldom, 0.0)
    assert learnt.rate(often, 60.0) > 10 * learnt.rate(often, 1_000.0)
    assert learnt.worth(often, 0.0, 2.0, 8) == pytest.approx(learnt.rate(often, 0.0) / 4)


def test_rates_are_derived_anew_after_news():
    """A few paths change nothing yet, more do."""
    learnt = Learnt()
    kind = learnt.kind_of(0, 0, 0)
    before = learnt.rate(kind, 60.0)
    learnt.used(kind, bin_of(60.0), 1.0)
    assert learnt.rate(kind, 60.0) == before
    learnt.used(kind, bin_of(60.0), 99.0)
    assert learnt.rate(kind, 60.0) > before


def test_what_is_long_past_is_forgotten():
    """After a thousand conversations of which all came back, none does: as many again, and the share has fallen below a half."""
    learnt = Learnt()
    kind, bin_ = learnt.kind_of(0, 0, 0), bin_of(60.0)
    for _ in range(int(PATHS_MAX)):
        learnt.used(kind, bin_, 1.0)
    for _ in range(int(PATHS_MAX)):
        learnt.aged(kind, bin_, 1.0)
    assert learnt.common.used[bin_] + learnt.common.aged[bin_] <= PATHS_MAX
    assert learnt.common.shares()[bin_] < 0.5


def test_age_bins():
    assert bin_of(0.0) == 0 and bin_of(AGE_EDGES_S[5]) == 5 and bin_of(math.nextafter(AGE_EDGES_S[5], 0)) == 4
    assert bin_of(1e12) == BINS - 1


@settings(max_examples=25)
@given(st.lists(st.floats(1e-6, 0.99), min_size=BINS, max_size=BINS))
def test_holding_rates_are_the_best_of_all_horizons(shares: list[float]):
    """Against the definition, term by term."""
    edges = [*AGE_EDGES_S, AGE_EDGES_S[-1] * 2**0.25]
    rates = holding_rates(shares)
    for first in range(BINS):
        best = use = held_s = 0.0
        left = 1.0
        for bin_ in range(first, BINS):
            use += left * shares[bin_]
            held_s += left * edges[bin_ + 1] * (1 - 2**-0.25) * (1 - shares[bin_] / 2)
            left *= 1 - shares[bin_]
            best = max(best, use / held_s)
        assert rates[first] == pytest.approx(best, rel=1e-9)


def test_break_even():
    """A GiB for $0.0036 an hour, a computer for $0.036 an hour: a block of a MiB that saves a second may wait 10 × 1,024 seconds for one sure
    use; used once in that time it just pays."""
    price = holding_price(3_600_000, 36_000_000)
    held_s = 10 * 1_024
    worth = 1.0 / held_s / 2**20
    assert admits(worth * 1.001, 0.0, price) and not admits(worth * 0.999, 0.0, price)


def test_a_newcomer_is_let_in_if_it_is_worth_what_goes():
    assert admits(2.0, 1.0, 0.0) and admits(1.0, 1.0, 0.0)
    assert not admits(1.0, 2.0, 0.0)
