"""Marks for the provider's prompt cache: the client's own, found; ours, written.

Comes in: a request's messages and members as bytes. Goes out: what the client says of caching; or the members to change, as `wire.body.edit`
takes them. Bytes are put in between others, nothing is decoded and encoded again: without what was put in, the client's body is there as it was.

A mark stands on a block. Where a message is one plain text, that text is sent as a list of one block, which is the same message to the
provider; and so is every plain text before the last mark, so that a message keeps its bytes from turn to turn, whether the mark is
still on it or has moved on. Does not know: where marks pay, what is cached.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import Refusal
from jevons.wire.body import BAD_JSON, edit, read_fields

CACHE_CONTROL = "cache_control"
BREAKPOINT = "prompt_cache_breakpoint"
CACHE_KEY = "prompt_cache_key"
CACHE_OPTIONS = "prompt_cache_options"
ONLY_MARKS = b'{"mode":"explicit"}'
"""Of `prompt_cache_options`: nothing is cached, and billed as written, but what is marked."""

_NAMES = (b'"cache_control"', b'"prompt_cache_breakpoint"')
# In valid JSON these quotes are those of a key: within a text they would be escaped.
_MARK = rb'"(?:cache_control|prompt_cache_breakpoint)"\s*:\s*(?:null|\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})'
_MEMBER = re.compile(rb",\s*" + _MARK + rb"|" + _MARK + rb"\s*,\s*")
_ONE_TEXT = re.compile(
    rb'(\{[^][{}]{0,100}"content"\s*:\s*|)\[\s*\{\s*"type"\s*:\s*"(?:input_)?text"\s*,\s*"text"\s*:\s*("(?:[^"\\]++|\\.)*+")\s*\}\s*\](\s*\}|)',
    re.DOTALL,
)
"""A message, or a system prompt, of one block that says nothing but its text."""
_LEVELS = 3
"""A message or a tool, its blocks, the blocks of a tool's result: on each there may be a mark. In arguments and schemas it is only a name."""
_BETWEEN = re.compile(rb"[\s,]*")
_SYSTEM = re.compile(rb'\{\s*(?:"type"\s*:\s*"message"\s*,\s*)?"role"\s*:\s*"(?:system|developer)"')
_USUAL = re.compile(rb'\{"role": ?"\w+", ?"content": ?(?=["\[])')


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")


_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_content = msgspec.json.Decoder(_Message).decode
_decode_type = msgspec.json.Decoder(str).decode

_CARRIERS = {
    Dialect.MESSAGES: frozenset(
        {"text", "image", "document", "search_result", "tool_use", "tool_result", "server_tool_use", "web_search_tool_result"}
    ),
    Dialect.CHAT: frozenset({"text", "image_url", "input_audio", "file"}),
    Dialect.RESPONSES: frozenset({"input_text", "input_image", "input_file"}),
}
"""Types of blocks that may carry a mark (anthropic SDK 2.12, openai SDK 3.54). Thinking never does."""
_TEXT_TYPE = {Dialect.MESSAGES: b"text", Dialect.CHAT: b"text", Dialect.RESPONSES: b"input_text"}
_NOT_INPUT = b'"assistant"'
_HEADS = {
    Dialect.MESSAGES: ("tools", "system"),
    Dialect.CHAT: ("tools", "functions"),
    Dialect.RESPONSES: ("tools", "instructions"),
}
_ITEMS = {Dialect.MESSAGES: "messages", Dialect.CHAT: "messages", Dialect.RESPONSES: "input"}


class Mark(NamedTuple):
    """One mark: all up to the end of `Ask.messages[place]` is to be cached."""

    place: int
    ttl: str = ""
    """As the request names it; "" = the shortest."""


class Said(msgspec.Struct, frozen=True):
    """What a client says of the provider's prompt cache."""

    marks: tuple[Mark, ...] = ()
    """On blocks, in the order of messages; a message may have several."""
    whole: str | None = None
    """Messages: the lifetime that `cache_control` of the request itself names, which marks its end and moves with it; None = it has none."""
    options: bool = False
    """Chat, Responses: `prompt_cache_options` or `prompt_cache_retention`."""
    key: bool = False
    """Chat, Responses: `prompt_cache_key`."""

    @property
    def plans(self) -> bool:
        """It says itself what is to be kept: nobody else does."""
        return bool(self.marks) or self.whole is not None or self.options


NOTHING_SAID = Said()


