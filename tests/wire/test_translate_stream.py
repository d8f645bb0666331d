"""Streams, translated event by event and read by the official SDKs' accumulators."""

import json

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Dialect
from jevons.wire import sse
from tests.wire.translate_clients import (
    anthropic_reads_stream,
    chat_call,
    chat_chunk,
    chunked,
    messages_block,
    messages_event,
    messages_stream,
    openai_reads_stream,
    translated,
    translator,
)

CHAT, MESSAGES = Dialect.CHAT, Dialect.MESSAGES
DONE = sse.event("", b"[DONE]")
ROLE = chat_chunk({"role": "assistant", "content": ""})
USAGE = chat_chunk(None, usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13})
CALLED = chat_chunk({}, "tool_calls")


def to_anthropic(*chunks: bytes) -> anthropic.types.Message:
    out, stream = translated(chunks, CHAT, MESSAGES)
    assert stream.error is None
    return anthropic_reads_stream(out)


def to_openai(*chunks: bytes) -> openai.types.chat.ChatCompletion:
    out, stream = translated(chunks, MESSAGES, CHAT)
    assert stream.error is None
    return openai_reads_stream(out)


def calls_of(message: anthropic.types.Message) -> list[tuple[str, str, object]]:
    return [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]


def test_a_whole_chat_stream_for_anthropic() -> None:
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    message = to_anthropic(
        ROLE,
        chat_chunk({"reasoning_content": "h"}),
        chat_chunk({"reasoning": "m"}),
        chat_chunk({"content": "Let "}),
        chat_chunk({"content": "me"}),
        chat_call(0, "", "c1", "f"),
        chat_call(0, '{"x":'),
        chat_call(0, "1}"),
        CALLED,
        chat_chunk(None, usage=usage),
        DONE,
    )
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[0].thinking == "hm"  # type: ignore[union-attr]
    assert message.content[1].text == "Let me"  # type: ignore[union-attr]
    assert calls_of(message) == [("c1", "f", {"x": 1})]
    assert (message.id, message.model, message.stop_reason) == ("a1", "m", "tool_use")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (10, 20, 9)
    assert message.usage.output_tokens_details
    assert message.usage.output_tokens_details.thinking_tokens == 3


def test_a_whole_messages_stream_for_openai() -> None:
    tool = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    completion = to_openai(
        messages_stream(
            messages_block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": "h"},
                {"type": "thinking_delta", "thinking": "m"},
                {"type": "signature_delta", "signature": "sig"},
            ),
            messages_block(1, {"type": "redacted_thinking", "data": "xx"}),
            messages_event("ping"),
            messages_block(
                2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Let "}, {"type": "text_delta", "text": "me"}
            ),
            messages_block(3, tool, *({"type": "input_json_delta", "partial_json": part} for part in ("", '{"x": ', '"é"', "}"))),
            stop={"stop_reason": "tool_use", "stop_sequence": None},
            usage={"output_tokens": 12, "cache_read_input_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}},
        )
    )
    choice = completion.choices[0]
    assert choice.message.content == "Let me"
    assert choice.message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert choice.message.thinking_blocks == [  # type: ignore[attr-defined]
        {"index": 0, "type": "thinking", "thinking": "hm", "signature": "sig"},
        {"index": 1, "type": "redacted_thinking", "data": "xx"},
    ]
    assert choice.message.tool_calls
    assert choice.message.tool_calls[0].id == "t1"
    assert choice.message.tool_calls[0].function.arguments == '{"x": "é"}'
    assert choice.finish_reason == "tool_calls"
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (12, 12)
    assert completion.usage.prompt_tokens_details
    assert completion.usage.prompt_tokens_details.cached_tokens == 5


