"""Rows of a SQLite page image, as they stand in a write-ahead log: what a trace of writes says about holds and entries.

Comes in: the bytes of one page of an ordinary table's leaf. Goes out: row ids, number of columns, and one text column.
Source: sqlite.org/fileformat2.html, "B-tree Pages" and "Record Format". Rows with overflow pages are read as far as they are local,
and the first columns of ours always are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

TABLE_LEAF = 0x0D
WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24


@dataclass(frozen=True)
class Row:
    """One row: its id, how many columns it has, and its text columns by position."""

    id: int
    columns: int
    texts: dict[int, str]


def rows(page: bytes) -> Iterator[Row]:
    """Every live row of a page; none if the page is of another kind."""
    if not page or page[0] != TABLE_LEAF:
        return
    for i in range(int.from_bytes(page[3:5], "big")):
        at = int.from_bytes(page[8 + 2 * i : 10 + 2 * i], "big")
        _, at = _varint(page, at)
        row_id, at = _varint(page, at)
        yield _row(page, at, row_id)


def is_commit(frame_header: bytes) -> bool:
    """The frame ends a transaction: the second word, the size of the database after it, is not zero."""
    return frame_header[4:8] != bytes(4)


def _row(page: bytes, start: int, row_id: int) -> Row:
    header_bytes, at = _varint(page, start)
    end = start + header_bytes
    kinds = []
    while at < end:
        kind, at = _varint(page, at)
        kinds.append(kind)
    texts = {}
    for position, kind in enumerate(kinds):
        size = _size(kind)
        if kind >= 13 and kind % 2:
            texts[position] = page[at : at + size].decode(errors="replace")
        at += size
    return Row(row_id, len(kinds), texts)


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | data[at + 8], at + 9
