"""Allow and deny lists of models and tools over real sockets: on the way in, and of tool calls on the way out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import MODELS, error_in, limit, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream

DOORS = ["chat", "messages", "responses"]
ROUTES = [("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5"), ("responses", "gpt-4o")]
TRANSLATED = [("chat", "claude-sonnet-4-5"), ("messages", "gpt-4o")]
TABLES: list[dict[str, Any]] = [
    {"name": "no-shell", "team": "fenced", "tools_deny": ["bash", "mcp__*__delete_*", "Run(*rm -rf*)"]},
    {"name": "few-tools", "team": "few", "tools_allow": ["read", "list"]},
    {
        "name": "few-models",
        "team": "few",
        "models_allow": ["gpt-4o-mini", "claude-*", "house-*"],
        "models_deny": ["claude-opus*"],
    },
    {"name": "no-dear", "team": "cheap", "models_deny": ["gpt-4o"]},
    {"name": "watched", "team": "watched", "mode": "observe", "tools_deny": ["bash"], "models_deny": ["gpt-4o"]},
]


@pytest.fixture(scope="module")
def fenced(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
    ]
    aliases = [{"name": "house-model", "upstream": "openai", "target": "gpt-4o"}]
    home = tmp_path_factory.mktemp("fenced") / "home"
    with Jevons(home, *upstreams, models=aliases, access=TABLES) as jevons:
        yield Gateway(jevons, standin)
        assert check(jevons.ledger) == []


def tool(door: str, name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"command": {"type": "string"}}}
    if door == "messages":
        return {"name": name, "input_schema": schema}
    about = {"name": name, "parameters": schema}
    return {"type": "function", **about} if door == "responses" else {"type": "function", "function": about}


def names(door: str, body: dict[str, Any]) -> list[str]:
    return [one["function"]["name"] if door == "chat" else one["name"] for one in body.get("tools", [])]


@pytest.mark.parametrize("door", DOORS)
def test_denied_tools_are_not_offered(fenced: Gateway, door: str) -> None:
    """The provider never hears of them, the client is told, everything else is sent as it was."""
    key, mark = fenced.key(team="fenced"), marker()
    offered = ["read", "Bash", "mcp__github__delete_repo", "mcp__github__get_issue", "Run"]
    body = body_of(door, MODELS[door], marker=mark) | {"tools": [tool(door, name) for name in offered], "temperature": 0.25}
    got = fenced.post(door, key, body)
    assert (got.status, got.headers["x-jevons-tools-removed"]) == (200, "Bash, mcp__github__delete_repo")
    sent = json.loads(fenced.attempts(mark)[0].body)
    assert names(door, sent) == ["read", "mcp__github__get_issue", "Run"], "of Run only some calls are denied"
    assert {**sent, "tools": None} == {**body, "tools": None}
    plain = fenced.post(door, fenced.key(), body)
    assert "x-jevons-tools-removed" not in plain.headers


@pytest.mark.parametrize("door", DOORS)
def test_an_allow_list_lets_through_what_it_names(fenced: Gateway, door: str) -> None:
    """Where nothing is left, the members that belong to tools go too."""
    key, mark = fenced.key(team="few"), marker()
    model = "claude-sonnet-4-5" if door == "messages" else "gpt-4o-mini"
    body = body_of(door, model, marker=mark) | {"tools": [tool(door, "write"), tool(door, "READ")]}
    assert fenced.post(door, key, body).status == 200
    body["tools"] = body["tools"][:1]
    body["tool_choice"] = {"type": "auto"} if door == "messages" else "auto"
    assert fenced.post(door, key, body).status == 200
    first, second = [json.loads(attempt.body) for attempt in fenced.attempts(mark)]
    assert names(door, first) == ["READ"]
    assert first.keys() - second.keys() == {"tools"}
    assert "tool_choice" not in second


def test_a_name_cannot_say_another_header(fenced: Gateway) -> None:
    body = body_of("chat", "gpt-4o-mini") | {"tools": [tool("chat", "write\r\nx-forged: 1"), tool("chat", "read")]}
    got = fenced.post("chat", fenced.key(team="few"), body)
    assert (got.status, got.headers["x-jevons-tools-removed"]) == (200, "write??x-forged: 1")
    assert "x-forged" not in got.headers


@pytest.mark.parametrize("door", DOORS)
def test_a_denied_tool_cannot_be_forced(fenced: Gateway, door: str) -> None:
    key, mark = fenced.key(team="fenced"), marker()
    body = body_of(door, MODELS[door], marker=mark) | {"tools": [tool(door, "bash"), tool(door, "read")]}
    body["tool_choice"] = {
        "chat": {"type": "function", "function": {"name": "bash"}},
        "messages": {"type": "tool", "name": "bash"},
        "responses": {"type": "function", "name": "bash"},
    }[door]
    got = fenced.post(door, key, body)
    assert (got.status, got.error["type"], got.headers["x-should-retry"]) == (403, "permission_error", "false")
    assert "bash" in got.error["message"]
    assert fenced.attempts(mark) == []


@pytest.mark.parametrize("model", ["gpt-4o", "claude-opus-4-1", "openai/gpt-4o", "gpt-4.1"])
def test_a_model_that_is_not_allowed(fenced: Gateway, model: str) -> None:
    door = "messages" if model.startswith("claude") else "chat"
    key, mark = fenced.key(team="few"), marker()
    got = fenced.post(door, key, body_of(door, model, marker=mark))
    assert (got.status, got.error["type"]) == (403, "permission_error")
    assert (got.error["jevons"]["reason"], got.error["jevons"]["access"]) == ("access", "few-models")
    assert fenced.attempts(mark) == []
    assert fenced.ids(key) == []


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o", "house-model"])
def test_no_other_name_is_a_way_around_a_denial(fenced: Gateway, model: str) -> None:
    """`house-model` is gpt-4o by the operator's own name."""
    key = fenced.key(team="cheap")
    got = fenced.post("chat", key, body_of("chat", model))
    assert (got.status, got.error["code"], got.error["jevons"]["pattern"]) == (403, "model_not_allowed", "gpt-4o")
    assert fenced.post("chat", key, body_of("chat", "gpt-4o-mini")).status == 200
    assert fenced.post("chat", fenced.key(team="few"), body_of("chat", "house-model")).status == 200, "allowed by its own name"


