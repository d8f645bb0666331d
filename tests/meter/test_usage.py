"""Usage of every provider we can read, against genai-prices' own extractors and against hand-made expectations."""

import json
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.usage import Usage
from jevons.meter.usage import (
    Flavour,
    chat_usage,
    flavour_of,
    merge_messages_usage,
    messages_usage,
    responses_usage,
    unusable,
    with_units,
)

CHAT, RESPONSES, MESSAGES, EMBEDDINGS = "chat", "responses", "messages", "embeddings"

# fmt: off
# (provider, genai-prices' flavour, our dialect, a usage object as its documentation or its users show it)
RECORDED: list[tuple[str, str, str, dict[str, Any]]] = [
    # OpenAI: API reference, chat object
    ("openai", "chat", CHAT, {
        "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }),
    # OpenAI: prompt caching guide
    ("openai", "chat", CHAT, {
        "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920},
        "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    }),
    # OpenAI: reasoning guide
    ("openai", "chat", CHAT, {
        "prompt_tokens": 9, "completion_tokens": 1186, "total_tokens": 1195,
        "completion_tokens_details": {"reasoning_tokens": 1024},
    }),
    # OpenAI: audio guide
    ("openai", "chat", CHAT, {
        "prompt_tokens": 120, "completion_tokens": 90, "total_tokens": 210,
        "prompt_tokens_details": {"audio_tokens": 80, "cached_tokens": 0},
        "completion_tokens_details": {"audio_tokens": 60, "reasoning_tokens": 0},
    }),
    # OpenAI: cache writes are reported from GPT-5.6 on
    ("openai", "chat", CHAT, {
        "prompt_tokens": 4100, "completion_tokens": 12, "total_tokens": 4112,
        "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 3000},
    }),
    ("openai", "embeddings", EMBEDDINGS, {"prompt_tokens": 8, "total_tokens": 8}),
    # OpenAI: API reference, response object
    ("openai", "responses", RESPONSES, {
        "input_tokens": 36, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 87, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 123,
    }),
    ("openai", "responses", RESPONSES, {
        "input_tokens": 7500, "input_tokens_details": {"cached_tokens": 5120, "cache_write_tokens": 2000},
        "output_tokens": 1035, "output_tokens_details": {"reasoning_tokens": 832}, "total_tokens": 8535,
    }),
    ("azure", "chat", CHAT, {
        "completion_tokens": 33, "prompt_tokens": 557, "total_tokens": 590,
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        "prompt_tokens_details": {"cached_tokens": 512, "audio_tokens": 0},
    }),
    ("azure", "embeddings", EMBEDDINGS, {"prompt_tokens": 4, "total_tokens": 4}),
    ("azure", "responses", RESPONSES, {
        "input_tokens": 14, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 21, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 35,
    }),
    # Anthropic: prompt caching guide, both lifetimes
    ("anthropic", "default", MESSAGES, {
        "input_tokens": 2048, "cache_read_input_tokens": 1800, "cache_creation_input_tokens": 248, "output_tokens": 503,
        "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
    }),
    # Anthropic: API reference
    ("anthropic", "default", MESSAGES, {
        "input_tokens": 2095, "output_tokens": 503, "cache_creation_input_tokens": 2051, "cache_read_input_tokens": 2051,
        "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard",
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 2051},
    }),
    # Anthropic: web search guide
    ("anthropic", "default", MESSAGES, {
        "input_tokens": 105, "output_tokens": 6039, "cache_read_input_tokens": 7123, "cache_creation_input_tokens": 7345,
        "server_tool_use": {"web_search_requests": 1},
    }),
    # Anthropic: thinking summarised, but counted
    ("anthropic", "default", MESSAGES, {
        "input_tokens": 40, "output_tokens": 2210, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 1900}, "inference_geo": "us", "speed": "standard",
    }),
    # Anthropic before caching
    ("anthropic", "default", MESSAGES, {"input_tokens": 12, "output_tokens": 6}),
    # Anthropic on Azure and Vertex
    ("azure", "anthropic", MESSAGES, {"input_tokens": 9, "cache_read_input_tokens": 5, "output_tokens": 6}),
    ("google", "anthropic", MESSAGES, {"input_tokens": 9, "cache_creation_input_tokens": 5, "output_tokens": 6}),
    # Anthropic's OpenAI endpoint
    ("anthropic", "chat", CHAT, {"prompt_tokens": 14, "completion_tokens": 63, "total_tokens": 77}),
    # Gemini's OpenAI endpoint, without thinking
    ("google", "chat", CHAT, {"completion_tokens": 9, "prompt_tokens": 20, "total_tokens": 29}),
    # DeepSeek: API reference
    ("deepseek", "chat", CHAT, {
        "prompt_tokens": 1300, "completion_tokens": 300, "total_tokens": 1600,
        "prompt_cache_hit_tokens": 1280, "prompt_cache_miss_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 1280},
        "completion_tokens_details": {"reasoning_tokens": 250},
    }),
    # Mistral: API reference; audio seconds as the SDK's empty object
    ("mistral", "default", CHAT, {
        "prompt_tokens": 16, "completion_tokens": 34, "total_tokens": 50, "prompt_audio_seconds": {},
        "prompt_tokens_details": {"cached_tokens": 0},
    }),
    # xAI: reasoning guide; the total includes what completion_tokens leaves out
    ("x-ai", "chat", CHAT, {
        "prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
        "prompt_tokens_details": {"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 6},
        "completion_tokens_details": {
            "reasoning_tokens": 94, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
    }),
    # xAI without a total
    ("x-ai", "chat", CHAT, {
        "prompt_tokens": 32, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 94},
    }),
    ("x-ai", "default", CHAT, {
        "prompt_tokens": 40, "completion_tokens": 5, "reasoning_tokens": 20, "cached_prompt_text_tokens": 8, "total_tokens": 65,
    }),
    ("x-ai", "responses", RESPONSES, {
        "input_tokens": 40, "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": 120, "output_tokens_details": {"reasoning_tokens": 100}, "total_tokens": 160,
    }),
    # OpenRouter: usage accounting guide
    ("openrouter", "chat", CHAT, {
        "completion_tokens": 200, "completion_tokens_details": {"reasoning_tokens": 150}, "cost": 0.95,
        "cost_details": {"upstream_inference_cost": 19}, "prompt_tokens": 194,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0}, "total_tokens": 394,
    }),
    ("openrouter", "default", RESPONSES, {
        "input_tokens": 12, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 85, "output_tokens_details": {"reasoning_tokens": 45}, "total_tokens": 97, "cost": 0.0012,
    }),
    # Groq: times beside counts
    ("groq", "default", CHAT, {
        "queue_time": 0.037493756, "prompt_tokens": 18, "prompt_time": 0.000680594, "completion_tokens": 556,
        "completion_time": 0.463333333, "total_tokens": 574, "total_time": 0.464013927,
    }),
    ("cerebras", "chat", CHAT, {
        "prompt_tokens": 25, "completion_tokens": 11, "total_tokens": 36, "prompt_tokens_details": {"cached_tokens": 0},
    }),
    ("fireworks", "chat", CHAT, {
        "prompt_tokens": 250, "total_tokens": 300, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 200},
    }),
    ("moonshotai", "chat", CHAT, {
        "prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150, "cached_tokens": 64,
        "prompt_tokens_details": {"cached_tokens": 64},
    }),
    ("databricks", "chat", CHAT, {
        "prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160, "cache_read_input_tokens": 40, "reasoning_tokens": 20,
    }),
    # Perplexity: sonar-deep-research
    ("perplexity", "default", CHAT, {
        "prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "search_context_size": "low",
        "citation_tokens": 20016, "num_search_queries": 18, "reasoning_tokens": 73997,
    }),
    ("zai", "chat", CHAT, {
        "prompt_tokens": 14, "completion_tokens": 240, "total_tokens": 254,
        "completion_tokens_details": {"reasoning_tokens": 200}, "prompt_tokens_details": {"cached_tokens": 4},
    }),
]
# fmt: on


def read(dialect: str, usage: object, provider: str = "openai") -> tuple[Usage, tuple[str, ...]]:
    raw = json.dumps(usage).encode()
    if dialect == RESPONSES:
        return responses_usage(raw)
    if dialect == MESSAGES:
        return messages_usage(raw)
    return chat_usage(raw, flavour_of(provider))


def as_genai(usage: Usage) -> dict[str, int]:
    """Our disjoint kinds as genai-prices' overlapping totals."""
    other = dict(usage.other)
    total_out = usage.output + sum(n for kind, n in usage.other if kind.startswith("output_"))
    counts = {
        "input_tokens": usage.input_total,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "output_tokens": total_out,
        "output_reasoning_tokens": usage.reasoning,
        "input_audio_tokens": other.get("input_audio", 0),
        "output_audio_tokens": other.get("output_audio", 0),
        "output_citation_tokens": other.get("output_citation", 0),
        "web_searches": other.get("web_searches", 0),
    }
    return {key: n for key, n in counts.items() if n}


@pytest.mark.parametrize(("provider", "flavour", "dialect", "usage"), RECORDED)
def test_agrees_with_genai_prices(provider: str, flavour: str, dialect: str, usage: dict[str, Any]) -> None:
    extractor = next(p for p in get_snapshot().providers if p.id == provider)
    theirs = extractor.extract_usage({"model": "m", "usage": usage}, api_flavor=flavour)[1]
    expected = {key: int(n) for key, n in vars(theirs).items() if n and not key.startswith("cache_write_")}
    writes = max(int(vars(theirs).get("cache_write_tokens", 0)), 0)
    if writes:
        expected["cache_write_tokens"] = writes
    ours, problems = read(dialect, usage, provider)
    assert as_genai(ours) == expected
    assert problems == ()


@pytest.mark.parametrize(("dialect", "usage", "expected"), [
    # llama.cpp's server
    (CHAT, {"completion_tokens": 5, "prompt_tokens": 31, "total_tokens": 36, "prompt_tokens_details": {"cached_tokens": 30}},
     Usage(input=1, cache_read=30, output=5)),
    # llama.cpp's /v1/messages
    (MESSAGES, {"cache_read_input_tokens": 30, "input_tokens": 1, "output_tokens": 5}, Usage(input=1, cache_read=30, output=5)),
    # older DeepSeek: no details
    (CHAT, {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "prompt_cache_hit_tokens": 8,
            "prompt_cache_miss_tokens": 2}, Usage(input=2, cache_read=8, output=2)),
    # Qwen (DashScope): explicit cache
    (CHAT, {"prompt_tokens": 2000, "completion_tokens": 4, "total_tokens": 2004, "prompt_tokens_details": {
        "cached_tokens": 0, "cache_creation_input_tokens": 1605, "cache_creation": {"ephemeral_5m_input_tokens": 1605},
        "cache_type": "ephemeral"}}, Usage(input=395, cache_write_5m=1605, output=4)),
    # LiteLLM in front of Anthropic
    (CHAT, {"prompt_tokens": 3000, "completion_tokens": 7, "total_tokens": 3007, "prompt_tokens_details": {"cached_tokens": 1000},
            "cache_creation_input_tokens": 1500, "cache_read_input_tokens": 1000},
     Usage(input=500, cache_read=1000, cache_write_5m=1500, output=7)),
    # an image model behind OpenRouter
    (CHAT, {"prompt_tokens": 12, "completion_tokens": 1300, "total_tokens": 1312,
            "completion_tokens_details": {"image_tokens": 1290, "reasoning_tokens": 0}},
     Usage(input=12, output=10, other=(("output_image", 1290),))),
    # audio that was read from the cache is counted once
    (CHAT, {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101,
            "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 60}},
     Usage(input=0, cache_read=80, output=1, other=(("input_audio", 20),))),
    (CHAT, {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101,
            "prompt_tokens_details": {"image_tokens": 85, "text_tokens": 15}},
     Usage(input=15, output=1, other=(("input_image", 85),))),
    # nulls where others have objects
    (CHAT, {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "prompt_tokens_details": None,
            "completion_tokens_details": {"reasoning_tokens": None}}, Usage(input=5, output=6)),
    (MESSAGES, {"input_tokens": 5, "output_tokens": 6, "cache_creation_input_tokens": None, "cache_creation": None,
                "cache_read_input_tokens": None, "server_tool_use": None}, Usage(input=5, output=6)),
    # a split without a total
    (MESSAGES, {"input_tokens": 5, "output_tokens": 6, "cache_creation": {"ephemeral_1h_input_tokens": 7}},
     Usage(input=5, output=6, cache_write_1h=7)),
    # a total larger than its split: the rest is of five minutes
    (MESSAGES, {"input_tokens": 5, "output_tokens": 6, "cache_creation_input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 7}},
     Usage(input=5, output=6, cache_write_5m=3, cache_write_1h=7)),
    # Anthropic, compaction guide: the compaction step is billed, and is not in the totals
    (MESSAGES, {"input_tokens": 23000, "output_tokens": 1000, "iterations": [
        {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
        {"type": "message", "input_tokens": 23000, "output_tokens": 1000}]}, Usage(input=203000, output=4500)),
    # Perplexity's Responses
    (RESPONSES, {"input_tokens": 50, "output_tokens": 9, "total_tokens": 59, "input_tokens_details": {
        "cache_read_input_tokens": 20}, "tool_calls_details": {"search_web": {"invocation": 3}}},
     Usage(input=30, cache_read=20, output=9, other=(("web_searches", 3),))),
])  # fmt: skip
def test_sound_usage(dialect: str, usage: dict[str, Any], expected: Usage) -> None:
    assert read(dialect, usage) == (expected, ())


def test_gemini_hides_thinking_in_the_total() -> None:
    """Seen on Gemini's OpenAI endpoint: 15 + 36 = 51, but 778 in all; the rest was thought, and is billed as output."""
    usage, problems = read(CHAT, {"completion_tokens": 36, "prompt_tokens": 15, "total_tokens": 778}, "google")
    assert usage == Usage(input=15, output=763, reasoning=727)
    assert problems == ()
    usage, _ = read(CHAT, {"completion_tokens": 0, "total_tokens": 81, "prompt_tokens": 21,
                           "completion_tokens_details": {"reasoning_tokens": 60}}, "google")  # fmt: skip
    assert usage == Usage(input=21, output=60, reasoning=60)


def test_reasoning_beside_the_output_is_added_when_the_total_proves_it() -> None:
    """A relay that forwards another vendor's counts: no flavour needed when prompt + completion + reasoning = total."""
    details = {"completion_tokens_details": {"reasoning_tokens": 94}}
    body = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, **details}
    assert read(CHAT, body)[0] == Usage(input=32, output=103, reasoning=94)


def test_xai_reasoning_already_inside_is_not_added_twice() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 94}}
    body = {"prompt_tokens": 32, "completion_tokens": 103, "total_tokens": 135, **details}
    assert read(CHAT, body, "x-ai")[0] == Usage(input=32, output=103, reasoning=94)


@pytest.mark.parametrize(("dialect", "usage", "expected", "said"), [
    (CHAT, {"prompt_tokens": 12.0, "completion_tokens": "7"}, Usage(input=12, output=7), ""),
    (CHAT, {"prompt_tokens": 12.5, "completion_tokens": 7}, Usage(output=7), "prompt_tokens is 12.5"),
    (CHAT, {"prompt_tokens": -1, "completion_tokens": 7}, Usage(output=7), "taken as 0"),
    (CHAT, {"prompt_tokens": True, "completion_tokens": 7}, Usage(output=7), "not a count"),
    (CHAT, {"prompt_tokens": 2**70, "completion_tokens": 7}, Usage(output=7), "not a count"),
    (CHAT, {"prompt_tokens": 1, "completion_tokens": 7, "prompt_tokens_details": [1]}, Usage(input=1, output=7), "not an object"),
    (CHAT, {"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 11}},
     Usage(cache_read=10, output=7), "taken as 10"),
    (CHAT, {"prompt_tokens": 10, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 11}},
     Usage(input=10, output=7, reasoning=7), "taken as 7"),
    (CHAT, {"prompt_tokens": 10, "completion_tokens": 7, "completion_tokens_details": {"audio_tokens": 11}},
     Usage(input=10, other=(("output_audio", 7),)), "taken as 7"),
    (CHAT, {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 20}, Usage(input=10, output=7), "of unknown kind"),
    (MESSAGES, {"input_tokens": 1, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 8}},
     Usage(input=1, output=7, reasoning=7), "taken as 7"),
    (MESSAGES, {"input_tokens": 1, "output_tokens": 7, "cache_creation_input_tokens": 3,
                "cache_creation": {"ephemeral_5m_input_tokens": 4}}, Usage(input=1, output=7, cache_write_5m=4), "more than"),
    (MESSAGES, {"input_tokens": 1, "output_tokens": 7, "iterations": [{"type": "advisor_message", "input_tokens": 9}]},
     Usage(input=1, output=7), "advisor_message"),
    (RESPONSES, {"input_tokens": 10, "output_tokens": 7, "total_tokens": 17, "input_tokens_details": {
        "cache_write_tokens": 4, "cached_tokens": 0, "cache_write_tokens_details": {"ttl_12h_tokens": 4, "ttl_30m_tokens": 0}}},
     Usage(input=6, cache_write_5m=4, output=7), "12 hours"),
])  # fmt: skip
def test_noise_is_taken_and_named(dialect: str, usage: dict[str, Any], expected: Usage, said: str) -> None:
    found, problems = read(dialect, usage)
    assert found == expected
    assert said in " ".join(problems)
    assert not unusable(problems)


