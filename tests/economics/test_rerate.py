"""Recorded calls charged again: exact without other terms, and nothing is dropped under any. A real gateway's calls: tests/gateway/test_rerate.py."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jevons.cli.operator import Operator
from jevons.core.entry import Estimate, first_id_of_ms
from jevons.core.usage import Usage
from jevons.economics import rerate as terms
from jevons.economics.rerate import Books, Rerated, Rerater, RowRerated, Under, rerate
from jevons.imports.rating import Rater, open_rates
from jevons.imports.record import Record, digest_of
from jevons.ledger.home import Home
from jevons.ledger.importing import Whose
from jevons.ledger.ops import Imported, ImportRow, KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import open_book
from tests.imports.doing import bring
from tests.ledger.making import make_entry, make_hold, make_key

NOON_MS = int(datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
FOREVER_MS = 2**43
SAMPLES = Path(__file__).parents[1] / "imports" / "samples"
PLAIN = Usage(input=1_000_000, output=100_000)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def bring_in(home: Home, *records: Record, prices: str = "", subscription: bool = False) -> None:
    """Rows of another's log, rated by the price book with these prices of the operator's own."""
    (home.path / "prices.toml").write_text(prices)
    rater = Rater(open_rates(home.path, None), subscription=subscription)
    with Operator(home).intake() as door:
        [key_id] = door.keys([Whose("test")])
        rows = [ImportRow(digest_of("test", one.identity), rater.entry(one, "test", key_id)) for one in records]
        assert door.take_in(Imported(tuple(rows))) == len(rows)


def record(name: str, model: str = "gpt-4o", provider: str | None = "openai", usage: Usage | None = PLAIN, **more: Any) -> Record:
    return Record(**{"identity": name, "at_ms": NOON_MS, "model": model, "provider": provider, "usage": usage, **more})


def again(home: Home, under: Under = Under(), **more: Any) -> Rerated:  # noqa: B008
    found = rerate(home.ledger, Rerater(Books(home.path), under), 0, FOREVER_MS, unchanged=under.unchanged, **more)
    for measure in ("entries", "list_nusd", "rerated_nusd"):
        assert sum(getattr(row, measure) for row in found.rows) == getattr(found.total, measure)
    return found


def aside(found: Rerated) -> dict[str, tuple[int, int]]:
    return {row.name: (row.entries, row.list_nusd) for row in found.aside}


def test_every_kind_of_import_comes_to_what_is_on_record(home: Home) -> None:
    """Tariffs, buckets, rate cards, told costs: whatever is charged by a book is reproduced, the rest is named."""
    for kind, name in (
        *(
            ("claude-code", "claude"),
            ("codex", "codex"),
            ("litellm", "litellm.jsonl"),
            ("openrouter", "openrouter_generations.csv"),
        ),
        *(("openai", "openai_usage.json"), ("anthropic", "anthropic_usage.json"), ("focus", "focus.csv")),
    ):
        bring(home, open_book(home.path), kind, SAMPLES / name)
    found = again(home)
    with_money = {row.name for row in found.aside}
    assert with_money == {terms.TOLD, terms.NEVER_PRICED, terms.NO_TOKENS}
    assert found.total.entries > 10 and found.total.list_nusd > 0 == found.total.difference_nusd


def test_an_override_of_then_is_kept(home: Home) -> None:
    """Each call's own book has the operator's prices of its day, whatever prices.toml says now."""
    bring_in(home, record("then"), prices='[[price]]\nprovider = "openai"\ndiscount = "50%"\n')
    bring_in(home, record("now"))
    assert again(home).total.list_nusd == again(home).total.rerated_nusd == 5_250_000_000
    found = again(home, Under(book="current"))
    assert (found.total.list_nusd, found.total.rerated_nusd, found.total.difference_nusd) == (
        5_250_000_000,
        7_000_000_000,
        1_750_000_000,
    )
    [largest] = found.largest
    assert (largest.model, largest.price_row, largest.rerated_row) == (
        "openai/gpt-4o",
        "openai/gpt-4o+prices.toml#1",
        "openai/gpt-4o",
    )
    assert again(home, Under(book=open_book(home.path).hash)).total == found.total


def test_a_book_that_is_gone(home: Home) -> None:
    bring_in(home, record("one"))
    (home.path / "prices" / f"{open_book(home.path).hash}.json").unlink()
    assert aside(again(home)) == {terms.LOST_BOOK: (1, 3_500_000_000)}
    assert again(home, Under(book="current")).total.rerated_nusd == 3_500_000_000
    with pytest.raises(LookupError):
        Rerater(Books(home.path), Under(book="0123"))


def test_another_day_at_the_hour_of_the_call(home: Home) -> None:
    prices = '[[price]]\nmodel = "own"\nprovider = "openai"\nfrom = 2026-11-01\ninput = 1\n\n[[price]]\nmodel = "own"\nprovider = "openai"\n'
    prices += 'hours = "11:00-13:00"\ninput = 2\n'
    usage = Usage(input=1_000_000)
    bring_in(
        home, record("noon", "own", usage=usage), record("night", "own", usage=usage, at_ms=NOON_MS + DAY_MS // 2), prices=prices
    )
    assert again(home).total.rerated_nusd == 3_000_000_000
    later = again(home, Under(at_ms=NOON_MS - DAY_MS // 2 + 9 * DAY_MS), by="day")
    assert {row.name: row.rerated_nusd for row in later.rows} == {"2026-11-02": 2_000_000_000, "2026-11-03": 1_000_000_000}
    before = again(home, Under(at_ms=NOON_MS - DAY_MS // 2 - 9 * DAY_MS))
    assert before.total.rerated_nusd == 2_000_000_000 and aside(before) == {terms.NO_PRICE: (1, 1_000_000_000)}


def test_another_model_another_provider(home: Home) -> None:
    bring_in(home, record("one"), record("two", "claude-sonnet-4-5", "anthropic"), record("three", "gpt-4o-mini"))
    found = again(home, Under(models=(("gpt-4o", "gpt-5-mini"), ("gpt-*", "gpt-5-nano"), ("claude-*", "gpt-5-mini"))))
    assert {row.name: row.rerated_nusd for row in found.rows} == {
        "openai/gpt-4o": 450_000_000,
        "openai/gpt-4o-mini": 90_000_000,
        "anthropic/claude-sonnet-4-5": 450_000_000,
    }
    assert again(home, Under(provider="mistral")).total.entries == 0
    elsewhere = again(home, Under(models=(("*", "gpt-5-mini"),), provider="azure"))
    assert elsewhere.total.rerated_nusd == 3 * 450_000_000


def test_a_service_tier_that_not_all_have(home: Home) -> None:
    bring_in(home, record("one", "gpt-5-mini"), record("two", "claude-sonnet-4-0", "anthropic"))
    found = again(home, Under(service_tier="batch"))
    assert {row.name: row.rerated_nusd for row in found.rows} == {
        "openai/gpt-5-mini": 225_000_000,
        "anthropic/claude-sonnet-4-0": 4_500_000_000,
    }
    assert [row.name for row in found.without_tier] == ["anthropic/claude-sonnet-4-0"]
    bring_in(home, record("flex", "gpt-5-mini", context=(("service_tier", "flex"),)))
    assert again(home).total.difference_nusd == 0
    assert again(home, Under(service_tier="default")).total.difference_nusd == 225_000_000


def test_what_cannot_be_rated_stands_apart_with_its_cost(home: Home) -> None:
    bring_in(
        home,
        record("told", list_nusd=77),
        record("told without tokens", usage=None, unknown=("tokens",), billed_nusd=88),
        record("stated", rates=(("input", "1"), ("output", "2"))),
        record("unknown", "nobody-knows-it"),
        record("kind", usage=Usage(input=1, other=(("video_seconds", 3),))),
        record("good"),
    )
    store = SqliteStore(home.ledger)
    key = make_key(9)
    holds = [make_hold(first_id_of_ms(NOON_MS + n), 500, key_id=9) for n in range(2)]
    store.apply(
        [KeyCreated(key), *map(Opened, holds), *(Posted(make_entry(hold, 500, estimate=Estimate.HOLD)) for hold in holds)]
    )
    store.close()
    found = again(home)
    assert aside(found) == {
        terms.WHOLE_HOLD: (2, 1_000),
        terms.NO_TOKENS: (1, 88),
        terms.TOLD: (1, 77),
        terms.NO_BOOK: (1, 1_200_000_000),
        terms.NEVER_PRICED: (1, 0),
        terms.NO_RATE: (1, 0),
    }
    assert found.total.list_nusd == found.total.rerated_nusd == 3_500_000_000
    priced = '[[price]]\nmodel = "nobody-knows-it"\nprovider = "openai"\ninput = 1\noutput = 1\n'
    (home.path / "prices.toml").write_text(priced)
    now = again(home, Under(book="current"))
    assert {row.name: row.rerated_nusd for row in now.aside} == {
        terms.WHOLE_HOLD: 0,
        terms.NO_TOKENS: 0,
        terms.NEVER_PRICED: 1_100_000_000,
        terms.NO_RATE: 0,
    }
    assert (now.total.entries, now.total.list_nusd, now.total.rerated_nusd) == (
        3,
        3_500_000_000 + 1_200_000_000 + 77,
        3 * 3_500_000_000,
    )


def test_buckets_pay_by_the_size_of_one_call(home: Home) -> None:
    """300,000 input tokens in ten calls are no long context; nor does a bucket pay a request's fee once."""
    hour, bucket = 3_600_000, Usage(input=3_000_000, output=10)
    bring_in(
        home,
        record("small", "claude-sonnet-4-5", "anthropic", bucket, requests=100, span_ms=hour),
        record("large", "claude-sonnet-4-5", "anthropic", bucket, requests=10, span_ms=hour),
        record("told size", "claude-sonnet-4-5", "anthropic", bucket, requests=100, span_ms=hour, size=200_001),
        record("searching", "sonar", "perplexity", Usage(input=10), requests=7, span_ms=hour),
    )
    found = again(home)
    assert found.total.entries == 4 and not found.aside
    assert again(home, Under(models=(("claude*", "claude-sonnet-4-5"),))).total.difference_nusd == 0


def test_calls_of_the_time_and_rows_to_trace(home: Home) -> None:
    bring_in(home, record("one"), record("later", at_ms=NOON_MS + DAY_MS))
    told: list[RowRerated] = []
    found = rerate(home.ledger, Rerater(Books(home.path), Under()), NOON_MS, NOON_MS + 1, unchanged=True, on_row=told.append)
    assert found.total.entries == 1 and [(row.list_nusd, row.rerated_nusd) for row in told] == [(3_500_000_000, 3_500_000_000)]
    with pytest.raises(ValueError, match="it may be: model"):
        again(home, by="colour")
