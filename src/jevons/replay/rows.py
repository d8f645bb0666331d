"""Recorded calls, read in the order in which they took their money.

Comes in: a ledger and a time. Goes out: a stream of `Call`, by the place of each hold in the order of events. A call's own id tells when its
request came; its hold may have been taken later (it waited, it was another try). So rows are read by id and kept back until no hold
before theirs can still come: as many as calls are under way at once. Of a call that has its terms nothing is read of what was
decided at the time; only what the provider did: usage, latency, and how far that is known.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any

import apsw
import msgspec

from jevons.core.entry import ORDER_BITS, Estimate, Outcome, admitted_ms, attempt_of, first_id_of_ms, first_order_of_ms
from jevons.core.price import Line
from jevons.core.usage import REASONING, REQUESTS, TOKEN_KINDS, Usage
from jevons.policy.terms import Asked, decode

LENGTH = frozenset({"length", "max_tokens", "max_output_tokens"})
"""How providers say that an answer ended at its cap."""
_PLAIN = frozenset({*TOKEN_KINDS, REASONING, REQUESTS, "hold"})
"""Kinds of lines that the token counts tell of already, or the price does."""
_UNPRICED = (("unpriced", 1),)
"""Usage of a kind that no price has: it is charged as the whole hold."""
_WHOLE_HOLD = frozenset({Estimate.HOLD, Estimate.UNPRICED})
_NEVER_SENT = frozenset({Outcome.VOID, Outcome.UNREACHABLE})
_LAST_OF_MS = (1 << ORDER_BITS) - 1
_QUERY = """
SELECT id, key_id, run_id, agent, dialect, model, target, upstream, stream, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning,
       lines, estimate, outcome, settled_ms, held_order, posted_order, terms, price_book, source, requests, finish,
       role, routed, iif(length(terms), 0, list_nusd), iif(length(terms), 0, billed_nusd)
FROM entries WHERE id >= ? AND id < ? ORDER BY id
"""
_lines = msgspec.json.Decoder(tuple[Line, ...]).decode


class Call:
    """One recorded attempt: who asked for what, and what the provider did."""

    __slots__ = (
        "agent",
        "asked",
        "at_ms",
        "billed_nusd",
        "book",
        "dialect",
        "held_order",
        "id",
        "imported",
        "key_id",
        "list_nusd",
        "model",
        "posted_order",
        "request_billed",
        "requests",
        "role",
        "routed",
        "run_id",
        "sent",
        "settled_ms",
        "step",
        "target",
        "upstream",
        "usage",
        "usage_known",
        "was_cut",
    )

    def __init__(self, row: tuple[Any, ...]) -> None:
        (
            self.id, self.key_id, self.run_id, self.agent, self.dialect, self.model, self.target, self.upstream, _, *counts,
            lines, estimate, outcome, self.settled_ms, self.held_order, self.posted_order, terms, self.book, source, self.requests, finish,
            self.role, self.routed, self.list_nusd, self.billed_nusd,
        ) = row  # fmt: skip
        self.at_ms: int = admitted_ms(self.id)
        self.asked: Asked | None = decode(terms)
        """None: nothing was recorded of how it was decided. What it came to is taken as it stands."""
        self.imported: bool = source != ""
        self.sent: bool = outcome not in _NEVER_SENT
        self.step: bool = attempt_of(self.id) == 0 and outcome not in (Outcome.VOID, Outcome.FREE, Outcome.CACHED)
        self.usage_known: bool = estimate not in _WHOLE_HOLD
        """False: nobody knows what was used; it is charged as its whole hold."""
        self.was_cut: bool = finish in LENGTH
        self.request_billed: bool = False
        """The provider bills each request, and billed this one."""
        other: tuple[tuple[str, int], ...] = ()
        if estimate == Estimate.UNPRICED:
            other, self.usage_known = _UNPRICED, True
        elif lines.count('["') > sum([1 for count in counts[:5] if count]):  # else each line is of a kind that was counted
            found = _lines(lines)
            other = tuple([(line.kind, line.count) for line in found if line.kind not in _PLAIN])
            self.request_billed = any(line.kind == REQUESTS for line in found)
        plain, cached, short, long, output, reasoning = counts
        self.usage = Usage(plain, cached, short, long, output, reasoning, other)
        if not self.held_order:
            self.held_order = first_order_of_ms(self.at_ms)
            self.posted_order = first_order_of_ms(max(self.at_ms, self.settled_ms)) + _LAST_OF_MS


def calls(db: apsw.Connection, since_ms: int, until_ms: int) -> Iterator[Call]:
    """Those of requests that came in this time, by the place of their holds."""
    waiting: list[tuple[int, int, Call]] = []
    for row in db.execute(_QUERY, (first_id_of_ms(since_ms), min(first_id_of_ms(until_ms), 2**63 - 1))):
        call = Call(row)
        border = first_order_of_ms(call.at_ms)
        while waiting and waiting[0][0] < border:
            yield heappop(waiting)[2]
        heappush(waiting, (call.held_order, call.id, call))
    while waiting:
        yield heappop(waiting)[2]
