"""Token counts: exact where they say so, never exceeded where they say bounded, remembered per message."""

import json
import threading
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Dialect, InputBound
from jevons.core.chain import chain
from jevons.core.limits import COUNT_CHUNK_CHARS, COUNT_INLINE_BYTES_MAX, JSON_DEPTH_MAX
from jevons.core.refusal import Refusal
from jevons.meter.bpe import BYTES, ENCODINGS
from jevons.meter.models import ModelFacts, model_facts
from jevons.meter.tokens import InputCount, MessageCounter, count_text, loaded, pieces, preload, remote_input
from jevons.meter.weigh import structure_bound

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the package reads its own files in a deprecated way
    import bpe_openai

GPT4O, GPT4, GPT5 = model_facts("openai", "gpt-4o"), model_facts("openai", "gpt-4"), model_facts("openai", "gpt-5")
CLAUDE, LLAMA = model_facts("anthropic", "claude-opus-4-8"), model_facts("groq", "llama-3.3-70b")
EMBEDDER = model_facts("openai", "text-embedding-3-small")
CHAT = Dialect.CHAT


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def count(messages: list[Any], facts: ModelFacts = GPT4O, dialect: Dialect = CHAT, **more: Any) -> InputCount:
    return MessageCounter().count([raw(message) for message in messages], facts, dialect, **more)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


# Text


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_counts_are_the_tokenizers_own(encoding: str, text: str) -> None:
    assert count_text(text, encoding) == len(bpe_openai.get_encoding(encoding).encode(text))


words = st.lists(st.sampled_from([
    "word", " ", "  ", "\n", "'s", "don't", "12345", "，", "。", "漢字", "한국", ".", ",", ";", "(", "}", "\t", "é", "\u0301", "X", "//\n", "😀",
]), min_size=1, max_size=30)  # fmt: skip


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
@settings(deadline=None, max_examples=50)
@given(start=words, more=words)
def test_counting_a_long_text_in_parts_changes_nothing(encoding: str, start: list[str], more: list[str]) -> None:
    """The seam is looked for beyond the chunk size, so what stands there is what hypothesis varies."""
    filler = ("word " * COUNT_CHUNK_CHARS)[: COUNT_CHUNK_CHARS - 5]
    text = filler + "".join(start) + filler + "".join(more)
    assert count_text(text, encoding) == len(bpe_openai.get_encoding(encoding).encode(text))


@settings(deadline=None)
@given(
    st.text(max_size=40) | st.sampled_from(["unbelievable running 😀!", "\ud800x", "<|endoftext|>"]), st.sampled_from(ENCODINGS)
)
def test_pieces_join_to_the_text(text: str, encoding: str) -> None:
    found = pieces(text, encoding)
    assert (
        len(found) == (len(text.encode("utf-8", "replace")) if encoding == BYTES else count_text(text, encoding))
        or "\ud800" in text
    )
    assert (
        b"".join(data for data, _ in found) == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    )


def test_pieces_of_a_word() -> None:
    assert [data for data, _ in pieces("unhappiness, running!", "o200k_base")] == [
        b"un",
        b"h",
        b"appiness",
        b",",
        b" running",
        b"!",
    ]
    assert pieces("ab", BYTES) == [(b"a", 97), (b"b", 98)]


@settings(deadline=None)
@given(st.text(max_size=40))
def test_bytes_bound_every_tokenizer(text: str) -> None:
    assert count_text(text, BYTES) >= max(count_text(text, "o200k_base"), count_text(text, "cl100k_base"))


def test_bytes_are_counted_after_normalisation_too() -> None:
    assert count_text("é", BYTES) == 2
    assert count_text("\U0001d160", BYTES) == 12  # NFC writes this note as three characters
    assert count_text("\ud800", BYTES) == 3


def test_half_a_surrogate_pair_counts_as_the_sign_that_replaces_it() -> None:
    assert count_text("a\ud800b", "o200k_base") == count_text("a\ufffdb", "o200k_base")


def test_an_unknown_encoding_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="o200k_base, cl100k_base, bytes"):
        count_text("x", "p50k")


def test_preload() -> None:
    preload("o200k_base", BYTES).join()
    assert loaded("o200k_base")
    assert loaded(BYTES)
    assert not loaded("p50k")


