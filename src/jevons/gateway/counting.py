"""Tokens of a request before it is sent, and by how many it was made shorter.

Comes in: a request, the facts of a model, the chain of its messages. Goes out: counts. Does not know: prices, limits.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from jevons.core.ask import Ask
from jevons.core.chain import Chain
from jevons.core.limits import COUNT_INLINE_BYTES_MAX
from jevons.gateway.passage import Passage
from jevons.meter.models import ModelFacts
from jevons.meter.tokens import InputCount, MessageCounter, remote_input


class Counting:
    """Messages that were counted before are known by the counter; long texts that were not are counted in a thread."""

    def __init__(self, counter: MessageCounter) -> None:
        self._counter = counter

    async def count(self, ask: Ask, about: ModelFacts, links: Chain) -> InputCount:
        """Input tokens of a request for a model. `links`: of its messages."""
        if ask.remote_context:
            return remote_input(about, ask.output_cap or 0)
        counter = self._counter
        if counter.uncached_bytes(ask.messages, about.tokenizer, links.digests) > COUNT_INLINE_BYTES_MAX:
            return await asyncio.to_thread(
                counter.count, ask.messages, about, ask.dialect, digests=links.digests, extras=ask.extras
            )
        return counter.count(ask.messages, about, ask.dialect, digests=links.digests, extras=ask.extras)

    async def trimmed(self, ask: Ask, about: ModelFacts, passage: Passage) -> tuple[int, int]:
        """By how many tokens the request is shorter than it came, and how many of these nobody sent before."""
        trim = passage.trim
        if trim is None:
            return 0, 0
        fewer = []
        for places in ([p for p in trim.places if p >= trim.new], [p for p in trim.places if p < trim.new]):
            came = await self._some(trim.came, about, passage.links, places)
            fewer.append(max(0, came - await self._some(ask, about, trim.links, places)))
        return sum(fewer), fewer[0]

    async def _some(self, ask: Ask, about: ModelFacts, links: Chain, places: Sequence[int]) -> int:
        """Tokens of some of a request's messages."""
        messages = tuple([ask.messages[place] for place in places])
        some = msgspec.structs.replace(ask, messages=messages, extras=(), remote_context=False)
        return (await self.count(some, about, Chain(tuple([links.digests[place] for place in places]), ()))).tokens
