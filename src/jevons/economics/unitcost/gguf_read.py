"""A model's architecture, and the bits of its weights, from what a GGUF file says of itself.

Comes in: scalar facts, and name, shape, type and bytes of every tensor, as engine/gguf.py reads them (who calls reads the file). Goes out: an
`Architecture` exact to the tensor, and a `Precision` by which weights.weight_bytes comes to the file's bytes. Does not know: files.
What it does not understand it refuses by name: a family, or a tensor of a layer. Names: gguf-py's constants.py.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from jevons.economics.unitcost.architecture import KINDS, Architecture, Attention, Dense, Experts, FeedForward, Kind, Latent
from jevons.economics.unitcost.config_read import gathered
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.weights import Precision, measured


class Tensor(Protocol):
    """As engine/gguf.py has it."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


_EVERY = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4, "olmo2": 4}
"""Of these families one layer in so many sees everything, the others a window (llama.cpp, llama_hparams::set_swa_pattern)."""
_WITHOUT = frozenset({"olmo2"})
"""Of them those that have windows only if the file says how wide: Olmo 3, not Olmo 2."""
_PLAIN = frozenset("llama qwen2 qwen3 qwen2moe qwen3moe gemma phi3 command-r olmo granite starcoder2 gptneox deepseek2".split())
"""Every layer alike but for its tensors."""
_KINDS: dict[str, Kind] = {
    "attn_q": "attention", "attn_k": "attention", "attn_v": "attention", "attn_qkv": "attention", "attn_output": "attention",
    "attn_q_a": "attention", "attn_q_b": "attention", "attn_kv_a_mqa": "attention", "attn_kv_b": "attention", "attn_k_b": "attention",
    "attn_v_b": "attention", "attn_norm": "attention", "attn_norm_2": "attention", "attn_q_norm": "attention", "attn_k_norm": "attention",
    "attn_q_a_norm": "attention", "attn_kv_a_norm": "attention", "attn_sinks": "attention", "post_attention_norm": "attention",
    "ffn_gate": "dense", "ffn_up": "dense", "ffn_down": "dense", "ffn_norm": "dense", "post_ffw_norm": "dense",
    "ffn_gate_inp": "router", "exp_probs_b": "router", "ffn_gate_inp_shexp": "router",
    "ffn_gate_exps": "experts", "ffn_up_exps": "experts", "ffn_down_exps": "experts",
    "ffn_gate_shexp": "shared", "ffn_up_shexp": "shared", "ffn_down_shexp": "shared",
}  # fmt: skip
"""Tensors of a layer. Norms and biases go with the matrices that they stand before."""
_WHOLE = {"F32": "f32", "F16": "f16", "BF16": "bf16", "F64": "f32"}
"""Types that are multiplied as they are; all others as 8-bit integers (weights.py)."""
_LAYER = re.compile(r"blk\.(\d+)\.([a-z0-9_]+)(\.\w+)?")


def from_gguf(facts: Mapping[str, str | int | float | bool], tensors: Iterable[Tensor], name: str = "") -> Architecture:
    """Raises UnknownFact."""
    every = list(tensors)
    family = str(facts.get("general.architecture", ""))
    if family not in _PLAIN and family not in _EVERY:
        raise UnknownFact(
            f"the file's architecture {family!r} is not known; known are {', '.join(sorted(_PLAIN | _EVERY.keys()))}"
        )
    layers: defaultdict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
    top: dict[str, tuple[int, ...]] = {}
    for tensor in every:
        _kind(tensor.name, tied=False)
        if found := _LAYER.fullmatch(tensor.name):
            if (found[3] or ".weight") == ".weight":
                layers[int(found[1])][found[2]] = tensor.shape
        else:
            top[tensor.name] = tensor.shape
    if "token_embd.weight" not in top or sorted(layers) != list(range(_count(facts, family, "block_count"))):
        raise UnknownFact(
            "the file does not have all of its layers; if it is one of several parts, give the tensors of all of them"
        )
    hidden, vocabulary = top["token_embd.weight"]
    made = [
        (_mixer(facts, family, index, layers[index]), _feed_forward(facts, family, layers[index])) for index in sorted(layers)
    ]
    called = name or str(facts.get("general.name") or family)
    longest = _optional(facts, family, "context_length")
    return Architecture(called, family, hidden, vocabulary, "output.weight" not in top, gathered(made), longest)


