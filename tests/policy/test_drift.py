"""Whether a promise still holds."""

from random import Random

import pytest

from jevons.policy.drift import ODDS, WINDOW, WORSE, Verdict, Watch, more_than, stake
from jevons.policy.promise import Certificate

ALPHA = 0.1
PROMISED = Certificate(0.9, 0.5, 1_000, 80, 0.0926)


def first(rate: float, seed: int, most: int, verdicts: tuple[Verdict, ...] = (Verdict.WITHDRAW,)) -> int:
    """After how many answers with this rate of harm it is one of `verdicts`; `most` = not before."""
    watch, random = Watch(), Random(seed)
    for n in range(1, most + 1):
        if watch.see(random.random() < rate, PROMISED, ALPHA) in verdicts:
            assert watch.n == n
            return n
    return most


def test_a_promise_that_holds_is_kept() -> None:
    """8 % of harm, as it was certified: 20 lives of 2,000 labels, each of 20 windows. At the limit itself more fall; ODDS says how seldom."""
    assert [first(0.08, seed, 2_000, verdicts=(Verdict.WITHDRAW, Verdict.TIGHTEN)) for seed in range(20)].count(2_000) >= 18
    lives = [first(ALPHA, seed, 3_000) for seed in range(15)]
    assert sum(life < 3_000 for life in lives) <= len(WORSE) * sum(lives) / ODDS


@pytest.mark.parametrize(("rate", "within"), [(0.2, 300), (0.5, 40), (1.0, 10)])
def test_what_becomes_worse_than_alpha_is_withdrawn(rate: float, within: int) -> None:
    lives = sorted(first(rate, seed, 2_000) for seed in range(21))
    assert lives[10] < within
    assert lives[-1] < 2_000


def test_what_was_good_for_long_delays_no_alarm() -> None:
    watch = Watch()
    for _ in range(5_000):
        assert watch.see(False, PROMISED, ALPHA) is Verdict.HOLD
    assert watch.won == [1.0 for _ in WORSE]
    assert any(watch.see(True, PROMISED, ALPHA) is Verdict.WITHDRAW for _ in range(8))


def test_worse_than_before_but_not_surely_than_alpha_tightens() -> None:
    """2 % were harmed when it was certified; 10 of a hundred are now."""
    promised, watch = Certificate(0.9, 0.5, 1_000, 20, 0.026), Watch()
    verdicts = [watch.see(i % 10 == 9, promised, ALPHA) for i in range(WINDOW)]
    assert verdicts == [Verdict.HOLD] * (WINDOW - 1) + [Verdict.TIGHTEN]
    assert (watch.n, watch.harms, watch.window_n, watch.window_harms) == (WINDOW, 10, 0, 0)
    assert all(watch.see(i % 50 == 0, promised, ALPHA) is Verdict.HOLD for i in range(WINDOW))


def test_stakes_never_lose_all() -> None:
    for alpha in (0.01, 0.05, 0.3, 0.5):
        for times in WORSE:
            assert 0 < stake(alpha, times) * alpha < 1
    assert stake(0.1, 2) == pytest.approx(0.1 / 0.09)


def test_more_than_before() -> None:
    assert more_than(0, 100, 5, 100) == 1.0
    assert more_than(5, 100, 50, 1_000) > 0.5
    assert more_than(15, 100, 50, 1_000) < 0.001
    assert more_than(15, 100, 5, 100) > more_than(15, 100, 500, 10_000), "few earlier answers accuse nobody"
    assert more_than(2, 2, 1, 1) > 0.9
