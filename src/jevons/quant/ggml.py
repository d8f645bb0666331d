"""What a quantised model file holds, from the bytes up: ggml's block types.

Comes in: the bytes of blocks. Goes out: for every block its codes, scales and floors, and the weights f32 that they stand for, equal bit for
bit to what ggml's Python package `gguf` decodes. It does not know files, nor what tensors are for, and writes no block: llama.cpp's
quantiser does.

A type of 32 weights has one scale (and one floor) per block. The K types have 256 weights in groups of 16 or 32, and store each group's
scale and floor in 4, 6 or 8 bits, as shares of one pair in half precision for all 256.
Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h; the packed scales: `get_scale_min_k4` and
`dequantize_row_q3_K` in ggml-quants.c beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]

Code = TypeVar("Code", np.uint8, np.int8)

SCALE_FIELDS = ("d", "m", "dmin", "scales")
"""Fields of a block that are not codes: ggml's names for the scale, the floor (of a block, of a K block), the groups' shares of both."""


@dataclass(frozen=True)
class Groups:
    """weight = scale · code + floor. codes[blocks, groups, weights of a group]; scales and floors f32[blocks, groups, 1]; symmetric types
    have no floor, their codes have a sign."""

    codes: NDArray[np.uint8] | NDArray[np.int8]
    scales: Array
    floors: Array | None = None

    def values(self) -> Array:
        """f32[blocks, weights of a block]."""
        values: Array = self.codes.astype(np.float32) * self.scales
        if self.floors is not None:
            values += self.floors
        return values.reshape(len(values), -1)


@dataclass(frozen=True)
class Type:
    """A block type: how many weights a block holds, its bytes field by field, and how they become groups."""

    name: str
    weights: int
    layout: np.dtype[np.void]
    groups: Callable[[NDArray[np.void]], Groups]

    @property
    def bits_per_weight(self) -> float:
        return self.layout.itemsize * 8 / self.weights

    @property
    def scale_bits(self) -> float:
        """How many of them are scales and floors; the rest are codes."""
        sizes = [self.layout[name].itemsize for name in self.layout.names or () if name in SCALE_FIELDS]
        return sum(sizes) * 8 / self.weights

    def read(self, data: bytes | Bytes) -> NDArray[np.void]:
        """The blocks in these bytes, one record each."""
        return np.frombuffer(data, self.layout)

    def decode(self, data: bytes | Bytes) -> Array:
        """The weights in these bytes, block after block, f32[n]."""
        return self.groups(self.read(data)).values().reshape(-1)


def _q4_0(b: NDArray[np.void]) -> Groups:
    return Groups(_grouped(_digits(b["qs"], 4, 16).astype(np.int8) - np.int8(8), 1), _halves(b["d"]))


def _q4_1(b: NDArray[np.void]) -> Groups:
    return Groups(_grouped(_digits(b["qs"], 4, 16), 1), _halves(b["d"]), _halves(b["m"]))


def _q5_0(b: NDArray[np.void]) -> Groups:
    return Groups(_grouped(_five(b).astype(np.int8) - np.int8(16), 1), _halves(b["d"]))


def _q5_1(b: NDArray[np.void]) -> Groups:
    return Groups(_grouped(_five(b), 1), _halves(b["d"]), _halves(b["m"]))


def _q8_0(b: NDArray[np.void]) -> Groups:
    return Groups(_grouped(b["qs"], 1), _halves(b["d"]))


def _q2_k(b: NDArray[np.void]) -> Groups:
    """16 groups of 16; a byte for each: 4 bits of scale, 4 bits of floor."""
    scales, floors = b["scales"] & 15, b["scales"] >> 4
    return Groups(_grouped(_digits(b["qs"], 2, 32), 16), _shares(b["d"], scales), -_shares(b["dmin"], floors))


def _q3_k(b: NDArray[np.void]) -> Groups:
    """16 groups of 16; scales of 6 bits, 32 is zero. The third bit of a code lies apart, and means 4 when it is not set: subtracted."""
    low, high = _digits(b["scales"][:, :8], 4, 8), _digits(b["scales"][:, 8:], 2, 4)
    scales = (low | high << 4).astype(np.int8) - np.int8(32)
    codes = _digits(b["qs"], 2, 32).astype(np.int8) - np.int8(4) + (_digits(b["hmask"], 1, 32) << 2).astype(np.int8)
    return Groups(_grouped(codes, 16), _shares(b["d"], scales))


def _q4_k(b: NDArray[np.void]) -> Groups:
    """8 groups of 32; scales and floors of 6 bits."""
    scales, floors = _six_bits(b["scales"])
    return Groups(_grouped(_digits(b["qs"], 4, 32), 8), _shares(b["d"], scales), -_shares(b["dmin"], floors))


def _q5_k(b: NDArray[np.void]) -> Groups:
    """Like Q4_K, with a fifth bit apart."""
    scales, floors = _six_bits(b["scales"])
    codes = _digits(b["qs"], 4, 32) | _digits(b["qh"], 1, 32) << 4
    return Groups(_grouped(codes, 8), _shares(b["d"], scales), -_shares(b["dmin"], floors))


def _q6_k(b: NDArray[np.void]) -> Groups:
    """16 groups of 16; scales of 8 bits with a sign; four bits of a code here, two there."""
    codes = (_digits(b["ql"], 4, 64) | _digits(b["qh"], 2, 32) << 4).astype(np.int8) - np.int8(32)
    return Groups(_grouped(codes, 16), _shares(b["d"], b["scales"]))


def _digits(data: Bytes, bits: int, run: int) -> Bytes:
    """Codes of 1, 2 or 4 bits: of every `run` bytes first all lowest digits, then all next ones, so that vector instructions read them at once."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    digits = data.reshape(len(data), -1, 1, run) >> shifts[:, None] & np.uint8((1 << bits) - 1)
    return digits.reshape(len(data), -1).astype(np.uint8, copy=False)


