"""The kill switch over real sockets: who is stopped is refused, and what is under way ends at once, wherever it waits.

How long that takes is printed: `pytest -s tests/gateway/test_governor_kills.py` shows the time from the admin API's answer to the end of
the stream at its client (the issue wants 100 ms at most).
"""

import json
from collections.abc import Iterator

import pytest

from tests.gateway.asking import Gateway, Key, body_of, marker
from tests.gateway.governing import FIRST_WORD, LONG, Call, error_in, killed, limit, run_id, wait_until
from tests.gateway.test_leaving import leave

SUBJECTS = ["everything", "model", "org", "team", "key", "agent", "run", "run above", "pattern"]
ROUTES = [("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5"), ("responses", "gpt-4o")]
TRANSLATED = [("chat", "claude-sonnet-4-5"), ("messages", "gpt-4o")]


@pytest.fixture
def stopped(gateway: Gateway) -> Key:
    """A key of an organisation and a team of its own."""
    name = marker()[:8]
    return gateway.key(10**12, org=f"org-{name}", team=f"team-{name}")


@pytest.fixture(scope="module", autouse=True)
def latencies() -> Iterator[list[float]]:
    """Milliseconds from the admin API's answer to the end at the client."""
    found: list[float] = []
    yield found
    if found:
        found.sort()
        print(
            f"\nkill: {len(found)} calls ended at their clients {found[len(found) // 2]:.1f} ms (median), {found[-1]:.1f} ms (most)"
            " after the admin API had answered"
        )


def subject(kind: str, key: Key, run: str, model: str = "gpt-4o") -> str:
    return {
        "everything": "everything",
        "model": f"model:{model}",
        "org": "org:org-*",
        "team": "team:org-*/team-*",
        "key": f"key:{key.name}",
        "agent": f"agent:{key.name}/opencode",
        "run": f"run:{key.name}/{run}",
        "run above": f"run:{key.name}/above-{run}",
        "pattern": f"agent:{key.name[:7]}*/open*",
    }[kind]


def labels(run: str) -> dict[str, str]:
    return {
        "x-jevons-agent": "opencode",
        "x-jevons-run-id": run,
        "x-jevons-parent-run-id": f"above-{run}",
    }


@pytest.mark.parametrize("kind", SUBJECTS)
def test_whoever_is_stopped_is_refused_until_it_is_lifted(gateway: Gateway, stopped: Key, kind: str) -> None:
    run, mark = run_id(), marker()
    body = body_of("chat", "gpt-4o", marker=mark)
    with killed(gateway, subject(kind, stopped, run), "a test"):
        got = gateway.post("chat", stopped, body, **labels(run))
        assert (got.status, got.headers["x-should-retry"]) == (402, "false")
        assert got.error["jevons"]["reason"] == "killed"
        assert "Reason: a test." in got.error["message"]
        assert gateway.attempts(mark) == []
    assert gateway.post("chat", stopped, body, **labels(run)).status == 200


@pytest.mark.parametrize("kind", [kind for kind in SUBJECTS if kind != "everything"])
def test_others_go_on(gateway: Gateway, stopped: Key, kind: str) -> None:
    run, other = run_id(), gateway.key(10**12)
    with killed(gateway, subject(kind, stopped, run)):
        got = gateway.post("messages", other, body_of("messages", "claude-sonnet-4-5"), **labels(run))
        assert got.status == 200


