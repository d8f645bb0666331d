"""Families of models: what each layer is, from the fields of a config.json.

Comes in: `Fields`. Goes out: a mixer and a feed-forward for every layer. What a field means is taken from the family's own code in Hugging
Face's transformers (models/<model_type>/), or the model's repository where it brings its own; a default here is the default there.
Does not know: names of models, where the file was.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jevons.economics.unitcost.architecture import Attention, Dense, Experts, FeedForward, Latent, Mixer, Recurrence
from jevons.economics.unitcost.config_fields import Fields
from jevons.economics.unitcost.errors import UnknownFact

Layer = tuple[Mixer | None, FeedForward | None]

DELTA_FLOPS = 7
"""Of one element of a gated delta rule's state and one token: decay 1, reading by the key 2, writing 2, reading by the query 2
(arXiv 2412.06464, equation 10)."""
MAMBA_FLOPS = 5
"""Of one element of a Mamba 2 state and one token: decay 1, writing 2, reading 2 (arXiv 2405.21060, equation 2)."""


class Family(msgspec.Struct, frozen=True):
    """Models of one `model_type`."""

    layers: Callable[[Fields], list[Layer]]
    tied: bool = False
    """Whether the output layer is the embedding where the file does not say."""
    defaults: Mapping[str, Any] = {}


def _attention(fields: Fields, window: int | None = None, chunked: bool = False, gated: bool = False) -> Attention:
    hidden, heads = fields.whole("hidden_size", "n_embd"), fields.whole("num_attention_heads", "n_head")
    head_dim = fields.whole("head_dim", "attention_head_dim", "kv_channels", default=hidden // heads)
    kv_heads = fields.whole("num_key_value_heads", default=heads)
    if heads % kv_heads:
        raise UnknownFact(
            f"the config's num_attention_heads and num_key_value_heads do not agree: {heads} heads do not share {kv_heads} evenly"
        )
    return Attention(heads, kv_heads, head_dim, window, chunked, gated)


def _experts(fields: Fields, number: int, width: int, shared_width: int, *, gated: bool = True, inner: int = 0) -> Experts:
    active = fields.whole("num_experts_per_tok")
    if active > number:
        raise UnknownFact(f"the config's num_experts_per_tok cannot be: {active} experts a token of {number}")
    return Experts(number, active, width, shared_width, gated, inner)


def _windowed(fields: Fields, layers: int, windowed: Callable[[int], bool]) -> list[Attention]:
    """By `layer_types` where the file has them, else by `windowed`."""
    window = fields.optional("sliding_window")
    types = fields.listed("layer_types", layers)
    fields.known("sliding_window_pattern", "_sliding_window_pattern")
    if types is not None and not set(types) <= {"full_attention", "sliding_attention"}:
        raise UnknownFact(
            f"the config's layer_types has {sorted(set(types))}; of a {fields.family} model full and sliding are known"
        )
    slides = [kind == "sliding_attention" for kind in types] if types else [windowed(index) for index in range(layers)]
    if any(slides) and window is None:
        raise UnknownFact("the config says that some layers have a sliding window, but not how wide; add sliding_window")
    return [_attention(fields, window if slide else None) for slide in slides]


def _everywhere(fields: Fields, layers: int) -> list[Attention]:
    """A window, if there is one, is every layer's (Mistral 7B v0.1, Phi 3)."""
    window = fields.optional("sliding_window")
    return _windowed(fields, layers, lambda _: window is not None)


def _switched(fields: Fields, layers: int) -> list[Attention]:
    """Qwen 2 and 3: a window only where `use_sliding_window`, in layers from `max_window_layers` on."""
    used, first = fields.flag("use_sliding_window"), fields.optional("max_window_layers")
    return _windowed(fields, layers, lambda index: used and index >= (first or 0))


def _alternate(every: int) -> Callable[[Fields, int], list[Attention]]:
    """Every so many layers a full one (Gemma 2: 2, Gemma 3: 6, Command R7B: 4)."""

    def read(fields: Fields, layers: int) -> list[Attention]:
        pattern = fields.optional("sliding_window_pattern", "_sliding_window_pattern", "layer_switch") or every
        return _windowed(fields, layers, lambda index: (index + 1) % pattern != 0)

    return read


