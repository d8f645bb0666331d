"""The journey of one model call: a kept answer, or a cascade's small model, or attempts in order until one answers.

Comes in: a parsed request with its caller and its way. Goes out: an answer to the client and, per attempt, one entry. Does not know: how an attempt is
sent (`gateway.sending`), tried again (`gateway.tries`) and shown (`gateway.showing`).
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask
from jevons.core.entry import Outcome
from jevons.core.limits import CASCADE_TRY_MAX_S, DISCONNECT_WATCH_DELAY_S
from jevons.core.refusal import Refusal
from jevons.core.routed import Role
from jevons.gateway.answers import Answers, Hit, Wanted
from jevons.gateway.attempt import Attempt
from jevons.gateway.checking import Nobody
from jevons.gateway.client import Client, Scope
from jevons.gateway.gate import Gate
from jevons.gateway.hits import replay
from jevons.gateway.passage import Passage
from jevons.gateway.patience import Patience
from jevons.gateway.routing import Way
from jevons.gateway.sending import Aborted, Asked, Sender
from jevons.gateway.showing import After, Showing, cost_comment
from jevons.gateway.spots import Spots
from jevons.gateway.stop import Stop
from jevons.gateway.tries import Tries
from jevons.gateway.unanswered import Failed
from jevons.gateway.unseen import Judge, Tried, read_whole, whole_ask
from jevons.gateway.upstream import Answer
from jevons.gateway.upstreams import Live
from jevons.ledger.errors import LedgerUnavailable
from jevons.wire.translate import BrokenAnswer

__all__ = ["Aborted", "Journey", "Parts"]

log = logging.getLogger("jevons.gateway")


class Parts(NamedTuple):
    """What all journeys share."""

    gate: Gate
    lives: dict[str, Live]
    answers: Answers
    spots: Spots
    judge: Judge | None = None
    """Of cascades."""
    after: tuple[After, ...] = ()
    """Told of every answer that a client was given whole."""


class Journey:
    """One request. `run` answers the client or raises Refusal, LedgerUnavailable, Aborted."""

    def __init__(
        self, parts: Parts, client: Client, scope: Scope, ask: Ask, passage: Passage, way: Way, wanted: Wanted | None
    ) -> None:
        """`wanted`: it takes part in the answer cache."""
        self._nobody: Nobody | None = None
        """Its client, if it is a call of our own, to check an answer that was given."""
        self._parts = parts
        self._gate = parts.gate
        self._answers = parts.answers
        self._wanted = wanted
        self._client = client
        self._scope = scope
        self._ask = ask
        self._passage = passage
        self._way = way
        self._sender: Sender | None = None
        self._stop: Stop

    async def run(self, idempotency: tuple[bytes, bytes]) -> None:
        """Raises Refusal, LedgerUnavailable or Aborted."""
        with self._gate.governor.under_way(self._passage) as self._stop:
            if self._wanted is None:
                await self._run(idempotency)
            else:
                await self._look_first(self._wanted, idempotency)

    async def _look_first(self, wanted: Wanted, idempotency: tuple[bytes, bytes]) -> None:
        """A kept answer, or one that another is just being given; else the provider's. Whoever waits for that goes on whatever comes."""
        try:
            hit = await self._answers.look(wanted)
            if hit is None or not await self._given(wanted, hit):
                with self._while_it_waits():
                    hit = await self._answers.join(wanted)
                if hit is None or not await self._given(wanted, hit):
                    await self._run(idempotency)
        except asyncio.CancelledError:
            if self._stop.refusal is not None or not self._client.left():
                raise
        finally:
            gone = self._client.gone or self._stop.refusal is not None
            self._answers.release(wanted, alone=self._sender is not None and self._sender.sent and not gone)

    async def _given(self, wanted: Wanted, hit: Hit) -> bool:
        """Give a kept answer. False: it cannot be told in this form, or not be checked. Raises Refusal, LedgerUnavailable."""
        settings = self._parts.lives[wanted.target.upstream].settings
        given = False
        try:
            given = await replay(self._gate, self._client, settings, wanted, hit, cost_comment(self._scope, 0), self._ask_again)
        finally:
            if not given:
                self._answers.not_given(wanted, hit)
        return given

    @contextmanager
    def _while_it_waits(self) -> Iterator[None]:
        """What is waited for in here is given up when the client leaves."""
        self._client.watch(0 if self._ask.stream else DISCONNECT_WATCH_DELAY_S)
        self._client.interrupt_on_leave(True)
        yield
        self._client.interrupt_on_leave(False)

    async def _ask_again(self, wanted: Wanted) -> bool:
        """Ask the provider behind the client's back. False: it is refused, or too much is asked already; then the client's own call is the check."""
        if self._answers.checks.full:
            return False
        passage = self._gate.governor.enter_again(self._passage, self._gate.ledger.next_request(int(time.time() * 1000)))
        nobody, way = Nobody(), Way((wanted.target,), self._way.routed)
        again = Journey(self._parts._replace(after=()), nobody, self._scope, self._ask, passage, way, wanted.again(passage))
        again._nobody = nobody
        with self._while_it_waits():
            return await self._answers.checks.begin(again._unheard(), nobody)

    async def _unheard(self) -> None:
        """As `run`, for nobody: what refuses it, or breaks it off, is for the log."""
        try:
            await self.run((b"", b""))
        except (Refusal, LedgerUnavailable, Aborted) as error:
            log.info("a cached answer was not checked: %s", error)

    async def _run(self, idempotency: tuple[bytes, bytes]) -> None:
        """Ask the models of the way."""
        parts, way, nobody = self._parts, self._way, self._nobody
        sender = self._sender = Sender(parts.gate, self._client, self._scope, self._passage, self._stop)
        showing = Showing(
            parts.gate, self._client, self._scope, self._ask, self._passage, way, parts.answers, self._wanted, sender, parts.after
        )
        role, admitted = (Role.ANSWER, None) if nobody is None else (Role.CHECK, nobody.admit)
        tries = Tries(parts.gate, parts.spots, sender, way.routed, idempotency, role=role, admitted=admitted)
        try:
            targets = way.targets
            if way.cascade and parts.judge is not None and len(targets) > 1:
                if await self._small_first(tries, showing, parts.judge):
                    return
                targets = targets[1:]
            await tries.run(self._ask, targets, showing.take)
        except Failed as failed:
            failed.__traceback__ = None  # its frames hold it, and the whole request besides, until a collection
            await self._give_up(failed, showing)
        finally:
            if way.cascade and parts.judge is not None:
                parts.judge.forget(self._passage.request)

    async def _small_first(self, tries: Tries, showing: Showing, judge: Judge) -> bool:
        """Ask the small model of a cascade. True: its answer was good enough, and the client has it; or the client has left."""
        target = self._way.targets[0]
        small = Small(self, showing, judge)
        try:
            members = judge.members(self._ask, self._way, target)
            await tries.once(whole_ask(self._ask), target, small.take, Role.CASCADE, members=members, most_s=CASCADE_TRY_MAX_S)
        except Failed as failed:
            log.info("the small model of a cascade did not answer: %s", failed.refusal or failed.attempt.status)
            if self._stop.refusal is not None:
                raise
        except Refusal:
            if small.begun or self._stop.refusal is not None:
                raise
        return small.shown or self._client.gone

    async def _give_up(self, failed: Failed, showing: Showing) -> None:
        if failed.reply is None:
            assert failed.refusal is not None
            failed.refusal.spent = failed.again
            raise failed.refusal
        status, headers, body = failed.reply
        if failed.again:
            headers = [*(pair for pair in headers if pair[0] != b"x-should-retry"), (b"x-should-retry", b"false")]
        await showing.error(status, headers, body, failed.attempt)


