"""docs/hardware.md says what the data say: `jevons hw list --markdown` prints its tables."""

from jevons.cli import hw_shown as shown
from jevons.economics.unitcost.hardware import parts, sources
from jevons.economics.unitcost.machine import Stated
from jevons.economics.unitcost.part import FIGURES
from tests.docs.pages import inline, read, table

PAGE = "docs/hardware.md"


def test_the_parts() -> None:
    assert table(PAGE, "The parts") == [shown.cells(part) for part in parts()]
    assert table(PAGE, "Where sources disagree") == shown.disputed(parts())
    assert shown.markdown(parts()).split("\n\n")[0] in read(PAGE)


def test_the_sources() -> None:
    assert dict(table(PAGE, "Sources")) == sources()


def test_every_figure_is_named() -> None:
    assert FIGURES.keys() <= set(inline(PAGE))


def test_the_stated_price() -> None:
    assert f"= ${Stated().usd_per_hour:.4f}." in read(PAGE)