# Exact: the OpenAI cookbook's own example, with the counts that the API gave ("How to count tokens with tiktoken", section 6)

COOKBOOK = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    },
    {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]


@pytest.mark.parametrize(("model", "tokens"), [
    ("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124),
])  # fmt: skip
def test_the_cookbooks_example(model: str, tokens: int) -> None:
    assert count(COOKBOOK, model_facts("openai", model)) == InputCount(tokens, InputBound.EXACT)


def test_one_text_block_is_the_text() -> None:
    assert count([user([{"type": "text", "text": "hi"}])]) == count([user("hi")])
    assert count([{**user("hi"), "tool_calls": None, "refusal": None}]) == count([user("hi")])


@pytest.mark.parametrize("message", [
    user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
    user([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
    [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
])  # fmt: skip
def test_everything_else_is_bounded_not_exact(message: Any) -> None:
    plain = count([user("hi")])
    found = count([user("hi"), message])
    assert found.bound is InputBound.BOUNDED
    assert found.tokens > plain.tokens


def test_a_schema_in_the_request_is_counted_and_makes_the_count_inexact() -> None:
    schema = raw({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}})
    found = count([user("hi")], extras=[schema])
    assert found.bound is InputBound.BOUNDED
    assert found.tokens >= count([user("hi")]).tokens + len(schema)


def test_what_each_kind_of_family_can_say() -> None:
    messages = [user("What is the capital of France?")]
    assert count(messages, GPT4O).bound is InputBound.EXACT
    assert count(messages, GPT4O, Dialect.RESPONSES).bound is InputBound.BOUNDED
    assert count(messages, GPT5).bound is InputBound.BOUNDED
    assert count(messages, LLAMA).bound is InputBound.BOUNDED
    assert count(messages, CLAUDE, Dialect.MESSAGES).bound is InputBound.ESTIMATED
    assert count(messages, model_facts("x", "unheard-of")).bound is InputBound.ESTIMATED
    assert count([], GPT4O) == InputCount(3, InputBound.EXACT)


# Bounded


def test_text_of_a_byte_level_model_is_bounded_by_its_bytes() -> None:
    text = "Grüße, 世界! " * 50
    found = count([user(text)], LLAMA)
    assert found.tokens == len(text.encode()) + len("user") + LLAMA.message_tokens + LLAMA.request_tokens


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_structure_is_bounded_in_every_customary_rendering(value: Any) -> None:
    bound = structure_bound(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for rendering in (
        compact, json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=4), json.dumps(value, indent=2),
        json.dumps(compact)[1:-1],
    ):  # fmt: skip
        for encoding in ("o200k_base", "cl100k_base"):
            assert count_text(rendering, encoding) <= bound


@pytest.mark.parametrize(("part", "facts", "tokens"), [
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, GPT4O, 1_445),
    ({"type": "input_image", "file_id": "file-1"}, GPT4O, 1_445),
    ({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}, CLAUDE, 4_900),
    ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]}, CLAUDE, 4_900),
    ({"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "x"}}, GPT4O, 1_445),
])  # fmt: skip
def test_an_image_counts_as_the_providers_largest(part: dict[str, Any], facts: ModelFacts, tokens: int) -> None:
    found = count([user([part])], facts)
    assert tokens <= found.tokens < tokens + 500


@pytest.mark.parametrize("part", [
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
    {"type": "item_reference", "id": "msg_1"},
])  # fmt: skip
def test_media_without_a_published_maximum_fill_the_window(part: dict[str, Any]) -> None:
    assert count([user([part])]) == InputCount(GPT4O.context_window, InputBound.BOUNDED)


def test_a_document_of_plain_text_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "word " * 100}
    found = count([user([{"type": "document", "source": source}])], CLAUDE, Dialect.MESSAGES)
    assert found.tokens < 1_000
    blocks = {"type": "content", "content": [{"type": "text", "text": "word " * 100}]}
    assert count([user([{"type": "document", "source": blocks}])], CLAUDE, Dialect.MESSAGES).tokens < 1_000


