"""The compressed codec: keys and values by TurboQuant, each head's vector by itself, in the bits that a plan gives its tensor.

In: half-precision rows. Out: payloads as `codec.seal` makes them. A body holds the number of tokens that are kept as they are (32 bits) and
their rows, and then for every tensor, one after the other,

    means    float16 [width]      of the block's columns, subtracted before the rotation
    range    float32 [2]          logarithm of the smallest scale, and of the step from scale to scale
    scales   uint8 [n, heads]     0 for a vector of zeros, else i for exp(smallest + (i - 1)·step)
    codes    b bits each          one stream over the block, lowest bit first, in words of 64 bits

or the rows themselves where the plan leaves them as they are. So an element costs b + 8/d bits, and the 16 bits of a column and the 64 bits
of a tensor are shared by the block's tokens: b + 0.19 at d = 64 and 256 tokens, everything included.

Why means: keys have strong biases by channel (KIVI, arXiv 2402.02750); without them SmolLM2's keys keep 0.36 of their energy, which is
worth 0.7 bits and costs 0.06. Why 8 bits for a scale: where the largest is 1,000 times the smallest, rounding changes a vector's length by
at most 1.4 %, a squared error of 0.00006 beside the 0.009 of 4-bit codes; float16 would cost twice as much. The paper's outlier channels
would need a second scale per vector (0.13 bits); with the means gone they could win 0.2 bits for keys and 0.07 for values at the very best.

Why the first token is kept as it is: most heads rest their attention on a conversation's first token (Xiao and others, arXiv 2309.17453),
which is unlike all others, so it is far from the means and everything after it feels its error. With 3 bits on SmolLM2, keeping that one
token exact divides the divergence by two to four; keeping 4 or 16 brings no more on most texts.
Does not know: where payloads are kept, or why the plan is as it is.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from jevons.engine.park import kernels
from jevons.engine.park.codec import Corrupt, codec_id, seal, unseal_for
from jevons.engine.park.plan import AS_IS, Plan
from jevons.engine.park.states import Layout, Rows, Tensor, Unparkable
from jevons.quant.codebooks import codebook

FIRST = 1
"""Tokens at the beginning of a conversation that are kept as they are."""

SCALES = 256
COUNT = struct.Struct("<I")
RANGE = struct.Struct("<ff")


class Coded:
    """One tensor's share of a body: what is computed once per number of bits, and how many bytes go where."""

    def __init__(self, tensor: Tensor, head: int, bits: int) -> None:
        book = codebook(head, bits)
        self.bits = bits
        self.width = tensor.row_bytes // 2
        self.heads = self.width // head
        self.centroids = book.centroids
        self.magnitudes = book.magnitudes
        codes = np.arange(4**bits)
        self.pairs = (
            np.stack([book.centroids[codes % 2**bits], book.centroids[codes >> bits]], axis=1).view(np.uint64).reshape(-1)
        )

    def size(self, count: int) -> int:
        """Bytes of `count` tokens."""
        return 2 * self.width + RANGE.size + count * self.heads + 8 * self.words(count)

    def words(self, count: int) -> int:
        return count * self.width * self.bits // 64  # a head of 64 elements or more fills whole words

    def encode(self, rows: Rows, signs: NDArray[np.float32]) -> list[bytes]:
        halves = rows.view(np.uint16)
        means = np.empty(self.width, np.uint16)
        scales = np.empty((len(rows), self.heads), np.float32)
        words = np.empty(self.words(len(rows)), np.uint64)
        kernels.column_means(halves, means)
        if not kernels.encode_rows(halves, means, signs, self.magnitudes, self.centroids, self.bits, scales, words):
            raise Unparkable("The state has keys or values that are not finite numbers.")
        smallest, step, codes = quantise_scales(scales)
        return [means.tobytes(), RANGE.pack(smallest, step), codes.tobytes(), words.tobytes()]

    def decode_into(self, part: memoryview, rows: Rows, signs: NDArray[np.float32]) -> None:
        count = len(rows)
        range_at = 2 * self.width
        scales_at = range_at + RANGE.size
        words_at = scales_at + count * self.heads
        means = np.frombuffer(part, "<f2", self.width).astype(np.float32)
        smallest, step = RANGE.unpack_from(part, range_at)
        codes = np.frombuffer(part, np.uint8, count * self.heads, scales_at).reshape(count, self.heads)
        words = np.empty(self.words(count) + 1, np.uint64)
        words[:-1] = np.frombuffer(part, "<u8", len(words) - 1, words_at)
        words[-1] = 0
        scales = np.zeros(SCALES, np.float32)
        scales[1:] = np.exp(smallest + step * np.arange(SCALES - 1))
        kernels.decode_rows(words, self.bits, self.pairs, codes, scales, means, signs, rows.view(np.uint16))


