"""Calls whose answer nobody sees, or nobody yet: shadows, judges and samples, and the small model's try in a cascade.

Comes in: what is to be asked of whom, and for whom. Goes out: the whole answer, settled. Each is a call like any other: admitted, held before it is
sent, charged, killed, and it leaves exactly one entry. Does not know: what is made of the answer.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from jevons.core.ask import Ask
from jevons.core.entry import Outcome
from jevons.core.refusal import Refusal
from jevons.core.routed import Role, Routed
from jevons.gateway.attempt import Attempt
from jevons.gateway.checking import Nobody
from jevons.gateway.client import Scope
from jevons.gateway.gate import Gate
from jevons.gateway.heard import Heard
from jevons.gateway.outbound import NOTHING
from jevons.gateway.passage import Passage
from jevons.gateway.patience import Patience
from jevons.gateway.routing import Way
from jevons.gateway.sending import Aborted, Asked, Sender
from jevons.gateway.spots import Spots
from jevons.gateway.tries import Tries
from jevons.gateway.unanswered import Failed
from jevons.gateway.upstream import Answer
from jevons.ledger.errors import LedgerUnavailable
from jevons.policy.route import Target
from jevons.wire.body import edit
from jevons.wire.parse import parse

PLAIN: Scope = {"headers": (), "query_string": b""}
"""Of a call that takes nothing from the client's headers."""


class Unseen(NamedTuple):
    """What a call of our own brought."""

    body: bytes
    """The whole answer in the target's dialect; b"" of an attempt that failed."""
    attempt: Attempt
    """Settled: `attempt.settled` has usage and cost, `attempt.hold.id` its entry, `attempt.first_byte_ms` how long it took."""


class Tried(NamedTuple):
    """The small model's answer in a cascade, before anybody has seen it."""

    ask: Ask
    """As the client asked."""
    passage: Passage
    scope: Scope
    way: Way
    target: Target
    attempt: Attempt
    """Held still: its usage is known, its charge is not yet made."""
    body: bytes
    """Whole, in the target's dialect."""


class Judged(NamedTuple):
    """What is made of it."""

    shown: bool
    """It is good enough."""
    body: bytes
    """As it is to be shown: without what was asked for besides."""
    confidence: float | None = None


class Judge(Protocol):
    """Decides in a cascade whether the large model is to be asked (`gateway.cascade`)."""

    def members(self, ask: Ask, way: Way, target: Target) -> Mapping[str, bytes]:
        """Members (name -> JSON) to set in what the small model is asked, such as log-probabilities. In the target's dialect."""
        ...

    async def judge(self, tried: Tried) -> Judged: ...

    def forget(self, request: int) -> None:
        """The request has ended: nothing more comes that its try could be held against."""
        ...


def whole_ask(ask: Ask) -> Ask:
    """The same request, to be answered whole; every other byte stays. Raises Refusal."""
    if not ask.stream:
        return ask
    changes = {"stream": b"false"}
    if "stream_options" in ask.fields:
        changes["stream_options"] = b"null"  # a provider refuses it where nothing is streamed
    return parse(ask.dialect, edit(ask.body, ask.fields, changes))


class Asides:
    """Asks models for ourselves."""

    def __init__(self, gate: Gate, spots: Spots) -> None:
        self._gate = gate
        self._spots = spots

    async def ask(
        self,
        passage: Passage,
        ask: Ask,
        target: Target,
        role: Role,
        *,
        scope: Scope = PLAIN,
        same: bool = True,
        members: Mapping[str, bytes] = NOTHING,
        routed: Routed | None = None,
        errors: bool = False,
    ) -> Unseen | None:
        """One attempt in a request of its own, paid by the key of `passage`. None: it was refused, failed, or was cut off; its entry says which.

        `ask`: the client's (`same`), or another that `wire.parse` made. `scope`: the client's, where its headers matter (betas, its own
        credential). `members` are set in what is sent, in the target's dialect. `errors`: an attempt that failed is given too, without a body.
        Awaited by whoever wants the answer; cancelling it settles it.
        """
        gate = self._gate
        try:
            whole = whole_ask(ask)
            request = gate.ledger.next_request(int(time.time() * 1000))
            again = gate.governor.enter_again(passage, request, None if same else whole)
            with gate.governor.under_way(again) as stop:
                client = Nobody()
                reading = Reading(gate)
                tries = Tries(gate, self._spots, Sender(gate, client, scope, again, stop), routed, (b"", b""), role=role)
                await tries.once(whole, target, reading.take, role, members=members)
        except Failed as failed:
            return Unseen(b"", failed.attempt) if errors else None
        except (Refusal, LedgerUnavailable, Aborted):
            return None
        return reading.unseen


class Reading:
    """Reads an answer whole, posts it, and keeps it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.unseen: Unseen | None = None

    async def take(self, asked: Asked, attempt: Attempt, answer: Answer, patience: Patience) -> Outcome:
        """As `sending.Take`."""
        body = await read_whole(self._gate, asked, attempt, answer)
        patience.stop()
        await attempt.resolve(Outcome.OK)
        self.unseen = Unseen(body, attempt)
        return Outcome.OK


async def read_whole(gate: Gate, asked: Asked, attempt: Attempt, answer: Answer) -> bytes:
    """The body of an answer that came whole, metered. Raises Broken, TimedOut."""
    body = await answer.read()
    attempt.streamed = False
    attempt.mark_first_byte()
    assert attempt.passage is not None
    Heard(gate.book, asked.live.settings, asked.ask, attempt.passage, asked.target).whole(attempt, body)
    return body
