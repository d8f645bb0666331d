"""Joules of a token against what others published, and against each other."""

import msgspec
import pytest

from jevons.economics.energy.facts import facts
from jevons.economics.energy.joules import Joules, deployments, joules, overhead
from jevons.economics.energy.scenarios import Interval, interval, lognormal, product
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.known import known


def of(provider: str, model: str) -> Joules:
    return joules(facts(provider, model))


def watt_hours(provider: str, model: str, new: int, output: int) -> Interval:
    """Of one call, at the building's meter."""
    found, pairs = of(provider, model), (output * (new + output / 2), new * new / 2)
    four = zip(found.made, found.read, found.looked, found.attended, overhead(), strict=True)
    return interval([(output * m + new * r + pairs[0] * k + pairs[1] * a) * o / 3600 for m, r, k, a, o in four])


@pytest.mark.parametrize(
    ("provider", "model", "new", "output", "published_wh"),
    [
        ("openai", "gpt-4o", 100, 500, 0.3),  # Epoch AI, "How much energy does ChatGPT use?" (2025-02)
        (
            "openai",
            "gpt-4o",
            200,
            300,
            0.34,
        ),  # S. Altman, "The Gentle Singularity" (2025-06): an average query; its length is our guess
        (
            "google",
            "gemini-2.5-flash",
            200,
            250,
            0.24,
        ),  # Google, arXiv 2508.15734: the median prompt; model and length are our guess
    ],
)
def test_published_figures_lie_within(provider: str, model: str, new: int, output: int, published_wh: float) -> None:
    found = watt_hours(provider, model, new, output)
    assert found.low < published_wh < found.high


def test_a_measured_wall_lies_near_the_lower_end() -> None:
    """MLPerf v5.1: Llama 2 70B offline on eight B200, 0.101 J a token at the wall, its prompt of like length included: as good as it gets."""
    made, host = of("x", "llama-2-70b-chat-hf").made, lognormal("host", 1.3, 2.0)
    low, middle, _ = interval(product(made, host))
    assert low / 3 < 0.101 < middle


@pytest.mark.parametrize(
    "model", ["llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "gpt-oss-120b", "deepseek-v3", "llama-3.1-405b-instruct"]
)
def test_the_law_of_size_agrees_with_the_unit_cost_model(model: str) -> None:
    """Two ways to one figure: middles within a factor of three, and intervals that meet."""
    by_architecture = facts("x", model)
    arch = by_architecture.architecture
    assert arch is not None
    active, total = arch.params_active / 1e9, arch.params_total / 1e9
    sized = type(by_architecture)("stated", model, model, "", (active, active), (total, total))
    for one, other in zip(joules(by_architecture)[:2], joules(sized)[:2], strict=True):
        ours, law = interval(one), interval(other)
        assert 1 / 3 < ours.middle / law.middle < 3 and ours.low < law.high and law.low < ours.high


def test_output_dominates_and_what_is_cached_costs_nearly_nothing() -> None:
    for model in ("claude-sonnet-4-5", "llama-3.3-70b-instruct", "deepseek-v3"):
        made, read, looked, attended = (interval(draws).middle for draws in of("anthropic", model))
        assert made > 3 * read
        assert read > 100 * looked and read > 1_000 * attended
        cached = 10_000  # an answer of 300 to them and 500 new ones, against reading them anew
        assert 300 * cached * looked + 500 * cached * attended < 0.5 * cached * (read + cached / 2 * attended)


def test_larger_models_take_more() -> None:
    made = [interval(of("openai", model).made).middle for model in ("gpt-5-nano", "gpt-5-mini", "gpt-5", "gpt-5.4-pro")]
    assert made == sorted(made)


def test_a_model_of_this_machine_has_no_joules_a_token() -> None:
    with pytest.raises(UnknownFact, match="time of this machine"):
        of("local", "smollm2")


def test_deployments_are_those_that_are_possible() -> None:
    small, large = deployments(known("llama-3.1-8b")), deployments(known("deepseek-v3"))
    assert len(large) < len(small) == 21  # 4 bits only where the part multiplies in them
    assert all(min(four) >= 0 for four in (*small, *large))


def test_what_fits_nowhere_is_said() -> None:
    arch = known("deepseek-v3")
    groups = tuple(msgspec.structs.replace(group, count=40 * group.count) for group in arch.groups)
    with pytest.raises(UnknownFact, match="deepseek-v3 fits on none of H100-SXM-80GB"):
        deployments(msgspec.structs.replace(arch, groups=groups))
