"""The tools that a request offers to a model: their names, which of them it forces, and the request without some of them.

Comes in: an `Ask`. Goes out: names, as `tool_calls` writes them, and a body in which every byte stands but those of the tools taken out.
Tools stand in `tools`, in Chat's `functions` and `web_search_options`, in Messages' `mcp_servers` and definitions inside of messages, in
Responses' `additional_tools` and `tool_search_output` items. Does not know: which are allowed.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.wire.body import read_fields, spans
from jevons.wire.errors import ANTHROPIC
from jevons.wire.tool_calls import built_in, of_server, qualified

_Fields = dict[str, msgspec.Raw]
_Keep = Callable[[str], bool]
_GIVEN_WITH_TOOLS = ("tool_choice", "parallel_tool_calls", "function_call")
"""Members that Chat refuses in a request without tools."""
_HOLDERS = ("additional_tools", "tool_search_output")
"""Input items of Responses that bring tools along."""
_ARRAYS = {
    Dialect.CHAT: ("tools", "functions"),
    Dialect.RESPONSES: ("tools",),
    Dialect.MESSAGES: ("tools", "mcp_servers"),
    Dialect.COUNT_TOKENS: ("tools", "mcp_servers"),
}
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class _Sifted(NamedTuple):
    """A part of a request without the tools that are not kept."""

    names: tuple[str, ...]
    """Of all tools that stood in it."""
    left: bytes | None
    """None: nothing is left of it."""


def tool_names(ask: Ask) -> tuple[str, ...]:
    """Every tool that the request offers, in order. Raises Refusal (400): a tool that is not one, or says a member twice."""
    names = [name for _, sifted in _members(ask, lambda _: True) for name in sifted.names]
    return tuple(dict.fromkeys([*names, *_defined_in_messages(ask)]))


def forced_tools(ask: Ask) -> tuple[str, ...]:
    """The tools of which the request wants one called; empty if it leaves that to the model."""
    choice = _choice(ask)
    if choice in (b'"required"', b'"any"'):
        return tool_names(ask)
    if not choice.startswith(b"{"):
        return ()
    fields = read_fields(choice)
    match _text(fields, "type"):
        case "any":
            return tool_names(ask)
        case "auto" | "none":
            return ()
        case "allowed_tools":
            allowed = _allowed_tools(fields)
            return _sifted(allowed.get("tools"), lambda _: True).names if _text(allowed, "mode") == "required" else ()
        case "mcp":
            return (of_server(_text(fields, "server_label"), _text(fields, "name") or "*"),)
    return _names(fields)


def without_tools(ask: Ask, names: Collection[str]) -> bytes:
    """The body without the tools of these names (as `tool_names` gives them). What becomes empty goes, and `tool_choice` with the last tool.

    A server or namespace goes whole if it lists no tools that could go one by one. Raises Refusal (403) if the request forces one of
    them, or defines it inside of its messages, where nothing can be taken out.
    """
    gone = frozenset(names)

    def kept(name: str) -> bool:
        return name not in gone

    forced = forced_tools(ask)
    if forced and not any(kept(name) and kept(_whole_set(name)) for name in forced):
        raise _not_allowed(forced, "tool_choice asks for a call", "tool_choice")
    if defined := [name for name in _defined_in_messages(ask) if not kept(name)]:
        raise _not_allowed(defined, "a message defines what it does", "messages")
    changes = {member: sifted.left for member, sifted in _members(ask, kept)}
    offered = tool_names(ask)
    if offered and gone.issuperset(offered):
        changes |= dict.fromkeys(_GIVEN_WITH_TOOLS if ask.dialect is Dialect.CHAT else _GIVEN_WITH_TOOLS[:1], None)
    elif (choice := _choice_of(ask, kept)) is not None:
        changes["tool_choice"] = choice
    return _rewritten(ask.body, ask.fields, changes)


def _members(ask: Ask, keep: _Keep) -> Iterator[tuple[str, _Sifted]]:
    """(name, what is left of it) of each member of the body that holds tools."""
    for member in _ARRAYS.get(ask.dialect, ()):
        if _is_given(ask.fields, member):
            yield member, _sifted(ask.fields[member], keep, member=member)
    if ask.dialect is Dialect.CHAT and _is_given(ask.fields, "web_search_options"):
        raw = bytes(ask.fields["web_search_options"])
        yield "web_search_options", _Sifted(("web_search",), raw if keep("web_search") else None)
    if ask.dialect is Dialect.RESPONSES and _may_bring_tools(ask.body):
        yield "input", _sifted_input(bytes(ask.fields["input"]), keep)


def _sifted(raw: msgspec.Raw | None, keep: _Keep, namespace: str = "", member: str = "tools") -> _Sifted:
    """An array of tools."""
    if raw is None:
        return _Sifted((), b"[]")
    names: list[str] = []
    left: list[bytes | None] = []
    items = _items(bytes(raw), member)
    for item in items:
        fields = _object(item, member)
        if _text(fields, "type") == "namespace" and "tools" in fields:
            inner = _sifted(fields["tools"], keep, _text(fields, "name"))
            found, rest = inner.names, inner.left and _rewritten(item, fields, {"tools": inner.left})
        else:
            found = (of_server(_text(fields, "name")),) if member == "mcp_servers" else _names(fields, namespace)
            rest = item if all(keep(name) for name in found) else None
        names += found
        left.append(rest)
    if left == items:
        return _Sifted(tuple(names), bytes(raw))
    return _Sifted(tuple(names), _array(bytes(raw), items, left) if any(left) else None)


def _sifted_input(raw: bytes, keep: _Keep) -> _Sifted:
    """The input of Responses: an `additional_tools` item goes with its last tool, a `tool_search_output` answers a call and stays."""
    if not raw.startswith(b"["):
        return _Sifted((), raw)
    names: list[str] = []
    left: list[bytes | None] = []
    items = _items(raw, "input")
    for item in items:
        fields = _object(item, "input") if _may_bring_tools(item) else {}
        if "tools" not in fields or _text(fields, "type") not in _HOLDERS:
            left.append(item)
            continue
        inner = _sifted(fields["tools"], keep)
        names += inner.names
        emptied = b"[]" if _text(fields, "type") == "tool_search_output" else None
        rest = inner.left or emptied
        left.append(rest and _rewritten(item, fields, {"tools": rest}))
    return _Sifted(tuple(names), _array(raw, items, left))


def _names(fields: _Fields, namespace: str = "") -> tuple[str, ...]:
    """What one tool is called by. Members that could both name it do: which of them counts is not ours to know."""
    kind = _text(fields, "type")
    if kind == "mcp":
        return _names_of_server(fields)
    if kind == "mcp_toolset":
        return (of_server(_text(fields, "mcp_server_name")),)
    if kind == "namespace":
        return (qualified(_text(fields, "name"), "*"),)
    names = [_text(_object(fields[member], member), "name") for member in ("function", "custom") if _is_given(fields, member)]
    if "name" in fields:
        names.append(qualified(namespace or _text(fields, "namespace"), _text(fields, "name")))
    if not names:
        names.append(f"{built_in(kind)}__*" if "_toolset_" in kind else built_in(kind))
    return tuple(names)


def _whole_set(name: str) -> str:
    """The name under which all tools of the same server are offered."""
    return qualified(name.rpartition("__")[0], "*")


def _names_of_server(fields: _Fields) -> tuple[str, ...]:
    """Of an MCP server of Responses: the tools that it is to offer if they are listed, else all."""
    listed = bytes(fields.get("allowed_tools", b"null"))
    if listed.startswith(b"{"):
        listed = bytes(_object(listed, "allowed_tools").get("tool_names", b"null"))
    tools = [_as_text(tool, "allowed_tools") for tool in _items(listed, "allowed_tools")] if listed.startswith(b"[") else []
    return tuple([of_server(_text(fields, "server_label"), tool) for tool in tools or ["*"]])


def _defined_in_messages(ask: Ask) -> tuple[str, ...]:
    """Messages lets a conversation bring tools along, defined by value in `tool_addition` blocks."""
    if ask.dialect not in ANTHROPIC or not _mentions(ask.body, b"tool_addition"):
        return ()
    names: list[str] = []
    for message in _items(bytes(ask.fields["messages"]), "messages"):
        content = bytes(_object(message, "messages").get("content", b""))
        for block in _items(content, "messages") if content.startswith(b"[") else ():
            fields = _object(block, "messages")
            if _text(fields, "type") == "tool_addition" and _is_given(fields, "tool"):
                tool = _object(fields["tool"], "tool")
                if _is_given(tool, "definition"):
                    names += _names(_object(tool["definition"], "definition"))
    return tuple(names)


def _may_bring_tools(raw: bytes) -> bool:
    return any(_mentions(raw, holder.encode()) for holder in _HOLDERS)


def _mentions(raw: bytes, word: bytes) -> bool:
    """False: it is not in there, however it is spelt."""
    return word in raw or _ESCAPED_ASCII.search(raw) is not None


def _choice(ask: Ask) -> bytes:
    """`tool_choice`, or `function_call` of the time before it; b"" if there is none."""
    member = "tool_choice" if _is_given(ask.fields, "tool_choice") or ask.dialect is not Dialect.CHAT else "function_call"
    if not _is_given(ask.fields, member):
        return b""
    raw = bytes(ask.fields[member])
    return msgspec.json.encode(_as_text(raw, member)) if raw.startswith(b'"') else raw


def _choice_of(ask: Ask, keep: _Keep) -> bytes | None:
    """A `tool_choice` that lists allowed tools, without those that go; None if it stays as it is."""
    choice = _choice(ask)
    fields = read_fields(choice) if choice.startswith(b"{") else {}
    if _text(fields, "type") != "allowed_tools":
        return None
    allowed = _allowed_tools(fields)
    left = _sifted(allowed.get("tools"), keep).left
    if left is None:
        return b'"none"'
    if "allowed_tools" not in fields:
        return _rewritten(choice, fields, {"tools": left})
    inner = _rewritten(bytes(fields["allowed_tools"]), allowed, {"tools": left})
    return _rewritten(choice, fields, {"allowed_tools": inner})


def _allowed_tools(choice: _Fields) -> _Fields:
    """Where mode and tools stand: Chat puts them one level deeper than Responses."""
    return _object(choice["allowed_tools"], "tool_choice") if _is_given(choice, "allowed_tools") else choice


def _rewritten(body: bytes, fields: _Fields, changes: dict[str, bytes | None]) -> bytes:
    """The object with members replaced where they stand, or taken out (None); all other bytes stay. Members that it has not are passed over."""
    position = body.index(b"{") + 1
    out, empty = bytearray(body[:position]), True
    for number, (name, (start, end)) in enumerate(spans(body, fields).items()):
        lead, position = body[position:start], end
        value = changes.get(name, body[start:end])
        if value is not None:
            out += (lead.replace(b",", b"", 1) if empty and number else lead) + value
            empty = False
    return bytes(out + body[position:])


def _array(raw: bytes, items: list[bytes], left: list[bytes | None]) -> bytes:
    """The array with items replaced or taken out (None); the bytes between those that stay, stay."""
    position = raw.index(b"[") + 1
    out, empty = bytearray(raw[:position]), True
    for item, rest in zip(items, left, strict=True):
        start = raw.index(item, position)  # between two items there are only spaces and a comma
        lead, position = raw[position:start], start + len(item)
        if rest is not None:
            out += (lead.replace(b",", b"") if empty else lead) + rest
            empty = False
    return bytes(out + raw[position:])


def _items(raw: bytes, member: str) -> list[bytes]:
    try:
        return [bytes(item) for item in _decode_list(raw)]
    except msgspec.DecodeError:
        raise invalid(f"{member} must be an array.", param=member) from None


def _object(raw: bytes | msgspec.Raw, member: str) -> _Fields:
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise invalid(f"{member} must be made of objects.", param=member)
    return read_fields(data)


def _is_given(fields: _Fields, name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"


def _text(fields: _Fields, name: str) -> str:
    return _as_text(bytes(fields[name]), name) if _is_given(fields, name) else ""


def _as_text(raw: bytes, name: str) -> str:
    try:
        return _decode_text(raw)
    except msgspec.DecodeError:
        raise invalid(f"{name} must be a string.", param=name) from None


def _not_allowed(names: Collection[str], why: str, param: str) -> Refusal:
    said = list(dict.fromkeys(names))
    subject = f"The tool {said[0]} is" if len(said) == 1 else f"The tools {', '.join(said)} are"
    return Refusal(
        Kind.PERMISSION,
        403,
        f"{subject} not allowed here, but {why}. Leave that out, or ask whoever runs this gateway to allow it.",
        code="tool_not_allowed",
        param=param,
    )
