"""An answer as a list of frames: what is generated in which step, and the bytes that show it."""

import enum
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.provider.prompt import compact


class Kind(enum.Enum):
    """What making a frame generates."""

    OPEN = "open"
    """Nothing: starts, pings, ends of blocks."""
    REASON = "reason"
    """A share of the reasoning tokens; without bytes where reasoning is hidden."""
    DELTA = "delta"
    """A share of the visible output."""
    FINAL = "final"
    """Nothing: usage and the terminal event, once all is generated (and billed)."""


@dataclass(frozen=True)
class Frame:
    """One step of generation and the bytes to write after it; empty bytes are not written."""

    data: bytes
    kind: Kind


def event(data: object, name: str | None = None) -> bytes:
    """One server-sent event: `name` as its `event:` line, JSON or a ready text as its data."""
    text = data if isinstance(data, str) else compact(data)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode("utf-8", "surrogatepass")


def hidden_reasoning(tokens: int, steps: int) -> list[Frame]:
    """Steps that think and show nothing."""
    return [Frame(b"", Kind.REASON)] * min(tokens, steps)


def whole(body: bytes, reasoning: int, steps: int) -> list[Frame]:
    """A non-streamed answer: thought and generated in steps, then written in two halves."""
    half = len(body) // 2
    return [
        *hidden_reasoning(reasoning, steps),
        *[Frame(b"", Kind.DELTA)] * steps,
        Frame(body[:half], Kind.FINAL),
        Frame(body[half:], Kind.FINAL),
    ]


def generated(frames: Sequence[Frame], output: int, reasoning: int) -> list[tuple[int, int]]:
    """(output, reasoning) tokens made once each frame is; reasoning is a part of output. The last DELTA completes them."""
    counts = {kind: sum(frame.kind is kind for frame in frames) for kind in Kind}
    seen = dict.fromkeys(Kind, 0)
    made = []
    for frame in frames:
        seen[frame.kind] += 1
        thought = (
            reasoning * seen[Kind.REASON] // counts[Kind.REASON] if counts[Kind.REASON] else reasoning * bool(seen[Kind.DELTA])
        )
        shown = (output - reasoning) * seen[Kind.DELTA] // counts[Kind.DELTA] if counts[Kind.DELTA] else 0
        made.append((output, reasoning) if frame.kind is Kind.FINAL else (thought + shown, thought))
    return made


def rewritten(frames: Sequence[Frame], fault: str | None, size_bytes: int) -> list[Frame]:
    """The same stream in a stranger way: the `sse_…` faults."""
    middle = [i for i, frame in enumerate(frames) if frame.kind is Kind.DELTA and frame.data]
    at = middle[len(middle) // 2] if middle else len(frames) - 1
    broken = b'data: {"id": "broken", \n\n'
    if fault == "sse_malformed":
        return [*frames[:at], Frame(broken, Kind.OPEN), *frames[at:]]
    if fault == "sse_malformed_joined":
        before = b"".join(frame.data for frame in frames[:at])
        return [*[replace(frame, data=b"") for frame in frames[:at]], Frame(before + broken, Kind.OPEN), *frames[at:]]
    if fault == "sse_huge_line":
        return [*frames[:at], Frame(b": " + b"x" * size_bytes + b"\n\n", Kind.OPEN), *frames[at:]]
    if fault == "sse_huge_event":
        return [replace(f, data=_inflated(f.data, size_bytes)) if i == at else f for i, f in enumerate(frames)]
    if fault == "sse_crlf":
        return [replace(f, data=f.data.replace(b"\n", b"\r\n")) for f in frames]
    if fault == "sse_comments":
        return [replace(f, data=b": keep-alive\n\n" + f.data if f.data else b"") for f in frames]
    if fault == "sse_no_space":
        return [replace(f, data=f.data.replace(b"data: ", b"data:", 1)) for f in frames]
    if fault == "sse_split_utf8":
        return [part for f in frames for part in _split(f, _inside_characters(f.data))]
    if fault == "sse_split_bytes":
        return [part for f in frames for part in _split(f, list(range(7, len(f.data), 7)))]
    if fault == "sse_joined":
        return _joined(frames)
    if fault == "sse_no_final_blank":
        return [*frames[:-1], replace(frames[-1], data=frames[-1].data[:-1])]
    return list(frames)


def _split(frame: Frame, cuts: list[int]) -> list[Frame]:
    """The frame's bytes in several writes; only the first of them generates."""
    edges = [0, *cuts, len(frame.data)]
    parts = [frame.data[a:b] for a, b in itertools.pairwise(edges)]
    rest = Kind.FINAL if frame.kind is Kind.FINAL else Kind.OPEN
    return [Frame(parts[0], frame.kind), *[Frame(part, rest) for part in parts[1:]]]


def _inside_characters(data: bytes) -> list[int]:
    """Positions of continuation bytes that follow a lead byte: a cut there breaks a UTF-8 character."""
    return [i for i in range(1, len(data)) if data[i] & 0xC0 == 0x80 and data[i - 1] & 0xC0 == 0xC0]


def _joined(frames: Sequence[Frame]) -> list[Frame]:
    out: list[Frame] = []
    for i, frame in enumerate(frames):
        if i % 2 == 0 and i + 1 < len(frames):
            out.append(replace(frame, data=b""))
        else:
            before = frames[i - 1].data if i % 2 else b""
            out.append(replace(frame, data=before + frame.data))
    return out


def _inflated(data: bytes, size_bytes: int) -> bytes:
    """The event with its text made longer: the last string before the end of a delta's value grows."""
    for key in (b'"content":"', b'"text":"', b'"delta":"', b'"arguments":"', b'"partial_json":"', b'"thinking":"'):
        at = data.find(key)
        if at >= 0:
            return data[: at + len(key)] + b"x" * size_bytes + data[at + len(key) :]
    return data
