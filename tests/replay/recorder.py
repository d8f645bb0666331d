"""A ledger written as a gateway writes one, without sockets: real decisions, real accounts, a clock of its own."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

from jevons.core.entry import Entry, Hold, Outcome, admitted_ms
from jevons.core.routed import Role, Routed
from jevons.core.usage import Usage
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Key, KeySettings, Noted
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import PriceBook
from jevons.policy.bounds import output_cap
from jevons.policy.govern import Admit, decide
from jevons.policy.rules import COUNTED, Limit, Measure
from jevons.policy.settle import Ending, settle
from jevons.policy.terms import Asked, encode, terms_of

OUTPUT = COUNTED.index(Measure.OUTPUT)
START_MS = 1_790_000_000_000
"""An instant in 2026."""


class Request(NamedTuple):
    """What comes, and what the provider will make of it."""

    key_id: int = 1
    run: str | None = None
    parent: str | None = None
    agent: str = ""
    model: str = "gpt-4o"
    input_tokens: int = 1000
    output_cap: int | None = 500
    used_input: int = 900
    used_cached: int = 0
    used_output: int = 100
    takes_ms: int = 1000
    at_ms: int = START_MS
    turn: int = 0
    warm_tokens: int = 0
    asked: str = ""
    """The name that it asks for, where that is not the model."""
    routed: Routed | None = None
    role: Role = Role.ANSWER


class Recorder:
    """Lives on a running loop. `ask` decides on a request now; `until` lets calls end."""

    def __init__(self, home: Path, book: PriceBook, limits: Sequence[Limit] = ()) -> None:
        store = SqliteStore(home / "ledger.db", synchronous="OFF")
        self.ledger = Ledger(store, home / "ledger.db", asyncio.get_running_loop(), limits=limits)
        self.ledger.note_policy((), {}, START_MS)
        self.refused = 0
        self._book = book
        self._under_way: list[tuple[int, int, Hold, Request]] = []

    async def key(self, number: int, limit_nusd: int | None = None, **settings: Any) -> None:
        made = Key(number, f"key-{number}", bytes([number]) * 32, "jv-", START_MS, limit_nusd, KeySettings(**settings))
        await self.ledger.add_key(made)

    def ask(self, request: Request) -> bool:
        """Is it admitted? Calls that should have ended by now have."""
        self.until(request.at_ms)
        ledger, key = self.ledger, self.ledger.by_id[request.key_id]
        entry_id = ledger.next_request(request.at_ms)
        at_ms = admitted_ms(entry_id)
        run = None if request.run is None else ledger.runs.enter(key.id, request.run, request.parent, at_ms)
        who = ledger.who(key, request.agent, request.run)
        facts = (
            (0, 0, 1, 0, 0)
            if run is None
            else ((at_ms - run.root.first_ms) // 1000, (at_ms - run.first_ms) // 1000, run.depth, 0, 0)
        )
        asked = Asked(
            provider="openai",
            input_tokens=request.input_tokens,
            output_max=16_384,
            output_cap=request.output_cap,
            size_tokens=request.input_tokens,
            turn=request.turn,
            warm_tokens=request.warm_tokens,
            loops=None if run is None else (1, 1, 0),
            facts=None if run is None else facts,
        )
        price = self._book.dearest("openai", request.model, at_ms)
        assert price is not None
        cap_max = output_cap(ledger.books.bounds(who, run, request.model))
        terms = terms_of(asked, price, step=True, cap_max=cap_max)
        path = ledger.path_of(who, run, request.model, at_ms)
        verdict = decide(path, terms)
        if not isinstance(verdict, Admit):
            self.refused += 1
            return False
        told = request.output_cap if verdict.output_cap is None else verdict.output_cap
        hold = Hold(
            entry_id, key.id, request.run, "chat", request.asked or request.model, request.model, "openai", False, verdict.held_nusd, verdict.list_held_nusd,
            request.input_tokens, "exact", verdict.amounts[OUTPUT], self._book.hash, price.row, b"", 0, request.agent, request.parent,
            terms=encode(Asked(**{name: getattr(asked, name) for name in asked.__struct_fields__ if name != "told_cap"}, told_cap=told)),
        )  # fmt: skip
        ledger.take(hold, path, verdict.amounts)
        heappush(self._under_way, (at_ms + request.takes_ms, entry_id, hold, request))
        return True

    def denied(self, key_id: int, limit: str, times: int) -> None:
        """Requests that were refused, as the governor notes them: the first at once, the others by their number."""
        subject = f"key:{self.ledger.by_id[key_id].name}"
        self.ledger.control.note(Noted(START_MS, "denied", subject, {"reason": "limit", "limit_name": limit}))
        self.ledger.control.note(Noted(START_MS + 60_000, "denied", subject, {"limit_name": limit, "times": times - 1}))

    def until(self, at_ms: int) -> None:
        """Calls that end before."""
        while self._under_way and self._under_way[0][0] < at_ms:
            ended_ms, _, hold, request = heappop(self._under_way)
            self._end(ended_ms, hold, request)

    async def written(self) -> None:
        """All of it is on disk."""
        await asyncio.sleep(0)
        self.ledger.writer.flush()

    def close(self) -> None:
        """Every call ends, and the ledger is closed."""
        self.until(1 << 62)
        self.ledger.close()

    def _end(self, ended_ms: int, hold: Hold, request: Request) -> None:
        usage = Usage(input=request.used_input, cache_read=request.used_cached, output=request.used_output)
        price = self._book.price("openai", request.model, admitted_ms(hold.id))
        assert price is not None
        settled = settle(hold, price, Ending(sent=True, status=200, usage=usage, complete=True))
        entry = Entry(
            hold, Outcome.OK, 200, usage, settled.lines, settled.list_nusd, settled.billed_nusd, settled.estimate, ended_ms,
            role=request.role, routed=request.routed,
        )  # fmt: skip
        self.ledger.post(entry)


@contextmanager
def recorder(home: Path, book: PriceBook, limits: Sequence[Limit] = ()) -> Iterator[Recorder]:
    made = Recorder(home, book, limits)
    try:
        yield made
    finally:
        made.close()
