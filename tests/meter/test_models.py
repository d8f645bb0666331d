"""Facts of models: every family is reachable, and what is not known is taken to be the worst."""

import pytest
from genai_prices.data_snapshot import get_snapshot

from jevons.core.ask import InputBound
from jevons.meter.models import Reasons, families, model_facts

TOKENIZERS = {"o200k_base", "cl100k_base", "bytes"}


@pytest.mark.parametrize(("model", "family", "window", "output"), [
    ("gpt-4o", "GPT-4o", 128_000, 16_384),
    ("openai/gpt-4o-2024-08-06", "GPT-4o", 128_000, 16_384),
    ("ft:gpt-4o-mini-2024-07-18:acme::abc", "GPT-4o mini", 128_000, 16_384),
    ("GPT-3.5-Turbo-0125", "GPT-3.5", 16_385, 4_096),
    ("gpt-35-turbo", "GPT-3.5", 16_385, 4_096),
    ("gpt-4", "GPT-4", 8_192, 8_192),
    ("gpt-4.1-nano", "GPT-4.1 mini and nano", 1_047_576, 32_768),
    ("o1", "o1 and o3", 200_000, 100_000),
    ("o3-mini", "o1 and o3", 200_000, 100_000),
    ("gpt-5", "GPT-5 to 5.3, minis and nanos", 400_000, 128_000),
    ("gpt-5-chat-latest", "GPT-5 chat", 128_000, 16_384),
    ("gpt-5.3-codex", "GPT-5 to 5.3, minis and nanos", 400_000, 128_000),
    ("gpt-5.4", "GPT-5.4 and later", 1_050_000, 128_000),
    ("gpt-6-astra", "GPT-5.4 and later", 1_050_000, 128_000),
    ("text-embedding-3-small", "OpenAI embeddings", 8_192, 0),
    ("claude-3-haiku-20240307", "Claude 3", 200_000, 4_096),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4 and 4.5", 1_000_000, 64_000),
    ("us.anthropic.claude-opus-4-7-v1:0", "Claude 4.7 and 4.8", 1_000_000, 128_000),
    ("anthropic/claude-opus-4.6", "Claude 4.6", 1_000_000, 128_000),
    ("claude-opus-5-5", "Claude 5 and later", 1_000_000, 128_000),
    ("claude-fable-5", "Claude 5 and later", 1_000_000, 128_000),
    ("models/gemini-2.5-pro", "Gemini 2.5", 1_048_576, 65_536),
    ("gemini-3.1-pro-preview", "Gemini 3 and later", 1_048_576, 65_536),
    ("deepseek-v4-pro", "DeepSeek V4", 1_048_576, 393_216),
    ("mistral-large-2512", "Mistral", 1_048_576, 131_072),
    ("meta-llama/Llama-3.3-70B-Instruct", "Llama 3", 131_072, 131_072),
    ("Qwen/Qwen3-235B-A22B", "Qwen", 1_048_576, 131_072),
    ("grok-4-0709", "Grok", 2_000_000, 131_072),
    ("local", "SmolLM2 (the embedded model)", 8_192, 8_192),
])  # fmt: skip
def test_names_find_their_family(model: str, family: str, window: int, output: int) -> None:
    found = model_facts("any", model)
    assert (found.name, found.context_window, found.max_output) == (family, window, output)


def test_a_student_of_the_local_engine_is_local() -> None:
    assert model_facts("local", "triage-student-3").context_window == 8_192


def test_the_unknown_is_large_and_reasons_unseen() -> None:
    unknown = model_facts("openai-compatible", "my-deployment")
    assert not unknown.known
    assert (unknown.context_window, unknown.max_output) == (200_000, 128_000)
    assert unknown.bound is InputBound.ESTIMATED
    assert not unknown.shows_all(reasons=False)
    assert (unknown.tokenizer, unknown.count_encoding) == ("bytes", "o200k_base")


def test_when_the_whole_output_is_visible() -> None:
    assert model_facts("openai", "gpt-4o").shows_all(reasons=True)
    assert not model_facts("openai", "o3").shows_all(reasons=False)
    opus = model_facts("anthropic", "claude-opus-4-8")
    assert opus.shows_all(reasons=False)
    assert not opus.shows_all(reasons=True)


def test_every_family_is_sound_and_says_where_it_comes_from() -> None:
    assert len({family.name for family in families()}) == len(families())
    for family in families():
        assert family.source
        assert family.known
        assert family.tokenizer in TOKENIZERS
        assert family.max_output <= family.context_window
        assert family.factor_percent == 100 or family.bound is InputBound.ESTIMATED
        assert family.bound is not InputBound.EXACT or family.tokenizer != "bytes"
        assert all(pattern == pattern.lower() for pattern in family.match)


def test_windows_are_not_smaller_than_the_price_list_says() -> None:
    """A window bounds a hold, so ours may be larger than genai-prices' (rounded, or of a smaller variant), never smaller."""
    ours = {"openai", "anthropic", "google", "deepseek", "mistral", "x-ai"}
    seen = 0
    for provider in get_snapshot().providers:
        for model in provider.models if provider.id in ours else ():
            found = model_facts(provider.id, model.id)
            if found.known and model.context_window:
                seen += 1
                assert found.context_window >= model.context_window, model.id
    assert seen > 100


@pytest.mark.parametrize("model", ["gpt-6-sol", "claude-opus-5-5", "gemini-3.8-flash", "o4-mini", "grok-4.7", "magistral-medium"])
def test_reasoners(model: str) -> None:
    assert model_facts("any", model).reasons_unseen is Reasons.ALWAYS
