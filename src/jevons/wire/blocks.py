"""Cuts a relayed stream at its tool calls: what stands outside of them passes at once, a call is held until it is complete.

Comes in: runs of whole events (wire.sse.Cutter). Goes out: the same bytes in the same order, as segments; one that holds calls comes
with what they say, so that they can be judged before the client sees a byte of them. Runs without a call cost a substring
search or two. Does not know: what is allowed. What may hold a call and cannot be read breaks the stream.
"""

from collections.abc import Callable

import msgspec

from jevons.core.ask import Dialect
from jevons.core.limits import CALL_BYTES_MAX
from jevons.wire.body import BAD_JSON
from jevons.wire.open_calls import ChatCalls, MessagesCalls, OpenCalls, ResponsesCalls, Step
from jevons.wire.sse import BrokenStream, events
from jevons.wire.tool_calls import ToolCall, calls_in

__all__ = ["Blocks", "Segment", "ToolCall", "calls_in"]


class Segment(msgspec.Struct, frozen=True):
    """A piece of the stream that is judged as one."""

    raw: bytes
    calls: tuple[ToolCall, ...] = ()
    """All calls that these bytes make; several where they are interleaved."""
    inside: bool = False
    """The stream ended inside of a call."""


_OPEN_CALLS: dict[Dialect, Callable[[], OpenCalls]] = {
    Dialect.CHAT: ChatCalls,
    Dialect.MESSAGES: MessagesCalls,
    Dialect.RESPONSES: ResponsesCalls,
}


class Blocks:
    """One stream. `feed` each run once, in order; then ask for the `rest`."""

    def __init__(self, dialect: Dialect) -> None:
        """Chat, Responses or Messages."""
        self._calls = _OPEN_CALLS[dialect]()
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def holding(self) -> bool:
        """Bytes are kept back: the stream is inside of a call."""
        return bool(self._held)

    def feed(self, whole: bytes) -> list[Segment]:
        """What can go on now. Raises BrokenStream: a call that is endless, or an event that may hold one and cannot be read."""
        opened = self._calls
        if not self._held and not opened.marked(whole):
            return [Segment(whole)] if whole else []
        segments: list[Segment] = []
        passing: list[bytes] = []
        for name, data, raw in events(whole):
            step = self._read(name, data)
            if step.before:
                segments.append(self._give(step.before))
            if not step.part:
                passing.append(raw)
                continue
            if passing:
                segments.append(Segment(b"".join(passing)))
                passing = []
            self._hold(raw)
            if not opened.open:
                segments.append(self._give(step.calls))
        if passing:
            segments.append(Segment(b"".join(passing)))
        return segments

    def rest(self) -> Segment:
        """What is still held when the stream has ended; its `raw` is empty if that is nothing."""
        calls, inside = self._calls.rest()
        segment = self._give(calls)
        return Segment(segment.raw, calls, inside)

    def _read(self, name: str, data: bytes) -> Step:
        opened = self._calls
        if not data or not (opened.open or opened.marked(data)):
            return Step(part=opened.open)
        try:
            return opened.read(name, data)
        except BAD_JSON as error:
            raise BrokenStream(f"an event that may hold a tool call cannot be read: {error}") from None

    def _hold(self, raw: bytes) -> None:
        self._held.append(raw)
        self._held_bytes += len(raw)
        if self._held_bytes > CALL_BYTES_MAX:
            raise BrokenStream(f"one tool call is larger than {CALL_BYTES_MAX} bytes")

    def _give(self, calls: tuple[ToolCall, ...]) -> Segment:
        raw = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        return Segment(raw, calls)
