"""The stand-in speaks Anthropic's wire format: the official SDK parses every answer strictly."""

import asyncio
import json
from typing import Any

import anthropic
import pytest

from tests.provider import Bill, Provider

MODEL = "claude-sonnet-4-6"
TOOLS: Any = [
    {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
]
TWO_CALLS = [{"name": "weather", "arguments": {"city": "Ulm"}}, {"name": "weather", "arguments": {"city": "Köln am Rhein"}}]
THINK: Any = {"type": "adaptive"}


def user(text: str = "", **script: Any) -> Any:
    """A conversation of one user message, with a script in it."""
    return [{"role": "user", "content": text + ("@@" + json.dumps(script) if script else "")}]


def test_an_answer_and_its_bill(provider: Provider, claude: anthropic.Anthropic, marker: str) -> None:
    answer = claude.messages.create(
        model=MODEL, max_tokens=900, messages=user("one two ", reply="three four", reasoning=40, marker=marker)
    )
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens == 42
    [attempt] = provider.attempts(marker)
    assert attempt.bill == Bill(input=answer.usage.input_tokens, output=42, reasoning=40)


@pytest.mark.parametrize("interleave", [False, True])
def test_a_stream_thinks_speaks_and_calls(claude: anthropic.Anthropic, interleave: bool) -> None:
    script = user(reply="Let me see.", thinking="Rain or not?", tools=TWO_CALLS, interleave=interleave)
    with claude.messages.stream(model=MODEL, max_tokens=2000, messages=script, tools=TOOLS, thinking=THINK) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert final.content[0].type == "thinking"
    assert (final.content[0].thinking, bool(final.content[0].signature)) == ("Rain or not?", True)
    assert [block.input for block in final.content if block.type == "tool_use"] == [t["arguments"] for t in TWO_CALLS]
    assert final.stop_reason == "tool_use"
    assert events[0] == "message_start"
    assert events[-1] == "message_stop"
    assert final.usage.output_tokens_details is not None
    assert final.usage.output_tokens_details.thinking_tokens == 3


def test_a_tool_round_trip_keeps_thinking(claude: anthropic.Anthropic) -> None:
    messages = user(tools=TWO_CALLS, thinking="Hm.")
    first = claude.messages.create(model=MODEL, max_tokens=2000, messages=messages, tools=TOOLS, thinking=THINK)
    results = [{"type": "tool_result", "tool_use_id": b.id, "content": "rain"} for b in first.content if b.type == "tool_use"]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = claude.messages.create(model=MODEL, max_tokens=2000, messages=messages, tools=TOOLS)
    assert second.content[0].type == "text"
    assert second.content[0].text == "The tools said: rain; rain"
    with pytest.raises(anthropic.BadRequestError, match="without `tool_result` blocks"):
        claude.messages.create(model=MODEL, max_tokens=2000, messages=[*messages[:2], *user("well?")], tools=TOOLS)


def test_a_demanded_tool_is_called_with_its_schema(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model=MODEL, max_tokens=99, messages=user("go"), tools=TOOLS, tool_choice={"type": "any"})
    assert answer.content[0].type == "tool_use"
    assert answer.content[0].input == {"city": "word"}


def test_cache_breakpoints_are_written_then_read(claude: anthropic.Anthropic, marker: str) -> None:
    def usage(system_ttl: str, *turns: str) -> tuple[int | None, ...]:
        system: Any = [
            {"type": "text", "text": marker + " word" * 1100, "cache_control": {"type": "ephemeral", "ttl": system_ttl}}
        ]
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in turns]
        messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
        with claude.messages.stream(model=MODEL, max_tokens=9, system=system, messages=messages) as stream:
            found = stream.get_final_message().usage
        assert found.cache_creation is not None
        five, hour = found.cache_creation.ephemeral_5m_input_tokens, found.cache_creation.ephemeral_1h_input_tokens
        assert found.cache_creation_input_tokens == five + hour
        return found.input_tokens, found.cache_read_input_tokens, five, hour

    assert usage("1h", "a b") == (0, 0, 3, 1101)
    assert usage("1h", "a b", "c") == (0, 1104, 2, 0)
    assert usage("1h", "a b", "c") == (0, 1106, 0, 0)
    assert usage("1h", "x") == (0, 1101, 2, 0)


def test_short_prefixes_are_not_cached(claude: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}]}]
    for _ in range(2):
        found = claude.messages.create(model=MODEL, max_tokens=9, messages=messages).usage
        assert (found.input_tokens, found.cache_read_input_tokens, found.cache_creation_input_tokens) == (2, 0, 0)


