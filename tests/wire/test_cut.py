"""An answer cut for its length at any event border, as the official SDKs read it."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseStreamEvent

from jevons.core.ask import Dialect
from jevons.core.usage import Usage
from jevons.wire import sse
from jevons.wire.cut import Ending
from jevons.wire.reader import Reader
from tests.wire.translate_clients import (
    anthropic_reads_stream,
    chat_call,
    chat_chunk,
    messages_block,
    messages_event,
    openai_reads_stream,
)

CHAT, MESSAGES, RESPONSES = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES
DIALECTS = [CHAT, MESSAGES, RESPONSES]
USAGE = Usage(input=7, cache_read=20, cache_write_5m=3, output=5, reasoning=2)
DONE = sse.event("", b"[DONE]")


def ending(dialect: Dialect, *, include_usage: bool = False) -> Ending:
    return Ending(dialect, model="stand-in", answer_id="own", created_s=5, include_usage=include_usage)


def cut(dialect: Dialect, seen: Sequence[bytes], *, include_usage: bool = False, usage: Usage | None = USAGE) -> list[bytes]:
    """The events of a stream of which the client was sent these, and then its end."""
    end = ending(dialect, include_usage=include_usage)
    for run in seen:
        end.saw(run)
    last, terminal = end.length(5, usage)
    assert len(list(sse.events(terminal))) == 1
    reader = Reader(dialect)
    assert reader.feed(last + terminal)[1] == terminal
    assert reader.ended
    assert not reader.failed
    return [*seen, last, terminal]


def documents(events: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data, _ in sse.events(b"".join(events)) if data != b"[DONE]"]


def openai_reads_cut(events: Sequence[bytes]) -> ChatCompletion:
    """Openai's accumulator reads all of it, and says in its own way that the length was reached."""
    with pytest.raises(openai.LengthFinishReasonError) as error:
        openai_reads_stream(events)
    return ChatCompletion.model_validate(error.value.completion.model_dump(), strict=True)


ROLE = chat_chunk({"role": "assistant", "content": ""})


def test_chat_is_read_as_cut() -> None:
    said = openai_reads_cut(cut(CHAT, [ROLE, chat_chunk({"content": "He"}), chat_chunk({"content": "llo"})]))
    assert (said.id, said.model, said.created, said.usage) == ("up", "u", 1, None)
    assert [(choice.index, choice.finish_reason, choice.message.content) for choice in said.choices] == [(0, "length", "Hello")]


def test_chat_is_cut_after_a_whole_call() -> None:
    said = openai_reads_cut(cut(CHAT, [ROLE, chat_call(0, "", "c", "f"), chat_call(0, "{}")])).choices[0]
    assert said.finish_reason == "length"
    assert said.message.tool_calls
    assert said.message.tool_calls[0].function.arguments == "{}"


def test_chat_tells_usage_only_to_who_asked() -> None:
    seen = [chat_chunk({"role": "assistant", "content": "a"}, system_fingerprint="fp", obfuscation="xx", usage=None)]
    plain, asked = documents(cut(CHAT, seen)[1:]), documents(cut(CHAT, seen, include_usage=True)[1:])
    assert len(plain) == 1
    assert "usage" not in plain[0]
    frame = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "u", "system_fingerprint": "fp"}
    choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
    assert plain[0] == {**frame, "choices": [choice]}
    assert asked[0] == {**frame, "choices": [choice], "usage": None}
    assert asked[1]["choices"] == []
    said = openai_reads_cut(cut(CHAT, seen, include_usage=True))
    assert said.usage
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (30, 5, 35)
    assert said.usage.prompt_tokens_details
    assert said.usage.prompt_tokens_details.cached_tokens == 20
    unknown = documents(cut(CHAT, seen, include_usage=True, usage=None)[1:])
    assert [chunk["usage"] for chunk in unknown] == [None]