def test_a_budget_does_not_lead_to_a_denied_model(fenced: Gateway) -> None:
    """Degraded to the next one that may be used."""
    key = fenced.key(team="cheap")
    limit(fenced, key, usd=1, degrade_at=0, degrade_to=["gpt-4o", "gpt-4o-mini"])
    assert fenced.post("chat", key, body_of("chat", "gpt-4-turbo")).headers["x-jevons-model"] == "gpt-4o-mini"


def calls(door: str, model: str, stream: bool, *called: dict[str, Any], **script: Any) -> dict[str, Any]:
    """A request that the model answers with a few words and then these calls."""
    offered = [tool(door, name) for name in ("read", "Run", "other")]
    return body_of(door, model, stream, cap=200, reply="Well:", tools=called, **{"chunks": 1, **script}) | {"tools": offered}


DENIED = {"name": "bash", "arguments": {"command": "canary-4711"}}
ARGUED = {"name": "run", "arguments": {"command": "sudo rm -rf /canary-4711"}}
HARMLESS = {"name": "Run", "arguments": {"command": "ls"}}


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
@pytest.mark.parametrize(
    "called", [[DENIED], [ARGUED], [HARMLESS, DENIED], [DENIED, HARMLESS]], ids=["name", "arguments", "last", "first"]
)
def test_a_denied_call_in_a_stream(fenced: Gateway, door: str, model: str, called: list[dict[str, Any]]) -> None:
    """What came before it is heard, nothing of it is, and the stream ends in an error. It costs what the provider says."""
    key, mark = fenced.key(10**12, team="fenced"), marker()
    got = fenced.post(door, key, calls(door, model, True, *called, marker=mark))
    assert (got.status, got.whole) == (200, False)
    told = b"".join(data for _, data in got.events[:-1])
    assert b"Well:" in told
    assert b"canary-4711" not in got.body
    assert b"bash" not in told
    error = error_in(got, door)
    assert "which is not allowed here" in error["message"]
    check_charge(fenced, key, mark, model)


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
@pytest.mark.parametrize("called", [[DENIED], [ARGUED], [HARMLESS, DENIED]], ids=["name", "arguments", "last"])
def test_a_denied_call_in_a_whole_answer(fenced: Gateway, door: str, model: str, called: list[dict[str, Any]]) -> None:
    key, mark = fenced.key(10**12, team="fenced"), marker()
    got = fenced.post(door, key, calls(door, model, False, *called, marker=mark))
    assert (got.status, got.error["type"], got.headers["x-should-retry"]) == (403, "permission_error", "false")
    assert b"canary-4711" not in got.body
    assert b"Well:" not in got.body
    assert got.error["jevons"]["access"] == "no-shell"
    check_charge(fenced, key, mark, model)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("interleave", [False, True])
