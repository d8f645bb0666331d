"""The library client: for upstreams behind a proxy of the environment, and for comparison. It works in a thread of its own, which
costs each answer several hand-overs of the interpreter lock.

Comes in: a request. Goes out: status, headers, the body as it comes.
"""

import os
from datetime import timedelta
from pathlib import Path

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import BuilderError, PoolTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from jevons.core.limits import READ_TIMEOUT_SLACK_S
from jevons.gateway.failures import Broken, NotSent, TimedOut
from jevons.gateway.http1 import Header
from jevons.gateway.settings import UpstreamSettings


class LibraryClient:
    """One upstream's pool in the library."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._client = _client(settings)

    async def send(self, method: str, url: str, headers: list[Header], body: bytes | None, *, stream: bool) -> "LibraryExchange":
        """Send and wait for the answer's headers. Raises NotSent, TimedOut (the library's own clock) or Broken."""
        builder = self._client.request(method, url).headers(headers)
        if body is not None:
            builder = builder.body_bytes(body)
        if stream:
            builder = builder.streamed_read_buffer_limit(0)  # its default holds a whole short stream back
        request = builder.build_streamed()
        try:
            response = await request.__aenter__()
        except PyreqwestError as error:
            # The library calls any time-out while waiting for headers a connect time-out; only this cause means that nothing was sent.
            if isinstance(error, PoolTimeoutError | BuilderError) or "client error (Connect)" in _causes(error):
                raise NotSent(_causes(error)[-1]) from None
            raise _failure(error) from None
        return LibraryExchange(request, response)

    async def close(self) -> None:
        await self._client.close()


class LibraryExchange:
    """An answer whose body is still coming."""

    def __init__(self, request: StreamRequest, response: Response) -> None:
        self._request = request
        self._read_chunk = response.body_reader.read_chunk
        self.status = response.status
        self.headers: list[Header] = list(response.headers.items())

    async def next(self) -> bytes | None:
        """The next bytes as they arrive; None only if the upstream ended the body. Raises Broken or TimedOut."""
        try:
            chunk = await self._read_chunk()
        except PyreqwestError as error:
            raise _failure(error) from None
        return None if chunk is None else bytes(chunk)

    async def close(self) -> None:
        """Give the connection back, or drop it if the body is unread."""
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


def _failure(error: PyreqwestError) -> Broken:
    return TimedOut("nothing came for too long") if isinstance(error, RequestTimeoutError) else Broken(_causes(error)[-1])


def _causes(error: PyreqwestError) -> list[str]:
    """What the library says went wrong, outermost first, without URLs (they may carry secrets)."""
    details = getattr(error, "details", None) or {}
    causes = [str(cause["message"]).strip() for cause in details.get("causes") or []]
    return [cause for cause in causes if "for url" not in cause] or [type(error).__name__]
