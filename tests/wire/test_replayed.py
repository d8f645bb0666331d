"""One answer in both forms: what a stand-in provider streams comes to what it answers whole, and a told stream comes back to its answer."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.wire.reader import Reader
from jevons.wire.replayed import stream_of, whole_of
from jevons.wire.sse import event, events
from jevons.wire.translate import BrokenAnswer
from tests.gateway.asking import PATHS, prompt
from tests.provider import Provider

TOOLS = [{"name": "weather", "arguments": {"city": "Köln", "days": [1, 2.5]}}, {"name": "weather", "arguments": {}}]
SCRIPTS: dict[str, dict[str, Any]] = {
    "text": {"reply": 'Grüße, 日本 🙂 \\ "quoted"\n', "chunks": 7},
    "nothing": {"reply": ""},
    "tools": {"reply": "Let me look.", "tools": TOOLS},
    "only tools": {"reply": "", "tools": TOOLS, "interleave": True},
    "thought": {"reply": "So.", "thinking": "Hm. Yes.", "reasoning": 9},
    "length": {"reply": "one two three four five six seven eight nine ten eleven twelve", "chunks": 3},
}
DOORS = [Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES]
CASES = [(door, name) for door in DOORS for name in SCRIPTS]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


def asked(provider: Provider, door: Dialect, *, stream: bool, **script: Any) -> bytes:
    """The stand-in's own answer, as it stands on the wire."""
    cap = 8 if "twelve" in str(script.get("reply")) else 500
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    body: dict[str, Any] = {"model": "claude-sonnet-4-5" if door is Dialect.MESSAGES else "gpt-4o", "stream": stream}
    text = prompt("Hi.", **script)
    match door:
        case Dialect.CHAT:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": cap}
            body |= {"stream_options": {"include_usage": True}} if stream else {}
        case Dialect.MESSAGES:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": cap}
            tools = [{"name": "weather", "input_schema": {"type": "object"}}]
        case _:
            body |= {"input": text, "max_output_tokens": cap, "store": False}
            tools = [{"type": "function", "name": "weather", "parameters": {}}]
    if script.get("tools"):
        body["tools"] = tools
    base = provider.url if door is Dialect.MESSAGES else provider.openai_url.removesuffix("/v1")
    headers = {
        "content-type": "application/json",
        "authorization": "Bearer sk-key",
        "x-api-key": "sk-key",
        "anthropic-version": "1",
    }
    with urllib.request.urlopen(urllib.request.Request(base + PATHS[door], json.dumps(body).encode(), headers)) as answer:
        return bytes(answer.read())


def bare(body: bytes) -> Any:
    """What two answers of one script have in common: not their ids and times."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            left = {name: without(member) for name, member in value.items()}
            return {name: member for name, member in left.items() if name not in APART and member not in (None, "", [])}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(json.loads(body))


APART = {
    "id",
    "call_id",
    "created",
    "created_at",
    "completed_at",
    "item_id",
    "service_tier",
    "obfuscation",
    "signature",
    "encrypted_content",
}


@pytest.mark.parametrize(("door", "name"), CASES)
def test_a_stream_comes_to_the_whole_answer(provider: Provider, door: Dialect, name: str):
    whole = asked(provider, door, stream=False, **SCRIPTS[name])
    stream = asked(provider, door, stream=True, **SCRIPTS[name])
    assert bare(whole_of(door, stream)) == bare(whole)


@pytest.mark.parametrize(("door", "name"), CASES)
def test_a_told_stream_comes_back_to_its_answer(provider: Provider, door: Dialect, name: str):
    whole = asked(provider, door, stream=False, **SCRIPTS[name])
    told, terminal = stream_of(door, whole, include_usage=True)
    expected = json.loads(whole)
    for choice in expected.get("choices", ()):
        del choice["message"]["annotations"]  # empty: no delta says so
    assert json.loads(whole_of(door, told + terminal)) == expected


@pytest.mark.parametrize("door", DOORS)
def test_it_is_read_like_the_providers(provider: Provider, door: Dialect):
    """Its end, its usage, its id and how it finished are found where they are in the provider's own stream."""
    whole = asked(provider, door, stream=False, **SCRIPTS["tools"])
    stream = b"".join(stream_of(door, whole, include_usage=True))
    told, theirs = Reader(door), Reader(door)
    told.feed(stream)
    theirs.feed(asked(provider, door, stream=True, **SCRIPTS["tools"]))
    assert told.ended and told.complete and not told.failed and told.finish == theirs.finish
    assert json.loads(told.usages[-1]).items() >= json.loads(theirs.usages[-1]).items()
    assert told.response_id == ("" if door is Dialect.CHAT else json.loads(whole)["id"])


@pytest.mark.parametrize("door", DOORS)
def test_what_the_provider_streams_in_order_is_told_in_order(provider: Provider, door: Dialect):
    """The kinds of events, without repetitions, are those of the provider's own stream."""

    def kinds(stream: bytes) -> list[str]:
        named = [name for name, data, _ in events(stream) if data and name != "ping"]
        return [name for number, name in enumerate(named) if number == 0 or name != named[number - 1]]

    whole = asked(provider, door, stream=False, **SCRIPTS["thought"])
    assert kinds(b"".join(stream_of(door, whole, include_usage=False))) == kinds(
        asked(provider, door, stream=True, **SCRIPTS["thought"])
    )


def chat(*deltas: dict[str, Any], **members: Any) -> bytes:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **members} for delta in deltas]
    return b"".join(event("", json.dumps(chunk).encode()) for chunk in [*chunks]) + event("", b"[DONE]")


def message(**members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **members}


