"""Times of a step: what adds up, what overlaps, what divides among devices; what is not known is said."""

import math
from dataclasses import replace

import pytest

from jevons.economics.unitcost.efficiency import PEAK, TILES, shipped
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.steps import Demand, System, demand, rate, system, time
from jevons.economics.unitcost.weights import cache_precision, precision

H100, B200 = part("H100"), part("B200")
BF16 = cache_precision("bf16")


def step(model: str, on: System, weights: str = "bf16", batch: float = 8, **more: float) -> Demand:
    arch = known(model)
    return demand(arch, precision(weights, arch), BF16, on, batch=batch, contexts=(1000,), **more)  # type: ignore[arg-type]


def test_a_processors_tiles_reach_less_of_their_peak() -> None:
    """Of those that a data sheet speaks of; one that was measured states what it reaches."""
    sheet = part("Xeon 6787P")
    told = step("llama-3.1-8b", System(sheet))
    here = step("llama-3.1-8b", System(replace(sheet, sources={"spec": "measured here on a day"})))
    rates = shipped().rates()
    assert time(told, rates).compute_s == pytest.approx(time(here, rates).compute_s / TILES)
    assert time(told, PEAK) == time(here, PEAK)
    assert step("llama-3.1-8b", System(part("EPYC 9755"))).tiles == step("llama-3.1-8b", System(H100)).tiles == 0


def test_one_sequence_reads_every_weight_once() -> None:
    """At peak, a step of one sequence on one device lasts as long as reading the weights and its keys and values."""
    arch = known("llama-3.1-8b")
    found = step("llama-3.1-8b", System(H100), batch=1)
    weights = 2 * (arch.params_total - arch.vocabulary * arch.hidden)  # of the embedding one row is read
    cache = 2 * arch.cache_elements(1002)
    assert found.dense_read + found.cache == pytest.approx((weights + cache) / H100.bandwidth(), rel=1e-3)
    assert sum(found.dense.values()) == pytest.approx(2 * weights / 2 / H100.flops("bf16"), rel=1e-3)
    assert (found.experts_read, found.sent, found.messages) == (0, 0, 0)
    plain = time(found, PEAK)
    assert plain.overhead_s == plain.network_s == 0
    assert plain.binds == "memory"


def test_overlap_lies_between_the_larger_and_the_sum() -> None:
    found = step("llama-3.1-8b", System(H100), batch=300)
    shares = shipped().rates("vllm")
    took = time(found, shares)
    rest = took.network_s + took.overhead_s + found.passed / shares.read
    assert max(took.compute_s, took.memory_s - found.passed / shares.read) < took.total_s - rest < took.compute_s + took.memory_s


def test_tensor_parallelism_divides_weights_and_adds_messages() -> None:
    one, four = step("llama-3.3-70b", System(B200)), step("llama-3.3-70b", System(B200, 4))
    assert four.dense_read == pytest.approx(one.dense_read / 4)
    assert four.cache == pytest.approx(one.cache / 4)
    assert four.sent > 0
    assert four.messages == (2 * 80 + 1) * 2  # all-reduces, as deep as a tree of four


def test_keys_are_copied_where_devices_are_more_than_heads() -> None:
    one, many = step("deepseek-r1", System(B200), "fp8"), step("deepseek-r1", System(B200, 8), "fp8")
    assert many.cache == pytest.approx(one.cache)  # compressed: every device keeps all of it


def test_experts_apart_and_attention_by_sequences() -> None:
    apart = step("qwen3-235b-a22b", System(B200, 1, 8, spread=True), "fp8", batch=512)
    cut = step("qwen3-235b-a22b", System(B200, 8), "fp8", batch=512)
    assert apart.dense_read == pytest.approx(8 * cut.dense_read)  # every device has all of attention
    assert apart.experts_read > cut.experts_read  # the fullest device is waited for
    assert apart.sequences == cut.sequences / 8
    assert sum(apart.experts.values()) > sum(cut.experts.values())


def test_a_pipeline_reads_all_weights_for_each_part_of_a_batch() -> None:
    one, two = step("llama-3.1-8b", System(B200)), step("llama-3.1-8b", System(B200, 1, 1, 2))
    assert two.dense_read == pytest.approx(one.dense_read, rel=1e-4)
    assert two.cache == pytest.approx(one.cache / 2)


def test_hidden_messages_cost_what_sticks_out() -> None:
    shares = shipped().rates()
    waits = time(step("deepseek-r1", System(part("H800"), 1, 32, spread=True), "fp8", batch=2000), shares)
    hides = time(step("deepseek-r1", System(part("H800"), 1, 32, spread=True, hides=True), "fp8", batch=2000), shares)
    assert hides.total_s == pytest.approx(waits.total_s - waits.network_s)


def test_weights_are_widened_where_a_part_cannot_multiply_them() -> None:
    assert rate(H100, "fp4") == ("fp8", H100.flops("fp8"))
    assert rate(part("A100"), "fp8") == ("bf16", part("A100").flops("bf16"))
    with pytest.raises(UnknownFact, match="throughput of nothing"):
        rate(Part(name="nothing", vendor="", kind="gpu", sources={}), "bf16")


def test_prompts_share_the_weights_of_a_step() -> None:
    alone, mixed = step("llama-3.1-8b", System(H100)), step("llama-3.1-8b", System(H100), prompts=2.0, prompt=500)
    assert mixed.dense_read == pytest.approx(alone.dense_read, rel=1e-2)
    assert sum(mixed.dense.values()) > 50 * sum(alone.dense.values())
    assert mixed.sequences == 10


@pytest.mark.parametrize(
    ("name", "devices", "divided"),
    [
        ("", 4, (4, 1, 1, False)), ("TP4", 4, (4, 1, 1, False)), ("tp", 8, (8, 1, 1, False)), ("DEP8", 8, (1, 8, 1, True)),
        ("ep", 8, (1, 8, 1, True)), ("decode EP144 (18-node unit)", 144, (1, 144, 1, True)), ("TP1/EP4", 4, (4, 1, 1, True)),
        ("TP8/EP8", 8, (8, 1, 1, True)), ("TP1,PP2", 2, (1, 1, 2, False)), ("DEP2,PP2", 4, (1, 2, 2, True)),
        ("TP2/EP8", 8, (2, 4, 1, True)), ("DP2", 8, (4, 2, 1, False)), ("pp", 4, (1, 1, 4, False)),
    ],
)  # fmt: skip
def test_parallelism_as_tables_write_it(name: str, devices: int, divided: tuple[int, int, int, bool]) -> None:
    found = system(H100, devices, name)
    assert (found.tensor, found.data, found.pipeline, found.spread) == divided
    assert found.devices == devices


@pytest.mark.parametrize(
    ("name", "said"), [("sideways", "not understood"), ("PP3", "3 stages"), ("TP3", "divided"), ("TP0", "1 or more")]
)
def test_parallelism_that_cannot_be(name: str, said: str) -> None:
    with pytest.raises(UnitCostError, match=said):
        system(H100, 4, name)


def test_routers_take_fewer_experts_than_even_choice() -> None:
    found = step("gpt-oss-120b", System(H100), "mxfp4", batch=16)
    shares = shipped().rates("vllm")
    assert 0 < shares.skew < 1
    assert time(found, shares).memory_s < time(found, type(shares)(**{**vars(shares), "skew": 1.0})).memory_s
    assert math.isfinite(time(found, PEAK).total_s)
