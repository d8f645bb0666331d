"""pydantic-ai agents over Chat, Responses and Messages: a text, a stream, a tool, an output type."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.door import Door, Said, conversation
from tests.clients.openai_sdk import CALLS, REPLY, City, async_client_of

Use = Callable[[Model], Awaitable[Said]]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def _with_chat(door: Door, use: Use) -> Said:
    async def run() -> Said:
        async with async_client_of(door) as client:
            return await use(OpenAIChatModel(door.model, provider=OpenAIProvider(openai_client=client)))

    return asyncio.run(run())


def _with_responses(door: Door, use: Use) -> Said:
    async def run() -> Said:
        async with openai.AsyncOpenAI(base_url=door.openai_url, api_key=door.key, default_headers=door.headers) as client:
            return await use(OpenAIResponsesModel(door.model, provider=OpenAIProvider(openai_client=client)))

    return asyncio.run(run())


def _with_messages(door: Door, use: Use) -> Said:
    async def run() -> Said:
        async with anthropic.AsyncAnthropic(base_url=door.base_url, api_key=door.key, default_headers=door.headers) as client:
            return await use(AnthropicModel(door.model, provider=AnthropicProvider(anthropic_client=client)))

    return asyncio.run(run())


def _said(text: str, usage: Any) -> Said:
    return Said(text, usage.requests, usage.input_tokens, usage.output_tokens)


def _text(door: Door) -> Use:
    async def use(model: Model) -> Said:
        agent = Agent(model, instructions="Be brief.", model_settings={"max_tokens": 64, "temperature": 0})
        async with agent.run_stream(door.prompt("Say hello.", reply=REPLY)) as result:
            text = "".join([piece async for piece in result.stream_text(delta=True, debounce_by=None)])
        return _said(door.heard(text, REPLY), result.usage)

    return use


def _tools(door: Door) -> Use:
    async def use(model: Model) -> Said:
        agent = Agent(model, tools=[weather])
        result = await agent.run(door.prompt("Weather?", tools=CALLS))
        return _said(door.heard(result.output, "The tools said: rain in Ulm; rain in Köln am Rhein"), result.usage)

    return use


def _shape(door: Door) -> Use:
    async def use(model: Model) -> Said:
        agent = Agent(model, output_type=City)
        call = {"name": "final_result", "arguments": {"name": "Ulm", "people": 128928}}
        result = await agent.run(door.prompt("Name a city.", tools=[call]))
        assert result.output == City(name="Ulm", people=128928)
        return _said(str(result.output), result.usage)

    return use


@conversation("chat")
def pydantic_ai_chat_stream(door: Door) -> Said:
    """A streamed text over Chat."""
    return _with_chat(door, _text(door))


@conversation("chat", tools=True)
def pydantic_ai_chat_tools(door: Door) -> Said:
    """Two parallel calls and the answer over Chat."""
    return _with_chat(door, _tools(door))


@conversation("chat", tools=True)
def pydantic_ai_chat_shape(door: Door) -> Said:
    """An output type over Chat: a demanded tool call."""
    return _with_chat(door, _shape(door))


@conversation("responses", tools=True, portable=False)
def pydantic_ai_responses_tools(door: Door) -> Said:
    """Two parallel calls and the answer over Responses."""
    return _with_responses(door, _tools(door))


@conversation("messages")
def pydantic_ai_messages_stream(door: Door) -> Said:
    """A streamed text over Messages."""
    return _with_messages(door, _text(door))


@conversation("messages", tools=True)
def pydantic_ai_messages_tools(door: Door) -> Said:
    """Two parallel calls and the answer over Messages."""
    return _with_messages(door, _tools(door))


@conversation("messages", tools=True)
def pydantic_ai_messages_shape(door: Door) -> Said:
    """An output type over Messages: a demanded tool call."""
    return _with_messages(door, _shape(door))
