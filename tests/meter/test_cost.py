"""`jevons cost` and `jevons prices show` in values: loose names, the formula, and all dated rows."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from jevons.core.usage import Usage
from jevons.meter.compiled import Period
from jevons.meter.cost import (
    UnknownPrice,
    exact_text,
    explain_cost,
    format_explanation,
    period_text,
    price_history,
)
from jevons.meter.naming import UnknownModel
from jevons.meter.overrides import load_overrides, parse_overrides, price_files
from jevons.meter.pricebook import PriceBook


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = ms("2026-11-21T12:00")


@pytest.fixture(scope="module")
def local(book_path: Path) -> PriceBook:
    return PriceBook.load(book_path, load_overrides(price_files()))


@pytest.mark.parametrize("name", ["Gemini 3.1 Pro", "gemini-3.1-pro", "gemini-3.1-pro-preview", "google/gemini-3.1-pro-preview"])
def test_the_readmes_example(local: PriceBook, name: str) -> None:
    cost = explain_cost(local, name, Usage(input=50_000, output=2_000), NOON)
    assert (cost.provider, cost.model, cost.cost_nusd) == ("google", "gemini-3.1-pro-preview", 124_000_000)
    assert format_explanation(cost).splitlines() == [
        "gemini-3.1-pro-preview from google, 2026-11-21 12:00 UTC",
        "  input   50,000 × $2 / 1M tokens  =  $0.10",
        "  output   2,000 × $12 / 1M tokens = $0.024",
        "  total = $0.124",
        "  other rates apply above 200,000 input tokens",
        "  rates hold always",
        f"  row google/gemini-3.1-pro-preview, price book {local.hash} ({local.source})",
        "  also sold by: openrouter, quicksilverpro (choose with --provider)",
    ]


def test_it_is_one_json_document(local: PriceBook) -> None:
    cost = explain_cost(local, "o3", Usage(input=1_000, output=10), NOON, context={"service_tier": "flex"})
    document = msgspec.json.decode(msgspec.json.encode(cost))
    assert document["cost_nusd"] == sum(line["cost_nusd"] for line in document["lines"]) == 1_040_000
    assert document["lines"][0] == {"kind": "input", "count": 1_000, "rate": "$1 / 1M tokens", "cost_nusd": 1_000_000}
    assert document["row"] == "openai/o3@2025-06-10?service_tier=flex"
    assert document["context"] == {"service_tier": "flex"}
    assert document["holds"] == "from 2026-10-12"


def test_dates_and_tiers_are_told(local: PriceBook) -> None:
    cost = explain_cost(local, "gpt-5.4", Usage(input=272_001), NOON)
    assert "  more than 272,000 input tokens: the whole request is billed at the long-context rates" in format_explanation(cost)
    assert "other rates apply" not in format_explanation(cost)
    night = explain_cost(local, "deepseek-chat", Usage(input=1), ms("2026-11-21T23:00"), context={"a": "b"})
    assert night.holds == "from 2026-11-21 16:30:00 UTC, until 2026-11-22 00:30:00 UTC"
    assert format_explanation(night).startswith("deepseek-chat from deepseek, 2026-11-21 23:00 UTC, a=b\n")
    assert explain_cost(local, "o3", Usage(input=1), ms("2024-12-01T00:00")).holds == "until 2025-06-10"
    assert explain_cost(local, "o3", Usage(input=1), NOON).holds == "from 2025-06-10"


def test_a_daily_period_that_changes_nothing_is_joined(book_path: Path) -> None:
    text = '[[price]]\nprovider = "x"\nmodel = "m"\ninput = 1\n[[price]]\nprovider = "x"\nhours = "01:00-02:00"\ninput = 1\n'
    book = PriceBook.load(book_path, parse_overrides(text, "prices.toml"))
    assert explain_cost(book, "m", Usage(input=1), NOON, "x").holds.startswith("from 2026-")  # ends after so many, not never


def test_units_are_quoted_as_vendors_do(local: PriceBook) -> None:
    search = explain_cost(local, "claude-opus-4-5", Usage(other=(("web_searches", 3),)), NOON)
    assert search.lines[0].rate == "$10 / 1,000"
    whisper = explain_cost(local, "whisper-1", Usage(other=(("audio_seconds", 90),)), NOON)
    assert (whisper.lines[0].rate, whisper.cost_nusd) == ("$0.36 / hour", 9_000_000)
    characters = explain_cost(local, "tts-1", Usage(other=(("input_characters", 10),)), NOON)
    assert characters.lines[0].rate == "$15 / 1M"
    sonar = explain_cost(local, "sonar", Usage(input=1), NOON, "perplexity")
    assert [line.kind for line in sonar.lines] == ["input", "requests"]


@pytest.mark.parametrize(
    "name", ["deepseek/deepseek-r1:free", "openrouter/deepseek/deepseek-r1:free", "DeepSeek/DeepSeek-R1:free"]
)
@pytest.mark.parametrize("provider", [None, "openrouter"])
def test_a_free_variant_lists_at_its_paid_twin_and_is_never_charged_at_its_makers(
    local: PriceBook, name: str, provider: str | None
) -> None:
    """Its maker, DeepSeek, sells the name without ":free"; whose name it is, is OpenRouter."""
    usage = Usage(input=1_000, output=100)
    listed = explain_cost(local, name, usage, NOON, provider, {"billed": "no"})
    twin = explain_cost(local, "deepseek/deepseek-r1", usage, NOON, "openrouter")
    assert (listed.provider, listed.model) == ("openrouter", "deepseek/deepseek-r1:free")
    assert (listed.cost_nusd, listed.row) == (twin.cost_nusd, f"{twin.row}?billed=no")
    assert "  this is the list cost, at the price of its paid twin; billed = $0" in format_explanation(listed).splitlines()
    with pytest.raises(UnknownPrice) as error:
        explain_cost(local, name, usage, NOON, provider)
    for part in (
        "`billed = false`",
        "`free = true`",
        "input $0.7 / 1M tokens",
        "output $2.5 / 1M",
        listed.row,
        "--not-billed",
        "[[price]]",
    ):
        assert part in str(error.value)
    history = price_history(local, name, NOON, provider)
    assert not history[0].rates and (history[-1].row, history[-1].context) == (listed.row, {"billed": "no"})
    assert history[-1].rates["output"] == "$2.5 / 1M tokens"


def test_of_a_free_variant_that_nobody_lists_the_seller_is_asked_for(local: PriceBook, book_path: Path) -> None:
    for name in ("gpt-4o:free", "deepseek/deepseek-r99:free"):
        with pytest.raises(UnknownModel, match="with --provider") as error:
            explain_cost(local, name, Usage(input=1), NOON)
        assert error.value.suggestions == [name.removesuffix(":free")]
    text = '[[price]]\nprovider = "mine"\nmodel = "m:free"\nfree = true\n'
    book = PriceBook.load(book_path, parse_overrides(text, "prices.toml"))
    assert explain_cost(book, "m:free", Usage(input=9), NOON, "mine").cost_nusd == 0


def test_what_is_not_billed_and_has_a_price_lists_at_it(local: PriceBook) -> None:
    listed = explain_cost(local, "gpt-4o", Usage(input=1_000), NOON, context={"billed": "no"})
    assert listed.row == "openai/gpt-4o" and "  this is the list cost; billed = $0" in format_explanation(listed).splitlines()
    assert all(price.context.get("billed") is None for price in price_history(local, "gpt-4o", NOON))
    with pytest.raises(UnknownPrice, match=r"no paid twin of it has one(.|\n)*when = \{ billed = \"no\" \}$"):
        explain_cost(local, "gemma-3-27b-it", Usage(input=1), NOON, "google", {"billed": "no"})


def test_an_unknown_price_gets_the_line_to_paste(local: PriceBook) -> None:
    with pytest.raises(
        UnknownPrice, match=r'text-embedding-3-small has no rate for output(.|\n)*model = "text-embedding-3-small"'
    ):
        explain_cost(local, "text-embedding-3-small", Usage(input=1, output=1), NOON)
    empty = next(m.id for m in local.models("openai") if not any(row.rates for row in m.rows))
    with pytest.raises(UnknownPrice, match=rf"no price for {empty}(.|\n)*output = "):
        explain_cost(local, empty, Usage(input=1), NOON)


def test_the_history_of_a_model(book_path: Path) -> None:
    text = """
        [[price]]
        model = "deepseek-v4-flash"
        from = 2026-11-01
        discount = "12.5%"
        [[price]]
        model = "o3"
        free = true
        [[price]]
        model = "o3"
        until = 2026-01-01T06:00:00Z
        input = 3
    """
    book = PriceBook.load(book_path, parse_overrides(text, "prices.toml"))
    flash = price_history(book, "DeepSeek V4 Flash", ms("2026-11-21T02:00"))
    assert [(p.row.removeprefix("deepseek/deepseek-v4-flash"), p.applies, p.active) for p in flash] == [
        ("", "always", False),
        ("@2026-08-17", "from 2026-08-17", False),
        ("@2026-09-10", "from 2026-09-10", False),
        ("@01:00-04:00Z", "daily 01:00-04:00 UTC", True),
        ("@06:00-10:00Z", "daily 06:00-10:00 UTC", False),
        ("+prices.toml#1", "from 2026-11-01", True),
    ]
    assert flash[1].rates == {"input": "$0.22 / 1M tokens", "cache_read": "$0.007 / 1M tokens", "output": "$0.66 / 1M tokens"}
    assert flash[5].rates == {"every kind": "12.5% off"}
    assert flash[0].source == book.source
    o3 = price_history(book, "o3", NOON)
    flex = next(p for p in o3 if p.context == {"service_tier": "flex"})
    assert (flex.row, flex.applies, flex.rates["output"]) == (
        "openai/o3@2026-10-12?service_tier=flex",
        "from 2026-10-12",
        "$4 / 1M tokens",
    )
    assert [(p.source, p.applies, p.rates, p.active) for p in o3[-2:]] == [
        ("prices.toml#2", "always", {"every kind": "free"}, True),
        ("prices.toml#3", "until 2026-01-01 06:00:00 UTC", {"input": "$3 / 1M tokens"}, False),
    ]
    tiers = price_history(book, "gemini-3.1-pro", NOON, "google")[0]
    assert tiers.rates["input"] == "$2 / 1M tokens, above 200,000: $4 / 1M tokens"
    only = parse_overrides('[[price]]\nprovider = "acme"\nmodel = "m"\ninput = 1\n', "prices.toml")
    assert [p.row for p in price_history(PriceBook.load(book_path, only), "m", NOON, "acme")] == ["acme/m+prices.toml#1"]


def test_numbers_and_times_in_words() -> None:
    assert exact_text(Fraction(1, 3)) == "1/3"
    assert exact_text(Fraction(200)) == "200"
    assert exact_text(Fraction(1, 2**20)) == "0.00000095367431640625"
    assert period_text(Period()) == "always"
