"""The price book against sums made by hand from what providers publish, and its rules for instants, contexts and holds.

Each example states the published rates and the arithmetic: dollars per million tokens x 1,000 = nano-dollars per token.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.limits import PRICE_MEMO_ENTRIES_MAX
from jevons.core.price import Price, UnpricedKind, charge, tariff_of, worst_case
from jevons.core.usage import Usage
from jevons.meter import pricebook
from jevons.meter.overrides import load_overrides, parse_overrides, price_files
from jevons.meter.pricebook import PriceBook, open_book, reopen_book, with_request_unit


def ms(text: str) -> int:
    """Unix milliseconds of an ISO time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = ms("2026-11-21T12:00")
BATCH = {"processing": "batch"}


class Example(NamedTuple):
    """One published price, applied by hand."""

    name: str
    provider: str
    model: str
    usage: Usage
    nusd: int
    at_ms: int = NOON
    context: Mapping[str, str] = {}


GEMINI = "gemini-3.1-pro-preview"
OPUS = "claude-opus-4-5"
HAIKU = "claude-haiku-5-5"
FLASH = "deepseek-v4-flash"
OCR = "mistral-ocr-latest"

EXAMPLES = [
    # Google: Gemini 3.1 Pro, $2 in, $12 out; prompts over 200,000 tokens $4 and $18; cached $0.20 / $0.40.
    # 50,000 x 2,000 + 2,000 x 12,000 = 100,000,000 + 24,000,000: the README's $0.124
    Example("plain input and output", "google", GEMINI, Usage(input=50_000, output=2_000), 124_000_000),
    # 199,999 x 2,000 + 1,000 x 12,000 = 399,998,000 + 12,000,000
    Example("just below the cliff", "google", GEMINI, Usage(input=199_999, output=1_000), 411_998_000),
    # 200,000 x 2,000 + 1,000 x 12,000 = 400,000,000 + 12,000,000: "<= 200k" is the lower price
    Example("at the cliff", "google", GEMINI, Usage(input=200_000, output=1_000), 412_000_000),
    # 200,001 x 4,000 + 1,000 x 18,000 = 800,004,000 + 18,000,000: the whole request is dearer, its output too
    Example("just above the cliff", "google", GEMINI, Usage(input=200_001, output=1_000), 818_004_000),
    # cached tokens count for the cliff: 150,000 x 4,000 + 50,001 x 400 + 500 x 18,000 = 600,000,000 + 20,000,400 + 9,000,000
    Example("cached tokens cross the cliff", "google", GEMINI, Usage(input=150_000, cache_read=50_001, output=500), 629_000_400),
    # Batch halves input and output of Gemini 2.5 Pro ($1.25, $10), caching stays at $0.125:
    # 10,000 x 625 + 1,000 x 125 + 100 x 5,000 = 6,250,000 + 125,000 + 500,000
    Example(
        "batch, cache at the full rate",
        "google",
        "gemini-2.5-pro",
        Usage(input=10_000, cache_read=1_000, output=100),
        6_875_000,
        context=BATCH,
    ),
    # Gemini 2.5 Flash: audio in $1, text and image in $0.30, out $2.50:
    # 1,000 x 1,000 + 1,000 x 300 + 10 x 2,500 = 1,000,000 + 300,000 + 25,000; an image has no price of its own: it is input
    Example(
        "modalities",
        "google",
        "gemini-2.5-flash",
        Usage(output=10, other=(("input_audio", 1_000), ("input_image", 1_000))),
        1_325_000,
    ),
    # Anthropic: Claude Opus 4.5, $5 in, $25 out, cache read $0.50, write $6.25 (5 min), $10 (1 h):
    # 1,000 x 5,000 + 20,000 x 500 + 3,000 x 6,250 + 4,000 x 10,000 + 500 x 25,000
    # = 5,000,000 + 10,000,000 + 18,750,000 + 40,000,000 + 12,500,000
    Example(
        "cache reads and both writes",
        "anthropic",
        OPUS,
        Usage(input=1_000, cache_read=20_000, cache_write_5m=3_000, cache_write_1h=4_000, output=500),
        86_250_000,
    ),
    # Batch is half of each, caching included: 86,250,000 / 2
    Example(
        "batch halves the cache too",
        "anthropic",
        OPUS,
        Usage(input=1_000, cache_read=20_000, cache_write_5m=3_000, cache_write_1h=4_000, output=500),
        43_125_000,
        context=BATCH,
    ),
    # Anthropic's answers call it a service tier
    Example("batch by its other name", "anthropic", OPUS, Usage(input=1_000), 2_500_000, context={"service_tier": "batch"}),
    # Web search $10 per 1,000: 3 x 10,000,000 + 100 x 5,000 = 30,000,000 + 500,000
    Example("web searches", "anthropic", OPUS, Usage(input=100, other=(("web_searches", 3),)), 30_500_000),
    # Claude Haiku 5.5: $0.10 / $0.50, over 100,000 input tokens $0.50 / $2.50: 100,000 x 100 + 1,000 x 500
    Example("at Haiku's cliff", "anthropic", HAIKU, Usage(input=100_000, output=1_000), 10_500_000),
    # 100,001 x 500 + 1,000 x 2,500 = 50,000,500 + 2,500,000
    Example("above Haiku's cliff", "anthropic", HAIKU, Usage(input=100_001, output=1_000), 52_500_500),
    # cache writes over the cliff: 5 min $0.625, 1 h $1: 60,000 x 625 + 50,000 x 1,000 = 37,500,000 + 50,000,000
    Example("writes above Haiku's cliff", "anthropic", HAIKU, Usage(cache_write_5m=60_000, cache_write_1h=50_000), 87_500_000),
    # OpenAI: GPT-4o, $2.50 in, $1.25 cached, $10 out: 1,000 x 2,500 + 9,000 x 1,250 + 100 x 10,000
    Example("cached input", "openai", "gpt-4o-2024-08-06", Usage(input=1_000, cache_read=9_000, output=100), 14_750_000),
    # GPT-5, $1.25 in, $10 out; reasoning is output: 100 x 1,250 + 3,000 x 10,000 = 125,000 + 30,000,000
    Example("reasoning is output", "openai", "gpt-5", Usage(input=100, output=3_000, reasoning=2_500), 30_125_000),
    # flex, half: 100 x 625 + 3,000 x 5,000 = 62,500 + 15,000,000
    Example("flex", "openai", "gpt-5", Usage(input=100, output=3_000), 15_062_500, context={"service_tier": "flex"}),
    # priority, double: 100 x 2,500 + 3,000 x 20,000 = 250,000 + 60,000,000
    Example("priority", "openai", "gpt-5", Usage(input=100, output=3_000), 60_250_000, context={"service_tier": "priority"}),
    # two that apply: the one the book names first, priority: 100 x 2,500
    Example(
        "the first variant wins", "openai", "gpt-5", Usage(input=100), 250_000, context={**BATCH, "service_tier": "priority"}
    ),
    # GPT-5.4, $2.50 / $15, over 272,000 $5 / $22.50: 272,000 x 2,500 + 10 x 15,000 = 680,000,000 + 150,000
    Example("at the cliff of GPT-5.4", "openai", "gpt-5.4", Usage(input=272_000, output=10), 680_150_000),
    # 272,001 x 5,000 + 10 x 22,500 = 1,360,005,000 + 225,000
    Example("above the cliff of GPT-5.4", "openai", "gpt-5.4", Usage(input=272_001, output=10), 1_360_230_000),
    # o3 fell from $10 to $2 on 2025-06-10, midnight UTC: 1,000 x 10,000, then 1,000 x 2,000
    Example("the last instant of a price", "openai", "o3", Usage(input=1_000), 10_000_000, ms("2025-06-09T23:59:59.999")),
    Example("the first instant of the next", "openai", "o3", Usage(input=1_000), 2_000_000, ms("2025-06-10T00:00")),
    # gpt-realtime: text $4 / $16, audio $32 / $64, cached audio $0.40:
    # 100 x 4,000 + 2,000 x 32,000 + 500 x 400 + 300 x 64,000 + 50 x 16,000
    # = 400,000 + 64,000,000 + 200,000 + 19,200,000 + 800,000
    Example(
        "audio both ways",
        "openai",
        "gpt-realtime",
        Usage(input=100, output=50, other=(("input_audio", 2_000), ("cache_audio_read", 500), ("output_audio", 300))),
        84_600_000,
    ),
    # Whisper, $0.006 a minute = $0.36 an hour: 90 s x 360,000,000 / 3,600 = 90 x 100,000
    Example("seconds of audio", "openai", "whisper-1", Usage(other=(("audio_seconds", 90),)), 9_000_000),
    # tts-1, $15 per million characters: 1,000 x 15,000
    Example("characters", "openai", "tts-1", Usage(other=(("input_characters", 1_000),)), 15_000_000),
    # text-embedding-3-small, $0.02: 1,000 x 20
    Example("embeddings", "openai", "text-embedding-3-small", Usage(input=1_000), 20_000),
    # DeepSeek V4 Flash: until 2026-08-17 $0.14, then $0.22: a million tokens, outside of the dear hours
    Example("the day before a rise", "deepseek", FLASH, Usage(input=1_000_000), 140_000_000, ms("2026-08-16T23:59:59.999")),
    Example("the day of a rise, UTC", "deepseek", FLASH, Usage(input=1_000_000), 220_000_000, ms("2026-08-17T00:00")),
    # peak hours 01:00-04:00 and 06:00-10:00 UTC cost double: $0.15 -> $0.30
    Example("before peak", "deepseek", FLASH, Usage(input=1_000_000), 150_000_000, ms("2026-11-21T00:59:59.999")),
    Example("peak begins", "deepseek", FLASH, Usage(input=1_000_000), 300_000_000, ms("2026-11-21T01:00")),
    Example("peak's last instant", "deepseek", FLASH, Usage(input=1_000_000), 300_000_000, ms("2026-11-21T03:59:59.999")),
    Example("peak ends", "deepseek", FLASH, Usage(input=1_000_000), 150_000_000, ms("2026-11-21T04:00")),
    # deepseek-chat: half price from 16:30 to 00:30 UTC, across midnight: $0.27 -> $0.135 for 2,000 = 540,000 -> 270,000
    Example("before the night rate", "deepseek", "deepseek-chat", Usage(input=2_000), 540_000, ms("2026-11-21T16:29:59.999")),
    Example("the night rate begins", "deepseek", "deepseek-chat", Usage(input=2_000), 270_000, ms("2026-11-21T16:30")),
    Example("the night rate at midnight", "deepseek", "deepseek-chat", Usage(input=2_000), 270_000, ms("2026-11-22T00:00")),
    Example("its last instant", "deepseek", "deepseek-chat", Usage(input=2_000), 270_000, ms("2026-11-22T00:29:59.999")),
    Example("it ends after midnight", "deepseek", "deepseek-chat", Usage(input=2_000), 540_000, ms("2026-11-22T00:30")),
    # below a nano-dollar: deepseek-v4-pro cached $0.003625 = 3.625 nUSD: 4 x 3.625 = 14.5 -> 14, 12 x 3.625 = 43.5 -> 44
    Example("a tie goes to the even", "deepseek", "deepseek-v4-pro", Usage(cache_read=4), 14, ms("2026-08-16T12:00")),
    Example("the other even", "deepseek", "deepseek-v4-pro", Usage(cache_read=12), 44, ms("2026-08-16T12:00")),
    # Perplexity: sonar $1 / $1 and $12 per 1,000 requests: 12,000,000 + 100 x 1,000 + 200 x 1,000
    Example("a fee per request", "perplexity", "sonar", Usage(input=100, output=200), 12_300_000),
    # sonar-deep-research: in $2, out $8, reasoning $3, citations $2, searches $5 per 1,000:
    # 1,000 x 2,000 + 500 x 8,000 + 10,000 x 3,000 + 4,000 x 2,000 + 7 x 5,000,000
    # = 2,000,000 + 4,000,000 + 30,000,000 + 8,000,000 + 35,000,000
    Example(
        "reasoning and citations at rates of their own",
        "perplexity",
        "sonar-deep-research",
        Usage(input=1_000, output=10_500, reasoning=10_000, other=(("output_citation", 4_000), ("web_searches", 7))),
        79_000_000,
    ),
    # Mistral OCR: $1 per 1,000 pages, $4 from 2026-06-23, annotated $5; batch half: 10 pages each
    Example("pages", "mistral", OCR, Usage(other=(("input_document_pages", 10),)), 10_000_000, ms("2025-05-21T12:00")),
    Example("pages, later", "mistral", OCR, Usage(other=(("input_document_pages", 10),)), 40_000_000),
    Example("annotated pages", "mistral", OCR, Usage(other=(("input_annotated_document_pages", 10),)), 50_000_000),
    Example("pages in batch", "mistral", OCR, Usage(other=(("input_document_pages", 10),)), 20_000_000, context=BATCH),
    # our own machine, data/local_prices.toml: 1,000 x 165 + 100 x 515 = 165,000 + 51,500
    Example("the local model", "local", "smollm2-135m", Usage(input=1_000, output=100), 216_500),
    # a warm prefix is nearly free: 1,531 x 5.15 + 31 x 165 = 7,884.65 + 5,115 = 12,999.65
    Example("the local model, warm", "local", "smollm2-135m", Usage(input=31, cache_read=1_531), 13_000),
]


