"""Which requests may be answered by a kept answer, which answers may be kept, and what two requests must share to share one."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.limits import KEPT_ANSWER_BYTES_MAX
from jevons.core.refusal import Refusal
from jevons.policy.answers import (
    WORDS,
    Given,
    Wish,
    age_s,
    asks_only_kept,
    canonical,
    is_fresh,
    key_of,
    may_keep,
    not_kept,
    takes_part,
    wish_of,
)
from jevons.policy.route import Target
from jevons.wire.parse import parse

SECRET = bytes(range(32))
CHOSEN = Wish(chosen=True)
SAID: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hi."}]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]},
    "responses": {"model": "m", "input": "Hi.", "store": False},
    "embeddings": {"model": "m", "input": "Hi."},
    "count_tokens": {"model": "m", "messages": []},
}


def ask(door: str, **members: Any) -> Ask:
    return parse(Dialect(door), json.dumps({**SAID[door], **members}).encode())


def key(asked: Ask, org: str = "o", target: Target | None = None, **more: Any) -> bytes | None:
    sent, query = more.get("sent", []), more.get("query", b"")
    return key_of(SECRET, org, target or Target("u", asked.model, asked.dialect), asked, sent, query)


def test_words():
    assert wish_of(None, None, listed=False) is None
    assert wish_of(None, None, listed=True) == Wish()
    assert wish_of(b"off", None, listed=True) is None
    assert wish_of(b"on", None, listed=False) == wish_of(b" Exact ", None, listed=False) == CHOSEN
    assert wish_of(b"semantic", None, listed=False) == Wish(chosen=True, similar=True)
    assert wish_of(b"refresh", None, listed=True) == Wish(chosen=True, looks=False)
    with pytest.raises(Refusal, match=", ".join(WORDS)) as refused:
        wish_of("ja\xe4".encode("latin-1"), None, listed=True)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("control", "wish"),
    [
        (b"no-store", None),
        (b"max-age=5, no-store", None),
        (b"no-cache", Wish(looks=False)),
        (b"max-age=0", Wish(max_age_s=0)),
        (b'MAX-AGE="60" , min-fresh=5', Wish(max_age_s=60, min_fresh_s=5)),
        (b"max-age=soon", Wish(looks=False)),
        (b"min-fresh=-1", Wish(looks=False)),
        (b"max-age", Wish(looks=False)),
        (b"only-if-cached", Wish(only_kept=True)),
        (b"max-stale=600, stale-if-error, no-transform, x=y", Wish()),
        (b"", Wish()),
    ],
)
def test_directives(control: bytes, wish: Wish | None):
    assert wish_of(None, control, listed=True) == wish


def test_only_if_cached_is_read_of_whoever_takes_no_part():
    assert asks_only_kept(b"max-age=3, Only-If-Cached") and not asks_only_kept(b"no-cache") and not asks_only_kept(None)
    refusal = not_kept("it is not there")
    assert refusal.status == 504 and refusal.spent and "it is not there" in refusal.message


@pytest.mark.parametrize(
    ("door", "members", "unasked", "chosen"),
    [
        ("embeddings", {}, True, True),
        ("chat", {}, False, True),
        ("chat", {"temperature": 0}, True, True),
        ("chat", {"temperature": 0.0}, True, True),
        ("chat", {"temperature": 0.1}, False, True),
        ("chat", {"temperature": None}, False, True),
        ("chat", {"temperature": "0"}, False, True),
        ("chat", {"seed": 7, "top_p": 0}, False, True),
        ("chat", {"temperature": 0, "n": 2}, False, False),
        ("chat", {"temperature": 0, "store": True}, False, False),
        ("chat", {"temperature": 0, "audio": {"voice": "alloy", "format": "wav"}}, False, False),
        ("chat", {"temperature": 0, "web_search_options": {}}, False, False),
        ("chat", {"temperature": 0, "search_parameters": {"mode": "auto"}}, False, False),
        ("chat", {"temperature": 0, "plugins": [{"id": "web"}]}, False, False),
        ("chat", {"temperature": 0, "enable_search": True}, False, False),
        ("messages", {"temperature": 0}, True, True),
        ("messages", {"temperature": 0, "mcp_servers": [{"type": "url", "url": "https://a.b"}]}, False, False),
        ("responses", {"temperature": 0}, True, True),
        ("responses", {"temperature": 0, "store": True}, False, False),
        ("responses", {"temperature": 0, "store": None}, False, False),
        ("responses", {"temperature": 0, "previous_response_id": "resp_1"}, False, False),
        ("responses", {"temperature": 0, "conversation": "conv_1"}, False, False),
        ("responses", {"temperature": 0, "tools": [{"type": "web_search"}]}, False, False),
        ("count_tokens", {}, False, False),
    ],
)
def test_who_takes_part(door: str, members: dict[str, Any], unasked: bool, chosen: bool):
    assert takes_part(ask(door, **members), Wish()) is unasked
    assert takes_part(ask(door, **members), CHOSEN) is chosen


def image(**source: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


def seen(door: str, part: dict[str, Any]) -> dict[str, Any]:
    said = [{"role": "user", "content": [part]}]
    return {"input" if door == "responses" else "messages": said}


@pytest.mark.parametrize(
    ("door", "members", "takes"),
    [
        ("messages", image(type="base64", media_type="image/png", data="AAAA"), True),
        ("messages", image(type="url", url="https://a.b/now.png"), False),
        ("chat", seen("chat", {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}), True),
        ("chat", seen("chat", {"type": "image_url", "image_url": {"url": "https://a.b/now.png"}}), False),
        ("chat", seen("chat", {"type": "image_url", "image_url": "https://a.b/now.png"}), False),
        ("chat", seen("chat", {"type": "audio_url", "audio_url": {"url": "https://a.b/now.wav"}}), False),
        ("chat", seen("chat", {"type": "document_url", "document_url": "https://a.b/now.pdf"}), False),
        ("chat", seen("chat", {"type": "video", "video": ["s3://a/1.png", "s3://a/2.png"]}), False),
        ("chat", seen("chat", {"type": "video", "video": ["data:image/png;base64,AA", "data:image/png;base64,BB"]}), True),
        ("chat", seen("chat", {"type": "text", "text": "https://a.b is down"}), True),
        ("chat", {"messages": [{"role": "user", "content": "https://a.b is down"}]}, True),
        ("embeddings", {"input": ["https://a.b", "b"]}, True),
        ("embeddings", {"input": [{"image": "https://a.b/now.png"}]}, False),
        ("embeddings", {"input": [{"image": "iVBORw0KGgo="}]}, True),
        ("messages", seen("messages", {"type": "document", "source": {"type": "content", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://a.b/now.png"}}]}}), False),
        ("messages", seen("messages", {"type": "search_result", "source": "https://a.b", "title": "t", "content": []}), True),
        ("responses", {"input": [{"type": "computer_call_output", "call_id": "c", "output": {
            "type": "computer_screenshot", "image_url": "https://a.b/now.png"}}]}, False),
        ("responses", {"input": [{"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "t", "annotations": [{"type": "url_citation", "url": "https://a.b"}]}]}]}, True),
        ("chat", seen("chat", {"type": "file", "file": {"file_id": "file-1"}}), False),
        ("chat", seen("chat", {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}), True),
        ("responses", seen("responses", {"type": "input_image", "image_url": "https://a.b/now.png"}), False),
        ("responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}, False),
        ("chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, True),
        ("messages", {"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]}, True),
        ("messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, False),
        ("responses", {"tools": [{"type": "mcp", "server_label": "x"}]}, False),
        ("responses", {"tools": ["f"]}, False),
        # What a tool was asked for, and what it brought, is text like any other.
        ("messages", {"messages": [{"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "fetch", "input": {"url": "https://a.b"}}]}]}, True),
        ("responses", {"input": [{"type": "odd_call", "held": {"input": {"url": "https://a.b"}, "number": 1}}]}, True),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "image", "source": {"type": "url", "url": "https://a.b"}}]}]}]}, False),
    ],
)  # fmt: skip
def test_what_lies_elsewhere_takes_no_part(door: str, members: dict[str, Any], takes: bool):
    assert (canonical(ask(door, **members)) is not None) is takes


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}',
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","t\\u0065xt":"b"}]}]}',
    ],
)
def test_what_is_not_said_once_and_clearly_takes_no_part(body: bytes):
    assert key(parse(Dialect.CHAT, body)) is None


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("chat", {"stream": True, "stream_options": {"include_usage": True}}, {}),
    ("chat", {"n": 1, "user": "u", "metadata": {"a": "b"}, "safety_identifier": "s", "store": False}, {"user": "v"}),
    ("chat", {"service_tier": "flex", "prompt_cache_key": "k", "prompt_cache_retention": "24h"}, {}),
    ("messages", {"cache_control": {"type": "ephemeral"}, "metadata": {"user_id": "u"}}, {}),
    ("messages", {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
     {"system": [{"text": "s", "type": "text"}]}),
    ("messages", {"tools": [{"name": "f", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]},
     {"tools": [{"name": "f", "input_schema": {}}]}),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
      "content": [{"type": "text", "text": "r", "cache_control": {"type": "ephemeral"}}]}]}]},
     {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t",
      "content": [{"type": "text", "text": "r"}]}]}]}),
    ("responses", {"background": False, "service_tier": "priority", "prompt_cache_key": "k", "stream": True}, {}),
]  # fmt: skip
OTHER: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("chat", {"temperature": 0}, {}),
    ("chat", {"temperature": 0, "seed": 1}, {"temperature": 0, "seed": 2}),
    ("chat", {"max_tokens": 5}, {"max_tokens": 6}),
    ("chat", {"some_new_member": 1}, {}),
    ("chat", {"messages": [{"role": "user", "content": "Hi. "}]}, {}),
    ("chat", {"messages": [{"role": "user", "content": "é"}]}, {"messages": [{"role": "user", "content": "e\u0301"}]}),
    ("chat", {"messages": [{"role": "system", "content": "Hi."}]}, {}),
    ("chat", {"messages": [{"role": "user", "content": None}]}, {"messages": [{"role": "user", "content": False}]}),
    ("chat", {"messages": [{"role": "user", "content": [None]}]}, {"messages": [{"role": "user", "content": [False]}]}),
    ("chat", {"x": 1}, {"x": "1"}),
    ("chat", {"response_format": {"a": 1, "b": 2}}, {"response_format": {"b": 2, "a": 1}}),
    ("chat", {"guided_json": {"a": 1, "b": 2}}, {"guided_json": {"b": 2, "a": 1}}),
    ("messages", {"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1, "b": 2}}]}]},
     {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"b": 2, "a": 1}}]}]}),
    ("chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"cache_control": 1}}}]},
     {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
    ("messages", {"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"cache_control": 1}}]}]},
     {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]}),
    ("messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, {}),
    ("responses", {"metadata": {"a": "b"}}, {}),
    ("responses", {"user": "u"}, {"user": "v"}),
    ("embeddings", {"encoding_format": "base64"}, {}),
    ("embeddings", {"input": ["Hi."]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("door", "one", "other"), SAME)
def test_what_does_not_change_an_answer(door: str, one: dict[str, Any], other: dict[str, Any]):
    assert key(ask(door, **one)) == key(ask(door, **other)) is not None


@pytest.mark.parametrize(("door", "one", "other"), OTHER)
def test_what_may_change_it(door: str, one: dict[str, Any], other: dict[str, Any]):
    assert None is not key(ask(door, **one)) != key(ask(door, **other)) is not None


def test_what_else_is_in_the_key():
    asked = ask("chat")
    here = key(asked)
    target = Target("u", "m", Dialect.CHAT)
    others = [
        key(asked, org="p"),
        key(asked, target=Target("v", "m", Dialect.CHAT)),
        key(asked, target=Target("u", "n", Dialect.CHAT)),
        key(asked, target=Target("u", "m", Dialect.MESSAGES)),
        key(ask("chat", model="n"), target=target),
        key(asked, sent=[(b"anthropic-beta", b"a")]),
        key(asked, query=b"beta=true"),
        key_of(bytes(32), "o", target, asked, [], b""),
    ]
    assert len({here, *others}) == len(others) + 1
    assert key(asked, sent=[(b"a", b"1"), (b"b", b"2")]) == key(asked, sent=[(b"b", b"2"), (b"a", b"1")])


def spelt(value: Any, chance: random.Random, mixed: int = 3) -> str:
    """A JSON text of it, in some spelling; the members of objects within `mixed` objects in some order."""
    gap = chance.choice(["", " ", "\n\t"])
    if isinstance(value, dict):
        members = [f"{spelt(name, chance)}{gap}:{gap}{spelt(member, chance, mixed - 1)}" for name, member in value.items()]
        if mixed > 0:
            chance.shuffle(members)
        return "{" + gap + f"{gap},".join(members) + gap + "}"
    if isinstance(value, list):
        return "[" + f",{gap}".join(spelt(item, chance, mixed) for item in value) + gap + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e9, 1e9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(content=VALUES, seeds=st.tuples(st.integers(), st.integers()))
def test_spelling_does_not_count(content: Any, seeds: tuple[int, int]):
    """Of the request, its messages and their parts the order of members does not; a part's own data is in the order in which it was written."""
    said = {"model": "m", "messages": [{"role": "user", "content": [{"type": "data", "input": content}]}]}
    keys = {key(parse(Dialect.CHAT, spelt(said, random.Random(seed)).encode())) for seed in seeds}
    assert len(keys) == 1


