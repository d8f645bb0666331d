"""The stand-in speaks OpenAI's wire format: the official SDK parses every answer strictly."""

import asyncio
import json
from collections import defaultdict
from typing import Any

import openai
import pydantic
import pytest

from tests.provider import Bill, Provider

TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
TWO_CALLS = [{"name": "weather", "arguments": {"city": "Ulm"}}, {"name": "weather", "arguments": {"city": "Köln am Rhein"}}]


def user(text: str = "", **script: Any) -> Any:
    """A conversation of one user message, with a script in it."""
    return [{"role": "user", "content": text + ("@@" + json.dumps(script) if script else "")}]


def test_an_answer_without_a_script_echoes(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="gpt-4o", messages=user("good morning"))
    assert answer.choices[0].message.content == "You said: good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 4, 7)
    assert answer.service_tier == "default"


def test_what_is_reported_is_billed(provider: Provider, gpt: openai.OpenAI, marker: str) -> None:
    answer = gpt.chat.completions.create(
        model="gpt-4o", messages=user("one two ", reply="three four", reasoning=200, marker=marker), n=3
    )
    assert [choice.message.content for choice in answer.choices] == ["three four", "three four #1", "three four #2"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3 * 202
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 600
    [attempt] = provider.attempts(marker)
    assert attempt.bill is not None
    assert (attempt.bill.output, attempt.bill.reasoning) == (606, 600)
    assert attempt.usage == answer.usage.model_dump(exclude_unset=True)
    assert attempt.how == "complete"


def test_a_stream_has_no_usage_unless_asked(gpt: openai.OpenAI) -> None:
    raw = [
        chunk.model_dump(exclude_unset=True)
        for chunk in gpt.chat.completions.create(model="gpt-4o", messages=user("hi"), stream=True)
    ]
    assert all("usage" not in chunk and chunk["choices"] for chunk in raw)
    assert raw[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert raw[-1]["choices"][0]["delta"] == {}
    assert raw[-1]["choices"][0]["finish_reason"] == "stop"


def test_asked_for_usage_comes_last_and_null_before(gpt: openai.OpenAI) -> None:
    asked: Any = {"include_usage": True}
    stream = gpt.chat.completions.create(model="gpt-4o", messages=user("hi"), stream=True, stream_options=asked)
    raw: list[dict[str, Any]] = [chunk.model_dump(exclude_unset=True) for chunk in stream]
    assert all(chunk["usage"] is None for chunk in raw[:-1])
    assert raw[-1]["choices"] == []
    assert raw[-1]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("interleave", [False, True])
def test_parallel_calls_arrive_whole(gpt: openai.OpenAI, interleave: bool) -> None:
    messages = user(tools=TWO_CALLS, interleave=interleave, chunks=5)
    whole = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.content is None
    calls: dict[int, dict[str, str]] = defaultdict(lambda: {"name": "", "arguments": ""})
    order = []
    for chunk in gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL], stream=True):
        for delta in chunk.choices[0].delta.tool_calls or ():
            order.append(delta.index)
            assert delta.function is not None
            calls[delta.index]["name"] += delta.function.name or ""
            calls[delta.index]["arguments"] += delta.function.arguments or ""
    assert (order != sorted(order)) is interleave
    assert [(c["name"], json.loads(c["arguments"])) for c in calls.values()] == [(t["name"], t["arguments"]) for t in TWO_CALLS]


def test_a_tool_round_trip_follows_then(gpt: openai.OpenAI) -> None:
    messages = user(tools=TWO_CALLS[:1], then={"reply": "It rains."})
    first = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    [call] = first.choices[0].message.tool_calls or []
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    assert second.choices[0].message.content == "It rains."


def test_an_unanswered_call_is_refused(gpt: openai.OpenAI) -> None:
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    with pytest.raises(openai.BadRequestError, match="must be followed by tool messages"):
        gpt.chat.completions.create(model="gpt-4o", messages=[*user("hi"), {"role": "assistant", "tool_calls": [call]}])


class Point(pydantic.BaseModel):
    """A shape to ask for."""

    x: int
    label: str


