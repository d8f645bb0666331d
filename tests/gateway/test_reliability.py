"""Providers that fail, slow down, have had enough or answer nonsense, with another beside them: who answers, and what is charged.

Each faulty upstream is the stand-in with a script in a header of its own; `well` is the same without. Models are named apart, so that no test finds
the breaker that another has opened.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import msgspec
import pytest

from jevons.core.limits import BREAKER_FAILURES
from jevons.gateway.auth_upstream import credentials_for
from jevons.gateway.probes import answers_now
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.unanswered import seconds_of
from jevons.gateway.upstreams import live
from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.test_leaving import leave, wait_received
from tests.provider import Provider
from tests.running import Jevons, upstream

FAULTS: dict[str, dict[str, Any]] = {
    "failing": {"fault": "status", "status": 500},
    "dying": {"fault": "reset_before_headers"},
    "garbled": {"fault": "invalid_json"},
    "limited": {"fault": "status", "status": 429, "retry_after": 60},
    "limited-too": {"fault": "status", "status": 429, "retry_after": 90},
    "slow": {"first_delay_ms": 1_200},
    "slowish": {"first_delay_ms": 300},
    "late": {"first_delay_ms": 300, "fault": "status", "status": 500},
    "once": {"fault": "status", "status": 500, "fault_times": 1, "marker": "once"},
}
PATTERNS = ("nothing-by-pattern",)
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4-turbo")
MCP = {"type": "mcp", "server_label": "one", "server_url": "https://mcp.example", "require_approval": "never"}
COMMON: dict[str, Any] = {"provider": "openai", "models": PATTERNS, "retries": 0, "probe": ""}


def tables(url: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Upstreams and aliases: NAME/MODEL asks NAME, then `well`."""
    upstreams = [upstream("well", url, **COMMON)]
    for name, script in FAULTS.items():
        more = {"hedge_ms": 40} if name in ("slow", "slowish", "late") else {}
        upstreams.append(upstream(name, url, **COMMON, **more, headers={"x-stand-in-script": json.dumps(script)}))
    upstreams += [
        upstream("quick", url, **COMMON, hedge_ms=2_000),
        upstream("refusing", url, **(COMMON | {"key": "sk-wrong-canary"})),
        upstream("tiered", url, **COMMON, tiers=["flex"]),
        {"name": "keyed", "base_url": url, **COMMON, "key_envs": ["KEY_ONE", "KEY_TWO"]},
        {"name": "unfed", "base_url": url, **COMMON, "auth": "command", "command": ["false"]},
        {"name": "theirs", "base_url": url, **COMMON, "auth": "client"},
        {"name": "theirs-too", "base_url": url, **COMMON, "auth": "client"},
        upstream("claude", url.removesuffix("/v1"), "anthropic", **(COMMON | {"provider": "anthropic"})),
        {"name": "half-keyed", "base_url": url, **COMMON, "key_envs": ["KEY_WRONG", "KEY_TWO"]},
    ]
    pairs = [(name, "well") for name in (*FAULTS, "quick", "refusing")]
    rows = [
        {"name": f"{first}+{model}", "upstream": who, "target": model}
        for first, other in pairs
        for model in MODELS
        for who in (first, other)
    ]
    rows += [{"name": "all-limited", "upstream": who, "target": "gpt-4o"} for who in ("limited", "limited-too")]
    chains = {
        "unfed+well": [("unfed", "gpt-4o"), ("well", "gpt-4o")],
        "theirs+well": [("theirs", "gpt-4o"), ("theirs-too", "gpt-4o"), ("well", "gpt-4o")],
        "claude+well": [("claude", "claude-haiku-4-5"), ("well", "gpt-4o")],
        "failing+claude": [("failing", "gpt-4"), ("claude", "claude-haiku-4-5")],
        "late+claude": [("late", "gpt-4"), ("claude", "claude-haiku-4-5")],
        "unpriced+well": [("well", "of-no-known-price"), ("well", "gpt-4o")],
    }
    rows += [{"name": name, "upstream": who, "target": model} for name, chain in chains.items() for who, model in chain]
    rows += [{"name": "slowish+failing", "upstream": who, "target": "gpt-4o"} for who in ("slowish", "failing")]
    rows += [
        {"name": "shared", "upstream": who, "target": "gpt-4o", "weight": share} for who, share in (("quick", 3), ("well", 1))
    ]
    return upstreams, rows


