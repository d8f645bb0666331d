"""TurboQuant, the algorithm for inner products (Algorithm 2 of arXiv 2504.19874, "TurboQuant_prod"): b − 1 bits and one bit of the residual.

In and out as in turboquant.py. The vector is encoded by Algorithm 1 with b − 1 bits and S = ‖x‖; what is left, r = x − x̂, is stored as the signs
of G·r for a Gaussian matrix G, and its length. A quantised Johnson-Lindenstrauss transform is unbiased (Definition 1, Lemma 4):

    E[ √(π/2)/d · ‖r‖ · Gᵀ sign(G·r) ] = r

It is here to be measured: at equal bits EDEN's scale is unbiased too, and its error is a fifth (docs/turboquant.md)."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jevons.quant.packing import pack, packed_bytes, unpack
from jevons.quant.turboquant import LENGTH_BYTES, Codes, Floats, RotationName, TurboQuant, half, single, vectors


@dataclass(frozen=True)
class ProdCodes:
    """n encoded vectors: their first stage (none at 1 bit), the signs of G·r, u8[n, ⌈d/8⌉], and ‖r‖, f16[n]."""

    mse: Codes | None
    signs: NDArray[np.uint8]
    lengths: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.lengths)


class TurboQuantProd:
    """Encodes vectors of `dim` coordinates in `bits` (1 to 8) a coordinate, the sign counted in, and two 16-bit lengths a vector (one at 1 bit)."""

    def __init__(self, dim: int, bits: int, *, rotation: RotationName = "hadamard", seed: int = 0) -> None:
        self.dim, self.bits = dim, bits
        self._mse = TurboQuant(dim, bits - 1, rotation=rotation, scale="mse", seed=seed) if bits != 1 else None
        self._gaussian = np.random.default_rng([seed, 0x514A4C]).standard_normal((dim, dim), dtype=np.float32)

    @property
    def bytes_per_vector(self) -> int:
        return packed_bytes(self.dim, 1) + LENGTH_BYTES + (self._mse.bytes_per_vector if self._mse else 0)

    @property
    def bits_per_element(self) -> float:
        """The lengths counted in."""
        return 8 * self.bytes_per_vector / self.dim

    def encode(self, x: ArrayLike) -> ProdCodes:
        """Algorithm 2, lines 5 to 8. ValueError as in TurboQuant.encode."""
        rows = vectors(x, self.dim)
        first = self._mse.encode(rows) if self._mse else None
        rest = single(rows) - self._mse.decode(first) if self._mse and first else single(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = half(np.linalg.norm(rest, axis=1).astype(np.float32), rows)
        return ProdCodes(first, pack((rest @ self._gaussian.T >= 0).astype(np.uint8), 1), lengths)

    def decode(self, codes: ProdCodes) -> Floats:
        """Algorithm 2, lines 10 to 12: x̂ + √(π/2)/d · ‖r‖ · Gᵀ·signs, f32[n, d]."""
        rest: Floats = self._directions(codes) @ self._gaussian
        return rest + self._mse.decode(codes.mse) if self._mse and codes.mse else rest

    def inner_products(self, codes: ProdCodes, queries: ArrayLike) -> Floats:
        """The unbiased estimates of ⟨q, x⟩ (Theorem 2) for queries [m, d] and every encoded vector, f32[m, n]."""
        rows = single(vectors(queries, self.dim))
        rest: Floats = np.matmul(rows @ self._gaussian.T, self._directions(codes).T)
        return rest + self._mse.inner_products(codes.mse, rows) if self._mse and codes.mse else rest

    def _directions(self, codes: ProdCodes) -> Floats:
        """√(π/2)/d · ‖r‖ · signs, f32[n, d]."""
        signs: Floats = unpack(codes.signs, 1, self.dim).astype(np.float32) * 2 - 1
        signs *= np.float32(sqrt(pi / 2) / self.dim) * codes.lengths.astype(np.float32)[:, None]
        return signs
