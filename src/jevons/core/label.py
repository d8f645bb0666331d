"""A label: how good a model's answer to one request was, against another's or by what its caller said. What routes and students learn from.

Does not know: the answers.
"""

import msgspec

from jevons.core.features import Features


class Label(msgspec.Struct, frozen=True, gc=False):
    """One judged answer."""

    request: int
    """First entry id of the request that it answers."""
    key_id: int
    org: str
    """Labels never leave their organisation."""
    route: str
    model: str
    """Who was judged, as the route names it; a student as student/NAME@VERSION."""
    reference: str
    """Against whose answer; "" = by itself (a check, feedback)."""
    good: bool
    harm: bool
    """The reference's answer is good and this one is not. Without a reference: it is not good."""
    grader: str
    """exact, number, choice, json, same, judge, feedback (`policy.grade`)."""
    weight: float
    """1 / probability with which the request was taken for judging."""
    score: float | None
    """What was believed of it when it was routed."""
    shown: bool
    """Its answer was the one that the client saw."""
    at_ms: int
    features: Features