@pytest.fixture(scope="session")
def with_local(book_path: Path) -> PriceBook:
    return PriceBook.load(book_path, load_overrides(price_files()))


def overridden(book_path: Path, text: str) -> PriceBook:
    return PriceBook.load(book_path, parse_overrides(text, "prices.toml"))


def found(price: Price | None) -> Price:
    assert price is not None
    return price


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_published_prices(with_local: PriceBook, example: Example) -> None:
    price = found(with_local.price(example.provider, example.model, example.at_ms, example.context))
    charged = charge(with_request_unit(example.usage, price), price)
    assert charged.nusd == example.nusd
    assert sum(line.nusd for line in charged.lines) == example.nusd


def test_a_price_names_its_row_and_book(with_local: PriceBook) -> None:
    assert found(with_local.price("openai", "O3-2025-04-16", NOON)).row == "openai/o3@2025-06-10"
    assert found(with_local.price("deepseek", "deepseek-chat", NOON)).row == "deepseek/deepseek-chat@00:30-16:30Z"
    assert found(with_local.price("openai", "gpt-5", NOON, {"service_tier": "flex"})).row == "openai/gpt-5?service_tier=flex"
    assert found(with_local.price("openai", "gpt-5", NOON, {"service_tier": "default"})).row == "openai/gpt-5"
    assert found(with_local.price("azure", "gpt-5", NOON, {"service_tier": "flex"})).row == "openai/gpt-5"  # resold: no variants
    assert found(with_local.price("local", "smollm2", NOON)).row == "local/smollm2+local_prices.toml#1"
    assert found(with_local.price("local", "smollm2", NOON)).book == with_local.hash


