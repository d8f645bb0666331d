"""A tenant's callers: many streams at once over real sockets, each asking again until it is told that the budget is used up.

Comes in: an address, a key, lengths of answers. Goes out: what was answered. They behave as the SDKs do: a 429 is tried again after
its Retry-After, twice; then the request counts as failed, and the caller goes on with its next one. A 402 ends the caller. Does not know:
prices, what the provider billed.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

RETRIES = 2
"""Of the OpenAI and Anthropic SDKs."""
TOKENS_PER_EVENT = 16
_COST = re.compile(rb": jevons-cost-nusd=(\d+)")


@dataclass
class Tally:
    """What became of a tenant's requests."""

    requests: int = 0
    served: int = 0
    shortened: int = 0
    """Served, but ended for length: at a cap that was clamped, or cut under way."""
    waited: int = 0
    """429: told to come back."""
    given_up: int = 0
    """Requests that were told so more often than an SDK tries."""
    refused: int = 0
    """402, or where callers look for themselves: seen that it is used up."""
    broken: int = 0
    spent_nusd: int = 0
    """Costs as the answers said them."""
    seconds: float = 0.0
    unfinished: int = 0
    """Callers that were not refused when time was up."""
    odd: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pace:
    """How a provider streams."""

    first_ms: int
    event_ms: int


class Tenant:
    """One key and its callers."""

    def __init__(self, url: str, key: str, model: str, marker: str, lengths: Iterator[int], pace: Pace) -> None:
        self._host, _, port = url.partition("://")[2].partition(":")
        self._port = int(port)
        self._key, self._model, self._marker, self._lengths, self._pace = key, model, marker, lengths, pace
        self.tally = Tally()

    async def answers(self, count: int, at_once: int) -> None:
        """So many answers and no more, to warm up."""
        left = iter(range(count))

        async def some() -> None:
            for _ in left:
                await self._ask(next(self._lengths))

        await asyncio.gather(*[some() for _ in range(at_once)])

    async def exhaust(self, callers: int, seconds_max: float, looks_at_nusd: int | None) -> Tally:
        """All callers until each is refused. `looks_at_nusd`: each looks before a call whether so much is spent, as gateways do that
        count after the fact; what is spent is known here to all at once, and exactly, which is more than they have."""
        began = time.monotonic()
        tasks = [asyncio.create_task(self._caller(began + seconds_max, looks_at_nusd)) for _ in range(callers)]
        await asyncio.gather(*tasks)
        self.tally.seconds = time.monotonic() - began
        return self.tally

    async def _caller(self, end: float, looks_at_nusd: int | None) -> None:
        while time.monotonic() < end:
            if looks_at_nusd is not None and self.tally.spent_nusd >= looks_at_nusd:
                self.tally.refused += 1
                return
            if not await self._request(next(self._lengths)):
                return
        self.tally.unfinished += 1

    async def _request(self, length: int) -> bool:
        """One request with its retries; False once the budget is used up."""
        for _ in range(RETRIES + 1):
            status, retry_after_s = await self._ask(length)
            if status != 429:
                return status != 402
            await asyncio.sleep(retry_after_s)
        self.tally.given_up += 1
        return True

    async def _ask(self, length: int) -> tuple[int, float]:
        tally = self.tally
        tally.requests += 1
        try:
            head, body = await self._exchange(self._body(length))
        except OSError as error:
            tally.broken += 1
            tally.odd.append(repr(error))
            return 0, 0.0
        status = int(head.split(b" ", 2)[1])
        if status == 200 and b"data: [DONE]" in body:
            tally.served += 1
            tally.shortened += b'"finish_reason":"length"' in body
            tally.spent_nusd += int(cost[1]) if (cost := _COST.search(body)) else 0
        elif status == 429:
            tally.waited += 1
            wait = re.search(rb"(?i)\r\nretry-after: *(\d+)", head)
            return status, float(wait[1]) if wait else 1.0
        elif status == 402:
            tally.refused += 1
        else:
            tally.broken += 1
            tally.odd.append(f"{status}: {body[-200:]!r}")
        return status, 0.0

    async def _exchange(self, body: bytes) -> tuple[bytes, bytes]:
        """(head, body) of the answer, on a connection of its own. Raises OSError."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
                b"x-jevons-stream-cost: 1\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n"
                % (self._key.encode(), len(body))
                + body
            )
            head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
            return head, rest
        finally:
            writer.close()

    def _body(self, length: int) -> bytes:
        """No output cap: most clients send none, or one far above what is used."""
        script = {
            "tokens_out": length,
            "chunks": max(1, -(-length // TOKENS_PER_EVENT)),
            "first_delay_ms": self._pace.first_ms,
            "delay_ms": self._pace.event_ms,
            "marker": self._marker,
        }
        said = f"Please answer this at whatever length it takes. @@{json.dumps(script)}"
        return json.dumps({"model": self._model, "stream": True, "messages": [{"role": "user", "content": said}]}).encode()
