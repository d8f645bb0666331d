"""What can be had of a system: corners from one sequence to a full memory, and their picture."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from jevons.economics.unitcost.cost import stated
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import DoesNotFit
from jevons.economics.unitcost.frontier import Corner, answers, frontier
from jevons.economics.unitcost.frontier_picture import picture
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.placing import Model
from jevons.economics.unitcost.serving import Load, serve
from jevons.economics.unitcost.steps import system
from jevons.economics.unitcost.weights import cache_precision, precision

ARCH = known("llama-3.1-8b")
MODEL = Model(ARCH, precision("bf16", ARCH), cache_precision("bf16"))
ON = system(part("H100"), 1)
LOAD = Load(1000, 500)
HOUR = stated(1, 2, 4)


@pytest.fixture(scope="module")
def corners() -> list[Corner]:
    return frontier(MODEL, ON, replace(LOAD, batch=11), shipped(), HOUR, 0.7)


def test_corners_go_from_one_sequence_to_a_full_memory_by_doublings(corners: list[Corner]) -> None:
    batches = [corner.batch for corner in corners]
    assert batches[:6] == [1, 2, 4, 8, 11, 16]
    assert batches[-1] == serve(*MODEL, ON, LOAD, shipped()).batch
    assert all(after <= 2 * before for before, after in pairwise(batches))


def test_more_together_is_cheaper_and_slower_for_each(corners: list[Corner]) -> None:
    for few, many in pairwise(corners):
        assert few.cost and many.cost
        assert many.cost.mid < few.cost.mid
        assert many.speed.user_tok_s < few.speed.user_tok_s


def test_a_corner_is_what_is_served_at_its_batch(corners: list[Corner]) -> None:
    [corner] = [corner for corner in corners if corner.batch == 11]
    speed = serve(*MODEL, ON, replace(LOAD, batch=11), shipped())
    assert corner.speed == speed
    assert corner.cost == answers(speed, HOUR, 0.7)
    assert corner.cost.low < corner.cost.mid < corner.cost.high
    assert corner.plain_nusd == round(2 / (speed.plain_device_tok_s * 3600 * 0.7) * 1e6 * 1e9)
    assert corner.plain_user_tok_s == pytest.approx(speed.plain_device_tok_s / 11)


def test_the_picture_has_every_batch_the_floor_and_what_was_asked(corners: list[Corner]) -> None:
    svg = picture(corners, "a model on a part", 11, 25)
    assert re.findall(r'<circle class="s4"[^>]* r="5.5"><title>(batch 11):', svg) == ["batch 11"]
    assert len(re.findall(r"<title>batch ", svg)) == len(corners)
    assert "25 tokens/s, the floor" in svg and "cost and speed" in svg


def test_without_a_price_a_device_s_tokens_are_drawn() -> None:
    svg = picture(frontier(MODEL, ON, LOAD, shipped(), None, 0.7), "a model on a part")
    assert "tokens and speed" in svg and "$" not in svg and "this prediction" not in svg


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(DoesNotFit):
        frontier(MODEL, system(part("L4"), 1), Load(100_000, 500), shipped(), HOUR, 0.7)
