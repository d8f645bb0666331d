"""Marks for the prompt cache: the client's are found where they are, ours are put in between its bytes and can be taken out again."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.chain import identity_links
from jevons.wire.body import edit, read_fields
from jevons.wire.markers import (
    BREAKPOINT,
    CACHE_CONTROL,
    NOTHING_SAID,
    Mark,
    Said,
    blocks_in,
    lifetimes,
    mark_edit,
    said,
    without_marks,
)
from jevons.wire.parse import parse

MARKED = re.compile(rb',"cache_control":\{"type":"ephemeral"(?:,"ttl":"1h")?\}')
SECRET = b"s" * 32


def ask_of(body: dict[str, Any], dialect: Dialect = Dialect.MESSAGES, **dumped: Any) -> Ask:
    model = {"model": "m"} | ({"max_tokens": 9} if dialect is Dialect.MESSAGES else {})
    return parse(dialect, json.dumps({**model, **body}, **dumped).encode())


def found_in(ask: Ask) -> Said:
    return said(ask, tuple([Mark(place, ttl) for place, message in enumerate(ask.messages) for ttl in lifetimes(message)]))


def marked(ask: Ask, *marks: Mark, marker: str = CACHE_CONTROL) -> tuple[Ask, tuple[Mark, ...]]:
    changes, placed = mark_edit(ask.fields, ask.dialect, marker, marks)
    return parse(ask.dialect, edit(ask.body, ask.fields, changes)), placed


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


EPHEMERAL = {"type": "ephemeral"}


def test_the_clients_own_marks_are_found_with_their_places_and_lifetimes() -> None:
    body = {
        "tools": [{"name": "a", "input_schema": {}}, {"name": "b", "input_schema": {}, "cache_control": EPHEMERAL}],
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [user("plain"), user([{"type": "text", "text": "x", "cache_control": {"ttl": "5m", "type": "ephemeral"}}])],
    }
    found = found_in(ask_of(body, indent=1))
    assert found.marks == (Mark(0), Mark(1, "1h"), Mark(3, "5m"))
    assert found.plans and found.whole is None


@pytest.mark.parametrize(("dialect", "body", "expected"), [
    (Dialect.MESSAGES, {"messages": [user("hi")]}, NOTHING_SAID),
    (Dialect.MESSAGES, {"messages": [user("hi")], "cache_control": EPHEMERAL}, Said(whole="")),
    (Dialect.MESSAGES, {"messages": [user("hi")], "cache_control": {"type": "ephemeral", "ttl": "1h"}}, Said(whole="1h")),
    (Dialect.MESSAGES, {"messages": [user("hi")], "tools": [{"name": "http", "input_schema": {"cache_control": {}}}]}, NOTHING_SAID),
    (Dialect.MESSAGES, {"messages": [user([{"type": "tool_use", "input": {"cache_control": {"ttl": 3}}}])]}, NOTHING_SAID),
    (Dialect.MESSAGES, {"messages": [user([{"type": "text", "text": "t", "cache_control": {"scope": {"a": 1}, "ttl": "1h"}}])]},
     Said(marks=(Mark(0, "1h"),))),
    (Dialect.MESSAGES, {"messages": [user([{"type": "tool_result", "content": [{"type": "text", "cache_control": EPHEMERAL}]}])]},
     Said(marks=(Mark(0),))),
    (Dialect.MESSAGES, {"messages": [user("hi")], "cache_control": None}, NOTHING_SAID),
    (Dialect.MESSAGES, {"messages": [user('say "cache_control": {"type": "ephemeral"}')]}, NOTHING_SAID),
    (Dialect.MESSAGES, {"messages": [user([{"type": "text", "text": "cache_control"}])]}, NOTHING_SAID),
    (Dialect.CHAT, {"messages": [user("hi")], "prompt_cache_key": "k"}, Said(key=True)),
    (Dialect.CHAT, {"messages": [user("hi")], "prompt_cache_retention": "24h"}, Said(options=True)),
    (Dialect.RESPONSES, {"input": "hi", "prompt_cache_options": {"mode": "explicit"}}, Said(options=True)),
    (Dialect.RESPONSES, {"input": [user([{"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}}])]},
     Said(marks=(Mark(0),))),
    (Dialect.CHAT, {"messages": [user([{"type": "text", "text": "t", "cache_control": EPHEMERAL}])]}, Said(marks=(Mark(0),))),
])  # fmt: skip
def test_what_a_client_says(dialect: Dialect, body: dict[str, Any], expected: Said) -> None:
    assert found_in(ask_of(body, dialect)) == expected


def test_marks_stand_on_the_last_block_that_may_carry_one() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "x"}
    call = {"type": "tool_use", "id": "t", "name": "a", "input": {"cache_control": 1}}
    body = {
        "tools": [{"name": "a", "input_schema": {}}],
        "system": "be kind",
        "messages": [
            user("one"),
            {"role": "assistant", "content": [call, thinking, {"type": "text", "text": ""}]},
            user("three"),
        ],
    }
    ask, placed = marked(ask_of(body), Mark(0, "1h"), Mark(1), Mark(3), Mark(4))
    assert [mark.place for mark in placed] == [0, 1, 3, 4]
    sent = json.loads(ask.body)
    assert sent["tools"][-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert sent["system"] == [{"type": "text", "text": "be kind", "cache_control": EPHEMERAL}]
    assert sent["messages"][0]["content"] == [{"type": "text", "text": "one"}]
    assert sent["messages"][1]["content"] == [{**call, "cache_control": EPHEMERAL}, thinking, {"type": "text", "text": ""}]
    assert sent["messages"][2]["content"] == [{"type": "text", "text": "three", "cache_control": EPHEMERAL}]
    assert found_in(ask).marks == (Mark(0, "1h"), Mark(1), Mark(3), Mark(4))


@pytest.mark.parametrize("message", [
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
    {"role": "user", "content": []},
    {"role": "user", "content": ""},
    {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": None}]},
    {"role": "user"},
])  # fmt: skip
def test_a_message_without_a_place_keeps_its_bytes(message: dict[str, Any]) -> None:
    before = ask_of({"messages": [message]})
    after, placed = marked(before, Mark(0))
    assert placed == () and after.body == before.body


def test_a_deferred_tool_carries_no_mark() -> None:
    before = ask_of({"tools": [{"name": "a", "defer_loading": True}], "messages": [user("x")]})
    after, placed = marked(before, Mark(0))
    assert placed == () and after.body == before.body


def test_breakpoints_of_chat_and_responses() -> None:
    mode = {"mode": "explicit"}
    chat = ask_of({"tools": [{"type": "function"}], "messages": [{"role": "system", "content": "s"}, user("u")]}, Dialect.CHAT)
    ask, placed = marked(chat, Mark(0), Mark(1), marker=BREAKPOINT)
    assert placed == (Mark(1),)  # a tool carries none
    assert json.loads(ask.body)["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "s", BREAKPOINT: mode}]}, user("u")
    ]  # fmt: skip
    items = [
        {"role": "developer", "content": "d"},
        {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
        {"role": "assistant", "content": "a"},
        user([{"type": "input_text", "text": "u"}]),
    ]
    ask, placed = marked(ask_of({"instructions": "i", "input": items}, Dialect.RESPONSES), Mark(2), Mark(4), marker=BREAKPOINT)
    assert placed == (Mark(4),)
    assert json.loads(ask.body)["input"] == [
        {"role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        *items[1:3],
        user([{"type": "input_text", "text": "u", BREAKPOINT: mode}]),
    ]
    plain = ask_of({"input": "all in one"}, Dialect.RESPONSES)
    assert marked(plain, Mark(0), marker=BREAKPOINT)[0].body == plain.body


def test_a_message_with_a_member_twice_is_left_for_others_to_refuse() -> None:
    ask = parse(Dialect.MESSAGES, b'{"model":"m","max_tokens":1,"messages":[{"role":"user","role":"user","content":"x"}]}')
    assert mark_edit(ask.fields, ask.dialect, CACHE_CONTROL, [Mark(0)]) == ({}, ())


TEXTS = st.text(max_size=6) | st.just('"},{"cache_control":1')
BLOCKS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}), min_size=1, max_size=3)
MESSAGES = st.lists(st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), TEXTS | BLOCKS),
                    min_size=1, max_size=5)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional={"system": TEXTS | BLOCKS, "tools": st.lists(st.fixed_dictionaries({"name": TEXTS}), min_size=1, max_size=2)},
)
SPELLED = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}])


def bare(sent: bytes, original: bytes) -> bytes:
    """A message as it came, from what was sent of it: our marks out, and a plain text out of its block."""
    rest = MARKED.sub(b"", sent)
    if rest == original:
        return rest
    fields = read_fields(original) if original[:1] == b"{" else {}
    content = bytes(fields.get("content", msgspec.Raw(original)))
    return rest.replace(b'[{"type":"text","text":' + content + b"}]", content, 1)


@settings(max_examples=120, deadline=None)
@given(BODIES, SPELLED, st.sets(st.integers(0, 6), max_size=4))
def test_without_our_marks_the_clients_bytes_are_there(body: dict[str, Any], spelled: dict[str, Any], places: set[int]) -> None:
    before = ask_of(body, **spelled)
    after, placed = marked(before, *[Mark(place, "1h" if place < 2 else "") for place in sorted(places)])
    assert [bare(new, old) for new, old in zip(after.messages, before.messages, strict=True)] == list(before.messages)
    untouched = [name for name in before.fields if name not in ("tools", "system", "messages")]
    assert all(bytes(after.fields[name]) == bytes(before.fields[name]) for name in untouched)
    assert list(after.fields) == list(before.fields)
    assert found_in(after).marks == placed
    # To a person, and to what finds conversations again, nothing changed (but for tools, which are compared by their bytes).
    head = 1 if "tools" in body else 0
    assert identity_links(SECRET, after.messages[head:]) == identity_links(SECRET, before.messages[head:])
    if not placed:
        assert after.body == before.body


@settings(max_examples=60, deadline=None)
@given(BODIES, SPELLED, st.data())
def test_a_message_keeps_its_bytes_when_the_marks_move_on(
    body: dict[str, Any], spelled: dict[str, Any], data: st.DataObject
) -> None:
    whole = ask_of(body, **spelled)
    count = len(whole.messages)
    first = data.draw(st.integers(0, count - 1))
    later = data.draw(st.integers(first, count - 1))
    one, placed = marked(whole, Mark(first))
    two, then = marked(whole, Mark(later))
    if placed and then:
        for place in range(first + 1):
            assert MARKED.sub(b"", one.messages[place]) == MARKED.sub(b"", two.messages[place])


MARK = b'"cache_control":{"type":"ephemeral"}'
SCOPED = b'"cache_control": {"type": "ephemeral", "scope": {"a": 1}, "ttl": "1h"}'


@pytest.mark.parametrize(("message", "bare"), [
    (b'{"role":"user","content":"x"}', b'{"role":"user","content":"x"}'),
    (b'{"role":"user","content":[{"type":"text","text":"x",%b}]}' % MARK, b'{"role":"user","content":"x"}'),
    (b'{"role": "user", "content": [{"type": "text", "text": "[\\\\\\"]", %b}]}' % SCOPED, b'{"role": "user", "content": "[\\\\\\"]"}'),
    (b'{"role":"user","content":[{%b,"type":"text","text":"x"}]}' % MARK, b'{"role":"user","content":"x"}'),
    (b'[{"type":"text","text":"be kind",%b}]' % MARK, b'"be kind"'),
    (b'[{"type":"text","text":"x"},{"type":"text","text":"y",%b}]' % MARK, b'[{"type":"text","text":"x"},{"type":"text","text":"y"}]'),
    (b'[{"name":"a","input_schema":{},%b}]' % MARK, b'[{"name":"a","input_schema":{}}]'),
    (b'{"role":"user","content":"say \\"cache_control\\": {}, please"}', b'{"role":"user","content":"say \\"cache_control\\": {}, please"}'),
])  # fmt: skip
def test_what_a_cache_knows_a_message_by(message: bytes, bare: bytes) -> None:
    assert without_marks(message) == bare


@pytest.mark.parametrize(("message", "count"), [
    (b'"you are kind"', 1),
    (b'[{"name":"a"},{"name":"b"}]', 2),
    (b'{"role":"user","content":"x"}', 1),
    (b'{"role":"user","content":[]}', 1),
    (b'{"role":"user","content":[{"type":"text","text":"[,"},{"type":"image"},{}]}', 3),
    (b'{"type":"function_call","name":"n"}', 1),
    (b'{"role":"user","content":', 1),
])  # fmt: skip
def test_blocks_are_counted_as_a_look_back_does(message: bytes, count: int) -> None:
    assert blocks_in(message) == count
