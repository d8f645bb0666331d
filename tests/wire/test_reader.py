"""What is read of a stream in passing: its end, its usage, its failure; whatever the line ends, and wherever events are joined."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Dialect
from jevons.wire.reader import Reader
from jevons.wire.sse import Cutter
from jevons.wire.visible import visible_text

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
ENDS = ["\n", "\r\n", "\r"]


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


CHAT: list[tuple[str, Any]] = [
    ("", chunk("Grüße ")),
    ("", chunk('say "usage":{"x":1} and data: [DONE]')),
    ("", chunk(finish="stop")),
    ("", {"id": "c1", "choices": [], "usage": USAGE, "service_tier": "priority"}),
    ("", "[DONE]"),
]
MESSAGES: list[tuple[str, Any]] = [
    ("message_start", {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 7, "output_tokens": 1}}}),
    ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    (
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "message_stop "}},
    ),
    ("ping", {"type": "ping"}),
    ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "an error"}}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
    ("message_stop", {"type": "message_stop"}),
]
RESPONSES: list[tuple[str, Any]] = [
    ("response.created", {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "usage": None}}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": "response.completed "}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": "error"}),
    (
        "response.completed",
        {
            "type": "response.completed",
            "response": {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 7}, "service_tier": "flex"},
        },
    ),
]
STREAMS = {Dialect.CHAT: CHAT, Dialect.MESSAGES: MESSAGES, Dialect.RESPONSES: RESPONSES}
TEXTS = {
    Dialect.CHAT: 'Grüße say "usage":{"x":1} and data: [DONE]',
    Dialect.MESSAGES: "message_stop an error",
    Dialect.RESPONSES: "response.completed error",
}


def written(stream: list[tuple[str, Any]], end: str = "\n", *, named: bool = True, spaced: bool = False) -> list[bytes]:
    """The bytes of each event."""
    separators = (", ", ": ") if spaced else (",", ":")
    found = []
    for name, document in stream:
        data = document if isinstance(document, str) else json.dumps(document, separators=separators, ensure_ascii=False)
        found.append((f"event: {name}{end}" * (named and bool(name)) + f"data: {data}{end}{end}").encode())
    return found


@given(st.data(), st.sampled_from(list(STREAMS)), st.sampled_from(ENDS), st.booleans(), st.booleans())
def test_a_stream_in_any_pieces(data: st.DataObject, dialect: Dialect, end: str, named: bool, spaced: bool) -> None:
    raws = written(STREAMS[dialect], end, named=named, spaced=spaced)
    whole = b"".join(raws)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    reader, cutter, now, later, text = Reader(dialect), Cutter(), b"", b"", ""
    for start, stop in pairwise([0, *cuts, len(whole)]):
        run = cutter.feed(whole[start:stop])
        if not run:
            continue
        assert not reader.ended
        first, second = reader.feed(run)
        now, later = now + first, later + second
        text += visible_text(dialect, run)
    assert reader.ended
    assert reader.complete
    assert not reader.failed
    assert (now, later) == (b"".join(raws[:-1]), raws[-1])
    assert text == TEXTS[dialect]
    if dialect is Dialect.CHAT:
        assert [json.loads(usage) for usage in reader.usages] == [USAGE]
        assert (reader.finish, reader.service_tier) == ("stop", "priority")
    elif dialect is Dialect.MESSAGES:
        assert [json.loads(usage)["output_tokens"] for usage in reader.usages] == [1, 5]
        assert (reader.finish, reader.response_id) == ("end_turn", "msg_1")
    else:
        assert [json.loads(usage) for usage in reader.usages] == [{"input_tokens": 7}]
        assert (reader.finish, reader.response_id, reader.service_tier) == ("completed", "resp_1", "flex")


@given(st.lists(st.sampled_from(written(CHAT[:4])), max_size=6), st.sampled_from(ENDS))
def test_the_usage_chunk_is_taken_out_and_nothing_else(raws: list[bytes], end: str) -> None:
    lines = [raw.replace(b"\n", end.encode()) for raw in raws]
    usage = written(CHAT[3:4], end)[0]
    now, later = Reader(Dialect.CHAT, strip_usage=True).feed(b"".join(lines))
    assert (now, later) == (b"".join(raw for raw in lines if raw != usage), b"")


def test_usage_beside_text_stays() -> None:
    """Some providers report it on the last delta: the text must not be lost with it."""
    raw = written([("", chunk("end", "stop", usage=USAGE))])[0]
    reader = Reader(Dialect.CHAT, strip_usage=True)
    assert reader.feed(raw) == (raw, b"")
    assert json.loads(reader.usages[-1]) == USAGE


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("dialect", "name", "document"),
    [
        (Dialect.CHAT, "", {"error": {"message": "overloaded", "code": 529}}),
        (Dialect.MESSAGES, "error", {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}),
        (Dialect.RESPONSES, "error", {"type": "error", "code": "server_error", "message": "x"}),
        (Dialect.RESPONSES, "response.failed", {"type": "response.failed", "response": {"id": "r", "status": "failed"}}),
    ],
)
def test_failures(dialect: Dialect, name: str, document: Any, end: str) -> None:
    reader = Reader(dialect)
    reader.feed(written(STREAMS[dialect][:2], end)[0])
    assert not reader.failed
    raw = written([(name, document)], end)[0]
    now, later = reader.feed(raw)
    assert reader.failed
    assert now + later == raw
    assert reader.ended == (name == "response.failed")


@pytest.mark.parametrize("dialect", list(STREAMS))
def test_no_prefix_of_a_stream_is_complete(dialect: Dialect) -> None:
    """But a chat stream that has said why it ends: some providers send no [DONE]."""
    raws = written(STREAMS[dialect])
    reader = Reader(dialect)
    for raw in raws[: 2 if dialect is Dialect.CHAT else -1]:
        reader.feed(raw)
        assert not reader.complete
    if dialect is Dialect.CHAT:
        reader.feed(raws[2])
        assert reader.complete
        assert not reader.ended


@given(st.sampled_from(list(STREAMS)), st.binary(max_size=80))
def test_nonsense_is_passed_on(dialect: Dialect, noise: bytes) -> None:
    """What cannot be read is the client's to judge: not a byte is lost."""
    run = b"event: message_delta\ndata: {" + noise.replace(b"\n", b"").replace(b"\r", b"") + b"\n\n"
    now, later = Reader(dialect, strip_usage=True).feed(run)
    assert now + later == run
    assert isinstance(visible_text(dialect, run), str)