def test_what_is_not_known_has_no_price(with_local: PriceBook) -> None:
    assert with_local.price("openai", "gpt-99", NOON) is None
    assert with_local.price("nobody", "gpt-4o", NOON) is None
    assert with_local.dearest("nobody", "gpt-4o", NOON) is None
    assert with_local.find("nobody", "gpt-4o") is None
    empty = [m.id for m in with_local.models("openai") if not any(row.rates for row in m.rows)]
    assert empty
    assert all(with_local.price("openai", model, NOON) is None for model in empty)


UNBILLED = {"billed": "no"}
R1, R1_FREE = "deepseek/deepseek-r1", "deepseek/deepseek-r1:free"


def test_what_is_not_billed_lists_at_its_paid_twin(with_local: PriceBook) -> None:
    """The row of a free variant is empty, which is unknown. Of a call that is not billed, it is what the twin costs at that instant."""
    assert with_local.price("openrouter", R1_FREE, NOON) is None
    for at_ms in (NOON, ms("2026-06-01T00:00")):
        twin, shadow = (
            found(with_local.price("openrouter", R1, at_ms)),
            found(with_local.price("openrouter", R1_FREE, at_ms, UNBILLED)),
        )
        assert (shadow.den, shadow.tiers, shadow.book) == (twin.den, twin.tiers, twin.book)
        assert shadow.row == f"{twin.row}?billed=no" and tariff_of(shadow, 1) == "billed=no"
        assert found(with_local.dearest("openrouter", R1_FREE, at_ms, UNBILLED)).tiers == twin.tiers
    at_its_maker = found(with_local.price("github-copilot", "gpt-4o", NOON, UNBILLED))  # a subscription: no price of its own
    assert (at_its_maker.row, nusd_per_token(at_its_maker, "output")) == ("openai/gpt-4o?billed=no", 10_000)
    assert found(with_local.price("openrouter", R1, NOON, UNBILLED)) == with_local.price("openrouter", R1, NOON)