@pytest.fixture(scope="module")
def pair(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams, rows = tables(standin.openai_url)
    home = tmp_path_factory.mktemp("pair") / "home"
    keys = {"KEY_ONE": "sk-first", "KEY_TWO": "sk-second", "KEY_WRONG": "sk-wrong-canary"}
    raced = {"name": "raced", "models": ["raced"], "to": ["slow/gpt-4o-mini", "well/gpt-4o"]}
    with Jevons(home, *upstreams, models=rows, routes=[raced], environ=keys) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]
    assert check(jevons.ledger) == []


@pytest.fixture(scope="module")
def own(pair: Gateway) -> Key:
    return pair.key()


def ask(pair: Gateway, key: Key, model: str, stream: bool = False, run: str = "", **script: Any) -> Got:
    headers = {"x_jevons_run_id": run} if run else {}
    return pair.post("chat", key, body_of("chat", model, stream, **{"reply": "one two", **script}), **headers)


def told(pair: Gateway, got: Got) -> list[tuple[str, str, str]]:
    return [(one["upstream"], one["outcome"], one["role"]) for one in pair.entries_of(got)]


def circuits(pair: Gateway) -> dict[str, dict[str, Any]]:
    return {
        f"{one['upstream']}#{one['credential']}/{one['model']}": one for one in pair.admin("GET", "/upstreams").json["circuits"]
    }


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        (name, stream)
        for name in ("failing", "dying", "garbled", "refusing")
        for stream in (False, True)
        if name != "garbled" or not stream
    ],
)
def test_another_answers(pair: Gateway, own: Key, name: str, stream: bool) -> None:
    """Each attempt is an entry of its own; what the first may have cost is charged as ever."""
    model = MODELS[stream]
    got = ask(pair, own, f"{name}+{model}", stream)
    assert (got.status, got.whole, got.headers["x-jevons-route"]) == (200, True, f"well/{model}")
    assert told(pair, got) == [(name, "error", ""), ("well", "ok", "failover")]
    first, second = pair.entries_of(got)
    assert second["estimate"] == "" and second["billed_nusd"] > 0
    assert (first["billed_nusd"] > 0) == (name in ("dying", "garbled")), "nobody knows what those cost"


def test_who_fails_again_and_again_is_passed_over(pair: Gateway, own: Key) -> None:
    for _ in range(BREAKER_FAILURES):
        assert ask(pair, own, "failing+gpt-4.1").status == 200
    assert told(pair, ask(pair, own, "failing+gpt-4.1")) == [("well", "ok", "")]
    found = circuits(pair)["failing#0/gpt-4.1"]
    assert (found["standing"], found["failures_in_a_row"], found["why"]) == ("open", BREAKER_FAILURES, "error 500")
    assert found["until_ms"] > time.time() * 1000
    assert circuits(pair)["well#0/gpt-4.1"]["standing"] == "ready"
    page = pair.get("/metrics").body.decode()
    assert 'jevons_circuits{standing="open",upstream="failing"} 1' in page
    assert 'jevons_failovers_total{upstream="failing"}' in page


def test_a_refused_credential_is_not_tried_twice(pair: Gateway, own: Key) -> None:
    assert told(pair, ask(pair, own, "refusing+gpt-4.1"))[0][0] == "refusing"
    assert told(pair, ask(pair, own, "refusing+gpt-4.1")) == [("well", "ok", "")]


def test_whoever_asked_to_wait_is_not_called_until_then(pair: Gateway, own: Key) -> None:
    """Retry-After of that upstream, credential and model; another model of it is called as ever."""
    assert told(pair, ask(pair, own, "limited+gpt-4.1")) == [("limited", "error", ""), ("well", "ok", "failover")]
    assert told(pair, ask(pair, own, "limited+gpt-4.1")) == [("well", "ok", "")]
    found = circuits(pair)["limited#0/gpt-4.1"]
    assert found["standing"] == "cooling" and 50_000 < found["until_ms"] - time.time() * 1000 <= 60_000
    assert told(pair, ask(pair, own, "limited+gpt-4.1-mini"))[0][0] == "limited"


