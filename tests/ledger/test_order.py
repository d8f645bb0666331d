"""The order of events: each hold, post, growth and change has a place of its own, over restarts too."""

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw

from jevons.core.entry import first_order_of_ms
from jevons.ledger.bill import open_holds
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from jevons.policy.access import Access
from jevons.policy.amounts import bound
from jevons.policy.rules import Limit
from jevons.policy.terms import Asked, decode, encode
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key, running

FIRST = first_order_of_ms(NOON_MS)


def rows(path: Path, query: str) -> list[Any]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = list(db.execute(query))
    db.close()
    return found


def test_every_hold_and_post_has_its_place(path: Path) -> None:
    """In the order in which they took effect, whatever ids and clocks say: a clock that goes back does not move them."""

    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            late, early = (make_hold(ledger.next_request(NOON_MS + n), 1) for n in (0, 5))
            ledger.take(early)
            ledger.take(late)
            ledger.post(make_entry(late, 1, settled_ms=NOON_MS - 50))
            await ledger.post(make_entry(early, 1, settled_ms=NOON_MS + 9))

    asyncio.run(scene())
    places = rows(path, "SELECT held_order, posted_order FROM entries ORDER BY id")
    at_5 = first_order_of_ms(NOON_MS + 5)
    assert places == [(at_5 + 1, at_5 + 2), (at_5, first_order_of_ms(NOON_MS + 9))]


def test_it_goes_on_after_a_restart(path: Path) -> None:
    """Also where the clock went back, and after a call that a crash ended."""

    async def first() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            hold = make_hold(ledger.next_request(NOON_MS), 1)
            ledger.take(hold)
            await ledger.post(make_entry(hold, 1, settled_ms=NOON_MS + 1_000))
            await ledger.take(make_hold(ledger.next_request(NOON_MS + 1), 1))

    async def second() -> None:
        async with running(path) as ledger:
            hold = make_hold(ledger.next_request(NOON_MS - 10_000), 1)
            ledger.take(hold)
            await ledger.post(make_entry(hold, 1, settled_ms=NOON_MS - 9_000))

    asyncio.run(first())
    [still_open] = open_holds(path)
    assert still_open["held_order"] == first_order_of_ms(NOON_MS + 1_000) + 1
    store = SqliteStore(path)
    settle_open_holds(store, NOON_MS)
    store.close()
    asyncio.run(second())
    after = first_order_of_ms(NOON_MS + 1_000)
    found = rows(path, "SELECT held_order, posted_order FROM entries ORDER BY id")
    assert found == [(FIRST, after), (after + 1, after + 2), (after + 3, after + 4)]


def test_growth_has_its_place_in_the_terms(path: Path) -> None:
    """On disk at once: a crash may be next."""

    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            hold = make_hold(ledger.next_request(NOON_MS), 100, terms=encode(Asked(provider="openai")))
            await ledger.take(hold, (ledger.accounts[1],), bound(100, 100, 0, 10, step=True))
            grown = ledger.grow(hold.id, (50, 50, 5, 0, 0, 0, 5, 5, 0, 0))
            assert grown is not None
            await grown[1]

    asyncio.run(scene())
    [(terms,)] = rows(path, "SELECT terms FROM holds")
    found = decode(terms)
    assert found is not None
    assert found.grown == ((FIRST + 1, 5),)


def in_force(path: Path) -> list[tuple[str, int]]:
    said = "SELECT detail ->> 'of', (detail ->> 'order') FROM audit WHERE action = 'in-force' ORDER BY seq"
    return [(of, order - FIRST) for of, order in rows(path, said)]


def test_a_change_says_from_when_on_it_holds_where_that_is_not_plain(path: Path) -> None:
    """A quiet ledger needs no word: the change holds from the beginning of its millisecond. What calls came in between, or since it began, is told."""

    async def scene() -> None:
        async with running(path) as ledger:
            await ledger.add_key(make_key(1))
            await ledger.set_limit(1, 500, NOON_MS - 5)
            await ledger.put_limit(Limit("quiet", steps=9), NOON_MS - 4)
            ledger.take(make_hold(ledger.next_request(NOON_MS), 1))
            await ledger.set_limit(1, 400, NOON_MS)
            raising = asyncio.create_task(ledger.set_limit(1, 600, NOON_MS + 1))
            await asyncio.sleep(0)
            ledger.take(make_hold(ledger.next_request(NOON_MS + 2), 1))
            await raising
            await ledger.put_limit(Limit("loud", steps=9), NOON_MS)
            await ledger.remove_limit("loud", NOON_MS)
            await ledger.adjust(1, 5, "a bill", NOON_MS)
            await ledger.change_key(1, ledger.by_id[1].settings, NOON_MS)

    asyncio.run(scene())
    at_2 = first_order_of_ms(NOON_MS + 2) - FIRST
    told = ["key:key-1", "key:key-1", "limit:loud", "limit:loud", "key:key-1", "key:key-1"]
    assert in_force(path) == list(zip(told, [1, *(at_2 + n for n in range(1, 6))], strict=True))


def test_the_configured_policy_is_noted_when_it_is_another(path: Path) -> None:
    """A start without limits, fences or settings needs no row; one that takes the last limit away does."""

    def start(*limits: Limit, access: tuple[Access, ...] = ()) -> None:
        async def scene() -> None:
            async with running(path, limits=limits) as ledger:
                ledger.note_policy(access, {}, NOON_MS)

        asyncio.run(scene())

    cap, fence = Limit("cap", usd=5, degrade_at=0.5, degrade_to=("a",)), Access("fence", models_deny=("x",))
    for _ in range(2):
        start()
        start(cap, access=(fence,))
        start(cap, access=(fence,))
    found = rows(path, "SELECT detail -> 'limits', detail -> 'access' FROM audit WHERE action = 'policy' ORDER BY seq")
    said = ([{"degrade_at": 0.5, "degrade_to": ["a"], "name": "cap", "usd": 5}], [{"models_deny": ["x"], "name": "fence"}])
    assert [tuple(json.loads(text) for text in row) for row in found] == [said, ([], []), said]