def _dense(
    attention: Callable[[Fields, int], list[Attention]] = _everywhere, *, gated: bool = True, widening: int | None = None
) -> Callable[[Fields], list[Layer]]:
    """`widening`: the feed-forward's width over the hidden one, where the file does not say it (GPT-J)."""

    def read(fields: Fields) -> list[Layer]:
        default = widening * fields.whole("hidden_size", "n_embd") if widening else None
        width = fields.whole("intermediate_size", "n_inner", default=default)
        return [(mixer, Dense(width, gated)) for mixer in attention(fields, _count(fields))]

    return read


def _count(fields: Fields) -> int:
    return fields.whole("num_hidden_layers", "n_layer")


def _all_experts(attention: Callable[[Fields, int], list[Attention]] = _everywhere) -> Callable[[Fields], list[Layer]]:
    """Experts in every layer, as wide as `intermediate_size` (Mixtral, gpt-oss, MiniMax M2)."""

    def read(fields: Fields) -> list[Layer]:
        kinds = fields.listed("attn_type_list", _count(fields))
        if kinds and set(kinds) != {1}:
            raise UnknownFact("the config's attn_type_list has layers of lightning attention, which is not known here")
        shared = fields.optional("shared_intermediate_size") or 0
        mixture = _experts(fields, fields.whole("num_local_experts"), fields.whole("intermediate_size"), shared)
        return [(mixer, mixture) for mixer in attention(fields, _count(fields))]

    return read


def _qwen_feed_forward(fields: Fields, layers: int) -> list[FeedForward]:
    """Experts in every `decoder_sparse_step`-th layer that is not in `mlp_only_layers`."""
    shared = fields.optional("shared_expert_intermediate_size") or 0
    mixture = _experts(fields, fields.whole("num_experts"), fields.whole("moe_intermediate_size"), shared)
    step, dense = fields.whole("decoder_sparse_step", default=1), fields.listed("mlp_only_layers") or []
    width = fields.optional("intermediate_size")
    found: list[FeedForward] = []
    for index in range(layers):
        if index not in dense and (index + 1) % step == 0:
            found.append(mixture)
        else:
            found.append(Dense(width or fields.whole("intermediate_size")))
    return found


def _qwen_experts(fields: Fields) -> list[Layer]:
    layers = _count(fields)
    return list(zip(_switched(fields, layers), _qwen_feed_forward(fields, layers), strict=True))


def _qwen_hybrid(fields: Fields) -> list[Layer]:
    """Qwen3-Next and Qwen 3.5: gated delta nets, and every `full_attention_interval`-th layer gated attention."""
    layers = _count(fields)
    interval = fields.whole("full_attention_interval", default=4)
    types = fields.listed("layer_types", layers) or [
        "linear_attention" if (index + 1) % interval else "full_attention" for index in range(layers)
    ]
    if not set(types) <= {"full_attention", "linear_attention"}:
        raise UnknownFact(
            f"the config's layer_types has {sorted(set(types))}; of a {fields.family} model full and linear are known"
        )
    fields.known("attn_output_gate")  # always on in these families
    full = _attention(fields, gated=True)
    keys = fields.whole("linear_num_key_heads") * fields.whole("linear_key_head_dim")
    values = fields.whole("linear_num_value_heads") * fields.whole("linear_value_head_dim")
    short = fields.whole("linear_conv_kernel_dim", default=4)
    state = values * fields.whole("linear_key_head_dim")
    linear = Recurrence(
        projected_in=2 * keys + 2 * values + 2 * fields.whole("linear_num_value_heads"),
        projected_out=values,
        convolution=(2 * keys + values) * short,
        state_elements=state + (2 * keys + values) * (short - 1),
        flops=DELTA_FLOPS * state + 2 * (2 * keys + values) * short,
    )
    feeds: list[FeedForward] = [Dense(fields.whole("intermediate_size"))] * layers if not fields.optional("num_experts") else []
    return [
        (full if kind == "full_attention" else linear, feed)
        for kind, feed in zip(types, feeds or _qwen_feed_forward(fields, layers), strict=True)
    ]


