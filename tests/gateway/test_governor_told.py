"""What the agent is told of its limits: in headers of every answer, and where it is wished in a note at the end of its request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jevons.core.entry import admitted_ms, parse_request_text
from tests.gateway.asking import Gateway, Key, body_of, marker
from tests.gateway.governing import MODELS, Talk, account, limit, run_id
from tests.provider import Attempt, Provider
from tests.running import Jevons, upstream

DOORS = ["chat", "messages", "responses"]
SYSTEM = "You work here. " + "Mind what was said before. " * 400


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", DOORS)
def test_every_answer_says_how_its_caller_stands(gateway: Gateway, door: str, stream: bool) -> None:
    """The least of what is left on the path; for a stream, while its own hold is open."""
    org, run = f"org-{marker()[:8]}", run_id()
    key = gateway.key(9 * 10**9, org=org)
    least = limit(gateway, scope="org", org=org, usd=5, per="day")
    limit(gateway, key, scope="agent", usd=8)
    limit(gateway, key, scope="run", steps=7)
    few = limit(gateway, key, steps=3)
    limit(gateway, key, steps=1, mode="observe")
    got = gateway.post(door, key, body_of(door, MODELS[door], stream), **{"x-jevons-run-id": run, "x-jevons-agent": "a"})
    assert got.status == 200
    now, entry = account(gateway, least), gateway.entry_of(got)
    spent = entry["held_nusd"] if stream else entry["billed_nusd"]
    assert int(got.headers["x-jevons-budget-remaining-nusd"]) == 5 * 10**9 - spent
    assert int(got.headers["x-jevons-budget-reset"]) * 1000 == now["window_end_ms"]
    assert got.headers["x-jevons-steps-remaining"] == "2"
    assert got.headers["x-jevons-run-id"] == run
    assert "x-jevons-warning" not in got.headers
    assert account(gateway, few)["available"] == 2


def test_without_a_limit_there_is_nothing_to_say(gateway: Gateway) -> None:
    got = gateway.post("chat", gateway.key(), body_of("chat", "gpt-4o"), **{"x-jevons-run-id": "r"})
    assert got.headers["x-jevons-budget-remaining-nusd"] == "unlimited"
    assert {"x-jevons-budget-reset", "x-jevons-steps-remaining", "x-jevons-warning"}.isdisjoint(got.headers)


def test_an_inferred_run_is_told_its_name(gateway: Gateway, any_key: Key) -> None:
    """So that its client may name it from then on."""
    talk = Talk("chat", f"Something of {marker()}.")
    first = gateway.post("chat", any_key, talk.body()).headers["x-jevons-run-id"]
    assert first.startswith("auto-")
    talk.assistant("Yes.").user("Then?")
    assert gateway.post("chat", any_key, talk.body()).headers["x-jevons-run-id"] == first


def test_a_rolling_window_says_when_all_of_it_is_there_again(gateway: Gateway) -> None:
    key = gateway.key()
    limit(gateway, key, usd=1, per="1h")
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    request = parse_request_text(got.request)
    assert request is not None
    admitted = admitted_ms(request)
    assert 0 <= int(got.headers["x-jevons-budget-reset"]) * 1000 - admitted - 3_600_000 <= 61_000


def test_a_warning_is_said_from_its_point_on(gateway: Gateway) -> None:
    key = gateway.key()
    name = limit(gateway, key, steps=5, warn=2)
    limit(gateway, key, steps=5, warn=0, mode="observe")
    found = [gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20)).headers.get("x-jevons-warning") for _ in range(3)]
    assert found[0] is None
    assert found[1:] == [f"{name}:steps key:{key.name} is past its warning"] * 2


@pytest.fixture(scope="module")
def telling(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that tells agents, and whose upstream has the caches of each test for itself (they go by credential)."""
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*", "text-embedding-*"), retries=0, key="sk-telling"),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0, key="sk-telling"),
    ]
    home = tmp_path_factory.mktemp("telling") / "home"
    with Jevons(home, *upstreams, governor={"tell_agent": True}) as jevons:
        yield Gateway(jevons, standin)


def half_used(gateway: Gateway) -> Key:
    key = gateway.key()
    limit(gateway, key, usd=1)
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=60_000, tokens_out=55_000)).status == 200
    return key


