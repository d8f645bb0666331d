"""Group affine quantisation: every block of neighbouring weights shares one scale and one zero point, in half precision.

Comes in: weights f32[rows, columns]. Goes out: packed codes with their scales, and the weights they stand for:

    w ≈ scale · (code - zero)        bits per weight = bits + (bits of scale + bits of zero) / block

`by_range` stretches the codes over what each block holds, from its least to its greatest weight: no weight is off by more than half a step (and a rounding).
`by_search` tries narrower steps too and keeps the one with the least squared error, each column weighed by what it is multiplied with.
This is what model files contain (ggml.py reads theirs), and the baseline that TurboQuant is held against. It does not know what weights are for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jevons.quant.packing import pack, unpack

Array = NDArray[np.float32]

BITS = (2, 3, 4, 8)
SCALE_BITS = 16
HALF_MAX = 65_504
"""The greatest number of half precision."""
BLOCKS_AT_ONCE = 4_096
"""A search holds some ten arrays of as many blocks; at 32 weights each they stay in a second-level cache."""
ROUNDING = 2.0**-20
"""A range this little wider than its codes still counts as covered. So weights that came out of such blocks go back in unchanged, although
their least and greatest were rounded to single precision."""
NARROWER = np.linspace(1.0, 0.4, 13, dtype=np.float32)
"""Steps to try, as shares of the step that covers the block: at 2 bits the best is often half of it, at 8 the first."""


@dataclass(frozen=True)
class Format:
    """How a block is written. Symmetric blocks have no zero point of their own: code 2^(bits-1) is zero, as in ggml's Q4_0."""

    bits: int
    block: int = 32
    affine: bool = True

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"codes of {self.bits} bits are not offered; take one of {', '.join(map(str, BITS))}")
        if self.block < 8 or self.block % 8:
            raise ValueError(f"a block of {self.block} weights does not fill whole bytes; take a multiple of 8")

    @property
    def top(self) -> int:
        """The greatest code; the least is 0."""
        return (1 << self.bits) - 1

    @property
    def zero(self) -> int:
        """The code of zero in a symmetric block."""
        return 1 << (self.bits - 1)

    @property
    def bits_per_weight(self) -> float:
        """Everything stored, divided by the weights."""
        return self.bits + SCALE_BITS * (1 + self.affine) / self.block


@dataclass(frozen=True)
class Blocks:
    """Quantised weights. `floors` holds what code 0 stands for, -scale · zero, as ggml's files do: one addition instead of a subtraction.

    codes u8[blocks, block · bits / 8], packed as packing.py says; scales and floors f16[blocks].
    """

    format: Format
    shape: tuple[int, ...]
    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    floors: NDArray[np.float16] | None

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes + (0 if self.floors is None else self.floors.nbytes)

    def decode(self) -> Array:
        """The weights that the codes stand for, f32 in the original shape."""
        codes = unpack(self.codes, self.format.bits, self.format.block)
        scales = self.scales.astype(np.float32)
        floors = -scales * self.format.zero if self.floors is None else self.floors.astype(np.float32)
        return _values(codes, scales, floors).reshape(self.shape)


def by_range(weights: Array, form: Format) -> Blocks:
    """Codes stretched over each block's range. Scale and floor are rounded outwards to half precision, so that they still cover it.

    Raises ValueError if rows are not whole blocks, or a weight is not finite or beyond half precision (65,504).
    """
    parts = [_encoded(block, *_covering(block, form), form) for block, _ in _batches(weights, None, form)]
    return _joined(parts, weights.shape, form)


def by_search(weights: Array, form: Format, importance: Array | None = None) -> Blocks:
    """Of several steps, each refitted to its codes by least squares, the one with the least Σ importance · error² in each block.

    `importance` is f32[columns], the mean square of what multiplies each column (llama.cpp calls it an importance matrix); without it all
    weights count alike. In spirit ggml's make_qkx2_quants (ggml-quants.c); never worse than `by_range` by that sum. Raises ValueError like it.
    """
    parts = [_encoded(block, *_searched(block, weigh, form), form) for block, weigh in _batches(weights, importance, form)]
    return _joined(parts, weights.shape, form)


def _batches(weights: Array, importance: Array | None, form: Format) -> Iterator[tuple[Array, Array | None]]:
    """f32[some blocks, block], and the importance of each of these weights."""
    if weights.shape[-1] % form.block:
        raise ValueError(
            f"rows of {weights.shape[-1]} weights are not whole blocks of {form.block}; take a block that divides them"
        )
    if not np.isfinite(weights).all() or np.abs(weights).max(initial=0) > HALF_MAX:
        raise ValueError("a weight is not a number that half precision holds (65,504 at most); such a tensor stays as it is")
    if importance is not None and importance.shape != weights.shape[-1:]:
        raise ValueError(f"{importance.shape} numbers say how important {weights.shape[-1]} columns are; one each is needed")
    blocks = weights.reshape(-1, form.block).astype(np.float32, copy=False)
    of_row = None if importance is None else np.ascontiguousarray(importance, np.float32).reshape(-1, form.block)
    for start in range(0, max(len(blocks), 1), BLOCKS_AT_ONCE):
        some = blocks[start : start + BLOCKS_AT_ONCE]
        yield some, None if of_row is None else of_row[np.arange(start, start + len(some)) % len(of_row)]


