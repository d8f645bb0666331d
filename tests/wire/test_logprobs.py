"""Log-probabilities: asked for, read, and taken out again byte by byte."""

import json
from typing import Any

import msgspec
import pytest

from jevons.core.ask import Dialect
from jevons.wire.body import edit, read_fields
from jevons.wire.logprobs import asked_for, asking, tokens_of, without

CHAT, MESSAGES, RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES


def fields(**members: Any) -> dict[str, msgspec.Raw]:
    return read_fields(json.dumps(members).encode())


def one(token: str, logprob: float, *others: tuple[str, float]) -> dict[str, Any]:
    top = [{"token": token, "logprob": logprob}, *({"token": text, "logprob": p} for text, p in others)]
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": top}


def chat(*said: dict[str, Any], **choice: Any) -> dict[str, Any]:
    told = {"index": 0, "message": {"content": "x"}, "logprobs": {"content": list(said), "refusal": None}, **choice}
    return {"id": "1", "choices": [told, {"index": 1, "logprobs": None}], "usage": {}}


def response(*said: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": "x", "logprobs": list(said)}
    return {"output": [{"type": "reasoning", "summary": []}, {"type": "message", "content": [part, {"type": "refusal"}]}]}


@pytest.mark.parametrize("off", [{}, {"logprobs": False}, {"logprobs": None}, {"logprobs": False, "top_logprobs": 0}])
def test_chat_is_asked(off: dict[str, Any]) -> None:
    members = fields(model="m", **off)
    assert not asked_for(CHAT, members)
    body = json.dumps({"model": "m", **off}).encode()
    sent = json.loads(edit(body, members, dict(asking(CHAT, members))))
    assert sent == {"model": "m", "logprobs": True, "top_logprobs": 2}


def test_responses_are_asked_beside_what_they_include() -> None:
    more = dict(asking(RESPONSES, fields(include=["reasoning.encrypted_content"])))
    assert more == {"include": b'["reasoning.encrypted_content","message.output_text.logprobs"]', "top_logprobs": b"2"}
    assert asking(RESPONSES, fields(include=None))["include"] == b'["message.output_text.logprobs"]'
    assert asking(RESPONSES, fields(include="odd"))["include"] == b'["message.output_text.logprobs"]'


@pytest.mark.parametrize(
    ("dialect", "members"),
    [(CHAT, {"logprobs": True}), (RESPONSES, {"include": ["message.output_text.logprobs"]}), (MESSAGES, {"logprobs": True})],
)
def test_who_asks_for_them_gets_what_it_asked_for(dialect: Dialect, members: dict[str, Any]) -> None:
    """And Messages has none."""
    assert asking(dialect, fields(**members)) == {}
    assert asked_for(dialect, fields(**members)) is (dialect is not MESSAGES)


@pytest.mark.parametrize(("dialect", "told"), [(CHAT, chat), (RESPONSES, response)])
def test_tokens(dialect: Dialect, told: Any) -> None:
    said = [one("Par", -0.5, ("Lon", -2.0)), one("ïs", -0.25), one("!", -3.0, ("?", -1.0), (".", -1.5))]
    tokens = tokens_of(dialect, json.dumps(told(*said)).encode())
    assert [token.data for token in tokens] == [b"Par", "ïs".encode(), b"!"]
    assert [token.logprob for token in tokens] == [-0.5, -0.25, -3.0]
    assert [token.margin for token in tokens] == [1.5, None, -2.0], "below 0 where sampling took another"


def test_a_token_inside_of_a_character() -> None:
    half = {"token": "\ufffd", "logprob": -1, "bytes": [195], "top_logprobs": None}
    assert tokens_of(CHAT, json.dumps(chat(half)).encode())[0].data == b"\xc3"
    plain = {"token": "é", "logprob": -1}
    assert tokens_of(CHAT, json.dumps(chat(plain)).encode())[0].data == "é".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'{"choices":[]}', b'{"choices":[{"logprobs":null}]}', b'{"choices":[{"logprobs":{"content":null}}]}', b'{"choices":{}}',
        b'{"choices":[{"logprobs":{"content":[{"token":"a"}]}}]}',
        b'{"choices":[{"logprobs":{"content":[{"token":"a","logprob":0,"bytes":[999]}]}}]}', b'{"output":[{"content":null},{}]}', b"\xff",
    ],
)  # fmt: skip
def test_what_tells_none(body: bytes) -> None:
    """Never raises, and is left as it is unless it has a member of that name."""
    assert tokens_of(CHAT, body) == () and tokens_of(RESPONSES, body) == () and tokens_of(MESSAGES, body) == ()
    assert without(RESPONSES, body) == body and without(MESSAGES, body) == body
    assert b"content" not in without(CHAT, body) or b"output" in body


def test_they_are_taken_out_and_every_other_byte_stays() -> None:
    said = json.dumps(one("a", -0.5, ("b", -2.0)), indent=3)
    body = '{ "id" :1,\n"choices":[ {"a":"\\u00e9", "logprobs" : {"content":[]} , "z":[ ]},\n {"logprobs":null},{"index":2} ] , "n":1.50}'
    body = body.replace("[]", f"[{said}]")
    left = '{ "id" :1,\n"choices":[ {"a":"\\u00e9", "logprobs" : null , "z":[ ]},\n {"logprobs":null},{"index":2} ] , "n":1.50}'
    assert without(CHAT, body.encode()) == left.encode()
    body = '{"output":[{"content":[ {"text":"logprobs","logprobs":[]}, {"x":1}]},{"content":"odd"} ]}'.replace("[]", f"[{said}]")
    left = '{"output":[{"content":[ {"text":"logprobs","logprobs":[]}, {"x":1}]},{"content":"odd"} ]}'
    assert without(RESPONSES, body.encode()) == left.encode()


def test_two_alike() -> None:
    """Choices that are the same to the byte are each found in their place."""
    twice = b'{"choices":[{"logprobs":{"content":[]}},{"logprobs":{"content":[]}}]}'
    assert without(CHAT, twice) == b'{"choices":[{"logprobs":null},{"logprobs":null}]}'


def test_what_is_said_twice_is_left_alone() -> None:
    twice = b'{"choices":[{"logprobs":{},"logprobs":{}}]}'
    assert without(CHAT, twice) == twice
