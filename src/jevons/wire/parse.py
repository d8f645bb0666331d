"""Bytes of a request -> Ask: only what policy needs is decoded.

Raises Refusal (400) naming the member at fault. Does not know: prices, tokens, which upstream will answer.
"""

import json
import re
from typing import Any

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.limits import OUTPUT_TOKENS_MAX, TOOL_USES_MAX
from jevons.core.refusal import invalid
from jevons.wire.body import read_fields

_Fields = dict[str, msgspec.Raw]
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_str = msgspec.json.Decoder(str).decode
_decode_bool = msgspec.json.Decoder(bool | None).decode
_decode_count = msgspec.json.Decoder(int | None).decode
_decode_text = msgspec.json.Decoder(str | None).decode


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Thinking(msgspec.Struct):
    type: str = ""
    budget_tokens: int | None = None


class _Tool(msgspec.Struct):
    type: str = ""
    max_uses: int | None = None


_decode_stream_options = msgspec.json.Decoder(_StreamOptions | None).decode
_decode_thinking = msgspec.json.Decoder(_Thinking | None).decode

_ONE_INPUT = re.compile(rb'"|\[\s*\d')

SERVER_TOOLS = {
    "web_search": "web_searches",
    "web_fetch": "",
    "file_search": "storage_searches",
    "code_interpreter": "code_executions",
    "code_execution": "code_executions",
    "image_generation": "images",
    "computer_use": "",
    "mcp": "",
}
"""Prefix of a provider-run tool's `type` -> the unit it is billed by ("" = tokens only)."""


def parse(dialect: Dialect, body: bytes) -> Ask:
    """The request as policy sees it."""
    fields = read_fields(body)
    model = _required_text(fields, "model")
    stream = bool(_optional(fields, "stream", _decode_bool, "true or false"))
    match dialect:
        case Dialect.CHAT:
            return _chat(body, fields, model, stream)
        case Dialect.RESPONSES:
            return _responses(body, fields, model, stream)
        case Dialect.EMBEDDINGS:
            return Ask(dialect, model, False, body, fields, _items(fields, "input", text_too=True))
    return _messages(dialect, body, fields, model, stream)


def _chat(body: bytes, fields: _Fields, model: str, stream: bool) -> Ask:
    choices = _optional(fields, "n", _decode_count, "a whole number")
    choices = 1 if choices is None else choices
    if choices < 1 or choices > 128:
        raise invalid(f"n is {choices}; it must be between 1 and 128.", param="n")
    options = _optional(fields, "stream_options", _decode_stream_options, "an object")
    search = fields.get("web_search_options")
    return Ask(
        Dialect.CHAT,
        model,
        stream,
        body,
        fields,
        _parts(fields, ("tools", "functions"), (), _items(fields, "messages")),
        _extras(fields, "response_format"),
        output_cap=_largest_cap(fields, "max_tokens", "max_completion_tokens"),
        choices=choices,
        include_usage=bool(options and options.include_usage),
        service_tier=_optional(fields, "service_tier", _decode_text, "a string"),
        server_tools=(("web_searches", None),) if search is not None and bytes(search) != b"null" else (),
        reasons=_given(fields, "reasoning_effort"),
    )


def _responses(body: bytes, fields: _Fields, model: str, stream: bool) -> Ask:
    if _optional(fields, "background", _decode_bool, "true or false"):
        raise invalid(
            "background answers outlive their request, so that their cost could not be held; leave `background` out.",
            param="background",
        )
    previous = _optional(fields, "previous_response_id", _decode_text, "a string")
    calls_max = _optional(fields, "max_tool_calls", _decode_count, "a whole number")
    store = _optional(fields, "store", _decode_bool, "true or false")
    return Ask(
        Dialect.RESPONSES,
        model,
        stream,
        body,
        fields,
        _parts(fields, ("tools",), ("instructions",), _items(fields, "input", text_too=True)),
        _extras(fields, "text"),
        output_cap=_largest_cap(fields, "max_output_tokens"),
        service_tier=_optional(fields, "service_tier", _decode_text, "a string"),
        previous_response_id=previous,
        server_tools=_server_tools(fields, calls_max),
        remote_context=previous is not None
        or _given(fields, "prompt")
        or _given(fields, "conversation")
        or _mentions(body, b"file_id"),
        stored=store is not False,
        reasons=_given(fields, "reasoning"),
    )


