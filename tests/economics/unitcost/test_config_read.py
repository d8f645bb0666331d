"""A config.json becomes an architecture, or is refused by the name of what is not understood."""

from typing import Any

import pytest

from jevons.economics.unitcost.architecture import Attention, Dense, Experts, Latent, Layers
from jevons.economics.unitcost.config_read import from_config, stored_as
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.weights import precision

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 256, "vocab_size": 1000, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
}  # fmt: skip
DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
    "kv_lora_rank": 32, "q_lora_rank": 48, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16, "intermediate_size": 256,
    "first_k_dense_replace": 1, "moe_intermediate_size": 32, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_shared_experts": 2,
    "vocab_size": 1000, "num_nextn_predict_layers": 1, "topk_method": "noaux_tc",
}  # fmt: skip
QWEN: dict[str, Any] = {
    "model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "intermediate_size": 256, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2, "decoder_sparse_step": 2,
    "mlp_only_layers": [], "vocab_size": 1000, "use_sliding_window": False, "sliding_window": None,
}  # fmt: skip

LLAMA4 = LLAMA | {
    "model_type": "llama4_text", "attention_chunk_size": 128, "intermediate_size_mlp": 512, "num_local_experts": 4, "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
}  # fmt: skip
MINIMAX = LLAMA | {"model_type": "minimax_m2", "num_local_experts": 4, "num_experts_per_tok": 2}
HYBRID = LLAMA | {"model_type": "qwen3_next"}
INDEXED = DEEPSEEK | {"model_type": "deepseek_v32", "index_n_heads": 2, "index_head_dim": 8, "index_topk": 16}
ODD = [{"attention": {"no_op": True}, "ffn": {"no_op": False, "ffn_mult": 1.0, "sparsify": 0.5}}]


def test_a_dense_model() -> None:
    made = from_config(LLAMA, "mine")
    assert made.groups == (Layers(4, Attention(8, 2, 8), Dense(256)),)
    assert (made.name, made.family, made.layers, made.hidden, made.vocabulary, made.tied) == ("mine", "llama", 4, 64, 1000, False)
    # a layer: queries and output 64 × 64 each, keys and values 64 × 16 each, three matrices 64 × 256
    assert made.params == {
        "embedding": 64_000, "head": 64_000, "attention": 4 * (2 * 64 * 64 + 2 * 64 * 16), "dense": 4 * 3 * 64 * 256,
        "router": 0, "shared": 0, "experts": 0,
    }  # fmt: skip
    assert made.params_total == made.params_active == sum(made.params.values())
    assert made.params_multiplied == made.params_total - 64_000


def test_a_tied_output_layer_is_counted_once_and_multiplied() -> None:
    made = from_config(LLAMA | {"tie_word_embeddings": True})
    assert made.params["head"] == 0 and made.params_multiplied == made.params_total


def test_dense_layers_lead_and_shared_experts_take_all() -> None:
    made = from_config(DEEPSEEK)
    latent = Latent(heads=4, kv_rank=32, rope_dim=8, nope_dim=16, value_dim=16, query_rank=48)
    mixture = Experts(number=16, active=4, width=32, shared_width=64)
    assert made.groups == (Layers(1, latent, Dense(256)), Layers(3, latent, mixture))
    # 64 × 48 and 48 × 4·24 for queries, 64 × 40 to compress, 32 × 4·32 to expand, 4·16 × 64 out
    assert made.params["attention"] == 4 * (64 * 48 + 48 * 96 + 64 * 40 + 32 * 128 + 64 * 64)
    assert made.params["experts"] == 3 * 16 * 3 * 64 * 32 and made.params["shared"] == 3 * 3 * 64 * 64
    assert made.params_total - made.params_active == 3 * 12 * 3 * 64 * 32


def test_queries_made_in_one_step() -> None:
    made = from_config({key: value for key, value in DEEPSEEK.items() if key != "q_lora_rank"})
    assert made.groups[0].mixer == Latent(4, 32, 8, 16, 16, None)
    assert made.params["attention"] == 4 * (64 * 96 + 64 * 40 + 32 * 128 + 64 * 64)


def test_every_other_layer_has_experts() -> None:
    assert from_config(QWEN).groups == (
        Layers(2, Attention(4, 2, 32), Dense(256)),
        Layers(2, Attention(4, 2, 32), Experts(8, 2, 32)),
    )
    assert from_config(QWEN | {"mlp_only_layers": [1, 3]}).expert_layers == 0


def test_windows_by_switch_list_and_pattern() -> None:
    qwen = {key: value for key, value in LLAMA.items() if key != "model_type"} | {"model_type": "qwen2", "sliding_window": 32}
    assert from_config(qwen).groups == (Layers(4, Attention(8, 2, 8), Dense(256)),)
    used = from_config(qwen | {"use_sliding_window": True, "max_window_layers": 3})
    assert [group.count for group in used.groups] == [3, 1]
    listed = from_config(qwen | {"layer_types": ["sliding_attention", "full_attention"] * 2})
    assert listed.groups == (Layers(2, Attention(8, 2, 8, 32), Dense(256)), Layers(2, Attention(8, 2, 8), Dense(256)))


