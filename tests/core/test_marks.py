"""What is kept of a message: enough to say how another differs, and nothing that can be read."""

import json
from typing import Any

import pytest

from jevons.core.chain import chain, identity
from jevons.core.limits import MARK_WORDS_BYTES_MAX
from jevons.core.marks import Mark, mark, pieces_of, role_of

SECRET = b"s" * 32


def marked(message: Any, role: str) -> Mark:
    text = json.dumps(message).encode()
    return mark(text, chain(SECRET, [text]).digests[0], identity(SECRET, text), role)


@pytest.mark.parametrize(
    ("message", "role"),
    [
        ({"role": "user", "content": "hi"}, "user"),
        ({"role": "developer", "content": "be brief"}, "system"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "4"}]}, "tool"),
        ({"type": "function_call_output", "call_id": "c", "output": "4"}, "tool"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, "assistant"),
        ({"type": "message", "role": "assistant", "content": "yes"}, "assistant"),
        ("a Responses input that is a text", "user"),
        ({"role": 7}, "user"),
    ],
)
def test_who_speaks(message: Any, role: str) -> None:
    assert role_of(json.dumps(message).encode()) == role


def test_only_the_digits_differ() -> None:
    one, other = (
        marked({"role": "user", "content": "It is 10:07."}, "user"),
        marked({"role": "user", "content": "It is 23:41."}, "user"),
    )
    assert (one.digits, one.shape) == (other.digits, other.shape)
    assert (one.digest, one.identity, one.pieces) != (other.digest, other.identity, other.pieces)


def test_words_as_long_differ() -> None:
    one, other = marked("key=a7Xq", "system"), marked("key=Zz09", "system")
    assert one.digits != other.digits and one.shape == other.shape


def test_pieces() -> None:
    assert pieces_of(b'"one two"', "system") == [b'"one', b'two"']
    long = b'"' + b"word " * MARK_WORDS_BYTES_MAX + b'\\nend"'
    assert len(pieces_of(long, "system")) == 2
    assert pieces_of(rb'{"content":"a\nb c"}', "user") == [b'{"content":"a', b'b c"}']
    assert b"https://x/y?s=1" in pieces_of(b'{"image_url":{"url":"https://x/y?s=1"}}', "user")
    tools = (
        b'[{"function":{"description":"","name":"f"},"type":"function"},{"cache_control":{},"name":"g"}, {"type":"web_search"}]'
    )
    assert pieces_of(tools, "tools")[::2] == [b"f", b"g", b"web_search"]
    assert pieces_of(tools, "tools")[3] == b'{"name":"g"}'
    assert pieces_of(b'"no list"', "tools") == [b'"no list"']


def test_marks_moved_and_json_spelt_otherwise() -> None:
    plain = marked({"role": "user", "content": "hi"}, "user")
    wrapped = marked(
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}, "user"
    )
    turned = marked({"content": "hi", "role": "user"}, "user")
    assert plain.identity == wrapped.identity == turned.identity
    assert (plain.markup, turned.markup, wrapped.markup) == (0, 0, 3)
