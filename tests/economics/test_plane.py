"""The plane of two logarithmic axes: what is drawn where, ticks, that it stands by itself and needs no style of an element."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.economics.plane import COLOURS, ROUND, TICKS_MAX, Axis, Curve, Dot, Words, number, plane, ticks

WORDS = Words("A <title>", "A subtitle", "Aloud.")
AXIS = Axis("tokens", number)


def drawn(*dots: Dot, curves: tuple[Curve, ...] = (), equal: bool = False, words: Words = WORDS) -> ElementTree.Element:
    return ElementTree.fromstring(plane(words, AXIS, AXIS, curves, dots, equal=equal))


def of_class(root: ElementTree.Element, *names: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if set(names) <= set((element.get("class") or "").split())]


def dot(x: float, y: float, **others: object) -> Dot:
    return Dot(x, y, COLOURS[0], "says", **others)  # type: ignore[arg-type]


def places(root: ElementTree.Element) -> list[tuple[float, float]]:
    return [
        (float(circle.get("cx", 0)), float(circle.get("cy", 0)))
        for circle in of_class(root, COLOURS[0])
        if circle.tag.endswith("circle")
    ]


def test_a_doubling_is_as_far_wherever_it_happens() -> None:
    (x1, y1), (x2, y2), (x3, y3) = places(drawn(dot(10, 10), dot(20, 20), dot(40, 40)))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and x2 > x1
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2) and y2 < y1


def test_on_equal_axes_what_agrees_lies_on_the_line() -> None:
    root = drawn(dot(30, 30), dot(700, 20), equal=True)
    [line] = of_class(root, "equal")
    x1, y1, x2, y2 = map(float, re.findall(r"[\d.]+", str(line.get("d"))))
    on, off = places(root)
    assert y1 + (on[0] - x1) / (x2 - x1) * (y2 - y1) == pytest.approx(on[1], abs=0.3)
    assert off[1] > y1 + (off[0] - x1) / (x2 - x1) * (y2 - y1) + 10  # predicted too low lies below


def test_a_band_and_an_interval_are_around_what_they_are_of() -> None:
    curve = Curve("one", [(1, 10), (10, 100)], COLOURS[1], [(5, 20), (50, 200)])
    root = drawn(dot(3, 30, interval=(20, 60), name="here"), curves=(curve,))
    [band], [line] = of_class(root, "band"), of_class(root, "line")
    edges = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", str(band.get("d")))]
    middle = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", str(line.get("d")))]
    assert edges[0] < middle[0] < edges[3] and edges[1] < middle[1] < edges[2]
    [whisker] = of_class(root, "whisker")
    low, high = map(float, re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", str(whisker.get("d")))[0])
    assert high < places(root)[-1][1] < low
    assert "here" in "".join(root.itertext())


def test_a_long_legend_takes_rows_of_its_own() -> None:
    names = [(COLOURS[0], f"a long name of a part, number {place}") for place in range(6)]
    few, many = drawn(dot(1, 1), words=WORDS), drawn(dot(1, 1), words=WORDS._replace(legend=names))
    said = [text for text in of_class(many, "quiet") if "a long name" in str(text.text)]
    assert len({text.get("y") for text in said}) == 3
    assert places(many)[-1][1] - places(few)[-1][1] == 34


def test_it_stands_by_itself_and_elements_have_no_style() -> None:
    text = plane(WORDS, AXIS, AXIS, [Curve("<one>", [(1, 2), (3, 4)], "plain")], [dot(5, 6)], mark=(4, "the <floor>"))
    assert "style=" not in text and "url(" not in text
    assert "the <floor>" in "".join(ElementTree.fromstring(text).itertext())


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=5))
def test_ticks_are_around_all_values_and_few(values: list[float]) -> None:
    found = ticks(values)
    assert found[0] <= min(values) and max(values) <= found[-1] and found == sorted(set(found)) and len(found) >= 2
    assert len(found) <= TICKS_MAX or max(values) / min(values) > 10 ** (TICKS_MAX - 2)


def test_ticks_are_as_close_as_there_is_room_for() -> None:
    assert ticks([12, 19]) == [10, 15, 20]
    assert ticks([12, 700]) == [10, 20, 50, 100, 200, 500, 1000]
    assert ticks([12, 200_000])[:3] == [10, 30, 100]
    assert ticks([12, 19], ROUND[-1:]) == [10, 100]
    assert ticks([]) == [1, 1.5]