@pytest.mark.parametrize(
    ("deltas", "whole"),
    [
        ([{"role": "assistant"}, {"role": "assistant", "content": "a"}, {"content": None}, {"content": "b"}], message(content="ab")),
        ([{"refusal": "no"}, {"refusal": "."}], message(refusal="no.")),
        ([{"reasoning_content": "h"}, {"reasoning_content": "m"}, {"content": "a"}], message(reasoning_content="hm", content="a")),
        ([{"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}],
         message(function_call={"name": "f", "arguments": "{}"})),
        ([{"tool_calls": [{"index": 1, "id": "y", "type": "function", "function": {"name": "g", "arguments": ""}}]},
          {"tool_calls": [{"index": 1, "function": {"name": "", "arguments": "{"}}]},
          {"tool_calls": [{"index": 1, "id": "y", "function": {"arguments": "}"}}]}],
         message(tool_calls=[{"id": "y", "type": "function", "function": {"name": "g", "arguments": "{}"}}])),
        ([{"reasoning_details": [{"index": 0, "type": "text", "text": "a"}]}, {"reasoning_details": [{"index": 0, "type": "text", "text": "b"}]}],
         message(reasoning_details=[{"index": 0, "type": "text", "text": "ab"}])),
        ([{"annotations": ["one"]}, {"annotations": ["two"]}], message(annotations=["one", "two"])),
    ],
)  # fmt: skip
def test_chat_deltas_of_many_providers(deltas: list[dict[str, Any]], whole: dict[str, Any]):
    assert json.loads(whole_of(Dialect.CHAT, chat(*deltas)))["choices"][0]["message"] == whole


def test_logprobs_go_on_from_chunk_to_chunk():
    said = [
        {"choices": [{"index": 0, "delta": {"content": word}, "logprobs": {"content": [{"token": word}], "refusal": None}}]}
        for word in "ab"
    ]
    stream = b"".join(event("", json.dumps(chunk).encode()) for chunk in said)
    whole = whole_of(Dialect.CHAT, stream)
    [choice] = json.loads(whole)["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}
    assert json.loads(whole_of(Dialect.CHAT, b"".join(stream_of(Dialect.CHAT, whole, include_usage=False))))["choices"] == [
        choice
    ]


def test_the_usage_chunk_is_told_to_whoever_asked():
    whole = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"total_tokens":3}}'
    told = [
        [json.loads(data) for _, data, _ in events(stream_of(Dialect.CHAT, whole, include_usage=wanted)[0])]
        for wanted in (True, False)
    ]
    assert told[0][-1]["usage"] == {"total_tokens": 3} and told[0][-1]["choices"] == []
    assert all("usage" in chunk and chunk["usage"] is None for chunk in told[0][:-1])
    assert all("usage" not in chunk and chunk["choices"] for chunk in told[1])


def messages(*said: dict[str, Any]) -> bytes:
    opening = {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}
    return b"".join(event(one["type"], json.dumps(one).encode()) for one in (opening, *said))


def begun(block: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    told = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    return messages({"type": "content_block_start", "index": 0, "content_block": block}, *told)


@pytest.mark.parametrize(
    ("door", "stream"),
    [
        (Dialect.CHAT, event("", b"{")),
        (Dialect.CHAT, event("", b'{"choices":[{}]}')),
        (Dialect.CHAT, chat({"tool_calls": [{"index": 0, "id": "a"}]}, {"tool_calls": [{"index": 0, "id": "b"}]})),
        (Dialect.CHAT, chat({"content": "a"}, {"content": {"b": 1}})),
        (Dialect.MESSAGES, messages({"type": "error", "error": {}})),
        (Dialect.MESSAGES, begun({"type": "text", "text": ""}, {"type": "sung_delta", "song": "a"})),
        (Dialect.MESSAGES, begun({"type": "tool_use", "id": "t", "input": {}}, {"type": "input_json_delta", "partial_json": '{"a'})),
        (Dialect.MESSAGES, messages({"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": ""}})),
        (Dialect.RESPONSES, event("response.created", b'{"type":"response.created","response":{}}')),
    ],
)  # fmt: skip
def test_what_cannot_be_put_together(door: Dialect, stream: bytes):
    with pytest.raises(BrokenAnswer, match="its stream"):
        whole_of(door, stream)


@pytest.mark.parametrize(
    ("door", "body"),
    [
        (Dialect.CHAT, b'{"choices":[{"index":0,"finish_reason":"stop"}]}'),
        (Dialect.CHAT, b'{"object":"something"}'),
        (Dialect.MESSAGES, b'{"content":[{"text":"no type"}]}'),
        (Dialect.RESPONSES, b'{"status":"completed"}'),
        (Dialect.RESPONSES, b"[]"),
    ],
)
def test_what_cannot_be_told(door: Dialect, body: bytes):
    with pytest.raises(BrokenAnswer, match="cannot be told"):
        stream_of(door, body, include_usage=False)


def test_blocks_that_begin_with_all_that_they_are():
    cited = {"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "b"}]}
    blocks = [cited, {"type": "redacted_thinking", "data": "x"}, {"type": "new_block", "of": [1]}]
    whole = {
        "id": "m",
        "type": "message",
        "content": blocks,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"output_tokens": 2},
    }
    stream = b"".join(stream_of(Dialect.MESSAGES, json.dumps(whole).encode(), include_usage=False))
    assert json.loads(whole_of(Dialect.MESSAGES, stream)) == whole


def test_items_that_only_their_own_events_tell():
    """Some providers leave them out of the last event."""
    item = {"type": "message", "id": "i", "content": []}
    said = [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
    ]
    whole = json.loads(whole_of(Dialect.RESPONSES, b"".join(event(one["type"], json.dumps(one).encode()) for one in said)))
    assert whole["output"] == [item]