def test_a_name_that_is_free_many_times_over_has_the_same_twin(with_local: PriceBook) -> None:
    often = with_local.price("openrouter", R1 + ":free" * 2_000, NOON, UNBILLED)
    assert often == with_local.price("openrouter", R1_FREE, NOON, UNBILLED)


def test_a_hold_sees_every_tier_of_the_twin(with_local: PriceBook) -> None:
    """What the provider chooses of the twin's tiers, a hold of list cost covers."""
    open_tier = {**UNBILLED, "service_tier": "auto"}
    held = found(with_local.dearest("my-trial", "gpt-6.1-terra", NOON, open_tier))
    dearest = found(with_local.price("my-trial", "gpt-6.1-terra", NOON, {**UNBILLED, "service_tier": "priority"}))
    assert nusd_per_token(held, "output") >= nusd_per_token(dearest, "output") > 0


def test_without_a_paid_twin_what_is_not_billed_is_unknown_too(with_local: PriceBook) -> None:
    for provider, model in (
        ("google", "gemma-3-27b-it"),
        ("openrouter", "nobody/nothing:free"),
        ("openai", "gpt-99"),
        (None, "x:free"),
    ):
        assert with_local.price(provider, model, NOON, UNBILLED) is None


def test_the_operators_prices_hold_for_the_twin_and_before_it(book_path: Path) -> None:
    twin = '[[price]]\nprovider = "openrouter"\nmodel = "deepseek/deepseek-r1"\n'
    own = overridden(book_path, f'{twin}discount = "50%"\n')
    plain = found(overridden(book_path, "").price("openrouter", R1, NOON))
    shadow = found(own.price("openrouter", R1_FREE, NOON, UNBILLED))
    assert nusd_per_token(shadow, "input") * 2 == nusd_per_token(plain, "input")
    assert shadow.row == f"{plain.row}?billed=no+prices.toml#1" and tariff_of(shadow, 1) == "billed=no"
    stated = overridden(book_path, f'[[price]]\nmodel = "{R1_FREE}"\nwhen = {{ billed = "no" }}\ninput = "3"\noutput = "4"\n')
    assert nusd_per_token(stated.price("openrouter", R1_FREE, NOON, UNBILLED), "input") == 3_000
    assert stated.price("openrouter", R1_FREE, NOON) is None
    free = found(
        overridden(book_path, f'[[price]]\nmodel = "{R1_FREE}"\nfree = true\n').price("openrouter", R1_FREE, NOON, UNBILLED)
    )
    assert nusd_per_token(free, "input") == 0


