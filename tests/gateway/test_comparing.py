"""Two whole answers held against each other: by texts, by calls of tools, by how they ended."""

import asyncio
import json
from typing import Any

import pytest

from jevons.core.ask import Ask, Dialect
from jevons.core.limits import SCHEMA_BYTES_MAX
from jevons.gateway.comparing import NO_REPLY, End, Reply, compared, reply_of
from jevons.policy.grade import GOOD, HARM, UNDECIDED, Verdict
from jevons.wire.compared import Said
from jevons.wire.parse import parse

LONG = "Plants turn light, water and carbon dioxide into sugar; oxygen is set free by that."
ALSO = "Light, water and carbon dioxide are turned into sugar by plants, and oxygen is set free."
CALL, OTHER = '[["look",{"a":1}]]', '[["look",{"a":2}]]'


def asked(**members: Any) -> Ask:
    return parse(Dialect.CHAT, json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi."}], **members}).encode())


def reply(text: str, *, calls: bool = False, end: End = End.WHOLE) -> Reply:
    return Reply(end, Said(text, calls))


def verdict_of(ask: Ask, grader: str, answer: Reply, reference: Reply, **more: Any) -> Verdict | None:
    return asyncio.run(compared(ask, grader, answer, reference, **more))


def chat(content: str | None, finish: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": finish}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        (200, chat("Bern"), End.WHOLE),
        (200, chat("Ber", "length"), End.CUT),
        (200, chat(None, "content_filter"), End.NONE),
        (400, b"", End.NONE),
        (422, b"", End.NONE),
        (429, b"", None),
        (500, b"", None),
        (401, b"", None),
        (0, b"", None),
    ],
)
def test_what_a_model_made_of_it(status: int, body: bytes, end: End | None) -> None:
    found = reply_of(Dialect.CHAT, status, body)
    assert (found.end if found is not None else None) is end, "a network that failed is no model's doing"


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        (reply("Bern"), reply("bern."), GOOD),
        (reply("Bern"), reply("Zurich"), HARM),
        (reply("Bern"), NO_REPLY, None),
        (NO_REPLY, reply("Bern"), HARM),
        (reply("Ber", end=End.CUT), reply("Bern"), HARM),
        (reply("B", end=End.CUT), reply("B", end=End.CUT), GOOD),
        (reply("B"), reply("B", end=End.CUT), GOOD),
        (reply(LONG), reply(ALSO), UNDECIDED),
        (reply(CALL, calls=True), reply(CALL, calls=True), GOOD),
        (reply(CALL, calls=True), reply(OTHER, calls=True), HARM),
        (reply(CALL), reply(CALL, calls=True), HARM),
    ],
)
def test_by_their_words(answer: Reply, reference: Reply, verdict: Verdict | None) -> None:
    assert verdict_of(asked(), "same", answer, reference) == verdict


def test_long_texts_by_their_vectors_if_there_are_any() -> None:
    assert verdict_of(asked(), "same", reply(LONG), reply(ALSO), likeness=lambda _a, _b: 0.99) == GOOD
    assert verdict_of(asked(), "same", reply(LONG * 80), reply(LONG * 80)) == GOOD


def test_by_the_shape_that_was_asked_for() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"label": {"enum": ["card", "cash"]}}, "required": ["label"]}
    ask = asked(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert verdict_of(ask, "json", reply('{"label": "card"}'), reply('{"label":"card"}')) == GOOD
    assert verdict_of(ask, "json", reply('{"label": "gold"}'), reply('{"label": "card"}')) == HARM
    assert verdict_of(ask, "choice", reply("It is about a card."), reply('{"label": "card"}')) == GOOD


def test_a_very_long_schema_is_passed_over() -> None:
    schema = {"enum": ["card", "cash"], "description": "x" * SCHEMA_BYTES_MAX}
    ask = asked(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert verdict_of(ask, "json", reply('"gold"'), reply('"gold"')) == GOOD


def test_a_judge_is_asked_only_where_they_differ() -> None:
    asked_of: list[tuple[str, str]] = []

    async def judge(one: str, other: str) -> Verdict | None:
        asked_of.append((one, other))
        return GOOD

    assert verdict_of(asked(), "judge", reply("Bern"), reply("bern"), judge=judge) == GOOD and not asked_of
    assert verdict_of(asked(), "judge", reply("Bern"), reply("Zurich"), judge=judge) == GOOD
    assert verdict_of(asked(), "judge", reply(CALL), reply(CALL, calls=True), judge=judge) == GOOD
    assert verdict_of(asked(), "judge", NO_REPLY, reply("Bern"), judge=judge) == HARM
    assert asked_of == [("Bern", "Zurich"), (CALL, CALL)]
