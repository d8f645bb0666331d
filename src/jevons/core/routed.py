"""How a request was routed: what stands with its entry, so that the decision can be shown, and made again.

Does not know: how it was decided (`policy.objective`), who carried it out.
"""

import enum

import msgspec

from jevons.core.features import Features


class Role(enum.StrEnum):
    """What an attempt was made for."""

    ANSWER = ""
    """To answer the client, the first of its kind."""
    RETRY = "retry"
    """The same upstream again."""
    FAILOVER = "failover"
    """Another, after one failed."""
    HEDGE = "hedge"
    """Beside one that was slow; whichever begins first is shown."""
    CASCADE = "cascade"
    """The small model's try, before the large one was asked; its answer was not shown."""
    SHADOW = "shadow"
    """Another model's answer to the same, for comparison; shown to nobody."""
    JUDGE = "judge"
    """A model was asked which of two answers is good."""
    CHECK = "check"
    """The provider's answer where a cached one was given."""


class Stage(enum.StrEnum):
    """How far a learned route may go."""

    OBSERVE = "observe"
    """It decides, and the reference answers."""
    SHADOW = "shadow"
    """The same, and a sample is asked of the others too, for labels."""
    SHARE = "share"
    """A share of what it would route is routed."""
    FULL = "full"


class Option(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One candidate as it was weighed."""

    model: str
    """As the route names it."""
    upstream: str
    target: str
    score: float | None = None
    """Believed probability that its answer is good enough; None = nothing is known of it."""
    threshold: float | None = None
    """From this score on the promise holds; None = it holds for no score."""
    cost_nusd: int = 0
    """Expected list cost of the answer, with what its prompt cache forfeits."""
    wait_ms: int = 0
    """Expected time to its first byte; 0 = not known."""
    warm_nusd: int = 0
    """What its prompt cache is expected to save of that: forfeited where another answers."""


class Routed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The decision about one request. With the options, the stage and the draw it can be made again (`policy.objective`)."""

    route: str
    """Which rule; "" = none; a header."""
    why: str
    """A word for people and programs: `policy.objective.Why`."""
    chosen: int = 0
    """Place among the options."""
    stage: str = ""
    draw: float = 0.0
    """Chance that was drawn for it, in [0, 1): who is in the share, who in the sample."""
    options: tuple[Option, ...] = ()
    features: Features = Features()
    cascade: bool = False
    """The chosen one's answer is judged before it is shown."""
    confidence: float | None = None
    """Of a cascade: how sure the small model's answer was believed to be right."""
