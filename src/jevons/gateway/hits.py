"""A kept answer on its way out: told in the form that was asked for, once its entry is on disk.

Comes in: a request that takes part, and the answer that was found for it. Goes out: that, to the client. Does not know: where it was found, who else waits.
"""

import logging
from collections.abc import Awaitable, Callable

from jevons.core.entry import request_text
from jevons.gateway import about
from jevons.gateway.answers import Hit, Wanted
from jevons.gateway.client import Client
from jevons.gateway.gate import Gate
from jevons.gateway.reply import EVENT_STREAM, hit_headers
from jevons.gateway.settings import UpstreamSettings
from jevons.wire.replayed import stream_of
from jevons.wire.translate import BrokenAnswer

log = logging.getLogger("jevons.gateway")


async def replay(
    gate: Gate,
    client: Client,
    settings: UpstreamSettings,
    wanted: Wanted,
    hit: Hit,
    comment: bytes,
    ask_again: Callable[[Wanted], Awaitable[bool]],
) -> bool:
    """False: it cannot be told in this form, or not be checked, and nothing was done.

    `comment`: what a stream says of its cost, or b"". `ask_again` begins the check of a hit that is due for it, once it is known that nothing else
    forbids to give it. Raises as `Gate.judge_hit` and `Gate.hit`.
    """
    ask, passage = wanted.ask, wanted.passage
    told = terminal = b""
    if ask.stream:
        try:
            told, terminal = stream_of(ask.dialect, hit.answer.body, include_usage=ask.include_usage)
        except BrokenAnswer as error:
            log.info("what is kept for %s is not streamed: %s", request_text(passage.request), error)
            return False
    count = await gate.judge_hit(ask, passage, wanted.target, settings, hit)
    if hit.found is not None and hit.found.check and not await ask_again(wanted):
        return False
    entry = await gate.hit(ask, passage, wanted.target, settings, hit, count)
    gate.governor.answered(passage)
    headers = hit_headers(entry, passage, hit)
    if not ask.stream:
        await client.answer(200, [*about.JSON, *headers], hit.answer.body)
    else:
        await client.start(200, [EVENT_STREAM, *headers])
        await client.body(told + comment + terminal, more=False)
    return True
