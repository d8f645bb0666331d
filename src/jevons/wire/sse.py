"""Server-sent events as bytes: cut a stream at event borders, and read events one by one where that is needed.

Chunks of an upstream end anywhere; what is relayed ends at event borders, so that a stream can always be closed by a well-formed event.
Does not know: what events mean.
"""

import re
from collections.abc import Iterator

from jevons.core.limits import SSE_EVENT_BYTES_MAX

_BORDER = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class BrokenStream(Exception):
    """The upstream's stream is not what it should be; the message says why."""


class Cutter:
    """Collects chunks and gives back whole events, byte for byte."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """All whole events so far, as they came; b"" if none is complete. Raises BrokenStream for an endless event."""
        data = self._rest + chunk if self._rest else chunk
        end = data.rfind(b"\n\n") + 2
        if b"\r" in data:
            end = max(
                end, data.rfind(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0, data.rfind(b"\r\r") + 2 if b"\r\r" in data else 0
            )
        if end <= 1:
            if len(data) > SSE_EVENT_BYTES_MAX:
                raise BrokenStream(f"one event is larger than {SSE_EVENT_BYTES_MAX} bytes")
            self._rest = data
            return b""
        if end == len(data):
            self._rest = b""
            return data
        self._rest = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What came after the last border: an unfinished event."""
        return self._rest


def events(whole: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """(name, data, raw bytes with border) of each event in a run of whole events; name is "" if none was given. No byte is left out."""
    start = 0
    for border in _BORDER.finditer(whole):
        raw = whole[start : border.end()]
        start = border.end()
        name, data = read_event(raw)
        yield name, data, raw
    if start < len(whole):  # one line end more than a border needs
        yield "", b"", whole[start:]


def read_event(raw: bytes) -> tuple[str, bytes]:
    """Name and joined data lines of one event; comments and other fields are passed over."""
    name, data = "", []
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("ascii", "replace")
    return name, b"\n".join(data)


def event(name: str, data: bytes) -> bytes:
    """One event as bytes; without an `event:` line when the name is empty."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"
