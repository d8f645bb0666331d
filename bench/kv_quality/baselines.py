"""Codecs to be compared with: llama.cpp's rotated q4_0, and one that changes a single bit. Only their losses are of interest, so a payload
is simply what comes back, in half precision; `bytes_per_token` is what the format takes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jevons.engine.park.codec import codec_id, seal, unseal_for
from jevons.engine.park.states import Layout, Rows

BLOCK = 32
BITS = 4.5


class Baseline:
    """A codec but for `changed`: the rows as they come back."""

    def __init__(self, layout: Layout, name: bytes, bits: float) -> None:
        self.layout = layout
        self.id = codec_id(name)
        self.bytes_per_token = layout.bytes_per_token * bits / 16

    def changed(self, rows: Sequence[Rows]) -> list[Rows]:
        raise NotImplementedError

    def encode(self, tokens: NDArray[np.int32], rows: Sequence[Rows], start: int = 0) -> bytes:
        return seal(self.id, self.layout, tokens, [own.tobytes() for own in self.changed(rows)])

    def decode_into(self, payload: bytes | memoryview, rows: Sequence[Rows]) -> NDArray[np.int32]:
        block = unseal_for(self, payload, rows)
        at = 0
        for own in rows:
            own[:] = np.frombuffer(block.body[at : at + own.size], np.uint8).reshape(own.shape)
            at += own.size
        return block.tokens


class LastBit(Baseline):
    """The last bit of every element of the first layer's keys is turned over: how far predictions move when next to nothing is lost.

    Over quantised weights the engine rounds activations to 8 bits, and a change too small to matter still turns some of them over.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, b"last bit", 16)

    def changed(self, rows: Sequence[Rows]) -> list[Rows]:
        found = [own.copy() for own in rows]
        found[0][:, 0::2] ^= 1
        return found


class Q4(Baseline):
    """llama.cpp's q4_0 with its rotation: what parking in it would lose, had the context been read in half precision as ours is.

    Every head's vector through a Hadamard transform (no signs, no means), then blocks of 32 with a half-precision scale d, codes
    round(x/d) + 8 in 4 bits, d the element of largest magnitude / -8 (ggml-quants.c, quantize_row_q4_0_ref).
    """

    def __init__(self, layout: Layout, head: int) -> None:
        super().__init__(layout, b"q4_0", BITS)
        self._head = head
        self._rotation = hadamard(head)

    def changed(self, rows: Sequence[Rows]) -> list[Rows]:
        return [self._rounded(own) for own in rows]

    def _rounded(self, rows: Rows) -> Rows:
        vectors = rows.view(np.float16).astype(np.float32).reshape(-1, self._head) @ self._rotation
        blocks = vectors.reshape(-1, BLOCK)
        largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
        scale = largest / -8
        codes = np.zeros_like(blocks)
        np.divide(blocks, scale, out=codes, where=scale != 0)
        codes = np.clip(np.floor(codes + 8.5), 0, 15) - 8
        back = (codes * scale.astype(np.float16).astype(np.float32)).reshape(vectors.shape) @ self._rotation
        return back.astype(np.float16).reshape(len(rows), -1).view(np.uint8)


def hadamard(size: int) -> NDArray[np.float32]:
    """Orthogonal and symmetric: its own inverse."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.float32(np.sqrt(size))
