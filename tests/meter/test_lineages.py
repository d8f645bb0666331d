"""Lines of models: the models people use have one, the rest is a line of its own, and prices decide only where nothing else can."""

import itertools

import pytest
from genai_prices.data_snapshot import get_snapshot

from jevons.meter.lineages import Lineage, blended, lineage_of, lines

KNOWN = {line.lineage for line in lines()}

OPENROUTER_WEEKLY = """
anthropic/claude-4.5-opus-20251124 anthropic/claude-4.5-sonnet-20250929 anthropic/claude-4.6-opus-20260205
anthropic/claude-4.6-sonnet-20260217 arcee-ai/trinity-large-preview:free deepseek/deepseek-v3.2-20251201 google/gemini-2.0-flash-001
google/gemini-2.5-flash google/gemini-2.5-flash-lite google/gemini-2.5-pro google/gemini-3-flash-preview-20251217
google/gemini-3-pro-preview-20251117 minimax/minimax-m2 minimax/minimax-m2.1 minimax/minimax-m2.5-20260211
minimax/minimax-m2.7-20260318 moonshotai/kimi-k2.5-0127 openai/gpt-oss-120b openrouter/hunter-alpha openrouter/polaris-alpha
openrouter/sherlock-think-alpha stepfun/step-3.5-flash:free x-ai/grok-4-fast x-ai/grok-4.1-fast x-ai/grok-4.1-fast:free
x-ai/grok-code-fast-1 xiaomi/mimo-v2-flash-20251210:free xiaomi/mimo-v2-pro-20260318 z-ai/glm-5-20260211 z-ai/glm-5-turbo-20260315
""".split()
"""Every model of the weekly OpenRouter counts in the data folder (openrouter_weekly.csv), as that file spells it."""


@pytest.mark.parametrize(("provider", "model", "vendor", "line", "tier"), [
    ("anthropic", "claude-opus-4-8", "anthropic", "opus", "frontier"),
    ("openrouter", "anthropic/claude-4.5-opus-20251124", "anthropic", "opus", "frontier"),
    ("openrouter", "~anthropic/claude-sonnet-latest", "anthropic", "sonnet", "frontier"),
    ("aws", "regional.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic", "haiku", "commodity"),
    ("anthropic", "claude-2.1", "anthropic", "claude", "frontier"),
    ("openai", "gpt-4o-2024-08-06", "openai", "gpt", "frontier"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "openai", "gpt mini", "commodity"),
    ("openai", "GPT-5.6-Luna", "openai", "gpt mini", "commodity"),
    ("openai", "gpt-6-astra-pro:batch", "openai", "gpt astra", "frontier"),
    ("openai", "gpt-5.4-nano", "openai", "gpt nano", "commodity"),
    ("openai", "text-davinci-003 (GPT-3.5)", "openai", "gpt", "frontier"),
    ("openai", "gpt-4.5-preview", "openai", "gpt preview", "frontier"),
    ("openai", "gpt-5.1-codex-mini", "openai", "codex mini", "commodity"),
    ("openai", "o3-2025-04-16", "openai", "o", "frontier"),
    ("openai", "o4-mini", "openai", "o mini", "commodity"),
    ("fireworks", "accounts/fireworks/models/gpt-oss-120b", "openai", "gpt-oss", "commodity"),
    ("google", "gemini-2.5-flash-lite", "google", "gemini flash-lite", "commodity"),
    ("google", "gemini-3.8-flash", "google", "gemini flash", "commodity"),
    ("google", "gemini-4-argon", "google", "gemini pro", "frontier"),
    ("x-ai", "grok-4-1-fast-reasoning", "x-ai", "grok fast", "commodity"),
    ("cursor", "grok-4.5-fast", "x-ai", "grok", "frontier"),
    ("arcee", "deepseek/deepseek-v4-pro-0813", "deepseek", "deepseek pro", "commodity"),
    ("deepseek", "deepseek-chat", "deepseek", "deepseek", "commodity"),
    ("groq", "deepseek-r1-distill-llama-70b", "deepseek", "deepseek distill", "commodity"),
    ("cloudflare", "@cf/meta/llama-3.1-8b-instruct", "meta", "llama small", "commodity"),
    ("aws", "meta.llama3-3-70b-instruct-v1:0", "meta", "llama 70b", "commodity"),
    ("nvidia", "nvidia/llama-3.1-nemotron-70b-instruct", "nvidia", "nemotron", "commodity"),
    ("mistral", "mistral-medium-3-5", "mistral", "mistral medium", "frontier"),
    ("local", "my-student", "local", "local", "commodity"),
    (None, "local", "local", "local", "commodity"),
])  # fmt: skip
def test_a_model_stands_in_its_vendors_line_however_it_is_spelled(
    provider: str | None, model: str, vendor: str, line: str, tier: str
) -> None:
    assert lineage_of(provider, model) == (vendor, line, tier)


@pytest.mark.parametrize("model", OPENROUTER_WEEKLY)
def test_every_model_of_the_openrouter_weeks_has_a_line(model: str) -> None:
    assert lineage_of("openrouter", model) in KNOWN


def test_every_model_of_the_main_vendors_price_lists_has_a_line() -> None:
    main = {
        "anthropic",
        "openai",
        "google",
        "x-ai",
        "deepseek",
        "mistral",
        "meta",
        "minimax",
        "moonshotai",
        "zai",
        "cohere",
        "voyageai",
    }
    offered = [(vendor.id, model.id) for vendor in get_snapshot().providers if vendor.id in main for model in vendor.models]
    assert len(offered) > 300
    assert [name for name in offered if lineage_of(*name) not in KNOWN] == []


def test_every_line_is_reached_by_a_model_that_somebody_sells() -> None:
    offered = {lineage_of(vendor.id, model.id) for vendor in get_snapshot().providers for model in vendor.models}
    seen = offered | {lineage_of("openrouter", model) for model in OPENROUTER_WEEKLY}
    assert KNOWN - seen == {Lineage("local", "local", "commodity")}


def test_a_line_has_one_tier() -> None:
    for one, other in itertools.combinations(KNOWN, 2):
        assert one[:2] != other[:2]


@pytest.mark.parametrize(("provider", "model", "vendor", "line"), [
    ("openrouter", "newcomer/marvel-3-20261101:free", "newcomer", "marvel-3"),
    ("openrouter", "~newcomer/marvel-latest", "newcomer", "marvel"),
    ("fireworks", "accounts/fireworks/models/marvel-3", "fireworks", "marvel-3"),
    ("acme", "marvel-2026-11-01", "acme", "marvel"),
    ("acme", "marvel-3-2511", "acme", "marvel-3"),
    ("acme", "marvel-4096", "acme", "marvel-4096"),
    (None, "marvel", "unknown", "marvel"),
    ("", "", "unknown", ""),
])  # fmt: skip
def test_an_unknown_model_is_a_line_of_its_own_without_its_date(provider: str | None, model: str, vendor: str, line: str) -> None:
    assert lineage_of(provider, model) == (vendor, line, "frontier")


def test_price_decides_the_tier_of_an_unknown_model_and_of_no_other() -> None:
    cheap, dear = blended(150_000_000, 600_000_000), blended(3_000_000_000, 15_000_000_000)
    assert (cheap, dear) == (262_500_000, 6_000_000_000)
    assert lineage_of("acme", "marvel", cheap).tier == "commodity"
    assert lineage_of("acme", "marvel", 0).tier == "commodity"
    assert lineage_of("acme", "marvel", dear).tier == "frontier"
    assert lineage_of("anthropic", "claude-opus-9", cheap).tier == "frontier"