def test_every_open_choice_of_chat_is_finished_once() -> None:
    def chunk(index: int, finish: str | None = None) -> bytes:
        delta = {} if finish else {"role": "assistant", "content": ""}
        return chat_chunk(None, choices=[{"index": index, "delta": delta, "finish_reason": finish}])

    said = openai_reads_cut(cut(CHAT, [chunk(0), chunk(1), chunk(2), chunk(1, "stop")]))
    assert [(choice.index, choice.finish_reason) for choice in said.choices] == [(0, "length"), (1, "stop"), (2, "length")]
    assert cut(CHAT, [chunk(0, "stop")])[1:] == [b"", DONE]


def test_chat_that_has_not_begun() -> None:
    said = openai_reads_cut(cut(CHAT, []))
    assert (said.id, said.model, said.choices[0].finish_reason) == ("own", "stand-in", "length")
    assert (said.choices[0].message.role, said.choices[0].message.content) == ("assistant", "")
    azure = chat_chunk(None, prompt_filter_results=[])
    assert openai_reads_cut(cut(CHAT, [azure])).choices[0].finish_reason == "length"


START = messages_event(
    "message_start",
    message={
        "id": "up",
        "type": "message",
        "role": "assistant",
        "model": "u",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 7, "output_tokens": 1},
    },
)
TEXT = messages_block(
    0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo stop"}
)
TOOL = messages_block(
    1, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "input_json_delta", "partial_json": "{}"}
)
MESSAGES_EVENTS = [raw for _, _, raw in sse.events(START + messages_event("ping") + TEXT + TOOL)]


@pytest.mark.parametrize("count", range(len(MESSAGES_EVENTS) + 1))
@pytest.mark.parametrize("usage", [USAGE, None])
def test_messages_are_read_as_cut_wherever_they_are(count: int, usage: Usage | None) -> None:
    events = cut(MESSAGES, MESSAGES_EVENTS[:count], usage=usage)
    said = anthropic_reads_stream(events)  # it asserts that every block is stopped
    Message.model_validate(said.model_dump(), strict=True)
    assert (said.stop_reason, said.stop_sequence, said.usage.output_tokens) == ("max_tokens", None, 5)
    assert said.id == ("up" if count else "own")
    if usage is not None:
        assert (said.usage.input_tokens, said.usage.cache_read_input_tokens) == (7, 20)
        assert said.usage.output_tokens_details
        assert said.usage.output_tokens_details.thinking_tokens == 2
    elif count:
        assert said.usage.input_tokens == 7
    text = "".join(
        json.loads(data)["delta"].get("text", "") for name, data, _ in sse.events(b"".join(events)) if name.endswith("k_delta")
    )
    assert "".join(block.text for block in said.content if block.type == "text") == text


def test_messages_without_event_names_and_those_that_had_stopped() -> None:
    nameless = [b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents(MESSAGES_EVENTS[:4])]
    assert [event["type"] for event in documents(cut(MESSAGES, nameless)[4:])] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    stopped = messages_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    events = cut(MESSAGES, [START, TEXT, stopped])
    assert [event["type"] for event in documents(events[3:])] == ["message_stop"]
    assert anthropic_reads_stream(events).stop_reason == "end_turn"


class _Responses:
    """The provider's side of openai's SDK."""

    def __init__(self) -> None:
        self.events: Sequence[bytes] = ()
        http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        self.client = openai.OpenAI(api_key="k", base_url="http://test/v1", max_retries=0, http_client=http)

    def _answer(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=iter(self.events))

    def read(self, events: Sequence[bytes]) -> tuple[list[ResponseStreamEvent], Response]:
        """All events, by the plain stream and by the accumulating one, which checks indexes and identities."""
        self.events = events
        plain = list(self.client.responses.create(model="m", input="hi", stream=True))
        with self.client.responses.stream(model="m", input="hi") as stream:
            for event in stream:
                last = event
        for event in plain:
            type(event).model_validate(event.model_dump(), strict=True)
        assert plain[-1].type == "response.incomplete"
        assert last.type == "response.incomplete"
        assert last.response.to_dict() == plain[-1].response.to_dict()
        assert [event.sequence_number for event in plain] == list(range(len(plain)))
        return plain, plain[-1].response


SDK = _Responses()
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 3.0,
    "completed_at": None,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "instructions": "be brief",
    "model": "u",
    "output": [],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
    "metadata": {},
    "own": {"kept": 1},
}


