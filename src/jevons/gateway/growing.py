"""A packed hold while its answer grows: more is held, durably, before more is relayed.

Comes in: events about to be relayed. Goes out: may they be? Does not know: how a stream is ended. SEMANTICS "Packed".
"""

from jevons.core.ask import Dialect
from jevons.core.limits import IN_FLIGHT_OUTPUT_TOKENS
from jevons.core.usage import Usage
from jevons.gateway.attempt import Attempt
from jevons.ledger.ledger import Ledger
from jevons.meter.tokens import count_text
from jevons.policy.govern import Terms, more_output
from jevons.policy.packed import growth
from jevons.wire.visible import visible_text


class Growing:
    """One answer under a packed hold."""

    def __init__(self, ledger: Ledger, attempt: Attempt, terms: Terms, cap: int, encoding: str) -> None:
        """`cap`: the output cap that the upstream was told."""
        self._ledger = ledger
        self._attempt = attempt
        self._terms = terms
        self._cap = cap
        self._encoding = encoding
        self._counted = 0
        self._text: list[str] = []
        self._bytes = 0
        """Of the text that is not counted yet: it has at most so many tokens."""

    @property
    def usage(self) -> Usage:
        """By our own count, as an answer that is cut reports it."""
        return Usage(input=self._attempt.hold.input_tokens, output=self._counted)

    async def cover(self, dialect: Dialect, whole: bytes) -> bool:
        """Hold enough for these events too. False: there is no more to hold, and the answer ends before them."""
        text = visible_text(dialect, whole)
        self._text.append(text)
        self._bytes += len(text.encode())
        if self._counted + self._bytes + IN_FLIGHT_OUTPUT_TOKENS <= self._attempt.hold.output_tokens:
            return True
        self._counted += count_text("".join(self._text), self._encoding)
        self._text.clear()
        self._bytes = 0
        while self._counted + IN_FLIGHT_OUTPUT_TOKENS > self._attempt.hold.output_tokens:
            if self._attempt.hold.output_tokens >= self._cap:
                return True  # the provider ends it here by itself
            if not await self._grow():
                return False
        return True

    async def _grow(self) -> bool:
        hold = self._attempt.hold
        for more in growth(hold.output_tokens, self._cap):
            grown = self._ledger.grow(hold.id, more_output(self._terms, hold.output_tokens, more))
            if grown is not None:
                self._attempt.hold, durable = grown
                await durable
                return True
        return False
