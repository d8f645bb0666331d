"""The twins' shape at a size that no cache holds, with random weights: only time is read from it.

Comes in: how wide. Goes out: GGUF files in Q8_0. The trained twins fit into a processor's cache, where bytes cost nothing; these do not.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

WIDTH = 1024
LAYERS = 8
HEADS = 16
EXPERT = 1024
EXPERTS, USED = 8, 2
VOCABULARY = 4096
BLOCK, BLOCK_BYTES = 32, 34


def write(path: Path, *, mixture: bool) -> None:
    """The mixture has 223 million parameters, of which 72 are active; the dense twin has these."""
    writer = GGUFWriter(path, "llama")
    writer.add_vocab_size(VOCABULARY)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(EXPERT if mixture else EXPERT * USED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    if mixture:
        writer.add_expert_count(EXPERTS)
        writer.add_expert_used_count(USED)
    writer.add_tokenizer_model("none")
    random = np.random.default_rng(5)
    head = WIDTH // HEADS
    ffn = {"gate": (EXPERT * USED, WIDTH), "up": (EXPERT * USED, WIDTH), "down": (WIDTH, EXPERT * USED)}
    if mixture:
        ffn = {
            f"{name}_exps": (EXPERTS, *shape)
            for name, shape in (("gate", (EXPERT, WIDTH)), ("up", (EXPERT, WIDTH)), ("down", (WIDTH, EXPERT)))
        }
    weights = {"attn_q": (WIDTH, WIDTH), "attn_k": (head, WIDTH), "attn_v": (head, WIDTH), "attn_output": (WIDTH, WIDTH)}
    weights |= {f"ffn_{name}": shape for name, shape in ffn.items()}
    _add(writer, "token_embd.weight", (VOCABULARY, WIDTH), random)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        if mixture:
            router = random.normal(size=(EXPERTS, WIDTH)).astype(np.float32) / WIDTH**0.5
            writer.add_tensor(f"blk.{layer}.ffn_gate_inp.weight", router)
        for name, shape in weights.items():
            _add(writer, f"blk.{layer}.{name}.weight", shape, random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: GGUFWriter, name: str, shape: tuple[int, ...], random: np.random.Generator) -> None:
    """A Q8_0 tensor: blocks of one f16 scale and 32 whole numbers, of a size that keeps activations near 1."""
    blocks = np.empty((*shape[:-1], shape[-1] // BLOCK, BLOCK_BYTES), np.uint8)
    scale = np.float16(1 / (73 * shape[-1] ** 0.5))  # 73: the standard deviation of whole numbers from -127 to 127
    blocks[..., :2] = np.frombuffer(scale.tobytes(), np.uint8)
    blocks[..., 2:] = random.integers(-127, 128, (*blocks.shape[:-1], BLOCK), np.int8).view(np.uint8)
    writer.add_tensor(name, blocks.reshape(*shape[:-1], -1), raw_dtype=GGMLQuantizationType.Q8_0)
