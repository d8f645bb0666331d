"""One attempt on its way: sent, its answer handed to whoever takes it, and settled whatever happens.

Comes in: an attempt whose hold is on disk. Goes out: nothing, or what became of it: Failed while the client has seen nothing, Aborted once it has.
Every await here may be the last: the attempt is resolved in `finally`. Does not know: which attempt it is, what is made of the answer.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from jevons.core.ask import Ask
from jevons.core.entry import Outcome
from jevons.core.limits import DISCONNECT_WATCH_DELAY_S
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client, Scope
from jevons.gateway.gate import Gate
from jevons.gateway.outbound import Outgoing, headers_for
from jevons.gateway.passage import Passage
from jevons.gateway.patience import Patience
from jevons.gateway.stop import Stop
from jevons.gateway.unanswered import Failed, gateway_error, refused
from jevons.gateway.upstream import Answer, Broken, NotSent, TimedOut
from jevons.gateway.upstreams import Live
from jevons.policy.govern import Admit
from jevons.policy.route import Target
from jevons.wire.sse import BrokenStream


class Aborted(Exception):
    """A begun stream broke: the door says so in the dialect's error event and closes without a clean end."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Asked(NamedTuple):
    """What is asked of whom."""

    ask: Ask
    target: Target
    live: Live
    outgoing: Outgoing
    most_s: float = math.inf
    """So long the whole answer may take."""
    credential: int = 0
    """Place among the upstream's."""


Take = Callable[[Asked, Attempt, Answer, Patience], Awaitable[Outcome]]
"""What is done with an answer that has begun: read, resolve the attempt, show it or not. Returns how it ended."""


class Sender:
    """Sends the attempts of one request."""

    def __init__(self, gate: Gate, client: Client, scope: Scope, passage: Passage, stop: Stop, *, beside: bool = False) -> None:
        """`beside`: its task is not the one that the client's leaving concerns."""
        self._beside = beside
        self._gate = gate
        self._client = client
        self._scope = scope
        self.passage = passage
        self._stop = stop
        self.sent = False
        """An upstream has seen the request."""

    @property
    def client_gone(self) -> bool:
        return self._client.gone

    def beside(self) -> "Sender":
        """What sends another attempt at the same time, in a task of its own."""
        return Sender(self._gate, self._client, self._scope, self.passage, self._stop, beside=True)

    async def send(self, asked: Asked, address: str, attempt: Attempt, verdict: Admit, take: Take) -> None:
        """Raises Failed if the client has seen nothing of it, Aborted if it has."""
        ask, target, live, outgoing = asked.ask, asked.target, asked.live, asked.outgoing
        credential = live.credentials[asked.credential]
        patience = Patience(asked.most_s)
        answer: Answer | None = None
        outcome: Outcome | None = None
        drain = live.settings.on_disconnect == "drain"
        self._client.watch(0 if ask.stream else DISCONNECT_WATCH_DELAY_S)
        try:
            if not self._beside:
                self._client.interrupt_on_leave(not drain)
            caching = self._gate.prefixes.plan(attempt, ask, outgoing)
            body = outgoing.body(verdict.output_cap, attempt.hold.output_tokens, self.passage.note, caching)
            url = live.url(address, target.dialect, target.model, self._scope["query_string"])
            headers = headers_for(self._scope["headers"], live.settings, same_dialect=target.dialect is ask.dialect)
            headers += live.labels(ask, self.passage.caller)
            headers += await credential.headers("POST", url, body, self._scope["headers"])
            attempt.sent = self.sent = True
            attempt.sent_s = time.monotonic()
            answer = await live.upstream.send("POST", url, headers, body, patience, stream=ask.stream)
            attempt.status = answer.status
            if answer.status >= 300:
                raise await refused(live, credential, target, ask, attempt, answer, self._client)
            outcome = await take(asked, attempt, answer, patience)
        except Refusal as error:
            if attempt.sent:
                raise
            outcome = Outcome.VOID if live.settings.is_clients else Outcome.UNREACHABLE  # there is no credential to send
            raise await self.broken(attempt, outcome, error, again=False, elsewhere=True) from None
        except NotSent as error:
            attempt.sent = False
            refusal = gateway_error(502, f"Upstream {target.upstream} cannot be reached: {error}.")
            raise await self.broken(attempt, Outcome.UNREACHABLE, refusal, again=True) from None
        except TimedOut as error:
            refusal = Refusal(Kind.TIMEOUT, 504, f"Upstream {target.upstream}: {error}.", code="upstream_timeout")
            raise await self.broken(attempt, Outcome.TIMEOUT, refusal, again=False, elsewhere=True) from None
        except (Broken, BrokenStream) as error:
            refusal = gateway_error(502, f"Upstream {target.upstream} broke off: {error}.")
            raise await self.broken(attempt, Outcome.ERROR, refusal, again=attempt.status == 0, elsewhere=True) from None
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED if attempt.sent else Outcome.VOID
            if (stopped := self._stop.was_cut()) is not None:
                raise await self.broken(attempt, Outcome.STOPPED, stopped, again=False) from None
            if not self._client.left() and not patience.expired():
                raise
        finally:
            patience.stop()
            if attempt.settled is None:
                attempt.resolve(outcome or (Outcome.ERROR if attempt.sent else Outcome.VOID))
            if answer is not None:
                await answer.close()

    async def broken(
        self, attempt: Attempt, outcome: Outcome, refusal: Refusal, *, again: bool, elsewhere: bool = False
    ) -> Exception:
        """What a broken attempt raises once its post is on disk: another try while the client has seen nothing, else the end of a begun stream."""
        if attempt.settled is None:
            attempt.resolve(outcome)
        assert attempt.durable is not None
        if not attempt.durable.cancelled():  # by a kill that came while it was waited for; the post is made all the same
            await attempt.durable
        if self._client.started:
            return Aborted(refusal)
        there = not self._client.gone
        return Failed(refusal, None, attempt, again=again and there, elsewhere=elsewhere and there)
