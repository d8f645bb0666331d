"""What of two answers to one request is held against each other, and what the request says of their shape.

Comes in: the body of a whole answer, or a request, in any dialect. Goes out: a text, or the calls of tools as JSON; the JSON Schema that was asked
for, and the words of which an answer is to be one. Does not know: which of two answers is good.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.question import answer_text
from jevons.wire.tool_calls import calls_in
from jevons.wire.translate.broken import BrokenAnswer

CUT = frozenset({"length", "max_tokens", "model_context_window_exceeded", "incomplete:max_output_tokens"})
"""Why an answer ended, where it ended before it was done."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


class Said(NamedTuple):
    """What an answer says."""

    text: str
    calls: bool = False
    """It calls tools: the text is these calls, as JSON."""


def said(dialect: Dialect, body: bytes) -> Said | None:
    """None where nothing is said: a refusal, an empty answer, several at once, something that cannot be read."""
    try:
        calls = calls_in(dialect, body)
    except BrokenAnswer:
        return None
    if calls:
        return Said(
            _encode(sorted([[call.name, _arguments(call.arguments)] for call in calls], key=_encode)).decode(), calls=True
        )
    text = answer_text(dialect, body)
    return Said(text) if text is not None and text.strip() else None


def schema_of(ask: Ask) -> dict[str, Any] | None:
    """The JSON Schema that a request wants its answer to fit; None = it names none."""
    for extra in ask.extras:
        found = _decode(extra)
        for within in (found, _member(found, "json_schema"), _member(found, "format")):
            schema = _member(within, "schema")
            if isinstance(schema, dict):
                return schema
    return None


def labels_of(schema: dict[str, Any] | None) -> tuple[str, ...]:
    """The words of which an answer is to be one: those of the only `enum` of a schema. () = it has none, or several."""
    found = list(_enums(schema))
    return tuple(found[0]) if len(found) == 1 else ()


def _enums(schema: Any) -> Iterator[list[str]]:
    if isinstance(schema, list):
        for one in schema:
            yield from _enums(one)
    elif isinstance(schema, dict):
        words = schema.get("enum")
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            yield words
        for name, one in schema.items():
            if name not in ("enum", "const", "default", "examples"):
                yield from _enums(one)


def _member(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None


def _arguments(text: str) -> Any:
    """As JSON, so that the order of members and spaces do not count; as they stand, where they are none."""
    try:
        return _decode(text)
    except BAD_JSON:
        return text
