"""What an attempt learns from its answer: usage, end, id, and the row of the price book that its charge takes.

Comes in: a whole answer, or the reader of a stream, also of one that broke off. Goes out: nothing; it is written to the attempt. Does not know: how
the answer came, what its client is told, what is charged.
"""

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import admitted_ms
from jevons.core.usage import Usage
from jevons.gateway import turns
from jevons.gateway.attempt import Attempt
from jevons.gateway.passage import Passage
from jevons.gateway.pricing import price_context
from jevons.gateway.relay import stream_usage
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.upstream import Broken
from jevons.meter.answer import answer_facts
from jevons.meter.pricebook import PriceBook, with_request_unit
from jevons.meter.usage import chat_usage, flavour_of, messages_usage, responses_usage, unusable, with_units
from jevons.policy.route import Target
from jevons.wire.body import BAD_JSON
from jevons.wire.reader import Reader


class Heard:
    """What is needed to understand a target's answers to one request."""

    def __init__(self, book: PriceBook, settings: UpstreamSettings, ask: Ask, passage: Passage, target: Target) -> None:
        """`settings`: of the target's upstream."""
        self._book = book
        self._settings = settings
        self._ask = ask
        self._passage = passage
        self._target = target

    def whole(self, attempt: Attempt, body: bytes) -> None:
        """Of an answer that came whole. Raises Broken if it is none."""
        facts = answer_facts(self._target.dialect, body)
        if not facts.usage_raw and not _is_json(body):
            raise Broken("it answered 200 with something that is not JSON")
        attempt.complete = True
        attempt.finish = facts.finish
        self._stored(attempt, facts.id)
        if self._target.dialect is Dialect.COUNT_TOKENS:
            attempt.usage = Usage()
            return
        if facts.usage_raw:
            attempt.usage = self._usage(attempt, facts.usage_raw, facts.units)
        self._reprice(attempt, facts.service_tier)

    def stream(self, attempt: Attempt, reader: Reader) -> None:
        """Of a stream, as far as it came."""
        final, attempt.input_usage = stream_usage(reader, flavour_of(self._settings.price_provider))
        if final is not None and (reader.complete or reader.finish):
            attempt.usage = with_request_unit(final, attempt.price)
        elif final is not None:
            attempt.input_usage = final  # some providers count along; of a stream that broke, only the input is final
        attempt.finish = reader.finish
        self._stored(attempt, reader.response_id)
        self._reprice(attempt, reader.service_tier or "")

    def _stored(self, attempt: Attempt, response_id: str) -> None:
        """The provider keeps the answer under this id, if it was asked to."""
        if self._ask.stored:
            attempt.response_id = response_id
            turns.stored(self._passage, response_id)

    def _usage(self, attempt: Attempt, raw: bytes, units: tuple[tuple[str, int], ...]) -> Usage | None:
        match self._target.dialect:
            case Dialect.MESSAGES:
                usage, problems = messages_usage(raw)
            case Dialect.RESPONSES:
                usage, problems = responses_usage(raw)
            case _:
                usage, problems = chat_usage(raw, flavour_of(self._settings.price_provider))
        if unusable(problems):
            return None
        return with_request_unit(with_units(usage, units), attempt.price)

    def _reprice(self, attempt: Attempt, service_tier: str) -> None:
        """The charge takes the row of the admission's instant, under the tier that the answer names."""
        context = price_context(self._ask, self._settings, service_tier)
        if service_tier and context != price_context(self._ask, self._settings):
            attempt.answered = context
        attempt.charge_price = self._book.price(attempt.provider, self._target.model, admitted_ms(attempt.hold.id), context)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except BAD_JSON:
        return False
    return True
