"""The tables of docs/energy.md against what the code says."""

import re
from pathlib import Path

import pytest

from jevons.economics.energy.beside import estimate, version
from jevons.economics.energy.facts import assumed, facts
from jevons.economics.energy.grids import grid
from jevons.economics.energy.joules import joules, overhead
from jevons.economics.energy.scenarios import Interval, interval

PAGE = (Path(__file__).parents[3] / "docs" / "energy.md").read_text("utf-8")
PROVIDERS = {"gpt": "openai", "claude": "anthropic", "gemini": "google", "mistral": "mistral"}
ROWS = re.findall(r"^\| `(\S+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def watt_hours(model: str, provider: str, new: int, output: int, cached: int) -> Interval:
    found = joules(facts(provider, model))
    looked, attended = output * (new + cached + output / 2), new * (cached + new / 2)
    four = zip(found.made, found.read, found.looked, found.attended, overhead(), strict=True)
    return interval([(output * m + new * r + looked * k + attended * a) * o / 3600 for m, r, k, a, o in four])


def figures(cell: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"[\d.]+", cell)]


def test_the_table_is_there() -> None:
    assert len(ROWS) == 12


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_both_estimates(row: tuple[str, ...]) -> None:
    """Two figures are printed; the unit-cost model may be fitted anew, so a tenth is let pass."""
    model, basis, chat, turn, theirs = row
    provider = next((name for begin, name in PROVIDERS.items() if model.startswith(begin)), "openrouter")
    found = facts(provider, model)
    assert basis == (found.name if found.basis == "class" else found.basis)
    for cell, lengths in ((chat, (1_000, 500, 0)), (turn, (2_000, 500, 60_000))):
        low, middle, high = watt_hours(model, provider, *lengths)
        assert figures(cell) == pytest.approx([middle, low, high], rel=0.1)
    if version() is not None:
        other = estimate(provider, model, 500, None, grid("world"))
        assert figures(theirs) == (pytest.approx(other.wh, rel=0.06) if other else [])


def test_what_is_taken_for_all() -> None:
    fleet = assumed().fleet
    for pair in (fleet.batch, fleet.hardware, fleet.prefill_tflop_per_joule, fleet.host, fleet.pue):
        assert re.search(rf"\| {pair[0]:.4g}(\.0)? to {pair[1]:.4g}(\.0)?( × 10¹²)? \|", PAGE), pair
    low, _, high = grid("world").g_per_kwh
    assert f"{low:.0f} to {high:.0f} g/kWh" in PAGE
