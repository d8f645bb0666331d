"""A wire tap between an agent and the gateway: bytes pass untouched, and what was asked and answered is written down with its time.

In: the gateway's URL. Out: a URL for the agent, and the exchanges so far. It tells how often an agent knocks again after it was refused,
without believing the gateway's own books.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httptools

CHUNK_BYTES = 1 << 16


@dataclass
class Exchange:
    """One request and its answer. `at_s` is `time.monotonic()`; status 0 = never answered."""

    at_s: float
    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""

    @property
    def is_model_call(self) -> bool:
        """It asks a model for an answer, not for a list of models or a count."""
        path = self.target.partition("?")[0]
        return self.method == "POST" and path.endswith(("/chat/completions", "/responses", "/messages"))

    @property
    def is_denied(self) -> bool:
        """It was refused: by a status, or by a stream that says nothing but that it failed."""
        return self.status >= 400 or self.answer.startswith(b"event: response.failed\n")


class Tap:
    """A relay on a free port of 127.0.0.1, in a thread of its own; a context manager."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._relays: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        """Of all connections there were: each is closed before the loop is."""
        self.url = ""
        self.exchanges: list[Exchange] = []

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._connected, "127.0.0.1", 0), self._loop).result()
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._server = server
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent, and one to the gateway, until either closes."""
        there_reader, there_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        self._writers.append(there_writer)
        notes = Notes(self.exchanges)
        pumps = [
            asyncio.create_task(_pump(reader, there_writer, notes.asked)),
            asyncio.create_task(_pump(there_reader, writer, notes.answered)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.close()
        there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]) -> None:
    while data := await reader.read(CHUNK_BYTES):
        note(data)
        writer.write(data)
        await writer.drain()


class Notes:
    """Writes down the exchanges of one connection. HTTP/1.1 answers in order: an answer belongs to the oldest request without one."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._exchanges = exchanges
        self._waiting: deque[Exchange] = deque()
        self._requests = httptools.HttpRequestParser(_Request(self))
        self._answers = httptools.HttpResponseParser(_Answer(self))
        self.request = self.answer = Exchange(0.0)

    def asked(self, data: bytes) -> None:
        """Bytes of the agent."""
        try:
            self._requests.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # it asks for a WebSocket, and is refused: the connection stays HTTP
            self._requests = httptools.HttpRequestParser(_Request(self))
            self.asked(data[upgrade.args[0] :])

    def answered(self, data: bytes) -> None:
        """Bytes of the gateway."""
        self._answers.feed_data(data)

    def begin_request(self) -> None:
        self.request = Exchange(time.monotonic())
        self._exchanges.append(self.request)
        self._waiting.append(self.request)

    def end_request_head(self) -> None:
        self.request.method = self._requests.get_method().decode()

    def begin_answer(self) -> None:
        self.answer = self._waiting.popleft()

    def end_answer_head(self) -> None:
        self.answer.status = self._answers.get_status_code()


class _Request:
    """What httptools calls for each part of a request."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.on_message_begin = notes.begin_request
        self.on_headers_complete = notes.end_request_head

    def on_url(self, url: bytes) -> None:
        self._notes.request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._notes.request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._notes.request.body += body


class _Answer:
    """What httptools calls for each part of an answer."""

    def __init__(self, notes: Notes) -> None:
        self._notes: Any = notes
        self.on_message_begin = notes.begin_answer
        self.on_headers_complete = notes.end_answer_head

    def on_header(self, name: bytes, value: bytes) -> None:
        self._notes.answer.answer_headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._notes.answer.answer += body
