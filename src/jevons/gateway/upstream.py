"""Sending one attempt to one upstream, and reading its answer.

Comes in: URL, headers, body. Goes out: status, headers and the body, whole or chunk by chunk. Failures are told apart by what
matters for money: nothing was sent, or nobody knows.
Does not know: dialects, prices, retries.
"""

import asyncio
import os
import ssl
import zlib
from typing import Protocol
from urllib.request import getproxies, proxy_bypass

from jevons.core.limits import (
    ANSWER_BYTES_MAX,
    BODY_BYTES_MAX,
    DECODE_RATIO_FLOOR_BYTES,
    DECODE_RATIO_MAX,
    ROUTE_MEMO_ENTRIES_MAX,
)
from jevons.gateway.failures import Broken, NotSent, TimedOut
from jevons.gateway.http1 import Exchange, Header, Origin, Route, request_head
from jevons.gateway.patience import Patience
from jevons.gateway.pool import Pool
from jevons.gateway.proxied import LibraryClient
from jevons.gateway.settings import UpstreamSettings

__all__ = ["Answer", "Broken", "NotSent", "TimedOut", "Upstream"]


class Coming(Protocol):
    """An answer under way, whichever client brings it."""

    status: int
    headers: list[Header]

    async def next(self) -> bytes | None: ...

    async def close(self) -> None: ...


class Upstream:
    """One configured upstream and its connections. A proxy of the environment is left to the library client."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self.settings = settings
        self._library: LibraryClient | None = None
        self._tls: ssl.SSLContext | None = None
        self._pool = Pool(settings.connections_max, settings.connect_timeout_s, self._secure)
        self._routes: dict[str, tuple[Route, bool]] = {}
        """URL -> (where it leads, does the library go there)."""
        self._own_host = any(name.lower() == "host" for name in settings.headers)
        if settings.ca_file or os.environ.get("SSL_CERT_FILE"):
            self._secure()  # a file that cannot be read is said at the start

    async def send(
        self, method: str, url: str, headers: list[Header], body: bytes | None, patience: Patience, *, stream: bool
    ) -> "Answer":
        """Send and wait for the answer's headers. Raises NotSent, TimedOut or Broken. Close the answer in every case."""
        try:
            route, by_library = self._routes.get(url) or self._route(url)
            exchange: Coming
            if by_library:
                exchange = await self._send_by_library(method, url, headers, body, patience, stream=stream)
            else:
                exchange = await self._send(method, route, headers, body, patience)
        except asyncio.CancelledError:
            if patience.expired():
                raise TimedOut(f"no answer within {self.settings.first_byte_timeout_s:g} s") from None
            raise
        except (NotSent, Broken):
            patience.stop()
            raise
        if stream:
            patience.start(self.settings.idle_timeout_s)
        return Answer(exchange, patience)

    async def close(self) -> None:
        self._pool.close()
        if self._library is not None:
            await self._library.close()

    async def _send(self, method: str, route: Route, headers: list[Header], body: bytes | None, patience: Patience) -> Exchange:
        head = request_head(method, route, headers, body, own_host=self._own_host)
        connection = self._pool.idle(route.origin) or await self._pool.connection(route.origin)
        patience.start(self.settings.first_byte_timeout_s)  # connecting has its own clock
        return await connection.send(method, head, body)

    async def _send_by_library(
        self, method: str, url: str, headers: list[Header], body: bytes | None, patience: Patience, *, stream: bool
    ) -> Coming:
        if self._library is None:
            self._library = LibraryClient(self.settings)
        patience.start(self.settings.first_byte_timeout_s)
        return await self._library.send(method, url, headers, body, stream=stream)

    def _route(self, url: str) -> tuple[Route, bool]:
        """Remembered: an upstream has few URLs. Raises NotSent."""
        if len(self._routes) >= ROUTE_MEMO_ENTRIES_MAX:
            self._routes.clear()
        route = Route.of(url)
        # What is said to a model on this machine does not leave it, whatever the environment says of proxies.
        by_library = self.settings.client == "library" or (self.settings.kind != "local" and _is_proxied(route.origin))
        found = self._routes[url] = (route, by_library)
        return found

    def _secure(self) -> ssl.SSLContext:
        """The system's authorities (SSL_CERT_FILE replaces their file), and the operator's own."""
        if self._tls is None:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            for file in (self.settings.ca_file, os.environ.get("SSL_CERT_FILE", "")):
                if file:
                    context.load_verify_locations(cafile=file)
            self._tls = context
        return self._tls


class Answer:
    """An upstream's answer whose body is still coming."""

    def __init__(self, exchange: Coming, patience: Patience) -> None:
        self._exchange = exchange
        self._patience = patience
        self.status = exchange.status
        self.headers = exchange.headers

    async def chunk(self) -> bytes | None:
        """The next bytes as they arrive; None only if the upstream ended the body. Raises Broken or TimedOut."""
        try:
            chunk = await self._exchange.next()
        except asyncio.CancelledError:
            if self._patience.expired():
                raise TimedOut(f"nothing came for {self._patience.seconds:g} s") from None
            raise
        self._patience.touch()
        return chunk

    async def read(self) -> bytes:
        """The whole body, decoded, within ANSWER_BYTES_MAX. Raises Broken or TimedOut."""
        length = encoding = ""
        for name, value in self.headers:
            if name == "content-length":
                length = value
            elif name == "content-encoding":
                encoding = value
        parts: list[bytes] = []
        size = 0
        while (chunk := await self.chunk()) is not None:
            parts.append(chunk)
            size += len(chunk)
            if size > ANSWER_BYTES_MAX:
                raise Broken(f"the answer is larger than {ANSWER_BYTES_MAX // 2**20} MiB")
            if length and size == int(length):
                break  # whole: the next read would only say so, at the price of one more wake-up
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return _inflate(body, encoding) if encoding and encoding != "identity" else body

    async def close(self) -> None:
        """Give the connection back, or drop it if the body is unread."""
        self._patience.stop()
        await self._exchange.close()


def _is_proxied(origin: Origin) -> bool:
    """Does a proxy of the environment apply (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY; NO_PROXY)?"""
    proxies = getproxies()
    if origin.scheme not in proxies and "all" not in proxies:
        return False
    return not proxy_bypass(f"{origin.host}:{origin.port}")


def _inflate(body: bytes, encoding: str) -> bytes:
    """We ask for identity; an upstream that compresses all the same is understood, within limits."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Broken(f"the answer came as {encoding!r} although identity was asked for")
    limit = min(BODY_BYTES_MAX, max(DECODE_RATIO_FLOOR_BYTES, len(body) * DECODE_RATIO_MAX))
    inflater = zlib.decompressobj(wbits=47)
    try:
        decoded = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise Broken(f"the answer is not valid {encoding}: {error}") from None
    if len(decoded) > limit or not inflater.eof:
        raise Broken(f"the compressed answer unpacks to more than {limit} bytes, or is cut off")
    return decoded