class AsItIs:
    """A tensor that the plan leaves alone."""

    def __init__(self, tensor: Tensor) -> None:
        self.row_bytes = tensor.row_bytes

    def size(self, count: int) -> int:
        return count * self.row_bytes

    def encode(self, rows: Rows, _signs: NDArray[np.float32]) -> list[bytes]:
        return [rows.tobytes()]

    def decode_into(self, part: memoryview, rows: Rows, _signs: NDArray[np.float32]) -> None:
        rows[:] = np.frombuffer(part, np.uint8).reshape(rows.shape)


class Turbo:
    """A `Codec` that loses a little: how much is the plan's business, and the caller's to have measured.

    The loops are compiled at the first use (some seconds, then kept on disk); they release the interpreter's lock and use one core.
    """

    def __init__(self, layout: Layout, plan: Plan) -> None:
        """Raises `ValueError` if the plan is not for this layout."""
        plan.check(layout)
        self.layout = layout
        self.plan = plan
        self._signs = np.random.default_rng(plan.seed).choice(np.array([-1, 1], np.float32), plan.head)
        self._parts = [
            AsItIs(tensor) if bits == AS_IS else Coded(tensor, plan.head, bits)
            for tensor, bits in zip(layout.tensors, plan.bits, strict=True)
        ]
        centroids = [codebook(plan.head, bits).centroids.tobytes() for bits in sorted({*plan.bits} - {AS_IS})]
        self.id = codec_id(b"turbo 1", layout.pack(), plan.pack(), self._signs.tobytes(), *centroids)

    @property
    def bytes_per_token(self) -> float:
        return self.plan.bytes_per_token(self.layout)

    def encode(self, tokens: NDArray[np.int32], rows: Sequence[Rows], start: int = 0) -> bytes:
        """Raises `Unparkable` for rows that are not finite."""
        exact = min(max(FIRST - start, 0), len(tokens))
        body = [COUNT.pack(exact), *(own[:exact].tobytes() for own in rows)]
        if exact < len(tokens):
            for part, own in zip(self._parts, rows, strict=True):
                body += part.encode(own[exact:], self._signs)
        return seal(self.id, self.layout, tokens, body)

    def decode_into(self, payload: bytes | memoryview, rows: Sequence[Rows]) -> NDArray[np.int32]:
        block = unseal_for(self, payload, rows)
        count = len(block.tokens)
        exact = COUNT.unpack_from(block.body)[0] if len(block.body) >= COUNT.size else count + 1
        sizes = [exact * tensor.row_bytes for tensor in self.layout.tensors]
        sizes += [part.size(count - exact) for part in self._parts] if exact < count else []
        if exact > count or len(block.body) != COUNT.size + sum(sizes):
            raise Corrupt("a block's body has another size than its rows")
        ends = accumulate(sizes, initial=COUNT.size)
        pieces = [block.body[at:end] for at, end in pairwise(ends)]
        for own, piece in zip(rows, pieces[: len(rows)], strict=True):
            own[:exact] = np.frombuffer(piece, np.uint8).reshape(exact, own.shape[1])
        if exact < count:
            for part, own, piece in zip(self._parts, rows, pieces[len(rows) :], strict=True):
                part.decode_into(piece, own[exact:], self._signs)
        return block.tokens


def quantise_scales(scales: NDArray[np.float32]) -> tuple[float, float, NDArray[np.uint8]]:
    """Positive numbers on 255 logarithmic steps between the smallest and the largest of them, zeros as 0."""
    positive = scales > 0
    codes = np.zeros(scales.shape, np.uint8)
    if not positive.any():
        return 0.0, 0.0, codes
    logs = np.log(scales, where=positive, out=np.zeros_like(scales))
    smallest, largest = float(logs[positive].min()), float(logs[positive].max())
    step = (largest - smallest) / (SCALES - 2)
    codes[positive] = 1 + (np.rint((logs[positive] - smallest) / step) if step else 0)
    return smallest, step, codes
