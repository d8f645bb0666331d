"""How many bits a weight and a cached element have, and in what numbers they are multiplied.

Comes in: a precision's name, as tables and files have it. Goes out: bits by kind of weight, scales included. Does not know: models.
"""

from collections.abc import Mapping

import msgspec

from jevons.economics.unitcost.architecture import KINDS, Architecture, Kind
from jevons.economics.unitcost.errors import UnknownFact

LINEAR: tuple[Kind, ...] = ("attention", "dense", "shared", "experts")
"""What a quantiser makes smaller by convention; embedding, output layer and router stay as wide as they are."""


class Precision(msgspec.Struct, frozen=True):
    """Of a model's weights."""

    name: str
    bits: dict[Kind, float]
    """Of a weight, with its share of scales."""
    compute: dict[Kind, str]
    """Numbers in which products are made: "f32", "f16", "bf16", "fp8", "fp4", "int8", as a part's figures are named."""


class CachePrecision(msgspec.Struct, frozen=True):
    """Of keys and values."""

    name: str
    key_bits: float
    value_bits: float
    vector_bits: float = 0.0
    """Beside its elements, of a key and a value of one head together: scales that do not divide by elements."""
    compute: str = "bf16"
    """Numbers in which attention's products are made."""

    def bits(self, head_dim: int) -> float:
        """Of one element, the mean of keys and values."""
        return (self.key_bits + self.value_bits) / 2 + self.vector_bits / (2 * head_dim)


def even(name: str, bits: float, compute: str, wide: Mapping[Kind, float] | None = None, wide_compute: str = "bf16") -> Precision:
    """`bits` for every kind, but those in `wide`."""
    wide = wide or {}
    return Precision(
        name, {kind: wide.get(kind, bits) for kind in KINDS}, {kind: wide_compute if kind in wide else compute for kind in KINDS}
    )


BYTES_16: dict[Kind, float] = {"embedding": 16, "head": 16, "router": 16}
PRECISIONS = {
    "fp32": even("fp32", 32, "f32"),
    "bf16": even("bf16", 16, "bf16"),
    "fp16": even("fp16", 16, "f16"),
    "fp8": even("fp8", 8, "fp8", BYTES_16),
    "nvfp4": even("nvfp4", 4.5, "fp4", BYTES_16),
    "mxfp4": even("mxfp4", 4.25, "fp4", BYTES_16),
    "int8": even("int8", 8, "int8", BYTES_16),
    "int4": even("int4", 4.25, "bf16", BYTES_16),
}
ALIASES = {"fp4": "nvfp4", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "awq": "int4", "gptq": "int4"}
CACHES = {
    "fp32": CachePrecision("fp32", 32, 32, compute="f32"),
    "bf16": CachePrecision("bf16", 16, 16),
    "fp16": CachePrecision("fp16", 16, 16, compute="f16"),
    "fp8": CachePrecision("fp8", 8, 8),
}


def precision(name: str, arch: Architecture | None = None) -> Precision:
    """By its name; `arch` where a model's own checkpoints depart from the convention. Raises UnknownFact."""
    key = ALIASES.get(name.lower(), name.lower())
    if key not in PRECISIONS:
        raise UnknownFact(f"the weight precision {name!r} is not known; known are {', '.join(sorted(PRECISIONS | ALIASES))}")
    return PRECISIONS[key]


def cache_precision(name: str) -> CachePrecision:
    """By its name. Raises UnknownFact."""
    key = ALIASES.get(name.lower(), name.lower())
    if key not in CACHES:
        raise UnknownFact(f"the precision {name!r} of keys and values is not known; known are {', '.join(sorted(CACHES))}")
    return CACHES[key]


def weight_bytes(arch: Architecture, precision: Precision) -> dict[Kind, float]:
    """Of the whole model, by kind. A tied output layer is the embedding's."""
    return {kind: params * precision.bits[kind] / 8 for kind, params in arch.params.items()}
