"""Requests: what stands in no single row of the table, and conversations that survive the way there and back."""

import hashlib
import json
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParams
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

from jevons.core.ask import Dialect
from jevons.core.refusal import Refusal
from jevons.wire.neutral import (
    AnswerSchema,
    Choose,
    Conversation,
    Document,
    Image,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    merged,
)
from jevons.wire.translate import translate_request
from jevons.wire.translate.chat_in import read_chat_request
from jevons.wire.translate.chat_out import write_chat_request
from jevons.wire.translate.messages_in import read_messages_request
from jevons.wire.translate.messages_out import write_messages_request

CHAT, MESSAGES = Dialect.CHAT, Dialect.MESSAGES
USER = [{"role": "user", "content": "hi"}]


def _eager(schema: Any) -> Any:
    """pydantic checks an Iterable only while it is read; as a list it is checked at once."""
    if isinstance(schema, list | tuple):
        return type(schema)(_eager(part) for part in schema)
    if not isinstance(schema, dict):
        return schema
    eager = {key: _eager(value) for key, value in schema.items()}
    return eager | {"type": "list"} if schema.get("type") == "generator" else eager


SDK = {
    dialect: SchemaValidator(_eager(TypeAdapter(parameters).core_schema))
    for dialect, parameters in ((CHAT, CompletionCreateParams), (MESSAGES, MessageCreateParams))
}


def sdk_accepts(body: bytes, dialect: Dialect) -> None:
    """The request has the types that the provider's own SDK declares."""
    SDK[dialect].validate_json(body)


def to_messages(cap: int = 9999, target: str = "claude-sonnet-5", **body: object) -> Any:
    raw = translate_request(json.dumps({"messages": USER} | body).encode(), CHAT, MESSAGES, target, cap)
    sdk_accepts(raw, MESSAGES)
    return json.loads(raw)


def to_chat(**body: object) -> Any:
    raw = translate_request(json.dumps({"messages": USER} | body).encode(), MESSAGES, CHAT, "gpt", 99)
    sdk_accepts(raw, CHAT)
    return json.loads(raw)


def refused(source: Dialect, **body: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        translate_request(json.dumps({"messages": USER} | body).encode(), source, MESSAGES if source is CHAT else CHAT, "m", 99)
    assert caught.value.status == 400
    return caught.value


def test_system_messages_lead_or_stay_in_place() -> None:
    talk = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "now in French"},
    ]
    said = to_messages(messages=talk)
    assert said["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert said["messages"] == [{"role": "user", "content": "hi"}, {"role": "system", "content": "now in French"}]
    assert to_chat(messages=said["messages"])["messages"] == said["messages"]


def test_tool_messages_and_what_follows_become_one_user_turn_with_results_first() -> None:
    calls = [{"id": c, "type": "function", "function": {"name": "f", "arguments": "{}"}} for c in "ab"]
    said = to_messages(
        messages=[
            *USER,
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
            {"role": "user", "content": "go on"},
        ]
    )["messages"]
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
    assert [block["type"] for block in said[1]["content"]] == ["tool_use", "tool_use"]
    assert [block["type"] for block in said[2]["content"]] == ["tool_result", "tool_result", "text"]


def test_results_come_first_also_when_the_client_put_text_before_them() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "out"}
    said = to_chat(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, result]}])["messages"]
    assert said == [{"role": "tool", "tool_call_id": "t", "content": "out"}, {"role": "user", "content": "see"}]
    same = translate_request(
        json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, result]}]}).encode(),
        MESSAGES,
        MESSAGES,
        "m",
        9,
    )
    assert [block["type"] for block in json.loads(same)["messages"][0]["content"]] == ["tool_result", "text"]


def test_images_of_tool_results_move_to_the_user_message_after_them() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [image], "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        {"type": "tool_result", "tool_use_id": "c"},
    ]
    said = to_chat(messages=[{"role": "user", "content": results}])["messages"]
    assert said == [
        {"role": "tool", "tool_call_id": "a", "content": "Error:\nThe result follows in the next user message."},
        {"role": "tool", "tool_call_id": "b", "content": "Error"},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of tool call a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
    ]


