"""An answer that is shown to the client: whole, or relayed event by event; metered in passing, its post on disk before its end.

Comes in: an upstream's answer that has begun. Goes out: the same to the client, in its dialect; kept for others, if it may be given again; and whole
to whoever wants to look at it afterwards. Does not know: attempts before and after it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import Outcome, request_text
from jevons.core.limits import COUNT_INLINE_BYTES_MAX, KEPT_ANSWER_BYTES_MAX
from jevons.core.refusal import Refusal
from jevons.gateway.answers import Answers, Told, Wanted, ending_of
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client, Scope
from jevons.gateway.gate import Gate
from jevons.gateway.heard import Heard
from jevons.gateway.passage import Passage
from jevons.gateway.patience import Patience
from jevons.gateway.relay import End, Relay
from jevons.gateway.reply import EVENT_STREAM, Headers, own_headers, passed_headers
from jevons.gateway.routing import Way
from jevons.gateway.sending import Asked, Sender
from jevons.gateway.upstream import Answer, Broken
from jevons.policy.answers import is_its_own
from jevons.policy.route import Target
from jevons.wire.reader import Reader
from jevons.wire.replayed import stream_of, whole_of
from jevons.wire.sse import BrokenStream
from jevons.wire.translate import BrokenAnswer, StreamTranslator, translate_answer

log = logging.getLogger("jevons.gateway")


class Given(NamedTuple):
    """What a client was given, once it is whole and posted."""

    ask: Ask
    passage: Passage
    scope: Scope
    way: Way
    target: Target
    attempt: Attempt
    """Settled."""
    body: bytes
    """The whole answer in the target's dialect, also of a stream."""


class Shown(NamedTuple):
    """A whole answer in the form that was asked for."""

    told: bytes
    """The body, or all events of a stream but its last."""
    terminal: bytes


After = Callable[[Given], None]
"""Told of every answer that a client was given whole. Synchronous, quick, raises nothing."""


class Listener(Protocol):
    """Looks at some answers after their clients have them."""

    def wants(self, passage: Passage, way: Way) -> bool:
        """Is it to be told of this request's answer? Streams are put together for nobody else."""
        ...

    def given(self, given: Given) -> None:
        """As `After`."""
        ...

    async def close(self) -> None:
        """Serving has ended."""
        ...


