"""The text that a client has seen of a stream: what is counted when no final usage came.

All that the model generated and we relayed: text, shown reasoning, refusals, tool names and arguments.
"""

import msgspec

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.reader import type_of
from jevons.wire.sse import events


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _ChatDelta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _ChatDelta | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None


class _BlockDelta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Block(msgspec.Struct):
    name: str | None = None


class _BlockEvent(msgspec.Struct):
    delta: _BlockDelta | None = None
    content_block: _Block | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_block = msgspec.json.Decoder(_BlockEvent).decode
_decode_delta = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def visible_text(dialect: Dialect, whole: bytes) -> str:
    """Everything generated in a run of whole events, joined. Events that cannot be read count as nothing."""
    pieces: list[str] = []
    for name, data, _ in events(whole):
        try:
            if dialect is Dialect.CHAT:
                pieces += _chat(data)
            elif dialect is Dialect.MESSAGES:
                pieces += _message(name or type_of(data), data)
            else:
                pieces += _response(name or type_of(data), data)
        except BAD_JSON:
            continue
    return "".join(pieces)


def _chat(data: bytes) -> list[str]:
    if not data.startswith(b"{"):
        return []
    pieces = []
    for choice in _decode_chunk(data).choices or ():
        delta = choice.delta or _ChatDelta()
        pieces += [text for text in (delta.content, delta.reasoning_content, delta.reasoning, delta.refusal) if text]
        for call in delta.tool_calls or ():
            if call.function:
                pieces += [text for text in (call.function.name, call.function.arguments) if text]
    return pieces


def _message(name: str, data: bytes) -> list[str]:
    if name not in ("content_block_delta", "content_block_start"):
        return []
    event = _decode_block(data)
    delta = event.delta or _BlockDelta()
    found = [delta.text, delta.thinking, delta.partial_json, event.content_block.name if event.content_block else None]
    return [text for text in found if text]


def _response(name: str, data: bytes) -> list[str]:
    if not name.endswith(".delta"):
        return []
    raw = _decode_delta(data).get("delta")
    return [msgspec.json.decode(raw, type=str)] if raw is not None and bytes(raw)[:1] == b'"' else []
