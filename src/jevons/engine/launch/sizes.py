"""Bytes of a model's weights, and of a token's keys and values, as vLLM lays them out.

Comes in: a model's config.json, as Hugging Face's models have it. Goes out: a `Shape` and bytes. Parameters are worked out for decoders of
gated feed-forward layers (Llama, Qwen, Mistral, Gemma, Mixtral, DeepSeek, …) to within some percent; whoever knows them says so.
Does not know: the memory that a run takes beside these (activations, CUDA graphs), which vLLM measures when it starts.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

BOUNDARY_LAYERS = 4
"""The first two and the last two layers keep the model's own type under turboquant_* and ultraquant_4bit (vLLM 0.32,
vllm/model_executor/layers/quantization/turboquant/config.py: get_boundary_skip_layers)."""
TURBOQUANT = {"turboquant_k8v4": (8, 4), "turboquant_4bit_nc": (4, 4), "turboquant_k3v4_nc": (3, 4), "turboquant_3bit_nc": (3, 3)}
"""Bits of keys and values (the same file: TQ_PRESETS)."""


class Unreadable(Exception):
    """A config.json that says too little."""


class Shape(msgspec.Struct, frozen=True):
    """What a model's memory depends on."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    params: int
    params_linear: int
    """Of them those that quantising makes smaller: all but the embedding and the output layer."""
    context_tokens: int
    """Longest context that it was made for; 0 = not said."""
    type_bytes: int = 2
    """Of an element as the checkpoint has it, and of keys and values in the model's own type."""
    quantization: str = ""
    """How the checkpoint is quantised already."""
    latent: int = 0
    """Elements of a token's compressed keys and values in a layer (multi-head latent attention); 0 = it has none."""


def shape_of(config: Mapping[str, Any], params: int | None = None) -> Shape:
    """`params`: of the model, if known. Raises Unreadable."""
    quantized = config.get("quantization_config")
    text = config.get("text_config", config)
    try:
        layers, hidden, heads = (int(text[key]) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
        vocabulary = int(text["vocab_size"])
        kv_heads = int(text.get("num_key_value_heads") or heads)
        head_dim = int(text.get("head_dim") or hidden // heads)
        latent = int(text["kv_lora_rank"]) + int(text["qk_rope_head_dim"]) if text.get("kv_lora_rank") else 0
        attention = 2 * hidden * head_dim * (heads + kv_heads)
        linear = layers * (attention + 3 * hidden * _feed_forward(text))
        embedding = vocabulary * hidden * (1 if text.get("tie_word_embeddings", False) else 2)
        if params is not None:
            embedding, linear = min(embedding, params), max(0, params - embedding)
        own = str(text.get("torch_dtype") or text.get("dtype") or config.get("torch_dtype") or "bfloat16")
        return Shape(
            layers, heads, kv_heads, head_dim, linear + embedding, linear, int(text.get("max_position_embeddings") or 0),
            4 if own == "float32" else 2, str((quantized or {}).get("quant_method", "")), latent,
        )  # fmt: skip
    except KeyError as error:
        raise Unreadable(f"it has no {error.args[0]!r}") from None
    except (TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
        raise Unreadable(f"it cannot be understood ({error})") from None


def _feed_forward(text: Mapping[str, Any]) -> int:
    """Width of all experts of a layer together."""
    experts = next((int(text[key]) for key in ("num_local_experts", "n_routed_experts", "num_experts") if text.get(key)), 1)
    width = int(text.get("moe_intermediate_size") or text["intermediate_size"]) if experts > 1 else int(text["intermediate_size"])
    return width * (experts + int(text.get("n_shared_experts") or 0))


def weight_bytes(shape: Shape, bits: float | None) -> int:
    """`bits` of a weight of the linear layers; None = as the checkpoint has them. The embedding and the output layer keep their type."""
    linear = shape.params_linear * (bits / 8 if bits else shape.type_bytes)
    return int(linear + (shape.params - shape.params_linear) * shape.type_bytes)


def kv_bytes(shape: Shape, dtype: str, shards: int = 1) -> int:
    """Of one token on one of `shards` tensor-parallel accelerators: heads are divided among them, and copied when there are more of them."""
    if shape.latent:
        return int(shape.layers * shape.latent * _element_bytes(dtype, shape.type_bytes))
    heads = math.ceil(shape.kv_heads / shards)
    own = 2 * shape.head_dim * shape.type_bytes
    skipped = BOUNDARY_LAYERS if dtype in TURBOQUANT or dtype == "ultraquant_4bit" else 0
    packed = max(0, shape.layers - skipped)
    return heads * (packed * _slot_bytes(shape.head_dim, dtype, shape.type_bytes) + (shape.layers - packed) * own)


def _slot_bytes(head_dim: int, dtype: str, type_bytes: int) -> int:
    """A key and a value of one head (vLLM 0.32: TurboQuantConfig.slot_size_aligned, ultraquant/format.py, triton_attn.py, and the nvfp4
    layout of a byte of scale per 16)."""
    if dtype in TURBOQUANT:
        key_bits, value_bits = TURBOQUANT[dtype]
        key = head_dim if key_bits == 8 else math.ceil(head_dim * key_bits / 8) + 2
        slot = key + math.ceil(head_dim * value_bits / 8) + 4
        return slot + slot % 2
    if dtype == "ultraquant_4bit":
        return head_dim + 2 * math.ceil(head_dim / 32)
    if dtype.startswith("nvfp4"):
        return 2 * (head_dim // 2 + math.ceil(head_dim / 16))
    if dtype.endswith("_per_token_head"):
        return 2 * ((head_dim // 2 if dtype.startswith("int4") else head_dim) + 4)
    return int(2 * head_dim * _element_bytes(dtype, type_bytes))


def _element_bytes(dtype: str, type_bytes: int) -> float:
    if dtype in ("float16", "bfloat16"):
        return 2
    return type_bytes if dtype == "auto" else 1
