"""EcoLogits' estimate is its own: what it says of the call, in our units."""

from importlib import import_module

import pytest

from jevons.economics.energy.beside import estimate, version
from jevons.economics.energy.grids import grid, grids

ecologits = pytest.importorskip("ecologits", reason="pip install 'ecologits>=0.11'")


def test_it_is_what_the_library_says() -> None:
    llm_impacts = import_module("ecologits.tracers.utils").llm_impacts
    found = estimate("anthropic", "claude-sonnet-4-5", 500, 6.5, grid("sweden"))
    said = llm_impacts("anthropic", "claude-sonnet-4-5", 500, 6.5, "SWE")
    assert found is not None and version() == ecologits.__version__
    assert found.wh == pytest.approx((said.energy.value.min * 1e3, said.energy.value.max * 1e3))
    assert found.used_g == pytest.approx((said.usage.gwp.value.min * 1e3, said.usage.gwp.value.max * 1e3))
    assert found.total_g == pytest.approx((said.gwp.value.min * 1e3, said.gwp.value.max * 1e3))
    assert found.total_g[0] > found.used_g[0]


def test_a_call_that_was_quicker_than_it_thinks_took_less() -> None:
    quick, slow = (estimate("openai", "gpt-4o", 500, seconds, grid("us")) for seconds in (1.0, None))
    assert quick is not None and slow is not None and quick.wh[0] < slow.wh[0]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openrouter", "anthropic/claude-sonnet-4.5"),
        ("azure", "gpt-4o"),
        ("openrouter", "openai/gpt-oss-120b:free"),
        ("mistral", "mistral-large-2407"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("aws", "anthropic.claude-opus-4-5-20251101-v1:0"),
        ("together", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
    ],
)
def test_names_of_resellers(provider: str, model: str) -> None:
    assert estimate(provider, model, 100, None, grid("world")) is not None


def test_what_it_lacks_is_none() -> None:
    for provider, model in (("openai", "frobnicate-1"), ("local", "local"), ("anthropic", "claude-sonnet-4-0")):
        assert estimate(provider, model, 100, 1.0, grid("world")) is None


def test_it_knows_every_grid_that_we_know() -> None:
    assert all(estimate("openai", "gpt-4o", 100, 1.0, one) for one in grids())
