"""Holds and entries as rows of their tables.

Comes in: an open transaction, holds and entries. Goes out: rows, many in one statement; holds that are read again. Does not know: sums, accounts,
what a post means.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import msgspec

from jevons.core.entry import Entry, Hold

HOLD_COLUMNS = (
    "id key_id run_id dialect model target upstream stream held_nusd list_held_nusd input_tokens input_bound output_tokens "
    "price_book price_row chain messages agent parent_run_id run_source terms held_order tier"
).split()
ENTRY_COLUMNS = (
    "id key_id run_id dialect model target upstream stream outcome status input cache_read cache_write_5m cache_write_1h output "
    "reasoning lines list_nusd billed_nusd held_nusd overrun_nusd estimate input_bound price_book price_row chain messages finish "
    "settled_ms first_byte_ms agent terms held_order posted_order source requests unknown tariff tier savings role routed"
).split()
STATEMENT_ROWS = (64, 16, 4, 1)
"""Rows per INSERT: few prepared statements, few steps. Each step gives up the interpreter lock once, and getting it back is what costs."""


def _inserting(table: str, columns: list[str]) -> dict[int, str]:
    """The INSERT for each of these numbers of rows."""
    one = f"({', '.join('?' * len(columns))})"
    return {rows: f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * rows)}" for rows in STATEMENT_ROWS}


_INTO_HOLDS = _inserting("holds", HOLD_COLUMNS)
_INTO_ENTRIES = _inserting("entries", ENTRY_COLUMNS)
_OUT_OF_HOLDS = {rows: f"DELETE FROM holds WHERE id IN ({', '.join('?' * rows)})" for rows in STATEMENT_ROWS}
_encode_lines = msgspec.json.Encoder().encode


def read_holds(db: apsw.Connection) -> list[Hold]:
    """All that are open, by their ids."""
    return [_hold_of(row) for row in db.execute(f"SELECT {', '.join(HOLD_COLUMNS)} FROM holds ORDER BY id")]


def write_holds(db: apsw.Connection, holds: Sequence[Hold]) -> None:
    _insert(db, _INTO_HOLDS, [_hold_row(hold) for hold in holds])


def write_entries(db: apsw.Connection, entries: Sequence[Entry]) -> None:
    _insert(db, _INTO_ENTRIES, [_entry_row(entry) for entry in entries])


def drop_holds(db: apsw.Connection, ids: list[int]) -> None:
    """Those that are resolved."""
    for part in _parts(ids):
        db.execute(_OUT_OF_HOLDS[len(part)], part)


def _hold_row(h: Hold) -> tuple[Any, ...]:
    return (
        h.id, h.key_id, h.run_id, h.dialect, h.model, h.target, h.upstream, h.stream, h.held_nusd, h.list_held_nusd, h.input_tokens,
        h.input_bound, h.output_tokens, h.price_book, h.price_row, h.chain, h.messages, h.agent, h.parent_run_id, h.run_source,
        h.terms, h.order, h.tier,
    )  # fmt: skip


def _hold_of(row: tuple[Any, ...]) -> Hold:
    fields = dict(zip(HOLD_COLUMNS, row, strict=True))
    fields["stream"] = bool(fields["stream"])
    return Hold(order=fields.pop("held_order"), **fields)


def _entry_row(e: Entry) -> tuple[Any, ...]:
    h, u = e.hold, e.usage
    return (
        h.id, h.key_id, h.run_id, h.dialect, h.model, h.target, h.upstream, h.stream, e.outcome, e.status, u.input, u.cache_read,
        u.cache_write_5m, u.cache_write_1h, u.output, u.reasoning, _encode_lines(e.lines).decode(), e.list_nusd, e.billed_nusd, h.held_nusd,
        e.overrun_nusd, e.estimate, h.input_bound, h.price_book, e.price_row or h.price_row, h.chain, h.messages, e.finish, e.settled_ms, e.first_byte_ms,
        h.agent, h.terms, h.order, e.order, e.source, e.requests, e.unknown, e.tariff, h.tier, _encode_lines(e.savings).decode() if e.savings else "[]",
        e.role, "" if e.routed is None else _encode_lines(e.routed).decode(),
    )  # fmt: skip


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    """The rows in runs of the sizes that have a prepared statement."""
    start = 0
    for size in STATEMENT_ROWS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _insert(db: apsw.Connection, statements: dict[int, str], rows: list[tuple[Any, ...]]) -> None:
    for part in _parts(rows):
        db.execute(statements[len(part)], tuple(itertools.chain.from_iterable(part)))
