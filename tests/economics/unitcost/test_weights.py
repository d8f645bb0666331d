"""Bits of weights and of caches, held against sizes that are published."""

import pytest

from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.weights import cache_precision, mean_bits, precision, weight_bytes

GIB = 2**30


@pytest.mark.parametrize(
    ("model", "name", "gib"),
    [
        ("gpt-oss-120b", "mxfp4", 60.8),  # model card of gpt-oss (arXiv 2508.10925), table 1
        ("gpt-oss-20b", "mxfp4", 12.8),
        ("llama-3.1-8b", "fp16", 14.96),  # llama.cpp, tools/quantize/README.md
        ("llama-3.1-8b", "q8_0", 7.95),
        ("llama-3.1-8b", "Q6_K", 6.14),
        ("llama-3.1-8b", "q4_k_m", 4.58),
        ("llama-3.1-8b", "iq4_nl", 4.38),  # 1.1 % more: a few tensors are kept at q5_k
    ],
)
def test_a_checkpoint_is_as_large_as_is_published(model: str, name: str, gib: float) -> None:
    arch = known(model)
    assert sum(weight_bytes(arch, precision(name, arch)).values()) / GIB == pytest.approx(gib, rel=0.012)


def test_output_layer_and_router_stay_wide() -> None:
    arch = known("qwen3-30b-a3b")
    eight = precision("fp8", arch)
    assert {kind for kind, bits in eight.bits.items() if bits == 16} == {"embedding", "head", "router"}
    assert {kind for kind, numbers in eight.compute.items() if numbers == "bf16"} == {"embedding", "head", "router"}
    wide = sum(arch.params[kind] for kind in ("embedding", "head", "router"))
    assert mean_bits(arch, eight) == pytest.approx(8 + 8 * wide / arch.params_total)


def test_checkpoints_that_keep_more_wide_are_known_as_such() -> None:
    oss, kimi, seek = known("gpt-oss-120b"), known("kimi-k2"), known("deepseek-r1")
    assert {precision(name, oss).compute["experts"] for name in ("mxfp4", "fp8", "fp4")} == {"bf16", "fp8"}
    assert {precision(name, oss).bits["attention"] for name in ("mxfp4", "fp8", "fp4")} == {16}
    assert precision("int4", kimi).bits == {kind: 4.5 if kind == "experts" else 16 for kind in precision("int4").bits}
    assert (
        precision("fp4", seek).bits["attention"],
        precision("fp8", seek).bits["attention"],
        precision("fp4").bits["attention"],
    ) == (16, 8, 4.5)


@pytest.mark.parametrize(
    ("said", "meant"), [("NVFP4", "nvfp4"), ("fp4", "nvfp4"), ("AWQ", "int4"), ("Q4-K-M", "q4_k_m"), ("bfloat16", "bf16")]
)
def test_precisions_are_found_as_tables_write_them(said: str, meant: str) -> None:
    assert precision(said).name == meant and precision(said).source


def test_scales_are_counted() -> None:
    assert [precision(name).bits["dense"] for name in ("mxfp4", "nvfp4", "q4_1", "q8_0")] == [4.25, 4.5, 5.0, 8.5]
    assert precision("q4_1").bits["head"] == 6.5625 and precision("q8_0").bits["head"] == 8.5
    assert precision("q4_1").compute["dense"] == "int8" and precision("awq").compute["dense"] == "bf16"


def test_caches() -> None:
    assert [cache_precision(name).bits(128) for name in ("bf16", "fp8", "q8_0", "q4_0")] == [16, 8, 8.5, 4.5]
    # a length of 16 bits a vector: what docs/turboquant.md prints as stored for 2 bits at d = 128
    assert cache_precision("turboquant-2").bits(128) == 2.125 and cache_precision("turboquant-4").bits(64) == 4.25


def test_a_precision_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownFact, match=r"weight precision 'fp6' is not known; known are .*bf16.*q4_k_m"):
        precision("fp6")
    with pytest.raises(UnknownFact, match=r"'turboquant-9' of keys and values is not known; known are fp32"):
        cache_precision("turboquant-9")
