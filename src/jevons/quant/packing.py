"""Codes of 1 to 8 bits <-> bytes, without waste: n codes of b bits take ⌈n·b/8⌉ bytes, whatever n and b are.

One vector is one little-endian stream of bits: code j has bits j·b to j·b + b − 1, the lowest first, and bit k of the stream is bit k mod 8
of byte k div 8. So eight codes fill exactly b bytes, and only the last byte of a vector can hold unused bits, which are zero. It knows
nothing of what the codes stand for."""

import numpy as np
from numpy.typing import NDArray

from jevons.quant.compiled import compiled

MAX_BITS = 8


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """u8[n, d], each below 2^bits -> u8[n, ⌈d·bits/8⌉]."""
    codes = np.ascontiguousarray(codes, dtype=np.uint8)
    if codes.size and int(codes.max()) >> bits:
        raise ValueError(f"A code of {int(codes.max())} does not fit in {bits} bits.")
    packed = np.empty((len(codes), packed_bytes(codes.shape[1], bits)), np.uint8)
    _pack_rows(codes, bits, packed)
    return packed


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """u8[n, ⌈count·bits/8⌉] -> u8[n, count]."""
    if packed.shape[1] != packed_bytes(count, bits):
        raise ValueError(
            f"{count} codes of {bits} bits are {packed_bytes(count, bits)} bytes; these rows have {packed.shape[1]}."
        )
    codes = np.empty((len(packed), count), np.uint8)
    _unpack_rows(np.ascontiguousarray(packed), bits, codes)
    return codes


@compiled
def pack_row(codes: NDArray[np.uint8], bits: int, packed: NDArray[np.uint8]) -> None:
    """One vector's codes u8[d] into its bytes u8[⌈d·bits/8⌉]; codes at or above 2^bits would spoil their neighbours.

    Eight codes at a time, as they fill whole bytes; two and four bits divide a byte, so there a byte is made from the codes inside it,
    which compilers turn into vector instructions."""
    d = codes.shape[0]
    whole = d // 8
    if bits == 8:
        packed[:] = codes
        return
    if bits == 4:
        for i in range(4 * whole):
            packed[i] = codes[2 * i] | (codes[2 * i + 1] << 4)
    elif bits == 2:
        for i in range(2 * whole):
            packed[i] = codes[4 * i] | (codes[4 * i + 1] << 2) | (codes[4 * i + 2] << 4) | (codes[4 * i + 3] << 6)
    else:
        for group in range(whole):
            word = np.uint64(0)
            for k in range(8):
                word |= np.uint64(codes[8 * group + k]) << np.uint64(k * bits)
            for k in range(bits):
                packed[group * bits + k] = np.uint8((word >> np.uint64(8 * k)) & np.uint64(255))
    if d % 8:
        word = np.uint64(0)
        for k in range(d % 8):
            word |= np.uint64(codes[8 * whole + k]) << np.uint64(k * bits)
        for k in range(packed.shape[0] - whole * bits):
            packed[whole * bits + k] = np.uint8((word >> np.uint64(8 * k)) & np.uint64(255))


@compiled
def unpack_row(packed: NDArray[np.uint8], bits: int, codes: NDArray[np.uint8]) -> None:
    """One vector's bytes u8[⌈d·bits/8⌉] into its codes u8[d]."""
    d = codes.shape[0]
    whole = d // 8
    mask = np.uint64((1 << bits) - 1)
    if bits == 8:
        codes[:] = packed
        return
    if bits == 4:
        for i in range(4 * whole):
            codes[2 * i] = packed[i] & 15
            codes[2 * i + 1] = packed[i] >> 4
    elif bits == 2:
        for i in range(2 * whole):
            codes[4 * i] = packed[i] & 3
            codes[4 * i + 1] = (packed[i] >> 2) & 3
            codes[4 * i + 2] = (packed[i] >> 4) & 3
            codes[4 * i + 3] = packed[i] >> 6
    else:
        for group in range(whole):
            word = np.uint64(0)
            for k in range(bits):
                word |= np.uint64(packed[group * bits + k]) << np.uint64(8 * k)
            for k in range(8):
                codes[8 * group + k] = np.uint8((word >> np.uint64(k * bits)) & mask)
    if d % 8:
        word = np.uint64(0)
        for k in range(packed.shape[0] - whole * bits):
            word |= np.uint64(packed[whole * bits + k]) << np.uint64(8 * k)
        for k in range(d % 8):
            codes[8 * whole + k] = np.uint8((word >> np.uint64(k * bits)) & mask)


@compiled
def _pack_rows(codes: NDArray[np.uint8], bits: int, packed: NDArray[np.uint8]) -> None:
    for row in range(codes.shape[0]):
        pack_row(codes[row], bits, packed[row])


@compiled
def _unpack_rows(packed: NDArray[np.uint8], bits: int, codes: NDArray[np.uint8]) -> None:
    for row in range(codes.shape[0]):
        unpack_row(packed[row], bits, codes[row])
