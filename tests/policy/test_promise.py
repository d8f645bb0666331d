"""From which score on a model may answer in another's place."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.policy.promise import Judged, at_most, certify, covered, harmed, lower, spent, upper

DRAWS = 300
PASSED_BY_CHANCE = 39
"""P(Binomial(300, 0.1) > 39) = 4 %: a promise that is broken more often than this is not held with confidence 0.9."""


def labels(
    random: Random, n: int, rate: Callable[[float], float], weight: Callable[[float], float] | None = None
) -> list[Judged]:
    """n answers with scores uniform in [0, 1), harm by `rate` of the score; sampled by 1 / weight of it."""
    found: list[Judged] = []
    while len(found) < n:
        score = random.random()
        heavy = weight(score) if weight is not None else 1.0
        if random.random() < 1 / heavy:
            found.append(Judged(score, random.random() < rate(score), heavy))
    return found


def broken(
    rate: Callable[[float], float], mean_from: Callable[[float], float], n: int, weight: Callable[[float], float] | None = None
) -> int:
    """How many of DRAWS promises of 10 % do not hold. `mean_from`: true harm among scores from a threshold on."""
    random = Random(7)
    found = [certify(labels(random, n, rate, weight), 0.1, 0.1) for _ in range(DRAWS)]
    return sum(made is not None and mean_from(made.threshold) > 0.1 for made in found)


def test_harm_just_above_the_limit_for_every_score_is_promised_as_seldom_as_delta_says() -> None:
    assert 0 < broken(lambda _: 0.1001, lambda _: 0.1001, 300) <= PASSED_BY_CHANCE


def test_where_harm_grows_as_scores_fall_the_promise_is_kept_as_often_as_it_says() -> None:
    """Harm 0.3 (1 - score): 0.15 (1 - t) among scores from t on, so that it holds from 1/3 on."""
    assert 0 < broken(lambda s: 0.3 * (1 - s), lambda t: 0.15 * (1 - t), 300) <= PASSED_BY_CHANCE


def test_wrong_scores_cost_coverage_and_not_the_promise() -> None:
    """The best scores do the most harm."""
    assert (
        broken(lambda s: 0.25 if s > 0.8 else 0.07, lambda t: 0.25 if t > 0.8 else (0.05 + 0.07 * (0.8 - t)) / (1 - t), 300)
        <= PASSED_BY_CHANCE
    )


def test_uneven_sampling_is_made_even() -> None:
    """What is below a half is judged four times as seldom and harmed more: without weights its harm would be counted four times too low."""

    def rate(score: float) -> float:
        return 0.02 if score > 0.5 else 0.185

    def weight(score: float) -> float:
        return 1.0 if score > 0.5 else 4.0

    def true(threshold: float) -> float:
        return 0.02 if threshold > 0.5 else (0.01 + 0.185 * (0.5 - threshold)) / (1 - threshold)

    assert broken(rate, true, 300, weight) <= PASSED_BY_CHANCE
    random = Random(7)
    even = [[one._replace(weight=1.0) for one in labels(random, 300, rate, weight)] for _ in range(50)]
    assert sum(made is not None and true(made.threshold) > 0.1 for made in [certify(one, 0.1, 0.1) for one in even]) > 10


def test_all_looks_together_take_no_more_than_delta() -> None:
    assert spent(0.1, 1) == 0.05
    assert 0.0999 < sum(spent(0.1, look) for look in range(1, 2_000)) < 0.1


def test_what_does_hardly_any_harm_is_covered_wholly_and_what_does_much_not_at_all() -> None:
    random = Random(1)
    easy = certify(labels(random, 1_000, lambda _: 0.01), 0.05, 0.05)
    assert easy is not None
    assert (easy.coverage, easy.n) == (1.0, 1_000)
    assert easy.harms / easy.n < easy.bound < 0.05
    assert certify(labels(random, 1_000, lambda _: 0.2), 0.05, 0.05) is None


def test_a_good_score_covers_what_is_easy() -> None:
    """Nine tenths do no harm and score high: nearly all of it is found, and nothing of the rest."""
    made = certify(labels(Random(2), 3_000, lambda s: 0.01 if s > 0.1 else 0.9), 0.05, 0.05)
    assert made is not None
    assert 0.85 < made.coverage < 0.95


def test_no_promise_without_enough_labels() -> None:
    """At 10 % and 0.1, twenty-two without harm are the least, of three times as many the first test is made, or of all there are."""
    assert certify([], 0.1, 0.1) is None
    assert certify([Judged(0.9, False)] * 21, 0.1, 0.1) is None
    assert certify([Judged(0.9, False)] * 22, 0.1, 0.1) is not None


def test_scores_say_where_the_first_test_lies_and_a_failed_test_ends_it() -> None:
    """Ten of the best 66 did harm, and nobody else of 666."""
    harms = [i < 10 for i in range(66)] + [False] * 600
    sure = [Judged(0.999 - i / 1e6, harm) for i, harm in enumerate(harms)]
    assert certify(sure, 0.1, 0.1) is None, "0.1 % was expected: 66 are enough for a test"
    unsure = certify([one._replace(score=one.score - 0.08) for one in sure], 0.1, 0.1)
    assert unsure is not None, "8 % was expected: it takes all to tell that from 10"
    assert unsure.coverage == 1.0


def test_equal_scores_stand_or_fall_together() -> None:
    made = certify([Judged(0.9, False)] * 200 + [Judged(0.5, True)] * 10 + [Judged(0.5, False)] * 90, 0.1, 0.1)
    assert made is not None
    assert (made.threshold, made.n) == (0.5, 300)
    made = certify([Judged(0.9, False)] * 200 + [Judged(0.5, True)] * 100, 0.1, 0.1)
    assert made is not None
    assert (made.threshold, made.n) == (0.9, 200)
    assert made.coverage == pytest.approx(2 / 3)


def test_weights_count_in_the_coverage() -> None:
    made = certify([Judged(0.9, False, 1.0)] * 200 + [Judged(0.1, True, 2.0)] * 100, 0.1, 0.1)
    assert made is not None
    assert (made.threshold, made.n, made.coverage) == (0.9, 100, 0.5)
    uneven = [Judged(0.9, True, 1.0), Judged(0.9, False, 3.0), Judged(0.1, True, 4.0)]
    assert (covered(uneven, 0.9), harmed(uneven, 0.9), harmed(uneven, 0.95)) == (0.5, 0.25, 0.0)


def exact(k: int, n: int, rate: float) -> float:
    """P(Binomial(n, rate) <= k) by adding one trial at a time."""
    chances = [1.0]
    for _ in range(n):
        chances = [a * (1 - rate) + b * rate for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)]
    return sum(chances[: k + 1])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 80), st.data(), st.floats(0.001, 0.999))
def test_binomial_tails_are_those_of_the_textbook(n: int, data: st.DataObject, rate: float) -> None:
    k = data.draw(st.integers(0, n))
    assert at_most(k, n, rate) == pytest.approx(exact(k, n, rate), abs=1e-9)


def test_long_tails_are_cut_where_they_count_no_more() -> None:
    """0.0812440: scipy.stats.binom.cdf."""
    assert at_most(470, 5_000, 0.1) == pytest.approx(0.0812440, abs=1e-6)
    assert at_most(0, 16_000, 0.2) == 0.0


@pytest.mark.parametrize(("harms", "n"), [(0, 50), (3, 60), (59, 60), (60, 60)])
def test_bounds_are_where_the_tail_is_delta(harms: int, n: int) -> None:
    bound = upper(harms, n, 0.05)
    assert bound == 1.0 if harms == n else at_most(harms, n, bound) == pytest.approx(0.05, abs=1e-6)
    assert lower(harms, n, 0.05) <= harms / n <= bound
    assert lower(0, n, 0.05) == 0.0