def test_a_kind_without_a_price_is_refused(with_local: PriceBook) -> None:
    price = found(with_local.price("openai", "text-embedding-3-small", NOON))
    with pytest.raises(UnpricedKind) as error:
        charge(Usage(input=1, output=1), price)
    assert error.value.kinds == ["output"]


def test_finding(with_local: PriceBook) -> None:
    assert with_local.find("google", "gemini-3.1-pro-preview-11-2025") == "google/gemini-3.1-pro-preview"
    assert with_local.find("vertex", "claude-opus-4-5@20251101") == "google/claude-opus-4-5"
    assert with_local.find(None, "claude-opus-4-5") == "anthropic/claude-opus-4-5"
    assert with_local.find("openai", "gpt-5-20250807") == with_local.find("openai", "gpt-5-2025-08-07") == "openai/gpt-5"
    assert with_local.find("local", "anything") == "local/anything"
    assert with_local.find(None, "anything") is None
    assert "local" in with_local.providers()
    assert "openai" in with_local.providers()
    assert "gemini-3.1-pro-preview" in [m.id for m in with_local.models("google")]
    assert with_local.models("local") == ()
    assert with_local.suggest("gemini-3.1-por")[0] == "gemini-3.1-pro-preview"


def test_a_remembered_price_is_replaced_when_its_time_is_over(with_local: PriceBook) -> None:
    day = found(with_local.price("deepseek", "deepseek-chat", ms("2026-11-21T16:29:59.999")))
    assert with_local.price("deepseek", "deepseek-chat", ms("2026-11-21T00:30")) is day
    night = found(with_local.price("deepseek", "deepseek-chat", ms("2026-11-21T16:30")))
    assert night.tiers[0].nums["input"] * 2 * day.den == day.tiers[0].nums["input"] * night.den
    assert with_local.price("deepseek", "deepseek-chat", ms("2026-11-22T00:29:59.999")) is night
    assert with_local.price("deepseek", "deepseek-chat", ms("2026-11-22T00:30")) == day


