"""Requests as the cache doctor remembers them, from the messages that a test writes down."""

import json
from typing import Any

from jevons.core.chain import chain, identity
from jevons.core.marks import SYSTEM, TOOLS, Mark, mark, role_of
from jevons.policy.breaks import Request

SECRET = b"s" * 32
Messages = list[Any]


def raw(message: Any) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def marked(message: Any, role: str = "") -> Mark:
    """The mark of one message; a list is tools, a string a system prompt of its own."""
    text = raw(message)
    role = role or (TOOLS if isinstance(message, list) else SYSTEM if isinstance(message, str) else role_of(text))
    return mark(text, chain(SECRET, [text]).digests[0], identity(SECRET, text), role)


def request(messages: Messages, **more: Any) -> Request:
    return Request(tuple([marked(message) for message in messages]), sum(len(raw(message)) for message in messages), **more)


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}