def _covering(blocks: Array, form: Format) -> tuple[Array, Array]:
    """The smallest scale and the floor, both in half precision, whose codes reach every weight of each block: f32[blocks] twice."""
    least, greatest = blocks.min(axis=1), blocks.max(axis=1)
    if form.affine:
        floors = _half_outwards(least, -HALF_MAX)
        return _half_outwards((greatest - floors) / form.top * np.float32(1 - ROUNDING), HALF_MAX), floors
    # Below zero there is one code more than above it: the longer tail gets it, by the sign of the scale.
    above, below = greatest.clip(0), (-least).clip(0)
    scales = np.maximum(np.maximum(above, below) / form.zero, np.minimum(above, below) / (form.zero - 1))
    return _fixed(_half_outwards(scales, HALF_MAX) * np.where(above > below, np.float32(-1), np.float32(1)), form)


def _searched(blocks: Array, weigh: Array | None, form: Format) -> tuple[Array, Array]:
    """The best of the covering scale and of narrower ones, refitted."""
    best = _covering(blocks, form)
    least_error = _error(blocks, weigh, *best, form)
    widest, lowest = best
    for share in NARROWER:
        scales = widest * share
        floors = lowest + (widest - scales) * np.float32(form.top / 2) if form.affine else -scales * form.zero
        codes = _nearest(blocks, scales, floors, form)
        found = _fitted(blocks, weigh, codes, form)
        error = _error(blocks, weigh, *found, form)
        better = error < least_error
        least_error = np.where(better, error, least_error)
        best = np.where(better, found[0], best[0]), np.where(better, found[1], best[1])
    return best


def _fitted(blocks: Array, weigh: Array | None, codes: NDArray[np.uint8], form: Format) -> tuple[Array, Array]:
    """Scale and floor of least squares for given codes, rounded to half precision. The normal equations of w ≈ scale · code + floor."""
    w = np.ones_like(blocks) if weigh is None else weigh
    x = codes.astype(np.float32) - np.float32(form.zero)  # centred: the sums lose less
    wx = w * x
    sum_xx, sum_xy = _dot(wx, x), _dot(wx, blocks)
    if not form.affine:
        return _fixed(_half(_ratio(sum_xy, sum_xx)), form)
    sum_w, sum_x, sum_y = w.sum(axis=1), wx.sum(axis=1), _dot(w, blocks)
    scales = _ratio(sum_w * sum_xy - sum_x * sum_y, sum_w * sum_xx - sum_x * sum_x)
    floors = _ratio(sum_y - scales * sum_x, sum_w) - scales * form.zero
    return _half(scales), _half(floors)


def _error(blocks: Array, weigh: Array | None, scales: Array, floors: Array, form: Format) -> Array:
    off = blocks - _values(_nearest(blocks, scales, floors, form), scales, floors)
    return _dot(off, off if weigh is None else off * weigh)


def _nearest(blocks: Array, scales: Array, floors: Array, form: Format) -> NDArray[np.uint8]:
    steps: Array = (blocks - floors[:, None]) * _ratio(np.float32(1), scales)[:, None]
    return np.rint(steps).clip(0, form.top).astype(np.uint8)


def _values(codes: NDArray[np.uint8], scales: Array, floors: Array) -> Array:
    values: Array = codes * scales[:, None]
    values += floors[:, None]
    return values


def _encoded(blocks: Array, scales: Array, floors: Array, form: Format) -> Blocks:
    codes = pack(_nearest(blocks, scales, floors, form), form.bits)
    halves = floors.astype(np.float16) if form.affine else None
    return Blocks(form, blocks.shape, codes, scales.astype(np.float16), halves)


def _joined(parts: list[Blocks], shape: tuple[int, ...], form: Format) -> Blocks:
    floors = np.concatenate([part.floors for part in parts if part.floors is not None]) if form.affine else None
    return Blocks(form, shape, np.concatenate([p.codes for p in parts]), np.concatenate([p.scales for p in parts]), floors)


def _fixed(scales: Array, form: Format) -> tuple[Array, Array]:
    return scales, -scales * form.zero


def _half(x: Array) -> Array:
    """Rounded to the nearest that half precision holds."""
    return x.clip(-HALF_MAX, HALF_MAX).astype(np.float16).astype(np.float32)


def _half_outwards(x: Array, towards: float) -> Array:
    """Rounded to half precision, never away from `towards`."""
    halves = x.astype(np.float16)
    inside = halves.astype(np.float32) > x if towards < 0 else halves.astype(np.float32) < x
    return np.where(inside, np.nextafter(halves, np.float16(towards)), halves).astype(np.float32)


def _ratio(above: Array | np.float32, below: Array) -> Array:
    """Quotients; 0 where nothing is divided by: a block of equal weights has no step."""
    return np.divide(above, below, out=np.zeros_like(below), where=below != 0)


def _dot(a: Array, b: Array) -> Array:
    dot: Array = np.einsum("ij,ij->i", a, b)
    return dot
