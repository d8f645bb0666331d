"""Every row of the translation table: mapped ones by what arrives, dropped ones by what does not, refused ones by their 400."""

import copy
import json
import re
import runpy
from pathlib import Path

import pytest

from jevons.core.ask import Dialect
from jevons.core.refusal import Refusal
from jevons.wire.translate import ROWS, Row, Verdict, translate_request

PDF = "data:application/pdf;base64,JVBERi0="
PNG = "data:image/png;base64,iVBORw=="
CHAT = {
    "model": "m",
    "max_tokens": 100,
    "stream_options": {},
    "response_format": {"type": "text"},
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "so"}],
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}
MESSAGES = {
    "model": "m",
    "max_tokens": 100,
    "thinking": {"type": "adaptive"},
    "system": [{"type": "text", "text": "be brief"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
                {
                    "type": "document",
                    "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "so"},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "done"}]},
            ],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
}
BODIES = {Dialect.CHAT: CHAT, Dialect.MESSAGES: MESSAGES}
OTHER = {Dialect.CHAT: Dialect.MESSAGES, Dialect.MESSAGES: Dialect.CHAT}

# Where in the bodies above a path of the table lies, longest prefix first; a row of its own wins.
PLACES = {
    Dialect.CHAT: {
        "messages[].content[].image_url": "messages.1.content.1.image_url",
        "messages[].content[].file": "messages.1.content.2.file",
        "messages[].content[].refusal": "messages.2.content.0.refusal",
        "messages[].content[]": "messages.1.content.0",
        "messages[].tool_calls[]": "messages.2.tool_calls.0",
        "messages[].tool_call_id": "messages.3.tool_call_id",
        "messages[].name=tool": "messages.3.name",
        "messages[].name": "messages.1.name",
        "messages[].role": "messages.1.role",
        "messages[].content": "messages.1.content",
        "messages[]": "messages.2",
        "tools[]": "tools.0",
    },
    Dialect.MESSAGES: {
        "system[]": "system.0",
        "messages[].content[].source.type=url": "messages.0.content.2.source.type",
        "messages[].content[].source.type=content": "messages.0.content.2.source.type",
        "messages[].content[].source": "messages.0.content.1.source",
        "messages[].content[].title": "messages.0.content.2.title",
        "messages[].content[].context": "messages.0.content.2.context",
        "messages[].content[].citations.enabled=True": "messages.0.content.2.citations.enabled",
        "messages[].content[].transformations": "messages.0.content.1.transformations",
        "messages[].content[].thinking": "messages.1.content.0.thinking",
        "messages[].content[].signature": "messages.1.content.0.signature",
        "messages[].content[].type=browser_state": "messages.2.content.0.content.0.type",
        "messages[].content[].tool_name": "messages.2.content.0.content.0.tool_name",
        **{
            f"messages[].content[].{name}": f"messages.1.content.2.{name}"
            for name in ("id", "name", "input", "caller", "toolset_name")
        },
        **{f"messages[].content[].{name}": f"messages.2.content.0.{name}" for name in ("tool_use_id", "content", "is_error")},
        "messages[].content[]": "messages.0.content.0",
        "messages[]": "messages.0",
        "tools[]": "tools.0",
    },
}

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
# (dialect, path) -> (value put there, path in the translated body, what stands there)
MAPPED: dict[tuple[str, str], tuple[object, str, object]] = {
    ("chat", "model"): ("ignored", "model", "target"),
    ("chat", "messages"): (CHAT["messages"], "system.0.text", "be brief"),
    ("chat", "max_tokens"): (7, "max_tokens", 55),
    ("chat", "max_completion_tokens"): (7, "max_tokens", 55),
    ("chat", "stream"): (True, "stream", True),
    ("chat", "stream_options"): ({"include_usage": True}, "stream_options", None),
    ("chat", "temperature"): (1, "temperature", 1),
    ("chat", "top_p"): (0.5, "top_p", 0.5),
    ("chat", "stop"): ("END", "stop_sequences", ["END"]),
    ("chat", "tools"): (CHAT["tools"], "tools", [{"name": "f", "input_schema": {"type": "object"}}]),
    ("chat", "tool_choice"): ({"type": "function", "function": {"name": "f"}}, "tool_choice", {"type": "tool", "name": "f"}),
    ("chat", "parallel_tool_calls"): (False, "tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
    ("chat", "reasoning_effort"): ("max", "output_config.effort", "max"),
    ("chat", "response_format"): (
        {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True}},
        "output_config.format",
        {"type": "json_schema", "schema": SCHEMA},
    ),
    ("chat", "user"): ("u", "metadata.user_id", "u"),
    ("chat", "safety_identifier"): ("s", "metadata.user_id", "s"),
    ("chat", "service_tier"): ("default", "service_tier", "standard_only"),
    ("chat", "messages[].role"): ("user", "messages.0.role", "user"),
    ("chat", "messages[].content"): ("plain", "messages.0.content", "plain"),
    ("chat", "messages[].refusal"): ("no", "messages.1.content.1", {"type": "text", "text": "no"}),
    ("chat", "messages[].tool_calls"): (
        [{"id": "c1", "type": "function", "function": {"name": "g", "arguments": ""}}],
        "messages.1.content.1",
        {"type": "tool_use", "id": "c1", "name": "g", "input": {}},
    ),
    ("chat", "messages[].tool_call_id"): ("c 9", "messages.2.content.0.tool_use_id", "c_20_9"),
    ("chat", "messages[].thinking_blocks"): (
        [{"index": 0, "type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}],
        "messages.1.content.0",
        {"type": "thinking", "thinking": "t", "signature": "s"},
    ),
    ("chat", "messages[].tool_calls[].id"): ("c:1", "messages.1.content.1.id", "c_3a_1"),
    ("chat", "messages[].tool_calls[].type"): ("function", "messages.1.content.1.type", "tool_use"),
    ("chat", "messages[].tool_calls[].function"): (
        {"name": "g", "arguments": '{"y": 2}'},
        "messages.1.content.1.input",
        {"y": 2},
    ),
    ("chat", "messages[].content[].type"): ("text", "messages.0.content.0.type", "text"),
    ("chat", "messages[].content[].text"): ("see", "messages.0.content.0.text", "see"),
    ("chat", "messages[].content[].refusal"): ("rather not", "messages.1.content.0.text", "rather not"),
    ("chat", "messages[].content[].image_url"): (
        {"url": "https://a/b"},
        "messages.0.content.1.source",
        {"type": "url", "url": "https://a/b"},
    ),
    ("chat", "messages[].content[].file"): (
        {"file_data": PDF, "filename": "x.pdf"},
        "messages.0.content.2",
        {"type": "document", "title": "x.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
    ),
    ("chat", "tools[].type"): ("function", "tools.0.name", "f"),
    ("chat", "tools[].function"): (
        {"name": "g", "description": "d", "strict": True},
        "tools.0",
        {"name": "g", "description": "d", "strict": True, "input_schema": {"type": "object", "properties": {}}},
    ),
    ("messages", "model"): ("ignored", "model", "target"),
    ("messages", "messages"): (MESSAGES["messages"], "messages.3", {"role": "tool", "tool_call_id": "c1", "content": "done"}),
    ("messages", "max_tokens"): (7, "max_completion_tokens", 55),
    ("messages", "system"): ("short", "messages.0", {"role": "system", "content": "short"}),
    ("messages", "stream"): (True, "stream_options", {"include_usage": True}),
    ("messages", "temperature"): (0.3, "temperature", 0.3),
    ("messages", "top_p"): (0.5, "top_p", 0.5),
    ("messages", "stop_sequences"): (["END"], "stop", ["END"]),
    ("messages", "tools"): (MESSAGES["tools"], "tools.0.function", {"name": "f", "parameters": {"type": "object"}}),
    ("messages", "tool_choice"): ({"type": "tool", "name": "f"}, "tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("messages", "thinking"): ({"type": "enabled", "budget_tokens": 5000}, "reasoning_effort", "medium"),
    ("messages", "output_config"): (
        {"effort": "xhigh", "format": {"type": "json_schema", "schema": SCHEMA}},
        "response_format",
        {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
    ),
    ("messages", "metadata"): ({"user_id": "u"}, "user", "u"),
    ("messages", "service_tier"): ("standard_only", "service_tier", "default"),
    ("messages", "tool_choice.disable_parallel_tool_use"): (True, "parallel_tool_calls", False),
    ("messages", "messages[].role"): ("user", "messages.1.role", "user"),
    ("messages", "messages[].content"): ("plain", "messages.1.content", "plain"),
    ("messages", "messages[].content[].type"): ("text", "messages.1.content.0.type", "text"),
    ("messages", "messages[].content[].text"): ("see", "messages.1.content.0.text", "see"),
    ("messages", "messages[].content[].source"): (
        {"type": "url", "url": "https://a/b"},
        "messages.1.content.1",
        {"type": "image_url", "image_url": {"url": "https://a/b"}},
    ),
    ("messages", "messages[].content[].title"): ("t.pdf", "messages.1.content.2.file", {"file_data": PDF, "filename": "t.pdf"}),
    ("messages", "messages[].content[].thinking"): ("why", "messages.2.reasoning_content", "why"),
    ("messages", "messages[].content[].id"): ("c:9", "messages.2.tool_calls.0.id", "c:9"),
    ("messages", "messages[].content[].name"): ("g", "messages.2.tool_calls.0.function.name", "g"),
    ("messages", "messages[].content[].input"): ({"y": 2}, "messages.2.tool_calls.0.function.arguments", '{"y": 2}'),
    ("messages", "messages[].content[].tool_use_id"): ("c:9", "messages.3.tool_call_id", "c:9"),
    ("messages", "messages[].content[].content"): ("out", "messages.3.content", "out"),
    ("messages", "messages[].content[].is_error"): (True, "messages.3.content", "Error:\ndone"),
    ("messages", "messages[].content[].tool_name"): ("f", "messages.3.content", "The tool f can be called now."),
    ("messages", "tools[].type"): ("custom", "tools.0.function.name", "f"),
    ("messages", "tools[].name"): ("g", "tools.0.function.name", "g"),
    ("messages", "tools[].description"): ("d", "tools.0.function.description", "d"),
    ("messages", "tools[].input_schema"): (SCHEMA, "tools.0.function.parameters", SCHEMA),
    ("messages", "tools[].strict"): (True, "tools.0.function.strict", True),
    ("messages", "tools[].defer_loading"): (True, "tools", None),
}

# What else a body needs before a row of it means anything.
SCENES: dict[tuple[str, str], dict[str, object]] = {
    ("chat", "messages[].content[].refusal"): {"messages.2.content.0": {"type": "refusal"}},
    ("messages", "tool_choice.disable_parallel_tool_use"): {"tool_choice": {"type": "auto"}},
    ("messages", "messages[].content[].thinking"): {
        "messages.1.content.0": {"type": "thinking", "thinking": "", "signature": ""}
    },
    ("messages", "messages[].content[].tool_name"): {"messages.2.content.0.content.0": {"type": "tool_reference"}},
    ("messages", "messages[].content[].citations.enabled=True"): {"messages.0.content.2.citations": {}},
    ("messages", "messages[].content[].data"): {"messages.1.content.0": {"type": "redacted_thinking"}},
    ("chat", "tool_choice.type=allowed_tools"): {"tool_choice": {}},
    ("chat", "tool_choice.type=custom"): {"tool_choice": {}},
}
DROPPED_VALUES: dict[tuple[str, str], object] = {
    ("messages", "messages[].content[].data"): "opaque",
    ("messages", "messages[].content[].signature"): "opaque",
    ("messages", "system[].text=x-anthropic-billing-header"): "x-anthropic-billing-header: cc_version=2",
}


def place_of(row: Row) -> str:
    places = PLACES[row.dialect]
    if (row.dialect, row.path) == (Dialect.MESSAGES, "messages[].content[].data"):
        return "messages.1.content.0.data"
    prefix = max((p for p in places if row.path == p or re.match(re.escape(p) + r"(?![\w\[])", row.path)), key=len, default="")
    place = (places[prefix] + row.path[len(prefix) :]) if prefix else row.path
    return re.sub(r"[=>].*", "", place)


def put(body: object, place: str, value: object) -> None:
    *path, last = place.split(".")
    at = body
    for step in path:
        at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})  # type: ignore[attr-defined]
    at[int(last) if isinstance(at, list) else last] = value  # type: ignore[index]


def get(body: object, place: str) -> object:
    for step in place.split("."):
        if isinstance(body, list):
            body = body[int(step)]
        elif isinstance(body, dict):
            body = body.get(step)
    return body


def body_of(row: Row) -> dict[str, object]:
    body = copy.deepcopy(BODIES[row.dialect])
    for place, value in SCENES.get((row.dialect, row.path), {}).items():
        put(body, place, value)
    return body


def translated(row: Row, body: object) -> object:
    return json.loads(translate_request(json.dumps(body).encode(), row.dialect, OTHER[row.dialect], "target", 55))


def rows(verdict: Verdict) -> list[object]:
    return [pytest.param(row, id=f"{row.dialect}:{row.path}") for row in ROWS if row.verdict is verdict]


@pytest.mark.parametrize("row", rows(Verdict.MAPPED))
def test_mapped(row: Row) -> None:
    value, where, expected = MAPPED[row.dialect, row.path]
    body = body_of(row)
    put(body, place_of(row), value)
    assert get(translated(row, body), where) == expected


@pytest.mark.parametrize("row", rows(Verdict.DROPPED))
def test_dropped(row: Row) -> None:
    body = body_of(row)
    if row.path.startswith("system[].text"):
        body["system"] = [body["system"][0], {"type": "text", "text": ""}]  # type: ignore[index]
        put(body, "system.1.text", DROPPED_VALUES[row.dialect, row.path])
        assert translated(row, body) == translated(row, body_of(row))
        return
    value = DROPPED_VALUES.get((row.dialect, row.path), {"any": ["thing"]})
    put(body, place_of(row), value)
    without = body_of(row)
    if row.path.endswith(("].data", "].signature")):
        del without["messages"][1]["content"][0]  # type: ignore[index]
    assert translated(row, body) == translated(row, without)


@pytest.mark.parametrize("row", rows(Verdict.REFUSED))
def test_refused(row: Row) -> None:
    body = body_of(row)
    place = place_of(row)
    value: object = row.path.split("=")[1] if "=" in row.path else 1.5 if ">" in row.path else 9
    put(body, place, True if value == "True" else value)
    with pytest.raises(Refusal) as refused:
        translated(row, body)
    assert refused.value.status == 400
    assert refused.value.param == re.sub(r"\.(\d+)", r"[\1]", place)
    assert refused.value.param in refused.value.message
    assert row.note in refused.value.message
    for harmless in (*row.harmless, None):
        if "=" not in row.path and ">" not in row.path:
            put(body, place, harmless)
            assert translated(row, body) == translated(row, body_of(row))


OBJECTS = {
    Dialect.CHAT: (
        "",
        "stream_options",
        "response_format",
        "messages.1",
        "messages.2",
        "messages.3",
        "messages.1.content.0",
        "messages.1.content.1",
        "messages.1.content.1.image_url",
        "messages.1.content.2.file",
        "messages.2.tool_calls.0",
        "messages.2.tool_calls.0.function",
        "tools.0",
        "tools.0.function",
    ),
    Dialect.MESSAGES: (
        "",
        "thinking",
        "system.0",
        "messages.0",
        *(f"messages.0.content.{i}" for i in range(3)),
        "messages.0.content.1.source",
        "messages.0.content.2.source",
        *(f"messages.1.content.{i}" for i in range(3)),
        "messages.2.content.0",
        "messages.2.content.0.content.0",
        "tools.0",
    ),
}


@pytest.mark.parametrize(("dialect", "place"), [(d, place) for d, places in OBJECTS.items() for place in places])
def test_a_field_that_stands_nowhere_is_refused_by_name(dialect: Dialect, place: str) -> None:
    body = copy.deepcopy(BODIES[dialect])
    where = f"{place}.brand_new" if place else "brand_new"
    put(body, where, {"deep": 1})
    with pytest.raises(Refusal) as refused:
        translate_request(json.dumps(body).encode(), dialect, OTHER[dialect], "target", 55)
    assert refused.value.status == 400
    assert refused.value.param == re.sub(r"\.(\d+)", r"[\1]", where)


def test_server_tools_are_refused_by_name() -> None:
    body = copy.deepcopy(MESSAGES)
    body["tools"] = [{"type": "web_search_20260318", "name": "web_search"}]
    with pytest.raises(Refusal, match="web_search_20260318") as refused:
        translate_request(json.dumps(body).encode(), Dialect.MESSAGES, Dialect.CHAT, "target", 55)
    assert refused.value.param == "tools[0].type"


def test_no_row_stands_twice() -> None:
    assert len({(row.dialect, row.path) for row in ROWS}) == len(ROWS)
    assert set(MAPPED) == {(row.dialect, row.path) for row in ROWS if row.verdict is Verdict.MAPPED}


def test_the_docs_print_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("jevons.wire.translate", run_name="__main__")
    assert (Path(__file__).parents[2] / "docs" / "translation.md").read_text(encoding="utf-8") == capsys.readouterr().out
