"""Sending one attempt to one upstream, over a library client with TLS and pools.

Comes in: path, headers, body. Goes out: status, headers and the body, whole or chunk by chunk. Failures are told apart by what
matters for money: nothing was sent, or nobody knows.
Does not know: dialects, prices, retries.
"""

import asyncio
import os
import zlib
from datetime import timedelta
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from jevons.core.limits import ANSWER_BYTES_MAX, BODY_BYTES_MAX, DECODE_RATIO_FLOOR_BYTES, DECODE_RATIO_MAX, READ_TIMEOUT_SLACK_S
from jevons.gateway.patience import Patience
from jevons.gateway.settings import UpstreamSettings

Header = tuple[str, str]


class NotSent(Exception):
    """No connection: the upstream cannot have seen the request."""


class Broken(Exception):
    """The connection failed after the request may have gone out, or the answer is unusable."""


class TimedOut(Broken):
    """Nothing came for as long as the upstream's settings allow."""


class Upstream:
    """One configured upstream and its pool."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self.settings = settings
        self._client = _client(settings)

    async def send(
        self, method: str, url: str, headers: list[Header], body: bytes | None, patience: Patience, *, stream: bool
    ) -> "Answer":
        """Send and wait for the answer's headers. Raises NotSent, TimedOut or Broken. Close the answer in every case."""
        builder = self._client.request(method, url).headers(headers)
        if body is not None:
            builder = builder.body_bytes(body)
        if stream:
            builder = builder.streamed_read_buffer_limit(0)  # its default holds a whole short stream back
        request = builder.build_streamed()
        patience.start(self.settings.first_byte_timeout_s)
        try:
            response = await request.__aenter__()
        except PyreqwestError as error:
            # The library calls any time-out while waiting for headers a connect time-out; only this cause means that nothing was sent.
            if isinstance(error, PoolTimeoutError | BuilderError) or "client error (Connect)" in _causes(error):
                raise NotSent(_causes(error)[-1]) from None
            raise _failure(error, f"no answer within {self.settings.first_byte_timeout_s:g} s") from None
        except asyncio.CancelledError:
            if patience.expired():
                raise TimedOut(f"no answer within {self.settings.first_byte_timeout_s:g} s") from None
            raise
        if stream:
            patience.start(self.settings.idle_timeout_s)
        return Answer(request, response, patience)

    async def close(self) -> None:
        await self._client.close()


class Answer:
    """An upstream's answer whose body is still coming."""

    def __init__(self, request: StreamRequest, response: Response, patience: Patience) -> None:
        self._request = request
        self._read_chunk = response.body_reader.read_chunk
        self._patience = patience
        self.status = response.status
        self.headers: list[Header] = list(response.headers.items())

    async def chunk(self) -> bytes | None:
        """The next bytes as they arrive; None only if the upstream ended the body. Raises Broken or TimedOut."""
        try:
            chunk = await self._read_chunk()
        except PyreqwestError as error:
            raise _failure(error, f"nothing came for {self._patience.seconds:g} s") from None
        except asyncio.CancelledError:
            if self._patience.expired():
                raise TimedOut(f"nothing came for {self._patience.seconds:g} s") from None
            raise
        self._patience.touch()
        return None if chunk is None else bytes(chunk)

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
        await self._request.__aexit__(None, None, None)


def _client(settings: UpstreamSettings) -> Client:
    """Redirects are not followed (a credential must not travel), nothing is decoded behind our back, HTTPS_PROXY and NO_PROXY count."""
    builder = (
        ClientBuilder()
        .http1_only()
        .follow_redirects(False)
        .referer(False)
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .max_connections(settings.connections_max)
        .pool_timeout(timedelta(seconds=settings.connect_timeout_s))
        .connect_timeout(timedelta(seconds=settings.connect_timeout_s))
        # Cancelling a request that waits for its answer's head does not stop it in the library: it goes on until the head comes, and
        # is dropped then. This clock, which is later than ours, drops it also if nothing ever comes, so that a connection is not lost.
        .read_timeout(timedelta(seconds=max(settings.first_byte_timeout_s, settings.idle_timeout_s) + READ_TIMEOUT_SLACK_S))
    )
    if settings.kind == "local":
        builder = builder.no_proxy()  # what is said to a model on this machine does not leave it
    for file in (settings.ca_file, os.environ.get("SSL_CERT_FILE", "")):
        if file:
            builder = builder.add_root_certificate_pem(Path(file).read_bytes())
    return builder.build()


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


def _failure(error: PyreqwestError, silence: str) -> Broken:
    return TimedOut(silence) if isinstance(error, RequestTimeoutError) else Broken(_causes(error)[-1])


def _causes(error: PyreqwestError) -> list[str]:
    """What the library says went wrong, outermost first, without URLs (they may carry secrets)."""
    details = getattr(error, "details", None) or {}
    causes = [str(cause["message"]).strip() for cause in details.get("causes") or []]
    return [cause for cause in causes if "for url" not in cause] or [type(error).__name__]
