"""Limits of jevons.toml at every level, and everything that is remembered of them: after a stop or a sudden death all go on where they were."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import FIRST_WORD, LONG, Call, Talk, account, killed, limit, run_id, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream

LIMITS: list[dict[str, Any]] = [
    {"name": "org-day", "scope": "org", "org": "acme", "steps": 2, "per": "day"},
    {"name": "team-month", "scope": "team", "team": "red", "usd": 0.003, "per": "month", "timezone": "Europe/Zurich"},
    {"name": "key-hour", "scope": "key", "team": "hourly", "tokens": 250, "per": "1h"},
    {"name": "agents", "scope": "agent", "agent": "codex", "team": "agents", "output_tokens": 150},
    {"name": "sessions", "scope": "run", "team": "runs", "steps": 2},
    {"name": "subagents", "scope": "child", "team": "runs", "usd": 0.0015},
    {"name": "watched", "scope": "key", "team": "watched", "steps": 1, "mode": "observe"},
    {"name": "not-yet", "scope": "key", "team": "watched", "steps": 0, "mode": "off"},
    {"name": "family", "scope": "run", "team": "family", "children": 1, "depth": 2},
    {"name": "brief", "scope": "run", "team": "brief", "seconds": 0},
    {"name": "stuck", "scope": "run", "team": "stuck", "repeats": 4},
]


@pytest.fixture(scope="module")
def configured(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("own", standin.url, "azure", passes=[{"method": "POST", "path": "/openai/deployments/*", "price_usd": "0.25"}]),
    ]
    home = tmp_path_factory.mktemp("configured") / "home"
    with Jevons(home, *upstreams, limits=LIMITS) as jevons:
        yield Gateway(jevons, standin)
        assert check(jevons.ledger) == []


@pytest.fixture
def again(configured: Gateway) -> Callable[[], None]:
    """A sudden death, and another start. (A stop that is heard can only do better; it is tried once.)"""

    def restart() -> None:
        configured.jevons.kill()
        configured.jevons.start()

    return restart


def step(gateway: Gateway, key: Key, tokens: int = 90, **headers: str) -> Got:
    body = body_of("chat", "gpt-4o", cap=100, reply="word " * tokens, first_delay_ms=1100 if headers.pop("slow", "") else 0)
    return gateway.post("chat", key, body, **headers)


SUB = {"x-jevons-run-id": "sub", "x-jevons-parent-run-id": "root"}
CALLERS: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    # limit: (the key's settings, headers of its calls, headers of a caller that is none of its)
    "org-day": ({"org": "acme"}, {}, {}),
    "team-month": ({"team": "red"}, {}, {}),
    "key-hour": ({"team": "hourly"}, {}, {}),
    "agents": ({"team": "agents"}, {"x-jevons-agent": "codex"}, {"x-jevons-agent": "aider"}),
    "sessions": ({"team": "runs"}, {"x-jevons-run-id": "root"}, {"x-jevons-run-id": "other"}),
    "subagents": ({"team": "runs"}, SUB, {**SUB, "x-jevons-run-id": "sub2", "x-jevons-parent-run-id": "root2"}),
}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_every_level_goes_on_where_it_was(configured: Gateway, how: str) -> None:
    """Whoever was refused before is refused by the same figures; whoever was not is served."""
    keys = {}
    for name, (settings, headers, _) in CALLERS.items():
        keys[name] = configured.key(**settings)
        while step(configured, keys[name], **headers).status == 200:
            pass
    before = denials(configured, keys)
    configured.jevons.stop() if how == "stop" else configured.jevons.kill()
    configured.jevons.start()
    assert denials(configured, keys) == before
    for name, (_, _, other) in CALLERS.items():
        if other:
            assert step(configured, keys[name], **other).status == 200, name


def denials(gateway: Gateway, keys: dict[str, Key]) -> dict[str, Any]:
    """Who refuses the next call of each, with which figures, but for what time changes."""
    found = {}
    for name, (_, headers, _) in CALLERS.items():
        got = step(gateway, keys[name], **headers)
        assert got.status in (402, 429), (name, got.status)
        found[name] = {member: value for member, value in got.error["jevons"].items() if member not in ("resets_ms", "remedy")}
        assert found[name]["limit_name"] == name
    return found


def test_a_budget_that_a_run_set_itself_stays(configured: Gateway, again: Callable[[], None]) -> None:
    key, run = configured.key(), run_id()
    assert step(configured, key, **{"x-jevons-run-id": run, "x-jevons-run-budget-usd": "0.0015"}).status == 200
    again()
    got = step(configured, key, **{"x-jevons-run-id": run, "x-jevons-run-budget-usd": "100"})
    assert (got.status, got.error["jevons"]["limit_name"], got.error["jevons"]["limit_nusd"]) == (402, "run-budget", 1_500_000)
    assert step(configured, key, **{"x-jevons-run-id": f"{run}-other"}).status == 200


def test_a_kill_stays_until_it_is_lifted(configured: Gateway, again: Callable[[], None]) -> None:
    key, run = configured.key(), run_id()
    assert step(configured, key, **{"x-jevons-run-id": run}).status == 200
    with killed(configured, f"run:{key.name}/{run}", "for good"):
        again()
        got = step(configured, key, **{"x-jevons-run-id": f"{run}-child", "x-jevons-parent-run-id": run})
        assert (got.status, got.error["jevons"]["reason"]) == (402, "killed"), "runs that it starts are stopped with it"
        assert "Reason: for good." in got.error["message"]
    again()
    assert step(configured, key, **{"x-jevons-run-id": run}).status == 200


def test_the_tree_of_runs_stays(configured: Gateway, again: Callable[[], None]) -> None:
    """How many children there are and how deep they lie; and how long a run has been going."""
    key, brief = configured.key(team="family"), configured.key(team="brief")
    child = {"x-jevons-run-id": "child", "x-jevons-parent-run-id": "root"}
    assert [step(configured, key, **{"x-jevons-run-id": "root"}).status, step(configured, key, **child).status] == [200, 200]
    assert step(configured, brief, slow="yes", **{"x-jevons-run-id": "r"}).status == 200
    again()
    assert step(configured, key, **child).status == 200, "it is one of them already"
    second = step(configured, key, **{**child, "x-jevons-run-id": "second"})
    deeper = step(configured, key, **{"x-jevons-run-id": "deeper", "x-jevons-parent-run-id": "child"})
    assert [got.error["jevons"]["measure"] for got in (second, deeper)] == ["children", "depth"]
    assert step(configured, brief, **{"x-jevons-run-id": "r"}).error["jevons"]["measure"] == "seconds"
    assert step(configured, brief, **{"x-jevons-run-id": "s"}).status == 200


def test_an_inferred_run_goes_on(configured: Gateway, again: Callable[[], None]) -> None:
    """And what it repeated is read again from its own history."""
    key, talk = configured.key(team="stuck"), Talk("chat", f"Of {marker()}.")
    first = configured.post("chat", key, talk.body())
    for _ in range(3):
        got = configured.post("chat", key, talk.tool("look", {"at": 1}, "nothing").body())
        assert got.headers["x-jevons-run-id"] == first.headers["x-jevons-run-id"]
    again()
    got = configured.post("chat", key, talk.tool("look", {"at": 1}, "nothing").body())
    assert (got.status, got.error["jevons"]["reason"]) == (402, "loop")
    assert got.error["jevons"]["scope"] == f"run:{key.name}/{first.headers['x-jevons-run-id']}"


def test_modes_of_the_configuration(configured: Gateway) -> None:
    key = configured.key(team="watched")
    assert [step(configured, key).status for _ in range(3)] == [200] * 3
    assert account(configured, "watched", f"key:{key.name}")["posted"] == 3
    shown = configured.admin("GET", "/limits/not-yet").json
    assert (shown["mode"], shown["where"], shown["accounts_known"]) == ("off", "jevons.toml", 0)


def test_a_limit_of_the_configuration_is_not_changed_while_serving(configured: Gateway) -> None:
    got = configured.admin("PUT", "/limits/sessions", {"scope": "run", "steps": 1000})
    assert (got.status, "stands in jevons.toml" in got.json["error"]) == (400, True)


def test_limits_set_while_serving_stay(configured: Gateway, again: Callable[[], None]) -> None:
    key = configured.key()
    name = limit(configured, key, steps=2, per="7d")
    assert [step(configured, key).status for _ in range(2)] == [200, 200]
    again()
    assert step(configured, key).error["jevons"]["limit_name"] == name
    assert configured.admin("DELETE", f"/limits/{name}").status == 200
    again()
    assert step(configured, key).status == 200


def test_what_was_open_at_a_sudden_death_counts_at_every_level(configured: Gateway) -> None:
    """Its hold is its charge: in money, in tokens, as a step, of its key, its run and the one above."""
    key = configured.key(10**12)
    names = [limit(configured, key, scope=scope, steps=9) for scope in ("key", "run", "child")]
    tokens = limit(configured, key, output_tokens=10**6)
    with Call(configured, key, "chat", body_of("chat", "gpt-4o", True, cap=700, **LONG), **SUB) as call:
        call.heard(FIRST_WORD["chat"])
        configured.jevons.kill()
        assert not call.end()[0].whole
    configured.jevons.start()
    [entry] = configured.entries(key)
    assert (entry["outcome"], entry["estimate"], entry["output"]) == ("killed", "hold", 700)
    assert entry["billed_nusd"] == entry["held_nusd"] == configured.account(key)["posted_nusd"]
    got = step(configured, key, **SUB)
    assert got.status == 200
    assert [account(configured, name)["posted"] for name in names] == [2, 2, 2]
    assert account(configured, tokens)["posted"] == 700 + configured.entry_of(got)["output"]


def test_an_operators_own_door_is_governed_too(configured: Gateway) -> None:
    """Money and steps of its levels, and the kill switch, also while a call is under way."""
    key, mark = configured.key(), marker()
    steps = limit(configured, key, steps=3)
    limit(configured, key, usd=0.6)
    door, slow = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", {"first_delay_ms": 15_000, "marker": mark}
    assert configured.post(door, key, body_of("chat", "gpt-4o")).headers["x-jevons-steps-remaining"] == "2"
    with Call(configured, key, door, body_of("chat", "gpt-4o", **slow)) as call:
        wait_until(lambda: configured.attempts(mark))
        with killed(configured, f"key:{key.name}"):
            got, _ = call.end()
            assert (got.status, got.error["jevons"]["reason"]) == (402, "killed")
            assert configured.post(door, key, body_of("chat", "gpt-4o")).status == 402
    entry = configured.settled(key, 2)[-1]
    assert (entry["outcome"], entry["billed_nusd"]) == ("stopped", 250_000_000), "it may have been made"
    assert configured.attempt(mark).how == "client_gone"
    got = configured.post(door, key, body_of("chat", "gpt-4o"))
    assert (got.status, got.error["jevons"]["measure"]) == (402, "usd")
    assert account(configured, steps)["posted"] == 2
