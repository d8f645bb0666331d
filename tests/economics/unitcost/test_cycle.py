"""How many steps read prompts, and what that does to the mean step: nothing is lost, and whole prompts cost a mixture less."""

from dataclasses import replace
from math import exp

import pytest

from jevons.economics.unitcost.cycle import PREFILL_TOKENS, mean_demand, mean_time, plain_s, reading_share
from jevons.economics.unitcost.efficiency import PEAK, shipped
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.serving import Load, serve, steady
from jevons.economics.unitcost.steps import System, time
from jevons.economics.unitcost.weights import cache_precision, precision

BF16 = cache_precision("bf16")
ONE = System(part("H100"))
RATES = shipped().rates("vllm")


def test_prompts_begin_independently_of_each_other() -> None:
    assert reading_share(0.0, 1000, waves=False) == 0
    assert reading_share(0.1, 1000, waves=False) == pytest.approx(1 - exp(-0.1))
    assert reading_share(50.0, 10, waves=False) == pytest.approx(1)


def test_a_step_reads_no_more_than_its_budget_while_another_has_room() -> None:
    assert reading_share(0.1, 4 * PREFILL_TOKENS, waves=False) == pytest.approx(0.4)
    assert reading_share(0.5, 4 * PREFILL_TOKENS, waves=False) == 1


def test_requests_of_a_wave_are_read_in_whole_budgets() -> None:
    assert reading_share(1.0, PREFILL_TOKENS // 8, waves=True) == pytest.approx(1 / 8)
    assert reading_share(0.1, 4 * PREFILL_TOKENS, waves=True) == pytest.approx(0.4)


def test_all_prompts_are_read() -> None:
    """However they are spread over steps, and over groups and stages that each have their own."""
    arch, load = known("llama-3.1-8b"), Load(1000, 500, batch=40.0)
    for on in (ONE, System(part("H100"), data=2), System(part("H100"), pipeline=2)):
        found = steady(arch, precision("bf16"), BF16, on, load).steps
        alone = steady(arch, precision("bf16"), BF16, on, load, prompts=False).steps
        assert [steps.share for steps in alone] == [1]
        assert [steps.share for steps in found] == pytest.approx([exp(-0.08 / on.devices), 1 - exp(-0.08 / on.devices)])
        assert mean_demand(found).sequences - mean_demand(alone).sequences == pytest.approx(0.08 / on.devices)
    elsewhere = steady(arch, precision("bf16"), BF16, ONE, replace(load, apart=True)).steps
    assert [steps.share for steps in elsewhere] == [1]


def test_the_mean_step() -> None:
    cycle = steady(known("gpt-oss-20b"), precision("mxfp4"), BF16, ONE, Load(1000, 500, batch=40.0))
    (_, quiet), (share, reading) = cycle.steps
    without, within = time(quiet, RATES).total_s, time(reading, RATES).total_s
    assert without < within
    assert cycle.seconds(RATES) == pytest.approx((1 - share) * without + share * within)
    assert plain_s(cycle.steps) <= mean_time(cycle.steps, PEAK).total_s


@pytest.mark.parametrize("batch", [1.0, 8.0, 44.0])
def test_prompts_cost_about_as_much_between_answers_as_alone(batch: float) -> None:
    """Also where a few tokens of a prompt in every step would take most experts in every step."""
    arch, load = known("gpt-oss-120b"), Load(1000, 256, batch=batch)
    found = serve(arch, precision("mxfp4"), BF16, ONE, load, shipped(), "vllm")
    apart = load.prompt / found.prefill_tok_s + load.output / found.decode_tok_s
    assert load.output / found.device_tok_s == pytest.approx(apart, rel=0.1)
