"""The extractor: spans, numbers, closed sets and constants from questions, in the teacher's own JSON."""

import json
from typing import Any

import numpy as np
import pytest

from jevons.learn.json_style import Style, read_object, style_of
from jevons.learn.student_classifier import row
from jevons.learn.student_extractor import Extractor
from jevons.learn.student_tagger import WORDS_MAX, Tagger, words_of
from tests.learn.asked import embed, orders

TRAINED, LATER = orders(400), orders(100, seed=1)


def made(pairs: list[tuple[str, str]]) -> Extractor | None:
    rows = np.stack([row(question, embed(question)) for question, _ in pairs])
    return Extractor.made([question for question, _ in pairs], rows, [answer for _, answer in pairs])


def said(extractor: Extractor, question: str) -> Any:
    answer = extractor.answer(question, embed(question))
    return None if answer is None else json.loads(answer.text)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    found = made(TRAINED)
    assert found is not None
    return found


def test_it_reads_orders_that_it_has_not_seen(extractor: Extractor) -> None:
    answers = [extractor.answer(question, embed(question)) for question, _ in LATER]
    right = [one is not None and one.text == answer for one, (_, answer) in zip(answers, LATER, strict=True)]
    assert sum(right) >= 95 and extractor.answers == 6
    assert said(extractor, "Please send 7 lamps to Zoe Quist in Bergen.") == {
        "quantity": 7, "item": "lamps", "customer": "Zoe Quist", "city": "BERGEN", "urgent": False, "version": 2,
    }  # fmt: skip


def test_what_is_no_order_scores_lower(extractor: Extractor) -> None:
    known = np.array([one.score for question, _ in LATER if (one := extractor.answer(question, embed(question)))])
    strange = extractor.answer("I would rather talk about the weather in spring and whether it rains", embed("weather"))
    assert strange is None or strange.score < np.quantile(known, 0.05)
    assert extractor.answer("word " * (WORDS_MAX + 1), embed("word")) is None
    with pytest.raises(ValueError, match="vector"):
        extractor.answer("7 lamps", None)


def test_what_is_missing_is_written_as_the_teacher_does() -> None:
    """null, an empty text, or no member at all."""
    for absent in ({"city": None}, {"city": ""}, {}):
        pairs = [
            (f"Send it to {city}" if city else "Send it soon", json.dumps({"city": city} if city else absent))
            for city in ("Paris", "Rome", "Oslo", "", "Lima", "Cairo", "") * 20
        ]
        found = made(pairs)
        assert found is not None
        assert said(found, "Send it soon") == absent and said(found, "Send it to Bonn") == {"city": "Bonn"}


def test_answers_that_stand_nowhere_make_no_student() -> None:
    words = ["once", "upon", "a", "time"]
    assert made([(f"Tell story {n}", json.dumps({"story": f"{words[n % 4]} {n * 7919}"})) for n in range(100)]) is None
    assert made([(f"Tell story {n}", f"{words[n % 4]} {n}") for n in range(100)]) is None
    assert made([(f"Tell story {n}", "{}") for n in range(100)]) is None


def test_a_few_slips_of_the_teacher_are_passed_over() -> None:
    """An answer that is no object, a member that stands once, a value that stands nowhere."""
    slips = [("Send 5 lamps to Jo Kim in Rome", "I am sorry."), ("Send 5 lamps to Jo Kim in Rome", '{"note": "?"}')]
    lost = [(question, answer.replace('"customer": "', '"customer": "Mx ')) for question, answer in orders(12, seed=5)]
    found = made(TRAINED + slips + lost)
    assert found is not None
    right = [said(found, question) == json.loads(answer) for question, answer in LATER]
    assert sum(right) >= 90


def test_every_style_is_found_again() -> None:
    one = {"a": "é", "b": [1, 2]}
    for fence in range(3):
        for spaces in range(4):
            for escaped in (False, True):
                style = Style(fence, spaces, escaped)
                assert style_of([style.write(one), "no object"]) == style and read_object(style.write(one)) == one
    assert read_object("[1]") is read_object("{") is None


def test_a_reading_follows_its_tags() -> None:
    """A field that would stand twice makes the reading worthless; no word is no field."""
    nothing = Tagger(np.zeros((2**14, 5), np.float32))
    assert nothing.read([]) == ((None, None), 1.0)
    words = words_of("one two three")
    assert 0 <= nothing.read(words).probability <= 1 and nothing.fields == 2
