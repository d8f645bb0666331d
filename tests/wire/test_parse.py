"""Bytes of a request as policy sees them, in every dialect."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.limits import OUTPUT_TOKENS_MAX
from jevons.core.refusal import Refusal
from jevons.wire.parse import SERVER_TOOLS, parse

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": [USER]}
MESSAGES: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [USER]}
RESPONSES: dict[str, Any] = {"model": "gpt-4o", "input": "hi"}
SMALLEST = {
    Dialect.CHAT: CHAT,
    Dialect.MESSAGES: MESSAGES,
    Dialect.RESPONSES: RESPONSES,
    Dialect.EMBEDDINGS: {"model": "e", "input": "hi"},
    Dialect.COUNT_TOKENS: {"model": "c", "messages": [USER]},
}


def asked(dialect: Dialect, **changes: Any) -> Ask:
    return parse(dialect, json.dumps(SMALLEST[dialect] | changes).encode())


def asked_or_refused(dialect: Dialect, **changes: Any) -> Ask | Refusal:
    try:
        return asked(dialect, **changes)
    except Refusal as refusal:
        return refusal


def refused(dialect: Dialect, **changes: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        asked(dialect, **changes)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("dialect", list(Dialect))
def test_the_smallest_request(dialect: Dialect) -> None:
    ask = asked(dialect)
    assert (ask.dialect, ask.model, ask.stream, ask.choices) == (dialect, SMALLEST[dialect]["model"], False, 1)
    assert [json.loads(message) for message in ask.messages] == ([USER] if "messages" in SMALLEST[dialect] else ["hi"])
    assert (ask.server_tools, ask.remote_context, ask.reasons, ask.thinking_budget) == ((), False, False, 0)
    assert ask.stored == (dialect is Dialect.RESPONSES)


def test_parts_stand_in_the_order_of_caching() -> None:
    """Tools, system, messages, wherever they stand in the body."""
    ask = asked(Dialect.MESSAGES, system="be brief", tools=[{"name": "t"}])
    assert [json.loads(part) for part in ask.messages] == [[{"name": "t"}], "be brief", USER]
    ask = asked(Dialect.RESPONSES, instructions="be brief", tools=[{"type": "function"}], input=[USER, USER])
    assert [json.loads(part) for part in ask.messages] == [[{"type": "function"}], "be brief", USER, USER]
    ask = asked(Dialect.CHAT, tools=[1], functions=[2], response_format={"type": "json_object"})
    assert [json.loads(part) for part in ask.messages] == [[1], [2], USER]
    assert [json.loads(part) for part in ask.extras] == [{"type": "json_object"}]
    assert asked(Dialect.MESSAGES, system=None, tools=None).messages == asked(Dialect.MESSAGES).messages


@given(st.none() | st.integers(1, 10**6), st.none() | st.integers(1, 10**6))
def test_the_largest_cap_counts(one: int | None, other: int | None) -> None:
    ask = asked(Dialect.CHAT, max_tokens=one, max_completion_tokens=other)
    assert ask.output_cap == max((cap for cap in (one, other) if cap is not None), default=None)


@pytest.mark.parametrize(
    ("dialect", "field"),
    [(Dialect.CHAT, "max_completion_tokens"), (Dialect.RESPONSES, "max_output_tokens"), (Dialect.MESSAGES, "max_tokens")],
)
@pytest.mark.parametrize("cap", [0, -1, OUTPUT_TOKENS_MAX + 1, 2**70, 1.5, "1", True, [1]])
def test_caps_that_are_none(dialect: Dialect, field: str, cap: Any) -> None:
    assert refused(dialect, **{field: cap}).message.startswith(field.replace("max_completion_tokens", "max_"))


@pytest.mark.parametrize("n", [0, -1, 129, 1.5, "2"])
def test_n_that_is_none(n: Any) -> None:
    assert refused(Dialect.CHAT, n=n).param == "n"


def test_what_switches_hidden_output_on() -> None:
    assert asked(Dialect.CHAT, reasoning_effort="low").reasons
    assert asked(Dialect.RESPONSES, reasoning={"effort": "low"}).reasons
    assert not asked(Dialect.CHAT, reasoning_effort=None).reasons
    enabled = asked(Dialect.MESSAGES, thinking={"type": "enabled", "budget_tokens": 2000})
    assert (enabled.reasons, enabled.thinking_budget) == (True, 2000)
    adaptive = asked(Dialect.MESSAGES, thinking={"type": "adaptive"})
    assert (adaptive.reasons, adaptive.thinking_budget) == (True, 0)
    disabled = asked(Dialect.MESSAGES, thinking={"type": "disabled", "budget_tokens": 2000})
    assert (disabled.reasons, disabled.thinking_budget) == (False, 0)
    assert refused(Dialect.MESSAGES, thinking={"type": "enabled", "budget_tokens": -1}).param == "thinking"
    assert refused(Dialect.MESSAGES, thinking=[]).param == "thinking"


@pytest.mark.parametrize("kind", [kind for kind, unit in SERVER_TOOLS.items() if unit])
@pytest.mark.parametrize("escaped", [False, True])
def test_priced_tools_and_their_bounds(kind: str, escaped: bool) -> None:
    """One tool's own bound, or the request's; none is said as none. However its type is spelt."""

    def tools(dialect: Dialect, **changes: Any) -> tuple[tuple[str, int | None], ...]:
        body = json.dumps(SMALLEST[dialect] | changes)
        if escaped:
            body = body.replace(f'"{kind}', '"' + "".join(f"\\u{ord(c):04x}" for c in kind))
        return parse(dialect, body.encode()).server_tools

    unit = SERVER_TOOLS[kind]
    assert tools(Dialect.MESSAGES, tools=[{"type": f"{kind}_20250305", "max_uses": 3}]) == ((unit, 3),)
    assert tools(Dialect.MESSAGES, tools=[{"type": kind}]) == ((unit, None),)
    assert tools(Dialect.RESPONSES, tools=[{"type": kind}, {"type": "function"}], max_tool_calls=5) == ((unit, 5),)
    assert tools(Dialect.RESPONSES, tools=[{"type": "function", "name": kind}]) == ()


@pytest.mark.parametrize("bound", [-1, 10**9])
def test_bounds_that_are_none(bound: int) -> None:
    assert refused(Dialect.MESSAGES, tools=[{"type": "web_search", "max_uses": bound}]).param == "tools"
    assert refused(Dialect.RESPONSES, tools=[{"type": "web_search"}], max_tool_calls=bound).param == "tools"


def test_what_cannot_be_seen_from_here() -> None:
    assert asked(Dialect.RESPONSES, previous_response_id="resp_1").remote_context
    assert asked(Dialect.RESPONSES, prompt={"id": "p"}).remote_context
    assert asked(Dialect.RESPONSES, conversation="c").remote_context
    assert asked(Dialect.MESSAGES, mcp_servers=[{}]).remote_context
    part = {"type": "input_file", "file_id": "f"}
    assert asked(Dialect.RESPONSES, input=[{"role": "user", "content": [part]}]).remote_context
    assert not asked(Dialect.RESPONSES, input='a text with "file_id" in it', previous_response_id=None).remote_context


@pytest.mark.parametrize("text", [b'"\\ud83d"', b'"\\u0041 \\ud83d"', b'"\\ude42\\ud83d"', b'{"a\\ud83d": 1}'])
def test_half_an_emoji_is_refused(text: bytes) -> None:
    """What is left when a client cuts a string inside of a surrogate pair is no character: providers refuse it too."""
    for dialect, body in (
        (Dialect.RESPONSES, b'{"model": "gpt-4o", "input": %s}'),
        (Dialect.CHAT, b'{"model": "gpt-4o", "messages": [%s]}'),
    ):
        with pytest.raises(Refusal) as caught:
            parse(dialect, body % text)
        assert (caught.value.status, caught.value.code) == (400, "invalid_json")


@pytest.mark.parametrize("dialect", list(Dialect))
@given(st.data())
def test_bytes_that_are_no_text(dialect: Dialect, data: st.DataObject) -> None:
    """Broken UTF-8 anywhere, and any other damage: a refusal, or a request that is one all the same."""
    body = bytearray(
        json.dumps(SMALLEST[dialect] | {"tools": [{"type": "web_search"}], "stream": True, "service_tier": "auto"}).encode()
    )
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=3)):
        body[place] = data.draw(st.integers(0, 255))
    try:
        found: Ask | Refusal = parse(dialect, bytes(body))
    except Refusal as refusal:
        found = refusal
    assert isinstance(found, Ask) or found.status == 400


def test_what_a_client_asks_of_a_stream() -> None:
    assert asked(Dialect.CHAT, stream=True).include_usage is False
    assert asked(Dialect.CHAT, stream=True, stream_options={"include_usage": True}).include_usage
    assert not asked(Dialect.CHAT, stream=None, stream_options=None).stream
    assert refused(Dialect.CHAT, stream=1).param == "stream"


def test_stored_answers() -> None:
    assert not asked(Dialect.RESPONSES, store=False).stored
    assert asked(Dialect.RESPONSES, store=None).stored
    assert refused(Dialect.RESPONSES, background=True).param == "background"
    assert asked(Dialect.RESPONSES, background=False).stored


@pytest.mark.parametrize("model", ["", "x" * 257, "a\nb", "a\r\nb: c", "a\x00b", 5, None])
def test_model_names_that_are_none(model: Any) -> None:
    assert refused(Dialect.CHAT, model=model).param == "model"


@pytest.mark.parametrize("dialect", list(Dialect))
@given(st.data())
def test_whatever_comes_is_an_ask_or_a_refusal(dialect: Dialect, data: st.DataObject) -> None:
    """Any JSON in any member that policy reads."""
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from(["type", "max_uses", "content"]), v, max_size=2),
    )
    names = st.sampled_from([
        "model", "messages", "input", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "stream", "stream_options", "tools", "thinking",
        "system", "service_tier", "previous_response_id", "store", "background", "max_tool_calls", "response_format", "web_search_options", "reasoning",
    ])  # fmt: skip
    changes = data.draw(st.dictionaries(names, value, max_size=4))
    found = asked_or_refused(dialect, **changes)
    if isinstance(found, Refusal):
        assert found.status == 400
        assert found.message
    else:
        assert found.choices >= 1
        assert found.output_cap is None or 1 <= found.output_cap <= OUTPUT_TOKENS_MAX
        assert all(bound is None or bound >= 0 for _, bound in found.server_tools)
