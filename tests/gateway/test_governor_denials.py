"""What a refused agent reads: in its dialect and status, with whom it concerns, what is used up, and what to do."""

from typing import Any

import pytest

from tests.gateway.asking import Gateway, body_of, marker
from tests.gateway.governing import FIRST_WORD, LONG, MODELS, Call, limit
from tests.gateway.test_budget import EXAMPLES, STOPPED

DOORS = ["chat", "messages", "responses"]
MEMBERS = {"reason", "scope", "limit_name", "measure", "window", "resets_ms", "remedy"}
WHOM = {
    "org": ("org:{org}", "Organisation '{org}'"),
    "team": ("team:{org}/t", "Team 't'"),
    "key": ("key:{key}", "Key '{key}'"),
    "agent": ("agent:{key}/a", "Agent 'a' of key '{key}'"),
    "run": ("run:{key}/r", "Run 'r' of key '{key}'"),
    "child": ("run:{key}/c", "Run 'c' of key '{key}'"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", DOORS)
def test_a_denial_in_each_dialect(gateway: Gateway, door: str, stream: bool) -> None:
    """A stream that is refused is refused before it begins, as plain JSON."""
    key, mark = gateway.key(), marker()
    name = limit(gateway, key, usd=0.005, per="day")
    body = body_of(door, MODELS[door], stream, cap=2000, marker=mark, tokens_out=150)
    while (got := gateway.post(door, key, body)).status == 200:
        pass  # cut to what is left, until that is too little
    assert (got.status, got.headers["x-should-retry"]) == (402, "false")
    assert got.headers["content-type"] == "application/json"
    assert "retry-after" not in got.headers
    assert got.error["type"] == ("billing_error" if door == "messages" else "insufficient_quota")
    if door == "messages":
        assert (got.json["type"], got.json["request_id"]) == ("error", got.request)
    else:
        assert got.error["code"] == "insufficient_quota"
    found = got.error["jevons"]
    spent = sum(entry["billed_nusd"] for entry in gateway.entries(key))
    assert spent > 0
    assert found.keys() == MEMBERS | {"limit_nusd", "spent_nusd", "held_nusd", "needed_nusd"}
    assert (found["limit_name"], found["limit_nusd"], found["spent_nusd"], found["held_nusd"]) == (name, 5_000_000, spent, 0)
    assert found["spent_nusd"] + found["needed_nusd"] > found["limit_nusd"]
    for words in (
        f"Key '{key.name}' has spent $0.00",
        f"of its limit '{name}' of $0.005 per day",
        "this call may cost up to $0.0",
    ):
        assert words in got.error["message"]
    assert f"`jevons limits` says where '{name}' is set" in got.error["message"]
    assert found["remedy"] in got.error["message"]


@pytest.mark.parametrize("scope", WHOM)
def test_whom_it_concerns(gateway: Gateway, scope: str) -> None:
    org = f"org-{marker()[:8]}"
    key = gateway.key(org=org, team="t")
    limit(gateway, scope=scope, org=org, steps=0)
    about = {"x-jevons-agent": "a", "x-jevons-run-id": "r"}
    if scope == "child":
        about |= {"x-jevons-run-id": "c", "x-jevons-parent-run-id": "r"}
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"), **about)
    subject, words = (text.format(org=org, key=key.name) for text in WHOM[scope])
    assert got.error["jevons"]["scope"] == subject
    assert got.error["message"].startswith(f"{words} has used 0 of the 0 steps that its limit")


@pytest.mark.parametrize("measure", ["seconds", "depth", "children", "context_tokens"])
def test_a_run_that_is_refused_can_read_why(gateway: Gateway, measure: str) -> None:
    key = gateway.key()
    name = limit(gateway, key, scope="run", **{measure: 0})
    about = {"x-jevons-run-id": "r", "x-jevons-parent-run-id": "root"}
    body = body_of("chat", "gpt-4o", first_delay_ms=1100 if measure == "seconds" else 0)
    while (got := gateway.post("chat", key, body, **about)).status == 200:
        pass
    found = got.error["jevons"]
    assert (got.status, found["reason"], found["limit_name"], found["limit"]) == (402, "limit", name, 0)
    assert found["value"] > 0
    assert f"limit '{name}' allows 0" in got.error["message"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("family", ["", *(family.name for family in STOPPED)])
def test_where_waiting_helps_it_is_429(gateway: Gateway, door: str, family: str) -> None:
    """For every client, with whole seconds: also for one that is stopped by another status when nothing helps."""
    key = gateway.key()
    limit(gateway, key, steps=1, per="30s")
    body = body_of(door, MODELS[door], cap=200)
    shown = {found.header: EXAMPLES[found.name] for found in STOPPED if found.name == family}
    assert gateway.post(door, key, body, **shown).status == 200
    got = gateway.post(door, key, body, **shown)
    assert (got.status, got.error["type"]) == (429, "rate_limit_error")
    assert 1 <= int(got.headers["retry-after"]) <= 31
    assert "x-should-retry" not in got.headers
    assert got.error["jevons"]["resets_ms"] > 0
    assert "There is room again at" in got.error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_where_open_calls_hold_it_is_429(gateway: Gateway, stream: bool) -> None:
    key = gateway.key()
    name = limit(gateway, key, usd=0.01)
    with Call(gateway, key, "chat", body_of("chat", "gpt-4o", True, cap=900, **{**LONG, "chunks": 60})) as call:
        call.heard(FIRST_WORD["chat"])
        got = gateway.post("chat", key, body_of("chat", "gpt-4o", stream, cap=900))
        assert (got.status, got.error["code"], got.headers["retry-after"]) == (429, "holds_open", "1")
        assert (got.error["jevons"]["limit_name"], got.error["jevons"]["held_nusd"] > 0) == (name, True)
        assert "but open calls hold it" in got.error["message"]
        call.end()
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", stream, cap=100)).status == 200


def test_a_long_wait_is_no_wait(gateway: Gateway) -> None:
    """Room in an hour: nobody's plan. It says when, and stops the client."""
    key = gateway.key()
    limit(gateway, key, steps=1, per="1h")
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20)).status == 200
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20))
    assert (got.status, "retry-after" in got.headers) == (402, False)
    assert got.error["jevons"]["resets_ms"] > 0


CAUSES: dict[str, dict[str, Any]] = {
    "limit": {"steps": 0},
    "approval": {"steps": 5, "approve": 0},
    "bound": {"context_tokens": 1},
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("family", STOPPED, ids=[family.name for family in STOPPED])
def test_a_client_is_stopped_its_own_way_whatever_the_cause(gateway: Gateway, family: Any, cause: str) -> None:
    key, own = gateway.key(), gateway.key(denial_status=418)
    for one in (key, own):
        limit(gateway, one, **CAUSES[cause])
    shows = {family.header: EXAMPLES[family.name]}
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"), **shows)
    assert (got.status, got.error["code"], "retry-after" in got.headers) == (family.status, "insufficient_quota", False)
    assert gateway.post("chat", own, body_of("chat", "gpt-4o"), **shows).status == 418, "its key says so"
    plain = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert (plain.status, plain.headers["x-should-retry"]) == (402, "false")