def lifetimes(message: bytes) -> tuple[str, ...]:
    """Of the marks that a message carries; () for most. About 1 us per KB."""
    if not names_a_mark(message):
        return ()
    try:
        level = msgspec.json.decode(message)
    except BAD_JSON:
        return ()
    found: list[str] = []
    for _ in range(_LEVELS):
        blocks = [block for block in (level if isinstance(level, list) else [level]) if isinstance(block, dict)]
        found += [
            _ttl(mark) for block in blocks for name in (CACHE_CONTROL, BREAKPOINT) if isinstance(mark := block.get(name), dict)
        ]
        inside = [block.get("content") for block in blocks]
        level = [block for content in inside if isinstance(content, list) for block in content]
    return tuple(found)


def names_a_mark(raw: bytes) -> bool:
    """Might there be a mark in it? Certainly not, where this says so."""
    return any(name in raw for name in _NAMES)


def without_marks(message: bytes) -> bytes:
    """A message as a provider's cache knows it, wherever its client marks it: without marks; and a text that is the only block of its message as
    that text, since many clients write a block only where they mark it. About 0.3 us, and 1 us per KB where there is something to take out."""
    bare = _MEMBER.sub(b"", message) if names_a_mark(message) else message
    block = _ONE_TEXT.fullmatch(bare)
    return bare if block is None else b"".join(block.groups())


def blocks_in(message: bytes) -> int:
    """Of how many blocks it is, as a provider's look-back counts them: a plain text is one, tools are one each."""
    try:
        content = message if message[:1] in b'["' else bytes(_decode_content(message).content)
        return max(1, len(_decode_items(content))) if content[:1] == b"[" else 1
    except BAD_JSON:
        return 1


def opening(ask: Ask) -> int:
    """How many of its messages come before the conversation: tools, system prompts."""
    heads = sum(1 for name in _HEADS.get(ask.dialect, ()) if _given(ask.fields, name))
    for message in ask.messages[heads:]:
        if _SYSTEM.match(message) is None:
            break
        heads += 1
    return heads


def said(ask: Ask, marks: tuple[Mark, ...]) -> Said:
    """What the client says, the marks on its messages given (`lifetimes`)."""
    fields = ask.fields
    whole = _whole(fields) if ask.dialect is Dialect.MESSAGES and _given(fields, CACHE_CONTROL) else None
    options = _given(fields, CACHE_OPTIONS) or _given(fields, "prompt_cache_retention")
    key = _given(fields, CACHE_KEY)
    return Said(marks, whole, options, key) if marks or whole is not None or options or key else NOTHING_SAID


def _whole(fields: dict[str, msgspec.Raw]) -> str:
    mark = msgspec.json.decode(fields[CACHE_CONTROL])
    return _ttl(mark) if isinstance(mark, dict) else ""


def _ttl(mark: dict[str, object]) -> str:
    """As a mark names it; "" = the shortest."""
    named = mark.get("ttl")
    return named if isinstance(named, str) else ""


def mark_edit(
    fields: dict[str, msgspec.Raw], dialect: Dialect, marker: str, marks: Sequence[Mark]
) -> tuple[dict[str, bytes], tuple[Mark, ...]]:
    """The members to change so that these marks are set, and the marks that found a place.

    `fields` of the body that is sent, `dialect` its own; places as `Ask.messages` of that body counts. A mark finds none on a message
    that has no block for it (only thinking, no content), or says `marker` already, be it null.
    """
    wanted = {mark.place: _member(marker, mark.ttl) for mark in marks}
    last = max(wanted, default=-1)
    changes: dict[str, bytes] = {}
    placed: set[int] = set()
    heads = [name for name in _HEADS.get(dialect, ()) if _given(fields, name)]
    try:
        for place, name in enumerate(heads):
            member = wanted.get(place)
            done = _head(name, bytes(fields[name]), dialect, marker, member) if place <= last else None
            if done is not None:
                changes[name] = done
                placed |= {place} if member is not None else set()
        name = _ITEMS.get(dialect, "")
        if last >= len(heads) and bytes(fields.get(name, b""))[:1] == b"[":
            shifted = {place - len(heads): member for place, member in wanted.items()}
            array, found = _items(bytes(fields[name]), last - len(heads), dialect, marker, shifted)
            if found or array != bytes(fields[name]):
                changes[name] = array
                placed |= {place + len(heads) for place in found}
    except (*BAD_JSON, Refusal):
        return {}, ()  # whoever reads the body next says what is wrong with it
    if not placed:
        return {}, ()
    return changes, tuple([mark for mark in marks if mark.place in placed])


