"""Whole answers, translated and read by the official SDKs."""

import json

import pytest

from jevons.core.ask import Dialect
from jevons.core.refusal import Kind, Refusal
from jevons.wire.translate import translate_answer
from tests.wire.translate_clients import anthropic_reads, openai_reads


def to_messages(message: dict[str, object], finish: str | None = "stop", usage: dict[str, object] | None = None) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = json.dumps({"id": "up", "object": "chat.completion", "created": 1, "model": "u", "choices": [choice], "usage": usage})
    return translate_answer(body.encode(), Dialect.CHAT, Dialect.MESSAGES, model="m", answer_id="msg_1", created_s=5)


def to_chat(content: list[dict[str, object]], usage: dict[str, object] | None = None, **stop: object) -> bytes:
    usage = usage or {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "up", "type": "message", "role": "assistant", "model": "u", "content": content, "usage": usage, **stop}
    return translate_answer(
        json.dumps(message).encode(), Dialect.MESSAGES, Dialect.CHAT, model="m", answer_id="chatcmpl-1", created_s=5
    )


def test_text_thinking_and_calls_arrive_at_anthropic() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50, "big": 123456789012345678901}'}}
    empty = {"type": "function", "function": {"name": "g", "arguments": None}}
    raw = to_messages({"content": "so", "reasoning_content": "hm", "tool_calls": [call, empty]}, "tool_calls")
    message = anthropic_reads(raw)
    assert message.id == "msg_1"
    assert message.model == "m"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].thinking == "hm"  # type: ignore[union-attr]
    assert message.content[1].text == "so"  # type: ignore[union-attr]
    assert message.content[2].input == {"x": 1.5, "big": 123456789012345678901}  # type: ignore[union-attr]
    assert message.content[3].id == "call_msg_1_1"  # type: ignore[union-attr]
    assert message.content[3].input == {}  # type: ignore[union-attr]
    assert message.stop_reason == "tool_use"
    assert b'{"x": 1.50, "big": 123456789012345678901}' in raw


def test_text_thinking_and_calls_arrive_at_openai() -> None:
    answer = openai_reads(
        to_chat(
            [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xx"},
                {"type": "text", "text": "so"},
                {"type": "text", "text": " be it"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
            ],
            stop_reason="tool_use",
        )
    )
    message = answer.choices[0].message
    assert (answer.id, answer.model, answer.created) == ("chatcmpl-1", "m", 5)
    assert message.content == "so be it"
    assert message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert message.thinking_blocks == [  # type: ignore[attr-defined]
        {"index": 0, "type": "thinking", "thinking": "hm", "signature": "sig"},
        {"index": 1, "type": "redacted_thinking", "data": "xx"},
    ]
    assert message.tool_calls
    assert message.tool_calls[0].function.arguments == '{"x": 1}'  # type: ignore[union-attr]
    assert answer.choices[0].finish_reason == "tool_calls"


def test_unsigned_thinking_needs_no_block_to_be_sent_back() -> None:
    message = openai_reads(to_chat([{"type": "thinking", "thinking": "hm", "signature": ""}], stop_reason="end_turn"))
    assert message.choices[0].message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert not hasattr(message.choices[0].message, "thinking_blocks")


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
        (None, "end_turn"),
        ("eos", "end_turn"),
    ],
)
def test_stop_reasons_for_anthropic(finish: str | None, stop: str) -> None:
    assert anthropic_reads(to_messages({"content": "x"}, finish)).stop_reason == stop


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "length"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_stop_reasons_for_openai(stop: str, finish: str) -> None:
    assert openai_reads(to_chat([{"type": "text", "text": "x"}], stop_reason=stop)).choices[0].finish_reason == finish


def test_a_call_ends_the_turn_for_tools_even_if_the_provider_says_stop() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert anthropic_reads(to_messages({"content": None, "tool_calls": [call]}, "stop")).stop_reason == "tool_use"


