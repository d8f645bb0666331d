"""A stream cut at its tool calls: the same bytes in the same order, and no byte of a call before it is complete."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Dialect
from jevons.core.limits import CALL_BYTES_MAX
from jevons.wire import sse
from jevons.wire.blocks import Blocks, Segment, ToolCall, calls_in
from jevons.wire.sse import BrokenStream, Cutter
from jevons.wire.translate.broken import BrokenAnswer
from tests.wire.translate_clients import chat_call, chat_chunk, messages_block, messages_event, messages_stream

CHAT, MESSAGES, RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES
DIALECTS = [CHAT, MESSAGES, RESPONSES]
DONE = sse.event("", b"[DONE]")
TRICKY = 'He said "tool_calls": [{}], "type":"tool_use" and "type":"function_call"'


def responses_event(name: str, **members: Any) -> bytes:
    return sse.event(name, json.dumps({"type": name, "sequence_number": 0, **members}).encode())


def item_events(index: int, item: dict[str, Any], *pieces: str) -> list[bytes]:
    """A function call or a custom one, as Responses streams it."""
    custom = item["type"] == "custom_tool_call"
    member, kind = ("input", "custom_tool_call_input") if custom else ("arguments", "function_call_arguments")
    text = "".join(pieces)
    at = {"item_id": item["id"], "output_index": index}
    return [
        responses_event("response.output_item.added", output_index=index, item={**item, member: "", "status": "in_progress"}),
        *(responses_event(f"response.{kind}.delta", **at, delta=piece) for piece in pieces),
        responses_event(f"response.{kind}.done", **at, **{member: text}),
        responses_event("response.output_item.done", output_index=index, item={**item, member: text, "status": "completed"}),
    ]


def call_events(dialect: Dialect, number: int, name: str, pieces: list[str]) -> list[bytes]:
    """One call; `number` is its place in the answer."""
    if dialect is CHAT:
        return [chat_call(number, "", f"c{number}", name), *(chat_call(number, piece) for piece in pieces)]
    if dialect is MESSAGES:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        block = messages_block(number, {"type": "tool_use", "id": f"c{number}", "name": name, "input": {}}, *deltas)
        return [raw for _, _, raw in sse.events(block)]
    return item_events(number, {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": name}, *pieces)


def text_event(dialect: Dialect, text: str) -> bytes:
    if dialect is CHAT:
        return chat_chunk({"content": text})
    if dialect is MESSAGES:
        return messages_event("content_block_delta", index=9, delta={"type": "text_delta", "text": text})
    return responses_event("response.output_text.delta", output_index=9, content_index=0, item_id="m", delta=text)


def end_events(dialect: Dialect) -> bytes:
    if dialect is CHAT:
        return chat_chunk({}, "tool_calls") + DONE
    if dialect is MESSAGES:
        return messages_event("message_delta", delta={"stop_reason": "tool_use"}) + messages_event("message_stop")
    return responses_event("response.completed", response={"output": []})


def fed(dialect: Dialect, *runs: bytes) -> list[Segment]:
    """All segments of a stream, the rest included."""
    blocks = Blocks(dialect)
    segments = [segment for run in runs for segment in blocks.feed(run)]
    rest = blocks.rest()
    assert not blocks.holding
    return [*segments, rest] if rest.raw else segments


def made(segments: list[Segment]) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for segment in segments for call in segment.calls]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_text_passes_at_once_as_it_came(dialect: Dialect) -> None:
    blocks = Blocks(dialect)
    run = text_event(dialect, TRICKY) + sse.event("ping", b'{"type": "ping"}') + b": a comment\n\n" + text_event(dialect, "b")
    segments = blocks.feed(run)
    assert segments == [Segment(run)]
    assert segments[0].raw is run
    assert not blocks.holding
    assert blocks.feed(b"") == []
    assert blocks.rest() == Segment(b"")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_is_held_until_it_is_complete(dialect: Dialect) -> None:
    before, after = text_event(dialect, "Let me"), end_events(dialect)
    events = call_events(dialect, 1, "rm", ['{"path":', ' "/"}'])
    blocks = Blocks(dialect)
    assert blocks.feed(before) == [Segment(before)]
    for event in events[:-1]:
        assert blocks.feed(event) == []
        assert blocks.holding
    call = Segment(b"".join(events), (ToolCall("rm", '{"path": "/"}'),))
    if dialect is CHAT:  # it has no end mark: the finish says it
        assert blocks.feed(events[-1]) == []
        assert blocks.feed(after) == [call, Segment(after)]
    else:
        assert blocks.feed(events[-1]) == [call]
        assert blocks.feed(after) == [Segment(after)]
    assert blocks.rest() == Segment(b"")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_that_follow_each_other_are_given_one_by_one(dialect: Dialect) -> None:
    first, second = call_events(dialect, 0, "f", ["{}"]), call_events(dialect, 1, "g", ['{"a":1}'])
    text = text_event(dialect, "so")
    segments = fed(dialect, b"".join([*first, *second, text, end_events(dialect)]))
    assert segments == [
        Segment(b"".join(first), (ToolCall("f", "{}"),)),
        Segment(b"".join(second), (ToolCall("g", '{"a":1}'),)),
        Segment(text + end_events(dialect)),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_that_are_open_at_once_are_one_block(dialect: Dialect) -> None:
    first, second = call_events(dialect, 0, "f", ['{"a":', "1}"]), call_events(dialect, 1, "g", ['{"b":', "2}"])
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    segments = fed(dialect, *mixed, end_events(dialect))
    assert segments[0].raw == b"".join(mixed)
    assert made(segments[:1]) == [("f", '{"a":1}'), ("g", '{"b":2}')]
    assert segments[1:] == [Segment(end_events(dialect))]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_comes_while_a_call_is_open_waits_in_its_place(dialect: Dialect) -> None:
    events = call_events(dialect, 0, "f", ['{"a":', "1}"])
    comment = b": still here\n\n"
    events[2:2] = [comment]
    segments = fed(dialect, *events, end_events(dialect))
    assert segments == [Segment(b"".join(events), (ToolCall("f", '{"a":1}'),)), Segment(end_events(dialect))]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_ends_inside_of_a_call_says_so(dialect: Dialect) -> None:
    events = b"".join(call_events(dialect, 0, "f", ['{"a":', "1"])[:3])
    blocks = Blocks(dialect)
    assert blocks.feed(events) == []
    rest = blocks.rest()
    assert (rest.raw, rest.inside) == (events, True)
    assert made([rest]) == [("f", '{"a":1')]
    assert blocks.rest() == Segment(b"")


def test_a_chat_stream_may_just_close_after_a_whole_call() -> None:
    """The caller of `rest` knows whether the stream was complete."""
    events = b"".join(call_events(CHAT, 0, "f", ["{}"]))
    assert fed(CHAT, events) == [Segment(events, (ToolCall("f", "{}"),))]


def test_done_without_a_finish_ends_chat_calls() -> None:
    events = b"".join(call_events(CHAT, 0, "f", ["not json"]))
    assert fed(CHAT, events, DONE) == [Segment(events, (ToolCall("f", "not json"),)), Segment(DONE)]


def test_a_whole_call_and_the_finish_in_one_chunk() -> None:
    """Gemini and Ollama: every call whole, all under index 0, the last one with the finish."""
    chunks = [
        chat_chunk({"tool_calls": [{"index": 0, "id": f"c{n}", "function": {"name": name, "arguments": "{}"}}]}, finish)
        for n, name, finish in [(1, "f", None), (2, "g", "tool_calls")]
    ]
    assert fed(CHAT, *chunks, DONE) == [
        Segment(chunks[0], (ToolCall("f", "{}"),)),
        Segment(chunks[1], (ToolCall("g", "{}"),)),
        Segment(DONE),
    ]


def test_several_calls_in_one_chunk() -> None:
    calls = [{"index": n, "id": f"c{n}", "function": {"name": name, "arguments": "{}"}} for n, name in [(0, "f"), (1, "g")]]
    chunk = chat_chunk({"role": "assistant", "content": "", "tool_calls": calls})
    assert fed(CHAT, chunk, end_events(CHAT))[0] == Segment(chunk, (ToolCall("f", "{}"), ToolCall("g", "{}")))


def test_the_finish_comes_with_the_last_piece() -> None:
    begin = chat_call(0, '{"a":', "c", "f")
    last = chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}, "tool_calls")
    assert fed(CHAT, begin, last) == [Segment(begin + last, (ToolCall("f", '{"a":1}'),))]


def test_text_ends_a_chat_call_only_when_it_is_whole() -> None:
    text, begin, end = text_event(CHAT, "\n"), chat_call(0, '{"a":', "c", "f"), chat_call(0, "1}")
    assert fed(CHAT, begin, text, end, text) == [Segment(begin + text + end, (ToolCall("f", '{"a":1}'),)), Segment(text)]


def test_a_closing_brace_is_not_the_end_of_the_arguments() -> None:
    events = [chat_call(0, '{"a":{}', "c", "f"), chat_call(1, "{}", "d", "g"), chat_call(0, "}")]
    assert fed(CHAT, *events, end_events(CHAT))[0] == Segment(b"".join(events), (ToolCall("f", '{"a":{}}'), ToolCall("g", "{}")))


def test_empty_deltas_end_no_chat_call() -> None:
    begin, empty = chat_call(0, "{}", "c", "f"), chat_chunk({"content": "", "refusal": None, "tool_calls": []})
    blocks = Blocks(CHAT)
    assert blocks.feed(begin + empty) == []
    assert blocks.feed(chat_chunk({"reasoning_content": "hm"}))[0].raw == begin + empty


def test_each_choice_has_its_own_calls() -> None:
    def chunk(choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return chat_chunk(None, choices=[{"index": choice, "delta": delta, "finish_reason": finish}])

    def call(choice: int, name: str) -> bytes:
        return chunk(choice, {"tool_calls": [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}}]})

    held = [call(0, "f"), chunk(1, {"content": "text"}), call(1, "g"), chunk(0, {}, "tool_calls")]
    last = chunk(1, {}, "tool_calls")
    assert fed(CHAT, *held, last, DONE) == [
        Segment(b"".join(held), (ToolCall("f", "{}"), ToolCall("g", "{}"))),
        Segment(last),
        Segment(DONE),
    ]


def test_the_legacy_function_call_and_custom_tools_of_chat() -> None:
    legacy = [
        chat_chunk({"function_call": {"name": "f", "arguments": '{"a":'}}),
        chat_chunk({"function_call": {"arguments": "1}"}}),
    ]
    finish = chat_chunk({}, "function_call")
    assert fed(CHAT, *legacy, finish) == [Segment(b"".join(legacy), (ToolCall("f", '{"a":1}'),)), Segment(finish)]
    custom = [
        chat_chunk({"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": "{}"}}]}),
        text_event(CHAT, "x"),  # free text has no end: it may go on
        chat_chunk({"tool_calls": [{"index": 0, "custom": {"input": "; ls"}}]}),
    ]
    assert fed(CHAT, *custom, end_events(CHAT))[0] == Segment(b"".join(custom), (ToolCall("sh", "{}; ls"),))


@pytest.mark.parametrize("names", [["f", None], ["f", "f"], ["get_", "weather"]])
def test_a_name_may_be_repeated_or_come_in_pieces(names: list[str | None]) -> None:
    events = [chat_call(0, "{", "c", names[0]), chat_call(0, "}", None, names[1])]
    assert made(fed(CHAT, *events, end_events(CHAT))) == [("get_weather" if names[0] == "get_" else "f", "{}")]


def test_arguments_that_are_an_object_and_not_its_text() -> None:
    event = chat_chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]})
    assert made(fed(CHAT, event, end_events(CHAT))) == [("f", '{"a": 1}')]


@pytest.mark.parametrize("late", [chat_call(0, '{"b":2}'), chat_call(0, "", None, "g")])
def test_a_call_that_goes_on_after_it_was_given_breaks_the_stream(late: bytes) -> None:
    blocks = Blocks(CHAT)
    blank = chat_call(0, " ")
    assert len(blocks.feed(chat_call(0, "{}", "c", "f") + text_event(CHAT, "x") + blank)) == 2
    with pytest.raises(BrokenStream, match="after its end"):
        blocks.feed(late)


def test_messages_blocks_of_every_kind_of_call() -> None:
    kinds: list[tuple[dict[str, Any], str]] = [
        ({"type": "tool_use", "name": "Bash"}, "Bash"),
        ({"type": "tool_use", "name": "key", "toolset_name": "browser"}, "browser__key"),
        ({"type": "server_tool_use", "name": "web_search"}, "web_search"),
        ({"type": "server_tool_use", "name": "bash_code_execution"}, "code_execution"),
        ({"type": "mcp_tool_use", "name": "get_issue", "server_name": "github"}, "mcp__github__get_issue"),
    ]
    for block, name in kinds:
        raw = messages_block(0, {"id": "t", "input": {}, **block}, {"type": "input_json_delta", "partial_json": '{"q":1}'})
        assert fed(MESSAGES, raw) == [Segment(raw, (ToolCall(name, '{"q":1}'),))]
    for kind in ("text", "thinking", "web_search_tool_result", "mcp_tool_result"):
        raw = messages_block(0, {"type": kind})
        assert fed(MESSAGES, raw) == [Segment(raw)]


def test_input_that_comes_with_the_start_of_its_block() -> None:
    raw = messages_block(0, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}})
    assert made(fed(MESSAGES, raw)) == [("f", '{"a": 1}')]


def test_message_stop_ends_a_block_without_a_stop() -> None:
    begin = messages_event(
        "content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}
    )
    stop = messages_event("message_stop")
    assert fed(MESSAGES, begin, stop) == [Segment(begin + stop, (ToolCall("f", "{}"),))]


def test_calls_in_the_first_event_of_a_message() -> None:
    start = messages_event("message_start", message={"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]})
    assert fed(MESSAGES, start) == [Segment(start, (ToolCall("f", "{}"),))]


ITEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "function_call", "name": "f", "arguments": "{}"}, "f", "{}"),
    ({"type": "function_call", "name": "list", "namespace": "mcp__crm__", "arguments": "{}"}, "mcp__crm__list", "{}"),
    ({"type": "function_call", "name": "list", "namespace": "crm", "arguments": "{}"}, "crm__list", "{}"),
    ({"type": "custom_tool_call", "name": "exec", "input": "ls -l"}, "exec", "ls -l"),
    ({"type": "mcp_call", "name": "get", "server_label": "github", "arguments": "{}"}, "mcp__github__get", "{}"),
    ({"type": "mcp_approval_request", "name": "get", "server_label": "github", "arguments": "{}"}, "mcp__github__get", "{}"),
    ({"type": "local_shell_call", "action": {"command": ["ls"]}}, "local_shell", '{"action":{"command": ["ls"]}}'),
    ({"type": "apply_patch_call", "operation": {"path": "a"}}, "apply_patch", '{"operation":{"path": "a"}}'),
    ({"type": "code_interpreter_call", "code": "1+1"}, "code_interpreter", '{"code":"1+1"}'),
    ({"type": "web_search_call", "action": {"query": "q"}}, "web_search", '{"action":{"query": "q"}}'),
    ({"type": "tool_search_call", "arguments": {"q": 1}}, "tool_search", '{"q": 1}'),
    ({"type": "program", "code": "call()"}, "programmatic_tool_calling", '{"code":"call()"}'),
    ({"type": "image_generation_call"}, "image_generation", ""),
]


@pytest.mark.parametrize(("item", "name", "arguments"), ITEMS)
def test_every_item_of_responses_that_is_a_call(item: dict[str, Any], name: str, arguments: str) -> None:
    begin = responses_event("response.output_item.added", output_index=0, item={"type": item["type"], "status": "in_progress"})
    done = responses_event("response.output_item.done", output_index=0, item=item)
    final = responses_event("response.completed", response={"output": [item]})
    assert fed(RESPONSES, begin, done, final) == [Segment(begin + done, (ToolCall(name, arguments),)), Segment(final)]
    assert fed(RESPONSES, done) == [Segment(done, (ToolCall(name, arguments),))]
    assert fed(RESPONSES, final) == [Segment(final, (ToolCall(name, arguments),))]
    assert calls_in(RESPONSES, json.dumps({"output": [item, {"type": "message", "content": []}]}).encode()) == [
        ToolCall(name, arguments)
    ]


def test_items_that_are_no_calls_pass() -> None:
    for kind in ("message", "reasoning", "function_call_output", "mcp_list_tools", "compaction"):
        event = responses_event("response.output_item.done", output_index=0, item={"type": kind, "caller": {"type": "program"}})
        assert fed(RESPONSES, event) == [Segment(event)]


def test_the_same_call_twice_is_two_calls() -> None:
    events = b"".join(call_events(RESPONSES, 0, "f", ["{}"]) + call_events(RESPONSES, 1, "f", ["{}"]))
    assert made(fed(RESPONSES, events)) == [("f", "{}"), ("f", "{}")]


def test_a_response_that_ends_without_the_end_of_its_items() -> None:
    item = {"type": "function_call", "id": "fc_0", "call_id": "c0", "name": "f"}
    begun = b"".join(item_events(0, item, '{"a":', "1}")[:3])
    whole = responses_event("response.completed", response={"output": [{**item, "arguments": '{"a":1}'}]})
    assert fed(RESPONSES, begun, whole) == [Segment(begun + whole, (ToolCall("f", '{"a":1}'),))]
    failed = responses_event("response.failed", response={"output": []})
    assert fed(RESPONSES, begun, failed) == [Segment(begun + failed, (ToolCall("f", '{"a":1}'),))]
    lone = responses_event("response.failed")
    assert fed(RESPONSES, begun, lone) == [Segment(begun + lone, (ToolCall("f", '{"a":1}'),))]


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        (CHAT, b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":'),
        (CHAT, b'{"choices":[{"delta":{"tool_calls":"x"}}]}'),
        (CHAT, b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"\\q"}}]}}]}'),
        (MESSAGES, b'{"type":"content_block_start","content_block":{"type":"tool_use"'),
        (RESPONSES, b'{"type":"response.output_item.done","item":{"type":"function_call","name":7}}'),
    ],
)
def test_what_may_hold_a_call_and_cannot_be_read_breaks_the_stream(dialect: Dialect, data: bytes) -> None:
    with pytest.raises(BrokenStream, match="cannot be read"):
        Blocks(dialect).feed(sse.event("", data))


def test_other_nonsense_passes() -> None:
    event = sse.event("", b'{"choices": <html>')
    assert Blocks(CHAT).feed(event) == [Segment(event)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_endless_call_breaks_the_stream(dialect: Dialect) -> None:
    blocks = Blocks(dialect)
    begin, *_ = call_events(dialect, 0, "f", [])
    blocks.feed(begin)
    delta = call_events(dialect, 0, "f", ["x" * 2**23])[1]
    for _ in range(CALL_BYTES_MAX // len(delta)):
        assert blocks.feed(delta) == []
    with pytest.raises(BrokenStream, match="larger than"):
        blocks.feed(delta)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from([TRICKY, "}", '"}', "data: [DONE]", "é🙂"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ENDS: list[Callable[[bytes], bytes]] = [
    lambda raw: raw,
    lambda raw: raw.replace(b"\n", b"\r\n"),
    lambda raw: raw.replace(b"\n", b"\r"),
]


@st.composite
def answers(draw: st.DrawFn, dialect: Dialect) -> tuple[list[tuple[bytes, bool]], list[tuple[str, str]]]:
    """(events with whether they are of a call, the calls) of an answer with text and calls that may be interleaved."""
    events: list[tuple[bytes, bool]] = []
    calls: list[tuple[str, str]] = []
    for _ in range(draw(st.integers(0, 3))):
        events += [
            (text_event(dialect, text), False) for text in draw(st.lists(st.text(max_size=9) | st.just(TRICKY), max_size=3))
        ]
        queues = []
        for _ in range(draw(st.integers(0, 3))):
            name = draw(st.sampled_from(["f", "g"]))
            text = json.dumps(draw(st.dictionaries(st.text(max_size=6), JSON, max_size=3)), ensure_ascii=draw(st.booleans()))
            cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=4)))  # an empty piece is nothing
            queues.append(call_events(dialect, len(calls), name, [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]))
            calls.append((name, text))
        while any(queues):
            events.append((draw(st.sampled_from([queue for queue in queues if queue])).pop(0), True))
    return events, calls


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_stream_in_any_pieces(dialect: Dialect, data: st.DataObject) -> None:
    drawn, calls = data.draw(answers(dialect))
    ended = data.draw(st.sampled_from(ENDS))
    events = [(ended(raw), of_call) for raw, of_call in [*drawn, (end_events(dialect), False)]]
    whole = b"".join(raw for raw, _ in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    cutter, blocks = Cutter(), Blocks(dialect)
    segments, seen = [], b""
    for start, stop in pairwise([0, *cuts, len(whole)]):
        run = cutter.feed(whole[start:stop])
        seen += run
        given = blocks.feed(run)
        assert all(segment.raw for segment in given)
        segments += given
        out = b"".join(segment.raw for segment in segments)
        assert seen.startswith(out)
        assert blocks.holding == (out != seen)
    assert blocks.rest() == Segment(b"")
    assert b"".join(segment.raw for segment in segments) == whole
    assert sorted(made(segments)) == sorted(calls)
    for segment in segments:
        if not segment.calls:
            assert all(raw not in segment.raw for raw, of_call in events if of_call)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_lose_nothing_or_break(dialect: Dialect, data: st.DataObject) -> None:
    whole = bytearray(text_event(dialect, "x") + b"".join(call_events(dialect, 0, "f", ['{"a":', "1}"])) + end_events(dialect))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.sampled_from([0x80, 0xFF, 0x22, 0x00, 0x5C, 0x0A]))
    run = Cutter().feed(bytes(whole) + b"\n\n")
    try:
        segments = fed(dialect, run)
    except BrokenStream:
        return
    assert b"".join(segment.raw for segment in segments) == run


WHOLE: list[tuple[Dialect, Any, list[tuple[str, str]]]] = [
    (CHAT, {"choices": [{"message": {"content": TRICKY}}]}, []),
    (CHAT, {"choices": []}, []),
    (CHAT, {"choices": [{"message": None}]}, []),
    (
        CHAT,
        {
            "choices": [
                {
                    "message": {
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                            {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
                        ]
                    }
                },
                {"message": {"tool_calls": None, "function_call": {"name": "g", "arguments": "{}"}}},
            ]
        },
        [("f", '{"a":1}'), ("sh", "ls"), ("g", "{}")],
    ),
    (
        MESSAGES,
        {
            "content": [
                {"type": "text", "text": TRICKY},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
                {"type": "mcp_tool_use", "name": "get", "server_name": "gh", "input": {}},
            ]
        },
        [("f", '{"a": 1}'), ("mcp__gh__get", "{}")],
    ),
    (MESSAGES, {"content": None}, []),
    (RESPONSES, {"output": None}, []),
    (Dialect.EMBEDDINGS, {"data": []}, []),
]


@pytest.mark.parametrize(("dialect", "answer", "calls"), WHOLE)
def test_the_calls_of_a_whole_answer(dialect: Dialect, answer: Any, calls: list[tuple[str, str]]) -> None:
    assert [(call.name, call.arguments) for call in calls_in(dialect, json.dumps(answer).encode())] == calls


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 9999, b'{"choices":7,"content":7,"output":7}'])
def test_a_whole_answer_that_cannot_be_read_is_said(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        calls_in(dialect, body)


def test_a_whole_stream_of_messages() -> None:
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    parts = [
        messages_block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"}),
        messages_block(1, tool, {"type": "input_json_delta", "partial_json": "{}"}),
    ]
    stream = messages_stream(*parts, stop={"stop_reason": "tool_use"}, usage={"output_tokens": 1})
    before, _, after = stream.partition(parts[1])
    assert fed(MESSAGES, stream) == [Segment(before), Segment(parts[1], (ToolCall("f", "{}"),)), Segment(after)]