def test_remote_context_is_what_the_window_leaves() -> None:
    assert remote_input(GPT4O, 16_000) == InputCount(112_000, InputBound.BOUNDED)
    assert remote_input(model_facts("x", "unheard-of"), 10**9) == InputCount(0, InputBound.ESTIMATED)


def test_no_known_model_reads_more_than_its_window() -> None:
    assert count([user("a" * 50_000)], model_facts("local", "local")).tokens == 8_192


# Estimated


def test_an_estimate_is_the_factor_over_o200k() -> None:  # and one token for the role
    text = "The quick brown fox jumps over the lazy dog. " * 40
    found = count([user(text)], CLAUDE, Dialect.MESSAGES).tokens - CLAUDE.message_tokens - CLAUDE.request_tokens
    assert found == -(-(count_text(text, "o200k_base") + 1) * CLAUDE.factor_percent // 100)


def test_runs_of_spaces_are_not_estimated_at_o200ks_bargain() -> None:
    """4,000 spaces are 32 tokens of o200k, and 261 of Claude's (PyPI ctok 1.3.0, less its frame)."""
    assert count_text(" " * 4_000, "o200k_base") == 32
    assert count([user(" " * 4_000)], CLAUDE, Dialect.MESSAGES).tokens >= 261


@pytest.mark.parametrize(("text", "tokens"), [
    # Counts of PyPI ctok 1.3.0, version "4.7" (a reconstruction of Claude's tokenizer), message frame included
    ("getHTTPResponseCode" * 200, 2_210), ("MAX_TOKENS_PER_RUN " * 200, 3_212), ("Hello World Foo Bar " * 200, 2_012),
    ("aBcDeFgH" * 500, 4_011), ("ﬁﬂ" * 300, 1_813), ("A.B;C!" * 500, 3_011), ("1" * 3_000, 1_012),
])  # fmt: skip
def test_estimates_cover_what_claude_was_measured_to_count(text: str, tokens: int) -> None:
    assert count([user(text)], CLAUDE, Dialect.MESSAGES).tokens >= tokens


def test_tools_of_the_provider_make_any_count_an_estimate() -> None:
    assert count([[{"type": "web_search"}], user("hi")], GPT5, Dialect.RESPONSES).bound is InputBound.ESTIMATED
    assert count([[{"type": "function", "name": "f"}], user("hi")], GPT5, Dialect.RESPONSES).bound is InputBound.BOUNDED


# Shapes of the dialects


@pytest.mark.parametrize(("messages", "tokens"), [
    (["hello world"], 2), ([15339, 1917, 0], 3), ([["hello world", "hello"]], 3), ([[1, 2, 3]], 3), ([[[1, 2, 3], [4]]], 4), (["hello world", "hello"], 3),
])  # fmt: skip
def test_inputs_to_embed(messages: list[Any], tokens: int) -> None:
    assert count(messages, EMBEDDER, Dialect.EMBEDDINGS) == InputCount(tokens, InputBound.EXACT)


def test_many_inputs_to_embed_may_pass_one_window() -> None:
    assert count([["word " * 5_000] * 4], EMBEDDER, Dialect.EMBEDDINGS).tokens > 3 * EMBEDDER.context_window / 2


@pytest.mark.parametrize("message", [
    "a Responses input or a system prompt",
    [{"type": "text", "text": "system", "cache_control": {"type": "ephemeral"}}],
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "42"}]},
    {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"},
    {"type": "additional_tools", "tools": [{"type": "custom", "name": "shell"}]},
    user([{"type": "tool_result", "tool_use_id": "t", "content": "42", "is_error": False}]),
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "abc"}, {"type": "tool_use", "id": "t",
                                      "name": "f", "input": {"a": 1}}]},
    {"role": "assistant", "content": "hi", "reasoning_content": "hm", "audio": {"id": "a1"}},
    user([{"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}]),
    user(["bare", None, 7]), user({"type": "text", "text": "an object"}), user(None), None, 7, [], {},
])  # fmt: skip
@pytest.mark.parametrize("facts", [GPT4O, GPT5, CLAUDE, LLAMA])
def test_every_shape_counts_for_something_and_no_more_than_twice_its_bytes(message: Any, facts: ModelFacts) -> None:
    base, found = count([user("hi")], facts), count([user("hi"), message], facts)
    assert found.tokens >= base.tokens + facts.message_tokens
    if "audio" not in str(message):
        allowance = 3 * facts.message_tokens + facts.tools_tokens + 3 * len(raw(message))
        assert found.tokens <= base.tokens + allowance


# What is refused


@pytest.mark.parametrize(("body", "said"), [
    (b'{"role":"user","role":"assistant","content":"x"}', "'role' twice"),
    (b'{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}', "'text' twice"),
    (b'{"role":"user","\\u0072ole":"system","content":"x"}', "'role' twice"),
    (b'{"role":"user","content":"x"', "not JSON"),
    (b'{"role":"user","content":"\xff"}', "not UTF-8"),
    (b'{"role":"user","content":NaN}', "NaN"),
    (b'{"role":"user","content":' + b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX + b"}", "levels deep"),
    (b"[" * 100_000 + b"]" * 100_000, "levels deep"),
])  # fmt: skip
def test_what_two_readers_could_read_differently_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(Refusal, match=said) as refusal:
        MessageCounter().count([body], GPT4O, CHAT)
    assert refusal.value.status == 400


def test_many_brackets_are_not_deep() -> None:
    assert count([user([{"type": "text", "text": "x"}] * 200)]).tokens > 200


# Memory


def test_a_growing_conversation_counts_the_same_with_and_without_memory() -> None:
    counter = MessageCounter()
    messages: list[bytes] = []
    for turn in range(20):
        messages.append(raw(user(f"turn {turn}: " + "word " * turn)))
        links = chain(b"k" * 32, messages)
        fresh = MessageCounter().count(messages, GPT4O, CHAT)
        assert counter.count(messages, GPT4O, CHAT) == fresh
        assert counter.count(messages, GPT4O, CHAT, digests=links.digests) == fresh
        assert counter.count(messages, CLAUDE, Dialect.MESSAGES) == MessageCounter().count(messages, CLAUDE, Dialect.MESSAGES)
        assert counter.count(messages, LLAMA, CHAT) == MessageCounter().count(messages, LLAMA, CHAT)


def test_only_what_is_new_is_to_be_read() -> None:
    counter = MessageCounter()
    old, new = raw(user("a " * COUNT_INLINE_BYTES_MAX)), raw(user("new"))
    assert counter.uncached_bytes([old]) == len(old)
    counter.count([old], GPT4O, CHAT)
    assert counter.uncached_bytes([old, new]) == len(new)
    assert counter.uncached_bytes([old, new], BYTES) == len(old) + len(new)
    assert counter.uncached_bytes([new] * 3) == 0  # few enough to be read at once


def test_the_memory_is_bounded_and_keeps_what_is_used() -> None:
    counter = MessageCounter(entries_max=20)
    big = raw(user("a " * COUNT_INLINE_BYTES_MAX))
    for number in range(200):
        counter.count([big, raw(user(f"{number}"))], GPT4O, CHAT)
        assert len(counter) <= 20
    assert counter.uncached_bytes([big]) == 0
    for number in range(100):
        counter.count([raw(user(f"other {number}"))], GPT4O, CHAT)
    assert counter.uncached_bytes([big]) == len(big)


def test_threads_may_share_a_counter() -> None:
    counter = MessageCounter(entries_max=8)
    messages = [raw(user(f"message {number} " * 20)) for number in range(30)]
    expected = MessageCounter().count(messages, GPT4O, CHAT)
    found: list[InputCount] = []
    threads = [
        threading.Thread(target=lambda: found.extend(counter.count(messages, GPT4O, CHAT) for _ in range(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80


def test_ends_say_about_how_long_each_beginning_is() -> None:
    """A published tokenizer counts; of another's model a byte is a quarter of a token."""
    counter, words = MessageCounter(), b"word " * 400
    messages = [b'{"role":"user","content":"' + words + b'"}'] * 2
    digests = counter.digests(messages)
    first, second = counter.ends(messages, model_facts("openai", "gpt-4o"), digests)
    assert 400 <= first <= 420 and second == 2 * first
    [about, _] = counter.ends(messages, model_facts("somebody", "my-model"), digests)
    assert 500 <= about <= 520
