"""The plane of parts: who is drawn, where, and that names do not lie over each other."""

import re
from xml.etree import ElementTree

from jevons.economics.unitcost.hardware import parts
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.roofline_picture import LINE, picture

POINT = r'<circle [^>]*cx="([\d.]+)" cy="([\d.]+)" r="4"><title>'
SVG = "{http://www.w3.org/2000/svg}"


LETTER = 6.6
"""Width of a letter that is drawn, in the mean."""


def named(svg: str) -> dict[str, tuple[float, float]]:
    """Name of each part that is written -> where it begins."""
    found = [text for text in ElementTree.fromstring(svg).iter(f"{SVG}text") if "part" in text.get("class", "")]
    return {str(text.text): (_begins(text), float(text.get("y", 0))) for text in found}


def _begins(text: ElementTree.Element) -> float:
    back = len(str(text.text)) * LETTER if text.get("class", "").endswith(" end") else 0.0
    return float(text.get("x", 0)) - back


def of(name: str, gb_s: float | None, tflops: float | None, **others: str) -> Part:
    return Part(name=name, vendor="x", kind="gpu", bandwidth_gb_s=gb_s, bf16_tflops=tflops, sources={}, **others)  # type: ignore[arg-type]


def test_only_what_is_known_is_drawn() -> None:
    svg = picture([of("both", 100, 100), of("slow", None, 100), of("idle", 100, None)])
    assert named(svg).keys() == {"both"}
    assert "1 of 3 parts" in svg
    assert "both 100 TFLOP/s at 100 GB/s" in svg  # read aloud
    assert "1,000 FLOP/byte" in svg


def test_more_is_farther_up_and_to_the_right() -> None:
    here = named(picture([of("small", 10, 1), of("large", 1000, 100)]))
    assert here["large"][0] > here["small"][0]
    assert here["large"][1] < here["small"][1]


def test_an_announced_part_is_an_open_circle() -> None:
    svg = picture([of("now", 10, 1), of("soon", 20, 2, status="announced", announced="CES")])
    assert len(re.findall(r'<circle class="k1 open"[^>]*><title>soon', svg)) == 1
    assert len(re.findall(r'<circle class="k1"[^>]*><title>now', svg)) == 1


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    return [(x, y - 11, x + len(name) * LETTER, y - 11 + LINE) for name, (x, y) in named(svg).items()]


def test_names_of_the_whole_catalogue_keep_off_each_other_and_off_points() -> None:
    svg = picture(parts())
    names = boxes(svg)
    points = [(float(x) - 3, float(y) - 3, float(x) + 3, float(y) + 3) for x, y in re.findall(POINT, svg)]
    overlaps = [
        (one, other)
        for at, one in enumerate(names)
        for other in (*names[at + 1 :], *points)
        if one[0] + 1 < other[2] and other[0] + 1 < one[2] and one[1] + 1 < other[3] and other[1] + 1 < one[3]
    ]
    assert not overlaps
    assert len(names) > 30


def test_it_says_how_many_have_no_name() -> None:
    svg = picture(parts())
    drawn = len(re.findall(POINT, svg))
    assert f"{drawn} of {len(parts())} parts" in svg
    assert f"; {drawn - len(named(svg))} points without room for a name" in svg
    assert "without room" not in picture([of("one", 10, 1)])


def test_the_legend_is_of_what_is_drawn() -> None:
    now, soon = of("now", 10, 1), of("soon", 20, 2, status="announced", announced="CES")
    assert ">announced<" not in picture([now])
    assert ">announced<" in picture([now, soon])
    assert ">processor<" not in picture([now, soon])


def test_nothing_to_draw_is_a_picture_too() -> None:
    ElementTree.fromstring(picture([]))
