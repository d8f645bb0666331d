"""Scripted calls to a gateway over bare connections, and what each caller saw of its answer.

Comes in: calls and how many go at once. Goes out: one `Told` per call, also when the gateway dies under it. Each caller keeps its
connection from call to call. Knows nothing of ledgers.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
MODELS = {"chat": "gpt-4o", "messages": "claude-sonnet-4-5", "responses": "gpt-4o"}
TERMINALS = {"chat": b"data: [DONE]", "messages": b"event: message_stop", "responses": b"event: response.completed"}
ANSWER_TIMEOUT_S = 60
CAP_TOKENS = 200


@dataclass(frozen=True)
class Call:
    """One call. `name` is its run id, the script's marker and a word of the answer, so that every trace of it can be found."""

    name: str
    door: str = "chat"
    stream: bool = False
    model: str = ""
    script: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def wire(self, key: str) -> bytes:
        """The request's bytes."""
        text = "@@" + json.dumps({"reply": f"this is {self.name} and no other", "marker": self.name, **self.script})
        cap = {"chat": "max_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}[self.door]
        about: dict[str, Any] = {"model": self.model or MODELS[self.door], "stream": self.stream, cap: CAP_TOKENS, **self.extra}
        about |= {"input": text} if self.door == "responses" else {"messages": [{"role": "user", "content": text}]}
        body = json.dumps(about).encode()
        lines = [
            f"POST {PATHS[self.door]} HTTP/1.1",
            "host: 127.0.0.1",
            f"x-jevons-key: {key}",
            f"x-jevons-run-id: {self.name}",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Told:
    """What a caller saw of one answer."""

    call: Call
    wire: bytes = b""
    whole: bool = False
    """The HTTP body ended as its framing says."""

    @property
    def status(self) -> int:
        """0 if no answer came."""
        match = re.match(rb"HTTP/1\.1 (\d+)", self.wire)
        return int(match[1]) if match else 0

    @property
    def body(self) -> bytes:
        """What came after the head; chunk sizes included, for what is looked for stands whole between them."""
        return self.wire.partition(b"\r\n\r\n")[2]

    @property
    def request(self) -> str:
        """The gateway's own name for it; "" if no answer began."""
        match = re.search(rb"x-jevons-request-id: (req_[0-9a-f]+)", self.wire)
        return match[1].decode() if match else ""

    @property
    def ended(self) -> bool:
        """The end of an answer was seen: a stream's terminal event, or any answer's last byte."""
        return self.status == 200 and (self.whole or (self.call.stream and TERMINALS[self.call.door] in self.wire))


def load(port: int, key: str, calls: Iterable[Call], at_once: int) -> list[Told]:
    """Makes the calls, `at_once` at any time, in order; what the gateway's death leaves open is told as far as it came."""
    return asyncio.run(_load(port, key, list(calls), at_once))


async def _load(port: int, key: str, calls: Sequence[Call], at_once: int) -> list[Told]:
    waiting = iter(calls)
    told: list[Told] = []
    async with asyncio.timeout(ANSWER_TIMEOUT_S + len(calls)), asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(calls))):
            group.create_task(_caller(port, key, waiting, told))
    return told


async def _caller(port: int, key: str, waiting: Iterable[Call], told: list[Told]) -> None:
    """One connection after another; ends when nobody listens any more or no call is left."""
    pipes = None
    for call in waiting:
        answer = Told(call)
        try:
            if pipes is None:
                pipes = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
            told.append(answer)
            pipes[1].write(call.wire(key))
            await read_answer(pipes[0], answer)
        except OSError:
            pass
        if not answer.whole and pipes is not None:
            pipes[1].close()
            pipes = None
        if not answer.wire:
            return
    if pipes is not None:
        pipes[1].close()


async def read_answer(reader: asyncio.StreamReader, answer: Told) -> None:
    """Reads one answer to its end, or to the connection's."""
    try:
        answer.wire = await reader.readuntil(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", answer.wire):
            answer.wire += await reader.readexactly(int(length[1]))
        else:
            await _read_chunks(reader, answer)
        answer.whole = True
    except asyncio.IncompleteReadError as error:
        answer.wire += error.partial


async def _read_chunks(reader: asyncio.StreamReader, answer: Told) -> None:
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        answer.wire += line
        size = int(line, 16)
        answer.wire += await reader.readexactly(size + 2)
