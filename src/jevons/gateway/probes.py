"""Whether an upstream whose breaker is open is there again: asked at no charge, behind the back of all clients.

Comes in: circuits that opened. Goes out: what a GET of the upstream's list of models says, to their breakers. Nothing is asked while all are closed, and
nothing that a provider bills. Does not know: what opened them, what is sent once they are closed.
"""

import asyncio
import time
from urllib.parse import urlencode

from jevons.core.limits import PROBE_EVERY_S, PROBE_TIMEOUT_S
from jevons.core.refusal import Refusal
from jevons.gateway.health import Circuit, Health
from jevons.gateway.patience import Patience
from jevons.gateway.upstream import Broken, NotSent
from jevons.gateway.upstreams import Live

_BUSY = frozenset({408, 429})
_NOT_OURS = frozenset({401, 403})


class Probes:
    """Asks as long as a breaker is open. Lives on one event loop."""

    def __init__(self, health: Health, lives: dict[str, Live]) -> None:
        self._health = health
        self._lives = lives
        self._task: asyncio.Task[None] | None = None
        health.on_open = self.wake
        if health.open():
            self.wake()

    def wake(self) -> None:
        """A breaker opened."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        while circuits := self._health.open():
            await asyncio.sleep(PROBE_EVERY_S)
            asked: dict[tuple[str, int], list[Circuit]] = {}
            for circuit in circuits:
                asked.setdefault((circuit.upstream, circuit.credential), []).append(circuit)
            await asyncio.gather(*[self._look(*whom, concerned) for whom, concerned in asked.items()])

    async def _look(self, upstream: str, credential: int, circuits: list[Circuit]) -> None:
        live = self._lives.get(upstream)
        if live is None or credential >= len(live.credentials) or not live.settings.probe_path:
            return
        answers = await answers_now(live, credential)
        now_ms = int(time.time() * 1000)
        for circuit in circuits:
            if answers is not None and circuit.breaker.probed(now_ms, answers=answers):
                self._health.changed(circuit, "it answers a probe" if answers else "it answers no probe", now_ms)


async def answers_now(live: Live, credential: int) -> bool | None:
    """Is it there, and does it take this credential? None: it did not say, or cannot be asked."""
    settings = live.settings
    patience = Patience()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            address = await live.address()
            query = urlencode(settings.query)
            url = address.rstrip("/") + settings.probe_path + (f"?{query}" if query else "")
            headers = [("accept-encoding", "identity"), *settings.headers.items()]
            if settings.kind == "anthropic":
                headers.append(("anthropic-version", "2023-06-01"))
            headers += await live.credentials[credential].headers("GET", url, b"", ())
            answer = await live.upstream.send("GET", url, headers, None, patience, stream=False)
            try:
                await answer.read()
            finally:
                await answer.close()
    except Refusal:
        return None
    except (TimeoutError, NotSent, Broken):
        return False
    finally:
        patience.stop()
    if answer.status in _BUSY:
        return None
    return answer.status < 500 and answer.status not in _NOT_OURS
