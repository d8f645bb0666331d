"""Which models and tools a caller may use: tables, patterns, and what they say about names and calls."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.policy.access import Access, Denied, denying, judge_call, judge_model, judge_tool, judges_tools
from jevons.policy.rules import Who

ALICE = Who(org="acme", team="web", key_id=1, key="alice", agent="coder", run="r1")


def access(name: str = "t", **members: Any) -> Access:
    return Access(name, **{key: tuple(value) if isinstance(value, list) else value for key, value in members.items()})


def denied(pattern: str = "", *, name: str = "t", enforced: bool = True) -> Denied:
    return Denied(name, enforced, pattern)


def test_models() -> None:
    tables = [access(models_allow=["gpt-*", "claude-*"], models_deny=["*-pro"])]
    assert judge_model(tables, ALICE, "gpt-5-mini") is None
    assert judge_model(tables, ALICE, "gpt-5-pro") == denied("*-pro")
    assert judge_model(tables, ALICE, "o3") == denied()
    assert judge_model(tables, ALICE, "GPT-5-mini") == denied()
    assert judge_model([access(models_deny=["o3"])], ALICE, "gpt-5") is None
    assert judge_model([access(tools_deny=["Bash"])], ALICE, "Bash") is None


def test_tools() -> None:
    tables = [access(tools_allow=["read_*", "mcp__github__*"], tools_deny=["mcp__github__delete_*"])]
    assert judge_tool(tables, ALICE, "read_file") is None
    assert judge_tool(tables, ALICE, "mcp__github__get_issue") is None
    assert judge_tool(tables, ALICE, "mcp__github__delete_repo") == denied("mcp__github__delete_*")
    assert judge_tool(tables, ALICE, "write_file") == denied()
    assert judge_tool([access(models_deny=["Bash"])], ALICE, "Bash") is None


def test_all_tools_of_a_server_are_denied_only_by_a_pattern_for_all() -> None:
    assert judge_tool([access(tools_deny=["mcp__github__*"])], ALICE, "mcp__github__*") == denied("mcp__github__*")
    assert judge_tool([access(tools_deny=["mcp__github__delete_*"])], ALICE, "mcp__github__*") is None
    assert judge_tool([access(tools_allow=["mcp__github__get_*"])], ALICE, "mcp__github__*") == denied()


def test_a_tool_is_meant_in_every_case() -> None:
    assert judge_tool([access(tools_deny=["bash"])], ALICE, "Bash") == denied("bash")
    assert judge_tool([access(tools_allow=["Bash"])], ALICE, "bash") is None
    assert judge_call([access(tools_deny=["BASH(*rm*)"])], ALICE, "bash", '{"command":"rm x"}') == denied("BASH(*rm*)")


def test_the_owner_of_a_table_is_who_it_names() -> None:
    for member, value in [("org", "acme"), ("team", "web"), ("key", "alice"), ("agent", "coder")]:
        assert judge_model([access(models_deny=["*"], **{member: value})], ALICE, "m") == denied("*")
        assert judge_model([access(models_deny=["*"], **{member: value[:2] + "*"})], ALICE, "m") == denied("*")
        assert judge_model([access(models_deny=["*"], **{member: "other"})], ALICE, "m") is None


def test_modes() -> None:
    off, observed = access("a", mode="off", models_deny=["*"]), access("b", mode="observe", models_deny=["*"])
    enforced = access("c", models_deny=["m"])
    assert judge_model([off], ALICE, "m") is None
    assert judge_model([off, observed, access("d", mode="observe", models_deny=["m"])], ALICE, "m") == denied(
        "*", name="b", enforced=False
    )
    assert judge_model([observed, enforced], ALICE, "m") == denied("m", name="c")
    assert judge_model([observed, enforced], ALICE, "n") == denied("*", name="b", enforced=False)
    assert judge_model([], ALICE, "m") is None


def test_every_table_must_allow() -> None:
    tables = [access("a", models_allow=["gpt-*"]), access("b", models_allow=["*-mini"])]
    assert judge_model(tables, ALICE, "gpt-5-mini") is None
    assert judge_model(tables, ALICE, "gpt-5") == denied(name="b")
    assert judge_model(tables, ALICE, "o4-mini") == denied(name="a")


def test_whether_tools_are_judged_at_all() -> None:
    assert not judges_tools([], ALICE)
    assert not judges_tools([access(models_deny=["*"])], ALICE)
    assert not judges_tools([access(mode="off", tools_deny=["*"]), access(key="bob", tools_deny=["*"])], ALICE)
    assert judges_tools([access(mode="observe", tools_deny=["Bash(*)"])], ALICE)
    assert judges_tools([access(tools_allow=["read"])], ALICE)


RM = access(tools_deny=["Bash(*rm -rf*)"])


@pytest.mark.parametrize(
    "arguments",
    [
        '{"command": "rm -rf /"}',
        '{"command": "cd /tmp\\n rm -rf *", "description": "tidy"}',
        '{"command": "rm \\u002drf x"}',
        '{"steps": [{"run": "ls"}, {"run": "rm -rf x"}]}',
        '{"command": ["rm", "-rf", "/"]}',
        '{"command": "rm -rf /", "command": "ls"}',
        '{"command": "ls", "command": "rm -rf /"}',
        '["rm -rf /"]',
        '"rm -rf /"',
        "rm -rf /",
        '{"command": "rm -rf /',
        "[" * 99_999 + "rm -rf /",
        '{"timeout": NaN, "command": "rm -rf /"}',
        '{"command": "\\ud800 rm -rf /"}',
    ],
)
def test_a_pattern_of_arguments_denies_the_call(arguments: str) -> None:
    assert judge_call([RM], ALICE, "Bash", arguments) == denied("Bash(*rm -rf*)")
    assert judge_call([RM], ALICE, "Read", arguments) is None


@pytest.mark.parametrize(
    "arguments", ['{"command": "ls"}', "", "{}", "[]", '{"rm -rf": 1}', '{"a": ["rm", 1, "-rf"], "b": null}']
)
def test_other_arguments_pass(arguments: str) -> None:
    assert judge_call([RM], ALICE, "Bash", arguments) is None


def test_a_pattern_of_arguments_says_nothing_about_the_tool_itself() -> None:
    assert judge_tool([RM], ALICE, "Bash") is None


def test_calls_are_judged_by_name_too() -> None:
    table = access(tools_allow=["Bash", "Read"], tools_deny=["Bash(*rm*)", "Read"])
    assert judge_call([table], ALICE, "Bash", '{"command": "ls"}') is None
    assert judge_call([table], ALICE, "Bash", '{"command": "rm"}') == denied("Bash(*rm*)")
    assert judge_call([table], ALICE, "Read", "{}") == denied("Read")
    assert judge_call([table], ALICE, "Write", "{}") == denied()
    assert judge_call([table], ALICE, "", "") == denied()


def test_the_name_of_a_pattern_of_arguments_is_a_pattern_too() -> None:
    table = access(tools_deny=["mcp__*(*.env*)", "*(*$(curl *)*)"])
    assert judge_call([table], ALICE, "mcp__fs__read", '{"path": "/app/.env"}') == denied("mcp__*(*.env*)")
    assert judge_call([table], ALICE, "Read", '{"path": "/app/.env"}') is None
    assert judge_call([table], ALICE, "sh", "echo $(curl x)") == denied("*(*$(curl *)*)")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.text(max_size=5), st.booleans(), st.data())
def test_a_text_is_found_wherever_it_stands(document: Any, text: str, ascii_only: bool, data: st.DataObject) -> None:
    """A forbidden word put anywhere into any arguments, in any spelling of JSON."""
    forbidden = f"{text}<<no>>{text}"

    def planted(value: Any) -> Any:
        if isinstance(value, dict) and value:
            key = data.draw(st.sampled_from(sorted(value)))
            return {**value, key: planted(value[key])}
        if isinstance(value, list) and value:
            place = data.draw(st.integers(0, len(value) - 1))
            return [*value[:place], planted(value[place]), *value[place + 1 :]]
        return forbidden

    table = access(tools_deny=["f(*<<no>>*)"])
    said = json.dumps(planted(document), ensure_ascii=ascii_only)
    assert judge_call([table], ALICE, "f", said) == denied("f(*<<no>>*)")
    assert judge_call([table], ALICE, "g", said) is None


@given(st.text())
def test_any_arguments_can_be_judged(arguments: str) -> None:
    assert judge_call([RM], ALICE, "Bash", arguments) in (None, denied("Bash(*rm -rf*)"))


def test_it_is_read_from_the_configuration() -> None:
    written = {"name": "no-deletes", "team": "web", "tools_deny": ["mcp__github__delete_*", "Bash([[] -f*)"]}
    assert msgspec.convert(written, Access) == access(
        "no-deletes", team="web", tools_deny=["mcp__github__delete_*", "Bash([[] -f*)"]
    )
    with pytest.raises(msgspec.ValidationError, match="access 'x': it lists nothing"):
        msgspec.convert({"name": "x"}, Access)
    with pytest.raises(msgspec.ValidationError, match="tools_denied"):
        msgspec.convert({"name": "x", "tools_denied": ["a"]}, Access)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "it lists nothing; state one of models_allow"),
        ({"name": "", "models_deny": ["m"]}, "a name has 1 to 64 letters"),
        ({"name": "two words", "models_deny": ["m"]}, "a name has 1 to 64 letters"),
        ({"models_deny": [""]}, "is no pattern of a name"),
        ({"models_allow": ["gpt-5, o3"]}, "'gpt-5, o3' is no pattern of a name"),
        ({"models_allow": ["gpt-[45"]}, "has a [ without its ]"),
        ({"models_allow": ["m"], "team": ""}, "a pattern is empty"),
        ({"models_allow": ["m"], "org": "[a"}, "has a [ without its ]"),
        ({"tools_deny": ["Bash("]}, "'Bash(' is no pattern of a name"),
        ({"tools_deny": ["Bash)"]}, "is no pattern of a name"),
        ({"tools_deny": ["(*rm*)"]}, "is no pattern of a name"),
        ({"tools_deny": ["Bash (*rm*)"]}, "is no pattern of a name"),
        ({"tools_deny": ["Bash()"]}, "'Bash()' has nothing between its parentheses"),
        ({"tools_deny": ["Bash(*[*)"]}, "'*[*' has a [ without its ]"),
        ({"tools_allow": ["Bash(git *)"]}, "tools_allow has 'Bash(git *)': a pattern of arguments can only deny"),
    ],
)
def test_what_is_wrong_is_said(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^access ") as error:
        access(**members)
    assert said in str(error.value)


def test_a_name_with_brackets_is_found_by_itself() -> None:
    """A model's name is no pattern of another."""
    table = Access("big", models_deny=("claude-opus[1m]",), tools_deny=("read[all]",))
    assert judge_model((table,), ALICE, "claude-opus[1m]") is not None
    assert judge_model((table,), ALICE, "claude-opusm") is not None  # the pattern that it is, too
    assert judge_tool((table,), ALICE, "Read[all]") is not None


def test_under_the_name_that_is_called_only_denials_hold() -> None:
    """An allow-list names what may be asked for: an alias of the operator's may lead elsewhere."""
    tables = (access("a", models_allow=["house-*"], models_deny=["*-pro"]), access("b", models_allow=["house-*"]))
    assert denying(tables) == (access("a", models_deny=["*-pro"]),)
    assert judge_model(denying(tables), ALICE, "gpt-5") is None
    assert judge_model(denying(tables), ALICE, "gpt-5-pro") == denied("*-pro", name="a")
