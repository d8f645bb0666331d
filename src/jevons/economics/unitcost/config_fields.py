"""Fields of a config.json, read one by one, so that none is passed over in silence.

Comes in: a mapping and the model's family. Goes out: counts, flags and lists; at the end, the fields that nobody read and nobody knows.
Does not know: what a field means.
"""

from collections.abc import Mapping
from typing import Any

from jevons.economics.unitcost.errors import UnknownFact

NO_MATTER = frozenset("""
    architectures auto_map model_type name_or_path transformers_version torch_dtype dtype use_cache is_decoder is_encoder_decoder return_dict
    bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id image_token_id image_token_index video_token_id audio_token_id
    boi_token_id eoi_token_id boi_token_index eoi_token_index boa_token_id eoa_token_id eoa_token_index media_placeholder_token_id
    vision_start_token_id vision_end_token_id vision_token_id ignore_index image_placeholder video_placeholder use_unified_vision_chunk
    mm_tokens_per_image vision_soft_tokens_per_image use_bidirectional_attention bad_words_ids begin_suppress_tokens suppress_tokens
    forced_bos_token_id forced_eos_token_id prefix max_length min_length temperature top_k top_p typical_p num_beams num_beam_groups
    num_return_sequences do_sample diversity_penalty length_penalty exponential_decay_length_penalty repetition_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size remove_invalid_values early_stopping task_specific_params finetuning_task problem_type id2label label2id
    unsloth_version is_llama_config transformers.js_config cache_implementation attn_implementation _flash_attn_2_enabled _commit_hash
    summary_type summary_use_proj summary_proj_to_labels summary_first_dropout classifier_dropout output_attentions output_hidden_states
    scale_attn_weights no_rope_layers no_rope_layer_interval position_embedding_type use_parallel_block use_parallel_embedding mlp_type
    layernorm_full_attention_beta layernorm_linear_attention_beta layernorm_mlp_beta rope_percent rope_percentage alibi apply_residual_connection_post_layernorm
    tokenizer_class tie_encoder_decoder pruned_heads chunk_size_feed_forward torchscript _name_or_path _attn_implementation
    quantization_config compression_config vision_config audio_config unsloth_fixed
    initializer_range initializer_factor init_std rescale_prenorm_residual attention_dropout hidden_dropout attn_pdrop embd_pdrop resid_pdrop
    embd_dropout resid_dropout residual_dropout embedding_dropout router_jitter_noise input_jitter_noise output_router_logits
    router_aux_loss_coef aux_loss_alpha seq_aux pretraining_tp ep_size gradient_checkpointing for_llm_compressor
    hidden_act hidden_activation activation_function mlp_hidden_act mamba_hidden_act swiglu_limit swiglu_alpha
    rms_norm_eps layer_norm_eps layer_norm_epsilon norm_eps norm_epsilon layernorm_epsilon residual_in_fp32 use_qk_norm qk_norm qk_norm_type
    qk_layernorm add_qk_norm use_gemma_norm norm_type clip_qkv logit_scale attn_logit_softcapping final_logit_softcapping attn_temperature_tuning
    attn_scale floor_scale query_pre_attn_scalar embedding_multiplier attention_multiplier residual_multiplier logits_scaling use_layernorm
    rope_theta rope_scaling rope_parameters rope_local_base_freq rope_type rope_interleave rotary rotary_dim rotary_pct rotary_emb_base
    output_gate_type partial_rotary_factor use_mrope swa_rope_theta indexer_rope_interleave attn_temperature rope_interleaved
    original_max_position_embeddings initial_context_length
    attention_bias mlp_bias qkv_bias use_bias bias attention_out_bias lm_head_bias use_parallel_residual mamba_proj_bias use_conv_bias conv_bias
    add_swa_attention_sink_bias attention_value_scale
    norm_topk_prob routed_scaling_factor scoring_func scoring_function topk_method topk_group n_group num_expert_group moe_renormalize
    use_routing_bias router_dtype moe_router_dtype moe_router_use_sigmoid use_moe_router_bias moe_router_scaling_factor moe_router_activation_func
    time_step_floor time_step_limit time_step_max time_step_min time_step_rank chunk_size use_mamba_kernels mamba_ssm_cache_dtype
    mamba_ssm_dtype num_logits_to_keep moe_shared_expert_overlap
    num_nextn_predict_layers num_mtp_modules mtp_transformer_layers use_mtp mtp_num_hidden_layers mtp_use_dedicated_embeddings
    mtp_hybrid_override_pattern mtp_layers_block_type index_share_for_mtp_iteration
    experts_per_token qk_head_dim head_dim_original vocab_size_per_layer_input
""".split())  # fmt: skip
"""Fields that change neither how many weights there are nor how many products a token takes: tokens' numbers, sampling, training, norms,
activation functions, rotation of positions (whose products are few), biases (under 0.1 % of the weights), the choice among experts,
multi-token prediction (a model's own draft is counted apart, by work.Speculation), images and sound (the text part alone is read),
and how the checkpoint is quantised (weights.Precision says it). Two are said twice: `experts_per_token` (num_experts_per_tok) and
`qk_head_dim` (the sum of its two parts)."""

_OFF: tuple[object, ...] = (None, False, "", 0, 0.0, [])


class Fields:
    """Raises UnknownFact for a field that is missing or is not what it should be."""

    def __init__(self, values: Mapping[str, Any], family: str, defaults: Mapping[str, Any]) -> None:
        self.family = family
        self._values = {**defaults, **{key: value for key, value in values.items() if value is not None}}
        self._read: set[str] = set()

    def whole(self, *keys: str, default: int | None = None) -> int:
        """The first of `keys` that is there: a count above 0, or `default`."""
        found = self.optional(*keys)
        if found is None:
            found = default
        if found is None:
            raise UnknownFact(f"the config of this {self.family} model does not say {' or '.join(keys)}; add it to the file")
        return found

    def optional(self, *keys: str) -> int | None:
        """None where it is missing, null or 0."""
        self._read.update(keys)
        value = next((self._values[key] for key in keys if self._values.get(key)), None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
            raise UnknownFact(f"the config's {' or '.join(keys)} is {value!r}, which is no count")
        return int(value)

    def flag(self, key: str, default: bool = False) -> bool:
        self._read.add(key)
        return bool(self._values.get(key, default))

    def text(self, key: str) -> str:
        """ "" where it is missing."""
        self._read.add(key)
        return str(self._values.get(key, ""))

    def listed(self, key: str, length: int | None = None) -> list[Any] | None:
        """None where it is missing. `length`: what it must have, one item a layer."""
        self._read.add(key)
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise UnknownFact(f"the config's {key} is {value!r}, which is no list")
        if length is not None and len(value) != length:
            raise UnknownFact(f"the config's {key} has {len(value)} items for {length} layers")
        return value

    def object(self, key: str) -> Mapping[str, Any]:
        """Empty where it is missing."""
        self._read.add(key)
        value = self._values.get(key, {})
        if not isinstance(value, Mapping):
            raise UnknownFact(f"the config's {key} is {value!r}, which is no object")
        return value

    def known(self, *keys: str) -> None:
        """These fields say nothing new here."""
        self._read.update(keys)

    def finish(self) -> None:
        """Raises UnknownFact for a field that is set, was not read, and is not known to be without effect."""
        left = sorted(key for key, value in self._values.items() if key not in self._read | NO_MATTER and value not in _OFF)
        if left:
            raise UnknownFact(
                f"the config of this {self.family} model sets {', '.join(left)}, and it is not known whether that changes what a token costs; "
                "if it does not, take it out of the file"
            )