def test_empty_text_is_left_out_for_messages_and_kept_for_chat() -> None:
    talk = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "again"}]},
        {"role": "tool", "tool_call_id": "t", "content": ""},
    ]
    assert to_messages(messages=talk)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t"},
                {"type": "text", "text": "hi"},
                {"type": "text", "text": "again"},
            ],
        }
    ]
    assert to_chat(messages=[{"role": "user", "content": []}])["messages"] == [{"role": "user", "content": ""}]


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "x"}], [{"role": "user", "content": ""}], None])
def test_nothing_to_answer_is_refused(messages: object) -> None:
    assert refused(CHAT, messages=messages).param == "messages"


@pytest.mark.parametrize("source", [CHAT, MESSAGES])
def test_a_begun_answer_is_refused(source: Dialect) -> None:
    refusal = refused(source, messages=[*USER, {"role": "assistant", "content": "The answer is ("}])
    assert "prefill" in refusal.message


def test_documents() -> None:
    plain = {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}}
    bare = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "def"},
        "citations": {"enabled": False},
    }
    inner = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [inner]}
    said = to_chat(messages=[{"role": "user", "content": [plain, bare, result]}])["messages"]
    assert said[1]["content"] == [
        {"type": "text", "text": "From the result of tool call t:"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "document.pdf"}},
        {"type": "text", "text": "Notes\n\nabc"},
        {"type": "text", "text": "def"},
    ]


def test_a_deferred_tool_is_sent_once_something_has_loaded_it() -> None:
    tools = [{"name": name, "input_schema": {"type": "object"}, "defer_loading": True} for name in "fg"]
    reference = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference", "tool_name": "g"}]}
    assert "tools" not in to_chat(tools=tools)
    said = to_chat(tools=tools, messages=[{"role": "user", "content": [reference]}])
    assert [tool["function"]["name"] for tool in said["tools"]] == ["g"]