def test_each_dialect_told_in_itself_keeps_its_blocks() -> None:
    thinking = messages_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "sig"},
    )
    again = messages_block(1, {"type": "thinking", "thinking": "so", "signature": ""})
    redacted = messages_block(2, {"type": "redacted_thinking", "data": "xx"})
    text = messages_block(
        3, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"}, {"type": "text_delta", "text": ""}
    )
    tool = messages_block(
        4, {"type": "tool_use", "id": "t", "name": "f", "input": None}, {"type": "input_json_delta", "partial_json": '{"x":1}'}
    )
    stop = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    whole = messages_stream(thinking, again, redacted, text, tool, stop=stop, usage={"output_tokens": 3, "input_tokens": 8})
    out, _ = translated([whole], MESSAGES, MESSAGES)
    message = anthropic_reads_stream(out)
    assert [block.to_dict() for block in message.content] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "so", "signature": ""},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
    ]
    assert (message.stop_reason, message.stop_sequence, message.usage.input_tokens) == ("stop_sequence", "END", 8)
    chat, _ = translated(
        [ROLE, chat_chunk({"reasoning_content": "hm"}), chat_call(0, "{}", "x", "f"), CALLED, USAGE, DONE], CHAT, CHAT
    )
    choice = openai_reads_stream(chat).choices[0]
    assert choice.message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert (choice.finish_reason, len(choice.message.tool_calls or ())) == ("tool_calls", 1)


def test_the_last_word_counts() -> None:
    whole = messages_stream(
        messages_event("message_delta", delta={"stop_reason": "pause_turn"}),
        messages_event("message_delta", usage={"output_tokens": 5}),
        stop={"stop_reason": "end_turn"},
        usage={},
    )
    completion = to_openai(whole)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 5)


def test_unsigned_thinking_needs_no_block_to_be_sent_back() -> None:
    thinking = messages_block(0, {"type": "thinking", "thinking": "hm", "signature": ""})
    completion = to_openai(messages_stream(thinking, stop={"stop_reason": "end_turn"}, usage={"output_tokens": 3}))
    assert completion.choices[0].message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert not hasattr(completion.choices[0].message, "thinking_blocks")


