"""How many bits a weight and a cached element have, and in what numbers they are multiplied.

Comes in: a precision's name, as tables and files have it, and the model where its own checkpoints depart from what is usual. Goes out: bits by
kind of weight, scales included. Does not know: which hardware can multiply what, bytes of a file at hand (gguf_read.precision_of does).
"""

import re
from collections.abc import Mapping

import msgspec

from jevons.economics.unitcost.architecture import KINDS, Architecture, Kind
from jevons.economics.unitcost.errors import UnknownFact


class Precision(msgspec.Struct, frozen=True):
    """Of a model's weights."""

    name: str
    bits: dict[Kind, float]
    """Of a weight, with its share of scales."""
    compute: dict[Kind, str]
    """Numbers in which products are made: "f32", "f16", "bf16", "fp8", "fp4", "int8", as a part's figures are named."""
    source: str
    """Why these bits, and why some kinds have more."""


class CachePrecision(msgspec.Struct, frozen=True):
    """Of keys and values."""

    name: str
    key_bits: float
    value_bits: float
    vector_bits: float = 0.0
    """Beside its elements, of a key and a value of one head together: scales that do not grow with the head."""
    compute: str = "bf16"
    """Numbers in which attention's products are made."""

    def bits(self, head_dim: int) -> float:
        """Of one element, the mean of keys and values."""
        return (self.key_bits + self.value_bits) / 2 + self.vector_bits / (2 * head_dim)


class _Format(msgspec.Struct, frozen=True):
    """A number format of weights."""

    bits: float
    compute: str
    wide: frozenset[Kind]
    """Kinds that stay bf16."""
    source: str


_USUAL: frozenset[Kind] = frozenset({"embedding", "head", "router"})
_LESS_ATTENTION: frozenset[Kind] = _USUAL | {"attention"}
_EXPERTS_ALONE: frozenset[Kind] = _LESS_ATTENTION | {"shared", "dense"}
_NONE: frozenset[Kind] = frozenset()
_EXCLUDED = (
    "output layer and router excluded: hf_quant_config.json of nvidia/Llama-3.1-70B-Instruct-FP8 and nvidia/Qwen3-235B-A22B-NVFP4"
)
_FORMATS = {
    "fp32": _Format(32, "f32", _NONE, "as trained"),
    "bf16": _Format(16, "bf16", _NONE, "as trained"),
    "fp16": _Format(16, "f16", _NONE, "as trained"),
    "fp8": _Format(8, "fp8", _USUAL, f"scales of a tensor or of 128 × 128 weights (.002 bits); {_EXCLUDED}"),
    "mxfp8": _Format(8.25, "fp8", _USUAL, "8 bits and 8 of scale for 32 weights (OCP Microscaling 1.0)"),
    "w4a8": _Format(
        4.15625, "fp8", _USUAL, "weights as int4 has them, unpacked to 8 bits for the product (TensorRT-LLM's W4A8 AWQ)"
    ),
    "nvfp4": _Format(4.5, "fp4", _USUAL, f"4 bits and 8 of scale for 16 weights; {_EXCLUDED}"),
    "mxfp4": _Format(4.25, "fp4", _USUAL, "4 bits and 8 of scale for 32 weights (OCP Microscaling 1.0)"),
    "int8": _Format(8, "int8", _USUAL, f"a scale for a row; {_EXCLUDED}"),
    "int4": _Format(
        4.15625,
        "bf16",
        _USUAL,
        "4 bits, 16 of scale and 4 of zero for 128 weights (GPTQ, AWQ); unpacked to 16 bits for the product",
    ),
}
_OWN: dict[tuple[str, str], _Format] = {
    ("gpt_oss", "mxfp4"): _Format(
        4.25, "bf16", _EXPERTS_ALONE, "openai/gpt-oss-120b, config.json: modules_to_not_convert; bf16 activations"
    ),
    ("gpt_oss", "fp8"): _Format(4.25, "fp8", _EXPERTS_ALONE, "the same weights, fp8 activations: there is no other checkpoint"),
    ("gpt_oss", "nvfp4"): _Format(
        4.25, "fp8", _EXPERTS_ALONE, "the same weights, mxfp8 activations, multiplied at the rate of fp8"
    ),
    ("kimi_k2", "int4"): _Format(4.5, "bf16", _EXPERTS_ALONE, "moonshotai/Kimi-K2.5, config.json: groups of 32, experts alone"),
    ("kimi_k2", "nvfp4"): _Format(4.5, "fp4", _LESS_ATTENTION | {"shared"}, "nvidia/Kimi-K2.6-NVFP4, hf_quant_config.json"),
    ("glm_moe_dsa", "nvfp4"): _Format(4.5, "fp4", _LESS_ATTENTION | {"shared"}, "nvidia/GLM-5.1-NVFP4, hf_quant_config.json"),
    ("deepseek_v3", "nvfp4"): _Format(
        4.5,
        "fp4",
        _LESS_ATTENTION,
        "nvidia/DeepSeek-V3.1-NVFP4, hf_quant_config.json; of attention it does quantise the output matrix",
    ),
    ("deepseek_v32", "nvfp4"): _Format(4.5, "fp4", _LESS_ATTENTION, "nvidia/DeepSeek-V3.2-NVFP4, hf_quant_config.json, as V3.1"),
    ("minimax_m2", "nvfp4"): _Format(4.5, "fp4", _LESS_ATTENTION, "nvidia/MiniMax-M2.5-NVFP4, hf_quant_config.json"),
    ("gemma4", "nvfp4"): _Format(
        4.5,
        "fp4",
        _LESS_ATTENTION | {"shared"},
        "nvidia/Gemma-4-31B-IT-NVFP4 and nvidia/Gemma-4-26B-A4B-NVFP4, hf_quant_config.json",
    ),
    ("qwen3_5_moe", "nvfp4"): _Format(
        4.5, "fp4", _LESS_ATTENTION | {"shared"}, "nvidia/Qwen3.5-397B-A17B-NVFP4, hf_quant_config.json"
    ),
}
"""What a family's own checkpoints do otherwise."""