def _five(b: NDArray[np.void]) -> Bytes:
    """Codes of 5 bits: four in `qs`, the fifth of all 32 in `qh`, one bit each."""
    return _digits(b["qs"], 4, 16) | _digits(b["qh"], 1, 1) << np.uint8(4)


def _six_bits(data: Bytes) -> tuple[Bytes, Bytes]:
    """Eight scales and eight floors of 6 bits in 12 bytes: four of each in the low 6 bits of eight bytes, whose top 2 bits complete the rest."""
    scales, floors, rest = np.split(data, 3, axis=1)
    return (
        np.concatenate([scales & 63, rest & 15 | scales >> 6 << 4], axis=1),
        np.concatenate([floors & 63, rest >> 4 | floors >> 6 << 4], axis=1),
    )


def _grouped(codes: NDArray[Code], groups: int) -> NDArray[Code]:
    return codes.reshape(len(codes), groups, -1)


def _halves(field: NDArray[np.float16]) -> Array:
    return field.astype(np.float32)[:, None, None]


def _shares(field: NDArray[np.float16], shares: NDArray[np.uint8] | NDArray[np.int8]) -> Array:
    return (field.astype(np.float32)[:, None] * shares.astype(np.float32))[:, :, None]


def _type(name: str, weights: int, groups: Callable[[NDArray[np.void]], Groups], **fields: str) -> Type:
    return Type(name, weights, np.dtype(list(fields.items())), groups)


TYPES = {
    of.name: of
    for of in (
        _type("Q4_0", 32, _q4_0, d="<f2", qs="16u1"),
        _type("Q4_1", 32, _q4_1, d="<f2", m="<f2", qs="16u1"),
        _type("Q5_0", 32, _q5_0, d="<f2", qh="4u1", qs="16u1"),
        _type("Q5_1", 32, _q5_1, d="<f2", m="<f2", qh="4u1", qs="16u1"),
        _type("Q8_0", 32, _q8_0, d="<f2", qs="32i1"),
        _type("Q2_K", 256, _q2_k, scales="16u1", qs="64u1", d="<f2", dmin="<f2"),
        _type("Q3_K", 256, _q3_k, hmask="32u1", qs="64u1", scales="12u1", d="<f2"),
        _type("Q4_K", 256, _q4_k, d="<f2", dmin="<f2", scales="12u1", qs="128u1"),
        _type("Q5_K", 256, _q5_k, d="<f2", dmin="<f2", scales="12u1", qh="32u1", qs="128u1"),
        _type("Q6_K", 256, _q6_k, ql="128u1", qh="64u1", scales="16i1", d="<f2"),
    )
}
"""ggml's name of a type -> the type, its fields in their order and by ggml's names."""
