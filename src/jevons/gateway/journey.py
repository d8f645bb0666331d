"""The journey of one model call: attempts in order until one answers, each held before it is sent and resolved once.

Comes in: a parsed request with its caller and candidates. Goes out: an answer to the client and, per attempt, one entry.
Every await here may be the last: whatever happens, the attempt is resolved in `finally`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import Outcome, request_text
from jevons.core.limits import (
    ATTEMPTS_MAX,
    COUNT_INLINE_BYTES_MAX,
    DISCONNECT_WATCH_DELAY_S,
    KEPT_ANSWER_BYTES_MAX,
    RETRY_BACKOFF_FIRST_S,
    RETRY_BACKOFF_MAX_S,
)
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.answers import Answers, Hit, Told, Wanted, ending_of
from jevons.gateway.attempt import Attempt
from jevons.gateway.checking import Nobody
from jevons.gateway.client import Client, Scope
from jevons.gateway.gate import Gate
from jevons.gateway.governor import Passage
from jevons.gateway.heard import Heard
from jevons.gateway.hits import replay
from jevons.gateway.outbound import Outgoing, headers_for
from jevons.gateway.patience import Patience
from jevons.gateway.relay import End, Relay
from jevons.gateway.reply import EVENT_STREAM, Headers, own_headers, passed_headers
from jevons.gateway.stop import Stop
from jevons.gateway.unanswered import Failed, gateway_error, refused
from jevons.gateway.upstream import Answer, Broken, NotSent, TimedOut
from jevons.gateway.upstreams import Live
from jevons.ledger.errors import LedgerUnavailable
from jevons.policy.answers import is_its_own
from jevons.policy.govern import Admit
from jevons.policy.route import Target
from jevons.wire.reader import Reader
from jevons.wire.replayed import whole_of
from jevons.wire.sse import BrokenStream
from jevons.wire.translate import BrokenAnswer, StreamTranslator, translate_answer

log = logging.getLogger("jevons.gateway")


class Aborted(Exception):
    """A begun stream broke: the door says so in the dialect's error event and closes without a clean end."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Journey:
    """One request. `run` answers the client or raises Refusal, LedgerUnavailable, Aborted."""

    def __init__(
        self,
        gate: Gate,
        lives: dict[str, Live],
        client: Client,
        scope: Scope,
        ask: Ask,
        passage: Passage,
        answers: Answers,
        wanted: Wanted | None,
    ) -> None:
        """`wanted`: it takes part in the answer cache."""
        self._nobody: Nobody | None = None
        """Its client, if it is a call of our own, to check an answer that was given."""
        self._answers = answers
        self._wanted = wanted
        self._cache = b"none" if wanted is None else b"miss"
        self._sent = False
        """An upstream has seen it."""
        self._gate = gate
        self._lives = lives
        self._client = client
        self._scope = scope
        self._ask = ask
        self._passage = passage
        self._request = passage.request
        self._stop: Stop

    async def run(self, targets: tuple[Target, ...], idempotency: tuple[bytes, bytes]) -> None:
        """Raises Refusal, LedgerUnavailable or Aborted."""
        with self._gate.governor.under_way(self._passage) as self._stop:
            if self._wanted is None:
                await self._run(targets, idempotency)
            else:
                await self._look_first(self._wanted, targets, idempotency)

    async def _look_first(self, wanted: Wanted, targets: tuple[Target, ...], idempotency: tuple[bytes, bytes]) -> None:
        """A kept answer, or one that another is just being given; else the provider's. Whoever waits for that goes on whatever comes."""
        try:
            hit = await self._answers.look(wanted)
            if hit is None or not await self._given(wanted, hit):
                with self._while_it_waits():
                    hit = await self._answers.join(wanted)
                if hit is None or not await self._given(wanted, hit):
                    await self._run(targets, idempotency)
        except asyncio.CancelledError:
            if self._stop.refusal is not None or not self._client.left():
                raise
        finally:
            gone = self._client.gone or self._stop.refusal is not None
            self._answers.release(wanted, alone=self._sent and not gone)

    async def _given(self, wanted: Wanted, hit: Hit) -> bool:
        """Give a kept answer. False: it cannot be told in this form, or not be checked. Raises Refusal, LedgerUnavailable."""
        settings = self._lives[wanted.target.upstream].settings
        given = False
        try:
            given = await replay(self._gate, self._client, settings, wanted, hit, self._comment(0), self._ask_again)
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
        nobody = Nobody()
        again = Journey(self._gate, self._lives, nobody, self._scope, self._ask, passage, self._answers, wanted.again(passage))
        again._nobody = nobody
        with self._while_it_waits():
            return await self._answers.checks.begin(again._unheard(wanted.target), nobody)

    async def _unheard(self, target: Target) -> None:
        """As `run`, for nobody: what refuses it, or breaks it off, is for the log."""
        try:
            await self.run((target,), (b"", b""))
        except (Refusal, LedgerUnavailable, Aborted) as error:
            log.info("a cached answer was not checked: %s", error)

    def _told(self, target: Target, attempt: Attempt, body: bytes) -> bytes:
        """A whole answer in the client's dialect; kept so, if it may be given again."""
        told = body
        if target.dialect is not self._ask.dialect:
            told = translate_answer(
                body,
                target.dialect,
                self._ask.dialect,
                model=self._ask.model,
                answer_id=request_text(self._request),
                created_s=int(time.time()),
            )
        if self._wanted is not None and attempt.settled is not None:
            self._answers.keep(self._wanted, ending_of(self._wanted, target, attempt, body), told, attempt.settled.usage)
        return told

    async def _run(self, targets: tuple[Target, ...], idempotency: tuple[bytes, bytes]) -> None:
        failed: Failed | None = None
        number = 0
        for target in targets:
            live = self._lives[target.upstream]
            outgoing = Outgoing(self._ask, target, live.settings)
            for retry in range(live.settings.retries + 1):
                if number >= ATTEMPTS_MAX:
                    break
                try:
                    address = await live.address()
                    attempt, verdict = await self._gate.admit(
                        self._ask,
                        self._passage,
                        target,
                        live.settings,
                        self._request + number,
                        idempotency,
                    )
                except Refusal:
                    if failed is None:
                        raise
                    break  # no money for another try, or nobody there: the last error stands
                number += 1
                try:
                    await self._attempt(live, address, target, outgoing, attempt, verdict)
                    return
                except Failed as error:
                    failed = error
                if attempt.sent:
                    idempotency = (b"", b"")  # it stands with the first attempt that an upstream may have seen
                if not failed.again:
                    await self._give_up(failed)
                    return
                if retry < live.settings.retries:
                    await asyncio.sleep(failed.after_s or _backoff(retry))
        assert failed is not None
        await self._give_up(failed)

    async def _give_up(self, failed: Failed) -> None:
        if failed.reply is None:
            assert failed.refusal is not None
            failed.refusal.spent = failed.again
            raise failed.refusal
        status, headers, body = failed.reply
        own = own_headers(self._request, failed.attempt, cost=True, cache=self._cache)
        if failed.again:
            headers = [*(pair for pair in headers if pair[0] != b"x-should-retry"), (b"x-should-retry", b"false")]
        await self._answer(status, [*headers, *own], body)

    async def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer."""
        self._gate.governor.answered(self._passage)
        await self._client.answer(status, headers, body)

    async def _attempt(
        self, live: Live, address: str, target: Target, outgoing: Outgoing, attempt: Attempt, verdict: Admit
    ) -> None:
        """Send one attempt and relay its answer. Raises Failed if the client has seen nothing of it."""
        patience = Patience()
        answer: Answer | None = None
        outcome = Outcome.ERROR
        drain = live.settings.on_disconnect == "drain"
        if self._nobody is not None:
            attempt.check = True
            self._nobody.admit()
        self._client.watch(0 if self._ask.stream else DISCONNECT_WATCH_DELAY_S)
        try:
            self._client.interrupt_on_leave(not drain)
            caching = self._gate.prefixes.plan(attempt, self._ask, outgoing)
            body = outgoing.body(verdict.output_cap, attempt.hold.output_tokens, self._passage.note, caching)
            url = live.url(address, target.dialect, target.model, self._scope["query_string"])
            same = target.dialect is self._ask.dialect
            headers = headers_for(self._scope["headers"], live.settings, same_dialect=same)
            headers += live.labels(self._ask, self._passage.caller)
            headers += await live.credential.headers("POST", url, body, self._scope["headers"])
            attempt.sent = self._sent = True
            answer = await live.upstream.send("POST", url, headers, body, patience, stream=self._ask.stream)
            attempt.status = answer.status
            if answer.status >= 300:
                raise await refused(live, target, self._ask, attempt, answer, self._client)
            if self._ask.stream and _is_stream(answer):
                outcome = await self._stream(target, attempt, answer, patience, outgoing.asks_usage)
            else:
                attempt.streamed = False
                outcome = await self._whole(target, attempt, answer)
        except NotSent as error:
            attempt.sent = False
            refusal = gateway_error(502, f"Upstream {target.upstream} cannot be reached: {error}.")
            raise await self._broken(attempt, Outcome.UNREACHABLE, refusal, again=True) from None
        except TimedOut as error:
            refusal = Refusal(Kind.TIMEOUT, 504, f"Upstream {target.upstream}: {error}.", code="upstream_timeout")
            raise await self._broken(attempt, Outcome.TIMEOUT, refusal, again=False) from None
        except (Broken, BrokenStream) as error:
            refusal = gateway_error(502, f"Upstream {target.upstream} broke off: {error}.")
            raise await self._broken(attempt, Outcome.ERROR, refusal, again=attempt.status == 0) from None
        except asyncio.CancelledError:
            outcome = Outcome.CANCELLED if attempt.sent else Outcome.VOID
            if (stopped := self._stop.was_cut()) is not None:
                raise await self._broken(attempt, Outcome.STOPPED, stopped, again=False) from None
            if not self._client.left() and not patience.expired():
                raise
        finally:
            patience.stop()
            if attempt.settled is None:
                attempt.resolve(outcome)
            if answer is not None:
                await answer.close()

    async def _whole(self, target: Target, attempt: Attempt, answer: Answer) -> Outcome:
        """A non-streamed answer: read, metered, posted, then sent."""
        body = await answer.read()
        attempt.mark_first_byte()
        self._heard(target).whole(attempt, body)
        outcome = Outcome.FREE if target.dialect is Dialect.COUNT_TOKENS else Outcome.OK
        await attempt.resolve(Outcome.CANCELLED if self._client.gone else outcome)
        if (refusal := self._gate.governor.judge_answer(self._passage, target.dialect, body)) is not None:
            raise refusal
        body = self._told(target, attempt, body)
        headers = passed_headers(answer.headers) + own_headers(self._request, attempt, cost=True, cache=self._cache)
        await self._answer(answer.status, headers, body)
        return outcome

    async def _stream(self, target: Target, attempt: Attempt, answer: Answer, patience: Patience, strip: bool) -> Outcome:
        """A streamed answer: relayed event by event; its end waits for the post."""
        reader = Reader(target.dialect, strip_usage=strip)
        translator = None
        if target.dialect is not self._ask.dialect:
            translator = StreamTranslator(
                target.dialect,
                self._ask.dialect,
                model=self._ask.model,
                answer_id=request_text(self._request),
                created_s=int(time.time()),
                include_usage=self._ask.include_usage,
            )

        async def begin() -> None:
            headers = passed_headers(answer.headers) if translator is None else [EVENT_STREAM]
            await self._client.start(answer.status, headers + own_headers(self._request, attempt, cost=False, cache=self._cache))

        guard = self._gate.guard(attempt, self._ask, target.dialect)
        told = Told() if self._wanted is not None else None
        hear = told.hear if told is not None else None
        relay = Relay(answer, attempt, reader, self._client, patience, begin, translator, guard, hear)
        try:
            end = await relay.run()
        finally:
            attempt.behind = relay.behind
            self._heard(target).stream(attempt, reader)
        if end is End.CUT:
            raise BrokenStream("the stream ended without its last event")
        if end is End.FAILED and not reader.ended:
            raise Broken("it reported an error inside the stream")
        if end is End.SHORT:
            await answer.close()  # every token from here on is paid for and read by nobody
            attempt.finish = "length"
        if guard is not None and guard.refusal is not None:
            attempt.complete = end is End.WHOLE
            raise await self._broken(attempt, Outcome.OK, guard.refusal, again=False)
        attempt.complete = end is End.WHOLE
        outcome = Outcome.ERROR if end is End.FAILED else Outcome.OK
        durable = attempt.resolve(Outcome.CANCELLED if self._client.gone else outcome)
        self._client.interrupt_on_leave(False)  # a client that closes now has had its answer
        await durable
        self._gate.governor.answered(self._passage)
        if told is not None and end is End.WHOLE:
            await self._keep(target, attempt, told.events)
        if not self._client.started:
            await begin()
        comment = self._comment(attempt.settled.billed_nusd) if attempt.settled is not None else b""
        await self._client.body(comment + relay.terminal, more=False)
        if not relay.terminal or end is End.SHORT:
            return outcome
        await self._finish_reading(answer)
        return outcome

    async def _keep(self, target: Target, attempt: Attempt, events: bytes) -> None:
        """A stream that was told to its end, put together; a long one in a thread."""
        assert self._wanted is not None
        if not events or not is_its_own(ending_of(self._wanted, target, attempt, b"")):
            return
        inline = len(events) <= COUNT_INLINE_BYTES_MAX
        try:
            whole = whole_of(target.dialect, events) if inline else await asyncio.to_thread(whole_of, target.dialect, events)
            if len(whole) <= KEPT_ANSWER_BYTES_MAX:
                self._told(target, attempt, whole)
        except (BrokenAnswer, Refusal) as error:
            log.info("the stream of %s is not kept: %s", request_text(self._request), error)

    async def _finish_reading(self, answer: Answer) -> None:
        """Read the few bytes after the terminal event, so that the connection can be used again."""
        try:
            async with asyncio.timeout(1.0):
                while await answer.chunk() is not None:
                    pass
        except (TimeoutError, Broken):
            pass

    def _heard(self, target: Target) -> Heard:
        return Heard(self._gate.book, self._lives[target.upstream].settings, self._ask, self._passage, target)

    def _comment(self, cost_nusd: int) -> bytes:
        wanted = any(name == b"x-jevons-stream-cost" and value == b"1" for name, value in self._scope["headers"])
        return f": jevons-cost-nusd={cost_nusd}\n\n".encode() if wanted else b""

    async def _broken(self, attempt: Attempt, outcome: Outcome, refusal: Refusal, *, again: bool) -> Exception:
        """What a broken attempt raises once its post is on disk: another try while the client has seen nothing, else the end of a begun stream."""
        if attempt.settled is None:
            attempt.resolve(outcome)
        assert attempt.durable is not None
        if not attempt.durable.cancelled():  # by a kill that came while it was waited for; the post is made all the same
            await attempt.durable
        if self._client.started:
            return Aborted(refusal)
        return Failed(refusal, None, attempt, again=again and not self._client.gone)


def _is_stream(answer: Answer) -> bool:
    """Some upstreams answer a streamed request whole; then they say that it is JSON. A packed answer cannot be relayed by events."""
    for name, value in answer.headers:
        if name == "content-type" and value.startswith("application/json"):
            return False
        if name == "content-encoding" and value != "identity":
            return False
    return True


def _backoff(retry: int) -> float:
    """Exponential with full jitter, seconds."""
    return random.uniform(0.5, 1.0) * min(RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_FIRST_S * float(2**retry))
