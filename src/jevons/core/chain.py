"""The message chain: what stands in the ledger in place of the text.

Comes in: an installation secret and the raw JSON of tools, system and messages (`Ask.messages`). Goes out: keyed BLAKE2b digests
of 16 bytes, which say nothing to whoever lacks the secret.

    digest   of one message's raw bytes: what a token count is remembered by
    link     of a digest and the link before it: equal links = equal prefixes, byte for byte, as a provider's cache sees them
    identity of one message as people see it: equal although a client moved its `cache_control` or wrapped a string in a block
    loop key of a tool call and its result, without ids: equal = the agent did the same and learnt the same

Does not know: runs, where links are kept, what a token is.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

DIGEST_BYTES = 16
"""2**64 messages before two of one installation are likely to collide."""

VOLATILE_TEXTS = ("x-anthropic-billing-header:",)
"""Starts of text blocks that name a session, not a conversation (Claude Code's first system block; research: clients)."""

_IDS = frozenset({"id", "tool_use_id", "tool_call_id", "call_id"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_NO_LINK = bytes(DIGEST_BYTES)


class Chain(msgspec.Struct, frozen=True):
    """Digests and links of one request, in message order."""

    digests: tuple[bytes, ...]
    links: tuple[bytes, ...]

    @property
    def head(self) -> bytes:
        """The link that stands for the whole request; 16 zero bytes for an empty one."""
        return self.links[-1] if self.links else _NO_LINK


def chain(secret: bytes, messages: Sequence[bytes]) -> Chain:
    """Digest every message once, and chain the digests. About 2 us + 1.5 us per KB for each message."""
    digests = tuple([blake2b(raw, digest_size=DIGEST_BYTES, key=secret, person=b"message").digest() for raw in messages])
    return Chain(digests, links_after(secret, digests))


def identity(secret: bytes, message: bytes) -> bytes:
    """Identity link of one message (raw JSON), without `cache_control` and volatile blocks.

    A string and the list of one text block with that string are the same; the type names of text in the three dialects too.
    What cannot be decoded is the same only as its own bytes.
    """
    value = _decoded(message)
    if isinstance(value, dict) and "content" in value:
        value = {**value, "content": _blocks(value["content"])}
        value.pop("cache_control", None)
        if value.get("type") == "message":
            del value["type"]  # Responses items may say so or not
    elif isinstance(value, str | list):
        value = _blocks(value)
    return _keyed(secret, b"identity", value)


def identity_links(secret: bytes, messages: Sequence[bytes]) -> tuple[bytes, ...]:
    """Identity links chained: what tells that two requests belong to one conversation."""
    return links_after(secret, [identity(secret, message) for message in messages])


def links_after(secret: bytes, digests: Iterable[bytes], link: bytes = _NO_LINK) -> tuple[bytes, ...]:
    """One link per digest, chained on from `link`: what a longer request adds to the links of a shorter one."""
    keyed = blake2b(digest_size=DIGEST_BYTES, key=secret, person=b"link")
    links = []
    for digest in digests:
        hashed = keyed.copy()
        hashed.update(link + digest)
        link = hashed.digest()
        links.append(link)
    return tuple(links)


def loop_key(secret: bytes, tool: str, arguments: object, result: object) -> bytes:
    """Key of one tool call and its result; ids, key order and the spelling of the arguments (JSON text or object) do not count.

    `arguments` and `result` are decoded JSON. Arguments that are text but not JSON are taken as they stand.
    """
    if isinstance(arguments, str):
        arguments = _decoded(arguments)
    blocks = _blocks(result)
    if isinstance(blocks, list):
        blocks = [{k: v for k, v in b.items() if k not in _IDS} if isinstance(b, dict) else b for b in blocks]
    return _keyed(secret, b"loop", [tool, arguments, blocks])


def _decoded(text: str | bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text if isinstance(text, bytes) else [text]


def _keyed(secret: bytes, purpose: bytes, value: object) -> bytes:
    canonical = msgspec.json.encode(value, order="deterministic")
    return blake2b(canonical, digest_size=DIGEST_BYTES, key=secret, person=purpose).digest()


def _blocks(content: object) -> object:
    """Content as a list of blocks in one spelling."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        return content
    blocks = []
    for block in content:
        if not isinstance(block, dict):
            blocks.append(block)
            continue
        plain = {key: value for key, value in block.items() if key != "cache_control"}
        kind, text = plain.get("type"), plain.get("text")
        if isinstance(kind, str) and kind in _TEXT_TYPES and isinstance(text, str):
            if text.startswith(VOLATILE_TEXTS):
                continue
            plain["type"] = "text"
        elif "content" in plain:
            plain["content"] = _blocks(plain["content"])
        blocks.append(plain)
    return blocks
