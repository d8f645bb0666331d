"""Event streams cut anywhere: events come out whole, in order, byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.limits import SSE_EVENT_BYTES_MAX
from jevons.wire.sse import BrokenStream, Cutter, event, events, read_event

LINE = st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def event_texts(draw: st.DrawFn) -> tuple[str, list[str], bytes]:
    """(name, data lines, bytes) of one event with comments and other fields around."""
    name = draw(st.sampled_from(["", "message_stop", "error"]))
    data = draw(st.lists(LINE, min_size=1, max_size=3))
    space = draw(st.sampled_from(["", " "]))
    if not space:
        data = [line.removeprefix(" ") for line in data]  # the first space after the colon does not belong to the data
    lines = [f"event:{space}{name}"] if name else []
    lines += [f"data:{space}{line}" for line in data]
    for other in draw(st.lists(st.sampled_from([": comment", "id: 7", "retry: 100", ":"]), max_size=2)):
        lines.insert(draw(st.integers(0, len(lines))), other)
    end = draw(ENDS)
    return name, data, (end.join(lines) + end + end).encode()


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[tuple[str, list[str], bytes]], list[bytes]]:
    """Events of one kind of line end, and their bytes in chunks cut anywhere."""
    made = draw(st.lists(event_texts(), min_size=1, max_size=5))
    whole = b"".join(raw for _, _, raw in made)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return made, [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(streams())
def test_whatever_is_cut_comes_out_whole(case: tuple[list[tuple[str, list[str], bytes]], list[bytes]]) -> None:
    made, chunks = case
    cutter, runs = Cutter(), []
    for chunk in chunks:
        run = cutter.feed(chunk)
        assert run == b"" or run.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))
        runs.append(run)
    assert b"".join(runs) + cutter.rest() == b"".join(chunks)
    assert cutter.rest() == b""
    found = [one for run in runs for one in events(run)]
    assert [(name, data) for name, data, _ in found] == [(name, "\n".join(lines).encode()) for name, lines, _ in made]
    assert b"".join(raw for _, _, raw in found) == b"".join(chunks)


@given(streams(), LINE)
def test_an_unfinished_event_is_the_rest(case: tuple[list[tuple[str, list[str], bytes]], list[bytes]], line: str) -> None:
    _, chunks = case
    cutter = Cutter()
    for chunk in chunks:
        cutter.feed(chunk)
    tail = f"data: {line}".encode()
    assert cutter.feed(tail) == b""
    assert cutter.rest() == tail


def test_an_event_without_end_is_refused() -> None:
    cutter = Cutter()
    cutter.feed(b"data: " + b"x" * (SSE_EVENT_BYTES_MAX - 10))
    with pytest.raises(BrokenStream, match="larger than"):
        cutter.feed(b"x" * 100)


def test_many_events_at_once_are_no_long_event() -> None:
    whole = b"data: x\n\n" * (SSE_EVENT_BYTES_MAX // 8)
    assert Cutter().feed(whole) == whole


@given(st.sampled_from(["", "error", "message_stop"]), LINE)
def test_what_is_written_is_read(name: str, line: str) -> None:
    raw = event(name, line.encode())
    assert list(events(raw)) == [(name, line.encode(), raw)]
    assert read_event(raw) == (name, line.encode())
