"""The nearest of many vectors by a flat scan over packed codes: no graph, no cells, nothing to train, so that what is added is found at once
and what is removed is gone at once.

In: vectors f32[d], d a multiple of 64, one at a time. Out: the number of the nearest stored one and its similarity. A vector is stored as its
4-bit TurboQuant code (turboquant.py) in bit planes, plane after plane: the first holds the signs of the rotated coordinates. In steps:

    64 signs of every vector         one word and one popcount each: the CLOSE nearest of all go on
    all d signs of these             the FINE nearest go on: equal signs of two directions at an angle θ are 1 − θ/π of all (Charikar, 2002)
    the 4 bits of these              ⟨q, x̂⟩ with the question unrounded, unbiased

It does not know what the vectors mean, whose they are, and how near is near enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import ArrayLike, NDArray

from jevons.quant.compiled import compiled
from jevons.quant.packing import unpack
from jevons.quant.turboquant import TurboQuant, single, vectors

Floats = NDArray[np.float32]
Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

BITS = 4
CLOSE = 2_048
FINE = 64
"""Of a million questions of people, each there twenty times in slightly other words, these two find what is nearest by 4 bits in 96 of 100 cases;
what is found in the others has a cosine that is smaller by 0.005 (make bench-similar)."""
CHUNK = 1 << 16
"""Vectors that stand together: adding one never copies more than these (8 MB), and their first words stay in a second-level cache."""
_FIRST = 2
"""Vectors that an empty store has room for: most have few."""
_WORD = 64
_BLOCK = 64
"""Vectors whose first words are compared before any is looked at."""
_TIES = 4
"""Of vectors that are equally far no more go on than so many times those wanted: a store may hold one text ten thousand times."""
_LIST = 16 * FINE
"""Those that are kept for the last step meanwhile; what is outside the bound by then is left out when it is full."""
_LINE = 512
"""Those that wait to be looked at closer: enough for many reads of memory to be under way at once."""
_SAMPLED = 32
"""One block of so many is looked at first, so that the bounds need not begin with everything."""


@dataclass(frozen=True)
class Code:
    """A vector as it is stored and as it is asked with."""

    planes: Words
    """u64[BITS · d/64]."""
    scale: np.float32
    rotated: Floats
    """f32[d], for asking only; it is not kept."""


class Coder:
    """Codes of vectors of `dim` coordinates; the same seed gives the same codes on any machine. It has no state: one serves every store."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        if dim % _WORD:
            raise ValueError(f"Signs are compared by words of {_WORD}; {dim} dimensions do not fill them.")
        self.dim = dim
        self._quantiser = TurboQuant(dim, BITS, seed=seed)
        self.centroids = self._quantiser.codebook.centroids

    def encode(self, x: ArrayLike) -> Code:
        """f32[d] -> its code. ValueError as in TurboQuant.encode."""
        rows = vectors(np.asarray(x)[None], self.dim)
        codes = self._quantiser.encode(rows)
        planes = np.empty(BITS * self.dim // _WORD, np.uint64)
        _to_planes(unpack(codes.packed, BITS, self.dim)[0], planes)
        return Code(planes, np.float32(codes.scales[0]), self._quantiser.rotation.forward(single(rows))[0])


class _Chunk:
    """Up to CHUNK vectors: first words, other words of signs, all other planes, lengths. Apart, so that each step reads only what it needs."""

    def __init__(self, room: int, dim: int) -> None:
        words = dim // _WORD
        self.first = np.empty(room, np.uint64)
        self.signs = np.empty((room, words - 1), np.uint64)
        self.rest = np.empty((room, (BITS - 1) * words), np.uint64)
        self.scales = np.empty(room, np.float32)

    def put(self, at: int, code: Code) -> None:
        words = self.signs.shape[1] + 1
        self.first[at], self.signs[at], self.rest[at] = code.planes[0], code.planes[1:words], code.planes[words:]
        self.scales[at] = code.scale

    def copy(self, to: slice | int, other: "_Chunk", of: slice | int) -> None:
        self.first[to], self.signs[to], self.rest[to], self.scales[to] = (
            other.first[of],
            other.signs[of],
            other.rest[of],
            other.scales[of],
        )

    def grown(self, dim: int) -> "_Chunk":
        every = slice(len(self.first))
        larger = _Chunk(min(2 * len(self.first), CHUNK), dim)
        larger.copy(every, self, every)
        return larger

    @property
    def nbytes(self) -> int:
        return self.first.nbytes + self.signs.nbytes + self.rest.nbytes + self.scales.nbytes


class Flat:
    """Stored vectors, numbered from 0 without gaps. Not for two threads at once."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder
        self._chunks: list[_Chunk] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """What is set aside for vectors, those to come included."""
        return sum(chunk.nbytes for chunk in self._chunks)

    def add(self, code: Code) -> int:
        """Store a vector; returns its number."""
        number, at = divmod(self._count, CHUNK)
        if number == len(self._chunks):
            self._chunks.append(_Chunk(CHUNK if number else _FIRST, self._coder.dim))
        elif at == len(self._chunks[number].first):
            self._chunks[number] = self._chunks[number].grown(self._coder.dim)
        self._chunks[number].put(at, code)
        self._count += 1
        return self._count - 1

    def remove(self, number: int) -> int:
        """Forget a vector. The last one takes its number; returns the number that the last one had."""
        if not 0 <= number < self._count:
            raise IndexError(f"There is no vector {number} of {self._count}.")
        last = self._count - 1
        end, end_at = self._chunks[last // CHUNK], last % CHUNK
        self._chunks[number // CHUNK].copy(number % CHUNK, end, end_at)
        self._count = last
        if end_at == 0:
            self._chunks.pop()
        return last

    def nearest(self, code: Code, count: int = 1) -> list[tuple[int, float]]:
        """Numbers and cosines of the `count` nearest, the nearest first; fewer if fewer are stored. Vectors are taken to be of unit length."""
        count = min(count, self._count, FINE)
        if not count:
            return []
        signs, sifting = code.planes[: self._coder.dim // _WORD], _Sifting(self._coder.dim)
        sizes = [min(self._count - number * CHUNK, CHUNK) for number in range(len(self._chunks))]
        if self._count > _SAMPLED * CLOSE:
            for chunk, size in zip(self._chunks, sizes, strict=True):
                _sample(chunk.first, size, signs[0], sifting.near)
            sifting.begin()
        for number, (chunk, size) in enumerate(zip(self._chunks, sizes, strict=True)):
            _sift(chunk.first, chunk.signs, chunk.rest, chunk.scales, size, number * CHUNK, signs, *sifting.arrays)
        numbers, products = np.full(count, -1, np.int64), np.full(count, -np.inf, np.float32)
        _rank(
            sifting.bounds, sifting.kept, sifting.planes, sifting.scales, code.rotated, self._coder.centroids, numbers, products
        )
        return list(zip(numbers.tolist(), products.clip(-1, 1).tolist(), strict=True))


class _Sifting:
    """What is known of one question while chunk after chunk is gone through."""

    def __init__(self, dim: int) -> None:
        self.near = np.zeros(_WORD + 1, np.int64)
        """How many vectors went on, by how many of their first 64 signs differ."""
        self.fine = np.zeros(dim + 1, np.int64)
        """How many of these were kept, by how many of all their signs differ."""
        self.bounds = np.array([_WORD, 0, dim, 0, 0], np.int64)
        """Differences with which a vector still goes on, and how many have; with which it is still kept, and how many are; the length of the lists."""
        self.kept = np.empty((_LIST, 2), np.int64)
        """Number and differences of each that was kept."""
        self.planes = np.empty((_LIST, BITS * dim // _WORD), np.uint64)
        self.scales = np.empty(_LIST, np.float32)
        self.line = np.empty((_LINE, 2), np.int64)
        """Position and differences of those that went on and are not looked at closer yet."""

    @property
    def arrays(self) -> tuple[Counts, Counts, Counts, Counts, Words, Floats, Counts]:
        return self.near, self.fine, self.bounds, self.kept, self.planes, self.scales, self.line

    def begin(self) -> None:
        """With what a sample shows: CLOSE are within the first bound, if the sample is like the rest."""
        self.bounds[0] = min(_WORD, int(np.searchsorted(self.near.cumsum() * _SAMPLED, CLOSE)))
        self.near[:] = 0


@compiled
def _sample(first: Words, count: int, question: np.uint64, near: Counts) -> None:
    """Differences of the first signs of every _SAMPLED-th block."""
    for start in range(0, count, _SAMPLED * _BLOCK):
        for i in range(start, min(start + _BLOCK, count)):
            near[_ones(first[i] ^ question)] += 1


@compiled
def _sift(
    first: Words,
    other: Words,
    rest: Words,
    lengths: Floats,
    count: int,
    offset: int,
    signs: Words,
    near: Counts,
    fine: Counts,
    bounds: Counts,
    kept: Counts,
    planes: Words,
    scales: Floats,
    line: Counts,
) -> None:
    """One chunk's vectors against a question's signs u64[d/64]. The bounds fall as nearer ones are found."""
    off, waiting = np.empty(_BLOCK, np.uint8), 0
    for start in range(0, count, _BLOCK):
        block = first[start : min(start + _BLOCK, count)]
        for i in range(block.shape[0]):
            off[i] = np.uint8(_ones(block[i] ^ signs[0]))
        least = off[0]
        for i in range(block.shape[0]):
            least = min(least, off[i])
        if least > bounds[0]:
            continue
        for i in range(block.shape[0]):
            if off[i] < bounds[0] or (off[i] == bounds[0] and bounds[1] < _TIES * CLOSE):
                _one_more(near, bounds, np.int64(off[i]), 0, CLOSE)
                line[waiting, 0], line[waiting, 1] = start + i, off[i]
                waiting += 1
        if waiting > line.shape[0] - _BLOCK:
            _look_closer(line[:waiting], first, other, rest, lengths, offset, signs, fine, bounds, kept, planes, scales)
            waiting = 0
    _look_closer(line[:waiting], first, other, rest, lengths, offset, signs, fine, bounds, kept, planes, scales)


@compiled
def _look_closer(
    line: Counts,
    first: Words,
    other: Words,
    rest: Words,
    lengths: Floats,
    offset: int,
    signs: Words,
    fine: Counts,
    bounds: Counts,
    kept: Counts,
    planes: Words,
    scales: Floats,
) -> None:
    """All signs of those in `line`. Two loops: nothing in the first waits for memory, so that many lines are on their way at once."""
    for i in range(line.shape[0]):
        at, differences = line[i, 0], line[i, 1]
        for w in range(1, signs.shape[0]):
            differences += np.int64(_ones(other[at, w - 1] ^ signs[w]))
        line[i, 1] = differences
    for i in range(line.shape[0]):
        at, differences = line[i, 0], line[i, 1]
        if differences > bounds[2] or (differences == bounds[2] and bounds[3] >= _TIES * FINE):
            continue
        _one_more(fine, bounds, differences, 2, FINE)
        if bounds[4] == _LIST:
            _shorten(bounds, kept, planes, scales)
        k = bounds[4]
        bounds[4] += 1
        kept[k, 0], kept[k, 1] = offset + at, differences
        planes[k, 0], scales[k] = first[at], lengths[at]
        for w in range(other.shape[1]):
            planes[k, w + 1] = other[at, w]
        for w in range(rest.shape[1]):
            planes[k, signs.shape[0] + w] = rest[at, w]


@compiled
def _one_more(counts: Counts, bounds: Counts, differences: np.int64, which: int, wanted: int) -> None:
    """Count one in; bounds[which] becomes the least within which there are as many as wanted."""
    counts[differences] += 1
    bounds[which + 1] += 1
    while bounds[which + 1] - counts[bounds[which]] >= wanted:
        bounds[which + 1] -= counts[bounds[which]]
        bounds[which] -= 1


@compiled
def _shorten(bounds: Counts, kept: Counts, planes: Words, scales: Floats) -> None:
    """Leave out of the lists what is outside the bound by now."""
    length = 0
    for i in range(bounds[4]):
        if kept[i, 1] <= bounds[2]:
            kept[length] = kept[i]
            planes[length] = planes[i]
            scales[length] = scales[i]
            length += 1
    bounds[4] = length


@compiled
def _rank(
    bounds: Counts,
    kept: Counts,
    planes: Words,
    scales: Floats,
    rotated: Floats,
    centroids: Floats,
    numbers: Counts,
    products: Floats,
) -> None:
    """⟨q, x̂⟩ of those that were kept: the greatest, in order, with their numbers."""
    words = rotated.shape[0] // _WORD
    one = np.uint64(1)
    for i in range(bounds[4]):
        if kept[i, 1] > bounds[2]:
            continue
        total = np.float32(0)
        for w in range(words):
            a, b, c, d = planes[i, w], planes[i, words + w], planes[i, 2 * words + w], planes[i, 3 * words + w]
            for j in range(_WORD):
                k = np.uint64(j)
                code = ((a >> k) & one) * 8 + ((b >> k) & one) * 4 + ((c >> k) & one) * 2 + ((d >> k) & one)
                total += centroids[code] * rotated[_WORD * w + j]
        total *= scales[i]
        place = numbers.shape[0]
        while place > 0 and total > products[place - 1]:
            place -= 1
            if place + 1 < numbers.shape[0]:
                numbers[place + 1], products[place + 1] = numbers[place], products[place]
        if place < numbers.shape[0]:
            numbers[place], products[place] = kept[i, 0], total


@compiled
def _to_planes(codes: NDArray[np.uint8], planes: Words) -> None:
    """u8[d] codes of 4 bits -> u64[4 · d/64], the highest bits first."""
    words = codes.shape[0] // _WORD
    planes[:] = 0
    for plane in range(BITS):
        for j in range(codes.shape[0]):
            bit = np.uint64(codes[j] >> (BITS - 1 - plane)) & np.uint64(1)
            planes[plane * words + j // _WORD] |= bit << np.uint64(j % _WORD)


@intrinsic
def _popcount(_typing: Any, word: Any) -> Any:
    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit


_ones = cast(Callable[[Any], int], _popcount)
"""The ones of a word, one instruction (of eight words where the processor has AVX-512); numba calls it without the typing context."""
