"""The plane of parts: who is drawn, where, and that names do not lie over each other."""

import re
from xml.etree import ElementTree

from jevons.economics.unitcost.hardware import parts
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.roofline_picture import LETTER, LINE, picture

SVG = "{http://www.w3.org/2000/svg}"


def named(svg: str) -> dict[str, tuple[float, float]]:
    """Name of each part that is written -> where."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return {
        str(text.text): (float(text.get("x", 0)), float(text.get("y", 0))) for text in found if "part" in text.get("class", "")
    }


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


def test_names_of_the_whole_catalogue_keep_off_each_other() -> None:
    placed = named(picture(parts()))
    boxes = [(x, y - 11, x + len(name) * LETTER, y - 11 + LINE) for name, (x, y) in placed.items()]
    overlaps = [
        (one, other)
        for at, one in enumerate(boxes)
        for other in boxes[at + 1 :]
        if one[0] + 1 < other[2] and other[0] + 1 < one[2] and one[1] + 1 < other[3] and other[1] + 1 < one[3]
    ]
    assert not overlaps
    assert len(placed) > 30


def test_nothing_to_draw_is_a_picture_too() -> None:
    ElementTree.fromstring(picture([]))