def test_refusals() -> None:
    message = anthropic_reads(to_messages({"content": None, "refusal": "I will not"}, "stop"))
    assert message.stop_reason == "refusal"
    assert message.content[0].text == "I will not"  # type: ignore[union-attr]
    details = {"type": "refusal", "category": "bio", "explanation": "too risky"}
    answer = openai_reads(to_chat([], stop_reason="refusal", stop_details=details))
    assert answer.choices[0].finish_reason == "content_filter"
    assert answer.choices[0].message.refusal == "too risky"
    assert answer.choices[0].message.content == ""


def test_an_answer_of_calls_alone_has_null_content() -> None:
    answer = openai_reads(to_chat([{"type": "tool_use", "id": "c", "name": "f", "input": {}}], stop_reason="tool_use"))
    assert answer.choices[0].message.content is None


def test_usage_for_openai_counts_cached_input_as_prompt() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
        "output_tokens": 25,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    said = openai_reads(to_chat([{"type": "text", "text": "x"}], usage, stop_reason="end_turn")).usage
    assert said
    assert (said.prompt_tokens, said.completion_tokens, said.total_tokens) == (280, 25, 305)
    assert said.prompt_tokens_details
    assert (said.prompt_tokens_details.cached_tokens, said.prompt_tokens_details.cache_write_tokens) == (200, 70)
    assert said.completion_tokens_details
    assert said.completion_tokens_details.reasoning_tokens == 5


def test_usage_for_anthropic_counts_uncached_input_apart() -> None:
    usage = {
        "prompt_tokens": 280,
        "completion_tokens": 25,
        "total_tokens": 305,
        "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 70, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    said = anthropic_reads(to_messages({"content": "x"}, usage=usage)).usage
    assert (said.input_tokens, said.cache_read_input_tokens, said.cache_creation_input_tokens) == (10, 200, 70)
    assert said.output_tokens == 25
    assert said.output_tokens_details
    assert said.output_tokens_details.thinking_tokens == 5


def test_reasoning_counted_beside_the_output_is_added_to_it() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 35,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    said = anthropic_reads(to_messages({"content": "x"}, usage=usage)).usage
    assert said.output_tokens == 25
    assert said.output_tokens_details
    assert said.output_tokens_details.thinking_tokens == 20


def test_an_hour_of_cache_is_told_apart_when_a_message_stays_a_message() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
    }
    content = [{"type": "redacted_thinking", "data": "d"}, {"type": "text", "text": "x"}]
    body = {"content": content, "usage": usage, "stop_reason": "stop_sequence", "stop_sequence": "END"}
    same = translate_answer(json.dumps(body).encode(), Dialect.MESSAGES, Dialect.MESSAGES, model="m", answer_id="i", created_s=1)
    message = anthropic_reads(same)
    assert message.usage.cache_creation
    assert message.usage.cache_creation.ephemeral_1h_input_tokens == 40
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert message.content[0].data == "d"  # type: ignore[union-attr]


def test_a_call_cut_short_by_the_cap_has_no_arguments() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": "unfini'}}
    message = anthropic_reads(to_messages({"content": None, "tool_calls": [call]}, "length"))
    assert message.stop_reason == "max_tokens"
    assert message.content[0].input == {}  # type: ignore[union-attr]


@pytest.mark.parametrize("arguments", ['{"x": ', "[1]", '"text"', '{"x":' * 3000 + "1" + "}" * 3000])
def test_arguments_that_are_not_an_object_are_the_upstreams_fault(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(Refusal, match="arguments of its call of f") as refused:
        to_messages({"content": None, "tool_calls": [call]}, "tool_calls")
    assert (refused.value.kind, refused.value.status) == (Kind.UPSTREAM, 502)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": 1}}]}', b"[" * 9999]
)
def test_what_is_no_chat_completion_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        translate_answer(body, Dialect.CHAT, Dialect.MESSAGES, model="m", answer_id="i", created_s=1)
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"content": [{"type": "server_tool_use"}], "usage": {}}',
        b'{"content": [], "usage": {"input_tokens": -1}}',
        b'{"content": [{"type": "tool_use", "input": {"x": "\xff"}}], "usage": {}}',
    ],
)
def test_what_is_no_message_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        translate_answer(body, Dialect.MESSAGES, Dialect.CHAT, model="m", answer_id="i", created_s=1)
    assert refused.value.status == 502