def test_json_schema_is_obeyed_and_log_probabilities_come_along(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.parse(
        model="gpt-4o", messages=user("a point"), response_format=Point, logprobs=True, top_logprobs=2
    )
    assert answer.choices[0].message.parsed == Point(x=1, label="word")
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content is not None
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_a_script_in_a_header_is_no_part_of_the_prompt(gpt: openai.OpenAI) -> None:
    script = json.dumps({"reply": "five", "logprob": -2.5})
    answer = gpt.chat.completions.create(
        model="gpt-4o", messages=user("two and three"), logprobs=True, extra_headers={"x-stand-in-script": script}
    )
    assert answer.choices[0].message.content == "five"
    assert answer.choices[0].logprobs is not None and answer.choices[0].logprobs.content is not None
    assert [token.logprob for token in answer.choices[0].logprobs.content] == [-2.5]
    assert answer.usage is not None and answer.usage.prompt_tokens == 4


def test_the_cap_cuts_and_the_tier_is_echoed(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(
        model="gpt-4o", messages=user(tokens_out=100), max_completion_tokens=7, service_tier="flex"
    )
    assert answer.choices[0].message.content == " ".join(["tok"] * 7)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert answer.service_tier == "flex"


def test_usage_can_be_forced(provider: Provider, gpt: openai.OpenAI, marker: str) -> None:
    forced = {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980, "prompt_tokens_details": {"cached_tokens": 512}}
    answer = gpt.chat.completions.create(model="gpt-4o", messages=user(reply="x", usage=forced, marker=marker))
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_unset=True) == forced
    [attempt] = provider.attempts(marker)
    assert attempt.bill == Bill(input=388, cache_read=512, output=80)


def test_a_repeated_long_prefix_is_cached_in_steps_of_128(gpt: openai.OpenAI) -> None:
    def cached(*texts: str) -> int | None:
        messages: Any = [{"role": "user", "content": text} for text in texts]
        answer = gpt.chat.completions.create(model="gpt-4o", messages=messages)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        return answer.usage.prompt_tokens_details.cached_tokens

    long = "word " * 1500
    assert [cached(long), cached(long, "more"), cached("short"), cached("short")] == [0, 1408, 0, 0]


def test_embeddings_are_the_same_in_both_encodings(provider: Provider, gpt: openai.OpenAI) -> None:
    floats = gpt.embeddings.create(
        model="text-embedding-3-small", input=["one two", "three"], encoding_format="float", dimensions=256
    )
    with openai.OpenAI(
        base_url=provider.openai_url, api_key="sk-test"
    ) as lenient:  # base64 is its default, its strict types know floats only
        packed = lenient.embeddings.create(model="text-embedding-3-small", input=["one two", "three"], dimensions=256)
    assert [d.embedding for d in packed.data] == [d.embedding for d in floats.data]
    assert len(floats.data[0].embedding) == 256
    assert sum(x * x for x in floats.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert floats.usage.prompt_tokens == 3


def test_models(gpt: openai.OpenAI) -> None:
    assert gpt.models.retrieve(next(iter(gpt.models.list())).id).object == "model"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("missing-1")


def test_responses_are_stored_continued_and_deleted(gpt: openai.OpenAI) -> None:
    first = gpt.responses.create(model="gpt-5.4", input="one two")
    assert first.output_text == "You said: one two"
    assert gpt.responses.retrieve(first.id) == first
    second = gpt.responses.create(model="gpt-5.4", input="three", previous_response_id=first.id)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + 2
    gpt.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match="Previous response"):
        gpt.responses.create(model="gpt-5.4", input="four", previous_response_id=first.id)


@pytest.mark.parametrize("interleave", [False, True])
def test_a_response_streams_its_events_in_order(gpt: openai.OpenAI, interleave: bool) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    script: Any = {"reply": "Let me see.", "tools": TWO_CALLS, "interleave": interleave, "reasoning": 64}
    with gpt.responses.stream(model="gpt-5.4", input=user(**script), tools=tools, reasoning={"summary": "auto"}) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [json.loads(item.arguments) for item in final.output if item.type == "function_call"] == [
        t["arguments"] for t in TWO_CALLS
    ]
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 64


def test_a_response_that_hits_its_cap_is_incomplete(gpt: openai.OpenAI) -> None:
    events = list(gpt.responses.create(model="gpt-5.4", input=user(tokens_out=50), max_output_tokens=16, stream=True))
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details is not None
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_responses_take_tool_results(gpt: openai.OpenAI) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    first = gpt.responses.create(model="gpt-5.4", input=user(tools=TWO_CALLS[:1]), tools=tools)
    call = first.output[0]
    assert call.type == "function_call"
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = gpt.responses.create(model="gpt-5.4", input=result, previous_response_id=first.id, tools=tools)
    assert second.output_text == "The tools said: rain"


def test_searches_stand_in_the_response_and_on_the_bill(provider: Provider, gpt: openai.OpenAI, marker: str) -> None:
    script: Any = {"reply": "found it", "searches": 2, "reasoning": 8, "marker": marker}
    whole = gpt.responses.create(model="gpt-5.4", input=user(**script))
    with gpt.responses.stream(model="gpt-5.4", input=user(**script)) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    for answer in (whole, streamed):
        assert [item.type for item in answer.output] == ["reasoning", "web_search_call", "web_search_call", "message"]
    assert "response.web_search_call.searching" in [event.type for event in events]
    assert [attempt.bill and attempt.bill.searches for attempt in provider.attempts(marker)] == [2, 2]


def test_searches_of_a_chat_are_told_as_perplexity_does(provider: Provider, gpt: openai.OpenAI, marker: str) -> None:
    answer = gpt.chat.completions.create(model="sonar", messages=user(reply="found it", searches=3, marker=marker))
    assert answer.usage is not None
    assert answer.usage.model_dump()["num_search_queries"] == 3
    [attempt] = provider.attempts(marker)
    assert attempt.bill is not None
    assert attempt.bill.searches == 3


def test_more_input_can_be_billed_than_was_sent(gpt: openai.OpenAI) -> None:
    """Each script has two words more than the plain one."""
    url = "data:image/png;base64,iVBORw0KGgo="

    def chat(**script: Any) -> int:
        parts: Any = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "@@" + json.dumps(script)}]
        usage = gpt.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}], tools=[TOOL]).usage
        assert usage is not None
        return usage.prompt_tokens

    def response(**script: Any) -> int:
        tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
        parts = [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": "@@" + json.dumps(script)}]
        usage = gpt.responses.create(model="gpt-5.4", input=[{"role": "user", "content": parts}], tools=tools).usage  # type: ignore[list-item,misc]
        assert usage is not None
        return usage.input_tokens

    for billed in (chat, response):
        plain = billed(reply="x")
        assert billed(reply="x", hidden_system_tokens=1000) == plain + 1000 + 2
        assert billed(reply="x", hidden_tool_tokens=500) == plain + 500 + 2
        assert billed(reply="x", image_tokens=2000) == plain + 2000 - 85 + 2
        assert billed(reply="x", input_tokens=12345) == 12345


def test_async_streams_run_side_by_side(provider: Provider) -> None:
    async def one(client: openai.AsyncOpenAI, text: str) -> str:
        stream = await client.chat.completions.create(model="gpt-4o", messages=user(reply=text, delay_ms=1), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def many() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=provider.openai_url, api_key="sk-test", _strict_response_validation=True
        ) as client:
            return await asyncio.gather(*(one(client, f"answer number {i}") for i in range(8)))

    assert asyncio.run(many()) == [f"answer number {i}" for i in range(8)]


def test_azure_has_its_own_path_and_first_chunk(provider: Provider, marker: str) -> None:
    with openai.AzureOpenAI(azure_endpoint=provider.url, api_key="azure-key", api_version="2024-10-21", max_retries=0) as azure:
        chunks = list(azure.chat.completions.create(model="my-gpt", messages=user(reply="hello", marker=marker), stream=True))
        assert azure.chat.completions.create(model="my-gpt", messages=user("x")).choices[0].message.content == "You said: x"
    assert chunks[0].choices == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[1:]) == "hello"
    [attempt] = provider.attempts(marker)
    assert attempt.received["target"] == "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert attempt.header("api-key") == "azure-key"


