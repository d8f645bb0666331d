"""The local engine's speed as a picture: a line for each number of conversations, one for prompts, circles for what was observed."""

import re

import msgspec
import pytest

from jevons.economics.plane import COLOURS
from jevons.economics.unitcost.errors import TooLong
from jevons.economics.unitcost.local_picture import KEPT, picture
from jevons.economics.unitcost.local_saved import Point
from tests.economics.unitcost.test_local import model

POINTS = [Point(1, 2, 128, 300.0, 250.0), Point(256, 1, 128, 9.0, 8.0), Point(1, 3, 128, 1.0, 1.0)]


def test_each_batch_and_prompts_have_a_line_over_all_contexts() -> None:
    svg = picture(model(), "small.gguf", (1, 2), 256, [])
    assert "small.gguf on this machine" in svg and "Lines are predicted." in svg
    for name in ("256 tokens of a prompt", "one conversation", "2 together"):
        [line] = re.findall(rf'd="([^"]*)"><title>{name}', svg)
        assert line.count("L") == len(KEPT) - 1


def test_observed_steps_are_circles_in_their_lines_colour() -> None:
    svg = picture(model(), "small.gguf", (1, 2), 256, POINTS)
    assert "circles observed" in svg
    assert re.findall(r'<circle class="(\S+)"[^>]*><title>observed: ([\d.]+)', svg) == [
        (COLOURS[1], f"{2 / 250:,.1f}"),
        ("plain", "32.0"),
    ]  # three together are not drawn


def test_lines_end_where_the_model_does() -> None:
    short = model()
    short.architecture = msgspec.structs.replace(short.architecture, positions=600)
    svg = picture(short, "short.gguf", (1,), 256, [])
    assert "From 128 tokens kept to 512, tokens a second" in svg
    for name, last in (("256 tokens of a prompt", 256), ("one conversation", 512)):
        [line] = re.findall(rf'd="([^"]*)"><title>{name}', svg)
        assert line.count("L") == KEPT.index(last)
    short.architecture = msgspec.structs.replace(short.architecture, positions=128)
    with pytest.raises(TooLong, match=r"takes 128 tokens .* the shortest context that is drawn has 129"):
        picture(short, "short.gguf", (1,), 256, [])
