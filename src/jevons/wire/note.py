"""A short note to the agent at the very end of a request: after everything that a provider's prompt cache may keep.

Comes in: a body, its members, a text. Goes out: the member to change, as `wire.body.edit` takes it. What stands before the last message
keeps its bytes, and so does the last message up to its end: a cached prefix stays one. Does not know: budgets.
"""

import msgspec

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON, edit, read_fields

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NOTED_ROLES = frozenset({"user", "tool"})


def note_edit(fields: dict[str, msgspec.Raw], dialect: Dialect, note: str) -> dict[str, bytes]:
    """The change that adds the note; {} where there is no place for it (the answer is begun already, or nothing is generated)."""
    name = "input" if dialect is Dialect.RESPONSES else "messages"
    raw = bytes(fields.get(name, b""))
    try:
        if dialect is Dialect.RESPONSES:
            return {name: _with_item(raw, note)}
        if dialect in (Dialect.CHAT, Dialect.MESSAGES) and (changed := _with_text(raw, note)) is not None:
            return {name: changed}
    except BAD_JSON:
        pass
    return {}


def _with_item(raw: bytes, note: str) -> bytes:
    """Responses: a message of its own after the last item; a plain text goes on."""
    if raw[:1] == b'"':
        return msgspec.json.encode(f"{msgspec.json.decode(raw, type=str)}\n\n{note}")
    item = msgspec.json.encode({"type": "message", "role": "user", "content": [{"type": "input_text", "text": note}]})
    return _appended(raw, item)


def _with_text(raw: bytes, note: str) -> bytes | None:
    """Chat and Messages: a text at the end of the last message, if it is a user's or a tool's: no dialect minds that."""
    items = _decode_items(raw)
    if not items:
        return None
    last = bytes(items[-1])
    message = read_fields(last)
    content = bytes(message.get("content", b""))
    if msgspec.json.decode(message.get("role", b"null")) not in _NOTED_ROLES or content[:1] not in (b'"', b"["):
        return None
    if content[:1] == b'"':
        told = msgspec.json.encode(f"{msgspec.json.decode(content, type=str)}\n\n{note}")
    else:
        told = _appended(content, msgspec.json.encode({"type": "text", "text": note}))
    start = raw.rindex(last)
    return raw[:start] + edit(last, message, {"content": told}) + raw[start + len(last) :]


def _appended(array: bytes, item: bytes) -> bytes:
    end = array.rindex(b"]")
    return array[:end] + (b"," if _decode_items(array) else b"") + item + array[end:]