def _deep_feed_forward(fields: Fields, layers: int) -> list[FeedForward]:
    """`first_k_dense_replace` dense layers, then experts with shared ones (DeepSeek, Kimi, GLM)."""
    dense = fields.optional("first_k_dense_replace") or 0
    if fields.whole("moe_layer_freq", default=1) != 1:
        raise UnknownFact("the config's moe_layer_freq is not 1; which layers have experts is not known then")
    kinds = fields.listed("mlp_layer_types", layers)
    if kinds is not None and kinds != ["dense"] * dense + ["sparse"] * (layers - dense):
        raise UnknownFact("the config's mlp_layer_types and first_k_dense_replace do not agree on which layers have experts")
    width = fields.whole("moe_intermediate_size")
    mixture = _experts(fields, fields.whole("n_routed_experts"), width, (fields.optional("n_shared_experts") or 0) * width)
    return [Dense(fields.whole("intermediate_size")) if index < dense else mixture for index in range(layers)]


def _latent(fields: Fields, index_heads: int = 0) -> Latent:
    fields.known("num_key_value_heads", "head_dim")  # of the expanded keys: as many as there are heads
    return Latent(
        fields.whole("num_attention_heads"),
        fields.whole("kv_lora_rank"),
        fields.whole("qk_rope_head_dim"),
        fields.whole("qk_nope_head_dim"),
        fields.whole("v_head_dim"),
        fields.optional("q_lora_rank"),
        index_heads,
        fields.whole("index_head_dim") if index_heads else 0,
        fields.whole("index_topk") if index_heads else None,
    )


def _deepseek(fields: Fields) -> list[Layer]:
    layers = _count(fields)
    return [(_latent(fields), feed) for feed in _deep_feed_forward(fields, layers)]


def _deepseek_sparse(fields: Fields) -> list[Layer]:
    """DeepSeek Sparse Attention: an indexer chooses the tokens that are looked at. A layer of type "shared" takes another's choice."""
    layers = _count(fields)
    own = fields.listed("indexer_types", layers) or ["full"] * layers
    fields.known("index_topk_freq", "index_skip_topk_offset", "index_topk_pattern")  # what indexer_types is made from
    if not set(own) <= {"full", "shared"}:
        raise UnknownFact(f"the config's indexer_types has {sorted(set(own))}; known are full and shared")
    indexed, shared = _latent(fields, fields.whole("index_n_heads")), _latent(fields)
    shared = msgspec.structs.replace(shared, selected=indexed.selected)
    feeds = _deep_feed_forward(fields, layers)
    return [(indexed if kind == "full" else shared, feed) for kind, feed in zip(own, feeds, strict=True)]