@pytest.mark.parametrize(
    ("chat", "messages"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required", "parallel_tool_calls": False}, {"type": "any", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False},
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_tool_choice_both_ways(chat: dict[str, object], messages: dict[str, object]) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert to_messages(tools=tools, **chat)["tool_choice"] == messages
    back = to_chat(tools=[{"name": "f", "input_schema": {}}], tool_choice=messages)
    assert {key: back.get(key) for key in chat} == chat


def test_parallel_calls_without_tools_or_said_to_be_fine_change_nothing() -> None:
    assert "tool_choice" not in to_messages(parallel_tool_calls=False)
    assert "tool_choice" not in to_messages(parallel_tool_calls=True, tools=[{"type": "function", "function": {"name": "f"}}])
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert to_messages(tools=tools, tool_choice="none", parallel_tool_calls=False)["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("effort", "model", "thinking", "output"),
    [
        ("none", "claude-sonnet-5", {"type": "disabled"}, None),
        ("minimal", "claude-sonnet-5", {"type": "adaptive"}, {"effort": "low"}),
        ("medium", "claude-opus-4-6", {"type": "adaptive"}, {"effort": "medium"}),
        ("max", "claude-opus-4-8-20260528", {"type": "adaptive"}, {"effort": "max"}),
        ("low", "claude-sonnet-4-5-20250929", {"type": "enabled", "budget_tokens": 1024}, None),
        ("medium", "anthropic/claude-3-7-sonnet-latest", {"type": "enabled", "budget_tokens": 8192}, None),
        ("high", "claude-haiku-4-5", {"type": "enabled", "budget_tokens": 9998}, None),
        ("high", "claude-opus-4-20250514", {"type": "enabled", "budget_tokens": 9998}, None),
    ],
)
def test_reasoning_effort(effort: str, model: str, thinking: object, output: object) -> None:
    said = to_messages(target=model, reasoning_effort=effort)
    assert said["thinking"] == thinking
    assert said.get("output_config") == output


def test_a_budget_stays_a_budget_when_a_message_stays_a_message() -> None:
    body = {"messages": USER, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    said = json.loads(translate_request(json.dumps(body).encode(), MESSAGES, MESSAGES, "claude-sonnet-5", 9999))
    assert said["thinking"] == body["thinking"]


def test_what_coding_agents_send_is_translated() -> None:
    """Claude Code 2.1 and opencode 1.18, as captured (research): nothing of it is refused."""
    ephemeral = {"type": "ephemeral", "ttl": "1h"}
    said = to_chat(
        model="claude-sonnet-5",
        max_tokens=128000,
        stream=True,
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;"},
            {"type": "text", "text": "You are Claude Code.", "cache_control": ephemeral},
            {"type": "text", "text": "Be brief.", "cache_control": ephemeral},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "list files"}]},
            {"role": "system", "content": "Plan mode is on.", "output_config": {"effort": "high"}},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "Bash",
                        "input": {"command": "ls"},
                        "caller": {"type": "direct"},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py", "is_error": False},
                    {"type": "text", "text": "<system-reminder>x</system-reminder>", "cache_control": ephemeral},
                ],
            },
        ],
        tools=[
            {"name": "Bash", "description": "Runs", "input_schema": {"type": "object"}, "eager_input_streaming": True},
            {"name": "Later", "description": "", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
        thinking={"type": "adaptive", "display": "summarized"},
        output_config={"effort": "medium"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        safeguards=[{"type": "dangerous_tool_use"}],
        metadata={"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    )
    assert [message["role"] for message in said["messages"]] == ["system", "user", "system", "assistant", "tool", "user"]
    assert said["reasoning_effort"] == "medium"
    assert [tool["function"]["name"] for tool in said["tools"]] == ["Bash"]
    back = to_messages(
        model="gpt",
        max_tokens=32000,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        tools=[{"type": "function", "function": {"name": "bash", "description": "Runs", "parameters": {"type": "object"}}}],
        tool_choice="auto",
        messages=[
            {"role": "system", "content": "You are opencode."},
            {"role": "user", "content": [{"type": "text", "text": "list files"}]},
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "name": "bash", "content": "a.py"},
        ],
    )
    assert [message["role"] for message in back["messages"]] == ["user", "assistant", "user"]


def test_an_effort_without_room_to_think_is_refused() -> None:
    with pytest.raises(Refusal, match="output cap over 1024") as caught:
        to_messages(target="claude-sonnet-4-5", cap=1024, reasoning_effort="low")
    assert caught.value.param == "reasoning_effort"


@pytest.mark.parametrize(
    ("thinking", "output", "effort"),
    [
        ({"type": "disabled"}, {"effort": "high"}, "none"),
        ({"type": "adaptive", "display": "summarized"}, {"effort": "xhigh"}, "xhigh"),
        ({"type": "adaptive"}, None, None),
        (None, {"effort": "low"}, "low"),
        ({"type": "enabled", "budget_tokens": 1024}, None, "low"),
        ({"type": "enabled", "budget_tokens": 1025}, None, "medium"),
        ({"type": "enabled", "budget_tokens": 8193}, None, "high"),
        ({"type": "enabled", "budget_tokens": 8193}, {"effort": "low"}, "low"),
    ],
)
def test_thinking(thinking: object, output: object, effort: str | None) -> None:
    assert to_chat(thinking=thinking, output_config=output).get("reasoning_effort") == effort


def test_a_long_user_id_becomes_its_hash() -> None:
    user = json.dumps({"device_id": "d" * 64, "session_id": "s"})
    assert to_chat(metadata={"user_id": user})["user"] == hashlib.sha256(user.encode()).hexdigest()
    assert to_messages(user="u", safety_identifier="s")["metadata"] == {"user_id": "u"}


def test_the_field_of_the_cap_can_be_chosen() -> None:
    body = json.dumps({"messages": USER}).encode()
    said = json.loads(translate_request(body, MESSAGES, CHAT, "gpt", 99, chat_cap_field="max_tokens"))
    assert said["max_tokens"] == 99
    assert "max_completion_tokens" not in said


def test_stop_as_a_list_and_tiers() -> None:
    said = to_messages(stop=["a", "b"], service_tier="auto", stream=True)
    assert (said["stop_sequences"], said["stream"]) == (["a", "b"], True)
    assert "service_tier" not in said
    assert "service_tier" not in to_chat(service_tier="auto")


def test_json_that_is_only_carried_keeps_its_numbers_and_order() -> None:
    arguments = '{"z": 1.50, "a": 123456789012345678901234567890, "e": 1e400}'
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = json.dumps({"messages": [*USER, {"role": "assistant", "tool_calls": [call]}, *USER]}).encode()
    there = translate_request(body, CHAT, MESSAGES, "m", 9)
    assert arguments.encode() in there
    back = json.loads(translate_request(there, MESSAGES, CHAT, "m", 9))
    assert back["messages"][1]["tool_calls"][0]["function"]["arguments"] == arguments


PART = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}]}]