def test_when_all_ask_to_wait_the_client_is_told_how_long(pair: Gateway, own: Key) -> None:
    got = ask(pair, own, "all-limited")
    assert got.status == 429 and [one[0] for one in told(pair, got)] == ["limited", "limited-too"]
    got = ask(pair, own, "all-limited")
    assert (got.status, got.error["code"]) == (429, "upstreams_cooling")
    assert 50 < int(got.headers["retry-after"]) <= 60 and told(pair, got) == []


def test_one_that_is_alone_is_always_asked(pair: Gateway, own: Key) -> None:
    """Its own words are better than ours."""
    for _ in range(BREAKER_FAILURES + 1):
        got = ask(pair, own, "failing/gpt-4.1-nano")
        assert got.status == 500 and told(pair, got) == [("failing", "error", "")]
    got = ask(pair, own, "limited/gpt-4.1-nano")
    got = ask(pair, own, "limited/gpt-4.1-nano")
    assert got.status == 429 and told(pair, got) == [("limited", "error", "")]


def test_weights_share_the_calls_and_a_run_stays_where_it_is(pair: Gateway, own: Key) -> None:
    first = Counter(told(pair, ask(pair, own, "shared", marker=marker()))[0][0] for _ in range(32))
    assert set(first) == {"quick", "well"}
    for run in ("r1", "r2", "r3", "r4"):
        assert len({told(pair, ask(pair, own, "shared", run=run))[0][0] for _ in range(3)}) == 1


def test_calls_are_spread_over_keys(pair: Gateway, own: Key) -> None:
    marks = [marker() for _ in range(16)]
    for mark in marks:
        assert ask(pair, own, "keyed/gpt-4o", marker=mark).status == 200
    sent = Counter(pair.attempt(mark).header("authorization") for mark in marks)
    assert set(sent) == {"Bearer sk-first", "Bearer sk-second"}


def asks_with(pair: Gateway, key: Key, model: str, credential: str, **more: Any) -> Got:
    """With a credential of the client's own; "" = none."""
    headers = {"x_jevons_key": key.secret} | ({"authorization": f"Bearer {credential}"} if credential else {})
    return pair.post("chat", None, body_of("chat", model, **{"reply": "one", **more}), **headers)


def test_the_clients_own_credential_goes_to_one_upstream_alone(pair: Gateway, own: Key) -> None:
    """The one that the name it asks for goes to. Where that fails, those of ours stand in, and no other that is called with the client's."""
    mark = marker()
    got = asks_with(pair, own, "theirs+well", "sk-of-the-client", marker=mark, fault="status", status=500, fault_times=1)
    assert got.status == 200 and told(pair, got) == [("theirs", "error", ""), ("well", "ok", "failover")]
    assert [one.header("authorization") for one in pair.attempts(mark)] == [
        "Bearer sk-of-the-client",
        "Bearer sk-upstream-secret",
    ]


def test_who_sends_no_credential_is_answered_with_ours(pair: Gateway, own: Key) -> None:
    got = asks_with(pair, own, "theirs+well", "")
    assert got.status == 200 and told(pair, got) == [("theirs", "void", ""), ("well", "ok", "failover")]


def test_one_client_that_has_had_enough_cools_nothing_down_for_others(pair: Gateway, own: Key) -> None:
    """With its own credential: that is its account at the provider, and nobody else's."""
    limited = {"fault": "status", "status": 429, "retry_after": 60}
    got = asks_with(pair, own, "theirs+well", "sk-used-up", marker=marker(), **limited, fault_times=1)
    assert told(pair, got) == [("theirs", "error", ""), ("well", "ok", "failover")]
    assert told(pair, asks_with(pair, own, "theirs+well", "sk-of-another")) == [("theirs", "ok", "")]


def test_a_credential_that_cannot_be_had_is_one_targets_matter(pair: Gateway, own: Key) -> None:
    """Nothing was sent, so the client's Idempotency-Key stands with the one that answers."""
    body = body_of("chat", "unfed+well", reply="one")
    got = pair.post("chat", own, body, idempotency_key="of-two")
    assert got.status == 200 and told(pair, got) == [("unfed", "unreachable", ""), ("well", "ok", "failover")]
    assert pair.post("chat", own, body, idempotency_key="of-two").error["code"] == "idempotent_repeat"
    alone = [pair.post("chat", own, body_of("chat", "unfed/gpt-4o"), idempotency_key="of-one") for _ in range(2)]
    assert [got.error["code"] for got in alone] == ["credential_command_failed"] * 2