@settings(max_examples=100)
@given(one=VALUES, other=VALUES)
def test_two_contents_have_two_keys(one: Any, other: Any):
    asked = [parse(Dialect.CHAT, json.dumps({"model": "m", "messages": [], "x": value}).encode()) for value in (one, other)]
    assert (key(asked[0]) == key(asked[1])) is (json.dumps(one) == json.dumps(other))


def test_a_number_is_what_was_written():
    """To a model it is text, of which a double would keep 17 digits."""
    told = [
        b'{"model":"m","messages":[],"x":%s}' % number
        for number in (b"0.12345678901234567890", b"0.12345678901234567891", b"1e999")
    ]
    assert len({key(parse(Dialect.CHAT, body)) for body in told} - {None}) == 3


def ended(finish: str = "stop", dialect: Dialect = Dialect.CHAT, **changes: Any) -> Given:
    plain = {"bytes": 100, "metered": True, "first": True, "capped": False, "noted": False}
    return Given(dialect, finish, **{**plain, **changes})


def test_what_may_be_kept():
    assert may_keep(ended()) and may_keep(ended("tool_calls")) and may_keep(ended("length"))
    assert may_keep(ended("", Dialect.EMBEDDINGS)) and may_keep(ended("incomplete:max_output_tokens", Dialect.RESPONSES))
    assert may_keep(ended("stop", capped=True)), "a cap that was not reached changed nothing"
    for refused in (
        ended("length", capped=True),
        ended("content_filter"),
        ended("error"),
        ended("end_turn"),
        ended("refusal", Dialect.MESSAGES),
        ended("pause_turn", Dialect.MESSAGES),
        ended("incomplete:content_filter", Dialect.RESPONSES),
        ended("", Dialect.COUNT_TOKENS),
        ended(bytes=KEPT_ANSWER_BYTES_MAX + 1),
        ended(metered=False),
        ended(first=False),
        ended(noted=True),
    ):
        assert not may_keep(refused), refused


def test_age():
    assert age_s(1_000, 3_999) == 2 and age_s(9_000, 1_000) == 0
    assert is_fresh(Wish(), 0, 59_999, 60) and not is_fresh(Wish(), 0, 60_000, 60)
    assert is_fresh(Wish(max_age_s=5), 0, 4_999, 60) and not is_fresh(Wish(max_age_s=5), 0, 5_000, 60)
    assert not is_fresh(Wish(max_age_s=0), 0, 0, 60)
    assert is_fresh(Wish(min_fresh_s=30), 0, 30_999, 60) and not is_fresh(Wish(min_fresh_s=30), 0, 31_000, 60)
