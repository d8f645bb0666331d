"""Predicted against measured as a picture: every judged row twice, by the fit and by the roofline; parts by colour."""

import re

import pytest

from jevons.economics.plane import COLOURS
from jevons.economics.unitcost.check import check
from jevons.economics.unitcost.check_picture import picture
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import UnitCostError
from tests.economics.unitcost.test_measured import table

PARTS = ("H100", "H200", "B200", "A100", "MI300X", "L40S", "B300", "GH200")


def test_every_judged_row_is_there_and_read_aloud() -> None:
    found = check(table({"id": "one"}, {"id": "two", "hardware": "H200"}, {"id": "none", "model": "no-such"}), shipped())
    svg = picture(found)
    assert len(re.findall(r"<title>one, ", svg)) == len(re.findall(r"<title>two, ", svg)) == 2
    assert "none, " not in svg and "2 measured rows" in svg
    assert "H200-SXM-141GB: 1 rows" in svg
    for verdict in found.verdicts:
        assert f"predicted {verdict.tok_s:,.0f}, {verdict.low:,.0f} to {verdict.high:,.0f}" in svg


def test_more_parts_than_colours_share_the_last_one() -> None:
    svg = picture(check(table(*({"id": name, "hardware": name} for name in PARTS)), shipped()))
    dots = re.findall(r'<circle class="(\w+)"[^>]*><title>', svg)
    assert "other parts" in svg
    assert len(dots) == 2 * len(PARTS)
    assert dots.count(COLOURS[-1]) == len(PARTS) - len(COLOURS) + 1


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UnitCostError, match="no row could be judged"):
        picture(check(table({"model": "no-such"}), shipped()))
