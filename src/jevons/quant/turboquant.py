"""TurboQuant, the algorithm for squared error (Algorithm 1 of arXiv 2504.19874, "TurboQuant_mse"), with the unbiased scale of EDEN.

In: vectors f32[n, d]. Out: codes of b bits a coordinate and one 16-bit length a vector; and vectors again. In steps, with what does them:

    x → y = Πx                     rotation.py      after it every coordinate of y/‖y‖ has the density of codebooks.py, whatever x was
    y → indices of y/‖y‖           kernels.py       the nearest centroid, each coordinate for itself
    S                              kernels.py       the length: EDEN's ‖y‖²/⟨y, c⟩; the paper's own ‖y‖ and ‖y‖/‖c‖ to compare with
    indices → bytes                packing.py       b bits a coordinate
    x̂ = S·Πᵀc

Nothing is learned from data: a vector can be encoded the moment it is there. It does not know what the vectors mean, and where their errors
are spent: by default ⟨x̂, q⟩ is right on average for every q, and the mean of many decoded vectors is right, which S = ‖y‖ does not give."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jevons.quant import kernels
from jevons.quant.codebooks import codebook
from jevons.quant.packing import packed_bytes
from jevons.quant.rotation import Dense, Hadamard, Rotation

Floats = NDArray[np.float32]
RotationName = Literal["hadamard", "hadamard2", "dense"]
ScaleName = Literal["eden", "norm", "mse"]

LENGTH_BYTES = 2
"""A vector's length is a 16-bit floating-point number. From 6.1·10⁻⁵ on it is off by 2⁻¹¹ of itself at most, which is far below the error of
the codes; below that by 2⁻²⁵ (3·10⁻⁸) at most, so what is shorter than 3·10⁻⁸ decodes to zeros. Shorter vectors want scaling up first."""
_ROTATIONS: dict[RotationName, Callable[[int, int], Rotation]] = {
    "hadamard": Hadamard,
    "hadamard2": partial(Hadamard, rounds=2),
    "dense": Dense,
}
_SCALES: dict[ScaleName, int] = {"mse": kernels.MSE, "norm": kernels.NORM, "eden": kernels.EDEN}
_BLOCK = 1 << 15
"""Coordinates that are rotated and encoded at a time: they, and what is made of them, stay in the core's own cache."""


@dataclass(frozen=True)
class Codes:
    """n encoded vectors. Means nothing without the quantiser: its dimension, bits, rotation and seed."""

    packed: NDArray[np.uint8]
    """u8[n, ⌈d·b/8⌉], see packing.py."""
    scales: NDArray[np.float16]
    """f16[n]: S."""

    def __len__(self) -> int:
        return len(self.scales)


class TurboQuant:
    """Encodes vectors of `dim` ≥ 2 coordinates in `bits` (1 to 8) a coordinate and 16 bits a vector.

    `rotation`: "hadamard" is fast and as good as "dense" but for vectors of few nonzero coordinates, where "hadamard2", two rounds, is;
    "dense" is the paper's. `scale`: see kernels.encode_rows. The same arguments and seed decode what they encoded, on any machine.
    """

    def __init__(
        self, dim: int, bits: int, *, rotation: RotationName = "hadamard", scale: ScaleName = "eden", seed: int = 0
    ) -> None:
        self.dim, self.bits = dim, bits
        self.codebook = codebook(dim, bits)
        self.rotation = _ROTATIONS[rotation](dim, seed)
        self._scale = _SCALES[scale]

    @property
    def bytes_per_vector(self) -> int:
        return packed_bytes(self.dim, self.bits) + LENGTH_BYTES

    @property
    def bits_per_element(self) -> float:
        """The length counted in."""
        return 8 * self.bytes_per_vector / self.dim

    def encode(self, x: ArrayLike) -> Codes:
        """[n, d] of any real type and layout -> codes.

        ValueError names the first vector that holds NaN or infinity, or whose length 16 bits cannot hold (65,504); nothing is encoded then."""
        rows = vectors(x, self.dim)
        packed = np.empty((len(rows), packed_bytes(self.dim, self.bits)), np.uint8)
        scales = np.empty(len(rows), np.float32)
        book = self.codebook
        for part in self._parts(len(rows)):
            y = self.rotation.forward(single(rows[part]))
            bad = kernels.encode_rows(y, book.magnitudes, book.centroids, self.bits, self._scale, packed[part], scales[part])
            if bad >= 0:
                raise ValueError(_complaint(rows, part.start + bad))
        return Codes(packed, half(scales, rows))

    def decode(self, codes: Codes) -> Floats:
        """Codes of this quantiser -> f32[n, d]."""
        out = np.empty((len(codes), self.dim), np.float32)
        for part in self._parts(len(codes)):
            out[part] = self.rotation.backward(self._rotated(codes, part))
        return out

    def inner_products(self, codes: Codes, queries: ArrayLike) -> Floats:
        """⟨q, x̂⟩ of queries [m, d] with every encoded vector, f32[m, n]. The queries are rotated instead of the vectors back: ⟨Πq, S·c⟩."""
        turned = self.rotation.forward(single(vectors(queries, self.dim)))
        out = np.empty((len(turned), len(codes)), np.float32)
        for part in self._parts(len(codes)):
            np.matmul(turned, self._rotated(codes, part).T, out=out[:, part])
        return out

    def _rotated(self, codes: Codes, part: slice) -> Floats:
        """S·c of some vectors."""
        if codes.packed.shape[1] != packed_bytes(self.dim, self.bits):
            raise ValueError(f"These codes were not made by a quantiser of {self.dim} dimensions and {self.bits} bits.")
        packed, scales = np.ascontiguousarray(codes.packed[part]), codes.scales[part].astype(np.float32)
        y = np.empty((len(scales), self.dim), np.float32)
        kernels.decode_rows(packed, scales, self.codebook.centroids, self.bits, y)
        return y

    def _parts(self, count: int) -> Iterator[slice]:
        rows = max(1, _BLOCK // self.dim)
        return (slice(start, min(start + rows, count)) for start in range(0, count, rows))


def vectors(x: ArrayLike, dim: int) -> NDArray[np.number]:
    """x as rows of `dim` real numbers, not copied; ValueError if it is something else."""
    rows = np.asarray(x)
    if rows.ndim != 2 or rows.shape[1] != dim or rows.dtype.kind not in "fiu":
        raise ValueError(f"Vectors come as an array of real numbers [n, {dim}]; this one is {list(rows.shape)} of {rows.dtype}.")
    return rows


def single(rows: NDArray[np.number]) -> Floats:
    """Contiguous f32; what is too large for it becomes infinite, and is refused where a length is taken."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


def half(lengths: Floats, rows: NDArray[np.number]) -> NDArray[np.float16]:
    """Lengths of `rows` as they are stored; ValueError if one does not fit."""
    with np.errstate(over="ignore"):
        stored: NDArray[np.float16] = lengths.astype(np.float16)
    if not np.isfinite(stored).all():
        raise ValueError(_complaint(rows, int(np.argmin(np.isfinite(stored)))))
    return stored


def _complaint(rows: NDArray[np.number], row: int) -> str:
    if np.isfinite(rows[row]).all():
        return f"Vector {row} is too long: lengths are stored in 16 bits, which end at 65,504. Scale the vectors down first."
    return f"Vector {row} holds NaN or infinity."
