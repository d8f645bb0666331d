"""One request under the governor: who asks, in which run, and what has been found out about it on its way.

The governor makes it at the door; routing, trimming and the gate write to it what they decide, and the gate asks for it at each attempt.
Does not know: how any of that is decided.
"""

from typing import TYPE_CHECKING, NamedTuple

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.chain import Chain
from jevons.core.entry import admitted_ms
from jevons.core.routed import Routed
from jevons.gateway.conversations import Trace
from jevons.policy.accounts import Account
from jevons.policy.arrivals import Place
from jevons.policy.bounds import Facts
from jevons.policy.degrade import Turn
from jevons.policy.loops import Loops
from jevons.policy.rules import Who
from jevons.policy.runs import Run

if TYPE_CHECKING:
    from jevons.gateway.reading import Seen

NO_LOOPS = Loops(0, 0, 0, "")
WITHOUT_STEPS = frozenset({Dialect.EMBEDDINGS, Dialect.COUNT_TOKENS})
"""Doors at which no agent takes a step: no run is inferred there."""


class Trim(NamedTuple):
    """What was made shorter in a request before it was sent."""

    came: Ask
    links: Chain
    """Of what is sent."""
    places: tuple[int, ...]
    """Its messages that are changed."""
    new: int
    """From this message on they are sent for the first time."""
    refs: int
    """Originals that can be fetched."""


class Passage:
    """One request under the governor. The gate asks for it at each attempt."""

    __slots__ = (
        "at_ms",
        "caller",
        "credential_for",
        "degraded",
        "degraded_to",
        "facts",
        "instead_of",
        "links",
        "loops",
        "models",
        "note",
        "path",
        "places",
        "read",
        "reference",
        "removed_tools",
        "request",
        "routed",
        "routed_to",
        "run",
        "source",
        "trace",
        "trim",
        "turn",
        "warm_tokens",
        "warnings",
        "who",
    )

    def __init__(self, caller: Caller, who: Who, request: int, links: Chain) -> None:
        self.caller = caller
        self.who = who
        self.request = request
        self.at_ms = admitted_ms(request)
        self.links = links
        self.run: Run | None = None
        self.source = ""
        """What named the run."""
        self.removed_tools: tuple[str, ...] = ()
        """Tools of the request that were denied, and are not offered to the model."""
        self.trace: Trace | None = None
        """How the run was inferred, if it was."""
        self.trim: Trim | None = None
        """What of it is not sent as it came."""
        self.loops: Loops | None = None
        self.path: tuple[Account, ...] = ()
        """The accounts of its latest attempt."""
        self.warnings: list[str] = []
        self.read: Seen | None = None
        """What routing read of it; None = nothing had to be."""
        self.routed: Routed | None = None
        """How it was routed; None = by its name alone."""
        self.routed_to = ""
        """The model that its route chose, or left it with, as it is asked for; "" = no route was asked."""
        self.credential_for = ""
        """The upstream that the client's own credential is for, if it sent one: none but that is called with it (`Live.carries`)."""
        self.reference: tuple[str, str, str] | None = None
        """(upstream, model, provider) that would answer if its route had no other models: what is saved is held against it."""
        self.degraded_to = ""
        """The cheaper model that it goes on with."""
        self.degraded = ""
        """The same with the model that was asked for and the limit, as the client is told."""
        self.instead_of: tuple[str, str, str] | None = None
        """(upstream, model, provider) that the cheaper one stands in for."""
        self.turn: Turn | None = None
        """Where its conversation stands, if anybody looked."""
        self.facts: Facts | None = None
        """What its run had become when its latest attempt was judged."""
        self.note = ""
        """What the agent is told at the end of its request."""
        self.warm_tokens: int | None = None
        """What going on with another model would forfeit of its prompt's cache; None = nobody looked."""
        self.places: tuple[Place, ...] = ()
        """Where on it others may go on, and how likely that is."""
        self.models: tuple[str, ...] = ()
        """The model that it asks for, and the one that its latest attempt goes to."""

    @property
    def sent(self) -> Chain:
        """The chain of what is sent: what counts and prompt caches go by. `links` is of what came."""
        return self.links if self.trim is None else self.trim.links

    @property
    def goes_on_with(self) -> str:
        """The model that was chosen in place of the one that it names; "" = none was."""
        return self.degraded_to or self.routed_to

    @property
    def subject(self) -> str:
        """Whom it is for, as the audit log says it."""
        return f"key:{self.who.key}" if self.run is None else f"run:{self.who.key}/{self.run.label}"

    @property
    def lineage(self) -> tuple[str, ...]:
        return () if self.run is None else tuple([run.label for run in self.run.lineage])