def _messages(dialect: Dialect, body: bytes, fields: _Fields, model: str, stream: bool) -> Ask:
    thinking = _optional(fields, "thinking", _decode_thinking, "an object")
    cap = _largest_cap(fields, "max_tokens")
    if cap is None and dialect is Dialect.MESSAGES:
        raise invalid("max_tokens: Field required", param="max_tokens")
    thinks = thinking is not None and thinking.type not in ("", "disabled")
    if thinking is not None and (thinking.budget_tokens or 0) < 0:
        raise invalid("thinking.budget_tokens must not be negative.", param="thinking")
    return Ask(
        dialect,
        model,
        stream,
        body,
        fields,
        _parts(fields, ("tools",), ("system",), _items(fields, "messages")),
        _extras(fields, "output_config", "output_format"),
        output_cap=cap,
        thinking_budget=(thinking.budget_tokens or 0) if thinking and thinks else 0,
        reasons=thinks,
        service_tier=_optional(fields, "service_tier", _decode_text, "a string"),
        speed=_optional(fields, "speed", _decode_text, "a string"),
        server_tools=_server_tools(fields, None),
        remote_context=_mentions(body, b"file_id") or _given(fields, "mcp_servers"),
    )


def _parts(fields: _Fields, first: tuple[str, ...], then: tuple[str, ...], messages: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Tools, system and messages in the order in which providers cache them."""
    return (*(bytes(fields[name]) for name in (*first, *then) if _given(fields, name)), *messages)


def _extras(fields: _Fields, *names: str) -> tuple[bytes, ...]:
    return tuple([bytes(fields[name]) for name in names if _given(fields, name)])


def _items(fields: _Fields, name: str, *, text_too: bool = False) -> tuple[bytes, ...]:
    """Raw elements of an array member. A lone string, or an array of token ids, counts as one element where the dialect allows it."""
    raw = fields.get(name)
    if raw is None:
        raise invalid(f"{name}: Field required", param=name)
    if text_too and _ONE_INPUT.match(raw):
        return (bytes(raw),)
    try:
        return tuple([bytes(item) for item in _decode_list(raw)])
    except msgspec.DecodeError:
        raise invalid(f"{name} must be an array{' or a string' if text_too else ''}.", param=name) from None


def _server_tools(fields: _Fields, calls_max: int | None) -> tuple[tuple[str, int | None], ...]:
    """(billed unit, bound) of each provider-run tool. `max_uses` bounds one tool, `max_tool_calls` all of them."""
    raw = fields.get("tools")
    if raw is None or not (any(prefix.encode() in bytes(raw) for prefix in SERVER_TOOLS) or _ESCAPED_ASCII.search(raw)):
        return ()
    try:
        tools = msgspec.json.decode(raw, type=list[_Tool] | None) or []
    except msgspec.DecodeError as error:
        raise invalid(f"tools: {error}", param="tools") from None
    found: list[tuple[str, int | None]] = []
    for tool in tools:
        unit = next((unit for prefix, unit in SERVER_TOOLS.items() if tool.type.startswith(prefix)), "")
        if unit:
            bound = tool.max_uses if tool.max_uses is not None else calls_max
            if bound is not None and not 0 <= bound <= TOOL_USES_MAX:
                raise invalid(f"A tool's bound is {bound}; it must be between 0 and {TOOL_USES_MAX}.", param="tools")
            found.append((unit, bound))
    return tuple(found)


def _largest_cap(fields: _Fields, *names: str) -> int | None:
    caps = [cap for name in names if (cap := _optional(fields, name, _decode_count, "a whole number")) is not None]
    for cap in caps:
        if not 1 <= cap <= OUTPUT_TOKENS_MAX:
            raise invalid(f"{names[0]} is {cap}; it must be between 1 and {OUTPUT_TOKENS_MAX}.", param=names[0])
    return max(caps) if caps else None


def _mentions(body: bytes, name: bytes) -> bool:
    """Has any object of the body a member (or a text) of this name, however it is spelt?"""
    if b'"' + name + b'"' in body:
        return True
    return _ESCAPED_ASCII.search(body) is not None and f'"{name.decode()}"' in json.dumps(json.loads(body))


def _given(fields: _Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"


def _required_text(fields: _Fields, name: str) -> str:
    if name not in fields:
        raise invalid(f"{name}: Field required", param=name)
    try:
        text = _decode_str(fields[name])
    except msgspec.DecodeError:
        raise invalid(f"{name} must be a string.", param=name) from None
    if not text or len(text) > 256 or not text.isprintable():
        raise invalid(f"{name} must have 1 to 256 printable characters.", param=name)
    return text


def _optional(fields: _Fields, name: str, decode: Any, what: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decode(raw)
    except msgspec.DecodeError:
        raise invalid(f"{name} must be {what}.", param=name) from None
