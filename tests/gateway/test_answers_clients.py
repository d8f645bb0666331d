"""Real SDKs are given kept answers: whatever they ask a second time they understand as they did the first time, and no provider is asked."""

from typing import Any

import anthropic
import openai
import pytest

from tests.clients import CONVERSATIONS, Door
from tests.gateway.asking import Gateway, Key, marker, prompt
from tests.provider import Provider

EXACT = {"x-jevons-cache": "exact"}
MODELS = {"chat": "gpt-4o", "responses": "gpt-4o", "embeddings": "gpt-4o", "messages": "claude-sonnet-4-6"}
NO_PART = {"openai_chat_choices", "openai_responses", "pydantic_ai_responses_tools", "anthropic_count_tokens"}
"""Several answers at once, responses that the provider stores, a count."""
HELD = [
    name for name in CONVERSATIONS if name not in NO_PART and not name.startswith("llm_")
]  # a program of its own for each question: 5 s
CALLS = [{"name": "weather", "arguments": {"city": city, "days": [1, 2]}} for city in ("Ulm", "Köln am Rhein")]
SCRIPTS: list[dict[str, Any]] = [{"reply": "Grüße, 日本 und 🙂!"}, {"reply": "Let me look.", "tools": CALLS}]


ADDED = {"parsed", "parsed_arguments", "index"}


def plain(value: Any) -> Any:
    """What an SDK understood, without what its accumulators add, and without what is not there."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items() if name not in ADDED and member not in (None, [])}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def key(gateway: Gateway) -> Key:
    return gateway.key(org=marker())


def asked(standin: Provider) -> int:
    return sum(attempt.received["method"] == "POST" for attempt in standin.attempts())


@pytest.mark.parametrize("name", HELD)
def test_a_conversation_held_again(gateway: Gateway, standin: Provider, key: Key, name: str) -> None:
    conversation = CONVERSATIONS[name]
    door = Door(gateway.url, key.secret, MODELS[conversation.door], headers=EXACT)
    first = conversation.hold(door)
    before = asked(standin)
    assert conversation.hold(door) == first
    assert asked(standin) == before
    entries = gateway.entries(key)
    assert {entry["outcome"] for entry in entries} == {"ok", "cached"}
    assert sum(entry["outcome"] == "cached" for entry in entries) >= first.requests


def test_a_wanted_form_that_nobody_asked_for_before(gateway: Gateway, standin: Provider, key: Key) -> None:
    """What was asked whole comes as a stream, and the SDKs' own accumulators make the same of it."""
    weather = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    oa = openai.OpenAI(base_url=gateway.url + "/v1", api_key=key.secret, default_headers=EXACT, max_retries=0)
    an = anthropic.Anthropic(base_url=gateway.url, api_key=key.secret, default_headers=EXACT, max_retries=0)
    for script in SCRIPTS:
        said: Any = [{"role": "user", "content": prompt(**script, marker=marker())}]

        chat: Any = {"model": "gpt-4o", "messages": said, "tools": [{"type": "function", "function": weather}]}
        whole = oa.chat.completions.create(**chat)
        with oa.chat.completions.stream(**chat, stream_options={"include_usage": True}) as stream:
            told = stream.get_final_completion()
        assert plain(told.to_dict()) == plain(whole.to_dict())

        response: Any = {
            "model": "gpt-4o",
            "input": said,
            "tools": [{"type": "function", **weather, "strict": False}],
            "store": False,
        }
        answered = oa.responses.create(**response)
        with oa.responses.stream(**response) as events:
            assert plain(events.get_final_response().to_dict()) == plain(answered.to_dict())

        tools = [{"name": "weather", "input_schema": weather["parameters"]}]
        message: Any = {"model": "claude-sonnet-4-6", "max_tokens": 500, "messages": said, "tools": tools}
        one = an.messages.create(**message)
        with an.messages.stream(**message) as blocks:
            assert plain(blocks.get_final_message().to_dict()) == plain(one.to_dict())
    assert sum(entry["outcome"] == "cached" for entry in gateway.entries(key)) == 3 * len(SCRIPTS)
