"""How fast prices fall: planted declines come out, and the real ones are what the documentation says."""

import math
from datetime import date, timedelta

import pytest

from jevons.economics.decline import MOORE_MONTHS, SEED, of_line, of_milestone, of_tier, within
from jevons.economics.history import series
from jevons.economics.quality import MILESTONES
from tests.economics.pricing import TODAY, line_of, row


def falling(factor_a_year: float, models: int = 8, start: str = "2024-01-01", level: float = 10.0) -> list[tuple[str, str]]:
    """(day, dollars) of models four months apart whose price is divided by a factor a year."""
    first = date.fromisoformat(start)
    days = [first + timedelta(days=122 * i) for i in range(models)]
    return [(day.isoformat(), f"{level * factor_a_year ** (-(day - first).days / 365.25):.9f}") for day in days]


def test_a_planted_decline_is_found_with_its_halving() -> None:
    line = line_of(*(row(day, f"m{i}", usd) for i, (day, usd) in enumerate(falling(4))))
    found = of_line(line)
    assert found is not None
    assert found.factor_a_year == pytest.approx(4, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((4, 4), rel=1e-5)
    assert found.halving_months == pytest.approx(6, rel=1e-6)
    assert (found.models, found.fit.n, found.fit.r2) == (8, 8, pytest.approx(1))
    assert found.drawn > 0.99


def test_a_rise_never_halves() -> None:
    found = of_line(line_of(*(row(day, f"m{i}", usd) for i, (day, usd) in enumerate(falling(0.5)))))
    assert found is not None and found.factor_a_year == pytest.approx(0.5, rel=1e-6) and found.halving_months is None


def test_too_few_prices_make_no_line() -> None:
    assert of_line(line_of(*(row(day, f"m{i}", usd) for i, (day, usd) in enumerate(falling(4, models=3))))) is None
    assert of_line(line_of(*(row("2025-01-01", f"m{i}", i + 1) for i in range(5)))) is None
    assert of_milestone(MILESTONES[4], TODAY) is None  # o1's GPQA: three minima so far


def test_a_price_known_to_the_month_is_not_fitted() -> None:
    rows = [row(day, f"m{i}", usd) for i, (day, usd) in enumerate(falling(4, models=4))]
    vague = row("2020-01-01", "vague", 1, basis="approx_month")
    assert of_line(line_of(vague, *rows)) == of_line(line_of(*rows))


def test_lines_at_different_levels_share_one_slope() -> None:
    """A cheap line that begins late would pretend a fall if the levels were not taken out."""
    clusters = [
        (number, [row(day, f"{number}-{i}", usd)])
        for number, (level, start) in enumerate(((100.0, "2023-01-01"), (1.0, "2025-01-01")))
        for i, (day, usd) in enumerate(falling(2, models=5, start=start, level=level))
    ]
    points = within(clusters, "blend")
    slope = sum(x * y for x, y in points) / sum(x * x for x, _ in points)
    assert math.exp(-slope) == pytest.approx(2, rel=1e-6)


def test_the_figures_are_the_same_each_time() -> None:
    assert of_milestone(MILESTONES[0], TODAY) == of_milestone(MILESTONES[0], TODAY)
    assert SEED == 1865


def test_what_the_real_prices_did() -> None:
    milestone, frontier, commodity = of_milestone(MILESTONES[0], TODAY), of_tier("frontier", TODAY), of_tier("commodity", TODAY)
    assert milestone is not None and frontier is not None and commodity is not None
    assert milestone.halving_months == pytest.approx(3.4, abs=0.1)
    assert milestone.low < milestone.factor_a_year < milestone.high
    assert frontier.halving_months == pytest.approx(18, abs=0.2)
    assert frontier.halving_months < MOORE_MONTHS
    assert commodity.low < 1 < commodity.high
    lines = {line.name: found for line in series(until=TODAY) if (found := of_line(line))}
    assert lines["google gemini flash"].high < 1
    sonnet = lines["anthropic sonnet"].halving_months
    assert sonnet is not None and sonnet > 2 * MOORE_MONTHS


def test_announced_prices_are_not_fitted() -> None:
    flash = {line.name: line for line in series(until=TODAY)}["google gemini flash"]
    assert max(r.date for r in flash.rows) <= TODAY
    assert max(r.date for r in {line.name: line for line in series()}["google gemini flash"].rows) == date(2027, 1, 1)
