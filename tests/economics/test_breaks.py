"""The break test: a planted break is found on its day, a straight fall has none, and dependence within a line is respected."""

import math
from datetime import date, timedelta
from random import Random

import pytest

from jevons.economics.breaks import SUSPECTED, find_breaks
from jevons.economics.history import Series, series
from tests.economics.pricing import TODAY, line_of, row

FIRST = date(2022, 6, 1)


def market(before: float, after: float, rng: Random, lines: int = 10, noise: float = 0.2) -> list[Series]:
    """Lines whose price is divided by `before` a year until SUSPECTED, by `after` from then on."""
    found = []
    for number in range(lines):
        rows = []
        for i in range(8):
            day = FIRST + timedelta(days=180 * i + rng.randrange(90))
            then, since = min(day, SUSPECTED) - FIRST, max(day - SUSPECTED, timedelta())
            ln = math.log(10) - (math.log(before) * then.days + math.log(after) * since.days) / 365.25 + rng.gauss(0, noise)
            rows.append(row(day.isoformat(), f"m{number}-{i}", f"{math.exp(ln):.9f}"))
        found.append(line_of(*sorted(rows, key=lambda r: r.date), name=f"line {number}"))
    return found


def test_a_planted_break_is_found_near_its_day() -> None:
    given, searched = find_breaks(market(10, 1, Random(3)))
    assert (given.day, given.searched, searched.searched) == (SUSPECTED, False, True)
    assert given.p_rows <= 0.002 and given.p_lines <= 0.01
    assert abs((searched.day - SUSPECTED).days) < 120 and searched.p_rows <= 0.002 and searched.p_lines <= 0.01
    assert given.before == pytest.approx(10, rel=0.25) and given.after == pytest.approx(1, rel=0.15)
    assert (given.rows, given.lines) == (80, 10)
    assert searched.f >= given.f


def test_a_steady_fall_has_no_break() -> None:
    p_values = [b.p_lines for seed in range(3) for b in find_breaks(market(4, 4, Random(seed)))]
    assert sum(p < 0.05 for p in p_values) <= 1


def test_a_day_that_divides_nothing_is_not_tested() -> None:
    assert find_breaks(market(4, 4, Random(1)), date(2019, 1, 1)) == []
    assert find_breaks([]) == []
    assert find_breaks([line_of(row("2024-01-01", "a", 1), row("2024-06-01", "b", 2))]) == []


def test_the_real_break_of_may_2024_is_one_of_the_commodity_tier() -> None:
    commodity, _ = find_breaks(series(tier="commodity", until=TODAY))
    assert commodity.p_lines < 0.02
    assert commodity.before > 3 and commodity.after < 0.8
    frontier, _ = find_breaks(series(tier="frontier", until=TODAY))
    assert frontier.p_rows < 0.05 and frontier.p_lines > 0.2
