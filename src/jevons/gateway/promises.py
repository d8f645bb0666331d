"""What is promised of every model of every learned route, as it stands: each organisation for itself.

Comes in: labels. Goes out: from which score on a model may answer, and how far its route may go. What was learnt is written to the ledger
(`Learnt("promise", ...)`) and read when serving begins. Does not know: who made a label, what is decided with it.
"""

from collections.abc import Callable

import msgspec

from jevons.core.label import Label
from jevons.core.routed import Stage
from jevons.policy.routes import Route

Withdrawn = Callable[[str, str, str, str], None]
"""org, route, model, reason"""


class Standing(msgspec.Struct, frozen=True):
    """Of one model of one route of one organisation."""

    threshold: float | None
    """From this score on it may answer; None = nothing is promised."""
    stage: Stage
    """In force for the whole route: at most the operator's."""


class Promises:
    """Live state. `on_withdrawn` is called when a promise that held is taken back."""

    def __init__(self, routes: tuple[Route, ...], submit: Callable[[object], object], clock: Callable[[], float]) -> None:
        self._routes = {route.name: route for route in routes}
        self._submit = submit
        self._clock = clock
        self.on_withdrawn: Withdrawn | None = None

    def standing(self, org: str, route: Route, model: str) -> Standing:
        """Hot path: two look-ups."""
        return Standing(None, min(route.stage, Stage.SHADOW, key=list(Stage).index))

    def learn(self, label: Label) -> None:
        """Takes in one label; may certify, tighten, withdraw, change the stage. No await, no disk."""
