"""One HTTP/1.1 connection to an upstream, in the event loop's own thread: writes a request, parses the answer as it comes.

Comes in: a whole request as bytes. Goes out: status, headers, and the body's bytes as soon as they arrive. A body that was not ended
by its own framing is never a clean end.
Does not know: pools, connecting, TLS, time-outs (the caller cancels).
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import NamedTuple, Self, cast
from urllib.parse import quote, urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from jevons.core.limits import ANSWER_HEAD_BYTES_MAX, KEEPALIVE_IDLE_S, STREAM_BUFFER_BYTES_MAX, UPLOAD_SLICE_BYTES
from jevons.gateway.failures import Broken, NotSent
from jevons.gateway.sigv4 import host_of

Header = tuple[str, str]

_PORTS = {"http": 80, "https": 443}
_IN_A_TARGET = "".join(chr(code) for code in range(0x21, 0x7F))
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Origin(NamedTuple):
    """Where connections lead."""

    scheme: str
    host: str
    port: int


class Route(NamedTuple):
    """A URL, ready for the request line."""

    origin: Origin
    target: str
    host: str
    """Value of the Host header."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises NotSent for a URL that no request can be sent to."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
            if not host.isascii():
                host = host.encode("idna").decode()
            named = host_of(url) if parts.netloc.isascii() else host_of(f"{parts.scheme}://{host}:{port}")
        except (ValueError, KeyError) as error:
            raise NotSent(f"its URL is not one of http or https ({type(error).__name__})") from None
        if not host or "@" in parts.netloc:
            raise NotSent("its URL has no host, or has credentials in it")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(Origin(parts.scheme, host, port), quote(target, safe=_IN_A_TARGET), named)


def request_head(method: str, route: Route, headers: list[Header], body: bytes | None, *, own_host: bool = False) -> bytes:
    """The head of a request, to its empty line. `own_host`: the headers have a Host already. Raises NotSent for what would be another
    request than meant: a line break in a header."""
    text = f"{method} {route.target} HTTP/1.1\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers])
    lines = len(headers) + 1
    if text.count("\n") != lines or text.count("\r") != lines or "\0" in text:
        raise NotSent("a header of the request has a line break or a zero in it")
    if not own_host:
        text += f"host: {route.host}\r\n"
    if body is not None or method in _WITH_BODY:
        text += f"content-length: {len(body or b'')}\r\n"
    try:
        return (text + "\r\n").encode("latin-1")
    except UnicodeEncodeError:
        raise NotSent("a header of the request is not Latin-1") from None


