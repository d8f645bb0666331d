"""The scalar quantiser that is best for one coordinate of a randomly rotated unit vector: TurboQuant's codebooks.

In: the dimension d and the bits b of a coordinate. Out: 2^b centroids, the boundaries between them, and the error they make. A coordinate x of
a point drawn evenly from the unit sphere of R^d has the density (Lemma 1 of arXiv 2504.19874)

    f(x) = Γ(d/2) / (√π Γ((d−1)/2)) · (1 − x²)^((d−3)/2),     −1 ≤ x ≤ 1

and the codebook minimises C(f, b) = min Σᵢ ∫_cell(i) |x − cᵢ|² f(x) dx (Equation 4). The paper solves it for the normal density N(0, 1/d) that
f tends to; here it is solved for f itself, once per d and b: at d = 64 the outer centroids differ by some 3 %. Nothing here knows data."""

from dataclasses import dataclass
from functools import cache
from math import exp, lgamma, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from jevons.quant.packing import MAX_BITS

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_TAIL = 13.0
"""Standard deviations after which the density is taken as nothing: e^(−13²/2) is below the smallest difference of doubles."""
_STEPS = 60
"""Newton's method takes one to five from the start used here."""


@dataclass(frozen=True)
class Codebook:
    """2^b values for a coordinate of a rotated unit vector, ascending and symmetric about 0."""

    centroids: NDArray[np.float32]
    """f32[2^b]."""
    boundaries: NDArray[np.float32]
    """f32[2^b − 1], midway between neighbouring centroids: the code of x is the number of boundaries below it."""
    mse: float
    """d · C(f, b): the expected ‖x − x̂‖² of a unit vector (Theorem 1), by quadrature."""

    @property
    def magnitudes(self) -> NDArray[np.float32]:
        """The boundaries above 0, f32[2^(b−1) − 1]: with the sign they say the code, in half the comparisons."""
        return self.boundaries[len(self.centroids) // 2 :]


@cache
def codebook(d: int, bits: int) -> Codebook:
    """The codebook for d ≥ 2 dimensions and 1 to 8 bits; a few milliseconds the first time. ValueError for anything else."""
    if d < 2:
        raise ValueError(f"A direction needs at least 2 dimensions, not {d}.")
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"A code has 1 to {MAX_BITS} bits, not {bits}.")
    positive, cost = _solve(d, 2 ** (bits - 1))
    centroids = np.concatenate([-positive[::-1], positive])
    boundaries = (centroids[1:] + centroids[:-1]) / 2
    centroids, boundaries = centroids.astype(np.float32), boundaries.astype(np.float32)
    centroids.flags.writeable = boundaries.flags.writeable = False  # every caller of this d and b has the same arrays
    return Codebook(centroids, boundaries, mse=d * cost)


def normal_mse(bits: int) -> float:
    """What `Codebook.mse` tends to as d grows: .3634, .1175, .0345 and .0095 for 1 to 4 bits (Section 3.1 prints .36, .117, .03, .009)."""
    return codebook(10**5, bits).mse


def mse_lower_bound(bits: float) -> float:
    """No code of b bits per coordinate, however clever, is below this for every unit vector (Theorem 3)."""
    return float(4.0**-bits)


def mse_upper_bound(bits: float) -> float:
    """What TurboQuant promises (Theorem 1): the high-resolution formula of Panter and Dite, √3·π/2 ≈ 2.7 above the lower bound."""
    return float(sqrt(3) * pi / 2 * 4.0**-bits)


def _solve(d: int, half: int) -> tuple[NDArray[np.float64], float]:
    """The positive centroids and E(x − c)² of the best symmetric codebook: each is the mean of its cell, each boundary is midway (Lloyd, Max).

    Lloyd's own iteration needs thousands of rounds for 256 levels. The same two conditions are solved by Newton's method, whose
    matrix is tridiagonal: a centroid hangs on its two boundaries only. The start is Panter and Dite's density of levels, f^(1/3)."""
    levels = _panter_dite(d, half)
    for _ in range(_STEPS):
        edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [_end(d)]])
        mass, moment, square = _integrals(d, edges)
        mean = moment / mass
        height = _density(d, edges)
        by_lower, by_upper = height[:-1] * (mean - edges[:-1]) / mass, height[1:] * (edges[1:] - mean) / mass
        by_lower[0] = by_upper[-1] = 0.0  # 0 and the end stay where they are
        jacobian = np.diag((by_lower + by_upper) / 2 - 1) + np.diag(by_lower[1:] / 2, -1) + np.diag(by_upper[:-1] / 2, 1)
        step = np.linalg.solve(jacobian, levels - mean)
        moved = levels + step
        if np.any(np.diff(moved, prepend=0.0) <= 0):
            moved = mean  # too far for Newton: one of Lloyd's own rounds, which cannot fail
        settled = np.max(np.abs(moved - levels)) < 1e-10 * levels[-1]
        levels = moved
        if settled:
            break
    return levels, 2 * float(np.sum(square - 2 * levels * moment + levels**2 * mass))


def _panter_dite(d: int, half: int) -> NDArray[np.float64]:
    """Levels as dense as f^(1/3), which is the same family with a smaller exponent: a normal density √3 times as wide."""
    grid = np.linspace(0.0, min(_end(d), 6 / sqrt(d)), 4096)[:-1]
    share = np.cumsum(_density(d, grid) ** (1 / 3))
    return np.interp((np.arange(half) + 0.5) / half, share / share[-1], grid)


def _end(d: int) -> float:
    return min(1.0, _TAIL / sqrt(d))


def _density(d: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lemma 1. For d = 2 it grows without end towards 1, where only the last cell ends, and no use is made of its height there."""
    return _constant(d) * np.cos(np.arcsin(x)) ** (d - 3)


def _integrals(d: int, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """∫f, ∫x·f and ∫x²·f over each cell, by 64-point Gauss-Legendre over the angle: with x = sin θ the density is cosᵈ⁻²θ, smooth to its end."""
    angles = np.arcsin(edges)
    middle, reach = (angles[1:] + angles[:-1]) / 2, (angles[1:] - angles[:-1]) / 2
    theta = middle[:, None] + reach[:, None] * _NODES
    weight = reach[:, None] * _WEIGHTS * _constant(d) * np.cos(theta) ** (d - 2)
    x = np.sin(theta)
    return weight.sum(1), (weight * x).sum(1), (weight * x * x).sum(1)


def _constant(d: int) -> float:
    return exp(lgamma(d / 2) - lgamma((d - 1) / 2)) / sqrt(pi)