def test_a_denied_call_in_many_pieces(fenced: Gateway, door: str, interleave: bool) -> None:
    """Not a piece of it, nor of a call that is told along with it. The calls before it were whole, and were heard."""
    key = fenced.key(10**12, team="fenced")
    script = {"chunks": 7, "interleave": interleave}
    got = fenced.post(
        door, key, calls(door, MODELS[door], True, HARMLESS, {**DENIED, "arguments": {"command": "x " * 40}}, **script)
    )
    assert (got.status, got.whole) == (200, False)
    told = b"".join(data for _, data in got.events[:-1])
    assert b"bash" not in told
    assert b"x x" not in told
    assert error_in(got, door)
    assert interleave or b'"Run"' in told


def check_charge(gateway: Gateway, key: Key, mark: str, model: str) -> None:
    [entry] = gateway.settled(key, 1)
    bill = gateway.attempt(mark).bill
    assert bill is not None
    assert (entry["outcome"], entry["estimate"]) == ("ok", "")
    provider = "anthropic" if model.startswith("claude") else "openai"
    assert entry["billed_nusd"] == gateway.cost_nusd(provider, model, bill) > 0
    assert (entry["input"], entry["output"]) == (bill.input, bill.output)


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
@pytest.mark.parametrize("stream", [False, True])
def test_an_allowed_call_passes_as_it_came(fenced: Gateway, door: str, model: str, stream: bool) -> None:
    """Byte for byte what a caller without a fence gets."""
    body = calls(door, model, stream, HARMLESS, {"name": "other", "arguments": {"x": [1, 2]}})
    through, past = (fenced.post(door, fenced.key(team=team), body) for team in ("fenced", ""))
    assert (through.status, through.whole) == (200, True)
    assert same(through) == same(past)


def same(got: Got) -> list[Any]:
    """An answer without what is new in each."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            fresh = {"id", "item_id", "call_id", "tool_use_id", "created", "created_at", "completed_at", "obfuscation"}
            return {name: known(item) for name, item in value.items() if name not in fresh}
        return [known(item) for item in value] if isinstance(value, list) else value

    if got.headers["content-type"].startswith("application/json"):
        return [known(got.json)]
    return [(name, known(json.loads(data)) if data != b"[DONE]" else "") for name, data in got.events]


def test_an_observed_table_denies_nothing(fenced: Gateway) -> None:
    """One line for each kind says what it would have done."""
    key, mark = fenced.key(team="watched"), marker()
    body = calls("chat", "gpt-4o", True, DENIED, marker=mark)
    body["tools"].append(tool("chat", "bash"))
    got = fenced.post("chat", key, body, **{"x-jevons-run-id": "r"})
    assert (got.status, got.whole, "x-jevons-tools-removed" in got.headers) == (200, True, False)
    assert b"canary-4711" in got.body
    assert "bash" in names("chat", json.loads(fenced.attempts(mark)[0].body))
    wait_until(lambda: {row["action"] for row in rows(fenced, key)} == {"would-deny"})


def test_a_denial_is_in_the_audit_log(fenced: Gateway) -> None:
    key = fenced.key(team="fenced")
    fenced.post("chat", key, calls("chat", "gpt-4o", True, DENIED), **{"x-jevons-run-id": "r"})
    wait_until(lambda: rows(fenced, key))
    [row] = rows(fenced, key)
    assert (row["action"], row["subject"]) == ("denied", f"key:{key.name}")
    assert row["detail"] == {"reason": "access", "what": "call bash", "pattern": "bash", "run": "r"}


def rows(gateway: Gateway, key: Key) -> list[dict[str, Any]]:
    found = gateway.admin("GET", "/audit?limit=50").json["rows"]
    return [row for row in found if key.name in row["subject"] and row["action"] != "key-create"]
