"""One picture for all who look: made again after a commit, at most every two seconds, while anybody looks; each viewer gets what changed on it.

Comes in: how a picture is made. Goes out: server-sent events whose data are HTML fragments for htmx. Does not know: what is on it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import apsw

from jevons.core.limits import LIVE_ANYWAY_S, LIVE_EVERY_S, LIVE_REST, LIVE_VIEWERS_MAX
from jevons.ledger.errors import LedgerError

log = logging.getLogger("jevons.dashboard")

Fragments = dict[str, str]
"""The id of an element -> what is in it."""


class TooMany(Exception):
    """No more viewers."""


class Live:
    """Viewers come and go; the first starts the clock, the last stops it."""

    def __init__(self, ledger: Path, draw: Callable[[], Awaitable[Fragments]]) -> None:
        self._ledger = ledger
        self._draw = draw
        self._viewers = 0
        self._came = 0
        """How many viewers ever came."""
        self._drawn_for = 0
        """How many of them had come when the picture was begun."""
        self._fragments: Fragments = {}
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def events(self) -> AsyncIterator[bytes]:
        """What one viewer is sent, until it leaves or the gateway stops. Its page may be newer than the picture that the others have: it waits
        for the next."""
        self._viewers += 1
        self._came += 1
        came = self._came
        seen: Fragments = {}
        try:
            watching = self._watching = self._watching or asyncio.create_task(self._watch())
            yield b": jevons\n\n"
            while not self._closed and not watching.done():  # a page that nobody draws any more is not live
                news = self._news
                latest = self._fragments if self._drawn_for >= came else seen
                changed = {name: text for name, text in latest.items() if seen.get(name) != text}
                seen = latest
                yield _event(changed) if changed else b": still here\n\n"
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LIVE_ANYWAY_S)
        finally:
            self._viewers -= 1
            if self._viewers == 0 and self._watching is not None:
                self._watching.cancel()
                self._watching = None
                self._fragments = {}

    def admit(self) -> None:
        """Raises TooMany."""
        if self._viewers >= LIVE_VIEWERS_MAX:
            raise TooMany

    def close(self) -> None:
        """The gateway stops: every stream ends."""
        self._closed = True
        self._tell()

    async def _watch(self) -> None:
        try:
            await self._draw_on_commits()
        except Exception:
            log.exception("a bug, in the live page")
        finally:
            self._tell()

    async def _draw_on_commits(self) -> None:
        """Draw whenever the ledger has a new commit or the page a new viewer, and now and then without."""
        db = apsw.Connection(str(self._ledger), flags=apsw.SQLITE_OPEN_READONLY)
        version, drawn_s, rest_s = -1, 0.0, LIVE_EVERY_S
        try:
            while True:
                latest = db.pragma("data_version")  # of the shared memory, no disk
                if latest != version or self._drawn_for < self._came or time.monotonic() - drawn_s >= LIVE_ANYWAY_S:
                    began_s, came = time.monotonic(), self._came
                    try:
                        self._fragments = await self._draw()
                        self._drawn_for = came
                    except LedgerError as error:
                        log.warning("the live page waits: %s", error)
                    else:
                        self._tell()
                    version, drawn_s = latest, time.monotonic()
                    rest_s = max(LIVE_EVERY_S, LIVE_REST * (drawn_s - began_s))
                await asyncio.sleep(rest_s)
        finally:
            db.close()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _event(fragments: Fragments) -> bytes:
    partials = "".join(
        f'<hx-partial hx-target="#{name}" hx-swap="innerMorph">{text}</hx-partial>' for name, text in fragments.items()
    )
    return "".join(f"data: {line}\n" for line in partials.splitlines()).encode() + b"\n"
