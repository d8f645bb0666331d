"""Rows of others' logs on their way into the ledger: which of them are new, and which id each gets.

Comes in: an open transaction and the rows. Goes out: entries as they are to be written. Does not know: files, formats, prices.
"""

from collections.abc import Iterable

import apsw
import msgspec

from jevons.core.entry import ATTEMPT_BITS, COUNTER_BITS, Entry, admitted_ms, first_id_of_ms
from jevons.ledger.ops import FileMark, ImportRow

_FIRST_PLACE = 1 << (COUNTER_BITS - 1)
"""Imported rows take the upper half of a millisecond's places: calls of this gateway would have to be 8,192 in one to meet them."""
_PLACES = 1 << COUNTER_BITS
_ASKED_AT_ONCE = 500


def enter(db: apsw.Connection, rows: Iterable[ImportRow]) -> list[Entry]:
    """The entries of those rows that are not in the ledger yet, each with the id that it keeps, and noted as imported."""
    rows = list({row.digest: row for row in rows}.values())
    known = _known(db, [row.digest for row in rows])
    fresh: list[Entry] = []
    noted: list[tuple[bytes, int]] = []
    after: dict[int, int] = {}
    for row in rows:
        if row.digest in known:
            continue
        entry_id = _free_id(db, admitted_ms(row.entry.hold.id), after)
        fresh.append(msgspec.structs.replace(row.entry, hold=msgspec.structs.replace(row.entry.hold, id=entry_id)))
        noted.append((row.digest, entry_id))
    db.executemany("INSERT INTO imported (digest, entry_id) VALUES (?, ?)", noted)
    return fresh


def mark(db: apsw.Connection, done: FileMark) -> None:
    """How far a file is read."""
    db.execute(
        "INSERT OR REPLACE INTO import_files (kind, path, size, mtime_ns, offset, rows, set_aside, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        msgspec.structs.astuple(done),
    )


def _known(db: apsw.Connection, digests: list[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for start in range(0, len(digests), _ASKED_AT_ONCE):
        part = digests[start : start + _ASKED_AT_ONCE]
        found.update(
            digest
            for (digest,) in db.execute(f"SELECT digest FROM imported WHERE digest IN ({', '.join('?' * len(part))})", part)
        )
    return found


def _free_id(db: apsw.Connection, at_ms: int, after: dict[int, int]) -> int:
    """An id at that millisecond; at a later one if all its places are taken (sums by the day all say midnight)."""
    while True:
        place = after.get(at_ms)
        if place is None:
            first = first_id_of_ms(at_ms)
            last = db.execute(
                "SELECT max(id) FROM entries WHERE id >= ? AND id < ?",
                (first + (_FIRST_PLACE << ATTEMPT_BITS), first_id_of_ms(at_ms + 1)),
            ).get
            place = _FIRST_PLACE if last is None else (last >> ATTEMPT_BITS) % _PLACES + 1
        if place < _PLACES:
            after[at_ms] = place + 1
            return first_id_of_ms(at_ms) + (place << ATTEMPT_BITS)
        after[at_ms] = place
        at_ms += 1
