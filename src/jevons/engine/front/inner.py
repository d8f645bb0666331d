"""llama.cpp's server on its own loopback port, as the front talks to it.

Comes in: method, path, body. Goes out: an answer's status and headers, then its body as it comes; and the doors that save, restore and
erase a slot. One connection per request: closing it is how llama.cpp learns that nobody wants the answer any more.
"""

import asyncio
from collections.abc import AsyncIterator

import httptools
import msgspec

from jevons.core.limits import ENGINE_INNER_READ_BYTES, ENGINE_SLOT_TIMEOUT_S


class InnerFailed(Exception):
    """llama.cpp's server could not be reached, broke off, or refused to move a slot; the message says which."""


class InnerAnswer:
    """One answer under way: `status` and `headers` first, then `chunks()`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._reader, self._writer = reader, writer
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._headed = self._ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status, self._headed = self._parser.get_status_code(), True

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        self._ended = True

    async def begin(self) -> None:
        """Read until the headers are there. Raises InnerFailed."""
        while not self._headed:
            await self._feed()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as it arrives. Raises InnerFailed if it breaks off."""
        while True:
            for chunk in self._chunks:
                yield chunk
            self._chunks.clear()
            if self._ended:
                return
            await self._feed()

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    def close(self) -> None:
        self._writer.close()

    async def _feed(self) -> None:
        try:
            data = await self._reader.read(ENGINE_INNER_READ_BYTES)
            if not data:
                raise InnerFailed("the engine's server closed the connection")
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as error:
            raise InnerFailed(f"the engine's server broke off: {error}") from None


class Inner:
    """The server at one port, behind its key."""

    def __init__(self, port: int, api_key: str) -> None:
        self._port = port
        self._key = api_key

    async def send(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> InnerAnswer:
        """The answer, headers read. Raises InnerFailed. Close it in every case."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=ENGINE_INNER_READ_BYTES)
        except OSError as error:
            raise InnerFailed(f"the engine's server cannot be reached: {error}") from None
        answer = InnerAnswer(reader, writer)
        try:
            writer.write(head.encode("latin-1") + body)
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    async def save(self, slot: int, file: str) -> int:
        """Write a slot's state to `file` in the transit folder; the tokens it holds. Raises InnerFailed."""
        return (await self._slot(slot, "save", {"filename": file})).n_saved

    async def restore(self, slot: int, file: str) -> int:
        """Fill a slot from `file`; the tokens it now holds. Raises InnerFailed, after which the slot is empty."""
        return (await self._slot(slot, "restore", {"filename": file})).n_restored

    async def erase(self, slot: int) -> None:
        """Forget all that a slot holds. Raises InnerFailed."""
        await self._slot(slot, "erase", {})

    async def _slot(self, slot: int, action: str, body: dict[str, str]) -> "_Moved":
        answer = None
        try:
            async with asyncio.timeout(ENGINE_SLOT_TIMEOUT_S):
                answer = await self.send("POST", f"/slots/{slot}?action={action}", msgspec.json.encode(body))
                said = await answer.body()
        except TimeoutError:
            raise InnerFailed(f"slot {slot} could not {action} within {ENGINE_SLOT_TIMEOUT_S:.0f} s") from None
        finally:
            if answer is not None:
                answer.close()
        if answer.status != 200:
            raise InnerFailed(f"slot {slot} could not {action}: {said[:200].decode('utf-8', 'replace')}")
        try:
            return msgspec.json.decode(said, type=_Moved)
        except msgspec.DecodeError as error:
            raise InnerFailed(f"slot {slot}: the engine's server said something else than tokens: {error}") from None


class _Moved(msgspec.Struct):
    """What llama.cpp says of a slot's state that it moved."""

    n_saved: int = 0
    n_restored: int = 0
