"""Relaying one streamed answer: whole events at once, the terminal event only after its post is on disk.

Comes in: an open upstream answer. Goes out: events to the client, what was seen to the attempt. Same-dialect events are relayed
unparsed; between dialects they pass through the translator.
"""

import enum
from collections.abc import Awaitable, Callable

from jevons.core.ask import Dialect
from jevons.core.limits import IN_FLIGHT_S
from jevons.core.usage import Usage
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client
from jevons.gateway.guard import Guard
from jevons.gateway.patience import Patience
from jevons.gateway.upstream import Answer
from jevons.meter.answer import searches
from jevons.meter.usage import (
    Flavour,
    chat_usage,
    merge_messages_usage,
    messages_usage,
    responses_usage,
    unusable,
    with_units,
)
from jevons.wire.reader import Reader
from jevons.wire.sse import BrokenStream, Cutter, events
from jevons.wire.translate import StreamTranslator


class End(enum.Enum):
    """How a stream ended."""

    WHOLE = "whole"
    FAILED = "failed"
    """The upstream reported an error inside the stream."""
    CUT = "cut"
    """The upstream closed without an end."""
    SHORT = "short"
    """We ended it: no more could be held."""


class Relay:
    """One stream on its way. `run` ends at the terminal event, which is kept in `terminal`."""

    def __init__(
        self,
        answer: Answer,
        attempt: Attempt,
        reader: Reader,
        client: Client,
        patience: Patience,
        begin: Callable[[], Awaitable[None]],
        translator: StreamTranslator | None,
        guard: Guard | None = None,
        hear: Callable[[bytes], None] | None = None,
    ) -> None:
        """`begin` sends the client its status and headers; it is called before the first event goes out. `hear`: told all events as they came."""
        self._guard = guard
        self._hear = hear
        self._answer = answer
        self._attempt = attempt
        self._reader = reader
        self._client = client
        self._patience = patience
        self._begin = begin
        self._translator = translator
        self._cutter = Cutter()
        self._sending = False
        self.terminal = b""

    @property
    def behind(self) -> bool:
        """The client did not take what was sent to it, so the upstream was not heard for longer than the in-flight allowance covers."""
        return self._sending and self._patience.quiet_s() > IN_FLIGHT_S

    async def run(self) -> End:
        """Raises Broken, TimedOut, BrokenStream as they come; what was relayed until then is in the attempt."""
        reader, cutter = self._reader, self._cutter
        while (chunk := await self._answer.chunk()) is not None:
            self._attempt.mark_first_byte()
            whole = cutter.feed(chunk)
            if whole and await self._pass(whole):
                return self._end()
        if (rest := cutter.rest()) and await self._pass(rest + b"\n\n"):
            return self._end()
        if reader.failed:
            return End.FAILED
        if not reader.complete:
            return End.CUT
        if self._guard is not None:
            await self._send(self._translated(self._guard.rest()))
        if self._translator is not None:
            await self._send(self._translator.finish())
            self._check_told()
            self.terminal = self._translator.take_terminal()
        return End.WHOLE

    async def _pass(self, whole: bytes) -> bool:
        """Relay a run of events; True when the terminal event was among them."""
        now, later = self._reader.feed(whole)
        self._attempt.saw(whole)
        if self._hear is not None:
            self._hear(whole)
        if self._guard is not None:
            now = await self._guard.feed(now)
            if later and not self._guard.cut:
                held, later = self._guard.end(later)
                now += held
            if self._guard.cut and self._guard.refusal is None:
                ending, later = self._guard.ending()
                now += ending
        if self._translator is not None:
            now = self._translate(now)
            if later:
                now += self._translate(later)
                later = self._translator.take_terminal()
        await self._send(now)
        self._check_told()
        self.terminal = later
        return self._reader.ended or (self._guard is not None and self._guard.cut)

    def _end(self) -> End:
        if self._guard is not None and self._guard.cut:
            return End.SHORT
        return End.FAILED if self._reader.failed else End.WHOLE

    def _translated(self, whole: bytes) -> bytes:
        return whole if self._translator is None else self._translate(whole)

    async def _send(self, data: bytes) -> None:
        if data and not self._client.gone:
            if not self._client.started:
                await self._begin()
            self._sending = True
            await self._client.body(data, more=True)
            self._sending = False
            self._patience.touch()

    def _translate(self, whole: bytes) -> bytes:
        assert self._translator is not None
        feed = self._translator.feed
        return b"".join([feed(name or None, data) for name, data, _ in events(whole)])

    def _check_told(self) -> None:
        """What cannot be told in the client's dialect is broken, unless the upstream has said so itself. Asked once what came before it is sent."""
        if self._translator is not None and self._translator.error is not None and not self._reader.failed:
            raise BrokenStream(self._translator.error[1])


def stream_usage(reader: Reader, flavour: Flavour) -> tuple[Usage | None, Usage | None]:
    """(final usage or None, usage known of the input alone or None) of what a stream has reported so far."""
    if not reader.usages:
        return None, None
    match reader.dialect:
        case Dialect.CHAT:
            usage, problems = chat_usage(reader.usages[-1], flavour)
        case Dialect.MESSAGES:
            if len(reader.usages) < 2:
                start, problems = messages_usage(reader.usages[0])
                return None, None if unusable(problems) else start
            usage, problems = merge_messages_usage(reader.usages[0], reader.usages[-1])
        case _:
            usage, problems = responses_usage(reader.usages[-1])
            usage = with_units(usage, searches(reader.items))
    return (None if unusable(problems) else usage), None