class Small:
    """Takes the small model's answer in a cascade: judges it before anybody has seen it."""

    def __init__(self, journey: Journey, showing: Showing, judge: Judge) -> None:
        self._journey = journey
        self._showing = showing
        self._judge = judge
        self.begun = False
        """There is an answer."""
        self.shown = False

    async def take(self, asked: Asked, attempt: Attempt, answer: Answer, patience: Patience) -> Outcome:
        """As `sending.Take`."""
        journey = self._journey
        gate, passage = journey._gate, journey._passage
        body = await read_whole(gate, asked, attempt, answer)
        patience.stop()
        self.begun = True
        tried = Tried(journey._ask, passage, journey._scope, journey._way, asked.target, attempt, body)
        judged, form = await self._judge.judge(tried), None
        if judged.shown:
            try:
                form = self._showing.form(asked.target, judged.body)
            except BrokenAnswer as error:
                log.info("the small model's answer cannot be told as it was asked for: %s", error)
        if attempt.routed is not None:
            attempt.routed = msgspec.structs.replace(attempt.routed, confidence=judged.confidence)
        if form is not None:
            attempt.role, attempt.shown = Role.ANSWER, True
        await attempt.resolve(Outcome.CANCELLED if journey._client.gone else Outcome.OK)
        if form is not None:
            if (refusal := gate.governor.judge_answer(passage, asked.target.dialect, judged.body)) is not None:
                raise refusal
            self.shown = True
            await self._showing.show(asked, attempt, answer, judged.body, form)
        return Outcome.OK
