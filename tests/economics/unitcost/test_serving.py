"""Speed under a load, the cheapest batch above a floor, what does not fit; DeepSeek's account."""

from dataclasses import replace

import pytest

from jevons.economics.unitcost import deepseek
from jevons.economics.unitcost.cycle import mean_demand
from jevons.economics.unitcost.efficiency import Measured, shipped
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.serving import Load, Speed, best_batch, capacity, serve, steady
from jevons.economics.unitcost.steps import System, demand
from jevons.economics.unitcost.weights import cache_precision, precision
from jevons.economics.unitcost.work import Speculation

FP8 = cache_precision("fp8")
ONE = System(part("H100"))


def speed(load: Load, model: str = "llama-3.1-8b", on: System = ONE, weights: str = "fp8") -> Speed:
    arch = known(model)
    return serve(arch, precision(weights, arch), FP8, on, load, shipped(), "vllm")


def test_rates_belong_together() -> None:
    found = speed(Load(1000, 1000, batch=64))
    assert found.user_tok_s * 64 == pytest.approx(found.device_tok_s)
    assert found.decode_tok_s > found.device_tok_s  # prompts take time
    assert found.prefill_tok_s > found.decode_tok_s
    assert found.plain_device_tok_s > found.device_tok_s
    assert found.power_w is not None
    assert found.joules_per_token == pytest.approx(found.power_w / found.device_tok_s)
    low, high = found.interval(found.device_tok_s)
    assert low < found.device_tok_s < high
    assert found.joules_interval is not None
    assert found.joules_interval[0] < found.joules_per_token < found.joules_interval[1]
    assert 0 < found.compute_used < 1
    assert found.cached_tok_s is None


def test_more_at_once_is_cheaper_and_slower_for_each() -> None:
    few, many = speed(Load(1000, 1000, batch=8)), speed(Load(1000, 1000, batch=128))
    assert many.device_tok_s > 4 * few.device_tok_s
    assert many.user_tok_s < few.user_tok_s
    full = speed(Load(1000, 1000))
    assert full.batch == int(capacity(known("llama-3.1-8b"), precision("fp8"), FP8, ONE, 2000))


def test_what_is_kept_is_nearly_free() -> None:
    cold, warm = speed(Load(4000, 200, batch=32)), speed(Load(1000, 200, 3000, batch=32))
    assert warm.device_tok_s > 1.4 * cold.device_tok_s
    assert warm.cached_tok_s is not None
    assert warm.cached_tok_s > 5 * warm.prefill_tok_s


def test_waves_of_a_run_that_ends() -> None:
    assert speed(Load(1000, 1000, requests=10)).batch == 10
    full = speed(Load(1000, 1000)).batch
    halves = speed(Load(1000, 1000, requests=int(full) + 2)).batch
    assert halves == (int(full) + 2) / 2  # two waves, both half full


def test_drafts_speed_up_who_is_alone() -> None:
    plain = speed(Load(500, 500, batch=1))
    free = speed(Load(500, 500, batch=1, speculative=Speculation(3, 0.8)))
    drafted = speed(Load(500, 500, batch=1, speculative=Speculation(3, 0.8, known("llama-3.2-1b"))))
    assert plain.user_tok_s < drafted.user_tok_s < free.user_tok_s < 4 * plain.user_tok_s


def test_a_drafting_model_reads_prompts_too() -> None:
    """All of them, once: over the drafts of a step."""
    arch, weights, drafts = known("llama-3.3-70b"), precision("fp8"), Speculation(4, 0.8, known("llama-3.1-8b"))
    load = Load(2000, 100, batch=4, speculative=drafts)
    cycle = steady(arch, weights, FP8, System(part("H200")), load)
    alone = steady(arch, weights, FP8, System(part("H200")), load, prompts=False)
    whole = demand(drafts.draft or arch, weights, FP8, System(part("H200")), batch=0, contexts=(0,), prompts=1.0, prompt=2000)
    added = 4 * (mean_demand(cycle.drafts).attention - mean_demand(alone.drafts).attention)
    assert added == pytest.approx(4 * drafts.produced / 100 * whole.attention)


