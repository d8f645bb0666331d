"""The chart of indices: what is drawn where, what is left out, and that it stands by itself."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from jevons.economics.chart import COLOURS, LABEL_GAP, Line, chart

PERIODS = ("first", "second", "third")


def drawn(*lines: Line, periods: tuple[str, ...] = PERIODS) -> ElementTree.Element:
    return ElementTree.fromstring(chart("A title", "A subtitle", periods, lines))


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in (element.get("class") or "").split()]


def points(root: ElementTree.Element, place: int) -> list[tuple[float, float]]:
    [path] = [element for element in of_class(root, "line") if f"s{place}" in str(element.get("class"))]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", str(path.get("d")))]


def test_a_doubling_is_as_far_up_as_a_halving_is_down() -> None:
    root = drawn(Line("up", [100, 200, 400]), Line("down", [100, 50, 25]))
    (_, start), (_, doubled), (_, again) = points(root, 0)
    assert start - doubled == pytest.approx(doubled - again, abs=0.2)
    (_, base), (_, halved), _ = points(root, 1)
    assert base == start and halved - base == pytest.approx(start - doubled, abs=0.2)


def test_a_gap_is_a_gap_and_a_line_of_gaps_is_none() -> None:
    root = drawn(Line("broken", [100, None, 120]), Line("absent", [None, None, None]))
    [path] = of_class(root, "line")
    assert str(path.get("d")).count("M") == 2 and "absent" not in "".join(root.itertext())


@pytest.mark.parametrize("values", [[100.0, 100.4, 99.8], [100, 140, 91], [100, 3_000, 2], [100, 10**7, 10**-4]])
def test_the_grid_has_a_hundred_and_reaches_around_all_values(values: list[float]) -> None:
    root = drawn(Line("one", values))
    assert len(of_class(root, "hundred")) == 1 and 1 <= len(of_class(root, "grid")) <= 14
    heights = [
        float(re.findall(r"[\d.]+", str(line.get("d")))[1]) for line in (*of_class(root, "grid"), *of_class(root, "hundred"))
    ]
    assert all(min(heights) <= y <= max(heights) for _, y in points(root, 0))


def test_names_do_not_lie_over_each_other() -> None:
    root = drawn(*(Line(f"line {n}", [100, 100, 100 + n / 100]) for n in range(COLOURS)))
    heights = sorted(float(str(name.get("y"))) for name in of_class(root, "name"))
    assert len(heights) == COLOURS and all(b - a >= LABEL_GAP - 0.2 for a, b in pairwise(heights))
    assert min(heights) > 40 and max(heights) < 400


def test_names_are_text_and_are_read_aloud() -> None:
    root = drawn(Line("a <b> & c", [100, 90, 1234]), periods=("<1>", "2", "3"))
    texts = ["".join(element.itertext()) for element in root.iter()]
    assert "a <b> & c 1,234" in texts and "a <b> & c, <1>: 100" in texts
    assert "The first period is 100. At the end (3): a <b> & c 1,234." in texts


def test_nothing_to_draw() -> None:
    root = drawn(periods=())
    assert not of_class(root, "line") and "no period" in "".join(root.itertext())
