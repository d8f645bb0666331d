"""A packed hold while its answer grows: more is held, durably, before more is relayed.

Comes in: events as they arrive, relayed at once or held back. Goes out: is there a hold for them? Does not know: how a stream is ended.
What is promised of it: docs/governor.md, "Holds".
"""

from jevons.core.ask import Dialect
from jevons.core.limits import CALL_FRAME_TOKENS, IN_FLIGHT_OUTPUT_TOKENS
from jevons.core.usage import Usage
from jevons.gateway.attempt import Attempt
from jevons.ledger.ledger import Ledger
from jevons.meter.models import ModelFacts
from jevons.meter.tokens import count_text
from jevons.policy.govern import Terms, more_output
from jevons.policy.packed import growth
from jevons.wire.visible import visible_text


class Growing:
    """One answer under a packed hold."""

    def __init__(self, ledger: Ledger, attempt: Attempt, terms: Terms, cap: int, about: ModelFacts) -> None:
        """`cap`: the output cap that the upstream was told."""
        self._ledger = ledger
        self._attempt = attempt
        self._terms = terms
        self._cap = cap
        self._about = about
        self._counted = 0
        """Tokens of the answer, as far as we can tell."""
        self._most = 0
        """The same at most: its tokenizer may not be known, and calls have frames."""
        self._text: list[str] = []
        self._bytes = 0
        """Of the text that is not counted yet: it has at most so many tokens."""

    @property
    def usage(self) -> Usage:
        """By our own count, as an answer that is cut reports it."""
        return Usage(input=self._attempt.hold.input_tokens, output=self._counted)

    def framed(self, calls: int) -> None:
        """So many tool calls were among the events."""
        self._most += calls * CALL_FRAME_TOKENS

    async def cover(self, dialect: Dialect, whole: bytes) -> bool:
        """Hold enough for these events too. False: there is no more to hold, and the answer ends before them."""
        text = visible_text(dialect, whole)
        self._text.append(text)
        self._bytes += len(text.encode())
        if self._most + self._bytes + IN_FLIGHT_OUTPUT_TOKENS <= self._attempt.hold.output_tokens:
            return True
        self._count()
        while self._most + IN_FLIGHT_OUTPUT_TOKENS > self._attempt.hold.output_tokens:
            if self._attempt.hold.output_tokens >= self._cap:
                return True  # the provider ends it here by itself
            if not await self._grow():
                return False
        return True

    def _count(self) -> None:
        counted = count_text("".join(self._text), self._about.count_encoding)
        self._counted += counted
        self._most += self._bytes if self._about.tokenizer == "bytes" else -(-counted * self._about.factor_percent // 100)
        self._text.clear()
        self._bytes = 0

    async def _grow(self) -> bool:
        hold = self._attempt.hold
        for more in growth(hold.output_tokens, self._cap):
            grown = self._ledger.grow(hold.id, more_output(self._terms, hold.output_tokens, more))
            if grown is not None:
                self._attempt.hold, durable = grown
                await durable
                return True
        return False