def bytes_by_type(tensors: Iterable[Tensor]) -> dict[Kind, dict[str, int]]:
    """Bytes of every kind of weight, by ggml's type. Together they are the file's data. Raises UnknownFact."""
    every = list(tensors)
    tied = all(tensor.name != "output.weight" for tensor in every)
    found: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
    for tensor in every:
        sizes = found[_kind(tensor.name, tied)]
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size_bytes
    if not any(tensor.name.endswith(".ffn_down.weight") for tensor in every):  # norms alone: they stand before the router
        for type_, size in found["dense"].items():
            found["router"][type_] = found["router"].get(type_, 0) + size
        found["dense"] = {}
    return found


def precision_of(arch: Architecture, tensors: Sequence[Tensor], name: str = "gguf") -> Precision:
    """Bits by kind such that weights.weight_bytes comes to the file's bytes. Raises UnknownFact."""
    sizes, params = bytes_by_type(tensors), arch.params
    bits: dict[Kind, float] = {kind: 8 * sum(sizes[kind].values()) / params[kind] if params[kind] else 0.0 for kind in KINDS}
    compute: dict[Kind, str] = {
        kind: _WHOLE.get(max(sizes[kind], key=lambda type_: sizes[kind][type_]), "int8") if sizes[kind] else "int8"
        for kind in KINDS
    }
    if arch.tied:
        bits["head"], compute["head"] = bits["embedding"], compute["embedding"]
    return measured(name, bits, compute)


def _kind(name: str, tied: bool) -> Kind:
    if found := _LAYER.fullmatch(name):
        if found[2] in _KINDS:
            return _KINDS[found[2]]
    elif name.startswith(("token_embd.", "rope_")):
        return "embedding"
    elif name.startswith(("output.", "output_norm.")):
        return "embedding" if tied else "head"
    raise UnknownFact(f"the file's tensor {name!r} is not known, so what it costs is not either")


def _mixer(facts: Mapping[str, object], family: str, index: int, shapes: Mapping[str, tuple[int, ...]]) -> Attention | Latent:
    heads = _count(facts, family, "attention.head_count")
    if "attn_kv_a_mqa" in shapes:
        return _latent(facts, family, heads, shapes)
    out = shapes["attn_output"][0]
    head_dim = _optional(facts, family, "attention.key_length") or out // heads
    kv_heads = (shapes["attn_qkv"][1] - out) // (2 * head_dim) if "attn_qkv" in shapes else shapes["attn_k"][1] // head_dim
    window = _optional(facts, family, "attention.sliding_window")
    every = _EVERY.get(family)
    if every and not window and family not in _WITHOUT:
        raise UnknownFact(
            f"the file does not say how wide the windows are: its fact {family}.attention.sliding_window is missing"
        )
    if every and (index + 1) % every == 0:
        window = None
    return Attention(out // head_dim, kv_heads, head_dim, window)


def _latent(facts: Mapping[str, object], family: str, heads: int, shapes: Mapping[str, tuple[int, ...]]) -> Latent:
    """Newer files have attn_kv_b in two parts, and say lengths of the compressed form: tensors tell them either way."""
    rank, rope = _count(facts, family, "attention.kv_lora_rank"), _count(facts, family, "rope.dimension_count")
    queries = shapes["attn_q_b"][1] if "attn_q_b" in shapes else shapes["attn_q"][1]
    query_rank = shapes["attn_q_b"][0] if "attn_q_b" in shapes else None
    return Latent(heads, rank, rope, queries // heads - rope, shapes["attn_output"][0] // heads, query_rank)


def _feed_forward(facts: Mapping[str, object], family: str, shapes: Mapping[str, tuple[int, ...]]) -> FeedForward:
    if "ffn_down_exps" not in shapes:
        width = shapes["ffn_down"][0]
        return Dense(width, "ffn_gate" in shapes or shapes["ffn_up"][1] == 2 * width)  # gate and up in one matrix (Phi 3)
    width, _, number = shapes["ffn_down_exps"]
    shared = shapes["ffn_down_shexp"][0] if "ffn_down_shexp" in shapes else 0
    return Experts(number, _count(facts, family, "expert_used_count"), width, shared, "ffn_gate_exps" in shapes)


def _optional(facts: Mapping[str, object], family: str, key: str) -> int | None:
    value = facts.get(f"{family}.{key}")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnknownFact(f"the file's fact {family}.{key} is {value!r}, which is no count")
    return value or None


def _count(facts: Mapping[str, object], family: str, key: str) -> int:
    value = _optional(facts, family, key)
    if value is None:
        raise UnknownFact(f"the file does not say {family}.{key}")
    return value
