"""Which requests may be answered by similarity, and what two of them must share to the letter."""

import pytest

from jevons.core.limits import SEMANTIC_TEXT_CHARS_MAX
from jevons.policy.similar import Features, ineligible, literals

QUESTION = "How do I change the PIN of a card?"


def test_a_plain_question_may() -> None:
    assert ineligible(Features(QUESTION)) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tools": True}, "tools"),
        ({"tool_results": True}, "tool's result"),
        ({"media": True}, "more than text"),
        ({"remote_context": True}, "kept by the provider"),
        ({"choices": 2}, "several answers"),
        ({"text": " \n"}, "no text"),
        ({"text": "x" * (SEMANTIC_TEXT_CHARS_MAX + 1)}, "longer than 2,000"),
    ],
)
def test_what_a_request_is_made_of_can_forbid_it(changed: dict[str, object], why: str) -> None:
    assert why in (ineligible(Features(QUESTION)._replace(**changed)) or "")


@pytest.mark.parametrize(
    "text",
    [
        "What is the latest version of Python?",
        "who won yesterday",
        "What time is it in Bern?",
        "What happened on 2026-11-22?",
        "Will it rain this weekend?",
        "Who was elected in 2024?",
    ],
)
def test_what_depends_on_the_day_may_not(text: str) -> None:
    assert "depends on when" in (ineligible(Features(text)) or "")


@pytest.mark.parametrize(
    "text",
    [
        "My name is Ada; greet me.",
        "I live in Bern, where do I vote?",
        "I'm 42, is that old?",
        "write to ada@example.org",
        "write to (a+b@c ada.l@example.org)",
        "call +41 44 123 45 67",
    ],
)
def test_what_is_personal_may_not_and_is_not_repeated(text: str) -> None:
    assert ineligible(Features(text)) == "it says something personal"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 17 + 25?", "What is 17 + 26?"),
        ("Translate 'dog' for Anna", "Translate 'dog' for Berta"),
        ('Translate "dog"', 'Translate "cat"'),
        ("May I enter?", "May I not enter?"),
        ("Open https://a.example", "Open https://b.example"),
        ("Explain `map`", "Explain `zip`"),
    ],
)
def test_questions_that_differ_in_a_literal_are_not_similar(one: str, other: str) -> None:
    assert literals(one) != literals(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('Translate "dog"2 now', 'Translate "dog"3 now'),
        ("Translate “dog”2 now", "Translate “dog”3 now"),
        ("Run `map`ada@here", "Run `map`bob@here"),
        ("Is “a “b” c” meant", "Is “a “d” c” meant"),
        ("Is a@b@c2 one", "Is a@b@c3 one"),
        ("See (x-17) there", "See (x-18) there"),
    ],
)
def test_a_literal_counts_wherever_it_begins(one: str, other: str) -> None:
    assert literals(one) != literals(other)


@pytest.mark.parametrize("one", ["“", "a", ".", "@", "a@", '"', "`", "a.", "x-", "“a", "I "])
def test_a_hostile_question_is_read_in_its_length(one: str) -> None:
    """No pattern goes back and forth over it: for most of these that would take hours."""
    assert "end17" in "".join(literals(one * 200_000 + " end17"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 17 plus 25?", "Add 25 and 17."),
        ("My card hasn't come", "the card did not arrive"),
        ("Can I top up?", "can i do a top up"),
        ("Where is Geneva", "Please say where Geneva is"),
    ],
)
def test_other_words_are_no_literals(one: str, other: str) -> None:
    assert literals(one) == literals(other)
