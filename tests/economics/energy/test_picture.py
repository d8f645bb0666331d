"""The picture says what the rows say, and is nothing where there is nothing to draw."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from jevons.core.usage import Usage
from jevons.economics.energy.picture import ROWS_MAX, amount, picture
from jevons.economics.energy.report import energy
from tests.economics.energy.recorded import record

CALL = Usage(input=1_000, output=400)


def test_bars_of_both_stand_where_they_belong(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    record(ledger, ("anthropic/claude-sonnet-4-5", CALL, {}), ("acme/<b>&", CALL, {}), ("openai/gpt-4o", CALL, {}))
    found = energy(ledger)
    drawn = picture(found)
    assert drawn is not None
    tree = ET.fromstring(drawn)
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "anthropic/claude-sonnet-4-5" in texts and amount(found.wh) in texts and "acme/<b>&" not in texts
    aloud = tree.find("{http://www.w3.org/2000/svg}desc")
    assert (
        aloud is not None
        and aloud.text is not None
        and f"all: {amount(found.wh)}, {amount(found.wh_low)} to {amount(found.wh_high)}" in aloud.text
    )
    assert drawn.count('class="ours"') == 4  # two models, all, the legend


def test_only_the_largest_are_drawn(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    record(ledger, *[("anthropic/claude-sonnet-4-5", Usage(output=100 + n), {"run_id": f"r{n}"}) for n in range(ROWS_MAX + 4)])
    drawn = picture(energy(ledger, by="run"))
    assert drawn is not None and drawn.count("<circle") == ROWS_MAX + 1 and ">r3<" not in drawn


def test_nothing_to_draw(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    record(ledger, ("acme/frobnicate-1", CALL, {}))
    assert picture(energy(ledger)) is None


@pytest.mark.parametrize(
    ("wh", "said"), [(0, "0"), (2e-6, "2 µWh"), (0.0123, "12.3 mWh"), (1, "1 Wh"), (2_490, "2.49 kWh"), (3.2e6, "3.2 MWh")]
)
def test_amounts(wh: float, said: str) -> None:
    assert amount(wh) == said
