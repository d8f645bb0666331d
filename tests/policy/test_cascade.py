"""From tokens and labels to a confidence, and from a confidence to a decision."""

from math import exp, isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.token import Token
from jevons.policy.cascade import SHORT_TOKENS, Calibration, accepts, agreement, confidence, figures, spoken


def said(*pieces: str, sure: float = -0.5, **surer: float) -> list[Token]:
    """Tokens, all as sure as `sure`, but for those named by their text."""
    return [Token(piece.encode(), surer.get(piece.strip(), sure), 1.0 if number else 0.25) for number, piece in enumerate(pieces)]


def test_a_short_answer_is_as_sure_as_all_of_it() -> None:
    found = confidence(said("lost", "_card"))
    assert found is not None and isclose(found, exp(-1.0))
    assert figures(said("lost", "_card")) == (2, -0.5, -0.5, -1.0, 0.25)


def test_a_long_answer_is_as_sure_as_its_mean_token() -> None:
    whole = confidence(said(*["word "] * SHORT_TOKENS))
    mean = confidence(said(*["word "] * (SHORT_TOKENS + 1)))
    assert whole is not None and isclose(whole, exp(-0.5 * SHORT_TOKENS))
    assert mean is not None and isclose(mean, exp(-0.5))


def test_silence_is_no_answer() -> None:
    """An end, or a space, says nothing, however sure the model was of it."""
    assert confidence([]) is None
    assert confidence(said("\n", " ", "")) is None
    assert confidence(said("yes", "\n\n")) == confidence(said("yes"))


def test_a_probability_above_one_is_one() -> None:
    """As rounding has it."""
    assert confidence([Token(b"yes", 1e-7, None)]) == 1.0


@pytest.mark.parametrize("fence", [[], ["```", "json\n"]])
def test_of_json_only_values_count(fence: list[str]) -> None:
    """Its members and signs are the schema's; where a grammar forces them the model had other plans, and its figures say so."""
    pieces = [*fence, '{"', "na", 'me":', ' "', "Par", "is", '",', ' "old": ', "4", "2", ', "is":', "[true", ", ", "null", "]}"]
    values = {"Par": -0.1, "is": -0.1, '",': -0.1, "4": -0.1, "2": -0.1, "[true": -0.1, "null": -0.1}
    found = figures(said(*pieces, sure=-9.0, **values))
    assert found is not None and found.tokens == len(values) and isclose(found.mean, -0.1)


def test_a_value_that_was_cut_and_one_that_looks_like_a_member() -> None:
    assert figures(said('{"a": "b', sure=-9.0)) is None, "no value is whole"
    found = figures(said('{"a"', ':"', "b:", '"', ', "c": ', "1}", sure=-9.0, **{"b:": -1.0, '"': -1.0, "1}": -1.0}))
    assert found is not None and (found.tokens, found.mean) == (3, -1.0)


def test_text_with_braces_is_text() -> None:
    found = figures(said("Use ", "{x}", "."))
    assert found is not None and found.tokens == 3


def test_what_was_thought_before_is_no_part_of_the_answer() -> None:
    """As servers of thinking models tell it: with the tokens of both."""
    tokens = said("<think>", "blue", " or", " red", "?", "</think>", "\n\n", "bl", "ue", "\n", sure=-3.0, bl=-0.1, ue=-0.1)
    assert [token.data for token in spoken(tokens, "blue\n")] == [b"bl", b"ue"]
    assert spoken(tokens, "green") == tokens, "what cannot be found is all of it"


def test_agreement_is_with_the_answer_that_is_shown() -> None:
    assert agreement(["Paris.", "paris", "Lyon"]) == 0.5
    assert agreement(["42", "the answer is 42", "42.0"]) == 1.0
    assert agreement(["Lyon", "Paris", "Paris"]) == 0.0
    assert agreement(["Paris", "", ""]) == 0.0, "calls that failed agree with nobody"
    assert agreement(["Paris"]) == 0.0


def test_what_is_not_known_or_not_promised_is_not_shown() -> None:
    assert accepts(0.8, 0.8) and not accepts(0.79, 0.8)
    assert not accepts(None, 0.0) and not accepts(1.0, None)


def test_calibration_pools_what_falls() -> None:
    learnt = Calibration.learnt([(0.1, False), (0.2, True), (0.3, False), (0.4, True), (0.5, True)])
    assert learnt == Calibration((0.1, 0.2, 0.4), (0.0, 0.5, 1.0), 5)
    assert [learnt.probability(score) for score in (0.0, 0.1, 0.19, 0.2, 0.35, 0.4, 0.9)] == [0, 0, 0, 0.5, 0.5, 1, 1]


def test_calibration_of_nothing_knows_nothing() -> None:
    assert Calibration.learnt([]).probability(0.5) is None


def test_the_same_confidence_is_one_step() -> None:
    """Whatever the order in which its labels came."""
    assert (
        Calibration.learnt([(0.5, True), (0.5, False)])
        == Calibration.learnt([(0.5, False), (0.5, True)])
        == Calibration((0.5,), (0.5,), 2)
    )


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=60)
def test_calibration_is_the_best_that_never_falls(pairs: list[tuple[float, bool]]) -> None:
    """By min-max: at each score the largest over lower starts of the smallest mean up to higher ends (Robertson et al. 1988)."""
    scores = sorted({score for score, _ in pairs})
    learnt = Calibration.learnt(pairs)

    def mean(low: float, high: float) -> float:
        marks = [good for score, good in pairs if low <= score <= high]
        return sum(marks) / len(marks)

    for score in scores:
        best = max(min(mean(low, high) for high in scores if high >= score) for low in scores if low <= score)
        found = learnt.probability(score)
        assert found is not None and isclose(found, best, abs_tol=1e-9)