@pytest.mark.parametrize("model", ["claude+well", "unpriced+well"])
def test_what_one_target_cannot_do_another_does(pair: Gateway, own: Key, model: str) -> None:
    """Messages has no log-probabilities; a model of no known price is not asked."""
    got = pair.post("chat", own, body_of("chat", model, reply="one") | {"logprobs": True})
    assert got.status == 200 and [one[:2] for one in told(pair, got)] == [("well", "ok")]
    alone = pair.post("chat", own, body_of("chat", "claude/claude-haiku-4-5", reply="one") | {"logprobs": True})
    assert (alone.status, told(pair, alone)) == (400, [])


@pytest.mark.parametrize("model", ["failing+claude", "late+claude"])
def test_the_error_of_whoever_was_asked_stands(pair: Gateway, own: Key, model: str) -> None:
    """Not that another could not be told so at all; also where that other was to be raced."""
    got = pair.post("chat", own, body_of("chat", model, reply="one") | {"logprobs": True})
    assert got.status == 500 and [one[1] for one in told(pair, got)] == ["error"]


def test_a_key_that_is_refused_leaves_the_others(pair: Gateway, own: Key) -> None:
    for _ in range(16):
        assert ask(pair, own, "half-keyed/gpt-4o", marker=marker()).status == 200
    found = circuits(pair)
    assert found["half-keyed#0/gpt-4o"]["standing"] == "open"
    assert found["half-keyed#1/gpt-4o"]["standing"] == "ready"


def test_what_a_provider_stores_lies_under_the_first_key(pair: Gateway, own: Key) -> None:
    marks = [marker() for _ in range(6)]
    for mark in marks:
        got = pair.post("responses", own, body_of("responses", "keyed/gpt-4.1", marker=mark, reply="one"))
        assert got.status == 200
    assert {pair.attempt(mark).header("authorization") for mark in marks} == {"Bearer sk-first"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_first_byte_is_raced(pair: Gateway, own: Key, stream: bool) -> None:
    """Whoever begins first is shown; the other is cut off, and charged as a call that was left."""
    got = ask(pair, own, "slow+gpt-4o", stream)
    assert (got.status, got.whole, got.headers["x-jevons-route"]) == (200, True, "well/gpt-4o")
    entries = pair.entries_of(got)
    assert [(one["upstream"], one["outcome"], one["role"]) for one in entries] == [
        ("slow", "cancelled", ""),
        ("well", "ok", "hedge"),
    ]
    assert entries[0]["estimate"] in ("seen", "hold") and entries[0]["billed_nusd"] > 0
    [loss] = entries[0]["savings"]
    assert (loss["kind"], loss["nusd"], entries[0]["baseline_nusd"]) == ("route", -entries[0]["list_nusd"], 0)
    assert entries[1]["savings"] == []
    assert 'jevons_hedges_total{end="won",upstream="slow"}' in pair.get("/metrics").body.decode()


def test_a_quick_one_is_not_raced(pair: Gateway, own: Key) -> None:
    got = ask(pair, own, "quick+gpt-4o", True)
    assert told(pair, got) == [("quick", "ok", "")]


def test_a_race_that_the_first_wins(pair: Gateway, own: Key) -> None:
    got = ask(pair, own, "slowish+gpt-4.1", True, first_delay_ms=4_000)
    assert got.whole and told(pair, got) == [("slowish", "ok", ""), ("well", "cancelled", "hedge")]
    assert [one["baseline_nusd"] for one in pair.entries_of(got)] == [pair.entries_of(got)[0]["list_nusd"], 0]
    assert 'jevons_hedges_total{end="lost",upstream="slowish"}' in pair.get("/metrics").body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_a_race_whose_first_fails_is_the_seconds(pair: Gateway, own: Key, stream: bool) -> None:
    got = ask(pair, own, "late+gpt-4o", stream, first_delay_ms=700)
    assert got.status == 200 and told(pair, got) == [("late", "error", ""), ("well", "ok", "hedge")]


def test_a_race_whose_second_fails_is_the_firsts(pair: Gateway, own: Key) -> None:
    got = ask(pair, own, "slowish+failing", True)
    assert got.status == 200 and told(pair, got) == [("slowish", "ok", ""), ("failing", "error", "hedge")]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("what a provider stores", body_of("responses", "slowish+gpt-4.1-mini", reply="one")),
        ("what acts elsewhere", body_of("responses", "slowish+gpt-4.1-mini", reply="one") | {"store": False, "tools": [MCP]}),
        ("several answers", body_of("chat", "slowish+gpt-4.1-mini", reply="one", n=2) | {"n": 2}),
        ("a long answer that nobody watches", body_of("chat", "slowish+gpt-4.1-nano", cap=5_000, reply="one")),
    ],
)
def test_what_is_not_raced(pair: Gateway, own: Key, what: str, body: dict[str, Any]) -> None:
    got = pair.post("responses" if "input" in body else "chat", own, body)
    assert told(pair, got) == [("slowish", "ok", "")], what


