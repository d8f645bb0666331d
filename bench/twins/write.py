"""A twin as a GGUF file that llama.cpp loads: weights under its names, vocabulary and merges, a chat template that adds nothing.

Comes in: a twin, its tokenizer, a precision. Goes out: a file. Does not know: training.
Norms and routers stay f32 at every precision, as llama.cpp's own quantiser leaves them.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from gguf.quants import quantize
from tokenizers import Tokenizer

from bench.twins import tokens
from bench.twins.net import Twin

KINDS = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
NAMES = {
    "table.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "attention_norm.weight": "attn_norm.weight",
    "attention.q.weight": "attn_q.weight",
    "attention.k.weight": "attn_k.weight",
    "attention.v.weight": "attn_v.weight",
    "attention.out.weight": "attn_output.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "ffn.gate.weight": "ffn_gate.weight",
    "ffn.up.weight": "ffn_up.weight",
    "ffn.down.weight": "ffn_down.weight",
    "ffn.router.weight": "ffn_gate_inp.weight",
    "ffn.gate": "ffn_gate_exps.weight",
    "ffn.up": "ffn_up_exps.weight",
    "ffn.down": "ffn_down_exps.weight",
}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
"""The twins know no roles: they go on with the text that they are given."""


def write(twin: Twin, tokenizer: Tokenizer, name: str, kind: str, path: Path) -> None:
    shape, (precision, file_type) = twin.shape, KINDS[kind]
    writer = GGUFWriter(path, "llama")
    writer.add_name(f"jevons-twin-{name}")
    writer.add_description(
        "English and Spanish manuals, trained in minutes: for measuring what a mixture of experts costs, not for use"
    )
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "es"])
    writer.add_file_type(file_type)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.used)
    _vocabulary(writer, tokenizer)
    for own, weight in twin.state_dict().items():
        array = weight.numpy().astype(np.float32)
        kept = array.ndim == 1 or "router" in own
        data = array if kept else quantize(array, precision)
        writer.add_tensor(_gguf_name(own), data, raw_dtype=GGMLQuantizationType.F32 if kept else precision)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(own: str) -> str:
    if own.startswith("layers."):
        _, layer, rest = own.split(".", 2)
        return f"blk.{layer}.{NAMES[rest]}"
    return NAMES[own]


def _vocabulary(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    words, merges = tokens.vocabulary(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types([TokenType.CONTROL if word == tokens.END else TokenType.NORMAL for word in words])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.END_ID)
    writer.add_eos_token_id(tokens.END_ID)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)
