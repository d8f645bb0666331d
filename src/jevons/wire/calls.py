"""What an agent did, as its requests repeat it: tool calls, their results, and what was said.

Comes in: one raw message of `Ask.messages` (Chat, Responses, Messages). Goes out: its parts, in the order in which they came about.
Definitions of tools, system and developer messages, reasoning, and whatever cannot be read have none.
Does not know: which message is the next, runs, loops.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from jevons.core.ask import Dialect


class Call(msgspec.Struct, frozen=True):
    """The model called a tool."""

    id: str
    name: str
    arguments: object
    """Decoded JSON; the JSON text where the dialect sends text."""


class Result(msgspec.Struct, frozen=True):
    """The call of this id came back with this."""

    id: str
    content: object


class Said(msgspec.Struct, frozen=True):
    """The text of one message. Its images and files stand in it as their JSON, so that other images are another text."""

    role: str
    """"user" or "assistant"."""
    text: str


Part = Call | Result | Said

_TEXT = frozenset({"text", "input_text", "output_text"})
_UNSEEN = frozenset({"thinking", "redacted_thinking", "reasoning"})
_SPEAKERS = frozenset({"user", "assistant"})
_CODEX_HEAD = re.compile(r"(?:Chunk ID: [^\n]*\n)?Wall time: [^\n]*\n")
"""Codex begins the output of a command with an id and a duration, which differ every time (codex-rs, `ExecCommandToolOutput`)."""


def parts(dialect: Dialect, message: bytes) -> tuple[Part, ...]:
    """Calls, results and texts of one message; none if it has none or cannot be read. About 1 us + 1 us per KB."""
    read = _READERS.get(dialect)
    if read is None:
        return ()
    try:
        value = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(read(value)) if isinstance(value, dict) else ()


def _chat(message: dict[str, Any]) -> Iterable[Part]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        return (Result(_str(message.get("tool_call_id")), content),)
    if role == "user":
        return (Said("user", _text(content)),)
    if role == "function":
        return (Result(_str(message.get("name")), content),)
    if role != "assistant":
        return ()
    found: list[Part] = []
    for call in _objects(message.get("tool_calls")):
        tool = call.get("function") or call.get("custom")
        if isinstance(tool, dict):
            found.append(Call(_str(call.get("id")), _str(tool.get("name")), tool.get("arguments", tool.get("input"))))
    function = message.get("function_call")
    if isinstance(function, dict):  # before tools there were functions, one at a time and without an id
        name = _str(function.get("name"))
        found.append(Call(name, name, function.get("arguments")))
    text = _text(content) or _text(message.get("refusal"))
    return [Said("assistant", text), *found] if text or not found else found


def _messages(message: dict[str, Any]) -> Iterable[Part]:
    role, content = _str(message.get("role")), message.get("content")
    if role not in _SPEAKERS:
        return ()
    if isinstance(content, str):
        return (Said(role, content),)
    found: list[Part] = []
    rest: list[object] = []
    for block in _objects(content):
        kind = _str(block.get("type"))
        if kind.endswith("tool_use"):
            found.append(Call(_str(block.get("id")), _str(block.get("name")), block.get("input")))
        elif kind.endswith("tool_result"):
            found.append(Result(_str(block.get("tool_use_id")), block.get("content")))
        else:
            rest.append(block)
    text = _text(rest)
    return [Said(role, text), *found] if text or not found else found


def _responses(item: dict[str, Any]) -> Iterable[Part]:
    kind, role = item.get("type", "message"), _str(item.get("role"))
    if kind == "message":
        return (Said(role, _text(item.get("content"))),) if role in _SPEAKERS else ()
    if not isinstance(kind, str):
        return ()
    if kind.endswith("_output"):
        return (Result(_str(item.get("call_id")), _without_codex_head(item.get("output"))),)
    if not kind.endswith("_call"):
        return ()
    names = ("arguments", "input", "action", "operation", "queries", "code")
    call = Call(
        _str(item.get("call_id") or item.get("id")),
        _str(item.get("name")) or kind,
        next((item[name] for name in names if name in item), None),
    )
    if kind == "mcp_call":  # the provider called it: one item has both
        return (call, Result(call.id, item.get("output") or item.get("error")))
    return (call,)


def _without_codex_head(output: object) -> object:
    if isinstance(output, str) and (head := _CODEX_HEAD.match(output)):
        return output[head.end() :]
    return output


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, dict):
            texts.append(str(block))
        elif (kind := _str(block.get("type"))) in _TEXT and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind not in _UNSEEN:
            plain = {key: value for key, value in block.items() if key != "cache_control"}
            texts.append(msgspec.json.encode(plain, order="sorted").decode())
    return "\n".join(texts)


def _objects(values: object) -> Iterable[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


_READERS: dict[Dialect, Callable[[dict[str, Any]], Iterable[Part]]] = {
    Dialect.CHAT: _chat,
    Dialect.RESPONSES: _responses,
    Dialect.MESSAGES: _messages,
}