def test_drafts_that_are_never_kept_slow_down() -> None:
    """Experts apart too: the fullest device has no more of them to read than it keeps."""
    arch, weights = known("mixtral-8x7b"), precision("fp8")
    for devices in (8, 72):
        on = System(part("H100"), 1, devices, spread=True)
        none, wrong = (Load(1000, 1000, batch=8, speculative=drafts) for drafts in (None, Speculation(3, 0.0)))
        plain, drafted = (serve(arch, weights, FP8, on, load, shipped()).device_tok_s for load in (none, wrong))
        assert drafted < plain


def test_a_drafting_model_takes_memory() -> None:
    arch, weights, on = known("llama-3.3-70b"), precision("fp8"), System(part("H200"))
    bare = capacity(arch, weights, FP8, on, 2000)
    with_small = capacity(arch, weights, FP8, on, 2000, Speculation(3, 0.8, known("llama-3.1-8b")))
    assert with_small < 0.85 * bare
    assert capacity(arch, weights, FP8, on, 2000, Speculation(3, 0.8)) == bare
    for draft in (Speculation(3, 0.8, arch, precision("bf16")), Speculation(3, 0.8, known("gpt-oss-120b"), precision("fp8"))):
        with pytest.raises(DoesNotFit, match="does not fit"):
            speed(Load(1000, 1000, speculative=draft), "llama-3.3-70b", on)


def test_the_largest_batch_above_the_floor() -> None:
    arch, weights = known("llama-3.1-8b"), precision("fp8")
    found = best_batch(arch, weights, FP8, ONE, Load(1000, 1000), shipped(), 50.0, "vllm")
    assert found.user_tok_s >= 50
    assert speed(Load(1000, 1000, batch=found.batch + 1)).user_tok_s < 50
    with pytest.raises(UnitCostError, match=r"gives \d+\.\d to a single one"):
        best_batch(arch, weights, FP8, ONE, Load(1000, 1000), shipped(), 1e6)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(DoesNotFit, match=r"weights take 141\.\d+ GB.*What would fit: 2 devices in tensor"):
        speed(Load(1000, 1000), "llama-3.3-70b", weights="bf16")
    with pytest.raises(DoesNotFit, match="a batch of 5000 does not fit"):
        speed(Load(1000, 1000, batch=5000))
    with pytest.raises(UnitCostError, match="at least one new token"):
        speed(Load(0, 10))
    with pytest.raises(UnknownFact, match="memory"):
        speed(Load(10, 10), on=System(part("Xeon 6980P")))


def test_without_rated_power_there_are_no_joules() -> None:
    found = speed(Load(100, 100, batch=4), on=System(part("TPU v7")), weights="bf16")
    assert found.joules_per_token is found.joules_interval is None


def test_an_interval_is_as_wide_as_its_evidence() -> None:
    """Each step away from measured rows widens it; a vendor without rows is wider than any generation that was left out."""
    arch, weights, load = known("llama-3.1-8b"), precision("bf16"), Load(1000, 1000, batch=8)

    def asked(name: str, engine: str) -> Speed:
        return serve(arch, weights, cache_precision("bf16"), System(part(name)), load, shipped(), engine)

    own, new_part, new_generation = asked("H100", "vllm"), asked("L40S", "vllm"), asked("A100", "vllm")
    new_engine, new_vendor = asked("H100", "sglang"), asked("MI300X", "vllm")
    assert own.spread < new_part.spread < new_generation.spread < new_vendor.spread
    assert own.spread < new_engine.spread < asked("A100", "sglang").spread < asked("MI300X", "").spread
    assert own.power_spread == new_engine.power_spread < new_part.power_spread
    assert own.evidence == (
        "measured rows: H100-SXM-80GB and vllm have some; the model is taken as new",
        "power: measured of this part",
    )
    assert "no measured rows: L40S; as wide as predictions were off with part left out" in new_part.evidence[0]
    assert "sglang" in new_engine.evidence[0]
    assert "times 2 for a vendor or kind without any row (assumption)" in new_vendor.evidence[0]
    assert "H100-SXM-80GB alone" in new_vendor.evidence[1]
    bare = replace(shipped(), measured=Measured())
    assert bare.evidence(part("MI300X"), "").spread == bare.spread


