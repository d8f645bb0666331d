"""A client on a bare socket: it sends exact bytes, sees exact bytes, and leaves when the test says so.

For the stand-in's own tests, and for tests of anything that stands before it.
"""

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 30
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


@dataclass
class Seen:
    """What came over the wire until the body or the connection ended; `chunks` of a chunked body, one by one."""

    head: bytes
    wire: bytes
    chunks: list[bytes]
    reset: bool
    finished: bool
    """The HTTP body ended as its framing says."""

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        return b"".join(self.chunks)


def request_bytes(
    door: str, stream: bool, script: dict[str, Any], *headers: str, model: str = "gpt-4o", key: str = "key"
) -> bytes:
    """A request with a script in it; `headers` are whole lines."""
    text = "@@" + json.dumps(script)
    about: dict[str, Any] = {"model": model, "stream": stream}
    about |= {"input": text} if door == "responses" else {"messages": [{"role": "user", "content": text}]}
    if door == "messages":
        about |= {"max_tokens": 500}
    if door == "chat" and stream:
        about |= {"stream_options": {"include_usage": True}}
    body = json.dumps(about).encode()
    lines = [
        f"POST {PATHS[door]} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {key}",
        "anthropic-version: 2023-06-01",
        *headers,
    ]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A bare connection to this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as sock:
        yield sock


def read_until(sock: socket.socket, word: bytes) -> bytes:
    """Reads until `word` came, and not a byte more. Raises EOFError if the connection ends before."""
    wire = b""
    while word not in wire:
        byte = sock.recv(1)
        if not byte:
            raise EOFError(f"no {word!r} in {wire!r}")
        wire += byte
    return wire


def read_all(sock: socket.socket, limit: int = 2**30) -> Seen:
    """Reads until the body is complete, the connection ends, or `limit` bytes came."""
    wire, reset = b"", False
    seen = _parse(wire, reset)
    while not seen.finished and len(wire) < limit:
        try:
            data = sock.recv(2**20)
        except ConnectionResetError:
            reset, data = True, b""
        wire += data
        if not data:
            break
        if len(data) < 2**20:  # parsed anew each time: not in the middle of a flood
            seen = _parse(wire, reset)
    return _parse(wire, reset)


def _parse(wire: bytes, reset: bool) -> Seen:
    head, _, rest = wire.partition(b"\r\n\r\n")
    if b"\r\n\r\n" not in wire:
        return Seen(head, wire, [], reset, False)
    if b"transfer-encoding: chunked" not in head:
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), -1)
        return Seen(head, wire, [rest], reset, len(rest) == length)
    chunks: list[bytes] = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size or len(rest) < int(size, 16) + 2:
            break
        if int(size, 16) == 0:
            return Seen(head, wire, chunks, reset, True)
        chunks.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return Seen(head, wire, chunks, reset, False)
