"""The list-price index: known answers on made-up lines, and what it says of the real ones."""

from datetime import date
from itertools import pairwise

import pytest

from jevons.economics.history import series
from jevons.economics.indices import BEGIN, SILENT_MONTHS_MAX, list_index, months
from tests.economics.pricing import TODAY, line_of, row

JAN, FEB, MAR, APR = (date(2025, month, 1) for month in (1, 2, 3, 4))


def test_months_are_first_days() -> None:
    assert list(months(date(2024, 11, 2), date(2025, 2, 1))) == [date(2024, 12, 1), JAN, FEB]
    assert list(months(JAN, JAN)) == [JAN]
    assert list(months(FEB, JAN)) == []


def test_the_index_is_the_geometric_mean_of_relatives() -> None:
    """One line falls to a quarter, the other does not move: the root of 1/4 is a half."""
    falls = line_of(row("2024-12-01", "a", 8), row("2025-01-15", "a", 2), name="falls")
    stays = line_of(row("2024-12-01", "b", 5), name="stays")
    points = list_index([falls, stays], MAR, first=JAN)
    assert [(p.day, round(p.value, 9), p.lines) for p in points] == [(JAN, 100, 0), (FEB, 50, 2), (MAR, 50, 2)]


def test_a_successor_is_a_change_of_price_or_linked_in_without_one() -> None:
    line = line_of(
        row("2024-12-01", "old", 4), row("2025-01-10", "old", 2), row("2025-01-20", "new", 6), row("2025-02-20", "new", 3)
    )
    assert [p.value for p in list_index([line], MAR, first=JAN)] == pytest.approx([100, 150, 75])
    assert [p.value for p in list_index([line], MAR, first=JAN, method="matched")] == pytest.approx([100, 50, 25])


def test_a_line_that_comes_later_is_linked_in_and_one_that_falls_silent_drops_out() -> None:
    begins = line_of(row("2025-02-10", "b", 1), row("2025-03-10", "b", 2), name="begins")
    stays = line_of(row("2024-12-01", "a", 5), name="stays")
    points = list_index([begins, stays], APR, first=JAN)
    assert [(round(p.value, 6), p.lines) for p in points] == [(100, 0), (100, 1), (100, 1), (round(100 * 2**0.5, 6), 2)]
    silent = line_of(row("2023-01-01", "a", 5), name="silent")
    assert [p.lines for p in list_index([silent], MAR, first=JAN)] == [0, 0, 0]


def test_each_kind_of_price_has_its_own_index() -> None:
    line = line_of(row("2024-12-01", "a", 4, 8), row("2025-01-15", "a", 2, 8))
    assert list_index([line], FEB, first=JAN, kind="input")[-1].value == pytest.approx(50)
    assert list_index([line], FEB, first=JAN, kind="output")[-1].value == pytest.approx(100)
    assert list_index([line], FEB, first=JAN, kind="cached")[-1].lines == 0


def test_an_index_ends_on_the_day_asked_for_and_has_no_days_before_it_begins() -> None:
    line = line_of(row("2024-12-01", "a", 4), row("2025-01-15", "a", 2))
    assert [p.day for p in list_index([line], date(2025, 1, 20), first=JAN)] == [JAN, date(2025, 1, 20)]
    assert list_index([line], date(2024, 12, 31), first=JAN) == []


def test_of_the_real_tiers_the_frontier_fell_throughout_and_the_commodity_tier_rose_again() -> None:
    frontier = {p.day: p.value for p in list_index(series(tier="frontier", until=TODAY), TODAY)}
    commodity = {p.day: p.value for p in list_index(series(tier="commodity", until=TODAY), TODAY)}
    assert frontier[BEGIN] == commodity[BEGIN] == 100
    assert frontier[TODAY] == pytest.approx(22.2, abs=0.1)
    lowest = min(commodity, key=lambda day: commodity[day])
    assert date(2024, 8, 1) <= lowest <= date(2025, 3, 1)
    assert commodity[date(2026, 7, 1)] > 1.3 * commodity[lowest]


def test_both_tiers_begin_with_two_vendors() -> None:
    selling = {line.provider for line in series(tier="frontier", until=BEGIN) if line.at(BEGIN)}
    before = {line.provider for line in series(tier="frontier") if line.at(date(2023, 4, 1))}
    assert selling == {"openai", "anthropic"} and before == {"openai"}


def test_no_line_that_went_on_was_taken_to_be_gone() -> None:
    silences = [(b.date - a.date).days / 30.5 for line in series(until=TODAY) for a, b in pairwise(line.rows)]
    assert 16 < max(silences) < SILENT_MONTHS_MAX