def received(gateway: Gateway, door: str, key: Key, body: dict[str, Any]) -> Attempt:
    """The request as the provider had it, and what it billed."""
    mark = marker()
    gateway.provider.script({"reply": "ok", "marker": mark})
    got = gateway.post(door, key, body)
    assert got.status == 200, got.body
    return gateway.attempt(mark)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("after", ["a person", "a tool"])
def test_a_note_stands_at_the_end_and_nothing_before_it_changes(telling: Gateway, door: str, after: str) -> None:
    key, talk = half_used(telling), Talk(door, "Begin.")
    if after == "a tool":
        talk.tool("look", {"at": 1}, "seen")
    body = talk.body()
    plain, told = (received(telling, door, one, body).body for one in (telling.key(), key))
    assert plain == json.dumps(body).encode(), "who has used nothing is told nothing"
    assert b"[Note from the gateway: $0.4" in told
    assert b"of a budget of $1.00 is left. Finish what matters most.]" in told
    last = json.dumps((body.get("messages") or body["input"])[-1]).encode()
    if door == "responses":
        assert told.startswith(plain[: plain.index(last) + len(last)])
    else:
        text = b'"seen' if after == "a tool" else b'"Begin.'
        assert told.startswith(plain[: plain.rindex(text) + len(text)])
    assert told.count(b"[Note from the gateway") == 1


def test_a_note_gives_warnings_and_what_is_nearly_used_up(telling: Gateway) -> None:
    key, talk = telling.key(), Talk("chat", f"Begin {marker()}.")
    name = limit(telling, key, scope="run", repeats=9, warn=2)
    limit(telling, key, steps=4)

    def told() -> bytes:
        return received(telling, "chat", key, talk.tool("look", {"at": 1}, "seen").body()).body

    assert b"Note from" not in told()
    warning = f"warning: {name}: repeats 2 of 9. Finish".encode()
    assert b"[Note from the gateway: " + warning in told()
    assert b"[Note from the gateway: 2 of 4 steps are left; warning: " in told()


@pytest.mark.parametrize("door", DOORS)
def test_the_next_turn_reads_as_much_from_the_providers_cache(telling: Gateway, door: str) -> None:
    """As one without notes, by the provider's own bill."""
    told, plain = (cached(telling, door, key) for key in (half_used(telling), telling.key()))
    assert min(plain) > 1024
    assert all(noted >= without for noted, without in zip(told, plain, strict=True)), (told, plain)


def cached(gateway: Gateway, door: str, key: Key) -> list[int]:
    """Tokens read from the cache at the second and third turn."""
    talk, read = Talk(door, "Begin."), list[int]()
    system = f"{marker()} {SYSTEM}"  # its cache is its own
    for number in range(3):
        body = talk.body(instructions=system) if door == "responses" else talk.body()
        if door == "chat":
            body["messages"].insert(0, {"role": "system", "content": system})
        elif door == "messages":
            body["system"] = system
            last = body["messages"][-1]
            content = last["content"] if isinstance(last["content"], list) else [{"type": "text", "text": last["content"]}]
            content = [*content[:-1], {**content[-1], "cache_control": {"type": "ephemeral"}}]
            body["messages"][-1] = {**last, "content": content}
        attempt = received(gateway, door, key, body)
        assert attempt.bill is not None
        assert (b"Note from the gateway" in attempt.body) is (gateway.account(key)["posted_nusd"] > 500_000_000)
        read.append(attempt.bill.cache_read)
        talk.tool("look", {"at": number}, "seen")
    return read[1:]


def test_the_tokens_of_a_note_are_held(telling: Gateway) -> None:
    body = Talk("messages").body()
    told, plain = (telling.entry_of(telling.post("messages", key, body)) for key in (half_used(telling), telling.key()))
    assert told["held_nusd"] - plain["held_nusd"] >= 20 * 3000, "at least twenty tokens of input"
    assert told["input"] > plain["input"]
    assert told["billed_nusd"] <= told["held_nusd"]


def test_where_no_agent_listens_nothing_is_noted(telling: Gateway) -> None:
    """Texts to embed, and tokens that are only counted."""
    key = half_used(telling)
    for door, model in (("embeddings", "text-embedding-3-small"), ("count_tokens", "claude-sonnet-4-5")):
        body = body_of(door, model)
        assert received(telling, door, key, body).body == json.dumps(body).encode()