def test_usage_can_be_forced(provider: Provider, claude: anthropic.Anthropic, marker: str) -> None:
    cache = {
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    forced = {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 11, **cache}
    with claude.messages.stream(model=MODEL, max_tokens=9, messages=user(reply="x", usage=forced, marker=marker)) as stream:
        assert stream.get_final_message().usage.output_tokens == 11
    [attempt] = provider.attempts(marker)
    assert attempt.bill == Bill(input=5, cache_read=7, cache_write_5m=10, cache_write_1h=20, output=11)


def test_searches_stand_in_the_answer_and_on_the_bill(provider: Provider, claude: anthropic.Anthropic, marker: str) -> None:
    script = user(reply="found it", searches=2, marker=marker)
    whole = claude.messages.create(model=MODEL, max_tokens=99, messages=script)
    with claude.messages.stream(model=MODEL, max_tokens=99, messages=script) as stream:
        streamed = stream.get_final_message()
    for answer in (whole, streamed):
        assert [block.type for block in answer.content] == ["server_tool_use", "web_search_tool_result"] * 2 + ["text"]
        assert answer.usage.server_tool_use is not None
        assert answer.usage.server_tool_use.web_search_requests == 2
    assert [attempt.bill and attempt.bill.searches for attempt in provider.attempts(marker)] == [2, 2]


def test_more_input_can_be_billed_than_was_sent(provider: Provider, claude: anthropic.Anthropic, marker: str) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}

    def billed(**script: Any) -> int:
        messages = [{"role": "user", "content": [image, {"type": "text", "text": user(marker=marker, **script)[0]["content"]}]}]
        return claude.messages.create(model=MODEL, max_tokens=9, messages=messages, tools=TOOLS).usage.input_tokens

    plain = billed()
    assert billed(hidden_system_tokens=1000) == plain + 1000 + 2  # the script has two words more
    assert billed(hidden_tool_tokens=500) == plain + 500 + 2
    assert billed(image_tokens=2000) == plain + 2000 - 85 + 2
    assert billed(input_tokens=12345) == 12345
    assert [attempt.bill and attempt.bill.tokens for attempt in provider.attempts(marker)][-1] > 12345


def test_counting_is_free_and_right(provider: Provider, claude: anthropic.Anthropic) -> None:
    messages = user("one two three")
    counted = claude.messages.count_tokens(model=MODEL, messages=messages, tools=TOOLS).input_tokens
    assert claude.messages.create(model=MODEL, max_tokens=9, messages=messages, tools=TOOLS).usage.input_tokens == counted
    assert provider.attempts()[-2].bill == Bill()


def test_models(claude: anthropic.Anthropic) -> None:
    assert claude.models.retrieve(next(iter(claude.models.list())).id).type == "model"


def test_async_streams(provider: Provider) -> None:
    async def run() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="sk-ant", _strict_response_validation=True) as client:

            async def one(text: str) -> str:
                async with client.messages.stream(model=MODEL, max_tokens=9, messages=user(reply=text)) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(one(f"answer {i}") for i in range(4)))

    assert asyncio.run(run()) == [f"answer {i}" for i in range(4)]


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (402, "billing_error", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.APIStatusError),
    ],
)
def test_errors_have_anthropics_bodies(
    claude: anthropic.Anthropic, provider: Provider, marker: str, status: int, kind: str, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        claude.messages.create(
            model=MODEL, max_tokens=9, messages=user(fault="status", status=status, retry_after=7, marker=marker)
        )
    assert caught.value.status_code == status
    assert caught.value.response.json()["error"]["type"] == kind
    assert caught.value.response.headers["retry-after"] == "7"
    [attempt] = provider.attempts(marker)
    assert attempt.bill == Bill()


def test_requests_of_another_dialect_are_refused(claude: anthropic.Anthropic) -> None:
    for field, words in (("max_completion_tokens", "Extra inputs are not permitted"), ("n", "Extra inputs")):
        with pytest.raises(anthropic.BadRequestError, match=words):
            claude.messages.create(model=MODEL, max_tokens=9, messages=user("x"), extra_body={field: 1})
    with pytest.raises(anthropic.BadRequestError, match="budget_tokens"):
        claude.messages.create(
            model=MODEL, max_tokens=900, messages=user("x"), thinking={"type": "enabled", "budget_tokens": 1024}
        )
    five, hour = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    system: Any = [{"type": "text", "text": "x", "cache_control": five}]
    with pytest.raises(anthropic.BadRequestError, match="must not come after"):
        claude.messages.create(model=MODEL, max_tokens=9, system=system, messages=user("x"), extra_body={"cache_control": hour})


def test_an_error_after_a_good_start_raises(claude: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        claude.messages.stream(
            model=MODEL, max_tokens=9, messages=user(reply="one two three four", fault="error_event_after_200")
        ) as stream,
    ):
        stream.until_done()