class Showing:
    """Shows one request's answer to its client."""

    def __init__(
        self,
        gate: Gate,
        client: Client,
        scope: Scope,
        ask: Ask,
        passage: Passage,
        way: Way,
        answers: Answers,
        wanted: Wanted | None,
        sender: Sender,
        after: tuple[After, ...],
    ) -> None:
        """`wanted`: it takes part in the answer cache."""
        self._gate = gate
        self._client = client
        self._scope = scope
        self._ask = ask
        self._passage = passage
        self._way = way
        self._answers = answers
        self._wanted = wanted
        self._sender = sender
        self._after = after
        self._cache = b"none" if wanted is None else b"miss"

    async def take(self, asked: Asked, attempt: Attempt, answer: Answer, patience: Patience) -> Outcome:
        """As `sending.Take`."""
        if self._ask.stream and _is_stream(answer):
            return await self._stream(asked, attempt, answer, patience)
        attempt.streamed = False
        return await self._whole(asked, attempt, answer)

    async def error(self, status: int, headers: Headers, body: bytes, attempt: Attempt) -> None:
        """An upstream's error, in its own words."""
        await self._answer(status, [*headers, *own_headers(self._passage.request, attempt, cost=True, cache=self._cache)], body)

    def form(self, target: Target, body: bytes) -> Shown:
        """A whole answer as the client asked for it. Raises BrokenAnswer, Refusal."""
        told = self._told(target, body)
        if not self._ask.stream:
            return Shown(told, b"")
        return Shown(*stream_of(self._ask.dialect, told, include_usage=self._ask.include_usage))

    async def show(self, asked: Asked, attempt: Attempt, answer: Answer, body: bytes, shown: Shown) -> None:
        """A whole answer that was read, judged and posted, in its form."""
        own = own_headers(self._passage.request, attempt, cost=True, cache=self._cache)
        if not self._ask.stream:
            await self._answer(answer.status, passed_headers(answer.headers) + own, shown.told)
        else:
            self._gate.governor.answered(self._passage)
            await self._client.start(200, [EVENT_STREAM, *own])
            await self._client.body(shown.told + self._comment(attempt) + shown.terminal, more=False)
        self._given(asked.target, attempt, body)

    async def _whole(self, asked: Asked, attempt: Attempt, answer: Answer) -> Outcome:
        """A non-streamed answer: read, metered, posted, then sent."""
        target = asked.target
        body = await answer.read()
        attempt.mark_first_byte()
        self._heard(asked).whole(attempt, body)
        if attempt.on_show is not None:
            attempt.on_show()
        attempt.shown = True
        outcome = Outcome.FREE if target.dialect is Dialect.COUNT_TOKENS else Outcome.OK
        await attempt.resolve(Outcome.CANCELLED if self._client.gone else outcome)
        if (refusal := self._gate.governor.judge_answer(self._passage, target.dialect, body)) is not None:
            raise refusal
        told = self._told(target, body)
        self._kept(target, attempt, body, told)
        headers = passed_headers(answer.headers) + own_headers(self._passage.request, attempt, cost=True, cache=self._cache)
        await self._answer(answer.status, headers, told)
        self._given(target, attempt, body)
        return outcome

    async def _stream(self, asked: Asked, attempt: Attempt, answer: Answer, patience: Patience) -> Outcome:
        """A streamed answer: relayed event by event; its end waits for the post."""
        target, client = asked.target, self._client
        reader = Reader(target.dialect, strip_usage=asked.outgoing.asks_usage)
        translator = self._translator(target)

        async def begin() -> None:
            if attempt.on_show is not None:
                attempt.on_show()
            attempt.shown = True
            headers = passed_headers(answer.headers) if translator is None else [EVENT_STREAM]
            own = own_headers(self._passage.request, attempt, cost=False, cache=self._cache)
            await client.start(answer.status, headers + own)

        guard = self._gate.guard(attempt, self._ask, target.dialect)
        told = Told() if self._wanted is not None or self._after else None
        hear = told.hear if told is not None else None
        relay = Relay(answer, attempt, reader, client, patience, begin, translator, guard, hear)
        try:
            end = await relay.run()
        finally:
            attempt.behind = relay.behind
            self._heard(asked).stream(attempt, reader)
        if end is End.CUT:
            raise BrokenStream("the stream ended without its last event")
        if end is End.FAILED and not reader.ended:
            raise Broken("it reported an error inside the stream")
        if end is End.SHORT:
            await answer.close()  # every token from here on is paid for and read by nobody
            attempt.finish = "length"
        attempt.complete = end is End.WHOLE
        if guard is not None and guard.refusal is not None:
            raise await self._sender.broken(attempt, Outcome.OK, guard.refusal, again=False)
        outcome = Outcome.ERROR if end is End.FAILED else Outcome.OK
        durable = attempt.resolve(Outcome.CANCELLED if client.gone else outcome)
        client.interrupt_on_leave(False)  # a client that closes now has had its answer
        await durable
        self._gate.governor.answered(self._passage)
        body = b""
        if told is not None and end is End.WHOLE and self._keeps(target, attempt):
            body = await self._put_together(target.dialect, told.events)  # before its end: others wait for it
            self._keep(target, attempt, body)
        if not client.started:
            await begin()
        await client.body(self._comment(attempt) + relay.terminal, more=False)
        if relay.terminal and end is not End.SHORT:
            await self._finish_reading(answer)
        if told is not None and end is End.WHOLE and self._after:
            self._given(target, attempt, body or await self._put_together(target.dialect, told.events))
        return outcome

    def _translator(self, target: Target) -> StreamTranslator | None:
        if target.dialect is self._ask.dialect:
            return None
        return StreamTranslator(
            target.dialect,
            self._ask.dialect,
            model=self._ask.model,
            answer_id=request_text(self._passage.request),
            created_s=int(time.time()),
            include_usage=self._ask.include_usage,
        )

    def _told(self, target: Target, body: bytes) -> bytes:
        """A whole answer in the client's dialect. Raises BrokenAnswer."""
        if target.dialect is self._ask.dialect:
            return body
        return translate_answer(
            body,
            target.dialect,
            self._ask.dialect,
            model=self._ask.model,
            answer_id=request_text(self._passage.request),
            created_s=int(time.time()),
        )

    def _keeps(self, target: Target, attempt: Attempt) -> bool:
        """May what a stream told be kept for others?"""
        return self._wanted is not None and is_its_own(ending_of(self._wanted, target, attempt, b""))

    def _keep(self, target: Target, attempt: Attempt, body: bytes) -> None:
        """What a stream told, for others."""
        try:
            if body and len(body) <= KEPT_ANSWER_BYTES_MAX:
                self._kept(target, attempt, body, self._told(target, body))
        except (BrokenAnswer, Refusal) as error:
            log.info("the stream of %s is not kept: %s", request_text(self._passage.request), error)

    def _kept(self, target: Target, attempt: Attempt, body: bytes, told: bytes) -> None:
        """Kept in the client's dialect, if it may be given again."""
        if self._wanted is not None and attempt.settled is not None:
            self._answers.keep(self._wanted, ending_of(self._wanted, target, attempt, body), told, attempt.settled.usage)

    async def _put_together(self, dialect: Dialect, events: bytes) -> bytes:
        """A stream as the whole answer that it tells; a long one in a thread. b"": it cannot be told whole, or is too long."""
        if not events:
            return b""
        try:
            if len(events) <= COUNT_INLINE_BYTES_MAX:
                return whole_of(dialect, events)
            return await asyncio.to_thread(whole_of, dialect, events)
        except (BrokenAnswer, Refusal) as error:
            log.info("the stream of %s is not put together: %s", request_text(self._passage.request), error)
            return b""

    def _given(self, target: Target, attempt: Attempt, body: bytes) -> None:
        """Its client has it: whoever wants to look at it may."""
        if body:
            for after in self._after:
                after(Given(self._ask, self._passage, self._scope, self._way, target, attempt, body))

    async def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer."""
        self._gate.governor.answered(self._passage)
        await self._client.answer(status, headers, body)

    async def _finish_reading(self, answer: Answer) -> None:
        """Read the few bytes after the terminal event, so that the connection can be used again."""
        try:
            async with asyncio.timeout(1.0):
                while await answer.chunk() is not None:
                    pass
        except (TimeoutError, Broken):
            pass

    def _heard(self, asked: Asked) -> Heard:
        return Heard(self._gate.book, asked.live.settings, asked.ask, self._passage, asked.target)

    def _comment(self, attempt: Attempt) -> bytes:
        return cost_comment(self._scope, attempt.settled.billed_nusd) if attempt.settled is not None else b""


def cost_comment(scope: Scope, cost_nusd: int) -> bytes:
    """What a stream says of its cost before its end, if its client wants to know."""
    wanted = any(name == b"x-jevons-stream-cost" and value == b"1" for name, value in scope["headers"])
    return f": jevons-cost-nusd={cost_nusd}\n\n".encode() if wanted else b""


def _is_stream(answer: Answer) -> bool:
    """Some upstreams answer a streamed request whole; then they say that it is JSON. A packed answer cannot be relayed by events."""
    for name, value in answer.headers:
        if name == "content-type" and value.startswith("application/json"):
            return False
        if name == "content-encoding" and value != "identity":
            return False
    return True