def response_events(*told: tuple[str, dict[str, Any]]) -> list[bytes]:
    return [
        sse.event(f"response.{name}", json.dumps({"type": f"response.{name}", "sequence_number": number, **members}).encode())
        for number, (name, members) in enumerate(told)
    ]


def told_text(index: int, *pieces: str) -> list[tuple[str, dict[str, Any]]]:
    at, text = {"item_id": f"msg_{index}", "output_index": index, "content_index": 0}, "".join(pieces)
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    item = {"id": f"msg_{index}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    note = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "u"}
    whole = {**part, "text": text, "annotations": [note]}
    return [
        ("output_item.added", {"output_index": index, "item": item}),
        ("content_part.added", {**at, "part": part}),
        *(("output_text.delta", {**at, "delta": piece, "logprobs": []}) for piece in pieces),
        ("output_text.annotation.added", {**at, "annotation": note, "annotation_index": 0}),
        ("output_text.done", {**at, "text": text, "logprobs": []}),
        ("content_part.done", {**at, "part": whole}),
        ("output_item.done", {"output_index": index, "item": {**item, "status": "completed", "content": [whole]}}),
    ]


def told_reasoning(index: int) -> list[tuple[str, dict[str, Any]]]:
    item = {"id": "rs", "type": "reasoning", "summary": []}
    at = {"item_id": "rs", "output_index": index}
    part = {"type": "summary_text", "text": "hm so"}
    text = {"type": "reasoning_text", "text": "deep"}
    return [
        ("output_item.added", {"output_index": index, "item": item}),
        ("reasoning_summary_part.added", {**at, "summary_index": 0, "part": {**part, "text": ""}}),
        ("reasoning_summary_text.delta", {**at, "summary_index": 0, "delta": "hm "}),
        ("reasoning_summary_text.delta", {**at, "summary_index": 0, "delta": "so"}),
        ("reasoning_summary_text.done", {**at, "summary_index": 0, "text": "hm so"}),
        ("reasoning_summary_part.done", {**at, "summary_index": 0, "part": part}),
        ("content_part.added", {**at, "content_index": 0, "part": {**text, "text": ""}}),
        ("reasoning_text.delta", {**at, "content_index": 0, "delta": "deep"}),
        ("reasoning_text.done", {**at, "content_index": 0, "text": "deep"}),
        ("content_part.done", {**at, "content_index": 0, "part": text}),
        ("output_item.done", {"output_index": index, "item": {**item, "summary": [part], "content": [text]}}),
    ]


def told_refusal(index: int) -> list[tuple[str, dict[str, Any]]]:
    at = {"item_id": "no", "output_index": index, "content_index": 0}
    item = {"id": "no", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    return [
        ("output_item.added", {"output_index": index, "item": item}),
        ("content_part.added", {**at, "part": {"type": "refusal", "refusal": ""}}),
        ("refusal.delta", {**at, "delta": "I will "}),
        ("refusal.delta", {**at, "delta": "not."}),
    ]


BEGUN = [("created", {"response": RESPONSE}), ("in_progress", {"response": RESPONSE})]
RESPONSES_EVENTS = response_events(*BEGUN, *told_reasoning(0), *told_text(1, "Grü", "ße"), *told_text(2, "a"), *told_refusal(3))


@pytest.mark.parametrize("count", range(len(RESPONSES_EVENTS) + 1))
def test_responses_are_read_as_cut_wherever_they_are(count: int) -> None:
    events, response = SDK.read(cut(RESPONSES, RESPONSES_EVENTS[:count]))
    Response.model_validate(response.model_dump(), strict=True)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (30, 5, 35)
    assert response.usage.input_tokens_details.cached_tokens == 20
    if count:
        assert (response.id, response.created_at, response.instructions, response.own) == ("resp_1", 3.0, "be brief", {"kept": 1})  # type: ignore[attr-defined]
    else:
        assert (response.id, response.model) == ("own", "stand-in")
    assert response.output_text == "".join(event.delta for event in events if event.type == "response.output_text.delta")
    # What was begun is done, once, and says what its deltas said.
    for border in ("output_item", "content_part", "reasoning_summary_part"):
        begun = [event for event in events if event.type == f"response.{border}.added"]
        assert len(begun) == len([event for event in events if event.type == f"response.{border}.done"])
    done = [event.item.to_dict() for event in events if event.type == "response.output_item.done"]
    assert [item.to_dict() for item in response.output] == done
    for kind in ("output_text", "refusal", "reasoning_text", "reasoning_summary_text"):
        told = [event.to_dict() for event in events if event.type.startswith(f"response.{kind}.d")]
        deltas = "".join(str(event["delta"]) for event in told if "delta" in event)
        assert "".join(str(event.get("text", event.get("refusal", ""))) for event in told if "delta" not in event) == deltas


def test_what_openai_sends_when_a_text_is_cut() -> None:
    seen = RESPONSES_EVENTS[:2] + response_events(*BEGUN, *told_text(0, "He", "llo"))[2:6]
    last = documents(cut(RESPONSES, seen, usage=None)[6:])
    assert [event["type"] for event in last] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    at = {"item_id": "msg_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    item = {"id": "msg_0", "type": "message", "status": "incomplete", "role": "assistant", "content": [part]}
    assert last[0] == {"type": "response.output_text.done", "sequence_number": 6, **at, "text": "Hello", "logprobs": []}
    assert last[1] == {"type": "response.content_part.done", "sequence_number": 7, **at, "part": part}
    assert last[2] == {"type": "response.output_item.done", "sequence_number": 8, "output_index": 0, "item": item}
    assert last[3]["response"] == {
        **RESPONSE,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [item],
        "usage": None,
    }


def test_whole_calls_stay_in_the_output_and_half_ones_are_left_out() -> None:
    call = {"type": "function_call", "id": "fc_0", "call_id": "c", "name": "f", "arguments": "", "status": "in_progress"}
    done = {**call, "arguments": "{}", "status": "completed"}
    half = {**call, "id": "fc_1", "call_id": "d"}
    seen = response_events(
        *BEGUN,
        ("output_item.added", {"output_index": 0, "item": call}),
        ("output_item.done", {"output_index": 0, "item": done}),
        ("output_item.added", {"output_index": 1, "item": half}),
        ("function_call_arguments.delta", {"output_index": 1, "item_id": "fc_1", "delta": '{"rm":'}),
    )
    _, response = SDK.read(cut(RESPONSES, seen))
    assert [item.to_dict() for item in response.output] == [done]
    assert len(documents(cut(RESPONSES, seen)[len(seen) :])) == 1


def test_responses_that_leave_things_out() -> None:
    """Without sequence numbers, names, borders of parts; with a part of a kind that nobody knows yet."""
    plain = [
        *BEGUN,
        ("output_item.added", {"output_index": 0, "item": {"id": "m", "type": "message", "role": "assistant"}}),
        ("output_text.delta", {"item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hi"}),
        ("output_text.annotation.added", {"item_id": "m", "output_index": 0, "content_index": 7, "annotation": {}}),
        ("content_part.added", {"item_id": "m", "output_index": 0, "content_index": 1, "part": {"type": "new", "x": 1}}),
        ("output_text.delta", {"item_id": "?", "output_index": 9, "content_index": 0, "delta": "lost"}),
        ("brand_new", {"output_index": 0}),
    ]
    seen = [b"data: " + json.dumps({"type": f"response.{name}", **members}).encode() + b"\n\n" for name, members in plain]
    last = documents(cut(RESPONSES, seen)[len(seen) :])
    assert [event["sequence_number"] for event in last] == list(range(len(plain), len(plain) + 5))
    assert [event["type"] for event in last] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert last[-1]["response"]["output"] == [
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "status": "incomplete",
            "content": [{"type": "output_text", "text": "Hi"}, {"type": "new", "x": 1}],
        }
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_cannot_be_read_is_passed_over(dialect: Dialect) -> None:
    noise = [sse.event("x", data) for data in (b"[DONE", b"7", b"\xff", b"[" * 9999, b'{"type":7,"choices":7}')]
    comment = b": nothing\n\n"
    end, quiet = ending(dialect), ending(dialect)
    for run in (*noise, comment, DONE):
        end.saw(run)
    assert end.length(1) == quiet.length(1)
