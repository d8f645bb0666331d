"""The judge of two answers: sure, or not the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.policy.same_answer import ALIKE, needs_similarity, same_answer

LONG = "Plants turn light, water and carbon dioxide into sugar; oxygen is set free by that."
ALSO = "Light, water and carbon dioxide are turned into sugar by plants, and oxygen is set free."

LENGTH = 200_000


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Yes.", " yes"),
        ("The answer is 42.", "42"),
        ("6 * 7 makes it.\n#### 42", "So, the **answer is 42.0**"),
        ("We get \\boxed{1,000}", "1000"),
        ("**Bern**", "bern"),
        ("The answer: Bern", "Bern!"),
        ("$1,234.50", "$1234.5"),
    ],
)
def test_the_same(a: str, b: str) -> None:
    assert same_answer(a, b)
    assert same_answer(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Yes", "No"),
        ("", ""),
        ("...", "..."),
        ("42", "-42"),
        ("4.2", "42"),
        ("$5", "€5"),
        ("The answer is 42", "The answer is 43"),
        ("Bern", LONG),
        (LONG, ALSO),
    ],
)
def test_not_the_same_without_a_doubt(a: str, b: str) -> None:
    assert not same_answer(a, b)
    assert not same_answer(b, a)


def test_long_answers_are_the_same_if_they_are_alike() -> None:
    assert same_answer(LONG, ALSO, ALIKE)
    assert not same_answer(LONG, ALSO, ALIKE - 0.01)


@pytest.mark.parametrize(
    "other",
    [
        ALSO.replace("is set free", "is not set free"),
        ALSO + " It takes 3 hours.",
        ALSO + " See https://example.org",
        ALSO + " `leaf()`",
        ALSO + " " + LONG,
    ],
)
def test_alike_is_not_enough_where_a_detail_differs(other: str) -> None:
    assert not same_answer(LONG, other, 1.0)


def test_vectors_are_asked_for_only_where_they_decide() -> None:
    assert needs_similarity(LONG, ALSO)
    assert not needs_similarity(LONG, LONG)
    assert not needs_similarity("Yes", "No")


@pytest.mark.parametrize(
    "hostile",
    [
        "#### a" + " " * LENGTH + "b\n",
        "####" + "\n" * LENGTH + "}",
        "The answer" + " " * LENGTH + "it",
        "####" * LENGTH,
        "####" + "*" * LENGTH + "}",
        "#### 1." + "0" * LENGTH + "1",
        "a" + "\u0301\u0323" * LENGTH,
        "```" + "`" * LENGTH + "a" * LENGTH,
    ],
)
def test_a_hostile_answer_is_judged_in_its_length(hostile: str) -> None:
    """No pattern goes back and forth over it: for one of these that would take hours."""
    hostile = "So: " + hostile
    assert same_answer(hostile, hostile + " ", 1.0)
    assert not same_answer(hostile, LONG, 1.0) and not same_answer(LONG, hostile, 1.0)


def test_what_stands_behind_the_mark_may_stand_on_the_next_line() -> None:
    assert same_answer("####\n\n** 42 }", "42") and same_answer("Answer:\n**1,000.500**\nSure.", "1000.5")
    assert not same_answer("####  }", "42")


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text(), st.one_of(st.none(), st.floats(-1, 1)))
def test_no_text_breaks_it_and_the_order_does_not_count(a: str, b: str, similarity: float | None) -> None:
    assert same_answer(a, b, similarity) == same_answer(b, a, similarity)