def test_chunks_and_experts_take_turns() -> None:
    near, far, mixture = Attention(8, 2, 8, 128, chunked=True), Attention(8, 2, 8), Experts(4, 1, 256, 256)
    expected = (Layers(2, near, Dense(512)), Layers(1, near, mixture), Layers(1, far, mixture))
    assert from_config(LLAMA4).groups == expected  # the fourth layer sees all, the second and the fourth have experts
    assert from_config(LLAMA4 | {"layer_types": ["chunked_attention"] * 3 + ["full_attention"]}).groups == expected
    assert from_config(LLAMA4 | {"no_rope_layers": [1, 1, 1, 0], "moe_layers": [1, 3]}).groups == expected


def test_a_layer_may_take_anothers_choice_of_tokens() -> None:
    made = from_config(INDEXED | {"indexer_types": ["full", "shared", "full", "shared"]})
    assert [(group.count, group.mixer.index_heads, group.mixer.selected) for group in made.groups if isinstance(group.mixer, Latent)] == [
        (1, 2, 16), (2, 0, 16), (1, 2, 16),
    ]  # fmt: skip


def test_of_a_model_that_sees_the_text_part_is_read() -> None:
    text = {key: value for key, value in LLAMA.items() if key not in ("model_type", "vocab_size")} | {"model_type": "gemma3_text"}
    made = from_config({"model_type": "gemma3", "tie_word_embeddings": True, "vision_config": {"depth": 3}, "text_config": text})
    assert made.family == "gemma3" and made.tied and made.vocabulary == 262_208  # the class's own default
    assert made.groups == (Layers(4, Attention(8, 2, 256, 4096), Dense(256)),)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (LLAMA | {"model_type": "hyena"}, "model_type 'hyena' is not known"),
        ({"hidden_size": 3}, "model_type '' is not known"),
        ({"model_type": "llama", "text_config": 3}, "text_config is no object"),
        (LLAMA | {"cross_attention_layers": [1]}, "llama model sets cross_attention_layers, and it is not known whether"),
        (LLAMA | {"sliding_window": -1}, "sliding_window is -1, which is no count"),
        (LLAMA | {"hidden_size": "64"}, "hidden_size or n_embd is '64', which is no count"),
        (LLAMA | {"intermediate_size": None}, "does not say intermediate_size or n_inner; add it"),
        (LLAMA | {"layer_types": ["full_attention"]}, "layer_types has 1 items for 4 layers"),
        (LLAMA | {"layer_types": ["linear_attention"] * 4}, "layer_types has .*linear_attention.* full and sliding are known"),
        (LLAMA | {"layer_types": ["sliding_attention"] * 4}, "but not how wide; add sliding_window"),
        (LLAMA | {"layer_types": "full"}, "layer_types is 'full', which is no list"),
        (DEEPSEEK | {"moe_layer_freq": 2}, "moe_layer_freq is not 1"),
        (DEEPSEEK | {"mlp_layer_types": ["sparse"] * 4}, "mlp_layer_types and first_k_dense_replace do not agree"),
        (DEEPSEEK | {"num_experts_per_tok": 0}, "does not say num_experts_per_tok"),
        (QWEN | {"num_experts_per_tok": 9}, "9 experts a token of 8"),
        (LLAMA | {"num_key_value_heads": 3}, "8 heads do not share 3"),
        (LLAMA4 | {"layer_types": ["sliding_attention"] * 4}, "of a llama4 model full and chunked are known"),
        ({"model_type": "falcon", "hidden_size": 8}, "no new_decoder_architecture"),
        (MINIMAX | {"attn_type_list": [0, 1, 1, 1]}, "layers of lightning attention"),
        (HYBRID | {"layer_types": ["mamba"] * 4}, "of a qwen3_next model full and linear are known"),
        (DEEPSEEK | {"model_type": "deepseek_v32"}, "does not say index_n_heads"),
        (INDEXED | {"indexer_types": ["full", "none", "full", "full"]}, "known are full and shared"),
        (
            {
                "model_type": "nemotron-nas",
                "hidden_size": 8,
                "num_attention_heads": 2,
                "num_hidden_layers": 1,
                "block_configs": ODD,
            },
            "sets sparsify",
        ),
        ({"model_type": "nemotron_h", "hidden_size": 8, "hybrid_override_pattern": "MX"}, "layers are 'MX'; known are M"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(config: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownFact, match=says):
        from_config(config)


def test_fields_that_are_off_say_nothing() -> None:
    off = {"cross_attention_layers": [], "num_global_layers": None, "use_hyper_connections": False, "per_layer_inputs": 0}
    assert from_config(LLAMA | off) == from_config(LLAMA)


W4 = {"num_bits": 4, "type": "int", "group_size": 32}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"torch_dtype": "bfloat16"}, "bf16"),
        ({"torch_dtype": "float32", "text_config": {"dtype": "float16"}}, "fp16"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}, "int4"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quantization_config": {"quant_algo": "FP8", "producer": {"name": "modelopt"}}}, "fp8"),
        (
            {
                "text_config": {
                    "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": W4}}}
                }
            },
            "int4",
        ),
    ],
)
def test_numbers_that_weights_are_stored_in(config: dict[str, Any], name: str) -> None:
    assert precision(stored_as(config)).name == name


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "does not say in what numbers"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 3}},
            "quantization_config is not known: .*gptq.*say in what numbers",
        ),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}}, "is not known"),
        ({"quantization_config": "fp8"}, "is not known: 'fp8'"),
    ],
)
def test_numbers_that_are_not_known_are_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownFact, match=says):
        stored_as(config)
