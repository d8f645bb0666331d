"""The question apart from the rest of a request, in every dialect; and the text of an answer, if it is nothing else."""

import json
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.wire.parse import parse
from jevons.wire.question import Question, answer_text, question_of

ASKED = "How long does a card take?"
DOORS = {Dialect.CHAT: "text", Dialect.MESSAGES: "text", Dialect.RESPONSES: "input_text"}


def question(dialect: Dialect, said: Any, **members: Any) -> Question | None:
    name = "input" if dialect is Dialect.RESPONSES else "messages"
    return question_of(parse(dialect, json.dumps({"model": "m", "max_tokens": 9, name: said, **members}).encode()))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("dialect", DOORS)
def test_the_last_words_of_a_user(dialect: Dialect) -> None:
    before = [user("Hello."), {"role": "assistant", "content": "Yes?"}]
    for content in (ASKED, [{"type": DOORS[dialect], "text": ASKED}]):
        found = question(dialect, [*before, user(content)])
        assert found is not None and found.text == ASKED
        assert ASKED.encode() not in found.rest and b"Hello." in found.rest and json.loads(found.rest)["model"] == "m"
        assert not (found.tools or found.tool_results or found.other_parts)
    assert question(dialect, before) is None


def test_an_input_that_is_a_text() -> None:
    found = question(Dialect.RESPONSES, ASKED)
    assert found == question(Dialect.RESPONSES, [user(ASKED)]) and found is not None and found.text == ASKED


@pytest.mark.parametrize("dialect", DOORS)
def test_two_questions_in_the_same_words_around_them_leave_the_same(dialect: Dialect) -> None:
    one, two = question(dialect, [user(ASKED)]), question(dialect, [user("Where is it?")])
    other = question(dialect, [user("Hello."), {"role": "assistant", "content": "Yes?"}, user(ASKED)])
    assert one is not None and two is not None and other is not None and one.rest == two.rest != other.rest


def test_several_texts_are_one_question() -> None:
    parts = [{"type": "text", "text": "How long"}, {"type": "text", "text": "does it take?"}]
    found = question(Dialect.MESSAGES, [user(parts)])
    assert (
        found is not None
        and found.text == "How long\ndoes it take?"
        and found.rest != question(Dialect.MESSAGES, [user("x")]).rest
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("dialect", "content", "members", "told"),
    [
        (
            Dialect.CHAT,
            [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": ASKED}],
            {},
            "other_parts",
        ),
        (Dialect.MESSAGES, [{"type": "tool_result", "tool_use_id": "t", "content": "42"}], {}, "tool_results"),
        (Dialect.CHAT, ASKED, {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        (Dialect.CHAT, None, {}, "other_parts"),
    ],
)
def test_what_else_there_is(dialect: Dialect, content: Any, members: dict[str, Any], told: str) -> None:
    found = question(dialect, [user(content)], **members)
    assert found is not None and getattr(found, told)


def test_what_a_tool_said_before_counts() -> None:
    said = [user("Look."), {"role": "tool", "tool_call_id": "t", "content": "42"}, user(ASKED)]
    found = question(Dialect.CHAT, said)
    assert found is not None and found.tool_results
    items = [{"type": "function_call_output", "call_id": "t", "output": "42"}, user(ASKED)]
    found = question(Dialect.RESPONSES, items)
    assert found is not None and found.tool_results


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.CHAT, {"choices": [{"message": {"role": "assistant", "content": "Two days."}}]}),
        (Dialect.MESSAGES, {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Two days."}]}),
        (
            Dialect.RESPONSES,
            {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "Two days."}]}]},
        ),
    ],
)
def test_the_text_of_an_answer(dialect: Dialect, body: dict[str, Any]) -> None:
    assert answer_text(dialect, json.dumps(body).encode()) == "Two days."


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.CHAT, {"choices": [{"message": {"content": "Two.", "tool_calls": [{"id": "t"}]}}]}),
        (Dialect.CHAT, {"choices": [{"message": {"content": None}}]}),
        (Dialect.CHAT, {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}),
        (Dialect.CHAT, {"choices": [{"message": {"content": "No.", "refusal": "No."}}]}),
        (Dialect.MESSAGES, {"content": [{"type": "text", "text": "Two."}, {"type": "tool_use", "id": "t"}]}),
        (Dialect.MESSAGES, {"content": []}),
        (Dialect.RESPONSES, {"output": [{"type": "function_call", "name": "f"}]}),
        (Dialect.RESPONSES, {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}),
        (Dialect.RESPONSES, {"output": 3}),
        (Dialect.EMBEDDINGS, {"data": []}),
    ],
)
def test_what_is_more_than_text_is_none(dialect: Dialect, body: dict[str, Any]) -> None:
    assert answer_text(dialect, json.dumps(body).encode()) is None


def test_no_json_has_no_text() -> None:
    assert answer_text(Dialect.CHAT, b"<html>") is None