@pytest.mark.parametrize("dialect", list(STREAMS))
@given(st.data())
def test_damaged_bytes_are_passed_on(dialect: Dialect, data: st.DataObject) -> None:
    """Broken UTF-8 inside of texts too. Whatever is made of it, no byte is lost before the end."""
    whole = bytearray(b"".join(written(STREAMS[dialect][:-1])))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.sampled_from([0x80, 0xFF, 0x22, 0x00, 0x5C]))
    run = Cutter().feed(bytes(whole) + b"\n\n")
    now, later = Reader(dialect).feed(run)
    assert now + later == run
    assert isinstance(visible_text(dialect, run), str)


@pytest.mark.parametrize("usage", [b"null", b"7", b'"x"', b"[]"])
def test_odd_usage_is_no_crash(usage: bytes) -> None:
    for dialect, raw in (
        (Dialect.CHAT, b'data: {"choices":[],"usage":%s}\n\n'),
        (Dialect.MESSAGES, b'event: message_delta\ndata: {"type":"message_delta","usage":%s}\n\n'),
        (Dialect.RESPONSES, b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":%s}}\n\n'),
    ):
        Reader(dialect).feed(raw % usage)


@pytest.mark.parametrize("repeated", [True, False])
def test_searches_of_a_response_are_read_in_passing(repeated: bool) -> None:
    """From each item as it is done, or from the last event if that repeats them; never from both."""
    items: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "x"}},
        {"type": "web_search_call", "id": "ws_2", "action": {"type": "open_page", "url": "y"}},
        {"type": "file_search_call", "id": "fs_1"},
    ]
    said: list[tuple[str, Any]] = [
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": i, "item": item})
        for i, item in enumerate(items)
    ]
    output = [*items, {"type": "message", "id": "msg_1"}] if repeated else []
    note = [] if repeated else [{"type": "message", "content": "a _search_call in words"}]
    said.append(
        (
            "response.completed",
            {
                "type": "response.completed",
                "response": {"status": "completed", "output": output, "x": note, "usage": {"input_tokens": 1}},
            },
        )
    )
    reader = Reader(Dialect.RESPONSES)
    raws = written(said)
    assert b"".join(reader.feed(b"".join(raws))) == b"".join(raws)
    searches = [("web_search_call", "search"), ("web_search_call", "open_page"), ("file_search_call", None)]
    assert reader.items == searches + ([("message", None)] if repeated else [])
    assert reader.usages == [b'{"input_tokens":1}']


def test_items_that_cannot_be_read_do_not_cost_the_usage() -> None:
    reader = Reader(Dialect.RESPONSES)
    odd = {"status": "completed", "output": [{"type": 7}, {"type": "web_search_call"}], "usage": {"input_tokens": 1}}
    reader.feed(b"".join(written([("response.completed", {"type": "response.completed", "response": odd})])))
    assert (reader.items, reader.ended, reader.usages) == ([], True, [b'{"input_tokens":1}'])
