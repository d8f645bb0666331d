"""Holds, entries and whole workloads for the ledger's tests."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from jevons.core.entry import Entry, Estimate, Hold, Outcome, first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.ledger.errors import LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import (
    Adjusted,
    Key,
    KeyCreated,
    KeyRevoked,
    KeySettings,
    LimitSet,
    Noted,
    Op,
    Opened,
    Overrun,
    Posted,
    Withdrawn,
)
from jevons.ledger.schema import in_words
from jevons.ledger.sqlite import SqliteStore
from jevons.ledger.store import Store
from jevons.policy.accounts import Account
from jevons.policy.books import KEY_TOTAL
from jevons.policy.rules import Limit
from jevons.policy.windows import FOREVER

NOON_MS = 1_790_000_000_000
"""An instant in 2026; tests never read the clock."""
TABLES = (
    "keys accounts holds entries adjustments rollup_minute rollup_hour rollup_day runs run_budgets limits overruns kills approvals audit"
    " idempotency stored_responses savings_day prefix_breaks labels learnt students student_events"
).split()

WRONG_TYPE = (
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema"
    " SET sql = replace(sql, 'billed_nusd   INTEGER NOT NULL', 'billed_nusd   TEXT NOT NULL') WHERE name = 'entries'"
)
"""Damage that only an integrity check sees: a column of another type than its values."""

Dump = dict[str, list[tuple[Any, ...]]]


def make_key(number: int = 1, limit_nusd: int | None = None, **changes: Any) -> Key:
    return Key(number, f"key-{number}", bytes([number]) * 32, "jv-abcd", NOON_MS, limit_nusd, **changes)


def make_hold(entry_id: int, nusd: int = 100, *, key_id: int = 1, **changes: Any) -> Hold:
    fields: dict[str, Any] = {
        "id": entry_id,
        "key_id": key_id,
        "run_id": None,
        "dialect": "chat",
        "model": "asked",
        "target": "sent",
        "upstream": "openai",
        "stream": True,
        "held_nusd": nusd,
        "list_held_nusd": nusd,
        "input_tokens": 10,
        "input_bound": "exact",
        "output_tokens": 20,
        "price_book": "book",
        "price_row": "openai/sent@1",
        "chain": b"c" * 16,
        "messages": 2,
    }
    return Hold(**fields | changes)


def make_entry(hold: Hold, nusd: int, **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "hold": hold,
        "outcome": Outcome.OK,
        "status": 200,
        "usage": Usage(input=10, cache_read=3, cache_write_5m=2, cache_write_1h=1, output=5, reasoning=4),
        "lines": (Line("input", 10, nusd // 3, 7), Line("output", 5, nusd - nusd // 3, 9)),
        "list_nusd": nusd,
        "billed_nusd": nusd,
        "estimate": Estimate.NONE,
        "settled_ms": NOON_MS + 5,
    }
    return Entry(**fields | changes)


def request_ids(start_ms: int = NOON_MS) -> Callable[[], int]:
    """Entry ids of the first attempts of successive requests, one a millisecond."""
    at_ms = start_ms

    def following() -> int:
        nonlocal at_ms
        at_ms += 1
        return first_id_of_ms(at_ms)

    return following


def dump(db: apsw.Connection) -> Dump:
    """Every row of every table."""
    return {table: sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def dump_file(path: Path) -> Dump:
    """The same of a closed file, opened as a start would. Raises LedgerError."""
    store = SqliteStore(path, synchronous="OFF")
    try:
        with in_words(path):
            return dump(store.db)
    finally:
        store.close()


def total(limit_nusd: int | None) -> Account:
    """A key's total account, as the ledger makes it."""
    return Account(KEY_TOTAL, "key:test", FOREVER, limit_nusd)


def overruns(key_id: int, excess: int, entry_id: int | None = None) -> tuple[Overrun, ...]:
    """What a ledger writes of a key's total that came over its limit."""
    return (Overrun(f"key:usd key:key-{key_id}", 0, excess, "post", NOON_MS, entry_id),) if excess else ()


def balance(account: Account) -> tuple[int | None, int, int, int]:
    """(limit, posted, held, overrun)"""
    return account.limit, account.posted, account.held, account.overrun


def batches(rng: random.Random, count: int) -> list[list[Op]]:
    """Batches as a ledger would write them: two keys, many holds, posts of every kind, now and then an operator's change."""
    following = request_ids()
    books = {number: total(10_000) for number in (1, 2)}
    still_open: list[Hold] = []
    made: list[list[Op]] = [[KeyCreated(make_key(number, 10_000)) for number in books]]
    for _ in range(count):
        batch: list[Op] = []
        for _ in range(rng.choice((1, 2, 5, 30))):
            key_id = rng.choice((1, 2))
            book, kind = books[key_id], rng.random()
            if kind < 0.5:
                idempotency = rng.randbytes(16) if rng.random() < 0.3 else b""
                run: dict[str, Any] = rng.choice(
                    (
                        {},
                        {"run_id": "run", "agent": "codex"},
                        {"run_id": "child", "parent_run_id": "run", "run_source": "inferred"},
                    )
                )
                hold = make_hold(following(), rng.randint(0, 200), key_id=key_id, idempotency_key=idempotency, **run)
                if book.fits(hold.held_nusd):
                    book.reserve(0, hold.held_nusd)
                    still_open.append(hold)
                    batch.append(Opened(hold))
            elif kind < 0.93 and still_open:
                hold = still_open.pop(rng.randrange(len(still_open)))
                entry = make_entry(hold, rng.randint(0, 250), response_id=rng.choice(("", f"resp_{hold.id}")))
                excess = books[hold.key_id].post(0, hold.held_nusd, entry.billed_nusd)
                batch.append(Posted(entry, excess, overruns(hold.key_id, excess, hold.id)))
            elif kind < 0.96:
                book.adjust(0, -500)
                batch.append(Adjusted(key_id, -500, "refund", NOON_MS))
            elif kind < 0.99:
                limit = (book.limit or 0) + 5_000
                book.set_limit(limit)
                batch.append(LimitSet(key_id, limit, NOON_MS))
            else:
                batch += [KeyRevoked(key_id, NOON_MS), Noted(NOON_MS, "denied", f"key:key-{key_id}", {"reason": "revoked"})]
        made.append(batch)
    return made


@asynccontextmanager
async def running(path: Path, store: Store | None = None, limits: Sequence[Limit] = ()) -> AsyncIterator[Ledger]:
    """A ledger on the running loop, closed at the end."""
    ledger = Ledger(store or SqliteStore(path), path, asyncio.get_running_loop(), limits=limits)
    try:
        yield ledger
    finally:
        ledger.close()


async def written(future: Awaitable[None]) -> bool:
    """Wait for a commit: did it succeed?"""
    try:
        await future
    except LedgerUnavailable:
        return False
    return True


async def caught_up(ledger: Ledger) -> None:
    """Let the writer work until nothing is left to be written again. An operation that does nothing comes after all others."""
    await written(ledger.writer.submit(Withdrawn(())))
    while ledger.writer.failing or ledger.writer.unwritten:
        await written(ledger.writer.submit(Withdrawn(())))


SETTINGS = KeySettings(default_output_tokens=300, models=("gpt-*",), denial_status=429)
