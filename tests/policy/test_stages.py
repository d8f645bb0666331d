"""How far a route may go."""

import pytest

from jevons.core.routed import Stage
from jevons.policy.stages import SHOWN_LABELS, Known, Step, at_most, lowest, step

OBSERVE, SHADOW, SHARE, FULL = Stage


def test_it_goes_up_step_by_step_when_the_promise_holds() -> None:
    assert step(SHADOW, FULL, Known(promised=True)) == Step(SHARE, "the promise holds")
    assert step(SHARE, FULL, Known(promised=True, shown=SHOWN_LABELS - 1)) == Step(SHARE, "49 of 50 shown answers are judged")
    assert step(SHARE, FULL, Known(promised=True, shown=SHOWN_LABELS)) == Step(FULL, "the promise holds")
    assert step(OBSERVE, FULL, Known(promised=True, shown=SHOWN_LABELS)).stage is SHADOW, "one step at a time"


@pytest.mark.parametrize("ceiling", Stage)
@pytest.mark.parametrize("now", Stage)
@pytest.mark.parametrize("promised", [False, True])
@pytest.mark.parametrize("drifted", [False, True])
def test_never_above_the_ceiling_and_never_beyond_shadow_without_a_promise(
    now: Stage, ceiling: Stage, promised: bool, drifted: bool
) -> None:
    found = step(now, ceiling, Known(promised, shown=1_000, drifted=drifted))
    assert at_most(found.stage, ceiling) is found.stage
    if drifted or not promised:
        assert found.stage is lowest(ceiling)
        assert found.reason in ("quality has drifted: labels are gathered anew", "nothing is promised yet")


def test_where_the_configuration_ends() -> None:
    assert step(FULL, SHARE, Known(promised=True)) == Step(SHARE, "as far as the route may go")
    assert step(FULL, FULL, Known(promised=True)) == Step(FULL, "as far as the route may go")
    assert [lowest(ceiling) for ceiling in Stage] == [OBSERVE, SHADOW, SHADOW, SHADOW]
