"""The tools of a request: their names in every dialect, what is forced, and the request without some of them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import Refusal
from jevons.wire.parse import parse
from jevons.wire.tools import forced_tools, tool_names, without_tools

CHAT, MESSAGES, RESPONSES, COUNT = Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES, Dialect.COUNT_TOKENS
DIALECTS = [CHAT, MESSAGES, RESPONSES]
TURNS = [{"role": "user", "content": "hi"}]


def body(dialect: Dialect, **members: Any) -> dict[str, Any]:
    turns = "input" if dialect in (RESPONSES, Dialect.EMBEDDINGS) else "messages"
    return (
        {"model": "m", "max_tokens": 9, turns: TURNS, **members}
        if dialect is MESSAGES
        else {"model": "m", turns: TURNS, **members}
    )


def ask(dialect: Dialect, **members: Any) -> Ask:
    return parse(dialect, json.dumps(body(dialect, **members)).encode())


def tool(dialect: Dialect, name: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    if dialect is CHAT:
        return {"type": "function", "function": {"name": name, "parameters": schema, **more}}
    if dialect is MESSAGES:
        return {"name": name, "input_schema": schema, **more}
    return {"type": "function", "name": name, "parameters": schema, **more}


def choose(dialect: Dialect, name: str) -> dict[str, Any]:
    if dialect is CHAT:
        return {"type": "function", "function": {"name": name}}
    return {"type": "tool" if dialect is MESSAGES else "function", "name": name}


NAMES: list[tuple[Dialect, dict[str, Any], tuple[str, ...]]] = [
    *[(dialect, {"tools": [tool(dialect, "f"), tool(dialect, "mcp__gh__get")]}, ("f", "mcp__gh__get")) for dialect in DIALECTS],
    *[(dialect, {}, ()) for dialect in DIALECTS],
    *[(dialect, {"tools": None}, ()) for dialect in DIALECTS],
    *[(dialect, {"tools": []}, ()) for dialect in DIALECTS],
    (CHAT, {"tools": [{"type": "custom", "custom": {"name": "sh"}}]}, ("sh",)),
    (CHAT, {"functions": [{"name": "old", "parameters": {}}]}, ("old",)),
    (CHAT, {"web_search_options": {}, "tools": [tool(CHAT, "f")]}, ("f", "web_search")),
    (CHAT, {"web_search_options": None}, ()),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]}, ("web_search",)),
    (MESSAGES, {"tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "custom", "name": "f"}]}, ("bash", "f")),
    (MESSAGES, {"tools": [{"type": "browser_toolset_20260801"}]}, ("browser__*",)),
    (
        MESSAGES,
        {"mcp_servers": [{"type": "url", "name": "gh"}], "tools": [{"type": "mcp_toolset", "mcp_server_name": "gh"}]},
        ("mcp__gh__*",),
    ),
    (COUNT, {"tools": [tool(MESSAGES, "f")]}, ("f",)),
    (
        RESPONSES,
        {"tools": [{"type": "web_search_preview_2025_03_11"}, {"type": "web_search"}, {"type": "image_generation"}]},
        ("web_search", "image_generation"),
    ),
    (RESPONSES, {"tools": [{"type": "computer_use_preview"}, {"type": "local_shell"}]}, ("computer", "local_shell")),
    (RESPONSES, {"tools": [{"type": "custom", "name": "apply_patch"}]}, ("apply_patch",)),
    (
        RESPONSES,
        {
            "tools": [
                {"type": "namespace", "name": "mcp__crm__", "tools": [tool(RESPONSES, "a"), {"type": "custom", "name": "b"}]}
            ]
        },
        ("mcp__crm__a", "mcp__crm__b"),
    ),
    (RESPONSES, {"tools": [{"type": "namespace", "name": "crm"}]}, ("crm__*",)),
    (RESPONSES, {"tools": [{"type": "mcp", "server_label": "gh"}]}, ("mcp__gh__*",)),
    (RESPONSES, {"tools": [{"type": "mcp", "server_label": "gh", "allowed_tools": ["a", "b"]}]}, ("mcp__gh__a", "mcp__gh__b")),
    (RESPONSES, {"tools": [{"type": "mcp", "server_label": "gh", "allowed_tools": {"tool_names": ["a"]}}]}, ("mcp__gh__a",)),
    (RESPONSES, {"tools": [{"type": "mcp", "server_label": "gh", "allowed_tools": {"read_only": True}}]}, ("mcp__gh__*",)),
    (
        RESPONSES,
        {
            "input": [
                {"type": "additional_tools", "role": "developer", "tools": [tool(RESPONSES, "exec"), {"type": "web_search"}]},
                {"role": "user", "content": "additional_tools"},
                {"type": "tool_search_output", "call_id": "c", "tools": [tool(RESPONSES, "found")]},
            ]
        },
        ("exec", "web_search", "found"),
    ),
    (RESPONSES, {"input": "additional_tools"}, ()),
    (
        MESSAGES,
        {
            "messages": [
                {"role": "user", "content": "tool_addition"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "x"},
                        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool(MESSAGES, "late")}},
                        {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}},
                    ],
                },
            ]
        },
        ("late",),
    ),
    (Dialect.EMBEDDINGS, {"input": "x", "tools": [tool(RESPONSES, "f")]}, ()),
]


@pytest.mark.parametrize(("dialect", "members", "names"), NAMES)
def test_names(dialect: Dialect, members: dict[str, Any], names: tuple[str, ...]) -> None:
    assert tool_names(ask(dialect, **members)) == names


def test_a_tool_with_two_names_has_both() -> None:
    both = {"type": "function", "name": "a", "function": {"name": "b"}}
    assert tool_names(ask(CHAT, tools=[both])) == ("b", "a")
    assert json.loads(without_tools(ask(CHAT, tools=[both]), ["a"])) == body(CHAT)


@pytest.mark.parametrize(
    ("dialect", "raw"),
    [
        (CHAT, '{"tools":[{"type":"function","function":{"name":"safe","name":"evil"}}],%s}'),
        (CHAT, '{"tools":[{"type":"function","function":{"name":"safe"},"function":{"name":"evil"}}],%s}'),
        (MESSAGES, '{"tools":[{"name":"safe","n\\u0061me":"evil"}],"max_tokens":1,%s}'),
        (RESPONSES, '{"tools":[{"type":"namespace","name":"n","tools":[{"name":"safe","name":"evil"}]}],"input":"x",%s}'),
    ],
)
def test_a_name_said_twice_is_refused(dialect: Dialect, raw: str) -> None:
    text = raw % '"model":"m","messages":[]'
    with pytest.raises(Refusal, match="more than once") as error:
        tool_names(parse(dialect, text.encode()))
    assert error.value.status == 400


def test_names_however_they_are_spelt() -> None:
    raw = b'{"model":"m","input":[{"type":"additional\\u005ftools","tools":[{"name":"\\u0065xec"}]}]}'
    assert tool_names(parse(RESPONSES, raw)) == ("exec",)
    raw = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool\\u005faddition","tool":{"definition":{"name":"f"}}}]}]}'
    assert tool_names(parse(MESSAGES, raw)) == ("f",)


@pytest.mark.parametrize(
    ("dialect", "members"),
    [
        (CHAT, {"tools": {}}),
        (CHAT, {"tools": ["f"]}),
        (CHAT, {"tools": [{"function": "f"}]}),
        (CHAT, {"tools": [{"function": {"name": 7}}]}),
        (MESSAGES, {"tools": [7]}),
        (RESPONSES, {"tools": [{"type": "mcp", "server_label": "l", "allowed_tools": [7]}]}),
        (RESPONSES, {"input": ["additional_tools"]}),
    ],
)
def test_what_is_no_tool_is_refused(dialect: Dialect, members: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as error:
        tool_names(ask(dialect, **members))
    assert error.value.status == 400


ALLOWED = {"tools": [{"type": "function", "function": {"name": name}} for name in "fg"]}
FORCED: list[tuple[Dialect, dict[str, Any], tuple[str, ...]]] = [
    *[(dialect, {"tools": [tool(dialect, "f")], "tool_choice": choose(dialect, "f")}, ("f",)) for dialect in DIALECTS],
    *[(dialect, {"tools": [tool(dialect, "f")]}, ()) for dialect in DIALECTS],
    (CHAT, {"tools": [tool(CHAT, "f"), tool(CHAT, "g")], "tool_choice": "required"}, ("f", "g")),
    (CHAT, {"tools": [tool(CHAT, "f")], "tool_choice": "auto"}, ()),
    (CHAT, {"tool_choice": None}, ()),
    (CHAT, {"tool_choice": {"type": "custom", "custom": {"name": "sh"}}}, ("sh",)),
    (CHAT, {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", **ALLOWED}}}, ("f", "g")),
    (CHAT, {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", **ALLOWED}}}, ()),
    (CHAT, {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required"}}}, ()),
    (CHAT, {"function_call": {"name": "old"}}, ("old",)),
    (CHAT, {"function_call": "auto"}, ()),
    (MESSAGES, {"tools": [tool(MESSAGES, "f")], "tool_choice": {"type": "any"}}, ("f",)),
    (MESSAGES, {"tools": [tool(MESSAGES, "f")], "tool_choice": {"type": "auto"}}, ()),
    (MESSAGES, {"tools": [tool(MESSAGES, "f")], "tool_choice": {"type": "none"}}, ()),
    (RESPONSES, {"tool_choice": {"type": "web_search_preview"}}, ("web_search",)),
    (RESPONSES, {"tool_choice": {"type": "mcp", "server_label": "gh", "name": "get"}}, ("mcp__gh__get",)),
    (RESPONSES, {"tool_choice": {"type": "mcp", "server_label": "gh"}}, ("mcp__gh__*",)),
    (RESPONSES, {"tool_choice": {"type": "function", "namespace": "crm", "name": "get"}}, ("crm__get",)),
    (RESPONSES, {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "shell"}]}}, ("shell",)),
    (RESPONSES, {"tool_choice": "none"}, ()),
]


@pytest.mark.parametrize(("dialect", "members", "names"), FORCED)
def test_what_is_forced(dialect: Dialect, members: dict[str, Any], names: tuple[str, ...]) -> None:
    assert forced_tools(ask(dialect, **members)) == names


def left(dialect: Dialect, gone: list[str], **members: Any) -> dict[str, Any]:
    """What is left of the body, but for what every body has."""
    told: dict[str, Any] = json.loads(without_tools(ask(dialect, **members), gone))
    assert set(tool_names(parse(dialect, json.dumps(told).encode()))).isdisjoint(gone)
    plain = body(dialect)
    return {name: value for name, value in told.items() if name not in plain or value != plain[name]}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_tool_is_taken_out(dialect: Dialect) -> None:
    f, g, h = (tool(dialect, name) for name in "fgh")
    for gone, rest in [("f", [g, h]), ("g", [f, h]), ("h", [f, g])]:
        assert left(dialect, [gone], tools=[f, g, h]) == {"tools": rest}
    assert left(dialect, ["f", "g"], tools=[f, g, h], tool_choice="auto") == {"tools": [h], "tool_choice": "auto"}
    assert left(dialect, ["f"], tools=[f, f]) == {}
    assert left(dialect, [], tools=[f], tool_choice="auto") == {"tools": [f], "tool_choice": "auto"}
    assert left(dialect, ["x"], tool_choice="auto") == {"tool_choice": "auto"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_comes_with_the_last_tool_goes_with_it(dialect: Dialect) -> None:
    rest = left(dialect, ["f"], tools=[tool(dialect, "f")], tool_choice="auto", parallel_tool_calls=True, temperature=0)
    assert rest == {"temperature": 0} | ({} if dialect is CHAT else {"parallel_tool_calls": True})


def test_every_place_of_chat() -> None:
    members = {
        "tools": [tool(CHAT, "f")],
        "functions": [{"name": "old"}],
        "function_call": "auto",
        "web_search_options": {"a": 1},
    }
    assert left(CHAT, ["f", "web_search"], **members) == {"functions": [{"name": "old"}], "function_call": "auto"}
    assert left(CHAT, ["f", "old"], **members) == {"web_search_options": {"a": 1}, "function_call": "auto"}
    assert left(CHAT, ["f", "old", "web_search"], **members) == {}


def test_every_place_of_messages() -> None:
    server, toolset = {"type": "url", "name": "gh", "url": "u"}, {"type": "mcp_toolset", "mcp_server_name": "gh"}
    assert left(MESSAGES, ["mcp__gh__*"], mcp_servers=[server], tools=[toolset, tool(MESSAGES, "f")]) == {
        "tools": [tool(MESSAGES, "f")]
    }
    assert left(COUNT, ["f"], tools=[tool(MESSAGES, "f")], max_tokens=9) == {"max_tokens": 9}


def test_every_place_of_responses() -> None:
    a, b, search = tool(RESPONSES, "a"), tool(RESPONSES, "b"), {"type": "web_search"}
    space = {"type": "namespace", "name": "crm", "tools": [a, b]}
    assert left(RESPONSES, ["crm__a"], tools=[space, search]) == {"tools": [{**space, "tools": [b]}, search]}
    assert left(RESPONSES, ["crm__a", "crm__b"], tools=[space, search]) == {"tools": [search]}
    assert left(RESPONSES, ["crm__a", "crm__b", "web_search"], tools=[space, search]) == {}
    server = {"type": "mcp", "server_label": "gh", "allowed_tools": ["get", "delete"]}
    assert left(RESPONSES, ["mcp__gh__delete"], tools=[server, a]) == {"tools": [a]}
    extra = {"type": "additional_tools", "role": "developer", "tools": [a, b]}
    found = {"type": "tool_search_output", "call_id": "c", "tools": [b]}
    items = [extra, *TURNS, found]
    assert left(RESPONSES, ["a"], input=items) == {"input": [{**extra, "tools": [b]}, *TURNS, found]}
    assert left(RESPONSES, ["a", "b"], input=items, tool_choice="auto") == {"input": [*TURNS, {**found, "tools": []}]}
    assert left(RESPONSES, ["a"], input="additional_tools", tools=[a, b]) == {"input": "additional_tools", "tools": [b]}
    assert left(RESPONSES, ["a"], input=items, tools=[a], tool_choice="auto") == {
        "input": [{**extra, "tools": [b]}, *TURNS, found],
        "tool_choice": "auto",
    }


def test_a_list_of_allowed_tools_loses_those_that_go() -> None:
    tools = [tool(CHAT, "f"), tool(CHAT, "g"), tool(CHAT, "h")]
    for mode in ("auto", "required"):
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, **ALLOWED}}
        assert left(CHAT, ["f"], tools=tools, tool_choice=choice)["tool_choice"] == {
            "type": "allowed_tools",
            "allowed_tools": {"mode": mode, "tools": ALLOWED["tools"][1:]},
        }
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", **ALLOWED}}
    assert left(CHAT, ["f", "g"], tools=tools, tool_choice=choice) == {"tools": tools[2:], "tool_choice": "none"}
    listed = [{"type": "function", "name": "f"}, {"type": "web_search_preview"}]
    tools = [tool(RESPONSES, "f"), {"type": "web_search_preview"}]
    rest = left(RESPONSES, ["f"], tools=tools, tool_choice={"type": "allowed_tools", "mode": "required", "tools": listed})
    assert rest["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": listed[1:]}


REFUSED: list[tuple[Dialect, dict[str, Any], list[str], str]] = [
    *[(dialect, {"tool_choice": choose(dialect, "f")}, ["f"], "The tool f is not allowed") for dialect in DIALECTS],
    (CHAT, {"tool_choice": "required"}, ["f", "g"], "The tools f, g are not allowed"),
    (MESSAGES, {"tool_choice": {"type": "any"}}, ["f", "g"], "The tools f, g are not allowed"),
    (CHAT, {"tools": None, "functions": [{"name": "old"}], "function_call": {"name": "old"}}, ["old"], "The tool old is"),
    (CHAT, {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", **ALLOWED}}}, ["f", "g"], "f, g are"),
    (
        RESPONSES,
        {"tools": [{"type": "mcp", "server_label": "gh"}], "tool_choice": {"type": "mcp", "server_label": "gh", "name": "get"}},
        ["mcp__gh__*"],
        "The tool mcp__gh__get is not allowed",
    ),
]


@pytest.mark.parametrize(("dialect", "members", "gone", "said"), REFUSED)
def test_a_forced_tool_is_refused(dialect: Dialect, members: dict[str, Any], gone: list[str], said: str) -> None:
    with pytest.raises(Refusal) as error:
        without_tools(ask(dialect, **{"tools": [tool(dialect, "f"), tool(dialect, "g")], **members}), gone)
    refusal = error.value
    assert (refusal.status, refusal.code, refusal.kind, refusal.param) == (403, "tool_not_allowed", "permission", "tool_choice")
    assert said in refusal.message


def test_another_tool_that_is_forced_stays() -> None:
    tools = [tool(CHAT, "f"), tool(CHAT, "g")]
    assert left(CHAT, ["g"], tools=tools, tool_choice=choose(CHAT, "f")) == {"tools": tools[:1], "tool_choice": choose(CHAT, "f")}
    assert left(CHAT, ["g"], tools=tools, tool_choice="required") == {"tools": tools[:1], "tool_choice": "required"}


def test_a_tool_that_a_message_defines_cannot_be_taken_out() -> None:
    block = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool(MESSAGES, "late")}}
    request = ask(MESSAGES, messages=[{"role": "user", "content": [block]}], tools=[tool(MESSAGES, "f")])
    assert b'"late"' in without_tools(request, ["f"])
    with pytest.raises(Refusal, match="The tool late is not allowed here, but a message defines") as error:
        without_tools(request, ["late"])
    assert (error.value.status, error.value.code, error.value.param) == (403, "tool_not_allowed", "messages")


SPACES = st.text(alphabet=" \t\r\n", max_size=2)
KEYS = st.sampled_from(["a", "x,y", "{", "[", 'q"', "é", "\\"]) | st.text(max_size=3)


@st.composite
def spelt(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value with spaces wherever they may stand."""

    def space() -> str:
        return draw(SPACES)

    if isinstance(value, dict):
        members = [f"{space()}{json.dumps(key)}{space()}:{space()}{draw(spelt(value[key]))}{space()}" for key in value]
        return "{" + (",".join(members) or space()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{space()}{draw(spelt(item))}{space()}" for item in value) or space()) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_stays_keeps_its_bytes(dialect: Dialect, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("fghé"), max_size=5))
    gone = data.draw(st.sets(st.sampled_from("fghé")))
    extra = data.draw(
        st.dictionaries(KEYS.filter(lambda key: key != "n"), st.integers() | st.just(["tools", {"tools": []}]), max_size=3)
    )
    told = [data.draw(spelt(tool(dialect, name, description=data.draw(st.text(max_size=4))))) for name in names]
    members = {key: data.draw(spelt(value)) for key, value in {**extra, **body(dialect)}.items()}
    members["tools"] = "[" + ",".join(f"{data.draw(SPACES)}{item}{data.draw(SPACES)}" for item in told) + "]"
    members["tool_choice"] = '"auto"'
    order = data.draw(st.permutations(sorted(members)))
    raw = "{" + ",".join(f"{data.draw(SPACES)}{json.dumps(key)}{data.draw(SPACES)}:{members[key]}" for key in order) + " }"
    request = parse(dialect, raw.encode())
    assert tool_names(request) == tuple(dict.fromkeys(names))
    out = without_tools(request, gone).decode()
    rest = [item for name, item in zip(names, told, strict=True) if name not in gone]
    expected = {key: json.loads(members[key]) for key in order}
    if names and not rest:
        del expected["tools"], expected["tool_choice"]
    else:
        expected["tools"] = [json.loads(item) for item in rest]
    assert json.loads(out) == expected
    assert list(json.loads(out)) == list(expected)
    assert all(item in out for item in [*rest, *(members[key] for key in expected if key != "tools")])
    if gone.isdisjoint(names):
        assert out == raw
