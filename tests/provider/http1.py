"""HTTP/1.1 on a bare asyncio protocol, so that answers can be wrong in exact ways: every write, cut and reset is the caller's.

In: bytes of a connection. Out: requests, one at a time per connection, handed to a coroutine once their head is read (the body
follows: `await request.complete.wait()`). It knows nothing of what is asked or answered.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httptools

Handler = Callable[["Connection", "Request"], Awaitable[None]]


class Request:
    """One request. `complete` is set once no more of it will come; `whole` if all of it came."""

    def __init__(self) -> None:
        self.method = ""
        self.target = ""
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.complete = asyncio.Event()
        self.whole = False
        self.keep_alive = True

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class Connection(asyncio.Protocol):
    """One client's connection: a parser on one side, exact writes on the other."""

    def __init__(self, number: int, handler: Handler, open_connections: "set[Connection]") -> None:
        self.number = number
        self.gone = asyncio.Event()
        """Set once the client has left (or we closed)."""
        self._handler, self._open = handler, open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._turn = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._writable.set()
        self._request.complete.set()
        self._open.discard(self)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close()

    # httptools callbacks
    def on_message_begin(self) -> None:
        self._request = Request()

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode()
        request.keep_alive = self._parser.should_keep_alive()
        if (request.header("expect") or "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        task = asyncio.get_running_loop().create_task(self._run(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_body(self, body: bytes) -> None:
        self._request.body += body

    def on_message_complete(self) -> None:
        self._request.whole = True
        self._request.complete.set()

    async def _run(self, request: Request) -> None:
        async with self._turn:
            await self._handler(self, request)

    # writing
    def write(self, data: bytes) -> None:
        """Hands bytes to the socket at once; nothing if the client has gone."""
        if not self.gone.is_set() and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Waits until the socket takes more, and lets the loop notice a client that left."""
        await asyncio.sleep(0)
        await self._writable.wait()

    async def pause(self, seconds: float) -> bool:
        """Waits, but not longer than the client stays. True if it is still there."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.gone.wait(), seconds)
        else:
            await asyncio.sleep(0)
        return not self.gone.is_set()

    async def flushed(self) -> None:
        """Waits until the kernel has every byte, or the client has gone."""
        while self._transport.get_write_buffer_size() and not self.gone.is_set():  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Closes in order, after what was written."""
        self._transport.close()

    def reset(self) -> None:
        """Breaks the connection with a TCP RST."""
        sock: Any = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancels what runs here; the server is going down."""
        for task in self._tasks:
            task.cancel()
        return list(self._tasks)


REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
}
REASONS |= {
    405: "Method Not Allowed",
    413: "Payload Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def head(status: int, headers: dict[str, str]) -> bytes:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; without data its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)
