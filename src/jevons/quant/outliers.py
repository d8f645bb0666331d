"""Fractional bits: outlier channels get one bit more (Section 4.3 of arXiv 2504.19874).

In: vectors whose channels differ in size from place to place but not from vector to vector, as keys of a language model's attention do. The
channels are split in two sets, each encoded by a TurboQuant of its own: b + 1 bits for the outliers, b for the others. b + ½ bits need half of the
channels as outliers. (The paper's 2.5 bits are 32 channels of 128 at 3 bits and 96 at 2, which is 2.25.) It does not know which
channels are outliers: `outlier_channels` takes those of a sample."""

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jevons.quant.turboquant import Codes, Floats, RotationName, ScaleName, TurboQuant, vectors


@dataclass(frozen=True)
class OutlierCodes:
    """n encoded vectors: their outlier channels and the others."""

    outliers: Codes
    others: Codes

    def __len__(self) -> int:
        return len(self.others)


class OutlierTurboQuant:
    """Encodes vectors of `dim` coordinates in `bits` a coordinate, say 2.5, and two 16-bit lengths a vector."""

    def __init__(
        self,
        dim: int,
        bits: float,
        channels: ArrayLike,
        *,
        rotation: RotationName = "hadamard",
        scale: ScaleName = "eden",
        seed: int = 0,
    ) -> None:
        """`channels`: the outliers' indices; ValueError unless there are as many as `bits` asks for (`outlier_count`)."""
        self.dim, self.bits = dim, bits
        self._outliers = np.unique(np.asarray(channels, dtype=np.intp))
        self._others = np.setdiff1d(np.arange(dim), self._outliers)
        if len(self._outliers) != outlier_count(dim, bits) or len(self._outliers) + len(self._others) != dim:
            raise ValueError(f"{bits} bits of {dim} channels need {outlier_count(dim, bits)} different outliers among them.")
        width = floor(bits)
        self._more = TurboQuant(len(self._outliers), width + 1, rotation=rotation, scale=scale, seed=seed)
        self._fewer = TurboQuant(len(self._others), width, rotation=rotation, scale=scale, seed=seed + 1)

    @property
    def bytes_per_vector(self) -> int:
        return self._more.bytes_per_vector + self._fewer.bytes_per_vector

    @property
    def bits_per_element(self) -> float:
        """Both lengths counted in."""
        return 8 * self.bytes_per_vector / self.dim

    def encode(self, x: ArrayLike) -> OutlierCodes:
        """ValueError as in TurboQuant.encode."""
        rows = vectors(x, self.dim)
        return OutlierCodes(self._more.encode(rows[:, self._outliers]), self._fewer.encode(rows[:, self._others]))

    def decode(self, codes: OutlierCodes) -> Floats:
        """f32[n, d], the channels in their old places."""
        out = np.empty((len(codes), self.dim), np.float32)
        out[:, self._outliers] = self._more.decode(codes.outliers)
        out[:, self._others] = self._fewer.decode(codes.others)
        return out


def outlier_count(dim: int, bits: float) -> int:
    """How many channels have ⌊bits⌋ + 1 bits, so that the mean is `bits` as nearly as can be."""
    return round((bits - floor(bits)) * dim)


def outlier_channels(sample: ArrayLike, bits: float) -> NDArray[np.intp]:
    """The channels of sample [n, d] with the greatest mean square, as many as `bits` asks for, ascending."""
    rows = np.asarray(sample, dtype=np.float64)
    energy = np.square(rows).mean(axis=0)
    return np.sort(np.argsort(-energy, kind="stable")[: outlier_count(rows.shape[1], bits)])