@pytest.mark.parametrize(
    ("source", "body", "param"),
    [
        (CHAT, {"messages": PART}, "messages[0].content[0].image_url.url"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        (CHAT, {"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
        (
            CHAT,
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}, "id": "t"}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (CHAT, {"messages": [{"role": "assistant", "thinking_blocks": [{"type": "x"}]}]}, "messages[0].thinking_blocks[0].type"),
        (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (CHAT, {"messages": "hi"}, "messages"),
        (CHAT, {"messages": [7]}, "messages[0]"),
        (CHAT, {"tools": [{"type": "function"}]}, "tools[0].function"),
        (CHAT, {"tool_choice": "sometimes"}, "tool_choice"),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, "response_format.json_schema.schema"),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}, "tools[0].function.parameters"),
        (CHAT, {"temperature": "hot"}, "temperature"),
        (CHAT, {"verbosity": "medium" * 20}, "verbosity"),
        (MESSAGES, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "thinking"}]}]}, "messages[0].content[0].type"),
        (
            MESSAGES,
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "document", "source": {"type": "base64", "media_type": "x", "data": ""}}],
                    }
                ]
            },
            "messages[0].content[0].source.media_type",
        ),
        (MESSAGES, {"system": [{"type": "image"}]}, "system[0].type"),
        (MESSAGES, {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        (MESSAGES, {"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        (MESSAGES, {"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        (MESSAGES, {"service_tier": "fast"}, "service_tier"),
        (MESSAGES, {"metadata": {"session": 1}}, "metadata.session"),
    ],
)
def test_malformed_requests_name_the_field(source: Dialect, body: dict[str, object], param: str) -> None:
    refusal = refused(source, **body)
    assert refusal.param == param
    assert param in refusal.message


@pytest.mark.parametrize("body", [b"", b"[]", b"nul", b'{"messages": ' + b"[" * 9999, b'{"messages": "\xff"}'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        translate_request(body, CHAT, MESSAGES, "m", 9)
    assert caught.value.status == 400


WORDS = st.text(min_size=1, max_size=20)
IDS = st.text("abcXYZ012_-", min_size=1, max_size=12)
SCHEMAS = st.sampled_from(['{"type":"object","properties":{}}', '{"type": "object", "properties": {"a": {"type": "string"}}}'])
IMAGES = st.builds(Image, media_type=st.sampled_from(["image/png", "image/webp"]), data=st.just("AA==")) | st.builds(
    Image, url=st.just("https://example.org/a.png")
)
DOCUMENTS = st.builds(Document, data=st.just("JVBERi0="), title=st.sampled_from(["a.pdf", "b.pdf"]))
ARGUMENTS = st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=3).map(json.dumps)
RESULTS = st.builds(ToolResult, IDS, st.lists(st.builds(Text, WORDS), max_size=2).map(tuple))
ASSISTANT = st.tuples(
    st.just(()) | st.builds(Thinking, WORDS).map(lambda part: (part,)),
    st.builds(Text, WORDS).map(lambda part: (part,)),
    st.lists(st.builds(ToolCall, IDS, WORDS, ARGUMENTS), max_size=2).map(tuple),
).map(lambda parts: Turn(Role.ASSISTANT, (*parts[0], *parts[1], *parts[2])))
USERS = st.tuples(
    st.lists(RESULTS, max_size=2), st.lists(st.builds(Text, WORDS) | IMAGES | DOCUMENTS, min_size=1, max_size=3)
).map(lambda parts: Turn(Role.USER, (*parts[0], *parts[1])))
SYSTEM = st.lists(st.builds(Text, WORDS), min_size=1, max_size=2).map(lambda parts: Turn(Role.SYSTEM, tuple(parts)))


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What both dialects can say."""
    body = draw(st.lists(st.tuples(USERS, ASSISTANT), max_size=3))
    turns = (*draw(st.lists(SYSTEM, max_size=1)), *(turn for pair in body for turn in pair), draw(USERS))
    tools = tuple(draw(st.lists(st.builds(Tool, WORDS, SCHEMAS, st.none() | WORDS, st.none() | st.booleans()), max_size=2)))
    return Conversation(
        turns=turns,
        tools=tools,
        tool_choice=draw(
            st.none() | st.builds(ToolChoice, st.sampled_from([Choose.AUTO, Choose.ANY]), st.just(""), st.booleans())
        ),
        reasoning=draw(st.none() | st.builds(Reasoning, st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"]))),
        answer_schema=draw(st.none() | st.builds(AnswerSchema, SCHEMAS)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        stop=tuple(draw(st.lists(WORDS, max_size=2))),
        stream=draw(st.booleans()),
        user=draw(st.none() | st.text(min_size=1, max_size=64)),
        standard_tier=draw(st.booleans()),
    )


def without_thinking(talk: Conversation) -> tuple[Turn, ...]:
    turns = (Turn(turn.role, tuple(part for part in turn.parts if not isinstance(part, Thinking))) for turn in talk.turns)
    return merged(tuple(turns))


def same_settings(one: Conversation, other: Conversation) -> None:
    for field in Conversation.__struct_fields__:
        if field != "turns":
            assert getattr(one, field) == getattr(other, field), field


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_a_chat_conversation_told_as_messages_and_back_is_the_same(talk: Conversation) -> None:
    chat = write_chat_request(talk, "m", 50, "max_completion_tokens")
    messages = translate_request(chat, CHAT, MESSAGES, "m", 50)
    sdk_accepts(messages, MESSAGES)
    back = translate_request(messages, MESSAGES, CHAT, "m", 50)
    sdk_accepts(back, CHAT)
    heard = read_chat_request(back)
    same_settings(heard, talk)
    assert merged(heard.turns) == without_thinking(talk)


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_a_messages_conversation_told_as_chat_and_back_is_the_same(talk: Conversation) -> None:
    messages = write_messages_request(talk, "m", 50)
    chat = translate_request(messages, MESSAGES, CHAT, "m", 50)
    back = translate_request(chat, CHAT, MESSAGES, "m", 50)
    heard = read_messages_request(back)
    same_settings(heard, talk)
    assert heard.turns == without_thinking(talk)


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_each_dialect_through_the_neutral_model_is_itself(talk: Conversation) -> None:
    messages = read_messages_request(write_messages_request(talk, "m", 50))
    same_settings(messages, talk)
    assert messages.turns == talk.turns
    chat = write_chat_request(talk, "m", 50, "max_completion_tokens")
    again = json.loads(write_chat_request(read_chat_request(chat), "m", 50, "max_completion_tokens"))
    assert again == _without_reasoning_content(json.loads(chat))


def _without_reasoning_content(body: Any) -> Any:
    """Unsigned thinking is not read back from a chat client: Anthropic takes none."""
    for message in body["messages"]:
        message.pop("reasoning_content", None)
    return body
