"""Grids: intervals with a source and a year, found by name or code, and refused where nobody knows."""

import pytest

from jevons.economics.energy.grids import grid, grids
from jevons.economics.unitcost.errors import UnknownFact


def test_every_grid_has_an_interval_a_source_and_a_year() -> None:
    names = [name for one in grids() for name in (one.name, *one.aliases)]
    assert len(names) == len(set(names)) > 50
    for one in grids():
        low, middle, high = one.g_per_kwh
        assert 10 < low < middle < high < 1_000, one.name
        for account in filter(None, (one.a, one.b)):
            assert low < account.g_per_kwh < high and 2024 <= account.year <= 2026 and account.source


def test_a_grid_by_its_name_or_code() -> None:
    assert grid("SWE") is grid("se") is grid(" Sweden ")
    assert grid("sweden").g_per_kwh.high < grid("poland").g_per_kwh.low
    assert grid("us").source == "ember (2025) and maps (2025)"
    assert grid("quebec").zone == "CAN" and grid("quebec").b is None


def test_where_nobody_says_the_place_it_may_be_any() -> None:
    """As wide as from a clean grid to a dirty one, not as an account of the mean; the grid of most data centres lies in it."""
    low, middle, high = grid("world").g_per_kwh
    assert low < grid("uk").g_per_kwh.low < grid("us").g_per_kwh.low < middle < grid("china").g_per_kwh.high < high
    known = [one.draws for one in grids() if one.name != "world"]
    assert all(any(draws[number] == drawn for draws in known) for number, drawn in enumerate(grid("world").draws))


def test_an_unknown_grid_is_refused_with_those_nearest() -> None:
    with pytest.raises(UnknownFact, match="'irland' is not known; nearest are ireland"):
        grid("irland")
    with pytest.raises(UnknownFact, match="known are world"):
        grid("%%")
