"""The compiled loops of TurboQuant, one row or one block of rows at a time.

In and out: arrays whose shapes the caller has checked; nothing is checked here but that a row has a finite length. The functions on one
row may be called from other compiled code, which inlines them. Lines of Algorithm 1 of arXiv 2504.19874 are named where they stand."""

import numpy as np
from numpy.typing import NDArray

from jevons.quant import lanes
from jevons.quant.compiled import compiled
from jevons.quant.packing import pack_row, unpack_row

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_LARGEST = np.finfo(np.float32).max
MSE, NORM, EDEN = 0, 1, 2
"""What a decoded direction is multiplied with: see `encode_rows`."""


@compiled
def hadamard(a: Floats) -> None:
    """a becomes H·a for the Hadamard matrix of ±1 (not divided by √n), n = 2^k elements, in n·k additions.

    H of 2^k is H of 2^(k−7) ⊗ H of 128: blocks of 128 in registers, then sums and differences of whole blocks, in place."""
    n = a.shape[0]
    done = 1
    if n >= 128:
        for start in range(0, n, 128):
            lanes.hadamard(a[start : start + 128], 128)
        done = 128
    elif n == 64:
        lanes.hadamard(a, 64)
        done = 64
    while done < n:
        for start in range(0, n, 2 * done):
            first, second = a[start : start + done], a[start + done : start + 2 * done]
            for j in range(done):
                u, v = first[j], second[j]
                first[j] = u + v
                second[j] = u - v
        done *= 2


@compiled
def quantise(y: Floats, magnitudes: Floats, unit: np.float32, codes: Bytes) -> None:
    """Algorithm 1, line 6: the nearest centroid of every coordinate of y / unit, as codes u8[d] in the order of the centroids.

    `magnitudes`: the 2^(b−1) − 1 boundaries above 0. One comparison with each, over the whole row, is faster than any search up to
    8 bits, for it has no branch and no table."""
    half = np.uint8(magnitudes.shape[0] + 1)
    codes[:] = 0
    for k in range(magnitudes.shape[0]):
        boundary = magnitudes[k] * unit
        for j in range(y.shape[0]):
            codes[j] += np.uint8(abs(y[j]) > boundary)
    for j in range(y.shape[0]):
        codes[j] = half + codes[j] if y[j] >= 0 else half - np.uint8(1) - codes[j]


@compiled
def encode_rows(y: Floats, magnitudes: Floats, centroids: Floats, bits: int, scale: int, packed: Bytes, scales: Floats) -> int:
    """Rotated vectors f32[n, d] -> packed codes u8[n, ⌈d·bits/8⌉] and f32[n], the length S that the codes' direction is to be given.

    With c the centroids of y/‖y‖, the decoded vector is S·Πᵀc, and S is
      MSE   ‖y‖           Algorithm 1 as printed
      NORM  ‖y‖/‖c‖       the decoded vector is as long as the vector was
      EDEN  ‖y‖²/⟨y, c⟩   unbiased: ⟨x̂, x⟩ = ‖x‖² (Vargaftik and others, EDEN, arXiv 2108.08842, Theorem 2.1; 2604.18555)
    Returns the first row whose length is not a finite number, or −1. A row of zeros gets S = 0."""
    codes = np.empty(y.shape[1], np.uint8)
    for i in range(y.shape[0]):
        row = y[i]
        square = np.float32(0)
        for j in range(row.shape[0]):
            square += row[j] * row[j]
        if not square <= _LARGEST:  # np.isfinite is x − x == 0, which sums that may be reordered can make true
            return i
        length = np.sqrt(square)
        quantise(row, magnitudes, length, codes)
        along, own = np.float32(0), np.float32(0)
        for j in range(row.shape[0]):
            c = centroids[codes[j]]
            along += row[j] * c
            own += c * c
        if square == 0:
            scales[i] = 0
        elif scale == EDEN:
            scales[i] = square / along
        elif scale == NORM:
            scales[i] = length / np.sqrt(own)
        else:
            scales[i] = length
        pack_row(codes, bits, packed[i])
    return -1


@compiled
def decode_rows(packed: Bytes, scales: Floats, centroids: Floats, bits: int, y: Floats) -> None:
    """Algorithm 1, line 9: packed codes and f32[n] lengths -> S·c f32[n, d], still rotated."""
    codes = np.empty(y.shape[1], np.uint8)
    for i in range(y.shape[0]):
        unpack_row(packed[i], bits, codes)
        for j in range(y.shape[1]):
            y[i, j] = scales[i] * centroids[codes[j]]


@compiled
def spread_rows(x: Floats, signs: Floats, mixing: Floats, y: Floats) -> None:
    """Randomised Hadamard rotation of f32[n, d], d = m·2^k: for each round r, multiply by signs[r] and then by mixing ⊗ H.

    `signs` f32[rounds, d] are ±1/√(2^k), which makes H orthogonal; `mixing` f32[m, m] is orthogonal and symmetric. d·(k + m) operations
    a round. Undone by `gather_rows`."""
    parts = np.empty(x.shape[1], np.float32)
    for i in range(x.shape[0]):
        row, out = x[i], y[i]
        for j in range(out.shape[0]):
            out[j] = row[j] * signs[0, j]
        _mix(out, mixing, parts)
        for r in range(1, signs.shape[0]):
            for j in range(out.shape[0]):
                out[j] *= signs[r, j]
            _mix(out, mixing, parts)


@compiled
def gather_rows(y: Floats, signs: Floats, mixing: Floats, x: Floats) -> None:
    """The inverse of `spread_rows`: mixing ⊗ H is symmetric and so, but for its length, its own inverse, and so are the signs, in the other order."""
    parts = np.empty(y.shape[1], np.float32)
    for i in range(y.shape[0]):
        out = x[i]
        out[:] = y[i]
        for r in range(signs.shape[0] - 1, -1, -1):
            _mix(out, mixing, parts)
            for j in range(out.shape[0]):
                out[j] *= signs[r, j]


@compiled
def _mix(row: Floats, mixing: Floats, parts: Floats) -> None:
    """row becomes (mixing ⊗ H)·row; `parts` is as long and is overwritten."""
    m = mixing.shape[0]
    run = row.shape[0] // m
    if m == 1:
        hadamard(row)
        return
    parts[:] = row
    for q in range(m):
        hadamard(parts[q * run : (q + 1) * run])
    for p in range(m):
        part = row[p * run : (p + 1) * run]
        for j in range(run):
            part[j] = mixing[p, 0] * parts[j]
        for q in range(1, m):
            weight, other = mixing[p, q], parts[q * run : (q + 1) * run]
            for j in range(run):
                part[j] += weight * other[j]
