"""Vectors drawn by a seed, and the errors TurboQuant makes of them: squared error, inner products, sparse vectors. Numbers in, numbers out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jevons.quant.codebooks import codebook
from jevons.quant.qjl import TurboQuantProd
from jevons.quant.turboquant import RotationName, ScaleName, TurboQuant

Floats = NDArray[np.float32]
Quantiser = TurboQuant | TurboQuantProd

DIMS = (64, 128, 256, 384, 768, 1536)
BITS = (1, 2, 3, 4)
DRAWN = 8_000_000
"""Coordinates behind a figure of distortion: its standard error is then a tenth of a percent or two."""
SEEDS = 4


@dataclass(frozen=True)
class Products:
    """Of many pairs: d·E(⟨q, x̂⟩ − ⟨q, x⟩)², and the mean of ⟨q, x̂⟩/⟨q, x⟩ − 1 (nothing at a cosine of 0)."""

    error: float
    bias: float | None


def directions(count: int, dim: int, seed: int) -> Floats:
    """Unit vectors, evenly over the sphere."""
    x = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def queries(x: Floats, cosine: float, seed: int) -> Floats:
    """For every unit vector another one at this cosine to it."""
    other = directions(*x.shape, seed)
    other -= np.sum(other * x, axis=1, keepdims=True) * x
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    turned: Floats = np.float32(cosine) * x + np.float32((1 - cosine**2) ** 0.5) * other
    return turned


def distortion(quantiser: Quantiser, x: Floats) -> float:
    """Σ‖x̂ − x‖² / Σ‖x‖²."""
    back = quantiser.decode(quantiser.encode(x))  # type: ignore[arg-type]
    return float(np.square(back - x).sum(dtype=np.float64) / np.square(x).sum(dtype=np.float64))


def distortions(dim: int, bits: int, drawn: int = DRAWN) -> dict[str, float]:
    """Algorithm 1 (S = ‖x‖) on random directions and rotations, by rotation, beside the theory of this dimension."""
    found = {"theory": codebook(dim, bits).mse}
    names: tuple[RotationName, ...] = ("hadamard", "dense")
    for name in names:
        count = drawn // dim // SEEDS
        found[name] = float(
            np.mean(
                [
                    distortion(TurboQuant(dim, bits, rotation=name, scale="mse", seed=s), directions(count, dim, s))
                    for s in range(SEEDS)
                ]
            )
        )
    return found


def products(make: str, dim: int, bits: int, cosine: float, count: int = 40_000) -> Products:
    """Errors of one way: "prod", or a scale of TurboQuant."""
    errors, ratios = [], []
    for seed in range(SEEDS):
        x = directions(count // SEEDS, dim, seed)
        q = queries(x, cosine, seed + 1000)
        quantiser = quantiser_of(make, dim, bits, seed)
        estimate = np.sum(q * quantiser.decode(quantiser.encode(x)), axis=1, dtype=np.float64)  # type: ignore[arg-type]
        errors.append(np.square(estimate - cosine).mean())
        ratios.append(estimate.mean() / cosine - 1 if cosine else 0.0)
    return Products(dim * float(np.mean(errors)), float(np.mean(ratios)) if cosine else None)


def quantiser_of(make: str, dim: int, bits: int, seed: int = 0) -> Quantiser:
    """ "prod", "mse", "norm" or "eden"."""
    if make == "prod":
        return TurboQuantProd(dim, bits, seed=seed)
    scale: ScaleName = "mse" if make == "mse" else "norm" if make == "norm" else "eden"
    return TurboQuant(dim, bits, scale=scale, seed=seed)


def sparse(dim: int, nonzero: int, bits: int, rotation: RotationName, scale: ScaleName, seeds: int = 16) -> float:
    """Distortion of vectors of which only `nonzero` coordinates, at random places, are not 0; over several rotations."""
    found = [
        distortion(TurboQuant(dim, bits, rotation=rotation, scale=scale, seed=seed), sparse_vectors(1000, dim, nonzero, seed))
        for seed in range(seeds)
    ]
    return float(np.mean(found))


def sparse_bias(dim: int, nonzero: int, bits: int, rotation: RotationName, seeds: int = 400) -> float:
    """‖E x̂ − x‖² of sparse unit vectors with EDEN's scale, E over rotations: 0 if they are as good as evenly drawn.

    From the mean of N errors, whose square holds 1/N of their variance too; that is taken off."""
    x = sparse_vectors(50, dim, nonzero, 0)
    total, squares = np.zeros(x.shape), 0.0
    for seed in range(seeds):
        quantiser = TurboQuant(dim, bits, rotation=rotation, seed=seed)
        error = quantiser.decode(quantiser.encode(x)) - x
        total += error
        squares += float(np.square(error).sum(1).mean()) / seeds
    of_mean = float(np.square(total / seeds).sum(1).mean())
    return (of_mean - squares / seeds) / (1 - 1 / seeds)


def sparse_vectors(count: int, dim: int, nonzero: int, seed: int) -> Floats:
    """Unit vectors with Gaussian values at `nonzero` random places."""
    chance = np.random.default_rng(seed)
    x = np.zeros((count, dim), np.float32)
    places = np.argsort(chance.random(x.shape), axis=1)[:, :nonzero]
    np.put_along_axis(x, places, chance.standard_normal(places.shape).astype(np.float32), axis=1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def loud_channels(dim: int, loud: int, factor: float, count: int = 20_000) -> Floats:
    """Gaussian vectors of which the first `loud` channels are `factor` times as large, as keys of attention are said to have them."""
    x = np.random.default_rng(7).standard_normal((count, dim), dtype=np.float32)
    x[:, :loud] *= np.float32(factor)
    return x