def _items(array: bytes, last: int, dialect: Dialect, marker: str, wanted: dict[int, bytes]) -> tuple[bytes, set[int]]:
    """An array of messages with marks on them, and the places of those that were set; each plain text up to `last` as a block."""
    parts, position, placed = [], 0, set()
    end = array.index(b"[") + 1
    for place, raw in enumerate(_decode_items(array)[: last + 1]):
        item = bytes(raw)
        between = _BETWEEN.match(array, end)
        assert between is not None
        start, end = between.end(), between.end() + len(item)
        member = wanted.get(place)
        done = _message(item, dialect, marker, member)
        if done is not None:
            parts += [array[position:start], done]
            position = end
            if member is not None:
                placed.add(place)
    return b"".join([*parts, array[position:]]), placed


def _message(item: bytes, dialect: Dialect, marker: str, member: bytes | None) -> bytes | None:
    """A message with its content marked, or, without a mark, its plain text as a block; None: it stays."""
    if dialect is Dialect.RESPONSES:
        if item[:1] != b"{":
            return None
    elif (usual := _USUAL.match(item)) is not None:  # most messages are read at a glance
        head, content = item[: usual.end()], item[usual.end() : -1]
        if content[:1] == b"[" and member is None:
            return None
        if _is_one_text(content):
            wrapped = _content(content, dialect, marker, member)
            return None if wrapped is None else head + wrapped + b"}"
    fields = read_fields(item)
    content = bytes(fields.get("content", b""))
    if dialect is Dialect.RESPONSES and (
        bytes(fields.get("role", _NOT_INPUT)) == _NOT_INPUT or bytes(fields.get("type", b'"message"')) != b'"message"'
    ):
        return None
    done = _content(content, dialect, marker, member)
    return None if done is None else edit(item, fields, {"content": done})


def _is_one_text(content: bytes) -> bool:
    """Certainly one JSON text; False also where it would take decoding to tell."""
    inside = content[1:-1]
    return content[:1] == b'"' == content[-1:] and b"\\\\" not in inside and inside.count(b'"') == inside.count(b'\\"')


def _head(name: str, raw: bytes, dialect: Dialect, marker: str, member: bytes | None) -> bytes | None:
    """Tools or system prompt with a mark at their end."""
    if dialect is not Dialect.MESSAGES:
        return None  # only blocks of content carry a breakpoint
    if name == "system":
        return _content(raw, dialect, marker, member)
    tools = _decode_items(raw) if member is not None else []
    if member is None or not tools or _says(tool := bytes(tools[-1]), marker) or _says(tool, "defer_loading"):
        return None
    start = raw.rindex(tool)
    return raw[:start] + _with(tool, member) + raw[start + len(tool) :]


def _content(content: bytes, dialect: Dialect, marker: str, member: bytes | None) -> bytes | None:
    """Content with a mark on its last block that may carry one; a plain text becomes a block, with or without."""
    if content[:1] == b'"' and len(content) > 2:
        block = b'{"type":"' + _TEXT_TYPE[dialect] + b'","text":' + content + b"}"
        return b"[" + (block if member is None else _with(block, member)) + b"]"
    if content[:1] != b"[" or member is None:
        return None
    end = len(content)
    for raw in reversed(_decode_items(content)):
        block = bytes(raw)
        start = content.rindex(block, 0, end)
        end = start
        if _says(block, marker):
            return None
        if _carries(block, dialect):
            return content[:start] + _with(block, member) + content[start + len(block) :]
    return None


def _carries(block: bytes, dialect: Dialect) -> bool:
    if block[:1] != b"{":
        return False
    fields = read_fields(block)
    kind = bytes(fields.get("type", b"null"))
    return kind[:1] == b'"' and _decode_type(kind) in _CARRIERS[dialect] and bytes(fields.get("text", b"")) != b'""'


def _says(block: bytes, name: str) -> bool:
    return name.encode() in block and name in read_fields(block)


def _with(block: bytes, member: bytes) -> bytes:
    """An object with one member more, at its end."""
    end = block.rindex(b"}")
    return block[:end] + b"," + member + block[end:]


def _member(marker: str, ttl: str) -> bytes:
    """The mark itself."""
    kind = b'"type":"ephemeral"' if marker == CACHE_CONTROL else b'"mode":"explicit"'
    return b'"' + marker.encode() + b'":{' + kind + (b',"ttl":"' + ttl.encode() + b'"' if ttl else b"") + b"}"


def _given(fields: dict[str, msgspec.Raw], name: str) -> bool:
    return name in fields and bytes(fields[name]) != b"null"
