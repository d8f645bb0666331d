"""What an entry of an imported row says of money: list cost, billed, tariff, tier; and what is unknown."""

from pathlib import Path
from typing import Any

import pytest

from jevons.core.entry import Entry, Outcome
from jevons.core.saving import SavingKind
from jevons.core.usage import Usage
from jevons.imports.rating import Rater, open_rates
from jevons.imports.record import Record
from jevons.meter.overrides import BadOverride, load_overrides
from jevons.meter.pricebook import PriceBook, reopen_book

NOON_MS = 1_790_000_000_000


def rated(book: PriceBook, *, subscription: bool = False, **fields: Any) -> tuple[Entry, Rater]:
    rater = Rater(book, subscription=subscription)
    record = Record(**{"identity": "x", "at_ms": NOON_MS, "model": "claude-sonnet-4-5", "usage": Usage(100, output=10), **fields})
    return rater.entry(record, "test", 1), rater


def test_list_by_the_book_and_billed_as_the_source_says(book: PriceBook) -> None:
    entry, _ = rated(book, billed_nusd=7)
    assert (entry.list_nusd, entry.billed_nusd, entry.tariff, entry.unknown) == (100 * 3_000 + 10 * 15_000, 7, "", "")
    assert (entry.hold.upstream, entry.hold.tier, entry.source, entry.overrun_nusd) == ("anthropic", "frontier", "test", 0)


def test_without_a_bill_it_is_the_list_cost(book: PriceBook) -> None:
    assert rated(book)[0].billed_nusd == 450_000
    assert rated(book, subscription=True)[0].billed_nusd == 0


@pytest.mark.parametrize("fields", [{"billed_nusd": 0}, {"subscription": True}])
def test_what_was_not_billed_lists_at_its_paid_twin(book: PriceBook, fields: dict[str, Any]) -> None:
    asked = {"provider": "openrouter", "usage": Usage(1_000, output=100)}
    paid, _ = rated(book, model="openai/gpt-4o-mini", **asked)
    entry, rater = rated(book, model="openai/gpt-4o-mini:free", **asked, **fields)
    assert (entry.list_nusd, entry.billed_nusd, entry.tariff, entry.unknown) == (paid.list_nusd, 0, "billed=no", "")
    assert paid.list_nusd == 210_000 and not rater.unpriced


def test_a_call_and_a_bucket_of_calls_meet_context_tiers_differently(book: PriceBook) -> None:
    """Above 200,000 tokens a call costs more; a bucket of many small ones does not."""
    usage = Usage(300_000)
    assert rated(book, usage=usage)[0].tariff == ">200000"
    assert rated(book, usage=usage)[0].list_nusd == 300_000 * 6_000
    for fields in ({"requests": 3}, {"requests": 0}, {"requests": 1, "size": 200_000}):
        entry, _ = rated(book, usage=usage, span_ms=1, **fields)
        assert (entry.tariff, entry.list_nusd) == ("", 300_000 * 3_000)
    for fields in ({"requests": 1}, {"requests": 0, "size": 200_001}):
        entry, _ = rated(book, usage=usage, span_ms=1, **fields)
        assert (entry.tariff, entry.list_nusd) == (">200000", 300_000 * 6_000)


def test_a_price_of_each_request_is_paid_by_each_of_a_bucket(book: PriceBook) -> None:
    card = load_overrides({"card": '[[price]]\nmodel = "asker"\ninput = "0"\noutput = "0"\nunits = { requests = "0.01" }\n'})
    asking = PriceBook("test", "test", book.units.values(), book.catalogue, card)
    entry, _ = rated(asking, provider="house", model="asker", requests=3, span_ms=1)
    assert entry.list_nusd == 30_000_000


NOT_RATED = [("input", 0), ("output", 0)]


