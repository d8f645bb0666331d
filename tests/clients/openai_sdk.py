"""The official `openai` Python SDK: sync, async, streams, tools, schemas, Responses, Embeddings."""

import asyncio
import json
from collections import defaultdict
from typing import Any

import openai
import pydantic
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from tests.clients.door import Door, Said, conversation

REPLY = "Grüße aus Köln, 日本 and 🙂!"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITIES = ("Ulm", "Köln am Rhein")
CALLS = [{"name": "weather", "arguments": {"city": city}} for city in CITIES]


class City(pydantic.BaseModel):
    """An answer with a shape."""

    name: str
    people: int


def client_of(door: Door, **options: Any) -> openai.OpenAI:
    """The SDK at this door; it does not retry, so that every request is one."""
    return openai.OpenAI(base_url=door.openai_url, api_key=door.key, default_headers=door.headers, max_retries=0, **options)


def async_client_of(door: Door) -> openai.AsyncOpenAI:
    """The same, async."""
    return openai.AsyncOpenAI(base_url=door.openai_url, api_key=door.key, default_headers=door.headers, max_retries=0)


def user(text: str) -> Any:
    """A conversation's first message."""
    return [{"role": "user", "content": text}]


def _said(text: str, *usages: CompletionUsage | None) -> Said:
    known = [usage for usage in usages if usage is not None]
    assert len(known) == len(usages), "an answer came without usage"
    return Said(text, len(known), sum(u.prompt_tokens for u in known), sum(u.completion_tokens for u in known))


@conversation("chat")
def openai_chat(door: Door) -> Said:
    """One answer, with a system message and parameters."""
    messages: Any = [{"role": "system", "content": "Be brief."}, *user(door.prompt("Say hello.", reply=REPLY))]
    with client_of(door) as client:
        answer = client.chat.completions.create(
            model=door.model, messages=messages, max_tokens=64, temperature=0, stop=["\n\n\n"]
        )
    assert answer.choices[0].finish_reason in ("stop", "length")
    return _said(door.heard(answer.choices[0].message.content or "", REPLY), answer.usage)


@conversation("chat")
def openai_chat_stream(door: Door) -> Said:
    """A stream, with usage asked for."""
    with client_of(door) as client:
        stream = client.chat.completions.create(
            model=door.model,
            messages=user(door.prompt("Say hello.", reply=REPLY, chunks=9)),
            max_completion_tokens=64,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks: list[ChatCompletionChunk] = list(stream)
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1] if chunk.choices)
    return _said(door.heard(text, REPLY), chunks[-1].usage)


