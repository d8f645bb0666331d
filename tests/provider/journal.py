"""The stand-in's own books: an append-only file of JSON lines, each handed to the kernel before the next thing happens.

A line survives the death of any process once it is written; `billed` is synced too, with all lines before it.

Three lines per request, joined by `id` (control requests leave none):
- `received`: once the request was read: time, connection, method, target, headers as sent, SHA-256 and size of the body (and the
  body itself, base64, if asked for), model, marker;
- `billed`: what the provider charges: the kinds of tokens, and the usage object it reports on a complete answer;
- `ended`: `complete`, `client_gone`, `fault` or `stopped`, with status, the bytes of the body that were written, their SHA-256.

What is billed, always: errors before the answer cost nothing; a complete answer costs its usage object; an answer that was broken
off (by the client or by a fault) costs its whole input, its searches and every token generated until then, reasoning included, seen or not.
`billed` of a complete answer is on disk before the event or body that reports it is written. A client that closes after the last
byte of an answer was written has had a complete one.
"""

import json
import os
import time
from base64 import b64decode
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bill:
    """Tokens and searches charged. Kinds are disjoint, but `reasoning` is a part of `output`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    searches: int = 0
    """Web searches, each billed by itself."""

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.output

    def with_output(self, output: int, reasoning: int) -> "Bill":
        """The same input and searches with less (or more) output."""
        return replace(self, output=output, reasoning=reasoning)


@dataclass(frozen=True)
class Attempt:
    """One request of the journal. `bill` and `ended` are None while it runs."""

    id: str
    received: dict[str, Any]
    bill: Bill | None = None
    usage: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None

    @property
    def marker(self) -> str | None:
        """The script's marker."""
        marker: str | None = self.received["marker"]
        return marker

    @property
    def how(self) -> str | None:
        """`complete`, `client_gone`, `fault`, `stopped`; None while it runs."""
        return None if self.ended is None else str(self.ended["how"])

    @property
    def body(self) -> bytes:
        """The request's body, if the stand-in was told to keep bodies."""
        return b64decode(self.received["body"])

    def header(self, name: str) -> str | None:
        """The request's header, the first if repeated."""
        return next((value for key, value in self.received["headers"] if key.lower() == name.lower()), None)


class Journal:
    """The writing end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, line: str, request_id: str, **values: object) -> None:
        """Appends one line."""
        record = {"line": line, "id": request_id, "time_ns": time.time_ns(), **values}
        os.write(self._file, json.dumps(record).encode() + b"\n")

    def billed(self, request_id: str, bill: Bill, usage: dict[str, Any] | None) -> None:
        """Writes what one request costs; `usage` as reported, None if it was not complete."""
        self.write("billed", request_id, bill=asdict(bill), usage=usage)
        os.fdatasync(self._file)


def read_attempts(path: Path) -> list[Attempt]:
    """Every request of a journal, in order of receipt."""
    received: dict[str, dict[str, Any]] = {}
    rest: dict[tuple[str, str], dict[str, Any]] = {}
    for line in path.read_bytes().rpartition(b"\n")[0].splitlines():  # the last line may be half written
        record = json.loads(line)
        if record["line"] == "received":
            received[record["id"]] = record
        else:
            assert (record["id"], record["line"]) not in rest, f"two lines of one kind: {record}"
            rest[record["id"], record["line"]] = record
    attempts = []
    for request_id, record in received.items():
        billed, ended = rest.get((request_id, "billed")), rest.get((request_id, "ended"))
        bill, usage = (Bill(**billed["bill"]), billed["usage"]) if billed else (None, None)
        attempts.append(Attempt(request_id, record, bill, usage, ended))
    return attempts