@pytest.mark.parametrize("raw", [b"null", b"{}", b"[]", b"7", b"", b"{", b'"\xff"', b'{"prompt_tokens":null}', b"[" * 5000])
def test_no_usage_is_never_free(raw: bytes) -> None:
    for usage, problems in (chat_usage(raw), responses_usage(raw), messages_usage(raw), merge_messages_usage(raw, None)):
        assert usage == Usage()
        assert unusable(problems)


def test_stream_counts_are_cumulative() -> None:
    """Anthropic streaming guide: message_start knows the input, each message_delta the whole so far."""
    start = {
        "input_tokens": 472, "cache_creation_input_tokens": 90, "cache_read_input_tokens": 7, "output_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 90}, "service_tier": "standard",
    }  # fmt: skip
    delta = {"output_tokens": 89, "input_tokens": None}
    assert merge_messages_usage(json.dumps(start).encode(), json.dumps(delta).encode()) == (
        Usage(input=472, cache_read=7, cache_write_1h=90, output=89),
        (),
    )
    web = {
        "input_tokens": 10682, "cache_creation_input_tokens": 90, "cache_read_input_tokens": 0, "output_tokens": 510,
        "server_tool_use": {"web_search_requests": 1}, "output_tokens_details": {"thinking_tokens": 300},
    }  # fmt: skip
    assert merge_messages_usage(json.dumps(start).encode(), json.dumps(web).encode()) == (
        Usage(input=10682, cache_write_1h=90, output=510, reasoning=300, other=(("web_searches", 1),)),
        (),
    )


