"""The client's side of one request: sending to it, and noticing that it left."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Client:
    """One open request. Watching starts when asked for: it costs a task."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._interrupts: asyncio.Task[Any] | None = None
        self.gone = False
        self.streams = False
        """It asked for a stream."""
        self.started = False

    def watch(self, after_s: float) -> None:
        """Begin to notice the client's leaving, `after_s` from now; the current task is the one that `interrupt_on_leave` concerns."""
        if self._timer is None and self._watcher is None:
            loop = asyncio.get_running_loop()
            if after_s:
                self._timer = loop.call_later(after_s, self._start_watching)
            else:
                self._start_watching()

    def interrupt_on_leave(self, interrupt: bool) -> None:
        """Cancel the current task when the client leaves, or only set `gone`. Raises CancelledError if it has left already."""
        self._interrupts = asyncio.current_task() if interrupt else None
        if interrupt and self.gone:
            raise asyncio.CancelledError

    def left(self) -> bool:
        """Was the current task cancelled because the client left? Asking takes the cancellation back."""
        if self.gone and self._interrupts is not None:
            self._interrupts.uncancel()
            self._interrupts = None
            return True
        return False

    def close(self) -> None:
        """Stop watching."""
        self._interrupts = None
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer at once."""
        headers.append((b"content-length", str(len(body)).encode()))
        await self.start(status, headers)
        await self.body(body, more=False)

    def _start_watching(self) -> None:
        self._timer = None
        self._watcher = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._interrupts is not None:
            self._interrupts.cancel()