def test_the_memo_does_not_grow_without_end(book_path: Path) -> None:
    book = PriceBook.load(book_path)
    for number in range(PRICE_MEMO_ENTRIES_MAX + 2):
        book.price("openai", f"made-up-{number}", NOON)
    assert found(book.price("openai", "gpt-4o", NOON)).tiers[0].nums["input"] == 2_500


def nusd_per_token(price: Price | None, kind: str) -> float:
    assert price is not None
    return price.tiers[0].nums[kind] / price.den


def test_a_hold_takes_the_dearest_hour_within_the_horizon(with_local: PriceBook) -> None:
    def dearest(text: str) -> float:
        return nusd_per_token(with_local.dearest("deepseek", FLASH, ms(text)), "input")

    assert dearest("2026-11-21T00:44:59.999") == 150  # peak is 15 minutes and a millisecond away
    assert dearest("2026-11-21T00:45") == 300
    assert dearest("2026-11-21T00:44") == 150  # what was remembered does not reach back
    assert dearest("2026-11-21T01:00") == 300
    assert dearest("2026-11-21T03:59:59.999") == 300  # admitted at peak: billed at peak
    assert dearest("2026-11-21T04:00") == 150
    assert dearest("2026-11-21T05:44:59.999") == 150
    assert dearest("2026-11-21T05:45") == 300
    assert nusd_per_token(with_local.dearest("deepseek", FLASH, ms("2026-11-21T00:45"), horizon_s=0), "input") == 150
    note = found(with_local.dearest("deepseek", FLASH, ms("2026-11-21T00:50"))).note
    assert note == "dearest of 2 prices that may apply"