_BLOCKS = {
    "q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0, "q8_0": 8.5, "iq4_nl": 4.5, "iq4_xs": 4.25, "q2_k": 2.625, "q3_k": 3.4375,
    "q4_k": 4.5, "q5_k": 5.5, "q6_k": 6.5625,
}  # fmt: skip
"""Bits of ggml's block types: bytes of a block over its weights (ggml-common.h)."""
_MIXES = {
    "iq1_s": 2.0042, "iq1_m": 2.1460, "iq2_xxs": 2.3824, "iq2_xs": 2.5882, "iq2_s": 2.7403, "iq2_m": 2.9294, "iq3_xxs": 3.2548,
    "iq3_xs": 3.4977, "iq3_s": 3.6606, "iq3_m": 3.7628, "q2_k_s": 2.9697, "q3_k_s": 3.6429, "q3_k_m": 3.99, "q3_k_l": 4.2979,
    "q4_k_s": 4.6672, "q4_k_m": 4.8944, "q5_k_s": 5.5704, "q5_k_m": 5.7036,
}  # fmt: skip
"""Bits of a file of several types, the mean of all weights of Llama 3.1 8B (llama.cpp, tools/quantize/README.md; q3_k_m is worked out from
its 3.74 GiB). Of another model they differ by some per cent; its file's tensors tell them."""
_SPELLED = {
    "fp4": "nvfp4", "w4a4": "nvfp4", "float32": "fp32", "f32": "fp32", "bfloat16": "bf16", "float16": "fp16", "f16": "fp16", "half": "fp16",
    "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "e4m3": "fp8", "e5m2": "fp8", "w8a8_fp8": "fp8",
    "w8a8": "int8", "awq": "int4", "gptq": "int4", "w4a16": "int4",
}  # fmt: skip
_GGML_COMPUTE = "int8"
"""llama.cpp quantises what goes into a product to 8 bits and multiplies integers, on the CPU and, where a card can, on it
(ggml-cpu/quants.c; ggml-cuda/mmq.cuh, mmvq.cu)."""


def precision(name: str, arch: Architecture | None = None) -> Precision:
    """By its name; with `arch`, as that family's own checkpoints have it. Raises UnknownFact."""
    key = _spelled(name)
    form = _OWN.get((arch.family, key)) if arch else None
    form = form or _FORMATS.get(key)
    if form:
        return Precision(
            key,
            {kind: 16 if kind in form.wide else form.bits for kind in KINDS},
            {kind: "bf16" if kind in form.wide else form.compute for kind in KINDS},
            form.source,
        )
    if key in _BLOCKS:
        head = max(_BLOCKS["q6_k"], _BLOCKS[key])
        bits: dict[Kind, float] = dict.fromkeys(KINDS, _BLOCKS[key]) | {"head": head, "router": 32}
        return Precision(
            key,
            bits,
            dict.fromkeys(KINDS, _GGML_COMPUTE),
            "ggml-common.h; llama-quantize keeps an output layer at q6_k, a router at f32",
        )
    if key in _MIXES:
        return Precision(
            key, dict.fromkeys(KINDS, _MIXES[key]), dict.fromkeys(KINDS, _GGML_COMPUTE), "llama.cpp, tools/quantize/README.md"
        )
    known = ", ".join(sorted(_FORMATS | _BLOCKS | _MIXES | _SPELLED))
    raise UnknownFact(f"the weight precision {name!r} is not known; known are {known}")


def cache_precision(name: str) -> CachePrecision:
    """Of keys and values, by its name. `turboquant-B`, B = 1 to 8 bits, is how parked conversations are kept (engine/park, docs/turboquant.md):
    a vector's codes and a length of 16 bits. Raises UnknownFact."""
    key = _spelled(name)
    if found := re.fullmatch(r"turboquant[-_]?([1-8])", key):
        return CachePrecision(key, float(found[1]), float(found[1]), vector_bits=32)
    if key in ("fp32", "bf16", "fp16", "fp8", "nvfp4", "int8"):
        form = _FORMATS[key]
        return CachePrecision(key, form.bits, form.bits, compute="fp8" if key == "nvfp4" else form.compute)
    if key in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl"):
        return CachePrecision(key, _BLOCKS[key], _BLOCKS[key], compute="f16")
    known = "fp32, bf16, fp16, fp8, nvfp4, int8, q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl, turboquant-1 to turboquant-8"
    raise UnknownFact(f"the precision {name!r} of keys and values is not known; known are {known}")


def weight_bytes(arch: Architecture, precision: Precision) -> dict[Kind, float]:
    """Of the whole model, by kind. A tied output layer is the embedding's."""
    return {kind: params * precision.bits[kind] / 8 for kind, params in arch.params.items()}


def _spelled(name: str) -> str:
    key = name.strip().lower().replace("-", "_")
    return _SPELLED.get(key, key)


def mean_bits(arch: Architecture, precision: Precision) -> float:
    """Of all weights of the model."""
    return 8 * sum(weight_bytes(arch, precision).values()) / arch.params_total


def measured(name: str, bits: Mapping[Kind, float], compute: Mapping[Kind, str]) -> Precision:
    """Of a file whose bytes are known."""
    return Precision(name, dict(bits), dict(compute), "the file's own tensors")
