"""The compiled loops of the compressed codec: half-precision rows to packed codes in one pass, and back into place in one pass.

In and out: arrays whose shapes the caller has checked. A row is a token's `heads` vectors of `d` elements; each is rotated and coded
by itself. Does not know: payloads, plans.
"""

import numpy as np
from numpy.typing import NDArray

from jevons.engine.park.halves import from_half, to_half
from jevons.quant.compiled import compiled
from jevons.quant.lanes import hadamard

Floats = NDArray[np.float32]
Halves = NDArray[np.uint16]
"""Half-precision numbers as their bits: numba knows no such type."""
Words = NDArray[np.uint64]

HALF_MAX = np.float32(65504.0)
FLOAT_MAX = np.float32(3.4028235e38)


@compiled
def transform(vector: Floats) -> None:
    if vector.shape[0] == 64:
        hadamard(vector, 64)
    elif vector.shape[0] == 128:
        hadamard(vector, 128)
    else:
        hadamard(vector, 256)


@compiled
def column_means(rows: Halves, means: Halves) -> None:
    """The mean of every column of `rows` [n, width], rounded to half precision."""
    sums = np.zeros(rows.shape[1], np.float32)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            sums[j] += from_half(rows[i, j])
    for j in range(rows.shape[1]):
        means[j] = to_half(sums[j] / np.float32(rows.shape[0]))


@compiled
def encode_rows(
    rows: Halves, means: Halves, signs: Floats, magnitudes: Floats, centroids: Floats, bits: int, scales: Floats, words: Words
) -> bool:
    """TurboQuant's codes of every head vector of `rows` [n, heads·d], less the column's mean, into `words`, b bits a code, lowest first.

    `signs` [d] and the Hadamard transform are the rotation; `magnitudes` the 2^(b-1) - 1 boundaries above 0 of the codebook.
    `scales` [n, heads] receives EDEN's unbiased scale (see jevons.quant), divided by √d for the transform that undoes the rotation:
    with a the transform not divided by √d, and c the centroids of its codes, ‖a‖²/(d·⟨a, c⟩). False if a row is not finite.
    """
    d = signs.shape[0]
    half = np.uint8(magnitudes.shape[0] + 1)
    vector = np.empty(d, np.float32)
    codes = np.empty(d, np.uint8)
    words[:] = 0
    at = 0
    for i in range(rows.shape[0]):
        for head in range(scales.shape[1]):
            first = head * d
            for j in range(d):
                vector[j] = (from_half(rows[i, first + j]) - from_half(means[first + j])) * signs[j]
            transform(vector)
            square = np.float32(0)
            for j in range(d):
                square += vector[j] * vector[j]
            if not square <= FLOAT_MAX:  # np.isfinite is x - x == 0, which loops compiled like this one take for true
                return False
            # the vector's length is ‖a‖/√d, and a coordinate's code that of a_j/‖a‖
            unit = np.sqrt(square)
            codes[:] = 0
            for k in range(magnitudes.shape[0]):
                boundary = magnitudes[k] * unit
                for j in range(d):
                    codes[j] += np.uint8(abs(vector[j]) > boundary)
            along = np.float32(0)
            for j in range(d):
                codes[j] = half + codes[j] if vector[j] >= 0 else half - np.uint8(1) - codes[j]
                along += vector[j] * centroids[codes[j]]
            scales[i, head] = square / (np.float32(d) * along) if square > 0 else np.float32(0)
            for j in range(d):
                code, shift = np.uint64(codes[j]), np.uint64(at & 63)
                words[at >> 6] |= code << shift
                if shift > np.uint64(64 - bits):
                    words[(at >> 6) + 1] |= code >> (np.uint64(64) - shift)
                at += bits
    return True


@compiled
def decode_rows(
    words: Words,
    bits: int,
    pairs: Words,
    scale_codes: NDArray[np.uint8],
    scales: Floats,
    means: Floats,
    signs: Floats,
    rows: Halves,
) -> None:
    """The other way round, into `rows` [n, heads·d]: mean + scale · signs · H·centroids.

    `words` has one word more than the codes take. `pairs` [4^b] holds for two neighbouring codes their two centroids, one float32 after
    the other: two codes cost one look-up. `scale_codes` [n, heads] index `scales`.
    """
    d = signs.shape[0]
    vector = np.empty(d, np.float32)
    two = vector.view(np.uint64)
    mask, step, one, top = np.uint64((1 << (2 * bits)) - 1), np.uint64(2 * bits), np.uint64(1), np.uint64(63)
    at = np.uint64(0)
    for i in range(rows.shape[0]):
        for head in range(scale_codes.shape[1]):
            first = head * d
            for j in range(d // 2):
                word, shift = at >> np.uint64(6), at & top
                # the second shift is in two steps, as a shift by 64 is undefined
                code = (words[word] >> shift) | (words[word + one] << one << (top - shift))
                two[j] = pairs[code & mask]
                at += step
            transform(vector)
            scale = scales[scale_codes[i, head]]
            for j in range(d):
                value = means[first + j] + scale * signs[j] * vector[j]
                rows[i, first + j] = to_half(max(min(value, HALF_MAX), -HALF_MAX))