def test_stream_without_its_end_says_so() -> None:
    usage, problems = merge_messages_usage(b'{"input_tokens": 4, "output_tokens": 1}', None)
    assert usage == Usage(input=4, output=1)
    assert "ended before" in problems[0]
    assert merge_messages_usage(None, b'{"input_tokens": 4, "output_tokens": 9}') == (Usage(input=4, output=9), ())


def test_flavours() -> None:
    assert flavour_of("x-ai") is Flavour.XAI
    assert flavour_of("somebody") is Flavour.OPENAI


noise = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from(["", "7", "x", "nan"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
names = st.sampled_from([
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "cache_creation_input_tokens", "cache_read_input_tokens", "thinking_tokens", "audio_tokens", "image_tokens", "type",
    "ephemeral_1h_input_tokens", "web_search_requests", "cache_write_tokens", "input_tokens_details", "iterations",
])  # fmt: skip
parents = st.sampled_from([
    "prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details", "cache_creation",
    "server_tool_use", "iterations",
])  # fmt: skip
small = st.integers(0, 50)
objects = st.dictionaries(names, noise | small, max_size=6)


lists_or_objects = objects | st.lists(objects, max_size=2)


@given(st.dictionaries(names, noise | small, max_size=8), st.dictionaries(parents, lists_or_objects, max_size=4))
def test_never_raises_and_is_always_a_usage(flat: dict[str, Any], nested: dict[str, Any]) -> None:
    raw = json.dumps({**flat, **nested}).encode()
    for flavour in Flavour:
        chat_usage(raw, flavour)
    responses_usage(raw)
    messages_usage(raw)
    merge_messages_usage(raw, raw)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_kinds_are_disjoint_and_sum_to_the_provider_total(
    prompt: int, output: int, cached: int, written: int, audio: int, spoken: int
) -> None:
    usage, _ = read(CHAT, {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio},
        "completion_tokens_details": {"audio_tokens": spoken},
    })  # fmt: skip
    assert sum(n for _, n in usage.counts()) == prompt + output
    assert usage.input_total == prompt


def test_units_of_the_answers_items_are_added_once() -> None:
    """What the usage object says of a kind itself is the provider's own figure."""
    plain = Usage(input=1, output=2)
    assert with_units(plain, ()) is plain
    assert with_units(plain, (("web_searches", 2),)).other == (("web_searches", 2),)
    told = Usage(input=1, output=2, other=(("web_searches", 3),))
    both = with_units(told, (("web_searches", 2), ("storage_searches", 1)))
    assert both.other == (("web_searches", 3), ("storage_searches", 1))
