"""Parameters and bytes of the stored twins, from their files."""

from jevons.engine.experts.routing import DENSE, STORED
from jevons.engine.experts.sizes import active_parameters, sizes

ROUTERS = 4 * 8 * 128
EXPERT = 3 * 128 * 128


def test_twins_are_of_equal_active_size() -> None:
    active, total = active_parameters(STORED)
    dense = active_parameters(DENSE)
    assert dense[0] == dense[1] == active - ROUTERS
    assert total - active == 4 * 6 * EXPERT  # layers, experts that a token does not meet


def test_bytes_of_a_step() -> None:
    moe, dense = sizes(STORED), sizes(DENSE)
    assert (moe.layers, moe.experts, moe.used) == (4, 8, 2)
    assert dense.expert_bytes == 0 and dense.bytes_read(0) == dense.bytes_read(8)
    assert (
        moe.bytes_read(2) - dense.bytes_read(0) == 4 * ROUTERS
    )  # routers are f32; all else is the same weights in the same blocks
    assert moe.bytes_read(8) - moe.bytes_read(2) == 4 * 6 * EXPERT * 34 // 32