def test_the_usage_chunk_comes_only_to_clients_who_asked() -> None:
    whole = messages_stream(stop={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
    quiet, asked = translator(MESSAGES, CHAT, include_usage=False), translator(MESSAGES, CHAT)
    without = b"".join(quiet.feed(name, data) for name, data, _ in sse.events(whole))
    with_usage = b"".join(asked.feed(name, data) for name, data, _ in sse.events(whole))
    assert b"usage" not in without
    assert with_usage.count(b'"usage":null') == with_usage.count(b"data:") - 1
    assert b'"choices":[],"usage":{"prompt_tokens":7' in with_usage


def test_calls_without_arguments_stay_valid() -> None:
    tool = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    whole = messages_stream(messages_block(0, tool), stop={"stop_reason": "tool_use"}, usage={"output_tokens": 1})
    calls = to_openai(whole).choices[0].message.tool_calls
    assert calls
    assert calls[0].function.arguments == "{}"  # type: ignore[union-attr]
    assert calls_of(to_anthropic(ROLE, chat_call(0, None, "a", "f"), chat_call(1, "{}", "b", "g"), CALLED, DONE)) == [
        ("a", "f", {}),
        ("b", "g", {}),
    ]


def test_a_block_that_begins_with_content_loses_none() -> None:
    whole = messages_stream(
        messages_block(0, {"type": "thinking", "thinking": "t", "signature": "s"}),
        messages_block(
            1, {"type": "text", "text": "a"}, {"type": "text_delta", "text": "b"}, {"type": "citations_delta", "citation": {}}
        ),
        messages_block(2, {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}),
        stop={"stop_reason": "tool_use"},
        usage={"output_tokens": 1},
    )
    message = to_openai(whole).choices[0].message
    assert message.content == "ab"
    assert message.thinking_blocks[0]["signature"] == "s"  # type: ignore[attr-defined]
    assert message.tool_calls
    assert message.tool_calls[0].function.arguments == '{"x": 1}'  # type: ignore[union-attr]


def test_arguments_before_the_name_and_an_id_that_never_comes() -> None:
    message = to_anthropic(
        ROLE,
        chat_call(0, '{"a":'),
        chat_call(0, None, None, "f"),
        chat_call(1, '{"b"', "c2"),
        chat_call(0, "1}"),
        chat_call(1, ":2}", None, "g"),
        CALLED,
        DONE,
    )
    assert calls_of(message) == [("c2", "g", {"b": 2}), ("call_a1_1", "f", {"a": 1})]


def test_whole_calls_under_one_index_are_calls_of_their_own() -> None:
    message = to_anthropic(ROLE, chat_call(0, '{"a":1}', "x", "f"), chat_call(0, '{"a":2}', "y", "f"), CALLED, DONE)
    assert calls_of(message) == [("x", "f", {"a": 1}), ("y", "f", {"a": 2})]


def test_an_id_repeated_with_every_delta_is_one_call() -> None:
    message = to_anthropic(ROLE, chat_call(0, '{"a"', "x", "f"), chat_call(0, ":1}", "x", "f"), CALLED, DONE)
    assert calls_of(message) == [("x", "f", {"a": 1})]


def test_text_and_thinking_between_calls_become_blocks_of_their_own() -> None:
    message = to_anthropic(
        ROLE,
        chat_chunk({"content": "a"}),
        chat_call(0, '{"x"', "x", "f"),
        chat_chunk({"content": "b"}),
        chat_chunk({"reasoning_content": "t"}),
        chat_call(0, ":1} "),
        chat_chunk({"content": "c"}),
        chat_call(0, "\n"),
        CALLED,
        DONE,
    )
    assert [block.type for block in message.content] == ["text", "tool_use", "text", "thinking", "text"]
    assert calls_of(message) == [("x", "f", {"x": 1})]


def test_a_refusal_for_both() -> None:
    message = to_anthropic(ROLE, chat_chunk({"refusal": "I "}), chat_chunk({"refusal": "won't"}), chat_chunk({}, "stop"), DONE)
    assert message.content[0].text == "I won't"  # type: ignore[union-attr]
    assert message.stop_reason == "refusal"
    stop = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": None, "explanation": "no"}}
    with pytest.raises(openai.ContentFilterFinishReasonError) as filtered:
        to_openai(messages_stream(stop=stop, usage={"output_tokens": 0}))
    choice = filtered.value.completion.choices[0]
    assert choice.message.refusal == "no"
    assert choice.finish_reason == "content_filter"
    out, _ = translated([messages_stream(stop=stop, usage={"output_tokens": 0})], MESSAGES, MESSAGES)
    details = anthropic_reads_stream(out).stop_details
    assert details
    assert details.explanation == "no"


def test_silence_of_the_upstream_is_passed_on_as_a_sign_of_life() -> None:
    to_chat, to_messages = translator(MESSAGES, CHAT), translator(CHAT, MESSAGES)
    assert b'"delta":{}' in to_chat.feed("ping", b'{"type":"ping"}')
    to_messages.feed(None, b'{"choices":[{"index":0,"delta":{"role":"assistant"}}]}')
    assert to_messages.feed(None, b'{"choices":[{"index":0,"delta":null}]}') == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert to_messages.feed("", b"") == b""


def test_the_first_events_are_not_held_back() -> None:
    stream = translator(CHAT, MESSAGES)
    events = [(name, data) for name, data, _ in sse.events(ROLE + chat_chunk({"content": "a"}) + chat_call(0, '{"x', "x", "f"))]
    out = [stream.feed(*event) for event in events]
    assert b"message_start" in out[0]
    assert b'"text":"a"' in out[1]
    assert b"content_block_stop" in out[2]
    assert b'"partial_json":"{\\"x"' in out[2]


@pytest.mark.parametrize("target", [CHAT, MESSAGES])
@pytest.mark.parametrize("source", [CHAT, MESSAGES])
def test_the_last_event_waits_to_be_taken_and_comes_once(source: Dialect, target: Dialect) -> None:
    whole = {
        CHAT: ROLE + chat_chunk({"content": "a"}) + chat_chunk({}, "stop") + USAGE + DONE,
        MESSAGES: messages_stream(
            messages_block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"}),
            stop={"stop_reason": "end_turn"},
            usage={"output_tokens": 1},
        ),
    }[source]
    last = {CHAT: b"data: [DONE]\n\n", MESSAGES: b'event: message_stop\ndata: {"type":"message_stop"}\n\n'}[target]
    stream = translator(source, target)
    events = [(name, data) for name, data, _ in sse.events(whole)]
    out = b""
    for event in events[:-1]:
        out += stream.feed(*event)
        assert not stream.terminal
        assert stream.take_terminal() == b""
    out += stream.feed(*events[-1])
    assert stream.terminal
    assert last not in out
    assert stream.feed(*events[-1]) == b""
    assert stream.finish() == b""
    assert stream.error is None
    assert stream.take_terminal() == last
    assert stream.take_terminal() == b""


@pytest.mark.parametrize("target", [CHAT, MESSAGES])
@pytest.mark.parametrize("source", [CHAT, MESSAGES])
def test_a_stream_cut_off_never_ends_cleanly(source: Dialect, target: Dialect) -> None:
    chat = ROLE + chat_chunk({"content": "a"}) + chat_chunk({}, "stop")
    block = messages_block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"})
    messages = messages_stream(block, stop={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
    events = [raw for _, _, raw in sse.events(chat if source is CHAT else messages)]
    for cut in range(len(events)):
        out, stream = translated(events[:cut], source, target)
        assert not stream.terminal
        assert stream.error == ("upstream_error", "The upstream's stream ended before its answer did")
        for end in (b"message_stop", b"message_delta", b"[DONE]", b'"finish_reason":"'):
            assert end not in b"".join(out)


def test_a_chat_stream_with_a_finish_reason_is_whole_without_done() -> None:
    message = to_anthropic(ROLE, chat_chunk({"content": "a"}), chat_chunk({}, "length"), USAGE)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 4)


ERRORS = [
    (CHAT, b'{"error": {"message": "Overloaded", "type": "server_error", "code": null}}', ("server_error", "Overloaded")),
    (CHAT, b'{"error": {"message": "Bad", "code": 502}, "choices": [{"delta": {"content": ""}}]}', ("502", "Bad")),
    (CHAT, b'{"error": "plain words"}', ("upstream_error", "plain words")),
    (
        MESSAGES,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        ("overloaded_error", "Overloaded"),
    ),
    (MESSAGES, b'{"type":"error"}', ("upstream_error", "")),
]


@pytest.mark.parametrize("target", [CHAT, MESSAGES])
@pytest.mark.parametrize(("source", "data", "error"), ERRORS)
def test_an_error_inside_the_stream_is_told(source: Dialect, target: Dialect, data: bytes, error: tuple[str, str]) -> None:
    stream = translator(source, target)
    assert stream.feed("error", data) == b""
    assert stream.error == error
    assert stream.feed(None, b"[DONE]") == b""
    assert stream.finish() == b""
    assert stream.error == error
    assert not stream.terminal


@pytest.mark.parametrize(
    ("source", "events"),
    [
        (CHAT, [b"<html>"]),
        (CHAT, [b'{"choices": 7}']),
        (CHAT, [b"[" * 9999]),
        (CHAT, [b"[DONE]"]),
        (CHAT, [b'{"choices": [{"delta": {"content": "a"}}]}', b"[DONE]"]),
        (CHAT, [b'{"choices": [{"delta": {"tool_calls": [{"id": "x"}]}, "finish_reason": "stop"}]}', b"[DONE]"]),
        (MESSAGES, [b'{"type": "message_stop"}']),
        (MESSAGES, [b'{"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "a"}}']),
        (MESSAGES, [b'{"type": "content_block_stop", "index": 0}']),
        (MESSAGES, [b'{"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}}']),
    ],
)
def test_what_is_not_the_dialect_breaks_the_stream(source: Dialect, events: list[bytes]) -> None:
    stream = translator(source, MESSAGES)
    for data in events:
        stream.feed(None, data)
    assert stream.error is not None
    assert stream.error[0] == "upstream_error"
    assert not stream.terminal
    assert stream.take_terminal() == b""


def test_arguments_after_their_end_break_the_stream() -> None:
    _, stream = translated(
        [ROLE, chat_call(0, "{}", "x", "f"), chat_call(1, "{}", "y", "g"), chat_call(0, '{"a":1}')], CHAT, MESSAGES
    )
    assert stream.error
    assert "after its arguments were complete" in stream.error[1]


def test_unknown_events_are_passed_over() -> None:
    stream = translator(MESSAGES, CHAT)
    assert stream.feed("brand_new", b'{"type":"brand_new"}') == b""
    assert stream.error is None


SIZES = st.lists(st.integers(1, 40), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(['"', "\\", '{"', "}]", '\\"}', "é🙂"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), JSON, max_size=3)


@st.composite
def interleaved_calls(draw: st.DrawFn) -> tuple[list[tuple[str, str, object]], list[bytes]]:
    """Parallel calls and their deltas in any order that keeps each call's own."""
    calls = draw(st.lists(st.tuples(st.sampled_from(["f", "g"]), ARGUMENTS), min_size=1, max_size=4))
    queues: list[list[bytes]] = []
    for index, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        queues.append([chat_call(index, pieces[0], f"c{index}", name), *(chat_call(index, piece) for piece in pieces[1:])])
    chunks = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        chunks.append(queue.pop(0))
    return [(f"c{index}", name, arguments) for index, (name, arguments) in enumerate(calls)], chunks


@settings(max_examples=50, deadline=None)
@given(interleaved_calls(), st.text(max_size=20), SIZES, SIZES)
def test_any_interleaving_of_parallel_calls_gives_anthropic_the_same_calls(
    drawn: tuple[list[tuple[str, str, object]], list[bytes]], text: str, sizes: list[int], out_sizes: list[int]
) -> None:
    calls, deltas = drawn
    whole = b"".join([ROLE, chat_chunk({"content": text}), *deltas, CALLED, USAGE, DONE])
    out, stream = translated(chunked(whole, sizes), CHAT, MESSAGES)
    assert stream.error is None
    message = anthropic_reads_stream(chunked(b"".join(out), out_sizes))
    assert sorted(calls_of(message)) == sorted(calls)
    assert "".join(block.text for block in message.content if block.type == "text") == text
    assert message.stop_reason == "tool_use"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), ARGUMENTS), min_size=1, max_size=4), st.data(), SIZES, SIZES)
