"""Which model answers, and why."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.routed import Option, Routed, Stage
from jevons.policy.objective import Decision, Why, again, decide, good_enough, sampled, weighed_nusd

LARGE = Option("large", "up", "large", cost_nusd=1_000)


def small(score: float | None = 0.9, threshold: float | None = 0.8, cost_nusd: int = 100, wait_ms: int = 0) -> Option:
    return Option("small", "up", "small", score, threshold, cost_nusd, wait_ms)


def chosen(
    *options: Option, choose: str = "learned", stage: Stage = Stage.FULL, draw: float = 0.5, worth: float = 0.0
) -> Decision:
    return decide(options, choose=choose, stage=stage, share=0.3, draw=draw, latency_usd_s=worth)


def test_the_cheapest_that_is_good_enough() -> None:
    assert chosen(small(), LARGE) == Decision(0, Why.CHEAPER, 0)
    assert chosen(small(), small(cost_nusd=50), LARGE).chosen == 1
    assert chosen(small(), small(score=0.7, cost_nusd=50), LARGE).chosen == 0
    assert chosen(small(score=0.8), LARGE).chosen == 0, "the threshold is included"


def test_who_is_not_good_enough_is_no_candidate_however_cheap() -> None:
    assert chosen(small(score=0.79), LARGE) == Decision(1, Why.NOT_GOOD_ENOUGH, 1)
    assert chosen(small(score=None), LARGE) == Decision(1, Why.UNSCORED, 1)
    assert chosen(small(score=None), small(score=0.1), LARGE).why is Why.NOT_GOOD_ENOUGH
    assert chosen(small(score=None), small(threshold=None), LARGE).why is Why.UNSCORED
    assert chosen(small(threshold=None), LARGE) == Decision(1, Why.NO_PROMISE, 1)


def test_a_reference_that_costs_less_answers_itself() -> None:
    assert chosen(small(cost_nusd=2_000), LARGE) == Decision(1, Why.REFERENCE_CHEAPEST, 1)


def test_waiting_is_weighed_by_what_a_second_is_worth() -> None:
    """At $0.000001 a second, 900 ms of waiting are worth 900 nano-dollars."""
    slow = small(wait_ms=901)
    assert chosen(slow, LARGE).chosen == 0
    assert chosen(slow, LARGE, worth=1e-6) == Decision(1, Why.REFERENCE_CHEAPEST, 1)
    assert weighed_nusd(slow, 1e-6) == pytest.approx(1_001)


@pytest.mark.parametrize(
    ("stage", "draw", "place", "why"),
    [
        (Stage.OBSERVE, 0.0, 1, Why.OBSERVED),
        (Stage.SHADOW, 0.0, 1, Why.OBSERVED),
        (Stage.SHARE, 0.29, 0, Why.CHEAPER),
        (Stage.SHARE, 0.3, 1, Why.OUTSIDE_SHARE),
        (Stage.FULL, 0.99, 0, Why.CHEAPER),
    ],
)
def test_the_stage_and_the_draw_say_how_far_it_goes(stage: Stage, draw: float, place: int, why: Why) -> None:
    assert chosen(small(), LARGE, stage=stage, draw=draw) == Decision(place, why, would=0)
    assert chosen(small(score=0.1), LARGE, stage=stage, draw=draw).why is Why.NOT_GOOD_ENOUGH, (
        "a stage explains only what it holds back"
    )


def test_the_first_and_the_only_one_are_no_choice() -> None:
    assert chosen(small(threshold=None), LARGE, choose="first", stage=Stage.OBSERVE) == Decision(0, Why.FIRST, 0)
    assert chosen(LARGE) == Decision(0, Why.ONLY, 0)


def test_a_cascade_begins_with_the_first_if_something_is_promised_of_its_answers_and_it_pays() -> None:
    first = small(score=None)
    assert chosen(first, LARGE, choose="cascade") == Decision(0, Why.CASCADE, 0, cascade=True)
    assert chosen(small(score=None, threshold=None), LARGE, choose="cascade") == Decision(1, Why.NO_PROMISE, 1)
    assert chosen(small(score=None, cost_nusd=1_000), LARGE, choose="cascade") == Decision(1, Why.REFERENCE_CHEAPEST, 1)
    assert chosen(first, LARGE, choose="cascade", stage=Stage.SHADOW) == Decision(1, Why.OBSERVED, 0)


def test_a_recorded_decision_is_made_again() -> None:
    options = (small(), LARGE)
    for stage in Stage:
        made = chosen(*options, stage=stage, draw=0.2)
        routed = Routed("mail", made.why, made.chosen, stage, 0.2, options)
        recorded = msgspec.json.decode(msgspec.json.encode(routed), type=Routed)
        assert again(recorded, choose="learned", share=0.3, latency_usd_s=0.0) == made
    assert again(Routed("mail", "", options=options), choose="learned", share=1.0, latency_usd_s=0.0).why is Why.OBSERVED


def test_who_is_sampled_says_nothing_of_who_is_in_the_share() -> None:
    draws = [i / 10_007 for i in range(10_007)]
    for share in (0.1, 0.5):
        inside = [draw for draw in draws if draw < share]
        assert sum(sampled(draw, 0.2) for draw in inside) / len(inside) == pytest.approx(0.2, abs=0.01)
    assert sum(sampled(draw, 0.05) for draw in draws) / len(draws) == pytest.approx(0.05, abs=0.005)
    assert not sampled(0.0, 0.0)
    assert sampled(0.9, 1.0)


_options = st.lists(
    st.builds(small, st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.integers(0, 10**9), st.integers(0, 10_000)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(_options, st.sampled_from(Stage), st.floats(0, 1, exclude_max=True), st.sampled_from(["learned", "cascade", "first"]))
def test_nobody_answers_in_the_place_of_the_reference_without_a_promise(
    options: list[Option], stage: Stage, draw: float, choose: str
) -> None:
    made = decide(options, choose=choose, stage=stage, share=0.3, draw=draw, latency_usd_s=1e-7)
    reference = len(options) - 1
    if made.chosen == reference or choose == "first":
        return
    assert stage is Stage.FULL or (stage is Stage.SHARE and draw < 0.3)
    assert made.chosen == made.would
    assert weighed_nusd(options[made.chosen], 1e-7) <= weighed_nusd(options[reference], 1e-7)
    assert options[made.chosen].threshold is not None if made.cascade else good_enough(options[made.chosen])
