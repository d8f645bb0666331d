"""The classifier: held-out questions of a few intents, wrong labels, questions of something else."""

import numpy as np
import pytest

from jevons.learn import softmax
from jevons.learn.student_classifier import Classifier, row
from jevons.learn.student_grams import CHARS_MAX, COLUMNS, folded, grams
from tests.learn.asked import INTENTS, embed, intents

TRAINED, LATER = intents(400), intents(100, seed=1)


def rows(pairs: list[tuple[str, str]]) -> np.ndarray:
    return np.stack([row(question, embed(question)) for question, _ in pairs])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.made(rows(TRAINED), [answer for _, answer in TRAINED])


def test_it_knows_questions_that_it_has_not_seen(classifier: Classifier) -> None:
    said = [classifier.answer(question, embed(question)) for question, _ in LATER]
    assert [one.text for one in said] == [answer for _, answer in LATER]
    assert classifier.answers == len(INTENTS) and min(one.score for one in said) > 0.5


def test_a_question_of_something_else_scores_lower(classifier: Classifier) -> None:
    known = [classifier.answer(question, embed(question)).score for question, _ in LATER]
    strange = ("What is the boiling point of ethanol?", "Sing me a song about the sea", "def f(x): return x + 1", "???")
    assert max(classifier.answer(question, embed(question)).score for question in strange) < min(known)


def test_a_few_wrong_labels_do_not_spoil_it() -> None:
    answers = [answer if place % 10 else "close_account" for place, (_, answer) in enumerate(TRAINED)]
    spoilt = Classifier.made(rows(TRAINED), answers)
    right = [spoilt.answer(question, embed(question)).text == answer for question, answer in LATER]
    assert sum(right) >= 0.97 * len(LATER)


def test_it_needs_a_vector(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="vector"):
        classifier.answer("Where is my card?", None)


def test_the_same_seed_gives_the_same_weights() -> None:
    some, classes = rows(TRAINED[:50]), np.arange(50) % 5
    assert np.array_equal(softmax.fit(some, classes, 5), softmax.fit(some, classes, 5))
    assert not np.array_equal(softmax.fit(some, classes, 5), softmax.fit(some, classes, 5, seed=1))


def test_probabilities_are_safe_from_large_numbers() -> None:
    assert softmax.probabilities(np.array([1e4, 0, -1e4], np.float32)).tolist() == [1, 0, 0]
    assert softmax.probabilities(np.zeros((2, 4), np.float32)).sum(axis=1).tolist() == [1, 1]


def test_grams_are_words_neighbours_and_pieces() -> None:
    assert grams("No no!") == {"wno", "w!", "nno no", "nno !", "<no", "no>", "<no>", "<!>"}
    assert folded("").shape == (COLUMNS,) and not folded("").any()
    assert np.isclose(np.linalg.norm(folded("where is it \ud800")), 1)
    assert np.array_equal(folded("a" * CHARS_MAX), folded("a" * 2 * CHARS_MAX))
