"""Reading a request's body within limits: size, all bodies together, and what compression may hide."""

import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from jevons.core.limits import BODIES_IN_FLIGHT_BYTES_MAX, BODY_BYTES_MAX, DECODE_RATIO_FLOOR_BYTES, DECODE_RATIO_MAX
from jevons.core.refusal import Kind, Refusal, invalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Receive = Callable[[], Awaitable[Any]]


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Bodies:
    """Bytes of all bodies that are held, also of those still arriving: many large ones together must not exhaust memory."""

    def __init__(self) -> None:
        self.bytes = 0


class Body:
    """One request's body, counted among all for as long as the context is open."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bodies.bytes -= self._bytes

    async def read(self, receive: Receive, named: Mapping[bytes, bytes]) -> bytes:
        """The whole decoded body. Raises Refusal (413, 415, 400, 503) or ClientGone. `named`: headers by name."""
        length = named.get(b"content-length", b"")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            raise _too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        self._grow(len(body))
        if message.get("more_body"):
            parts = [body]
            while message.get("more_body"):
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                self._grow(len(parts[-1]))
            body = b"".join(parts)
        encoding = named.get(b"content-encoding", b"identity").strip().lower()
        if encoding in (b"identity", b""):
            return body
        decoded = decode_body(body, encoding)
        self._grow(max(0, len(decoded) - len(body)))
        return decoded

    def _grow(self, size: int) -> None:
        if self._bytes + size > BODY_BYTES_MAX:
            raise _too_large()
        if self._bodies.bytes + size > BODIES_IN_FLIGHT_BYTES_MAX:
            raise Refusal(
                Kind.UNAVAILABLE,
                503,
                "The gateway holds as many request bytes as it may; try again.",
                code="overloaded",
                retry_after_s=1,
            )
        self._bytes += size
        self._bodies.bytes += size


def decode_body(body: bytes, encoding: bytes) -> bytes:
    """A gzip, deflate or zstd body, decoded within the size and ratio limits."""
    limit = min(BODY_BYTES_MAX, max(DECODE_RATIO_FLOOR_BYTES, len(body) * DECODE_RATIO_MAX))
    try:
        if encoding in (b"gzip", b"x-gzip", b"deflate"):
            inflater = zlib.decompressobj(wbits=47)  # gzip or zlib header, found out from the data
            decoded = inflater.decompress(body, limit + 1)
            whole = inflater.eof and not inflater.unused_data
        elif encoding == b"zstd":
            decoded, whole = _unzstd(body, limit)
        else:
            raise Refusal(
                Kind.INVALID,
                415,
                f"Content-Encoding {encoding.decode('latin-1')!r} is not understood; send gzip, zstd or none.",
                code="unknown_encoding",
            )
    except (zlib.error, ValueError) as error:
        raise invalid(f"The body is not valid {encoding.decode('latin-1')}: {error}.", code="invalid_encoding") from None
    if len(decoded) > limit:
        raise _too_large(f"the body unpacks to more than {limit} bytes")
    if not whole:
        raise invalid("The compressed body ends too early, or is followed by more.", code="invalid_encoding")
    return decoded


def _unzstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    decoder = zstd.ZstdDecompressor()
    try:
        decoded = decoder.decompress(body, limit + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None
    return decoded, decoder.eof and not decoder.unused_data


def _too_large(what: str = "the body is too large") -> Refusal:
    return Refusal(
        Kind.TOO_LARGE, 413, f"Request refused: {what} (limit {BODY_BYTES_MAX // 2**20} MiB).", code="request_too_large"
    )
