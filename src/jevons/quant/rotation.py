"""Random rotations Π of R^d: what makes every vector's coordinates look alike, so that one codebook fits all of them.

In: a dimension and a seed. Out: an object that rotates rows f32[n, d] and rotates them back, the same for the same seed on every machine.
Two kinds: `Dense` is the paper's (QR of a Gaussian matrix: evenly distributed over all rotations, d² products a vector), `Hadamard` is
random signs and a fast Hadamard transform (d·log d additions; Ailon and Chazelle, 2006). It knows nothing of codes."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jevons.quant import kernels

Floats = NDArray[np.float32]


class Rotation(Protocol):
    """An orthogonal map of R^d. Rows are contiguous f32[n, d]; each call returns a new array."""

    def forward(self, x: Floats) -> Floats: ...

    def backward(self, y: Floats) -> Floats: ...


class Dense:
    """Π = Q of the QR of a Gaussian d × d matrix (Algorithm 1, line 2), with the signs of R's diagonal put into Q, without which it is not Haar's."""

    def __init__(self, dim: int, seed: int) -> None:
        q, r = np.linalg.qr(_chance(seed).standard_normal((dim, dim)))
        self._transposed = np.ascontiguousarray((q * np.sign(np.diag(r))).T, dtype=np.float32)

    def forward(self, x: Floats) -> Floats:
        return x @ self._transposed

    def backward(self, y: Floats) -> Floats:
        return y @ self._transposed.T


class Hadamard:
    """Signs drawn by the seed, then a fixed orthogonal matrix whose entries are all of about the same size; `rounds` times.

    For d = m·2^k with odd m the matrix is C ⊗ H: H the Hadamard matrix of 2^k, and C the m × m Hartley matrix cas(2πpq/m)/√m (Bracewell,
    1983), which is orthogonal and symmetric and has no entry above √(2/m). So no dimension is padded, which would cost bits (384 padded to
    512 is a third more); the cost is m products a coordinate: 3 for 384, 768 and 1536, and d for an odd d, where it is a dense matrix.

    One round leaves a vector with s nonzero coordinates 2^(s−1) different magnitudes at most; two rounds make it as good as dense, at
    nearly twice the cost (docs/turboquant.md has the figures)."""

    def __init__(self, dim: int, seed: int, rounds: int = 1) -> None:
        run = dim & -dim  # the greatest power of two that divides dim
        size = np.float32(1 / np.sqrt(run))
        self._signs: Floats = _chance(seed).choice(np.array([-size, size], np.float32), (rounds, dim))
        self._mixing = hartley(dim // run)

    def forward(self, x: Floats) -> Floats:
        y = np.empty_like(x)
        kernels.spread_rows(x, self._signs, self._mixing, y)
        return y

    def backward(self, y: Floats) -> Floats:
        x = np.empty_like(y)
        kernels.gather_rows(y, self._signs, self._mixing, x)
        return x


def _chance(seed: int) -> np.random.Generator:
    """A stream of its own: a rotation made of the very numbers that a test or a bench drew its vectors from is not random to them."""
    return np.random.default_rng([seed, 0x54515542])


def hartley(m: int) -> Floats:
    """f32[m, m]: cas(2πpq/m)/√m, cas = cos + sin. Its own inverse."""
    angle = 2 * np.pi * (np.outer(np.arange(m), np.arange(m)) % m) / m
    matrix: Floats = ((np.cos(angle) + np.sin(angle)) / np.sqrt(m)).astype(np.float32)
    return matrix