class Connection(asyncio.Protocol):
    """One connection, for one request after the other. `released` is called when the last byte of an answer was taken (or it was
    given up), `lost` when it is gone."""

    __slots__ = (
        "_answerless",
        "_headers",
        "_keep",
        "_loop",
        "_lost",
        "_overhead",
        "_parser",
        "_parts",
        "_paused",
        "_peer",
        "_released",
        "_room",
        "_since",
        "_status",
        "_transport",
        "_unread",
        "_waiter",
        "busy",
        "done",
        "failure",
        "origin",
        "usable",
    )

    def __init__(self, origin: Origin, released: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        self.origin = origin
        self.usable = True
        self.busy = False
        """A request is under way on it, or its answer is not wholly taken."""
        self.done = False
        """The answer has come to its end."""
        self.failure = ""
        self._loop = asyncio.get_running_loop()
        self._released = released
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._peer = select.poll()
        self._since = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._room = True
        self._paused = False
        self._keep = True
        self._answerless = False
        self._status = 0
        self._headers: list[Header] = []
        self._parts: list[bytes] = []
        self._unread = 0
        self._overhead = 0

    def rest(self) -> bool:
        """Its answer is taken: can it wait for another request? The clock for that starts."""
        self.busy = False
        self._since = self._loop.time()
        return self.usable and self.done and self._keep and not self.failure

    def ready(self) -> bool:
        """Can it take a request after a rest? The kernel is asked too: the loop may not have heard yet that the peer closed."""
        return self.usable and self.idle_s() < KEEPALIVE_IDLE_S and not self._peer.poll(0)

    def idle_s(self) -> float:
        return self._loop.time() - self._since

    def drop(self) -> None:
        """Close it at once, whatever it is at."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    async def send(self, method: str, head: bytes, body: bytes | None) -> "Exchange":
        """Write a request and wait for the answer's head. Raises Broken; then, and when cancelled, it is dropped."""
        transport = self._transport
        assert transport is not None and not self.busy
        self.busy, self.done, self.failure = True, False, ""
        self._keep, self._answerless = True, method == "HEAD"
        self._status, self._overhead, self._headers = 0, 0, []
        try:
            if body is None:
                transport.write(head)
            elif len(body) <= UPLOAD_SLICE_BYTES:
                transport.write(head + body)
            else:
                await self._upload(transport, head, memoryview(body))
            while not self._status:
                if self.failure:
                    raise Broken(self.failure)
                await self.wait()
        except BaseException:
            self.drop()
            raise
        return Exchange(self, self._status, self._headers)

    async def _upload(self, transport: asyncio.Transport, head: bytes, body: memoryview) -> None:
        """Write a large body as fast as it is taken, until an answer comes: whoever answers early wants no more of it."""
        transport.write(head)
        at = 0
        while at < len(body) and not self._status and not self.failure:
            if self._room:
                transport.write(body[at : at + UPLOAD_SLICE_BYTES])
                at += UPLOAD_SLICE_BYTES
            else:
                await self.wait()
        if at < len(body):
            self._keep = False

    async def wait(self) -> None:
        """Until something has happened; ask again what."""
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """What has arrived of the body, b"" if nothing."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def release(self) -> None:
        """The answer is taken, or nobody wants the rest."""
        self._parts.clear()
        self._released(self)

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being of that class
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._peer.register(sock.fileno(), select.POLLRDHUP)
        if not self.usable:
            self._transport.abort()  # given up while it was being made

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if not self.busy or self.done or parser is None:
            self._keep = False
            self.drop()  # nobody has asked for anything
            return
        before = self._unread
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail("it switched to another protocol")
        except HttpParserError as error:
            self._fail(f"its answer is not HTTP/1.1: {error}")
        if self._unread > STREAM_BUFFER_BYTES_MAX:
            if not self._paused and self._transport is not None and not self._transport.is_closing():
                self._paused = True
                self._transport.pause_reading()
        elif self._unread == before and not self.done:
            self._overhead += len(data)
            if self._overhead > ANSWER_HEAD_BYTES_MAX:
                self._fail(f"more than {ANSWER_HEAD_BYTES_MAX // 1024} KiB of headers or chunk marks came without any body")
        else:
            self._overhead = 0
        if self._status or self.failure:
            self._wake()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._parser = None  # a ring of references: parser and connection know each other
        self._lost(self)

    def pause_writing(self) -> None:
        self._room = False

    def resume_writing(self) -> None:
        self._room = True
        self._wake()

    # What the parser says

    def on_message_begin(self) -> None:
        if self.done:
            self._keep = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # trailers are read over
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self.done:
            return
        if status < 200:
            self._headers.clear()  # 100 Continue, 103 Early Hints
            return
        if sum(len(name) + len(value) for name, value in self._headers) > ANSWER_HEAD_BYTES_MAX:
            self._fail(f"its headers are larger than {ANSWER_HEAD_BYTES_MAX // 1024} KiB")
            return
        self._status = status
        if self._answerless:
            self.done, self._keep = True, False  # the parser waits for a body that HEAD does not have

    def on_body(self, body: bytes) -> None:
        if not self.done:
            self._parts.append(body)
            self._unread += len(body)

    def on_message_complete(self) -> None:
        if self._status and not self.done:
            assert self._parser is not None
            self.done = True
            self._keep = self._keep and self._parser.should_keep_alive()

    def _fail(self, reason: str) -> None:
        """No more can be read. What was complete before stays so."""
        self._keep = self.usable = False
        if not self.done and not self.failure:
            self.failure = reason

    def _end(self, error: Exception | None) -> None:
        """Nothing comes any more. Only a body without any other framing ends in this way."""
        self.usable = False
        if not self.busy or self.done or self.failure:
            return
        if error is not None:
            self.failure = getattr(error, "strerror", None) or str(error) or type(error).__name__
        elif self._status and not self._framed():
            self.done, self._keep = True, False
        else:
            self.failure = "the connection was closed before the answer was whole"
        self._wake()

    def _framed(self) -> bool:
        return any(
            name == "content-length" or (name == "transfer-encoding" and value.lower().rstrip().endswith("chunked"))
            for name, value in self._headers
        )

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Exchange:
    """An answer whose body is still coming."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: Connection, status: int, headers: list[Header]) -> None:
        self._connection: Connection | None = connection
        self.status = status
        self.headers = headers

    async def next(self) -> bytes | None:
        """What has arrived, or what arrives next; None at the end of the body. With its last bytes the connection goes back."""
        connection = self._connection
        while connection is not None:
            data = connection.take()
            if connection.done:
                await self.close()
                return data or None
            if data:
                return data
            if connection.failure:
                raise Broken(connection.failure)
            await connection.wait()
        return None

    async def close(self) -> None:
        """Give the connection back, or drop it if the body is not wholly read."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release()