def test_a_hold_takes_the_dearest_tier_where_the_provider_chooses(with_local: PriceBook) -> None:
    auto = with_local.dearest("openai", "gpt-5", NOON, {"service_tier": "auto"})
    priority = with_local.price("openai", "gpt-5", NOON, {"service_tier": "priority"})
    assert nusd_per_token(auto, "output") == nusd_per_token(priority, "output") == 20_000
    flex = with_local.dearest("openai", "gpt-5", NOON, {"service_tier": "flex"})
    assert nusd_per_token(flex, "output") == 5_000
    assert with_local.dearest("openai", "gpt-5", NOON) == with_local.price("openai", "gpt-5", NOON)
    # GPT-5.4: priority is flat ($5), the standard long-context rate reaches as high only above 272,000 tokens
    mixed = found(with_local.dearest("openai", "gpt-5.4", NOON, {"service_tier": "auto"}))
    assert [tier.above for tier in mixed.tiers] == [-1, 272_000]
    assert [tier.nums["output"] // mixed.den for tier in mixed.tiers] == [30_000, 30_000]


def test_a_fee_per_request_is_in_hold_and_charge(with_local: PriceBook) -> None:
    price = found(with_local.price("perplexity", "sonar", NOON))
    usage = with_request_unit(Usage(input=100, output=200), price)
    assert usage.other == (("requests", 1),)
    assert worst_case(price, 100, 200, usage.other) == charge(usage, price).nusd == 12_300_000
    plain = found(with_local.price("openai", "gpt-4o", NOON))
    assert with_request_unit(Usage(input=1), plain) == Usage(input=1)


counts = st.integers(0, 400_000)


@given(
    model=st.sampled_from(
        [("deepseek", FLASH), ("deepseek", "deepseek-chat"), ("openai", "gpt-5.4"), ("anthropic", HAIKU), ("google", GEMINI)]
    ),
    at_ms=st.integers(ms("2026-08-01T00:00"), ms("2026-12-01T00:00")),
    later_ms=st.integers(0, pricebook.HORIZON_S * 1000),
    context=st.sampled_from([{}, {"service_tier": "auto"}, {"service_tier": "flex"}, BATCH]),
    turned_out=st.sampled_from([None, "default", "flex", "priority", "fast", "auto"]),
    inputs=st.tuples(counts, counts, counts, counts),
    output=counts,
)
def test_a_hold_covers_every_charge(
    book: PriceBook,
    model: tuple[str, str],
    at_ms: int,
    later_ms: int,
    context: dict[str, str],
    turned_out: str | None,
    inputs: tuple[int, int, int, int],
    output: int,
) -> None:
    """Whatever the provider makes of an open tier, and whenever within the horizon it bills."""
    hold = worst_case(found(book.dearest(*model, at_ms, context)), sum(inputs), output)
    billed = {} if turned_out is None else {"service_tier": turned_out}
    actual = billed if context.get("service_tier") == "auto" else context
    usage = Usage(*inputs, output=output)
    assert charge(usage, found(book.price(*model, at_ms + later_ms, actual))).nusd <= hold


def test_remembered_answers_equal_fresh_ones(book_path: Path) -> None:
    """In any order of instants, the memo changes nothing."""
    text = """
        [[price]]
        provider = "deepseek"
        model = "deepseek-v4*"
        from = 2026-11-10T06:30:00Z
        until = 2026-11-20
        hours = "22:10-03:20"
        discount = "10%"
    """
    kept, rng = overridden(book_path, text), random.Random(5)
    start = ms("2026-11-09T00:00")
    for _ in range(400):
        at_ms = start + rng.randrange(13 * 24 * 60) * 60_000
        fresh = overridden(book_path, text)
        assert kept.price("deepseek", FLASH, at_ms) == fresh.price("deepseek", FLASH, at_ms)
        assert kept.dearest("deepseek", FLASH, at_ms) == fresh.dearest("deepseek", FLASH, at_ms)


def test_the_hash_covers_book_and_overrides(book_path: Path) -> None:
    text = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ninput = "2"\n'
    plain, dear = PriceBook.load(book_path), overridden(book_path, text)
    assert len(plain.hash) == 16
    assert int(plain.hash, 16) >= 0
    assert plain.hash != dear.hash
    assert overridden(book_path, "# a comment\n" + text.replace('"2"', "2.00")).hash == dear.hash
    assert overridden(book_path, text.replace("2", "3")).hash != dear.hash


def test_opening_the_book_of_a_home(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text('[[price]]\nprovider = "acme"\nmodel = "m"\ninput = "1"\noutput = "2"\n')
    book = open_book(tmp_path)
    assert book.source.startswith("genai-prices ")
    assert charge(Usage(input=10, output=10), found(book.price("acme", "m", NOON))).nusd == 30_000
    assert book.find("acme", "m") == "acme/m"
    assert [(entry and entry.provider, len(over)) for entry, over in (book.covering("local", "x"),)] == [(None, 1)]


def test_an_old_book_is_opened_by_its_hash(tmp_path: Path) -> None:
    """An entry is rated again with the prices it was rated with, though prices.toml has changed since."""
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nprovider = "acme"\nmodel = "m"\ninput = "1"\n')
    old = open_book(tmp_path)
    prices.write_text('[[price]]\nprovider = "acme"\nmodel = "m"\ninput = "2"\n')
    new = open_book(tmp_path)
    assert open_book(tmp_path).hash == new.hash != old.hash
    for book in (old, new):
        again = reopen_book(tmp_path, book.hash)
        assert again.hash == book.hash
        assert again.price("acme", "m", NOON) == book.price("acme", "m", NOON)
    with pytest.raises(LookupError, match="has no price book 0123456789abcdef"):
        reopen_book(tmp_path, "0123456789abcdef")
