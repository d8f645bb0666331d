"""Conversations whose clients write the same messages anew each turn are followed too; the old ones are not read where bytes match."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.chain import chain, identity_links
from jevons.core.limits import IDENTITY_BYTES_MAX, IDENTITY_NEW_BYTES_MAX
from jevons.gateway.conversations import Conversations, Trace

SECRET = b"s" * 32
MARK = {"type": "ephemeral"}
Message = dict[str, Any]


def block(text: str, *, marked: bool = False) -> Message:
    return {"type": "text", "text": text} | ({"cache_control": MARK} if marked else {})


def as_said(messages: list[Message]) -> list[Any]:
    """Most clients: the same bytes again."""
    return messages


def marks_the_last(messages: list[Message]) -> list[Any]:
    """Claude Code: the last message is a list of one marked block, and a string from the next turn on; so are system blocks, for good."""
    *earlier, last = messages
    system = [block("You are an agent.", marked=True)]
    return [system, *earlier, {"role": last["role"], "content": [block(last["content"], marked=True)]}]


def marks_two(messages: list[Message]) -> list[Any]:
    """opencode on Messages: the last two are marked, all are lists."""
    wrapped = [
        {"role": m["role"], "content": [block(m["content"], marked=n >= len(messages) - 2)]} for n, m in enumerate(messages)
    ]
    return [{"name": "read", "input_schema": {}}, *wrapped]


def reorders(messages: list[Message]) -> list[Any]:
    """Whoever builds its objects anew: another order of members in every other request."""
    return [dict(reversed(m.items())) if len(messages) % 4 == 1 else m for m in messages]


STYLES = [as_said, marks_the_last, marks_two, reorders]


class Door:
    """What the gateway does with a request that names no run."""

    def __init__(self, memo_entries_max: int = 1000) -> None:
        self.conversations = Conversations(SECRET, memo_entries_max=memo_entries_max)
        self.runs = 0

    def trace(self, messages: list[Any], key: int = 1) -> Trace:
        raw = [json.dumps(message).encode() for message in messages]
        return self.conversations.trace(key, raw, chain(SECRET, raw), 0)

    def ask(self, messages: list[Any], key: int = 1) -> tuple[str, str | None]:
        trace = self.trace(messages, key)
        found = trace.found
        parent = None
        if found is not None and found.kind == "continues":
            run = found.run_id
        else:
            self.runs += 1
            run, parent = f"key{key}-{self.runs}", found.run_id if found is not None else None
        self.conversations.remember(key, run, trace, 0)
        return run, parent


def turns(name: str, count: int) -> list[Message]:
    """`count` user messages with the answers between them."""
    roles = ["user", "assistant"] * count
    return [{"role": role, "content": f"{name} {n}"} for n, role in enumerate(roles[:-1])]


@pytest.mark.parametrize("style", STYLES)
def test_a_conversation_is_one_run_however_its_client_writes(style: Callable[[list[Message]], list[Any]]) -> None:
    door = Door()
    asked = [door.ask(style(turns("a", count))) for count in range(1, 9)]
    assert asked == [("key1-1", None)] * 8
    branch = [*turns("a", 4), {"role": "assistant", "content": "other"}, {"role": "user", "content": "way"}]
    assert door.ask(style(branch)) == ("key1-2", "key1-1")
    assert door.ask(style([*branch, *turns("b", 2)[1:]])) == ("key1-2", None)
    assert door.ask(style(turns("a", 9))) == ("key1-1", None)
    assert door.ask(style(turns("a", 9)), key=2) == ("key2-3", None)


def test_a_conversation_whose_first_requests_had_no_marks_yet() -> None:
    """Its unmarked opening matches byte for byte, and says less than what people would call the same."""
    door = Door()
    asked = [door.ask(turns("a", 1)), door.ask(marks_the_last(turns("a", 2))[1:]), door.ask(marks_the_last(turns("a", 3))[1:])]
    assert asked == [("key1-1", None)] * 3


def test_a_session_in_the_system_text_does_not_part_a_conversation() -> None:
    door = Door()

    def sent(session: str, count: int) -> list[Any]:
        return [
            [block(f"x-anthropic-billing-header: cc_version=2.1.330.{session};"), block("You are an agent.")],
            *turns("a", count),
        ]

    assert door.ask(sent("a1f", 1)) == door.ask(sent("b2e", 2)) == ("key1-1", None)


class Unread:
    """A message that nobody may look at."""


def test_where_bytes_match_old_messages_are_not_read() -> None:
    conversations = Conversations(SECRET, memo_entries_max=4)
    raw = [json.dumps(message).encode() for message in turns("a", 50)]
    trace = conversations.trace(1, raw, chain(SECRET, raw), 0)
    conversations.remember(1, "r", trace, 0)
    longer = raw + [json.dumps(message).encode() for message in turns("b", 1)]
    unread: list[Any] = [Unread()] * len(raw)
    trace = conversations.trace(1, unread + longer[len(raw) :], chain(SECRET, longer), 0)
    assert trace.found is not None
    assert (trace.found.run_id, trace.found.kind, trace.found.length) == ("r", "continues", len(raw))
    assert trace.identity == identity_links(SECRET, longer)[-1]
    again = conversations.trace(1, unread, chain(SECRET, raw), 0)
    assert (again.found, again.identity) == (trace.found, identity_links(SECRET, raw)[-1])


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=12), st.integers(1, 6))
def test_the_memory_changes_nothing(texts: list[str], memo: int) -> None:
    conversations = Conversations(SECRET, memo_entries_max=memo)
    raw = [json.dumps({"role": "user", "content": text}).encode() for text in texts]
    expected = identity_links(SECRET, raw)
    for _ in range(2):
        assert conversations.identity_links(raw, chain(SECRET, raw).digests) == expected
        assert len(conversations) <= max(2, memo)


def test_a_message_in_both_generations_is_kept_by_use() -> None:
    conversations = Conversations(SECRET, memo_entries_max=4)
    often = b'"often"'
    for n in range(9):
        raw = [often, str(n).encode()]
        assert conversations.identity_links(raw, chain(SECRET, raw).digests) == identity_links(SECRET, raw)
    unread: list[Any] = [Unread()]
    assert conversations.identity_links(unread, chain(SECRET, [often]).digests) == identity_links(SECRET, [often])


def test_a_very_long_message_is_the_same_only_as_its_own_bytes() -> None:
    long = {"role": "user", "content": "x" * IDENTITY_BYTES_MAX}
    door = Door()
    assert door.ask([long]) == door.ask([long, *turns("a", 1)]) == ("key1-1", None)
    assert door.ask(marks_the_last([long])[1:]) == ("key1-2", None)
    short = {"role": "user", "content": "x" * (IDENTITY_BYTES_MAX - 100)}
    assert door.ask([short]) == door.ask(marks_the_last([short])[1:]) == ("key1-3", None)


def test_of_a_long_unknown_history_the_latest_messages_are_read() -> None:
    """Those are what a client writes anew in the next request."""
    size = IDENTITY_BYTES_MAX // 2
    said = [{"role": "user", "content": f"{n} {'x' * size}"} for n in range(2 * IDENTITY_NEW_BYTES_MAX // size)]
    door = Door()
    assert door.ask(marks_the_last(said)) == ("key1-1", None)
    assert door.ask(marks_the_last([*said, *turns("a", 1)])) == ("key1-1", None)
    raw = [json.dumps(message).encode() for message in said]
    digests = chain(SECRET, raw).digests
    fresh = Conversations(SECRET)
    assert fresh.identity_links(raw, digests) != identity_links(SECRET, raw)
    assert fresh.identity_links(raw, digests) == fresh.identity_links(raw, digests), (
        "what was not read once stays so while it is known"
    )


def test_what_is_no_json_is_the_same_as_its_own_bytes() -> None:
    conversations = Conversations(SECRET)
    raw = [b"{", b"\xff", b'{"role"']
    trace = conversations.trace(1, raw, chain(SECRET, raw), 0)
    assert trace.found is None
    conversations.remember(1, "r", trace, 0)
    found = conversations.trace(1, raw, chain(SECRET, raw), 0).found
    assert found is not None
    assert found.run_id == "r"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=40))
def test_many_at_once_keep_one_run_each(steps: list[tuple[int, bool]]) -> None:
    """Eight conversations of four kinds of client under two keys, in any order, some requests sent twice."""
    door = Door(memo_entries_max=8)
    counts, runs = [0] * 8, [""] * 8
    for which, twice in steps:
        counts[which] += 1
        for _ in range(2 if twice else 1):
            run, parent = door.ask(STYLES[which % 4](turns(f"talk {which}", counts[which])), key=1 + which // 4)
            assert parent is None
            assert run == (runs[which] or run)
            runs[which] = run
    started = [run for run in runs if run]
    assert len(set(started)) == len(started)
