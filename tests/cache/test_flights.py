"""One asks for all: who waits is given the answer, the lead, or is told to go alone; and nobody waits for ever."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from jevons.cache.flights import End, Flights

KEY, OTHER = b"k", b"o"
Made = Callable[[Flights[str]], Coroutine[None, None, None]]


def flown(case: Made) -> None:
    """On a loop of its own; in the end nothing is left."""

    async def run() -> None:
        flights: Flights[str] = Flights()
        await case(flights)
        assert len(flights) == 0

    asyncio.run(run())


async def waits(flights: Flights[str], timeout_s: float = 60.0) -> "asyncio.Task[str | End]":
    """Somebody who waits."""
    future = flights.join(KEY)
    assert future is not None
    task = asyncio.create_task(flights.wait(KEY, future, timeout_s))
    await asyncio.sleep(0)
    return task


def test_all_are_given_the_leaders_answer():
    async def case(flights: Flights[str]) -> None:
        assert flights.join(KEY) is None and flights.join(OTHER) is None
        waiting = [await waits(flights) for _ in range(3)]
        assert (len(flights), flights.waiting) == (2, 3)
        flights.land(KEY, "yes")
        assert await asyncio.gather(*waiting) == ["yes"] * 3
        assert flights.join(KEY) is None, "the next one leads again"
        flights.land(KEY, "again")
        flights.fail(OTHER)

    flown(case)


def test_what_is_nobody_elses_sends_everyone_off_alone():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        waiting = [await waits(flights) for _ in range(3)]
        flights.fail(KEY)
        assert await asyncio.gather(*waiting) == [End.ALONE] * 3

    flown(case)


def test_when_the_leader_leaves_one_takes_its_place_and_the_others_wait_on():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        first, second, third = [await waits(flights) for _ in range(3)]
        flights.leave(KEY)
        assert await first is End.LEADS
        assert not second.done() and not third.done()
        fourth = await waits(flights)
        flights.leave(KEY)
        assert await second is End.LEADS
        flights.land(KEY, "yes")
        assert (await third, await fourth) == ("yes", "yes")

    flown(case)


def test_who_left_while_waiting_is_passed_over():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        first, second = await waits(flights), await waits(flights)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        flights.leave(KEY)
        assert await second is End.LEADS
        flights.leave(KEY)

    flown(case)


def test_the_lead_is_handed_on_by_whoever_leaves_in_that_moment():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        first, second = await waits(flights), await waits(flights)
        flights.leave(KEY)
        first.cancel()  # it was given the lead, and has not run since
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second is End.LEADS
        flights.leave(KEY)

    flown(case)


def test_who_leaves_with_the_answer_takes_it_from_nobody():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        first, second = await waits(flights), await waits(flights)
        flights.land(KEY, "yes")
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == "yes"

    flown(case)


def test_nobody_waits_for_ever():
    async def case(flights: Flights[str]) -> None:
        flights.join(KEY)
        assert await (await waits(flights, 0.001)) is End.ALONE
        second = await waits(flights)
        flights.land(KEY, "late")
        assert await second == "late"

    flown(case)
