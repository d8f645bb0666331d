"""Slots under faults that the real server does not show on command: doors that fail or answer late, requests cancelled at any await.

`Doors` stands for llama.cpp's three doors of a slot and remembers whose content each holds; like the real ones it carries out what was
sent, also when nobody waits for it any more.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from jevons.engine.front.inner import Inner, InnerFailed
from jevons.engine.front.placing import Overfull, Placing
from jevons.engine.park.park import Filled, Park

NOBODY = b""


class Doors:
    """A slot's content is a tenant's name."""

    def __init__(self, slots: int, folder: Path, chance: random.Random) -> None:
        self.content = [NOBODY] * slots
        self._folder = folder
        self._chance = chance
        self._sent: set[asyncio.Task[None]] = set()

    async def save(self, slot: int, file: str) -> int:
        await self._do(lambda: self._folder.joinpath(file).write_bytes(self.content[slot]))
        return 1

    async def restore(self, slot: int, file: str) -> int:
        whose = self._folder.joinpath(file).read_bytes()
        await self._do(lambda: self.content.__setitem__(slot, whose))
        return 1

    async def erase(self, slot: int) -> None:
        await self._do(lambda: self.content.__setitem__(slot, NOBODY))

    async def _do(self, act: Callable[[], object]) -> None:
        async def late() -> None:
            await asyncio.sleep(self._chance.random() * 0.002)
            act()

        task = asyncio.create_task(late())
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)
        await asyncio.shield(task)
        if self._chance.random() < 0.05:
            raise InnerFailed("said no")


class Shelf:
    """A park that has something for every second chain."""

    outlives = True
    able = True

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.transit = folder
        self._chance = chance

    def depth(self, _tag: bytes, links: tuple[bytes, ...]) -> int:
        return len(links) if self._chance.random() < 0.5 else 0

    def fill(self, tag: bytes, _links: tuple[bytes, ...], path: Path) -> Filled | None:
        if self._chance.random() < 0.2:
            raise OSError("full")
        path.write_bytes(tag)
        return Filled(1, 1)

    def keep(self, tag: bytes, _links: tuple[bytes, ...], path: Path) -> None:
        assert path.read_bytes() in (tag, NOBODY)
        path.unlink()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_faults_and_cancellations_mix_no_tenants_and_lose_no_seat(tmp_path: Path, seed: int) -> None:
    async def journey() -> None:
        chance = random.Random(seed)
        doors = Doors(3, tmp_path, chance)
        placing = Placing(cast(Inner, doors), 3, cast(Park, Shelf(tmp_path, chance)))
        taken: set[int] = set()
        served = 0

        async def visit() -> None:
            nonlocal served
            tenant = chance.choice([b"one", b"two", b"three"])
            links = tuple(bytes([chance.randrange(4)]) for _ in range(chance.randrange(4)))
            try:
                async with placing.visit(tenant, links) as seated:
                    assert seated.slot not in taken
                    taken.add(seated.slot)
                    try:
                        assert doors.content[seated.slot] in (NOBODY, tenant)
                        doors.content[seated.slot] = tenant
                        await asyncio.sleep(chance.random() * 0.002)
                        seated.answered = chance.random() < 0.8
                        served += 1
                    finally:
                        taken.discard(seated.slot)
            except InnerFailed:
                pass

        visits: list[asyncio.Task[None]] = []
        for _ in range(300):
            visits.append(asyncio.create_task(visit()))
            await asyncio.sleep(chance.random() * 0.001)
            if chance.random() < 0.3:
                chance.choice(visits[-10:]).cancel()
        ended = await asyncio.gather(*visits, return_exceptions=True)
        assert not [error for error in ended if error is not None and not isinstance(error, asyncio.CancelledError)]
        assert served > 100
        assert not [seat for seat in placing.seats.all if seat.busy]
        await placing.close()

    asyncio.run(journey())
    assert list(tmp_path.iterdir()) == []


def placed(slots: int, journey: Callable[[Placing], Awaitable[Any]], folder: Path) -> None:
    async def run() -> None:
        await journey(Placing(cast(Inner, Doors(slots, folder, random.Random(0))), slots, None))

    asyncio.run(run())


def test_who_waits_is_served_in_order(tmp_path: Path) -> None:
    async def journey(placing: Placing) -> None:
        order: list[int] = []

        async def visit(number: int) -> None:
            async with placing.visit(b"one", ()):
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(visit(number) for number in range(8)))
        assert order == list(range(8))

    placed(1, journey, tmp_path)


def test_too_many_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.engine.front.placing.LOCAL_QUEUE_MAX", 1)

    async def journey(placing: Placing) -> None:
        async with placing.visit(b"one", ()):
            waiting = asyncio.create_task(placing.visit(b"one", ()).__aenter__())
            await asyncio.sleep(0)
            with pytest.raises(Overfull):
                async with placing.visit(b"one", ()):
                    pass
        assert (await waiting).slot == 0

    placed(1, journey, tmp_path)
