"""Sends one planned answer step by step, as its fault demands, and keeps the two last journal lines of it.

In: frames and how they are framed in HTTP. Out: bytes on the connection; `billed` and `ended` in the journal, whatever happens.
"""

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.provider.frames import Frame, Kind, generated
from tests.provider.http1 import Connection, chunk, head
from tests.provider.journal import Bill, Journal
from tests.provider.script import Script

End = Literal["finish", "reset", "eof", "hang"]
BLOCK = b" " * 2**20
SIZE_DEFAULT = 300 * 2**20
FOR_EVER_S = 1e6
MID_STREAM: dict[str, End] = {"hang_mid_stream": "hang", "reset_mid_stream": "reset", "eof_mid_stream": "eof"}
CUT_SHORT = frozenset({*MID_STREAM, "clean_end_without_terminal", "error_event_after_200", "response_failed"})


@dataclass
class Answer:
    """What is to be sent. `bill` and `usage` are what the whole answer costs and reports."""

    status: int
    headers: dict[str, str]
    frames: list[Frame]
    chunked: bool
    bill: Bill = field(default_factory=Bill)
    usage: dict[str, Any] | None = None
    script: Script = field(default_factory=Script)
    broken_off: bytes = b""
    """What follows the last frame of an answer that a fault cuts short: an error event."""