def _falcon(fields: Fields) -> list[Layer]:
    """The larger ones: keys shared by groups, a feed-forward of two matrices, four times as wide."""
    if not fields.flag("new_decoder_architecture"):
        raise UnknownFact(
            "the config is of a small or an early Falcon model (no new_decoder_architecture); its attention is not known here"
        )
    fields.known("parallel_attn", "multi_query", "num_ln_in_parallel_attn")  # said by new_decoder_architecture
    hidden, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    mixer = Attention(heads, fields.whole("num_kv_heads"), hidden // heads)
    width = fields.whole("ffn_hidden_size", default=4 * hidden)
    return [(mixer, Dense(width, gated=False))] * _count(fields)


def _glm_experts(fields: Fields) -> list[Layer]:
    layers = _count(fields)
    return list(zip([_attention(fields)] * layers, _deep_feed_forward(fields, layers), strict=True))


def _llama4(fields: Fields) -> list[Layer]:
    """Three of four layers see their chunk alone; every `interleave_moe_layer_step`-th has experts and a shared one."""
    layers = _count(fields)
    chunk = fields.whole("attention_chunk_size")
    rotates = fields.listed("no_rope_layers") or []  # 1 = has rotation, and so a chunk (Llama4TextConfig)
    interval = fields.whole("no_rope_layer_interval", default=4)
    types = fields.listed("layer_types", layers)
    if types is not None and not set(types) <= {"full_attention", "chunked_attention"}:
        raise UnknownFact(f"the config's layer_types has {sorted(set(types))}; of a llama4 model full and chunked are known")
    near_ones = (
        [kind == "chunked_attention" for kind in types or []] or rotates or [(index + 1) % interval for index in range(layers)]
    )
    width, step = fields.whole("intermediate_size"), fields.whole("interleave_moe_layer_step", default=1)
    chosen = fields.listed("moe_layers") or list(range(step - 1, layers, step))
    mixture = _experts(fields, fields.whole("num_local_experts"), width, width)
    dense = Dense(fields.whole("intermediate_size_mlp"))
    near, far = _attention(fields, chunk, chunked=True), _attention(fields)
    return [(near if near_ones[index] else far, mixture if index in chosen else dense) for index in range(layers)]


def _gemma4(fields: Fields) -> list[Layer]:
    """Five near layers to a far one, whose heads are wider and fewer, and may make keys and values by one matrix. Experts, if there are any,
    stand beside the dense feed-forward, which all tokens take. The models for phones set fields that are not known here."""
    layers = _count(fields)
    types = fields.listed("layer_types", layers)
    far = [kind == "full_attention" for kind in types] if types else [(index + 1) % 6 == 0 for index in range(layers)]
    near = _attention(fields, fields.whole("sliding_window"))
    one = fields.flag("attention_k_eq_v")
    wide, fewer = fields.whole("global_head_dim", default=near.head_dim), fields.optional("num_global_key_value_heads")
    full = Attention(near.heads, fewer if one and fewer else near.kv_heads, wide, one_matrix=one)
    width = fields.whole("intermediate_size")
    feed: FeedForward = Dense(width)
    if fields.flag("enable_moe_block"):
        active = fields.whole("top_k_experts", "num_experts_per_tok")
        feed = Experts(fields.whole("num_experts"), active, fields.whole("moe_intermediate_size"), width)
    return [(full if is_far else near, feed) for is_far in far]


def _nemotron_hybrid(fields: Fields) -> list[Layer]:
    """A layer is a mixer or a feed-forward alone: M Mamba 2, * attention, - dense, E experts."""
    letters = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
    pattern = fields.text("hybrid_override_pattern") or "".join(
        letters.get(kind, "?") for kind in fields.listed("layers_block_type") or []
    )
    if not pattern or set(pattern) - set("M*-E") or fields.whole("num_hidden_layers", default=len(pattern)) != len(pattern):
        raise UnknownFact(f"the config's layers are {pattern!r}; known are M (Mamba 2), * (attention), - (dense) and E (experts)")
    hidden = fields.whole("hidden_size")
    made: dict[str, Layer] = {
        "M": (_mamba(fields), None),
        "*": (_attention(fields), None),
        "-": (None, Dense(fields.whole("intermediate_size", default=hidden), gated=False)),
    }
    if "E" in pattern:
        shared = fields.whole("n_shared_experts") * fields.whole("moe_shared_expert_intermediate_size")
        inner = fields.optional("moe_latent_size") or 0
        made["E"] = (
            None,
            _experts(
                fields, fields.whole("n_routed_experts"), fields.whole("moe_intermediate_size"), shared, gated=False, inner=inner
            ),
        )
    return [made[letter] for letter in pattern]


def _mamba(fields: Fields) -> Recurrence:
    """Mamba 2 (arXiv 2405.21060): heads × their width inside, groups share what writes and reads the state."""
    heads, state = fields.whole("mamba_num_heads"), fields.whole("ssm_state_size")
    inner, shared = heads * fields.whole("mamba_head_dim"), fields.whole("n_groups") * state
    fields.known("expand")  # inner over hidden, roughly
    short = fields.whole("conv_kernel")
    convolved = inner + 2 * shared
    return Recurrence(
        projected_in=2 * inner + 2 * shared + heads,
        projected_out=inner,
        convolution=convolved * short,
        state_elements=inner * state + convolved * (short - 1),
        flops=MAMBA_FLOPS * inner * state + 2 * convolved * short,
    )


def _searched(fields: Fields) -> list[Layer]:
    """Layers found by search, each its own (Nemotron NAS; its configuration_decilm.py: widths are multiples of 256)."""
    hidden, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    fields.known("num_key_value_heads", "intermediate_size")
    found: list[Layer] = []
    for block in fields.listed("block_configs", _count(fields)) or []:
        mixing, feeding = block["attention"], block["ffn"]
        odd = [
            key
            for key in ("replace_with_linear", "sparsify", "window_length", "num_sink_tokens")
            if mixing.get(key) or feeding.get(key)
        ]
        if odd:
            raise UnknownFact(f"a block of the config sets {', '.join(odd)}, which is not known here")
        mixer = None if mixing["no_op"] else Attention(heads, heads // mixing["n_heads_in_group"], hidden // heads)
        width = 0 if feeding["no_op"] else -(-int(2 * feeding["ffn_mult"] * hidden / 3) // 256) * 256
        found.append((mixer, Dense(width) if width else None))
    return found


_GEMMA3 = {
    "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096,
    "max_position_embeddings": 131072,
}  # fmt: skip
"""transformers, models/gemma3/configuration_gemma3.py: the files leave out what is the class's default."""
_GEMMA2 = {"vocab_size": 256000, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}

FAMILIES: dict[str, Family] = {
    "llama": Family(_dense()),
    "mistral": Family(_dense()),
    "mistral3": Family(_dense()),
    "ministral3": Family(_dense()),
    "phi3": Family(_dense()),
    "qwen2": Family(_dense(_switched)),
    "qwen3": Family(_dense(_switched)),
    "qwen2_vl": Family(_dense(_switched)),
    "qwen2_5_vl": Family(_dense(_switched)),
    "qwen3_vl": Family(_dense(_switched)),
    "mimo": Family(_dense(_switched)),
    "gemma": Family(_dense(), tied=True),
    "gemma2": Family(_dense(_alternate(2)), tied=True, defaults=_GEMMA2),
    "gemma3": Family(_dense(_alternate(6)), tied=True, defaults=_GEMMA3),
    "gemma4": Family(_gemma4, tied=True),
    "cohere": Family(_dense(), tied=True),
    "cohere2": Family(_dense(_alternate(4)), tied=True),
    "granite": Family(_dense()),
    "olmo": Family(_dense()),
    "olmo2": Family(_dense()),
    "olmo3": Family(_dense(_alternate(4))),
    "smollm3": Family(_dense(_switched)),
    "glm4": Family(_dense()),
    "nemotron": Family(_dense(gated=False)),
    "starcoder2": Family(_dense(gated=False), tied=True),
    "gpt_neox": Family(_dense(gated=False)),
    "falcon": Family(_falcon, defaults={"max_position_embeddings": 2048}),
    "gptj": Family(_dense(gated=False, widening=4)),
    "mixtral": Family(_all_experts()),
    "phimoe": Family(_all_experts()),
    "gpt_oss": Family(_all_experts(_alternate(2))),
    "minimax_m2": Family(_all_experts()),
    "qwen2_moe": Family(_qwen_experts),
    "qwen3_moe": Family(_qwen_experts),
    "qwen3_vl_moe": Family(_qwen_experts),
    "qwen3_next": Family(_qwen_hybrid),
    "qwen3_5": Family(_qwen_hybrid),
    "qwen3_5_moe": Family(_qwen_hybrid),
    "deepseek_v2": Family(_deepseek),
    "deepseek_v3": Family(_deepseek),
    "kimi_k2": Family(_deepseek),
    "glm4_moe_lite": Family(_deepseek),
    "deepseek_v32": Family(_deepseek_sparse),
    "glm_moe_dsa": Family(_deepseek_sparse),
    "glm4_moe": Family(_glm_experts),
    "llama4": Family(_llama4),
    "nemotron_h": Family(_nemotron_hybrid),
    "nemotron-nas": Family(_searched),
}
