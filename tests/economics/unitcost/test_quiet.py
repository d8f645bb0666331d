"""A measurement beside other work is said to be one."""

import pytest

from jevons.economics.unitcost.quiet import crowded


@pytest.mark.parametrize(("load", "said"), [(None, False), (0.1, False), (0.6, True), (4.0, True)])
def test_a_busy_machine_is_said_to_be_one(load: float | None, said: bool) -> None:
    text = crowded(load, 2, "jevons hw measure")
    assert ("others were at work" in text and text.endswith("measure again: jevons hw measure")) == said
    assert bool(text) == said
