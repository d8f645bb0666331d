"""Dollars for a million tokens: published arithmetic is reproduced, spreads go through their quantiles, what is missing is said."""

from dataclasses import replace
from itertools import product
from math import inf, nan
from random import Random

import pytest

from jevons.economics.unitcost.cost import (
    HOURS_A_YEAR,
    Hourly,
    Interval,
    Owning,
    Pace,
    electricity_per_million,
    exactly,
    offers,
    owned,
    per_million,
    quotient,
    rented,
    stated,
)
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import Part, part, parts

BARE = Part(name="Bare", vendor="Nobody", kind="gpu", sources={"price": "their page", "tco": "a report"})
NODE = 8


def test_deepseeks_published_arithmetic() -> None:
    """73.7k tokens/s in and 14.8k out per node of 8 at $2 an hour each: $0.060 and $0.300 (open-infra-index, day 6)."""
    found = per_million(Pace(exactly(73_700 / NODE), exactly(14_800 / NODE)), stated(2, 2, 2), utilisation=1)
    assert found.input.low == found.input.mid == found.input.high == pytest.approx(60_304_536, abs=2)
    assert found.output.mid == pytest.approx(300_300_300, abs=1)
    assert found.cached is None and found.document()["cached_per_million"] is None
    assert per_million(Pace(exactly(1.0), exactly(1.0), exactly(4.0)), stated(3, 3, 3), 0.5).document()["cached_per_million"] == {
        name: round(3 / 3600 / 4 / 0.5 * 1e15) for name in ("p5_nusd", "p50_nusd", "p95_nusd")
    }


def test_electricity_is_a_low_floor() -> None:
    assert electricity_per_million(0.1, 0.08, 1.2) == 2_666_667  # research: $0.0027 a million


def test_a_spread_goes_through_its_three_quantiles() -> None:
    quotes = Interval(1.90, 2.50, 6.88)
    assert [quotes.at(level) for level in (0.05, 0.5, 0.95)] == pytest.approx(list(quotes))
    assert quotes.at(0.2) < quotes.at(0.4) < quotes.mid < quotes.at(0.6) < quotes.at(0.99)
    assert quotes.times(2) == Interval(3.80, 5.00, 13.76)


def test_pace_and_price_together_are_as_wide_as_draws_of_both() -> None:
    price, pace, rng = Interval(1.90, 2.50, 6.88), Interval(600.0, 1_000.0, 1_300.0), Random(8)
    drawn = sorted(price.at(rng.random()) / pace.at(rng.random()) for _ in range(20_000))
    found = quotient(price, pace)
    assert list(found) == pytest.approx([drawn[1_000], drawn[10_000], drawn[19_000]], rel=0.03)
    assert quotient(price, exactly(2.0)) == Interval(0.95, 1.25, 3.44)
    assert quotient(exactly(6.0), Interval(1.0, 2.0, 3.0)) == Interval(2.0, 3.0, 6.0)


def test_rent_is_of_the_catalogue() -> None:
    found = rented(part("H100-SXM-80GB"))
    assert found.usd == Interval(1.9, 2.5, 6.88) and not found.estimated and found.source


def test_a_single_quote_is_spread_as_others_are() -> None:
    one = replace(BARE, price_typical_usd_h=4.0)
    others = [
        replace(BARE, price_low_usd_h=low, price_typical_usd_h=2.0, price_high_usd_h=high)
        for low, high in ((1.0, 4.0), (1.0, 4.0))
    ]
    found = rented(one, [one, *others])
    assert found.usd == Interval(2.0, 4.0, 8.0) and found.estimated and found.source == "their page"
    assert rented(one).usd == exactly(4.0)
    assert rented(replace(one, price_low_usd_h=3.0), others).usd == Interval(3.0, 4.0, 8.0)


def test_what_its_owner_stated_is_no_quote() -> None:
    mine = replace(BARE, price_typical_usd_h=0.03, sources={"price": "stated: 30 W"})
    assert rented(mine, parts()) == Hourly(usd=exactly(0.03), how="stated: 30 W", source="stated: 30 W")


def test_owning_is_capital_power_and_a_place() -> None:
    terms = Owning(years=5, electricity_usd_kwh=0.10, pue=1.5, colocation_usd_kw_month=100)
    bought = owned(replace(BARE, tdp_w=500.0), 20_000, terms).usd
    assert bought.mid == pytest.approx(20_000 / 5 / HOURS_A_YEAR + 0.75 * 0.10 + 0.5 * 1_200 / HOURS_A_YEAR)
    # All-in power has cooling in it already, of a PUE of 1.2.
    allin = owned(replace(BARE, allin_kw=2.0, tdp_w=500.0, purchase_usd=20_000.0), terms=terms).usd
    assert allin.mid == pytest.approx(20_000 / 5 / HOURS_A_YEAR + 2 / 1.2 * (1.5 * 0.10 + 1_200 / HOURS_A_YEAR))
    assert owned(replace(BARE, tdp_w=500.0), 20_000).estimated and not owned(replace(BARE, allin_kw=2.0), 20_000).estimated
    published = owned(part("H100-SXM-80GB"))
    assert (published.usd.low, published.usd.high) == (1.3, 1.69) and "published" in published.how


@pytest.mark.parametrize("name", ["H100-SXM-80GB", "A100-SXM-80GB"])
def test_worse_cooling_is_never_cheaper(name: str) -> None:
    of = [owned(part(name), 30_000, Owning(pue=pue)).usd.mid for pue in (1.0, 1.2, 2.0)]
    assert of[0] < of[1] < of[2]


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: rented(BARE), "no rent of Bare is known.*--usd-per-hour.*price_typical_usd_h"),
        (lambda: owned(BARE), "--purchase-usd.*purchase_usd"),
        (lambda: owned(BARE, 20_000), "power of Bare|all-in power"),
        (lambda: owned(replace(BARE, tco_neocloud_usd_h=2.0)), "nor what owning it costs"),
    ],
)
def test_what_is_missing_is_said(ask: object, says: str) -> None:
    assert callable(ask)
    with pytest.raises(UnknownFact, match=f"(?s){says}"):
        ask()


def test_offers_are_made_as_far_as_prices_are_known() -> None:
    rent, own = offers(BARE)
    assert isinstance(rent, UnknownFact) and isinstance(own, UnknownFact)
    rent, own = offers(BARE, usd=(1.0, 2.0, 3.0))
    assert isinstance(rent, Hourly) and rent.usd == Interval(1.0, 2.0, 3.0) and isinstance(own, UnknownFact)
    rent, own = offers(part("H100-SXM-80GB"), purchase_usd=30_000)
    assert isinstance(rent, Hourly) and isinstance(own, Hourly) and own.how.startswith("bought at $30,000")


@pytest.mark.parametrize("utilisation", [0.0, -0.1, 1.01])
def test_no_more_than_every_hour_can_be_worked(utilisation: float) -> None:
    with pytest.raises(UnitCostError, match="share of paid hours"):
        per_million(Pace(exactly(1.0), exactly(1.0)), stated(1, 1, 1), utilisation)


@pytest.mark.parametrize("prices", [*product((2.0, 0.0), (1.0,), (3.0,)), (1.0, inf, inf), (nan, 1.0, 1.0)])
def test_prices_in_order(prices: tuple[float, float, float]) -> None:
    with pytest.raises(UnitCostError, match="low ≤ typical ≤ high"):
        stated(*prices)
