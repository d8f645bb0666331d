"""What a process wrote, synced and sent, in the order in which the kernel was asked: from the log of `strace -f`.

The order of lines is the order of events: strace holds a thread still while it writes down that a call begins or has ended. So
"ended on an earlier line than the other began" is "happened before".
"""

import codecs
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

CALLS = ("pwrite64", "pwritev", "pwritev2", "write", "writev", "sendto", "sendmsg", "fdatasync", "fsync")

_LINE = re.compile(rb"^(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)$", re.DOTALL)
_FD = re.compile(rb"\d+<([^>]*?(?:->[^>]*)?)>")
_TEXT = re.compile(rb'"((?:[^"\\]+|\\.)*)"(\.\.\.)?', re.DOTALL)
_RESULT = re.compile(rb"\) += (-?\d+)")
_OFFSET = re.compile(rb", (\d+)(?:\)| <unfinished)")


@dataclass
class Event:
    """One system call. `began` and `ended` are line numbers; a call that never ended has none of the latter."""

    call: str
    file: str
    """Path, or `TCP:[from->to]`."""
    began: int
    ended: int | None = None
    data: bytes = b""
    offset: int = 0
    result: int = 0


@dataclass
class Trace:
    """All traced calls, in the order in which they began."""

    events: list[Event] = field(default_factory=list)

    def of(self, *calls: str, file: str = "") -> list[Event]:
        """Calls of these kinds whose file's name ends so."""
        return [event for event in self.events if event.call in calls and event.file.endswith(file)]


def strace() -> str | None:
    """Its path, if it is installed."""
    return shutil.which("strace")


def wrapper(log: Path) -> list[str]:
    """The command before a command that traces it."""
    return [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-yy",
        "-s",
        "262144",
        "-e",
        "signal=none",
        "-e",
        f"trace={','.join(CALLS)}",
        "-o",
        str(log),
    ]


def read_trace(lines: Iterable[bytes]) -> Trace:
    """The events of a log. Raises ValueError for a line that cannot be read or data that strace has cut."""
    trace, open_calls = Trace(), {}
    for number, line in enumerate(lines):
        match = _LINE.match(line.rstrip(b"\n"))
        if match is None:
            if b"+++ " in line or b"--- " in line:
                continue
            raise ValueError(f"line {number} is not understood: {line[:200]!r}")
        thread, rest = match["thread"], match["rest"]
        if match["resumed"] is None:
            event = open_calls[thread] = _begun(match["call"].decode(), number, rest)
            trace.events.append(event)
            rest = _TEXT.sub(b"", rest)
        if rest.endswith(b"<unfinished ...>"):
            continue
        event = open_calls.pop(thread)
        result = _RESULT.search(rest)
        if result is None:
            continue  # the process died in it
        event.ended, event.result = number, int(result[1])
        if event.data and "sync" not in event.call:
            event.data = event.data[: max(0, event.result)]
    return trace


def _begun(call: str, number: int, rest: bytes) -> Event:
    file = _FD.match(rest)
    pieces = []
    for text, cut in _TEXT.findall(rest):
        if cut:
            raise ValueError(f"line {number}: strace has cut the data; raise its -s")
        pieces.append(codecs.escape_decode(text)[0])
    offset = _OFFSET.search(_TEXT.sub(b'""', rest)) if call == "pwrite64" else None
    name = file[1].decode(errors="replace") if file else ""
    return Event(call, name, number, None, b"".join(pieces), int(offset[1]) if offset else 0)
