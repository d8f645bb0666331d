"""How list prices move: the pace counted from the chronology, announced changes, floors."""

import math
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from jevons.economics.forecast.floors import electricity_nusd, floor, floor_of, worked_out
from jevons.economics.forecast.formula import Rates
from jevons.economics.forecast.price_paths import announced, pace, rates_of
from jevons.economics.forecast.priors import priors
from jevons.economics.history import price_rows, series
from jevons.economics.indices import BEGIN
from jevons.meter.pricebook import PriceBook, open_book
from tests.economics.forecast.using import TODAY

TIERS = ("frontier", "commodity")


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    home: Path = tmp_path_factory.mktemp("book")
    (home / "prices.toml").write_text(
        '[[price]]\nprovider = "acme"\nmodel = "house"\ninput = 2\noutput = 10\ncache_read = 0.2\n\n'
        '[[price]]\nprovider = "acme"\nmodel = "house"\nfrom = 2027-02-01\ninput = 3\n'
    )
    return open_book(home)


@pytest.mark.parametrize("tier", TIERS)
def test_the_pace_is_that_of_the_rows(tier: str) -> None:
    trend = priors().price[tier]
    found = pace(tier, trend, TODAY)  # type: ignore[arg-type]
    changes = [
        math.log(new.blend_nusd / old.blend_nusd)
        for line in series(tier=tier, until=TODAY)  # type: ignore[arg-type]
        for old, new in pairwise([row for row in line.rows if row.dated and row.date >= BEGIN])
        if old.blend_nusd != new.blend_nusd
    ]
    assert sorted((*found.own, *found.succeeded)) == pytest.approx(sorted(changes)) and len(changes) > 30
    counted = sum(changes) / found.line_years
    weight = len(changes) / (len(changes) + 20)
    assert found.weight == pytest.approx(weight)
    # Pooled with Du's half-life, weighted by events.
    assert found.drift == pytest.approx(weight * counted + (1 - weight) * trend.log_a_year)
    assert (
        found.drift < 0 < found.own_a_year < found.succeeded_a_year
    )  # successors change a line's price oftener than vendors do their own


def test_dus_half_lives() -> None:
    assert priors().price["frontier"].log_a_year == 0
    assert math.exp(priors().price["commodity"].log_a_year * 1.25) == pytest.approx(0.5)


def test_announced_rises_of_the_price_history() -> None:
    [change] = announced(None, "google", "gemini-3.8-flash", TODAY, date(2027, 12, 1))
    assert (change.day, change.input, change.output, change.cached) == (date(2027, 1, 1), 2, 2, 2)
    assert announced(None, "google", "gemini-3.8-flash", TODAY, date(2026, 12, 31)) == []
    assert announced(None, "openai", "gpt-4o", TODAY, date(2027, 12, 1)) == []


def test_announced_changes_of_the_price_book_come_first(book: PriceBook) -> None:
    [change] = announced(book, "acme", "house", TODAY, date(2027, 12, 1))
    assert (change.day, change.input, change.output, change.cached) == (date(2027, 2, 1), 1.5, 1, 1)
    assert change.source.startswith("price book")
    [scheduled] = announced(book, "google", "gemini-3.8-flash", TODAY, date(2027, 12, 1))
    assert (scheduled.day, scheduled.input) == (date(2027, 1, 1), 2)


def test_rates_of_a_model(book: PriceBook) -> None:
    rates = rates_of(book, "acme", "house", TODAY)
    assert rates is not None and (rates.input, rates.cached, rates.output) == (2_000, 200, 10_000)
    assert (
        rates_of(book, "my-proxy", "claude-sonnet-4-5", TODAY)
        == rates_of(book, "anthropic", "claude-sonnet-4-5", TODAY)
        is not None
    )
    assert rates_of(book, "acme", "nobody-made-this", TODAY) is None


def test_floors_are_the_published_arithmetic() -> None:
    known = priors()
    assert electricity_nusd(known.electricity) == pytest.approx(
        0.0027e9, rel=0.02
    )  # research: $0.0027 a million at 0.1 J, $0.08, PUE 1.2
    frontier = floor(known.floor["frontier"], known.electricity)
    assert (frontier.input_nusd, frontier.output_nusd) == (
        pytest.approx(0.060e9, rel=0.01),
        pytest.approx(0.300e9, rel=0.01),
    )  # DeepSeek's own


def test_hardly_anybody_sells_below_the_floor_of_its_tier() -> None:
    """Back-test of floors on the list prices of 2025 and 2026. The one below is the cheapest quote of any host for the floor's own model."""
    known = priors()
    below = []
    for tier in TIERS:
        least = floor(known.floor[tier], known.electricity)
        rows = [
            row for row in price_rows() if date(2025, 1, 1) <= row.date <= TODAY and row.lineage.tier == tier and not row.variant
        ]
        assert len(rows) > 30
        below += [row.model for row in rows if row.input_nusd < least.input_nusd or row.output_nusd < least.output_nusd]
    assert below == ["llama-3.1-8b"]


def test_an_open_model_has_the_floor_of_its_own_cost_unless_it_is_sold_for_less() -> None:
    known = priors()
    tier = floor(known.floor["commodity"], known.electricity)
    own = worked_out("openai/gpt-oss-120b")
    assert own is not None and own.model.endswith("worked out") and own.input_nusd < own.output_nusd
    assert floor_of("gpt-oss-120b", Rates(350, None, None, 750), tier) == own
    assert floor_of("gpt-oss-120b", Rates(350, None, None, 1), tier) == tier  # somebody makes it cheaper than we know how
    assert worked_out("claude-opus-5") is None and floor_of("claude-opus-5", Rates(5_000, None, None, 25_000), tier) == tier