@pytest.mark.parametrize(
    ("billed", "unknown", "lines"), [(None, "price", NOT_RATED), (0, "price", NOT_RATED), (9, "", [("told", 9)])]
)
def test_what_the_book_does_not_know(book: PriceBook, billed: int | None, unknown: str, lines: list[tuple[str, int]]) -> None:
    """A cost of 0 for tokens of a model without a price is no price: logs say so of what they do not know."""
    entry, rater = rated(book, model="frobnicate-1", billed_nusd=billed)
    assert (entry.unknown, entry.list_nusd, [(line.kind, line.nusd) for line in entry.lines]) == (unknown, billed or 0, lines)
    assert [(one.model, one.rows, one.tokens) for one in rater.unpriced.values()] == (
        [("frobnicate-1", 1, 110)] if unknown else []
    )
    assert entry.hold.upstream == "unknown"


def test_a_kind_without_a_rate(book: PriceBook) -> None:
    entry, rater = rated(book, usage=Usage(1, other=(("input_pixels", 5),)))
    [unpriced] = rater.unpriced.values()
    assert entry.unknown == "price" and 'units = { input_pixels = "?" }' in unpriced.line


def test_a_tariff_of_a_time_that_the_book_does_not_know(book: PriceBook) -> None:
    entry, rater = rated(book, context=(("processing", "batch"),))
    assert (entry.tariff, entry.list_nusd) == ("", 450_000)
    assert [(tariff, rows) for (_, tariff), rows in rater.rated_plain.items()] == [("processing=batch", 1)]
    november, _ = rated(book, context=(("processing", "batch"),), at_ms=NOON_MS + 50 * 86_400_000)
    assert (november.tariff, november.list_nusd) == ("processing=batch", 225_000)


def test_its_own_rates_and_costs(book: PriceBook) -> None:
    own, _ = rated(book, rates=(("input", "1"), ("output", "2")))
    assert own.list_nusd == 100 * 1_000 + 10 * 2_000
    one_kind, _ = rated(book, usage=Usage(output=5), list_nusd=8, billed_nusd=6)
    assert [(line.kind, line.count, line.nusd) for line in one_kind.lines] == [("output", 5, 8)] and one_kind.billed_nusd == 6
    no_tokens, _ = rated(
        book, usage=None, billed_nusd=6, requests=0, unknown=("tokens", "requests"), context=(("service_tier", "flex"),)
    )
    assert (no_tokens.list_nusd, no_tokens.unknown, no_tokens.tariff) == (6, "tokens,requests", "service_tier=flex")
    free, _ = rated(book, outcome=Outcome.FREE, usage=Usage())
    assert (free.billed_nusd, free.unknown) == (0, "")


def test_a_rate_card_is_kept_with_the_book(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text('[[price]]\nmodel = "*"\ninput = "1"\noutput = "2"\n')
    book = open_rates(tmp_path / "home", card)
    entry, _ = rated(book)
    assert entry.list_nusd == 120_000
    again = reopen_book(tmp_path / "home", entry.hold.price_book)
    assert again.price(None, "claude-sonnet-4-5", NOON_MS) == book.price(None, "claude-sonnet-4-5", NOON_MS)
    assert open_rates(tmp_path / "home", None).hash != book.hash
    with pytest.raises(BadOverride, match=r"none\.toml cannot be read"):
        open_rates(tmp_path / "home", tmp_path / "none.toml")


def test_what_a_provider_cached_was_saved(book: PriceBook) -> None:
    """By the client's marks where a model caches nothing else, by itself elsewhere; at list price under a subscription too."""
    usage = Usage(100, cache_read=1_000, cache_write_5m=200, output=10)
    for subscription in (False, True):
        entry, _ = rated(book, usage=usage, subscription=subscription)
        [line] = entry.savings
        assert (line.kind, line.nusd, line.tokens) == (SavingKind.PROMPT_CLIENT, 1_000 * 2_700 - 200 * 750, 1_000)
    entry, _ = rated(book, usage=Usage(100, cache_read=1_000), provider="openai", model="gpt-5")
    assert [line.kind for line in entry.savings] == [SavingKind.PROMPT_AUTOMATIC]
    bucket, _ = rated(book, usage=Usage(100_000, cache_read=200_000), span_ms=1, requests=10)
    assert bucket.savings[0].nusd == 200_000 * 2_700, "no call of it was in the tier of long contexts"
    assert rated(book, usage=usage, list_nusd=5)[0].savings == (), "what was told as one sum cannot be taken apart"
    assert rated(book)[0].savings == ()
