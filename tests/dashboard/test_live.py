"""The picture that all viewers share: who comes later is sent none that is older than its page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import apsw

from jevons.dashboard.live import Fragments, Live


async def told(events: AsyncIterator[bytes]) -> str:
    """The next event that is no comment."""
    async for event in events:
        if event.startswith(b"data:"):
            return event.decode()
    raise AssertionError("the stream ended")


def test_a_later_viewer_is_sent_no_older_picture(tmp_path: Path) -> None:
    apsw.Connection(str(tmp_path / "ledger.db")).execute("CREATE TABLE any (x)")
    stands = "before"

    async def draw() -> Fragments:
        return {"runs": stands}

    async def watch() -> None:
        nonlocal stands
        live = Live(tmp_path / "ledger.db", draw)
        async with aclosing(live.events()) as first, aclosing(live.events()) as second:
            assert "before" in await told(first)
            stands = "after"  # and the page of the second viewer says so
            assert "after" in await told(second)
            assert "after" in await told(first)

    asyncio.run(watch())
