"""Was each hold on disk before its request left, and each entry before its answer ended?

Comes in: a trace of one gateway, the two ports, how many columns a hold and an entry have. Goes out: when each row became durable,
every request and every answer as they went over the wire, and what breaks the rule, in words.

A row is durable when an fdatasync of the write-ahead log has *ended* that *began* after the commit frame of the row's transaction
was written. Nothing less counts: a sync that had begun before may have missed it.
"""

import bisect
import re
from dataclasses import dataclass, field

from tests.durability.load import TERMINALS
from tests.durability.pages import FRAME_HEADER_BYTES, WAL_HEADER_BYTES, Row, is_commit, rows
from tests.durability.trace import Event, Trace

NEVER = 1 << 62
RUN_COLUMN = 2
_MARKER = re.compile(rb'marker[\\": ]+([\w.-]+?)[\\"]')
_REQUEST = re.compile(rb"x-jevons-request-id: req_([0-9a-f]+)")
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Sent:
    """One HTTP message on its way out: the line at which its first byte, and the first byte that ends it, were handed to the kernel."""

    name: str
    """The marker of a request; the hexadecimal id of an answer."""
    first: int
    end: int


@dataclass
class Order:
    """What a trace shows."""

    holds: dict[str, int] = field(default_factory=dict)
    """Run id -> line at which the hold was durable."""
    entries: dict[int, int] = field(default_factory=dict)
    """Entry id -> line at which the entry was durable."""
    requests: list[Sent] = field(default_factory=list)
    answers: list[Sent] = field(default_factory=list)
    syncs: int = 0

    @property
    def unheld(self) -> list[str]:
        """Requests of which a byte went upstream before their hold was durable."""
        return [sent.name for sent in self.requests if sent.first <= self.holds.get(sent.name, NEVER)]

    @property
    def unposted(self) -> list[str]:
        """Answers that ended before their entry was durable."""
        return [sent.name for sent in self.answers if sent.end <= self.entries.get(int(sent.name, 16) << 4, NEVER)]


def read_order(trace: Trace, gateway_port: int, provider_port: int, hold_columns: int, entry_columns: int) -> Order:
    """The order of things in a trace. Answers that are not to model calls (health, keys) are left out."""
    order = Order()
    for row, line in _durable(trace, order):
        if row.columns == hold_columns:
            order.holds.setdefault(row.texts.get(RUN_COLUMN, ""), line)
        elif row.columns == entry_columns:
            order.entries.setdefault(row.id, line)
    order.requests = [sent for stream in _streams(trace, rb"->[^>]*:%d\]$" % provider_port) for sent in _requests(stream)]
    order.answers = [sent for stream in _streams(trace, rb"\[[^>]*:%d->" % gateway_port) for sent in _answers(stream)]
    return order


def _durable(trace: Trace, order: Order) -> list[tuple[Row, int]]:
    """(row, line) for every row of every transaction, each at the first sync that covers it; never-synced rows are left out."""
    pages: list[bytes] = []
    waiting: list[tuple[int, list[bytes]]] = []
    found: list[tuple[Row, int]] = []
    commits = False
    for event in trace.of("pwrite64", "fdatasync", "fsync", file="ledger.db-wal"):
        if event.ended is None or event.result < 0:
            continue
        if event.call != "pwrite64":
            order.syncs += 1
            covered = [written for line, written in waiting if line < event.began]
            waiting = [(line, written) for line, written in waiting if line >= event.began]
            found += [(row, event.ended) for written in covered for page in written for row in rows(page)]
        elif len(event.data) == FRAME_HEADER_BYTES:
            commits = is_commit(event.data)
        elif event.offset > 0:
            assert (event.offset - WAL_HEADER_BYTES - FRAME_HEADER_BYTES) % (len(event.data) + FRAME_HEADER_BYTES) == 0
            pages.append(event.data)
            if commits:
                waiting.append((event.ended, pages))
                pages = []
    return found


@dataclass
class _Stream:
    """All that was written to one connection; `line_of` tells when a byte of it was handed over."""

    wire: bytes
    starts: list[int]
    lines: list[int]

    def line_of(self, at: int) -> int:
        return self.lines[bisect.bisect_right(self.starts, at) - 1]


def _streams(trace: Trace, connection: bytes) -> list[_Stream]:
    pattern = re.compile(connection.decode())
    written: dict[str, list[Event]] = {}
    for event in trace.of("write", "writev", "sendto", "sendmsg"):
        if event.data and pattern.search(event.file):
            written.setdefault(event.file, []).append(event)
    streams = []
    for events in written.values():
        starts, size = [], 0
        for event in events:
            starts.append(size)
            size += len(event.data)
        streams.append(_Stream(b"".join(event.data for event in events), starts, [event.began for event in events]))
    return streams


def _requests(stream: _Stream) -> list[Sent]:
    found = []
    for start, _, end in _messages(stream.wire):
        marker = _MARKER.search(stream.wire, start, end)
        assert marker, f"a request without a marker: {stream.wire[start:end]!r}"
        found.append(Sent(marker[1].decode(), stream.line_of(start), stream.line_of(end - 1)))
    return found


def _answers(stream: _Stream) -> list[Sent]:
    """Whole answers end, for this purpose, with their first byte: no byte of them may come before the post."""
    found = []
    for start, body, end in _messages(stream.wire):
        name = _REQUEST.search(stream.wire, start, body)
        if name is None or not stream.wire.startswith(b"HTTP/1.1 200", start) or b"x-jevons-route" not in stream.wire[start:body]:
            continue
        final = start
        if b"text/event-stream" in stream.wire[start:body]:
            last_chunk = end - len(b"0\r\n\r\n")
            marks = [at for mark in TERMINALS.values() if (at := stream.wire.find(mark, body, end)) >= 0]
            assert marks, f"a stream without a terminal event: {stream.wire[start:end]!r}"
            final = min([*marks, last_chunk])
        found.append(Sent(name[1].decode(), stream.line_of(start), stream.line_of(final)))
    return found


def _messages(wire: bytes) -> list[tuple[int, int, int]]:
    """(start, start of the body, end) of every whole HTTP/1.1 message."""
    found, start = [], 0
    while (head := wire.find(b"\r\n\r\n", start)) >= 0:
        body = head + 4
        length = _LENGTH.search(wire, start, body)
        end = body + int(length[1]) if length else _end_of_chunks(wire, body)
        found.append((start, body, end))
        start = end
    return found


def _end_of_chunks(wire: bytes, at: int) -> int:
    while True:
        line = wire.find(b"\r\n", at)
        size = int(wire[at:line], 16)
        at = line + 2 + size + 2
        if not size:
            return at