def test_numbers_that_are_widened_are_said() -> None:
    arch = known("llama-3.1-8b")

    def asked(name: str) -> Speed:
        return serve(arch, precision("int8"), cache_precision("bf16"), System(part(name)), Load(1000, 1000, batch=8), shipped())

    assert asked("H100").widened == ()
    rows_of_fp8 = speed(Load(1000, 1000, batch=8)).spread
    assert speed(Load(1000, 1000, batch=8), weights="int8").spread > 1.3 * rows_of_fp8  # int8 was never measured
    assert asked("MI355X").widened == ("int8 is computed in bf16: its throughput in int8 on MI355X is not known",)
    assert asked("B300").widened == ("int8 is computed in bf16: its throughput in int8 on B300-SXM is slower",)
    wide = serve(arch, precision("bf16"), cache_precision("bf16"), System(part("B300")), Load(1000, 1000, batch=8), shipped())
    assert asked("B300").device_tok_s > wide.device_tok_s  # fewer bytes, same products


def test_heads_are_the_most_that_tensor_parallelism_divides() -> None:
    with pytest.raises(DoesNotFit, match=r"llama-3\.1-8b has 32 heads: tensor parallelism over 64 devices"):
        speed(Load(1000, 1000, batch=64), on=System(part("H100"), 64))


def test_deepseeks_nodes_are_linked_by_infiniband() -> None:
    """A token leaves to at most four nodes in prefill, to each of its eight experts in decode, in fp8 there and bf16 back."""
    arch, kv = known("deepseek-r1"), cache_precision("bf16")
    weights = precision("fp8", arch)
    on, _ = deepseek.prefilling()
    assert on.between is not None
    token = 58 * 7168 * (1 + 2) * 4  # bytes: layers x hidden x (fp8 there, bf16 back) x nodes
    step = demand(arch, weights, kv, on, batch=0, contexts=(0,), prompts=32.0, prompt=1000)
    assert step.sent == pytest.approx(1000 * token / 50e9 * 31 / 32)
    on, _ = deepseek.decoding()
    assert on.between is not None
    assert (on.between.bytes_s, on.between.copies) == (50e9, 8)


def test_deepseeks_account() -> None:
    """research: 5,445 node-hours; $0.060 and $0.300 a million; $87,072 a day; within 1 %, and near the hours that were paid."""
    found = deepseek.account()
    assert found.node_hours == pytest.approx(5445, rel=0.01)
    assert found.input_usd_m == pytest.approx(0.060, rel=0.01)
    assert found.output_usd_m == pytest.approx(0.300, rel=0.01)
    assert found.usd == pytest.approx(87_072, rel=0.0001)
    assert found.node_hours == pytest.approx(deepseek.NODES * 24, rel=0.001)
    assert found.input_node_hours + found.output_node_hours == found.node_hours


def test_deepseeks_speeds_are_predicted_within_thirty_percent() -> None:
    arch, kv = known("deepseek-r1"), cache_precision("bf16")
    weights = precision("fp8", arch)
    on, load = deepseek.prefilling()
    reading = serve(arch, weights, kv, on, load, shipped()).prefill_tok_s / (1 - deepseek.CACHED_SHARE) * 8
    assert reading == pytest.approx(deepseek.NODE_INPUT_TOK_S, rel=0.3)
    on, load = deepseek.decoding()
    writing = best_batch(arch, weights, kv, on, load, shipped(), deepseek.USER_TOK_S).device_tok_s * 8
    assert writing == pytest.approx(deepseek.NODE_OUTPUT_TOK_S, rel=0.3)
    assert load.prompt + load.output / 2 == pytest.approx(deepseek.KEPT_TOKENS, abs=1)
