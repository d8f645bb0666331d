"""A llama of chance in a real GGUF file: two layers of width 64, a vocabulary of bytes. Written in milliseconds, and true f32."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, FEED, LAYERS = 64, 128, 2
START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ': ' + message['content'] + '<|im_end|>' }}{% endfor %}"
)


def write(path: Path, seed: int = 1, spread: float = 0.35, words: tuple[str, ...] = (START, END)) -> Path:
    """`words`: of the vocabulary beside the 256 bytes."""
    chance = np.random.default_rng(seed)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_license("mit")
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_context_length(512)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED)
    out.add_head_count(1)
    out.add_head_count_kv(1)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(256 + len(words) + 1)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list([*_letters(), "th", *words])
    out.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * len(words))
    out.add_token_merges(["t h"])
    out.add_eos_token_id(256 + len(words))
    out.add_chat_template(TEMPLATE)
    for name, shape in _shapes(256 + len(words) + 1).items():
        values = np.ones(shape) if "norm" in name else chance.normal(0, spread, shape)
        out.add_tensor(name, values.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        attention = {f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        norms = {"attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}
        feeds = {"ffn_gate": (FEED, WIDTH), "ffn_up": (FEED, WIDTH), "ffn_down": (WIDTH, FEED)}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in {**attention, **norms, **feeds}.items()}
    return shapes


def _letters() -> list[str]:
    """GPT-2's printable stand-in for each byte."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    stand_ins = {**{byte: chr(byte) for byte in own}, **{byte: chr(256 + n) for n, byte in enumerate(others)}}
    return [stand_ins[byte] for byte in range(256)]
