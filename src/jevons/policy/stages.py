"""How far a learned route may go at the moment: observe, shadow, share, full. Back at once when quality drifts.

Comes in: the stage in force, the operator's ceiling, what is known of the route's quality. Goes out: the stage from now on, and why.
Does not know: models, clocks, labels.
"""

import msgspec

from jevons.core.routed import Stage

ORDER = tuple(Stage)
SHARED_LABELS = 50
"""Judged answers that clients were shown, before the share becomes everything."""


class Known(msgspec.Struct, frozen=True):
    """Of one route."""

    promised: bool
    """A promise is in force."""
    shown: int = 0
    """Judged answers that clients were shown since the promise came into force."""
    withdrawn: bool = False
    """A promise was taken back since the last look."""


class Step(msgspec.Struct, frozen=True):
    stage: Stage
    reason: str


def step(now: Stage, ceiling: Stage, known: Known) -> Step:
    """One step at most; down at once."""
    if known.withdrawn and now in (Stage.SHARE, Stage.FULL):
        return Step(Stage.SHADOW, "quality has drifted; labels are gathered anew")
    if ORDER.index(now) > ORDER.index(ceiling):
        return Step(ceiling, "the configuration allows no more")
    if now is ceiling:
        return Step(now, "as far as the configuration allows")
    if now is Stage.OBSERVE:
        return Step(Stage.SHADOW, "labels are gathered")
    if not known.promised:
        return Step(Stage.SHADOW, "nothing is promised yet")
    if now is Stage.SHADOW:
        return Step(Stage.SHARE, "the promise holds")
    if known.shown < SHARED_LABELS:
        return Step(now, f"{known.shown} of {SHARED_LABELS} answers of the share are judged")
    return Step(Stage.FULL, "the promise held in the share")
