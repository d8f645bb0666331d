"""Names of models: dates in two spellings, LiteLLM's prefixes, suggestions. The rules at large: test_whole_book.py."""

import pytest

from jevons.meter.catalogue import dashed_date, plain
from jevons.meter.pricebook import PriceBook


@pytest.mark.parametrize(
    ("name", "dashed"),
    [
        ("gpt-5.2-20251211", "gpt-5.2-2025-12-11"),
        ("gpt-5.2-20251211:free", "gpt-5.2-2025-12-11:free"),
        ("gpt-5.2-20250230", "gpt-5.2-20250230"),  # no such day
        ("gpt-5.2-20251211x", "gpt-5.2-20251211x"),
        ("gpt-5.2-2025-12-11", "gpt-5.2-2025-12-11"),
    ],
)
def test_compact_dates(name: str, dashed: str) -> None:
    assert dashed_date(name) == dashed


def test_litellm_names_the_provider_in_the_model(book: PriceBook) -> None:
    assert book.find("litellm", "anthropic/claude-opus-4-5") == "anthropic/claude-opus-4-5"
    assert book.find("LiteLLM", "gpt-4o") == "openai/gpt-4o"
    assert book.find("litellm", "nobody/claude-opus-4-5") is None


def test_spelling_is_ignored_by_plain() -> None:
    assert plain("Gemini 3.1 Pro") == plain("google/gemini-3.1-pro") == plain(" gemini_3.1_PRO ") == "gemini-3-1-pro"


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("gpt4o", "gpt-4o"),
        ("claude-sonet-4-5", "claude-sonnet-4-5"),
        ("gemini-3.1-por", "gemini-3.1-pro-preview"),
        ("sonnet 4.5", "claude-sonnet-4-5"),
    ],
)
def test_suggestions(book: PriceBook, typo: str, meant: str) -> None:
    suggested = book.suggest(typo)
    assert meant in suggested
    assert len(suggested) == len(set(suggested)) <= 3


def test_nothing_is_suggested_for_nonsense(book: PriceBook) -> None:
    assert book.suggest("zzzzzzzzqqqq") == []
    assert book.suggest("") == []


def test_a_model_that_others_shadow_has_no_name(book: PriceBook) -> None:
    for provider in book.catalogue.providers():
        for model in book.models(provider):
            name = book.catalogue.reference(provider, model)
            found = book.catalogue.find(provider, name) if name else None
            assert name is None or (found is not None and found.model is model)