@pytest.mark.parametrize("kind", SUBJECTS)
def test_a_stream_ends_at_once_whoever_is_stopped(gateway: Gateway, stopped: Key, kind: str, latencies: list[float]) -> None:
    run, mark = run_id(), marker()
    with Call(gateway, stopped, "chat", body_of("chat", "gpt-4o", True, marker=mark, **LONG), **labels(run)) as call:
        call.heard(FIRST_WORD["chat"])
        with killed(gateway, subject(kind, stopped, run)) as answered_s:
            got, ended_s = call.end()
    latencies.append((ended_s - answered_s) * 1000)
    assert not got.whole
    assert error_in(got, "chat")["jevons"]["reason"] == "killed"
    check_charge(gateway, stopped, mark, "openai", "gpt-4o")


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
def test_a_stream_ends_in_the_error_of_its_dialect(
    gateway: Gateway, stopped: Key, door: str, model: str, latencies: list[float]
) -> None:
    """Same dialect and translated. It is charged as an unfinished call, and the stand-in was still sending."""
    mark = marker()
    with Call(gateway, stopped, door, body_of(door, model, True, marker=mark, **LONG)) as call:
        call.heard(FIRST_WORD[door])
        with killed(gateway, f"key:{stopped.name}", "enough") as answered_s:
            got, ended_s = call.end()
    latencies.append((ended_s - answered_s) * 1000)
    assert not got.whole, "a clean end would be taken for a whole answer"
    error = error_in(got, door)
    assert "The operator has stopped" in error["message"]
    assert error["type"] == {"chat": "insufficient_quota", "messages": "billing_error", "responses": "error"}[door]
    check_charge(gateway, stopped, mark, "anthropic" if model.startswith("claude") else "openai", model)


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_waits_for_its_answer_ends(
    gateway: Gateway, stopped: Key, door: str, model: str, stream: bool, latencies: list[float]
) -> None:
    """The client has heard nothing: it gets a plain refusal."""
    mark = marker()
    with Call(gateway, stopped, door, body_of(door, model, stream, marker=mark, reply="one", first_delay_ms=15_000)) as call:
        wait_until(lambda: gateway.attempts(mark))
        with killed(gateway, f"key:{stopped.name}") as answered_s:
            got, ended_s = call.end()
    latencies.append((ended_s - answered_s) * 1000)
    assert (got.status, got.headers["x-should-retry"]) == (402, "false")
    assert got.error["jevons"]["reason"] == "killed"
    check_charge(gateway, stopped, mark, "anthropic" if model.startswith("claude") else "openai", model, whole=not stream)


def test_a_model_that_may_reason_unseen_is_charged_its_hold(gateway: Gateway, stopped: Key) -> None:
    mark = marker()
    with Call(gateway, stopped, "chat", body_of("chat", "gpt-5", True, marker=mark, reasoning=50, **LONG)) as call:
        call.heard(FIRST_WORD["chat"])
        with killed(gateway, f"key:{stopped.name}"):
            call.end()
    check_charge(gateway, stopped, mark, "openai", "gpt-5", whole=True)


def check_charge(gateway: Gateway, key: Key, mark: str, provider: str, model: str, whole: bool = False) -> None:
    """One entry, `stopped`; what the stand-in billed is in it. The stand-in was not done when its client left."""
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], entry["estimate"]) == ("stopped", "hold" if whole else "seen")
    attempt = gateway.attempt(mark)
    assert attempt.how == "client_gone"
    assert entry["billed_nusd"] >= gateway.cost_nusd(provider, model, attempt.bill) > 0
    if whole:
        assert entry["billed_nusd"] == entry["held_nusd"]
    else:
        assert attempt.bill is not None
        assert attempt.bill.output <= entry["output"] < 300


def test_a_call_that_waits_for_a_hold_ends(gateway: Gateway, stopped: Key, latencies: list[float]) -> None:
    """All the money is held by another call, which goes on; the one that waits was never sent."""
    first, second, run = marker(), marker(), run_id()
    limit(gateway, stopped, concurrent=1)
    with Call(gateway, stopped, "chat", body_of("chat", "gpt-4o", True, marker=first, **{**LONG, "chunks": 50})) as long:
        long.heard(FIRST_WORD["chat"])
        headers = {"x-jevons-run-id": run, "x-jevons-run-budget-usd": "5"}
        with Call(gateway, stopped, "chat", body_of("chat", "gpt-4o", marker=second), **headers) as waiting:
            wait_until(lambda: run in budgets(gateway))
            with killed(gateway, f"run:{stopped.name}/{run}") as answered_s:
                got, ended_s = waiting.end()
        assert long.under_way, "it waited for its turn, and ended before that came"
        assert long.end()[0].whole
    latencies.append((ended_s - answered_s) * 1000)
    assert got.error["jevons"]["reason"] == "killed"
    assert gateway.attempts(second) == []
    assert [entry["outcome"] for entry in gateway.settled(stopped, 1)] == ["ok"]


