"""What a parked block looks like: the tokens and rows of up to `PARK_BLOCK_TOKENS` tokens as one sealed payload, and back into place.

In: tokens and row views of a `State`. Out: bytes that say what they are, which layout and which codec they were made for, with a checksum.
Does not know: keys, tenants, encryption; a payload's checksum finds accidents, not intent (what lies on a disk is encrypted and
authenticated by whoever puts it there).

    payload: 'JvK1', id of the codec (16 bytes), CRC-32 of everything after it, number of tokens, bytes of the layout (32 bits each),
             the layout, the tokens (int32), the body, which only its codec understands
"""

import hashlib
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jevons.engine.park.states import TYPE_F16, Layout, Rows

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"JvK1"
HEAD = struct.Struct("<4s16sIII")
CHECKED_FROM = 24
"""Where the checked part begins: behind magic, id and checksum; a wrong magic or id is seen without it."""

FAST = 1
"""zstd's level for the high bytes. On SmolLM2's keys and values level 3 takes 20 % longer for 0.5 % less; negative levels find nothing."""


class Corrupt(Exception):
    """This payload is damaged, or another codec's or layout's: it must be thrown away and its tokens computed again."""


class Codec(Protocol):
    """Blocks to payloads and back. Everything a payload's meaning depends on is in `id`, which is part of the keys of what is kept."""

    @property
    def id(self) -> bytes: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def bytes_per_token(self) -> float:
        """Of a full block's payload, or what it takes at most where that depends on the rows."""

    def encode(self, tokens: NDArray[np.int32], rows: Sequence[Rows], start: int = 0) -> bytes:
        """`tokens` int32 [n], `rows` one uint8 [n, row_bytes] per tensor of the layout; `start`: the first one's place in its conversation."""

    def decode_into(self, payload: bytes | memoryview, rows: Sequence[Rows]) -> NDArray[np.int32]:
        """Fill `rows`, writable views for exactly the payload's tokens, and return these. Raises `Corrupt`, before anything is written."""


@dataclass(frozen=True, slots=True)
class Block:
    """A payload's parts."""

    codec: bytes
    layout: Layout
    tokens: NDArray[np.int32]
    body: memoryview


def codec_id(*parts: bytes) -> bytes:
    """16 bytes that name a codec with all its parameters."""
    hashed = hashlib.blake2b(digest_size=16, person=b"jevons kv codec")
    for part in parts:
        hashed.update(struct.pack("<I", len(part)) + part)
    return hashed.digest()


def seal(codec: bytes, layout: Layout, tokens: NDArray[np.int32], body: Sequence[bytes]) -> bytes:
    packed = layout.pack()
    checked = [struct.pack("<II", len(tokens), len(packed)), packed, tokens.astype("<i4").tobytes(), *body]
    crc = 0
    for part in checked:
        crc = zlib.crc32(part, crc)
    return b"".join([MAGIC, codec, struct.pack("<I", crc), *checked])


def unseal(payload: bytes | memoryview) -> Block:
    """The parts of a payload whose checksum holds. Raises `Corrupt`."""
    view = memoryview(payload)
    if len(view) < HEAD.size or view[:4] != MAGIC:
        raise Corrupt("not a block of keys and values")
    _, codec, crc, count, layout_bytes = HEAD.unpack_from(view)
    if zlib.crc32(view[CHECKED_FROM:]) != crc:
        raise Corrupt("a block's checksum does not hold")
    tokens_at = HEAD.size + layout_bytes
    try:
        layout = Layout.unpack(bytes(view[HEAD.size : tokens_at]))
        tokens = np.frombuffer(view, "<i4", count, tokens_at).astype(np.int32, copy=False)
    except ValueError as error:
        raise Corrupt(f"a block's head is malformed: {error}") from None
    return Block(codec, layout, tokens, view[tokens_at + 4 * count :])


def unseal_for(codec: Codec, payload: bytes | memoryview, rows: Sequence[Rows]) -> Block:
    """The same, for a payload that this codec made and whose tokens fit these rows. Raises `Corrupt`."""
    block = unseal(payload)
    if (block.codec, block.layout) != (codec.id, codec.layout):
        raise Corrupt("a block was made by another codec, or for another engine")
    shapes = [(len(block.tokens), tensor.row_bytes) for tensor in block.layout.tensors]
    if [part.shape for part in rows] != shapes:
        raise Corrupt(f"a block holds {len(block.tokens)} tokens, not as many as were expected")
    return block


class Lossless:
    """Rows as they are. Of half-precision elements the high bytes (sign, exponent, two bits of the fraction) are compressed.

    The low bytes are noise, and so is everything in rows of a quantised type. On SmolLM2's states that leaves 0.86 of the bytes,
    for some 2 ms per block of 256 tokens each way.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.id = codec_id(b"lossless 1", layout.pack())

    @property
    def bytes_per_token(self) -> float:
        return self.layout.bytes_per_token + 4

    def encode(self, tokens: NDArray[np.int32], rows: Sequence[Rows], start: int = 0) -> bytes:
        halves = [part for part, tensor in zip(rows, self.layout.tensors, strict=True) if tensor.type == TYPE_F16]
        others = [part for part, tensor in zip(rows, self.layout.tensors, strict=True) if tensor.type != TYPE_F16]
        high = zstd.compress(b"".join(part[:, 1::2].tobytes() for part in halves), FAST)
        low = [part[:, 0::2].tobytes() for part in halves]
        whole = [part.tobytes() for part in others]
        return seal(self.id, self.layout, tokens, [struct.pack("<I", len(high)), high, *low, *whole])

    def decode_into(self, payload: bytes | memoryview, rows: Sequence[Rows]) -> NDArray[np.int32]:
        block = unseal_for(self, payload, rows)
        halves = [part for part, tensor in zip(rows, self.layout.tensors, strict=True) if tensor.type == TYPE_F16]
        others = [part for part, tensor in zip(rows, self.layout.tensors, strict=True) if tensor.type != TYPE_F16]
        try:
            (high_bytes,) = struct.unpack_from("<I", block.body)
            high = np.frombuffer(zstd.decompress(block.body[4 : 4 + high_bytes]), np.uint8)
        except (struct.error, zstd.ZstdError) as error:
            raise Corrupt(f"a block's body is malformed: {error}") from None
        rest = np.frombuffer(block.body[4 + high_bytes :], np.uint8)
        if len(high) != sum(part.size // 2 for part in halves) or len(rest) != len(high) + sum(part.size for part in others):
            raise Corrupt("a block's body has another size than its rows")
        at = 0
        for part in halves:
            size = part.size // 2
            part[:, 1::2] = high[at : at + size].reshape(len(part), part.shape[1] // 2)
            part[:, 0::2] = rest[at : at + size].reshape(len(part), part.shape[1] // 2)
            at += size
        for part in others:
            part[:] = rest[at : at + part.size].reshape(part.shape)
            at += part.size
        return block.tokens