@conversation("chat")
def openai_chat_stream_without_usage(door: Door) -> Said:
    """A stream whose client reads `choices[0]` of every chunk, as it may: it did not ask for usage."""
    with client_of(door) as client:
        stream = client.chat.completions.create(
            model=door.model, messages=user(door.prompt("Say hello.", reply=REPLY)), max_tokens=64, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    return Said(door.heard(text, REPLY))


@conversation("chat")
def openai_chat_async(door: Door) -> Said:
    """Six answers at once over one client, every other one streamed."""

    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        messages = user(door.prompt("Say hello.", reply=f"{REPLY} {number}"))
        if number % 2:
            answer = await client.chat.completions.create(model=door.model, messages=messages, max_tokens=32)
            return door.heard(answer.choices[0].message.content or "", f"{REPLY} {number}")
        stream = await client.chat.completions.create(model=door.model, messages=messages, max_tokens=32, stream=True)
        return door.heard("".join([c.choices[0].delta.content or "" async for c in stream]), f"{REPLY} {number}")

    async def run() -> list[str]:
        async with async_client_of(door) as client:
            return await asyncio.gather(*(one(client, number) for number in range(6)))

    return Said(asyncio.run(run())[-1], requests=6)


@conversation("chat", tools=True)
def openai_chat_tools(door: Door) -> Said:
    """Two parallel calls, their results, a text."""
    messages = user(door.prompt("What is the weather in two cities?", tools=CALLS, then={"reply": REPLY}))
    with client_of(door) as client:
        first = client.chat.completions.create(model=door.model, messages=messages, tools=[WEATHER], max_tokens=200)
        assert first.choices[0].finish_reason == "tool_calls"
        calls = first.choices[0].message.tool_calls or []
        assert [json.loads(call.function.arguments)["city"] for call in calls if call.type == "function"] == list(CITIES)
        messages += [first.choices[0].message, *({"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls)]
        second = client.chat.completions.create(model=door.model, messages=messages, tools=[WEATHER], max_tokens=200)
    return _said(door.heard(second.choices[0].message.content or "", REPLY), first.usage, second.usage)


@conversation("chat", tools=True)
def openai_chat_tools_stream(door: Door) -> Said:
    """The same streamed, the deltas of both calls taking turns; put together by their index."""
    messages = user(
        door.prompt("What is the weather?", reply="Let me see.", tools=CALLS, interleave=True, chunks=5, then={"reply": REPLY})
    )
    options: Any = {
        "model": door.model,
        "tools": [WEATHER],
        "max_tokens": 200,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    usages: list[CompletionUsage | None] = []

    def turn(client: openai.OpenAI) -> tuple[str, list[dict[str, Any]]]:
        text, calls = "", defaultdict[int, dict[str, str]](lambda: {"id": "", "name": "", "arguments": ""})
        for chunk in client.chat.completions.create(messages=messages, **options):
            if not chunk.choices:
                usages.append(chunk.usage)
                continue
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or ():
                calls[call.index]["id"] += call.id or ""
                calls[call.index]["name"] += (call.function and call.function.name) or ""
                calls[call.index]["arguments"] += (call.function and call.function.arguments) or ""
        made = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls.values()
        ]
        return text, made

    with client_of(door) as client:
        text, calls = turn(client)
        assert text == "Let me see."
        assert [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] == [
            ("weather", {"city": city}) for city in CITIES
        ]
        messages += [{"role": "assistant", "content": text, "tool_calls": calls}]
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
        text, calls = turn(client)
    assert calls == []
    return _said(door.heard(text, REPLY), *usages)


@conversation("chat", tools=True, portable=False)
def openai_chat_parse(door: Door) -> Said:
    """An answer in the shape of a pydantic model (json_schema)."""
    prompt = door.prompt("Name a city.", reply='{"name":"Ulm","people":128928}')
    with client_of(door) as client:
        answer = client.chat.completions.parse(model=door.model, messages=user(prompt), response_format=City)
    assert answer.choices[0].message.parsed == City(name="Ulm", people=128928)
    return _said(answer.choices[0].message.content or "", answer.usage)


@conversation("chat", tools=True, portable=False)
def openai_chat_choices(door: Door) -> Said:
    """Three choices with log probabilities, streamed."""
    with client_of(door) as client:
        stream = client.chat.completions.create(
            model=door.model,
            messages=user(door.prompt("Say hello.", reply="one two")),
            n=3,
            logprobs=True,
            top_logprobs=1,
            max_tokens=16,
            stream=True,
        )
        texts = ["", "", ""]
        for chunk in stream:
            choice = chunk.choices[0]
            texts[choice.index] += choice.delta.content or ""
            assert not choice.delta.content or (choice.logprobs and choice.logprobs.content)
    assert texts == ["one two", "one two #1", "one two #2"]
    return Said(texts[0])


@conversation("responses", portable=False)
def openai_responses(door: Door) -> Said:
    """A stored answer, continued by its id."""
    with client_of(door) as client:
        first = client.responses.create(model=door.model, input=door.prompt("Say hello.", reply="hello"), max_output_tokens=64)
        second = client.responses.create(
            model=door.model, input=door.prompt("Again.", reply=REPLY), previous_response_id=first.id, max_output_tokens=64
        )
        assert client.responses.retrieve(second.id).output_text == second.output_text
    assert first.usage is not None
    assert second.usage is not None
    tokens = first.usage.input_tokens + second.usage.input_tokens, first.usage.output_tokens + second.usage.output_tokens
    return Said(door.heard(second.output_text, REPLY), 2, *tokens)


@conversation("responses", tools=True, portable=False)
def openai_responses_stream_tools(door: Door) -> Said:
    """A stream with reasoning, a tool call and its result; nothing stored."""
    tools: Any = [{"type": "function", "strict": False, **WEATHER["function"]}]
    items: Any = user(door.prompt("Weather?", tools=CALLS[:1], reasoning=64, then={"reply": REPLY}))
    options: Any = {
        "model": door.model,
        "tools": tools,
        "store": False,
        "reasoning": {"summary": "auto"},
        "max_output_tokens": 200,
    }
    with client_of(door) as client:
        with client.responses.stream(input=items, **options) as stream:
            first = stream.until_done().get_final_response()
        [call] = [item for item in first.output if item.type == "function_call"]
        assert json.loads(call.arguments) == {"city": CITIES[0]}
        echo = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        items += [echo, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
        with client.responses.stream(input=items, **options) as stream:
            second = stream.until_done().get_final_response()
    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.output_tokens_details.reasoning_tokens == 64
    tokens = first.usage.input_tokens + second.usage.input_tokens, first.usage.output_tokens + second.usage.output_tokens
    return Said(door.heard(second.output_text, REPLY), 2, *tokens)


@conversation("embeddings", tools=True, portable=False)
def openai_embeddings(door: Door) -> Said:
    """Vectors, asked for as the SDK does (base64) and as floats."""
    texts = ["a first text", "a second, longer text"]
    with client_of(door) as client:
        packed = client.embeddings.create(model=door.embedding_model, input=texts)
        floats = client.embeddings.create(model=door.embedding_model, input=texts, encoding_format="float")
    assert [vector.embedding for vector in packed.data] == [vector.embedding for vector in floats.data]
    assert len(packed.data) == 2
    return Said("", 2, packed.usage.prompt_tokens + floats.usage.prompt_tokens, 0)
