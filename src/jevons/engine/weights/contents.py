"""What a model file holds: how many weights, of which types, and how many of them a token touches.

Comes in: a path. Goes out: `Contents`, counted from the file's own list of tensors, nothing loaded. Does not know: where the file is from.
"""

from collections import Counter
from functools import cached_property
from pathlib import Path

import msgspec

from jevons.engine.gguf import Tensor, tensors

WHOLE = {"F64", "F32", "F16", "BF16"}
"""Types without a shared scale: a file that has nothing else was never quantised."""
SUPERBLOCK = 256
"""Weights that share scales in K and IQ types: a row that is no multiple of it gets a type with blocks of 32 instead."""


class File(msgspec.Struct, frozen=True):
    """What is said of a file beside its name."""

    size_bytes: int
    bits_per_weight: float
    types: dict[str, float]
    """Tensor type -> share of the weights."""
    fell_back: str
    """What to say of rows that do not divide into the blocks of the type that was asked for; empty if all do."""


class Contents:
    """The tensors of one file, summed."""

    def __init__(self, path: Path) -> None:
        """Raises gguf.NotGguf, OSError."""
        self.path = path
        self.tensors: tuple[Tensor, ...] = tensors(path)

    @cached_property
    def parameters(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Scales and norms included: bits of all tensors over the number of weights."""
        return 8 * sum(tensor.size_bytes for tensor in self.tensors) / max(self.parameters, 1)

    @cached_property
    def shares(self) -> dict[str, float]:
        """Type -> share of the weights, largest first. What is smaller than a thousandth (norms) is left out."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.type] += tensor.parameters
        return {kind: count / self.parameters for kind, count in counts.most_common() if count >= self.parameters / 1000}

    @property
    def quantised(self) -> bool:
        """Whether any matrix has fewer bits than a float of 16: then figures from this file are not those of the true weights."""
        return any(tensor.type not in WHOLE for tensor in self.tensors if len(tensor.shape) > 1)

    def file(self, kind: str = "") -> File:
        """`kind`: the file type that was asked for when it was made."""
        return File(self.path.stat().st_size, self.bits_per_weight, self.shares, self.fell_back(kind))

    def fell_back(self, kind: str) -> str:
        """Of the file type `kind`: which matrices did not get it, and why; empty if all could."""
        if not kind.startswith(("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ")) or kind == "IQ4_NL":
            return ""
        matrices = [tensor for tensor in self.tensors if len(tensor.shape) > 1]
        narrow = sum(tensor.shape[0] % SUPERBLOCK > 0 for tensor in matrices)
        if not narrow:
            return ""
        return f"rows of {narrow} of {len(matrices)} matrices are no multiple of {SUPERBLOCK}: they have a type with blocks of 32 instead"
