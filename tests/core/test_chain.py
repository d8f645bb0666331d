"""The message chain: equal prefixes, equal messages, equal loops."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.chain import chain, identity, identity_links, links_after, loop_key

SECRET, OTHER = b"s" * 32, b"t" * 32


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def same(a: Any, b: Any) -> bool:
    return identity(SECRET, raw(a)) == identity(SECRET, raw(b))


@given(st.lists(st.binary(max_size=9), max_size=6), st.lists(st.binary(max_size=9), max_size=6))
def test_links_are_equal_exactly_as_far_as_the_prefix(a: list[bytes], b: list[bytes]) -> None:
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    left, right = chain(SECRET, a).links, chain(SECRET, b).links
    assert left[:shared] == right[:shared]
    assert not set(left[shared:]) & set(right[shared:])
    assert len(left) == len(a)
    assert all(len(link) == 16 for link in left)


@given(st.lists(st.binary(max_size=9), max_size=6), st.lists(st.binary(max_size=9), max_size=6))
def test_links_go_on_from_where_they_ended(first: list[bytes], then: list[bytes]) -> None:
    whole = chain(SECRET, first + then)
    added = links_after(SECRET, whole.digests[len(first) :], chain(SECRET, first).head)
    assert chain(SECRET, first).links + added == whole.links


def test_a_border_between_messages_counts() -> None:
    assert chain(SECRET, [b"ab", b"c"]).head != chain(SECRET, [b"a", b"bc"]).head
    assert chain(SECRET, [b"abc"]).head != chain(SECRET, [b"abc", b""]).head


def test_another_installation_has_other_links() -> None:
    assert chain(SECRET, [b"a"]).head != chain(OTHER, [b"a"]).head
    assert identity(SECRET, b'"a"') != identity(OTHER, b'"a"')
    assert loop_key(SECRET, "t", {}, "") != loop_key(OTHER, "t", {}, "")


def test_a_digest_knows_one_message_only() -> None:
    one, two = chain(SECRET, [b"a", b"b"]), chain(SECRET, [b"x", b"b"])
    assert one.digests[1] == two.digests[1]
    assert one.links[1] != two.links[1]
    assert chain(SECRET, []).head == bytes(16)


def test_cache_control_may_move() -> None:
    """Claude Code marks the last message of each turn, and unwraps it the next time."""
    marked = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}
    assert same(marked, {"role": "user", "content": "hi"})
    assert chain(SECRET, [raw(marked)]).links != chain(SECRET, [raw({"role": "user", "content": "hi"})]).links
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok", "cache_control": {}}]}
    plain = {"type": "tool_result", "tool_use_id": "t1", "content": "ok", "cache_control": {"type": "ephemeral"}}
    assert same({"role": "user", "content": [result]}, {"role": "user", "content": [plain]})


def test_the_billing_header_of_claude_code_does_not_count() -> None:
    header = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.a1b; cc_entrypoint=cli;"}
    prompt = {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}
    assert same([header, prompt], [{"type": "text", "text": "You are Claude Code."}])
    assert same([header, prompt], "You are Claude Code.")


def test_dialects_spell_text_differently() -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert same(item, {"role": "user", "content": "hi"})


@pytest.mark.parametrize(("a", "b"), [
    ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hi"}),
    ({"role": "user", "content": "hi"}, {"role": "user", "content": "hi "}),
    ("ab", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
    ({"role": "user", "content": "hi"}, {"role": "user", "content": "hi", "name": "bob"}),
    ({"role": "assistant", "content": None}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}),
    ({"role": "user", "content": [{"type": "image", "source": {"data": "a"}}]},
     {"role": "user", "content": [{"type": "image", "source": {"data": "b"}}]}),
])  # fmt: skip
def test_what_people_would_call_another_message(a: Any, b: Any) -> None:
    assert not same(a, b)


@pytest.mark.parametrize("odd", [7, None, ["bare", 7], {"type": "file", "file_id": "f"}, {"role": "user", "content": {"a": 1}}])
def test_odd_shapes_have_an_identity_too(odd: Any) -> None:
    assert same(odd, odd)
    assert not same(odd, {"role": "user", "content": "hi"})
    assert loop_key(SECRET, "t", odd, odd) != loop_key(SECRET, "t", odd, "hi")


def test_key_order_and_spacing_do_not_count() -> None:
    assert identity(SECRET, b'{"role":"user","content":"hi"}') == identity(SECRET, b'{ "content" : "\\u0068i", "role" : "user" }')


def test_identity_links_follow_a_growing_conversation() -> None:
    first = [raw({"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]})]
    second = [raw({"role": "user", "content": "hi"}), raw({"role": "assistant", "content": "ho"})]
    assert identity_links(SECRET, second)[0] == identity_links(SECRET, first)[0]


@pytest.mark.parametrize("odd", [b"{", b'"\\ud800"', b"\xff", b"[" * 5000, b"1e999"])
def test_what_cannot_be_decoded_is_itself(odd: bytes) -> None:
    assert identity(SECRET, odd) == identity(SECRET, odd)
    assert identity(SECRET, odd) != identity(SECRET, odd + b" ")


def test_loop_key_ignores_ids_order_and_spelling() -> None:
    """OpenAI sends arguments as JSON text, Anthropic as an object; both poll the same thing here."""
    one = loop_key(SECRET, "poll", '{"a": 1, "b": [2]}', "pending")
    two = loop_key(SECRET, "poll", {"b": [2], "a": 1}, [{"type": "text", "text": "pending", "id": "x", "cache_control": {}}])
    assert one == two


@pytest.mark.parametrize("call", [
    ("poll", '{"a": 1}', "done"), ("poll", '{"a": 2}', "pending"), ("pull", '{"a": 1}', "pending"), ("poll", "a: 1", "pending"),
])  # fmt: skip
def test_loop_key_differs_by_tool_arguments_and_result(call: tuple[str, str, str]) -> None:
    assert loop_key(SECRET, *call) != loop_key(SECRET, "poll", '{"a": 1}', "pending")


@pytest.mark.parametrize("kind", [["text"], {"text": 1}, 7, None])
def test_a_block_whose_type_is_no_name_is_read_all_the_same(kind: Any) -> None:
    blocks = [{"role": "user", "content": [{"type": kind, "text": text}]} for text in ("a", "a", "b")]
    assert same(blocks[0], blocks[1]) and not same(blocks[0], blocks[2])