def test_blocks_that_are_open_at_once_give_openai_the_same_calls(
    calls: list[tuple[str, dict[str, object]]], data: st.DataObject, sizes: list[int], out_sizes: list[int]
) -> None:
    queues: list[list[bytes]] = []
    for index, (name, arguments) in enumerate(calls):
        block = {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}
        text = json.dumps(arguments)
        cut = data.draw(st.integers(0, len(text)))
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in (text[:cut], text[cut:])]
        queues.append(
            [
                messages_event("content_block_start", index=index, content_block=block),
                *(messages_event("content_block_delta", index=index, delta=delta) for delta in deltas),
                messages_event("content_block_stop", index=index),
            ]
        )
    blocks = []
    while any(queues):
        blocks.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    whole = messages_stream(*blocks, stop={"stop_reason": "tool_use"}, usage={"output_tokens": 5})
    out, stream = translated(chunked(whole, sizes), MESSAGES, CHAT)
    assert stream.error is None
    said = openai_reads_stream(chunked(b"".join(out), out_sizes)).choices[0].message.tool_calls
    assert said
    heard = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in said]
    assert sorted(heard) == [(f"t{index}", name, arguments) for index, (name, arguments) in enumerate(calls)]


@settings(max_examples=30, deadline=None)
@given(interleaved_calls(), SIZES)
def test_a_chat_stream_told_as_messages_and_back_keeps_every_call(
    drawn: tuple[list[tuple[str, str, object]], list[bytes]], sizes: list[int]
) -> None:
    calls, deltas = drawn
    there, _ = translated([ROLE, *deltas, CALLED, USAGE, DONE], CHAT, MESSAGES)
    back, stream = translated(chunked(b"".join(there), sizes), MESSAGES, CHAT)
    assert stream.error is None
    completion = openai_reads_stream(back)
    assert completion.choices[0].message.tool_calls
    heard = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in completion.choices[0].message.tool_calls]
    assert sorted(heard) == sorted(calls)
    assert completion.usage
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (9, 4)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([CHAT, MESSAGES]), st.lists(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())))
def test_rubbish_is_an_error_and_never_an_exception(source: Dialect, events: list[bytes]) -> None:
    stream = translator(source, MESSAGES if source is CHAT else CHAT)
    for data in events:
        stream.feed(None, data)
    stream.finish()
    assert stream.error is not None
    assert stream.take_terminal() == b""
