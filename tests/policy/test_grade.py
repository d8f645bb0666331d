"""Graders: what is as good as the reference, what is harm, what cannot be decided; and a judge's reply in all its spellings."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.policy.grade import (
    GOOD,
    HARM,
    JSON_STEPS_MAX,
    NEITHER,
    UNDECIDED,
    TooLong,
    Verdict,
    agreed,
    choice_in,
    fits,
    grade,
    number_in,
    verdict_in,
)

LONG = "Plants turn light, water and carbon dioxide into sugar; oxygen is set free by that."
ALSO = "Light, water and carbon dioxide are turned into sugar by plants, and oxygen is set free."
LABELS = ("card_arrival", "card_not_working", "card")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("grader", "answer", "reference", "verdict"),
    [
        ("same", "The answer is 42.", "42", GOOD),
        ("same", "Yes", "No", HARM),
        ("same", LONG, ALSO, UNDECIDED),
        ("judge", "Yes", "yes.", GOOD),
        ("exact", " Bern\n", "Bern", GOOD),
        ("exact", "bern", "Bern", HARM),
        ("number", "6 * 7 makes 42 in all.", "#### 42.00", GOOD),
        ("number", "42", "43", HARM),
        ("number", "I cannot say.", "#### 42", HARM),
        ("number", "42", "I cannot say.", UNDECIDED),
        ("choice", "**B.** The second one, because A is not.", "The answer is (B) Paris.", GOOD),
        ("choice", "A", "B", HARM),
        ("choice", LONG, "B", HARM),
        ("choice", "B", LONG, UNDECIDED),
        ("json", '{"a": 1, "b": [true, "x"]}', '{"b": [true, "x"], "a": 1.0}', GOOD),
        ("json", '```json\n{"a": 1}\n```', '```\n{"a": 1}\n```', GOOD),
        ("json", '```json\n{"a": 1}\n```', '{"a": 1}', HARM),
        ("json", '{"a": 1}', '```json\n{"a": 1}\n```', GOOD),
        ("json", '{"a": 1}', '{"a": true}', HARM),
        ("json", '{"a": [1, 2]}', '{"a": [2, 1]}', HARM),
        ("json", '{"a": [1]}', '{"a": [1, 1]}', HARM),
        ("json", '{"a": 1}', '{"b": 1}', HARM),
        ("json", "Of course!", '{"a": 1}', HARM),
        ("json", '{"a": 1}', "Of course!", UNDECIDED),
        ("json", "[" * 900 + "]" * 900, "[" * 900 + "]" * 900, UNDECIDED),
    ],
)
def test_verdicts(grader: str, answer: str, reference: str, verdict: Verdict) -> None:
    assert grade(grader, answer, reference) == verdict


def test_long_answers_are_told_apart_by_their_vectors() -> None:
    assert grade("same", LONG, ALSO, similarity=0.99) == GOOD
    assert grade("same", LONG, ALSO, similarity=0.5) == HARM


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        ('{"name": "Ada", "age": null}', '{"age": null, "name": "Ada"}', GOOD),
        ('{"name": "Ada"}', '{"name": "Eve"}', HARM),
        ('{"age": 36}', '{"name": "Ada"}', HARM),
        ('{"name": "Ada"}', '{"age": 36}', GOOD),
        ('{"name": 1}', "Ada", NEITHER),
    ],
)
def test_an_answer_that_fits_the_schema_is_good_where_the_reference_does_not(
    answer: str, reference: str, verdict: Verdict
) -> None:
    assert grade("json", answer, reference, schema=PERSON) == verdict


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She has 3 + 4 = 7 apples", Fraction(7)),
        ("The answer is 42 apples, in 3 baskets.", Fraction(42)),
        ("The answer is 6 * 7 = 42", Fraction(42)),
        ("The answer is: many.\nAt least 12", Fraction(12)),
        ("Answer: 5\nNo, wait.\nAnswer: 6", Fraction(6)),
        ("$1,234,567.50", Fraction("1234567.5")),
        ("it costs -$5", Fraction(-5)),
        ("minus \u22125", Fraction(-5)),
        ("16-3", Fraction(3)),
        ("3,14", Fraction("3.14")),
        ("0,125", Fraction("0.125")),
        ("1,2,3", "1,2,3"),
        ("1.2.3", "1.2.3"),
        ("3/4 of it", Fraction(3, 4)),
        ("1/0", "1/0"),
        ("2e3", Fraction(2000)),
        ("9" * 5000, "9" * 5000),
        ("none", None),
    ],
)
def test_numbers(text: str, number: object) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("text", "labels", "choice"),
    [
        ("B", (), "B"),
        ("b", (), "B"),
        ("(C)", (), "C"),
        ("D) Paris", (), "D"),
        ("The answer is **A**.", (), "A"),
        ("A man of honour", (), "a man of honour"),
        ("Card arrival!", (), "card arrival"),
        (LONG, (), ""),
        ("card_arrival", LABELS, "card_arrival"),
        ('{"label": "Card_Arrival"}', LABELS, "card_arrival"),
        ("The answer is card, not card_arrival", LABELS, ""),
        ("I think card_not_working it is", LABELS, "card_not_working"),
        ("no such thing", LABELS, ""),
        ("not a card problem", ("card", "not a card"), "not a card"),
        ("...", ("", "card"), ""),
    ],
)
def test_choices(text: str, labels: tuple[str, ...], choice: str) -> None:
    assert choice_in(text, labels) == choice


def test_labels_decide() -> None:
    assert grade("choice", "It is card_arrival.", "card_arrival", labels=LABELS) == GOOD


@pytest.mark.parametrize(
    ("value", "schema", "holds"),
    [
        (1, {"type": "integer"}, True),
        (1.0, {"type": "integer"}, True),
        (1.5, {"type": "integer"}, False),
        (True, {"type": "integer"}, False),
        (1.5, {"type": "number"}, True),
        (True, {"type": "number"}, False),
        (True, {"type": "boolean"}, True),
        (None, {"type": "null"}, True),
        ([1], {"type": "array", "items": {"type": "integer"}}, True),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, False),
        ("x", {"type": "object"}, False),
        ("x", {"type": "of-the-future"}, True),
        ("x", {"enum": ["x", "y"]}, True),
        ("z", {"enum": ["x", "y"]}, False),
        (1, {"const": 1}, True),
        (1, {"const": True}, False),
        (1, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
        (None, {"oneOf": [{"type": "string"}, {"type": "integer"}]}, False),
        (1, {"allOf": [{"type": "integer"}, {"enum": [2]}]}, False),
        ({"name": "Ada"}, PERSON, True),
        ({"name": "Ada", "more": 1}, PERSON, False),
        ({"age": 1}, PERSON, False),
        ({"a": 1}, {"properties": 3, "required": "a"}, True),
        ({}, {}, True),
    ],
)
def test_schemas(value: Any, schema: dict[str, Any], holds: bool) -> None:
    assert fits(value, schema) is holds


MANY = JSON_STEPS_MAX // 20


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ([1] * MANY, {"items": {"anyOf": [{"type": "null"}] * 30 + [{"type": "integer"}]}}),
        ([1] * MANY, {"items": {"anyOf": [0] * 30 + [{"type": "integer"}]}}),
        ([1] * MANY, {"items": {"enum": [*range(30, 0, -1)]}}),
        ([1] * MANY, {"items": {"type": ["null"] * 30 + ["integer"]}}),
        ([{}] * MANY, {"items": {"properties": {str(n): {} for n in range(30)}}}),
        ([{"a": 1}] * MANY, {"items": {"required": ["a"] * 30}}),
    ],
)
def test_a_schema_that_takes_long_decides_nothing(value: list[Any], schema: dict[str, Any]) -> None:
    assert fits(value[:100], schema)
    with pytest.raises(TooLong):
        fits(value, schema)
    assert grade("json", json.dumps(value), json.dumps(value), schema=schema) == UNDECIDED


def test_json_that_is_too_long_decides_nothing() -> None:
    some, many = json.dumps([1] * (JSON_STEPS_MAX - 1)), json.dumps([1] * JSON_STEPS_MAX)
    assert (grade("json", some, some), grade("json", many, many)) == (GOOD, UNDECIDED)


@pytest.mark.parametrize(
    "reply", ["A", "a\nA.", "(A)", "**A**", "Answer: A", "The final verdict is: A", '{"verdict": "A"}', "Both try.\n\nA\n"]
)
def test_a_judge_says_one_letter(reply: str) -> None:
    assert verdict_in(reply, swapped=False) == GOOD
    assert verdict_in(reply, swapped=True) == HARM


@pytest.mark.parametrize(
    "reply", ["", "\n", "E", "A or B", "a", "Answer 1 is good.", "A\nbecause of that", "A" + " " * 100, "-" * 60 + "x", "AB"]
)
def test_anything_else_is_no_verdict(reply: str) -> None:
    assert verdict_in(reply, swapped=False) is None


def test_both_and_neither_are_the_same_either_way_round() -> None:
    for swapped in (False, True):
        assert verdict_in("C", swapped=swapped) == GOOD
        assert verdict_in("D", swapped=swapped) == NEITHER


def test_a_judge_must_say_the_same_of_both_orders() -> None:
    assert agreed(GOOD, GOOD) == GOOD
    assert agreed(HARM, GOOD) == agreed(None, None) == agreed(GOOD, None) == UNDECIDED
    assert UNDECIDED.harm, "no promise leans on what nobody knows"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON, JSON)
def test_json_is_the_same_whatever_the_order_of_its_members(a: Any, b: Any) -> None:
    said, ordered = json.dumps(a), json.dumps(a, sort_keys=True, indent=1)
    assert grade("json", said, ordered) == GOOD
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (grade("json", said, json.dumps(b)) == GOOD) is same


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["same", "exact", "number", "choice", "json"]), st.text(max_size=40), st.text(max_size=40))
def test_whatever_models_write_is_graded(grader: str, answer: str, reference: str) -> None:
    verdict = grade(grader, answer, reference)
    assert verdict in (GOOD, HARM, NEITHER, UNDECIDED) and not (verdict.good and verdict.harm)
