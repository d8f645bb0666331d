"""Which way a request goes: the models that are asked, in order, and why.

Comes in: a parsed request with its caller. Goes out: a `Way`. Does not know: how attempts are made (`gateway.tries`).
"""

from typing import NamedTuple

from jevons.core.routed import Routed
from jevons.policy.route import Target


class Way(NamedTuple):
    """How one request is to be answered."""

    targets: tuple[Target, ...]
    """To be tried in order; the chosen one first, the reference last."""
    routed: Routed | None = None
    """Stands with every entry of the request; None = by its name alone."""
    cascade: bool = False
    """The first is asked and judged before it is shown."""
    shadows: tuple[Target, ...] = ()
    """Asked too, shown to nobody."""
    weight: float = 1.0
    """1 / probability that this request was taken for a sample."""