def test_gemini_reports_usage_on_every_chunk_and_thoughts_in_the_total(provider: Provider, marker: str) -> None:
    with openai.OpenAI(base_url=provider.gemini_url, api_key="key") as gemini:
        script = user(reply="hello there", reasoning=50, marker=marker)
        chunks = list(gemini.chat.completions.create(model="gemini-3.1-pro-preview", messages=script, stream=True))
    assert all(chunk.usage for chunk in chunks)
    last = chunks[-1].usage
    assert last is not None
    assert (last.completion_tokens, last.total_tokens - last.prompt_tokens) == (2, 52)
    [attempt] = provider.attempts(marker)
    assert attempt.bill is not None
    assert (attempt.bill.output, attempt.bill.reasoning) == (52, 50)


def test_requests_of_another_dialect_are_refused(provider: Provider, gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Unrecognized request argument"):
        gpt.chat.completions.create(model="gpt-4o", messages=user("x"), extra_body={"stop_sequences": ["x"]})
    with pytest.raises(openai.BadRequestError, match="Unknown parameter"):
        gpt.responses.create(model="gpt-5.4", input="x", extra_body={"max_tokens": 5})
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        gpt.chat.completions.create(model="missing-model", messages=user("x"))
    with openai.OpenAI(base_url=provider.openai_url, api_key="sk-wrong") as thief, pytest.raises(openai.AuthenticationError):
        thief.chat.completions.create(model="gpt-4o", messages=user("x"))


def test_a_script_with_an_error_is_refused(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="bad script"):
        gpt.chat.completions.create(model="gpt-4o", messages=user(replay="a typing error"))