class Delivery:
    """One answer on its way."""

    def __init__(self, connection: Connection, journal: Journal, request_id: str, answer: Answer) -> None:
        self._connection, self._journal, self._id, self._answer = connection, journal, request_id, answer
        self._script = answer.script
        self._digest = hashlib.sha256()
        self._written = 0
        self._made = (0, 0)
        self._billed = False
        self._how = "stopped"

    async def run(self) -> None:
        """Sends it. The journal is complete when this returns or is cancelled."""
        try:
            await self._send()
        finally:
            self._bill(complete=False)
            self._journal.write(
                "ended",
                self._id,
                how=self._how,
                status=self._answer.status,
                body_bytes=self._written,
                body_sha256=self._digest.hexdigest(),
                fault=self._script.fault,
            )

    async def _send(self) -> None:
        fault = self._script.fault
        if not await self._connection.pause(self._script.first_delay_ms / 1000):
            self._leave()
        elif fault in ("reset_before_headers", "hang_before_headers"):
            await self._before_headers()
        elif fault in ("gzip_bomb", "answer_too_large"):
            await self._flood(fault)
        elif await self._frames():
            await self._end()

    async def _frames(self) -> bool:
        """Generates and writes up to the cut. False if the client left."""
        frames, opened = self._answer.frames, False
        steps = generated(frames, self._answer.bill.output, self._answer.bill.reasoning)
        for frame, made in list(zip(frames, steps, strict=True))[: self._cut()]:
            there = await self._connection.pause(self._script.delay_ms / 1000)
            if there:
                self._made = made
                if frame.kind is Kind.FINAL:
                    self._bill(complete=True)
            if there and frame.data:
                there = await self._write((b"" if opened else self._head()) + self._framed(frame.data), frame.data)
                opened = True
            if not there:
                self._leave()
                return False
        if not opened:
            await self._write(self._head(), b"")
        return True

    def _cut(self) -> int | None:
        """After how many frames the fault strikes; None: never."""
        if self._script.fault not in CUT_SHORT:
            return None
        if self._script.fault_at is not None:
            return self._script.fault_at
        final = next(i for i, frame in enumerate(self._answer.frames) if frame.kind is Kind.FINAL)
        if self._script.fault == "clean_end_without_terminal":
            return final
        if not self._answer.chunked:
            return final + 1
        deltas = [i for i, frame in enumerate(self._answer.frames) if frame.kind is Kind.DELTA]
        return deltas[len(deltas) // 2] if len(deltas) > 1 else final

    def _head(self) -> bytes:
        framing = (
            {"transfer-encoding": "chunked"}
            if self._answer.chunked
            else {"content-length": str(sum(len(f.data) for f in self._answer.frames))}
        )
        return head(self._answer.status, {**self._answer.headers, **framing, **self._script.headers})

    def _framed(self, data: bytes) -> bytes:
        return chunk(data) if self._answer.chunked else data

    async def _write(self, wire: bytes, body: bytes) -> bool:
        """Writes bytes on the wire that carry `body`. False if the client left before the last of them."""
        if self._script.fault == "slow_loris":
            for at in range(len(wire)):
                if not await self._connection.pause(max(self._script.delay_ms, 1) / 1000):
                    return False
                self._connection.write(wire[at : at + 1])
        else:
            self._connection.write(wire)
            await self._connection.drain()
        self._written += len(body)
        self._digest.update(body)
        return True

    async def _end(self) -> None:
        """After the last frame, or at the cut."""
        end = MID_STREAM.get(self._script.fault or "", "finish")
        if end == "hang" and not await self._connection.pause(self._hang_s()):
            self._leave()
            return
        if self._answer.broken_off:
            await self._write(self._framed(self._answer.broken_off), self._answer.broken_off)
        self._how = "complete" if self._cut() is None else "fault"
        self._bill(complete=self._how == "complete")
        if end in ("reset", "hang"):
            await self._connection.flushed()
            self._connection.reset()
            return
        if self._answer.chunked and end == "finish":
            self._connection.write(chunk(b""))
        if end == "eof" or self._script.fault == "keepalive_close":
            self._connection.close()
        await self._connection.drain()

    async def _before_headers(self) -> None:
        if self._script.fault == "hang_before_headers" and not await self._connection.pause(self._hang_s()):
            self._leave()
            return
        self._how = "fault"
        self._connection.reset()

    def _hang_s(self) -> float:
        return FOR_EVER_S if self._script.hang_ms is None else self._script.hang_ms / 1000

    def _leave(self) -> None:
        """The client is gone: a stream stops being generated, anything else is finished unheard (and billed)."""
        self._how = "client_gone"
        choice = self._script.on_disconnect or ("stop" if self._answer.chunked else "finish")
        sound = self._script.fault != "hang_before_headers" and self._script.fault not in CUT_SHORT
        if choice == "finish" and sound:
            self._bill(complete=True)

    async def _flood(self, fault: str) -> None:
        """A body without end or sense; the honest answer behind it is billed."""
        size = self._script.size_bytes or SIZE_DEFAULT
        self._bill(complete=True)
        encoding = {"content-encoding": "gzip"} if fault == "gzip_bomb" else {}
        self._connection.write(head(200, {**self._answer.headers, **encoding, "transfer-encoding": "chunked"}))
        for data in _bomb(size) if encoding else _blocks(size):
            if self._connection.gone.is_set():
                self._how = "client_gone"
                return
            self._connection.write(chunk(data))
            self._written += len(data)
            await self._connection.drain()
        self._connection.write(chunk(b""))
        self._how = "complete"

    def _bill(self, complete: bool) -> None:
        """Writes what this answer costs, once: all of it, or what was generated till now."""
        if self._billed:
            return
        self._billed = True
        bill, script = self._answer.bill, self._script
        early = script.fault in ("reset_before_headers", "hang_before_headers") and not self._made[0]
        rule = script.billed if script.fault and script.billed else "all" if complete else "nothing" if early else "generated"
        if rule == "all":
            self._journal.billed(self._id, bill, self._answer.usage)
        elif rule == "nothing":
            self._journal.billed(self._id, Bill(), None)
        else:
            self._journal.billed(self._id, bill.with_output(*self._made), None)


def _blocks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(BLOCK)):
        yield BLOCK


def _bomb(size: int) -> Iterator[bytes]:
    """A gzip file of spaces, about 1,000 times smaller than what it holds."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    for block in _blocks(size):
        packed = packer.compress(block)
        if packed:
            yield packed
    yield packer.flush()


def packed(frames: list[Frame]) -> list[Frame]:
    """The body of a non-streamed answer gzipped: what providers do for clients that accept it."""
    body = gzip.compress(b"".join(frame.data for frame in frames), mtime=0)
    steps = [frame for frame in frames if not frame.data]
    return [*steps, Frame(body[: len(body) // 2], Kind.FINAL), Frame(body[len(body) // 2 :], Kind.FINAL)]


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Waits for cancelled deliveries to write their last lines."""
    await asyncio.gather(*tasks, return_exceptions=True)
