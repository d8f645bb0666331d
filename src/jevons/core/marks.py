"""What is kept of a message, so that it can be told later how another one differs from it. No text can be read back from it.

Comes in: a message's raw JSON, its digest and identity (core/chain.py). Goes out: a `Mark`. Two marks and the later message's text tell
what was changed (policy/volatile.py): only the digits, a word here, the spelling of the JSON, or everything.

The hashes are Python's own of bytes: SipHash under a secret that each process draws for itself, 64 bits, half a nanosecond a byte. So marks
mean something in one process only, which is the only place where they are kept. Does not know: conversations, causes.
"""

from array import array
from collections.abc import Sequence

import msgspec

from jevons.core.limits import MARK_WORDS_BYTES_MAX

TOOLS, SYSTEM, USER, ASSISTANT, TOOL = ("tools", "system", "user", "assistant", "tool")
OPENING = frozenset({TOOLS, SYSTEM})
"""Roles of what a conversation begins with, before anybody speaks."""

_ROLE_OF = {
    "user": USER,
    "assistant": ASSISTANT,
    "tool": TOOL,
    "function": TOOL,
    "system": SYSTEM,
    "developer": SYSTEM,
    "function_call": ASSISTANT,
    "function_call_output": TOOL,
    "reasoning": ASSISTANT,
}
"""A message's `role`, else (Responses) an item's `type`."""
_NO_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_SIGNS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NO_WORDS = bytes.maketrans(_SIGNS, b"a" * len(_SIGNS))
_HASH_BYTES = 8


class Mark(msgspec.Struct, frozen=True, gc=False):
    """One message."""

    digest: bytes
    """Of its raw bytes."""
    role: str
    size: int
    """Bytes."""
    identity: bytes
    """Equal for what people would call the same message: keys in another order, a `cache_control` moved, a string wrapped in a block."""
    markup: int = 0
    """Members that a client's cache marks and blocks consist of: tells a moved mark from JSON that is spelt differently."""
    digits: int = 0
    """Hash with every digit as 0; 0 = not looked at."""
    shape: int = 0
    """Hash with every letter and digit as "a"."""
    pieces: bytes = b""
    """A hash of 8 bytes for each of its `pieces_of`."""

    @property
    def hashes(self) -> Sequence[int]:
        """Of its pieces, in order."""
        return memoryview(self.pieces).cast("q")


class _Head(msgspec.Struct):
    role: str = ""
    type: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_tools = msgspec.json.Decoder(list[dict[str, object]]).decode


def mark(raw: bytes, digest: bytes, identity: bytes, role: str) -> Mark:
    """Of a message whose text is at hand. About 2 us + 1 us per KB; tools and system prompts are cut finer, 10 us per KB."""
    return Mark(
        digest,
        role,
        len(raw),
        identity,
        raw.count(b'"cache_control"') + raw.count(b'"type"'),
        hash(raw.translate(_NO_DIGITS)),
        hash(raw.translate(_NO_WORDS)),
        array("q", map(hash, pieces_of(raw, role))).tobytes(),
    )


def role_of(raw: bytes) -> str:
    """Who speaks in a message; "user" where nothing else is said (a Responses input that is one string)."""
    try:
        head = _decode_head(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return USER
    role = _ROLE_OF.get(head.role or head.type, USER)
    return TOOL if role == USER and b'"tool_result"' in raw else role


def pieces_of(raw: bytes, role: str) -> list[bytes]:
    """Tools: name and canonical JSON of each, in turn. A system prompt: its words, if it is not too long. Everything else: its lines, and
    what stands between quotes where one of them is an attachment's address."""
    if role == TOOLS:
        try:
            return [piece for tool in _decode_tools(raw) for piece in (_name(tool), _canonical(tool))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    if role == SYSTEM and len(raw) <= MARK_WORDS_BYTES_MAX:
        return raw.split(b" ")
    if b'url"' in raw:
        return raw.replace(b"\\n", b'"').split(b'"')
    return raw.split(b"\\n")


def _canonical(tool: dict[str, object]) -> bytes:
    return msgspec.json.encode({key: tool[key] for key in tool if key != "cache_control"}, order="deterministic")


def _name(tool: dict[str, object]) -> bytes:
    inner = tool.get("function")
    named = inner if isinstance(inner, dict) else tool
    return str(named.get("name") or tool.get("type")).encode()
