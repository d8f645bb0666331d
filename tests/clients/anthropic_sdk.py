"""The official `anthropic` Python SDK: sync, async, streams, tools, thinking, count_tokens."""

import asyncio
from typing import Any

import anthropic
from anthropic.types import Usage

from tests.clients.door import Door, Said, conversation
from tests.clients.openai_sdk import CALLS, CITIES, REPLY, user

WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client_of(door: Door) -> anthropic.Anthropic:
    """The SDK at this door; it does not retry, so that every request is one."""
    return anthropic.Anthropic(base_url=door.base_url, api_key=door.key, default_headers=door.headers, max_retries=0)


def text_of(message: anthropic.types.Message) -> str:
    """All text of an answer."""
    return "".join(block.text for block in message.content if block.type == "text")


def _said(text: str, *usages: Usage) -> Said:
    read = sum(u.input_tokens + (u.cache_read_input_tokens or 0) + (u.cache_creation_input_tokens or 0) for u in usages)
    return Said(text, len(usages), read, sum(usage.output_tokens for usage in usages))


@conversation("messages")
def anthropic_messages(door: Door) -> Said:
    """One answer, with a system prompt and parameters."""
    with client_of(door) as client:
        answer = client.messages.create(
            model=door.model,
            max_tokens=64,
            system="Be brief.",
            messages=user(door.prompt("Say hello.", reply=REPLY)),
            stop_sequences=["\n\n\n"],
        )
    assert answer.stop_reason in ("end_turn", "max_tokens")
    return _said(door.heard(text_of(answer), REPLY), answer.usage)


@conversation("messages")
def anthropic_messages_stream(door: Door) -> Said:
    """A stream."""
    with (
        client_of(door) as client,
        client.messages.stream(  # the likeliest words: a local model's first token at random may be half a character
            model=door.model,
            max_tokens=64,
            messages=user(door.prompt("Say hello.", reply=REPLY, chunks=9)),
            extra_body={"temperature": 0},
        ) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final)
    return _said(door.heard(text, REPLY), final.usage)


@conversation("messages")
def anthropic_messages_async(door: Door) -> Said:
    """Six answers at once over one client, every other one streamed."""

    async def one(client: anthropic.AsyncAnthropic, number: int) -> Usage:
        messages = user(door.prompt("Say hello.", reply=f"{REPLY} {number}"))
        if number % 2:
            answer = await client.messages.create(model=door.model, max_tokens=32, messages=messages)
        else:
            async with client.messages.stream(model=door.model, max_tokens=32, messages=messages) as stream:
                answer = await stream.get_final_message()
        door.heard(text_of(answer), f"{REPLY} {number}")
        return answer.usage

    async def run() -> list[Usage]:
        async with anthropic.AsyncAnthropic(
            base_url=door.base_url, api_key=door.key, default_headers=door.headers, max_retries=0
        ) as client:
            return await asyncio.gather(*(one(client, number) for number in range(6)))

    return _said("", *asyncio.run(run()))


@conversation("messages", tools=True)
def anthropic_messages_tools(door: Door) -> Said:
    """Two parallel calls, streamed, their results, a text."""
    messages = user(
        door.prompt("What is the weather?", reply="Let me see.", tools=CALLS, interleave=True, chunks=5, then={"reply": REPLY})
    )
    with client_of(door) as client:
        with client.messages.stream(model=door.model, max_tokens=200, messages=messages, tools=[WEATHER]) as stream:
            first = stream.get_final_message()
        assert first.stop_reason == "tool_use"
        assert text_of(first) == "Let me see."
        calls = [block for block in first.content if block.type == "tool_use"]
        assert [call.input for call in calls] == [{"city": city} for city in CITIES]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"} for call in calls]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        second = client.messages.create(model=door.model, max_tokens=200, messages=messages, tools=[WEATHER])
    return _said(door.heard(text_of(second), REPLY), first.usage, second.usage)


@conversation("messages", tools=True, portable=False)
def anthropic_messages_thinking(door: Door) -> Said:
    """Thinking with its signature, sent back with the tool's result; a cached system prompt."""
    system: Any = [{"type": "text", "text": "word " * 1200, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    messages = user(
        door.prompt("Weather?", thinking="Rain or not?", tools=CALLS[:1], then={"reply": REPLY, "thinking": "It rains."})
    )
    options: Any = {
        "model": door.model,
        "max_tokens": 4000,
        "system": system,
        "tools": [WEATHER],
        "thinking": {"type": "adaptive"},
    }
    with client_of(door) as client:
        with client.messages.stream(messages=messages, **options) as stream:
            first = stream.get_final_message()
        assert [block.type for block in first.content] == ["thinking", "tool_use"]
        assert first.content[0].type == "thinking"
        assert first.content[0].signature
        [call] = [block for block in first.content if block.type == "tool_use"]
        result = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": result}]
        second = client.messages.create(messages=messages, **options)
    assert second.usage.cache_read_input_tokens
    return _said(door.heard(text_of(second), REPLY), first.usage, second.usage)


@conversation("count_tokens", portable=False)
def anthropic_count_tokens(door: Door) -> Said:
    """The count of a prompt that is not sent."""
    with client_of(door) as client:
        counted = client.messages.count_tokens(model=door.model, messages=user("one two three"), system="Be brief.")
    assert counted.input_tokens >= 5
    return Said("", 1, counted.input_tokens, 0)