def test_no_money_for_a_second_is_no_error(pair: Gateway, own: Key) -> None:
    got = ask(pair, own, "well/gpt-4-turbo")
    [entry] = pair.entries_of(got)
    key = pair.key(entry["held_nusd"] * 3 // 2)
    got = ask(pair, key, "slowish+gpt-4-turbo", True)
    assert got.status == 200 and told(pair, got) == [("slowish", "ok", "")]


def test_a_client_that_leaves_a_race_leaves_both(pair: Gateway) -> None:
    """Two attempts under way, and the client goes: both are settled."""
    key, mark = pair.key(), marker()
    leave(pair, key, "chat", True, b"", "slow+gpt-4o-mini", marker=mark, first_delay_ms=5_000)
    entries = pair.settled(key, 2)
    assert [(one["outcome"], one["role"], one["billed_nusd"] > 0) for one in entries] == [
        ("cancelled", "", True),
        ("cancelled", "hedge", True),
    ]


def test_what_nobody_was_shown_saved_nothing(pair: Gateway) -> None:
    """A route's dearer reference would have answered once, not for each attempt; that of a race which nobody won is what it cost."""
    got = ask(pair, key := pair.key(), "raced", True, text="word " * 500)
    slow, well = pair.entries_of(got)
    assert (slow["baseline_nusd"], well["baseline_nusd"]) == (0, well["list_nusd"])
    leave(pair, key, "chat", True, b"", "raced", marker=marker(), first_delay_ms=5_000)
    assert all(entry["savings"] == [] for entry in pair.settled(key, 3)[2:])


def test_a_kill_stops_both(pair: Gateway) -> None:
    key, mark, answered = pair.key(), marker(), []
    body = {"marker": mark, "first_delay_ms": 5_000}
    asking = threading.Thread(target=lambda: answered.append(ask(pair, key, "slow+gpt-4.1-mini", True, **body)))
    asking.start()
    wait_received(pair, mark)
    assert pair.admin("POST", "/kills", {"subject": f"key:{key.name}"}).status == 200
    asking.join()
    assert answered[0].error["jevons"]["reason"] == "killed"
    assert {one["outcome"] for one in pair.settled(key, 2)} <= {"stopped", "cancelled"}


def test_who_answered_a_run_goes_on_while_its_prompt_is_warm_there(pair: Gateway) -> None:
    """The first failed once, and is well again: moving back would compute anew what the other has cached."""
    key = pair.key()
    body = body_of("chat", "once+gpt-4o", reply="one two")
    body["messages"].insert(0, {"role": "system", "content": "You are a careful assistant. " * 400})

    def who(run: str) -> str:
        got = pair.post("chat", key, body, x_jevons_run_id=run)
        return str(told(pair, got)[-1][0])

    assert [who("warm"), who("warm"), who("other")] == ["well", "well", "once"]
    assert who("warm") == "once", "now it is warm there too"


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_can_wait_takes_the_cheaper_tier(pair: Gateway, own: Key, stream: bool) -> None:
    key, mark = pair.key(tiers=["flex"]), marker()
    got = ask(pair, key, "tiered/o3", stream, marker=mark)
    assert got.status == 200
    assert json.loads(pair.attempt(mark).body)["service_tier"] == "flex"
    entry, plain = pair.entry_of(got), pair.entry_of(ask(pair, own, "tiered/o3", stream, marker=mark))
    assert entry["billed_nusd"] * 2 == plain["billed_nusd"] and entry["held_nusd"] == plain["held_nusd"]
    [line] = entry["savings"]
    assert (line["kind"], line["nusd"], entry["baseline_nusd"]) == ("route", entry["billed_nusd"], plain["billed_nusd"])


@pytest.mark.parametrize(("model", "status"), [("o4-mini", 429), ("gpt-5-mini", 400)])
def test_a_tier_that_cannot_be_had_is_left_for_the_default(pair: Gateway, model: str, status: int) -> None:
    """OpenAI answers 429 where flex has no capacity, 400 where an account or a model has no such tier, and bills nothing."""
    key, mark = pair.key(tiers=["flex"]), marker()
    fault = {"fault": "status", "status": status, "code": "resource_unavailable", "fault_times": 1}
    got = ask(pair, key, f"tiered/{model}", marker=mark, **fault)
    assert got.status == 200
    assert [(one["status"], one["role"], one["billed_nusd"] > 0) for one in pair.entries_of(got)] == [
        (status, "", False),
        (200, "retry", True),
    ]
    sent = [json.loads(attempt.body).get("service_tier") for attempt in pair.attempts(mark)]
    assert sent == ["flex", None]


@pytest.mark.parametrize(
    ("model", "more", "tier"),
    [("tiered/gpt-4o", {}, None), ("well/o3", {}, None), ("tiered/o3", {"service_tier": "default"}, "default")],
)
def test_where_no_tier_is_asked_for(pair: Gateway, model: str, more: dict[str, Any], tier: str | None) -> None:
    """No discount is listed, the upstream is not said to take it, or the client names its own."""
    key, mark = pair.key(tiers=["flex"]), marker()
    got = pair.post("chat", key, body_of("chat", model, marker=mark, reply="one") | more)
    assert got.status == 200 and json.loads(pair.attempt(mark).body).get("service_tier") == tier


def test_what_was_learnt_outlasts_a_restart(pair: Gateway, own: Key) -> None:
    assert len(told(pair, ask(pair, own, "limited+gpt-4-turbo"))) == 2
    pair.jevons.stop()
    pair.jevons.start()
    assert told(pair, ask(pair, own, "limited+gpt-4-turbo")) == [("well", "ok", "")]


@pytest.mark.parametrize(
    ("said", "in_ms", "seconds"),
    [
        ("7", "", 7.0),
        ("1.5", "", 1.5),
        ("7", "1500", 1.5),
        ("", "", 0.0),
        ("soon", "", 0.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", "", 0.0),
    ],
)
def test_how_long_a_provider_asks_to_wait(said: str, in_ms: str, seconds: float) -> None:
    assert seconds_of(said, in_ms) == seconds


def test_a_date_to_wait_for() -> None:
    assert 3500 < seconds_of(formatdate(time.time() + 3600, usegmt=True)) <= 3600


@pytest.mark.parametrize(
    ("more", "answers"),
    [
        ({}, True),
        ({"key": "sk-wrong-canary"}, False),
        ({"base_url": "http://127.0.0.1:9/v1"}, False),
        ({"probe": "/nowhere"}, True),
        ({"auth": "client"}, None),
    ],
)
def test_a_probe_asks_whether_it_is_there(standin: Provider, more: dict[str, Any], answers: bool | None) -> None:
    """The list of models: it costs nothing, and needs the credential."""
    table = upstream("one", standin.openai_url) | more

    async def probed() -> bool | None:
        made = live(msgspec.convert(table, UpstreamSettings))
        try:
            return await answers_now(made, 0)
        finally:
            await made.upstream.close()

    assert asyncio.run(probed()) is answers


def test_a_tier_that_nobody_can_wait_for_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match="batch"):
        live(UpstreamSettings("one", key="sk-x", tiers=("batch",)))


@pytest.mark.parametrize("more", [{"key": "sk-x"}, {"key_env": "ONE"}, {"auth": "none"}])
def test_several_keys_are_all_there_is(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="key_envs"):
        credentials_for(
            msgspec.convert({"name": "one", "key_envs": ["ONE", "TWO"], **more}, UpstreamSettings), {"ONE": "sk-1", "TWO": "sk-2"}
        )
