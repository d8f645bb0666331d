"""What an agent did, read from real messages of the three dialects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Dialect
from jevons.core.chain import loop_key
from jevons.wire.calls import Call, Part, Result, Said, parts

CHAT, RESPONSES, MESSAGES = Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES


def read(dialect: Dialect, message: Any) -> tuple[Part, ...]:
    return parts(dialect, json.dumps(message).encode())


def test_chat() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    assert read(CHAT, {"role": "user", "content": "hi"}) == (Said("user", "hi"),)
    assert read(CHAT, {"role": "assistant", "content": "ho"}) == (Said("assistant", "ho"),)
    assert read(CHAT, {"role": "assistant", "content": None, "tool_calls": [call]}) == (
        Call("c1", "weather", '{"city": "Rome"}'),
    )
    said, called = read(CHAT, {"role": "assistant", "content": "Let me look.", "tool_calls": [call]})
    assert said == Said("assistant", "Let me look.")
    assert called == Call("c1", "weather", '{"city": "Rome"}')
    assert read(CHAT, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}) == (Result("c1", "sunny"),)


def test_chat_custom_tools_and_functions_of_old() -> None:
    custom = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    assert read(CHAT, {"role": "assistant", "tool_calls": [custom]}) == (Call("c2", "sql", "SELECT 1"),)
    function = {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}}
    assert read(CHAT, function) == (Call("now", "now", "{}"),)
    assert read(CHAT, {"role": "function", "name": "now", "content": "12:00"}) == (Result("now", "12:00"),)


def test_an_answer_without_text_or_calls_was_said_too() -> None:
    assert read(CHAT, {"role": "assistant", "content": None}) == (Said("assistant", ""),)
    assert read(CHAT, {"role": "assistant", "refusal": "I cannot."}) == (Said("assistant", "I cannot."),)
    assert read(MESSAGES, {"role": "assistant", "content": []}) == (Said("assistant", ""),)


def test_messages() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a.py"}}
    text = {"type": "text", "text": "Let me read."}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    answer = {"role": "assistant", "content": [thinking, text, use]}
    assert read(MESSAGES, answer) == (Said("assistant", "Let me read."), Call("t1", "Read", {"path": "a.py"}))
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "x = 1"}]}
    assert read(MESSAGES, {"role": "user", "content": [result]}) == (Result("t1", [{"type": "text", "text": "x = 1"}]),)
    both = {"role": "user", "content": [result, {"type": "text", "text": "<system-reminder>"}]}
    assert {type(part) for part in read(MESSAGES, both)} == {Said, Result}
    assert read(MESSAGES, {"role": "user", "content": "hi"}) == (Said("user", "hi"),)


def test_messages_tools_of_the_provider() -> None:
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "jevons"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]}
    assert read(MESSAGES, {"role": "assistant", "content": [search, found]}) == (
        Call("s1", "web_search", {"query": "jevons"}),
        Result("s1", [{"type": "web_search_result", "url": "u"}]),
    )


def test_responses() -> None:
    user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert read(RESPONSES, user) == (Said("user", "hi"),)
    assert read(RESPONSES, {"role": "user", "content": "hi"}) == (Said("user", "hi"),)
    assistant = {"role": "assistant", "content": [{"type": "output_text", "text": "ho"}], "type": "message", "id": "m"}
    assert read(RESPONSES, assistant) == (Said("assistant", "ho"),)
    call = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
    assert read(RESPONSES, call) == (Call("c1", "f", "{}"),)
    assert read(RESPONSES, {"type": "function_call_output", "call_id": "c1", "output": "ok"}) == (Result("c1", "ok"),)


@pytest.mark.parametrize(("item", "part"), [
    ({"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"}, Call("c", "apply_patch", "*** Begin")),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "done"}, Result("c", "done")),
    ({"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}}, Call("c", "local_shell_call", {"command": ["ls"]})),
    ({"type": "local_shell_call_output", "call_id": "c", "output": "a.py"}, Result("c", "a.py")),
    ({"type": "computer_call", "call_id": "c", "action": {"type": "click"}}, Call("c", "computer_call", {"type": "click"})),
    ({"type": "web_search_call", "id": "ws", "action": {"query": "q"}}, Call("ws", "web_search_call", {"query": "q"})),
    ({"type": "file_search_call", "id": "fs", "queries": ["q"]}, Call("fs", "file_search_call", ["q"])),
    ({"type": "image_generation_call", "id": "ig", "result": "…"}, Call("ig", "image_generation_call", None)),
])  # fmt: skip
def test_responses_items(item: Any, part: Part) -> None:
    assert read(RESPONSES, item) == (part,)


def test_a_call_of_the_provider_has_its_result_with_it() -> None:
    call = {"type": "mcp_call", "id": "m1", "server_label": "s", "name": "roll", "arguments": "{}", "output": "4", "error": None}
    assert read(RESPONSES, call) == (Call("m1", "roll", "{}"), Result("m1", "4"))


def test_codex_ids_and_durations_do_not_count() -> None:
    """Its commands begin their output with what differs every time; polling an unchanged session is still the same call."""

    def key(head: str) -> bytes:
        output = head + "Process running with session ID 55249\nOriginal token count: 2\nOutput:\n500/700\n"
        [result] = read(RESPONSES, {"type": "function_call_output", "call_id": "c", "output": output})
        assert isinstance(result, Result)
        return loop_key(b"s" * 32, "write_stdin", '{"session_id": 55249}', result.content)

    same = {key("Chunk ID: 07acea\nWall time: 5.0019 seconds\n"), key("Chunk ID: 8b1f00\nWall time: 5.0007 seconds\n"), key("")}
    assert len(same) == 1
    assert key("Wall time: 1.0 seconds\n") in same
    assert key("Wall clock: 1.0 seconds\n") not in same


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES])
def test_an_image_is_part_of_what_was_said(dialect: Dialect) -> None:
    """Many images with one question are batch work, not a question asked again."""

    def said(data: str, **mark: Any) -> Part:
        content = [{"type": "text", "text": "Any defect?"}, {"type": "image", "source": {"data": data}, **mark}]
        [part] = read(dialect, {"role": "user", "content": content})
        return part

    assert said("a") != said("b")
    assert said("a") == said("a", cache_control={"type": "ephemeral"})


@pytest.mark.parametrize(("dialect", "message"), [
    (CHAT, [{"type": "function", "function": {"name": "f", "parameters": {}}}]),
    (CHAT, {"role": "system", "content": "You are"}),
    (CHAT, {"role": "developer", "content": "You are"}),
    (CHAT, {"content": "hi"}),
    (MESSAGES, "You are"),
    (MESSAGES, [{"type": "text", "text": "You are"}]),
    (MESSAGES, {"role": "system", "content": "a turn has begun"}),
    (RESPONSES, "You are"),
    (RESPONSES, {"type": "message", "role": "developer", "content": "You are"}),
    (RESPONSES, {"type": "reasoning", "summary": [], "encrypted_content": "…"}),
    (RESPONSES, {"type": "item_reference", "id": "i"}),
    (RESPONSES, {"type": 7}),
    (Dialect.EMBEDDINGS, {"role": "user", "content": "hi"}),
    (Dialect.COUNT_TOKENS, {"role": "user", "content": "hi"}),
])  # fmt: skip
def test_what_is_no_act(dialect: Dialect, message: Any) -> None:
    assert read(dialect, message) == ()


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("raw", [b"", b"{", b'{"role": "\\ud800"}', b"\xff", b"[" * 5000, b"null", b"7"])
def test_what_cannot_be_read(dialect: Dialect, raw: bytes) -> None:
    assert parts(dialect, raw) == ()


WORDS = st.sampled_from(
    ["role", "type", "content", "tool_calls", "id", "call_id", "function", "name", "text", "arguments", "output", "input"]
)
KINDS = st.sampled_from(
    ["user", "assistant", "tool", "function", "tool_use", "tool_result", "text", "function_call", "mcp_call", "x_output"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | KINDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6), max_leaves=12
)


@given(st.sampled_from(list(Dialect)), st.dictionaries(WORDS, VALUES, max_size=8))
def test_odd_shapes_raise_nothing_and_can_be_keyed(dialect: Dialect, message: dict[str, Any]) -> None:
    for part in read(dialect, message):
        if isinstance(part, Call):
            loop_key(b"s", part.name, part.arguments, None)
        elif isinstance(part, Result):
            loop_key(b"s", part.id, None, part.content)
        else:
            assert part.role in ("user", "assistant")
