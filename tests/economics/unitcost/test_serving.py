"""Speed under a load, the cheapest batch above a floor, what does not fit; DeepSeek's account."""

import pytest

from jevons.economics.unitcost import deepseek
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.serving import Load, Speed, best_batch, capacity, serve
from jevons.economics.unitcost.steps import System
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
    assert full.batch == pytest.approx(capacity(known("llama-3.1-8b"), precision("fp8"), FP8, ONE, 2000))


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
