"""What stands between an upstream's stream and the client where a caller is governed more closely: tool calls are judged whole, and a
packed hold grows before more is relayed.

Comes in: runs of whole events. Goes out: what may be relayed, and the end of an answer that is cut. Does not know: rules, money.
"""

from collections.abc import Callable

from jevons.core.ask import Dialect
from jevons.core.refusal import Refusal
from jevons.gateway.growing import Growing
from jevons.wire.blocks import Blocks
from jevons.wire.cut import Ending
from jevons.wire.tool_calls import ToolCall

Judge = Callable[[ToolCall], Refusal | None]


class Guard:
    """One stream."""

    def __init__(self, dialect: Dialect, judge: Judge | None, growing: Growing | None, ending: Ending) -> None:
        """`ending`: in the upstream's dialect, how its answer is ended if it must be cut."""
        self._dialect = dialect
        self._judge = judge
        self._growing = growing
        self._blocks = Blocks(dialect)
        self._ending = ending
        self.refusal: Refusal | None = None
        """Why a tool call of the answer is not relayed. What comes after it is read for its usage, and not relayed either."""
        self.cut = False
        """No more could be held: the answer ends here."""

    async def feed(self, whole: bytes) -> bytes:
        """What may be relayed of these events and of those held back."""
        if not await self._covers(whole):
            return b""
        passed: list[bytes] = []
        for segment in self._blocks.feed(whole):
            if not self._passes(segment.raw, segment.calls):
                break
            passed.append(segment.raw)
        return b"".join(passed)

    def rest(self) -> bytes:
        """What was held back when the stream ended."""
        segment = self._blocks.rest()
        return segment.raw if segment.raw and self._passes(segment.raw, segment.calls) else b""

    def end(self, later: bytes) -> tuple[bytes, bytes]:
        """(what was held back, the stream's last events): both may be relayed. A Responses stream says its calls again at the end, or only there."""
        segments = [*self._blocks.feed(later), self._blocks.rest()]
        raw = b"".join([segment.raw for segment in segments])
        calls = tuple([call for segment in segments for call in segment.calls])
        held = raw.removesuffix(later)
        return (held, later) if self._passes(held, calls) else (b"", b"")

    def ending(self) -> tuple[bytes, bytes]:
        """(events, terminal event) that end an answer which was cut, in the upstream's dialect."""
        assert self._growing is not None
        usage = self._growing.usage
        return self._ending.length(usage.output, usage)

    async def _covers(self, whole: bytes) -> bool:
        """Hold for what has arrived, relayed or not: it is billed. What is held back of a call when that fails is not relayed."""
        if self._growing is not None and not self.cut and not await self._growing.cover(self._dialect, whole):
            self.cut = True
        return not self.cut

    def _passes(self, raw: bytes, calls: tuple[ToolCall, ...]) -> bool:
        if self.refusal is not None or self.cut:
            return False
        if self._judge is not None:
            for call in calls:
                self.refusal = self.refusal or self._judge(call)
            if self.refusal is not None:
                return False
        if self._growing is not None:
            self._growing.framed(len(calls))
            self._ending.saw(raw)
        return True
