"""The C structures of llama.h and ggml.h at the one commit that we bind, and the defaults they must show.

A wrong layout does not fail, it is silently read as something else. So every field of every structure is read back from the
library's own defaults (`DEFAULTS`) before anything is done with it (`canary`).
Source: llama.cpp v0.5.0 (0ad4a86), include/llama.h, src/llama-{model,context,quant}.cpp; ggml/include/ggml.h.
"""

import ctypes
from ctypes import POINTER, Structure, c_bool, c_char, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p

TYPES = (
    "f32 f16 q4_0 q4_1 - - q5_0 q5_1 q8_0 q8_1 q2_K q3_K q4_K q5_K q6_K q8_K iq2_xxs iq2_xs iq3_xxs iq1_s iq4_nl iq3_s iq2_s iq4_xs "
    "i8 i16 i32 i64 f64 iq1_m bf16 - - - tq1_0 tq2_0 - - - mxfp4 nvfp4 q1_0 q2_0"
).split()
"""enum ggml_type by number; "-" was taken out."""
F32, F16, I32 = 0, 1, 26
OPERATIONS = 101
"""GGML_OP_COUNT."""
UNARY_OPERATIONS = 22
GLU_OPERATIONS = 7

FILE_TYPES = {
    "F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_1": 9, "Q5_0": 8, "Q4_K_M": 15, "Q4_K_S": 14,
    "Q4_1": 3, "Q4_0": 2, "IQ4_NL": 25, "IQ4_XS": 30, "Q3_K_L": 13, "Q3_K_M": 12, "Q3_K_S": 11, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XS": 22,
    "IQ3_XXS": 23, "Q2_K": 10, "Q2_K_S": 21, "IQ2_M": 29, "IQ2_S": 28, "IQ2_XS": 20, "IQ2_XXS": 19, "IQ1_M": 31, "IQ1_S": 24,
}  # fmt: skip
"""enum llama_ftype by the name that people use, from many bits to few."""

LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
EVALUATE = ctypes.CFUNCTYPE(c_bool, c_void_p, c_bool, c_void_p)
"""ggml_backend_sched_eval_callback: (tensor, ask, user data)."""


class ModelParams(Structure):
    _fields_ = [
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    ]


class ContextParams(Structure):
    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class QuantizeParams(Structure):
    _fields_ = [
        ("nthread", c_int32),
        ("ftype", c_int32),
        ("output_tensor_type", c_int32),
        ("token_embedding_type", c_int32),
        ("allow_requantize", c_bool),
        ("quantize_output_tensor", c_bool),
        ("only_copy", c_bool),
        ("pure", c_bool),
        ("keep_split", c_bool),
        ("dry_run", c_bool),
        ("imatrix", c_void_p),
        ("kv_overrides", c_void_p),
        ("tt_overrides", c_void_p),
        ("prune_layers", c_void_p),
        ("max_buf_size", c_size_t),
    ]


class Importance(Structure):
    """llama_model_imatrix_data: mean squared activation of each input column of one weight; the list ends with a null name."""

    _fields_ = [("name", c_char_p), ("data", POINTER(c_float)), ("size", c_size_t)]


class Batch(Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


class Tensor(Structure):
    """ggml_tensor, read only (inside an evaluation callback)."""

    _fields_ = [
        ("type", c_int32),
        ("buffer", c_void_p),
        ("ne", c_int64 * 4),
        ("nb", c_size_t * 4),
        ("op", c_int32),
        ("op_params", c_int32 * 16),
        ("flags", c_int32),
        ("src", c_void_p * 10),
        ("view_src", c_void_p),
        ("view_offs", c_size_t),
        ("data", c_void_p),
        ("name", c_char * 64),
        ("extra", c_void_p),
        ("padding", c_char * 8),
    ]


OBJECT_BYTES = 32
"""sizeof(ggml_object); ggml_tensor_overhead() is this and a Tensor."""

DEFAULTS: dict[type[Structure], dict[str, int | float | bool | None]] = {
    ModelParams: {
        "devices": None, "tensor_buft_overrides": None, "n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1,
        "main_gpu": 0, "tensor_split": None, "progress_callback": None, "progress_callback_user_data": None, "kv_overrides": None,
        "vocab_only": False, "check_tensors": False, "use_extra_bufts": True, "no_host": False, "no_alloc": False, "load_mtp": False,
    },
    ContextParams: {
        "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_rs_seq": 0, "n_outputs_max": 0, "n_outputs_max_per_seq": 1,
        "n_threads": 4, "n_threads_batch": 4, "ctx_type": 0, "rope_scaling_type": -1, "pooling_type": -1, "attention_type": -1,
        "flash_attn_type": -1, "rope_freq_base": 0.0, "rope_freq_scale": 0.0, "yarn_ext_factor": -1.0, "yarn_attn_factor": -1.0,
        "yarn_beta_fast": -1.0, "yarn_beta_slow": -1.0, "yarn_orig_ctx": 0, "defrag_thold": -1.0, "cb_eval": None,
        "cb_eval_user_data": None, "type_k": F16, "type_v": F16, "abort_callback": None, "abort_callback_data": None,
        "embeddings": False, "offload_kqv": True, "no_perf": True, "op_offload": True, "swa_full": True, "kv_unified": False,
        "samplers": None, "n_samplers": 0, "ctx_other": None,
    },
    QuantizeParams: {
        "nthread": 0, "ftype": FILE_TYPES["Q8_0"], "output_tensor_type": len(TYPES), "token_embedding_type": len(TYPES),
        "allow_requantize": False, "quantize_output_tensor": True, "only_copy": False, "pure": False, "keep_split": False,
        "dry_run": False, "imatrix": None, "kv_overrides": None, "tt_overrides": None, "prune_layers": None, "max_buf_size": 8 * 2**30,
    },
}  # fmt: skip
