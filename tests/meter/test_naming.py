"""Names as people write them find the model that is meant, and who sells it; what nobody knows is not guessed."""

from pathlib import Path

import pytest

from jevons.meter.naming import UnknownModel, resolve_model, sold_by
from jevons.meter.overrides import load_overrides, price_files
from jevons.meter.pricebook import PriceBook


@pytest.fixture(scope="module")
def local(book_path: Path) -> PriceBook:
    return PriceBook.load(book_path, load_overrides(price_files()))


@pytest.mark.parametrize(
    ("name", "provider", "expected"),
    [
        ("Claude Sonnet 4.5", None, ("anthropic", "claude-sonnet-4-5")),
        ("claude-sonnet-4-5-20250929", None, ("anthropic", "claude-sonnet-4-5-20250929")),
        ("GPT 4o", None, ("openai", "gpt-4o")),
        ("text-embedding-3-small", None, ("openai", "text-embedding-3-small")),
        ("azure/gpt-4o", None, ("azure", "gpt-4o")),
        ("gpt-4o", "Azure", ("azure", "gpt-4o")),
        ("claude opus 4.5", "vertex", ("google", "claude-opus-4-5")),
        ("anthropic/claude-opus-4.5", "openrouter", ("openrouter", "anthropic/claude-opus-4.5")),
        ("Claude Opus 4.5", "openrouter", ("openrouter", "anthropic/claude-opus-4.5")),
        ("local", None, ("local", "local")),
        ("smollm2", "LOCAL", ("local", "smollm2")),
    ],
)
def test_names_as_people_write_them(local: PriceBook, name: str, provider: str | None, expected: tuple[str, str]) -> None:
    assert resolve_model(local, name, provider) == expected


def test_an_unknown_name_gets_suggestions(local: PriceBook) -> None:
    with pytest.raises(UnknownModel, match=r"'gemini-3\.1-por'; did you mean gemini-3\.1-pro-preview") as error:
        resolve_model(local, "gemini-3.1-por")
    assert error.value.suggestions[0] == "gemini-3.1-pro-preview"
    with pytest.raises(UnknownModel, match=r"at anthropic; did you mean gpt-4o"):
        resolve_model(local, "gpt-4o", "anthropic")
    with pytest.raises(UnknownModel, match="unknown provider 'nobody'; known are: anthropic, "):
        resolve_model(local, "gpt-4o", "nobody")
    with pytest.raises(UnknownModel, match="write it as its provider does"):
        resolve_model(local, "§§§§")


def test_an_upstream_of_any_name_sells_what_its_maker_does(local: PriceBook) -> None:
    assert sold_by(local, "azure", "gpt-4o") == ("azure", "gpt-4o")
    assert sold_by(local, "my-proxy", "gpt-4o") == sold_by(local, None, "gpt-4o") == ("openai", "gpt-4o")
    assert sold_by(local, "my-proxy", "§§§§") is None
