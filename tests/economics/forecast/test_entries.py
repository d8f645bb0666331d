"""What is new, counted: nothing where nobody comes, the pace where somebody does, and a forecast that has it."""

import math
from pathlib import Path

import numpy as np
import pytest

from jevons.economics.forecast.entries import NONE, damped, entry
from jevons.economics.forecast.report import forecast
from tests.economics.forecast.using import NOW, SONNET, TODAY, company, runs
from tests.economics.planting import write


def test_where_nobody_comes_nothing_is_added() -> None:
    growing = [{"a": 1.5**week, "b": 1.0} for week in range(20)]
    assert entry(growing, 1.0) == NONE
    assert entry(growing[:4], 1.0) == entry([], 1.0) == NONE  # no week has four behind it


def test_a_newcomer_every_week_is_the_pace_that_is_found() -> None:
    size = {week: math.exp(0.1 * week) - math.exp(0.1 * (week - 1)) if week else 1.0 for week in range(12)}
    found = entry([{came: size[came] for came in range(week + 1)} for week in range(12)], 1.0)
    # n weeks on the whole is e^(n / 10) of what was there, from each of eight days on.
    ahead = [n for origin in range(4, 12) for n in range(1, 13 - origin)]
    assert found.a_week == pytest.approx(sum(damped(n) * 0.1 * n for n in ahead) / sum(damped(n) ** 2 for n in ahead))
    assert 0.1 < found.a_week < 0.13 and found.scatter < 0.03


def test_one_who_comes_and_stays_is_new_to_every_day_before() -> None:
    found = entry([{"old": 1.0}] * 6 + [{"old": 1.0, "new": 1.0}] * 2, 1.0)
    # (weeks after the day, was it new to it): days 4, 5 and 6 do not know it, day 7 does.
    pairs = [(1, 0), (2, 0), (3, 1), (4, 1), (1, 0), (2, 1), (3, 1), (1, 1), (2, 1), (1, 0)]
    ways = np.array([damped(week) for week, _ in pairs])
    logs = np.log(2) * np.array([came for _, came in pairs])
    assert found.a_week == pytest.approx(float(ways @ logs / (ways @ ways))) and found.scatter > 0


def test_the_bill_grows_by_what_is_new(tmp_path: Path) -> None:
    old = runs(range(NOW - 84, NOW), "team", "agent", SONNET)
    write(
        tmp_path / "ledger.db",
        [*old, *(one for week in range(1, 12) for one in runs(range(NOW - 7 * week, NOW), "team", f"new {week}", SONNET))],
    )
    made = forecast(tmp_path / "ledger.db", 3, today=TODAY, paths=200)
    steady = forecast(company(tmp_path / "steady.db"), 3, today=TODAY, paths=200)
    assert made is not None and steady is not None
    assert "% a week to the bill" in " ".join(made.notes) and "% a week to the bill" not in " ".join(steady.notes)
    apart = sum(one.final_nusd.p50 for one in made.segments)  # segments are of what is there
    assert made.months[-1].bill_nusd.p50 > 1.2 * apart
