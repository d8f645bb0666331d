"""How far a learned route may go at the moment: observe, shadow, share, full. Up a step at a time, back at once when quality drifts.

Comes in: the stage in force, the operator's ceiling (`stage` of the route), what is known of the route's promises. Goes out: the stage from now
on, and why; or what is missing for the next. Does not know: models, clocks, labels.
"""

import msgspec

from jevons.core.routed import Stage

SHOWN_LABELS = 50
"""Judged answers that clients were shown, before all that may be routed is: the share finds what shadows did not."""
_ORDER = tuple(Stage)


class Known(msgspec.Struct, frozen=True):
    """Of one route of one organisation."""

    promised: bool
    """For one of its models a promise is in force."""
    shown: int = 0
    """Judged answers of others than the reference that clients were shown since the route came to the stage `share`."""
    drifted: bool = False
    """A promise was withdrawn just now."""


class Step(msgspec.Struct, frozen=True):
    stage: Stage
    reason: str


def lowest(ceiling: Stage) -> Stage:
    """Where a route begins. Labels cost what `sample_usd_day` allows, and nobody sees the answers: nothing is waited for."""
    return at_most(Stage.SHADOW, ceiling)


def at_most(stage: Stage, ceiling: Stage) -> Stage:
    return min(stage, ceiling, key=_ORDER.index)


def step(now: Stage, ceiling: Stage, known: Known) -> Step:
    """One step up at most. Without a promise, or after a drift, no further than `shadow`."""
    if known.drifted:
        return Step(lowest(ceiling), "quality has drifted: labels are gathered anew")
    if not known.promised:
        return Step(lowest(ceiling), "nothing is promised yet")
    if at_most(now, ceiling) is ceiling:
        return Step(ceiling, "as far as the route may go")
    if now is Stage.SHARE and known.shown < SHOWN_LABELS:
        return Step(now, f"{known.shown} of {SHOWN_LABELS} shown answers are judged")
    return Step(_ORDER[_ORDER.index(now) + 1], "the promise holds")
