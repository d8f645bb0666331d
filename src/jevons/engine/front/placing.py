"""Gives each request a slot: waits for one, fills it with the longest parked prefix, and parks what leaves it.

Comes in: a request's tenant and message chain. Goes out: a slot to send it to. All of it is an optimisation: llama.cpp compares tokens
itself, so a state that does not fit costs time, never a wrong answer; and whatever fails here ends in a slot that starts from nothing.
Every await can be the last: a seat is left in `finally`.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from jevons.core.limits import LOCAL_QUEUE_MAX, PARK_IDLE_S, PARK_STATES_WAITING_MAX
from jevons.engine.front.inner import Inner, InnerFailed
from jevons.engine.front.seats import Place, Seat, Seats
from jevons.engine.park.park import Filled, Park, begin_background_thread

log = logging.getLogger("jevons.engine")
T = TypeVar("T")


NOBODY_KNOWS = b"?"
"""The tenant of a slot that was left half prepared. No request is of it, so it is cleared for everyone."""


class Overfull(Exception):
    """More requests wait for a slot than may."""


class Visit:
    """One request on its seat. `answered` is told by whoever serves it: from then on the slot holds its conversation."""

    def __init__(self, slot: int, filled: Filled | None) -> None:
        self.slot = slot
        self.filled = filled
        """What came from the park for it."""
        self.answered = False


class _Turn(NamedTuple):
    """A request that waits for a seat."""

    tenant: bytes
    links: tuple[bytes, ...]
    place: asyncio.Future[Place]


class Placing:
    """All slots of one engine, and the park behind them. Belongs to one event loop."""

    def __init__(self, inner: Inner, slots: int, park: Park | None) -> None:
        self.seats = Seats(slots)
        self._inner = inner
        self._park = park
        self._turns: deque[_Turn] = deque()
        self._forgotten = 0
        """How often something was to be forgotten: what was under way then leaves nothing."""
        self._room = asyncio.Semaphore(PARK_STATES_WAITING_MAX)
        """For states on their way into the park."""
        self._fills = ThreadPoolExecutor(1, "park-fill")
        self._keeps = ThreadPoolExecutor(1, "park-keep", initializer=begin_background_thread)
        self._keeping: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def visit(self, tenant: bytes, links: tuple[bytes, ...]) -> AsyncIterator[Visit]:
        """A seat for one request, until the block ends. Raises Overfull."""
        place = await self._place(tenant, links)
        visit, forgotten = None, self._forgotten
        try:
            visit = Visit(place.seat.index, await self._prepare(place, tenant, links))
            yield visit
        finally:
            if visit is None or forgotten != self._forgotten:  # half prepared, or to be forgotten: whoever comes next clears it
                self.seats.leave(place.seat, self._now(), NOBODY_KNOWS)
            else:
                held = links if visit.answered else ()
                self.seats.leave(place.seat, self._now(), tenant, held, unparked=visit.answered and self._park is not None)
            self._seat_waiting()

    async def park_idle(self) -> None:
        """For ever: park what no request has touched for a moment, so that a restart finds it. Run it where parked states outlive us."""
        while True:
            await asyncio.sleep(PARK_IDLE_S)
            while seat := self.seats.idle_since(self._now() - PARK_IDLE_S):
                await self._park_free(seat)

    async def forget(self, tenant: bytes | None) -> None:
        """Everything of a tenant, or of all: in the slots, on its way into the park, in the park. Raises InnerFailed."""
        self._forgotten += 1
        for seat in self.seats.all:
            if not seat.busy and seat.tenant and tenant in (None, seat.tenant):
                seat.busy = True
                try:
                    await _whole(self._inner.erase(seat.index))
                finally:
                    self.seats.leave(seat, self._now(), NOBODY_KNOWS)
                    self._seat_waiting()
        await self._kept()
        if self._park is not None:
            await asyncio.get_running_loop().run_in_executor(self._fills, self._park.forget, tenant)

    async def close(self) -> None:
        """Park what is in the slots, if it would outlive us, and wait for what is being kept."""
        if self._park is not None and self._park.outlives:
            while seat := self.seats.idle_since(self._now()):
                await self._park_free(seat)
        await self._kept()
        self._fills.shutdown(wait=True)
        self._keeps.shutdown(wait=True)

    async def _place(self, tenant: bytes, links: tuple[bytes, ...]) -> Place:
        """In the order of coming. Raises Overfull."""
        if len(self._turns) >= LOCAL_QUEUE_MAX:
            raise Overfull
        turn = _Turn(tenant, links, asyncio.get_running_loop().create_future())
        self._turns.append(turn)
        self._seat_waiting()
        try:
            return await turn.place
        except asyncio.CancelledError:
            if turn.place.done() and not turn.place.cancelled():  # given and not wanted any more
                turn.place.result().seat.busy = False
            turn.place.cancel()
            with contextlib.suppress(ValueError):
                self._turns.remove(turn)
            self._seat_waiting()
            raise

    def _seat_waiting(self) -> None:
        """Give free seats to those who wait, first come first served."""
        while self._turns:
            turn = self._turns[0]
            if not turn.place.done():
                place = self.seats.choose(turn.tenant, turn.links)
                if place is None:
                    return
                turn.place.set_result(place)
            self._turns.popleft()

    async def _prepare(self, place: Place, tenant: bytes, links: tuple[bytes, ...]) -> Filled | None:
        """Make the slot ready; what the park put into it."""
        seat, park = place.seat, self._park
        if park is None:
            await self._clear(place)
            return None
        if (
            place.leaves and not self._room.locked()
        ):  # with no room for it in transit it is lost: nobody waits for another's state
            await _whole(self._save(seat, seat.tenant, seat.links))
        if not links or place.matched == len(links):
            await self._clear(place)
            return None
        if donor := self.seats.donor(tenant, links, max(place.matched, park.depth(tenant, links))):
            await self._park_free(donor)
            await self._kept()
        filled = await self._fill(seat, tenant, links) if park.depth(tenant, links) > place.matched else None
        if filled is None:
            await self._clear(place)
        return filled

    async def _clear(self, place: Place) -> None:
        """Raises InnerFailed: a slot that still holds another tenant's content serves nobody."""
        if place.clear:
            await _whole(self._inner.erase(place.seat.index))

    async def _fill(self, seat: Seat, tenant: bytes, links: tuple[bytes, ...]) -> Filled | None:
        assert self._park is not None
        path = self._transit()
        try:
            filled = await _whole(asyncio.get_running_loop().run_in_executor(self._fills, self._park.fill, tenant, links, path))
            if filled is not None:
                await _whole(self._inner.restore(seat.index, path.name))
            return filled
        except (InnerFailed, OSError) as error:
            log.warning("a parked state could not be put back, its tokens are computed again: %s", error)
            return None
        finally:
            path.unlink(missing_ok=True)

    async def _park_free(self, seat: Seat) -> None:
        """Park a seat that no request holds. It keeps its content."""
        seat.busy = seat.moving = True
        try:
            await _whole(self._save(seat, seat.tenant, seat.links))
        finally:
            seat.moving = False
            self.seats.leave(seat, seat.used_s, seat.tenant, seat.links)
            self._seat_waiting()

    async def _save(self, seat: Seat, tenant: bytes, links: tuple[bytes, ...]) -> None:
        """Take the slot's state out; it is cut, encoded and kept in a thread of low priority. Waits until there is room for it in transit."""
        assert self._park is not None
        seat.unparked = False
        if not self._park.able:
            return
        await self._room.acquire()
        path = self._transit()
        try:
            saved = await self._inner.save(seat.index, path.name)
        except (InnerFailed, OSError) as error:
            log.warning("a slot's state could not be parked: %s", error)
            saved = 0
        if not saved:
            path.unlink(missing_ok=True)
            self._room.release()
            return
        keeping = asyncio.get_running_loop().run_in_executor(self._keeps, self._park.keep, tenant, links, path)
        self._keeping.add(keeping)
        keeping.add_done_callback(self._was_kept)

    def _was_kept(self, keeping: asyncio.Future[None]) -> None:
        self._keeping.discard(keeping)
        self._room.release()

    async def _kept(self) -> None:
        if self._keeping:
            await asyncio.wait(list(self._keeping))

    def _transit(self) -> Path:
        assert self._park is not None
        return self._park.transit / secrets.token_hex(8)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _whole(moving: Awaitable[T]) -> T:
    """What moves a state ends before its seat is left, also if the request is cancelled meanwhile: else it would meet the next one."""
    task = asyncio.ensure_future(moving)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if task.done() and not task.cancelled():
            task.exception()  # looked at: nobody waits for it any more
        raise
