"""What is compared of an answer, and the shape that a request asks for, in each dialect."""

import json
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.wire.compared import Said, labels_of, said, schema_of
from jevons.wire.parse import parse

SCHEMA = {"type": "object", "properties": {"label": {"type": "string", "enum": ["yes", "no"]}, "why": {"enum": [1, 2]}}}
SAY = [{"role": "user", "content": "Hi."}]


def chat(**message: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": None, **message}}]}).encode()


def called(arguments: str) -> dict[str, Any]:
    return {"type": "function", "id": "call_1", "function": {"name": "look", "arguments": arguments}}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.CHAT, chat(content="Bern")),
        (Dialect.MESSAGES, b'{"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Bern"}]}'),
        (Dialect.RESPONSES, b'{"output": [{"type": "message", "content": [{"type": "output_text", "text": "Bern"}]}]}'),
    ],
)
def test_a_text(dialect: Dialect, body: bytes) -> None:
    assert said(dialect, body) == Said("Bern")


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.CHAT, chat(tool_calls=[called('{"b": 2, "a": 1}')])),
        (
            Dialect.MESSAGES,
            b'{"content": [{"type": "text", "text": "So."}, {"type": "tool_use", "name": "look", "input": {"a": 1, "b": 2}}]}',
        ),
        (Dialect.RESPONSES, b'{"output": [{"type": "function_call", "name": "look", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}]}'),
    ],
)
def test_calls_are_one_text_however_they_are_spelt(dialect: Dialect, body: bytes) -> None:
    assert said(dialect, body) == Said('[["look",{"a":1,"b":2}]]', calls=True)


def test_calls_at_once_have_no_order() -> None:
    one, other = called('{"a": 1}'), called("not JSON")
    assert said(Dialect.CHAT, chat(tool_calls=[one, other])) == said(Dialect.CHAT, chat(tool_calls=[other, one]))


@pytest.mark.parametrize("body", [chat(refusal="I cannot."), chat(content=" "), chat(), b"{", b"[]", chat(tool_calls="x")])
def test_nothing_is_said(body: bytes) -> None:
    assert said(Dialect.CHAT, body) is None


@pytest.mark.parametrize(
    ("dialect", "members"),
    [
        (
            Dialect.CHAT,
            {"messages": SAY, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
        ),
        (Dialect.RESPONSES, {"input": "Hi.", "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}),
        (
            Dialect.MESSAGES,
            {"messages": SAY, "max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (Dialect.MESSAGES, {"messages": SAY, "max_tokens": 9, "output_format": {"type": "json_schema", "schema": SCHEMA}}),
    ],
)
def test_the_schema_of_a_request(dialect: Dialect, members: dict[str, Any]) -> None:
    found = schema_of(parse(dialect, json.dumps({"model": "m", **members}).encode()))
    assert found == SCHEMA
    assert labels_of(found) == ("yes", "no")


@pytest.mark.parametrize("form", [{"type": "json_object"}, "json", {"type": "json_schema", "json_schema": 3}, None])
def test_no_schema(form: object) -> None:
    ask = parse(Dialect.CHAT, json.dumps({"model": "m", "messages": SAY, "response_format": form}).encode())
    assert schema_of(ask) is None and labels_of(None) == ()


def test_of_several_enums_none_is_the_answers() -> None:
    assert labels_of({"anyOf": [{"enum": ["a"]}, {"enum": ["b"]}]}) == ()
    assert labels_of({"enum": ["a"], "default": {"enum": ["b"]}}) == ("a",)