def budgets(gateway: Gateway) -> str:
    """The budgets of runs as text: one is there as soon as a request of its run has come in."""
    return json.dumps(gateway.admin("GET", "/limits").json["run_budgets"])


def test_a_call_between_two_tries_ends(gateway: Gateway, stopped: Key, latencies: list[float]) -> None:
    """The provider asked for 20 seconds; the client hears of the kill, not of the provider's error."""
    mark = marker()
    failing = body_of("chat", "again/gpt-4o", marker=mark, fault="status", status=503, retry_after=20)
    with Call(gateway, stopped, "chat", failing) as call:
        gateway.settled(stopped, 1)
        with killed(gateway, f"key:{stopped.name}") as answered_s:
            got, ended_s = call.end()
    latencies.append((ended_s - answered_s) * 1000)
    assert (got.status, got.error["jevons"]["reason"]) == (402, "killed")
    assert len(gateway.attempts(mark)) == 1
    assert [entry["outcome"] for entry in gateway.entries(stopped)] == ["error"]


@pytest.mark.parametrize("name", ["house-model", "gpt-4o-mini"])
def test_a_model_is_stopped_by_either_of_its_names(gateway: Gateway, stopped: Key, name: str) -> None:
    """`house-model` is the operator's own name for gpt-4o-mini."""
    body = body_of("chat", "house-model", True, **LONG)
    with Call(gateway, stopped, "chat", body) as call:
        call.heard(FIRST_WORD["chat"])
        with killed(gateway, f"model:{name}"):
            got, _ = call.end()
            assert error_in(got, "chat")["jevons"]["reason"] == "killed"
            assert gateway.post("chat", stopped, body_of("chat", "house-model")).status == 402
            assert gateway.post("chat", stopped, body_of("chat", "gpt-4o")).status == 200


def test_whoever_stops_its_own_way_is_stopped_so(gateway: Gateway, stopped: Key) -> None:
    with killed(gateway, f"key:{stopped.name}"):
        got = gateway.post("responses", stopped, body_of("responses", "gpt-4o"), originator="codex_cli_rs")
        assert (got.status, got.error["code"]) == (429, "insufficient_quota")
        assert "retry-after" not in got.headers


def test_an_answer_that_nobody_hears_any_more_ends_too(gateway: Gateway, stopped: Key) -> None:
    """`on_disconnect = "drain"`: its client has left, and it was to be heard to its end."""
    mark = marker()
    leave(gateway, stopped, "chat", True, FIRST_WORD["chat"], "drain/gpt-4o", marker=mark, **LONG)
    with killed(gateway, f"key:{stopped.name}"):
        [entry] = gateway.settled(stopped, 1)
    assert (entry["outcome"], gateway.attempt(mark).how) == ("stopped", "client_gone")


def test_what_has_ended_is_not_touched(gateway: Gateway, stopped: Key) -> None:
    got = gateway.post("chat", stopped, body_of("chat", "gpt-4o", True, reply="one two"))
    with killed(gateway, f"key:{stopped.name}"):
        assert got.whole
        assert [entry["outcome"] for entry in gateway.settled(stopped, 1)] == ["ok"]


def test_many_end_together(gateway: Gateway, stopped: Key, latencies: list[float]) -> None:
    """Thirty streams of one key; those of another go on."""
    other, calls = gateway.key(10**12), list[Call]()
    with Call(gateway, other, "chat", body_of("chat", "gpt-4o", True, **{**LONG, "chunks": 60})) as bystander:
        for number in range(30):
            door, model = ROUTES[number % 3]
            calls.append(Call(gateway, stopped, door, body_of(door, model, True, **LONG)).__enter__())
        for number, call in enumerate(calls):
            call.heard(FIRST_WORD[ROUTES[number % 3][0]])
        with killed(gateway, f"key:{stopped.name}") as answered_s:
            ends = [call.end() for call in calls]
        assert bystander.under_way
        assert bystander.end()[0].whole
    latencies += [(ended_s - answered_s) * 1000 for _, ended_s in ends]
    assert not any(got.whole for got, _ in ends)
    assert {entry["outcome"] for entry in gateway.settled(stopped, 30)} == {"stopped"}
