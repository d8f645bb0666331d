"""The audit log over real sockets: every change and every denial leaves a row, a storm of denials leaves one with its number, all are chained."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jevons.core.limits import NOTED_RUNS_MAX
from jevons.ledger import audit
from jevons.ledger.home import Home
from tests.gateway.asking import Gateway, Key, body_of, marker
from tests.gateway.governing import Talk, killed, limit, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream


@pytest.fixture(scope="module")
def logged(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose log is this file's alone."""
    access = [{"name": "no-mini", "team": "fenced", "models_deny": ["gpt-4o-mini"]}]
    table = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
    with Jevons(tmp_path_factory.mktemp("logged") / "home", table, access=access) as jevons:
        yield Gateway(jevons, standin)


def rows(gateway: Gateway, key: Key | None = None, name: str = "") -> list[dict[str, Any]]:
    """Of a key and its runs, or of a limit, oldest first."""
    found = gateway.admin("GET", "/audit?limit=10000").json["rows"][::-1]
    return [row for row in found if (key is not None and key.name in row["subject"]) or (name and name in row["subject"])]


def check_log(gateway: Gateway, anchor: str = "") -> audit.Verdict:
    home = Home(gateway.jevons.home)
    found = audit.verify(home.ledger, home.secret("audit"), audit.parse_anchor(anchor) if anchor else None)
    assert found.broken == ""
    return found


def test_every_change_leaves_a_row(logged: Gateway) -> None:
    """In the order in which they were made; with what they changed."""
    key = logged.key(10**9, org="acme")
    assert logged.admin("PATCH", f"/keys/{key.name}", {"team": "red"}).status == 200
    assert logged.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 2 * 10**9}).status == 200
    body, run = body_of("chat", "gpt-4o", cap=20), {"x-jevons-run-id": "r"}
    assert logged.post("chat", key, body, **run, **{"x-jevons-run-budget-usd": "0.5"}).status == 200
    with killed(logged, f"key:{key.name}", "a test"):
        pass
    name = limit(logged, key, steps=9, approve=1)
    approval = logged.post("chat", key, body, **run).error["jevons"]["approval"]
    for answer in (False, True):
        assert logged.admin("POST", f"/approvals/{approval}", {"approve": answer}).status == 200
    assert logged.admin("DELETE", f"/limits/{name}").status == 200
    adjustment = {"key": key.name, "nusd": 3 * 10**9, "reason": "a bill"}
    assert logged.admin("POST", "/adjustments", adjustment).status == 200
    assert logged.admin("DELETE", f"/keys/{key.name}").status == 200
    found = [row for row in rows(logged, key, f"limit:{name}") if row["detail"].get("reason") != "approval"]
    made = [
        "key-create",
        "key-change",
        "key-limit",
        "run-budget",
        "kill",
        "limit-set",
        "ask",
        "answer-denied",
        "answer-approved",
        "limit-remove",
    ]
    assert [row["action"] for row in found] == [*made, "adjust", "overrun", "key-revoke"]
    assert "lift" in [row["action"] for row in logged.admin("GET", "/audit").json["rows"]]
    details = {row["action"]: row["detail"] for row in found}
    assert details["key-limit"] == {"limit_nusd": 2 * 10**9}
    assert details["run-budget"] == {"budget_nusd": 500_000_000}
    assert details["kill"]["reason"] == "a test"
    assert (details["limit-set"]["limit"]["steps"], details["adjust"]["reason"]) == (9, "a bill")
    assert check_log(logged).rows >= len(found)


CAUSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limit": ({}, {"steps": 0}),
    "limit of its run": ({}, {"scope": "run", "steps": 0}),
    "bound": ({}, {"context_tokens": 1}),
    "approval": ({}, {"steps": 1, "approve": 0}),
    "access": ({"team": "fenced"}, {}),
    "killed": ({}, {}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_denial_leaves_a_row(logged: Gateway, cause: str) -> None:
    """Of whoever it concerns: the run, or its key and which run it was."""
    settings, members = CAUSES[cause]
    key = logged.key(**settings)
    if members:
        limit(logged, key, **members)
    with killed(logged, f"key:{key.name}" if cause == "killed" else "key:default"):
        got = logged.post("chat", key, body_of("chat", "gpt-4o-mini"), **{"x-jevons-run-id": "r"})
    assert got.status in (402, 403)
    wait_until(lambda: [row for row in rows(logged, key) if row["action"] == "denied"])
    [row] = [row for row in rows(logged, key) if row["action"] == "denied"]
    of_run = cause == "limit of its run"
    assert row["subject"] == (f"run:{key.name}/r" if of_run else f"key:{key.name}")
    assert row["detail"].get("run") == (None if of_run or cause in ("access", "killed") else "r")


def test_a_storm_is_a_row_with_its_number(logged: Gateway) -> None:
    """Of one run, of the runs of a key, and of runs that are each denied for themselves. All are counted, over a stop."""
    calm, stormy, fresh = logged.key(), logged.key(), logged.key()
    limit(logged, calm, steps=0)
    limit(logged, stormy, steps=0)
    limit(logged, fresh, scope="run", steps=0)
    count = NOTED_RUNS_MAX + 44
    topic = marker()

    def denied(number: int) -> int:
        same = body_of("chat", "gpt-4o", cap=20)
        other = Talk("chat", f"Of {topic} {number}.").body()
        return sum(logged.post("chat", key, body).status == 402 for key, body in ((calm, same), (stormy, other), (fresh, other)))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(denied, range(count))) == 3 * count
    logged.jevons.stop()
    logged.jevons.start()
    for key in (calm, stormy):
        first, rest = [row for row in rows(logged, key) if row["action"] == "denied"]
        assert (first["detail"]["reason"], rest["detail"]["times"]) == ("limit", count - 1)
        assert first["subject"] == rest["subject"] == f"key:{key.name}"
    each = [row for row in rows(logged, fresh) if row["action"] == "denied"]
    assert sum(row["detail"].get("times", 1) for row in each) == count
    assert NOTED_RUNS_MAX - 20 < len({row["subject"] for row in each}) <= NOTED_RUNS_MAX + 1
    assert any(row["subject"] == f"key:{fresh.name}" for row in each)


def test_the_chain_holds_and_an_anchor_too(logged: Gateway) -> None:
    head = logged.admin("GET", "/audit/head").json
    found = check_log(logged, head["anchor"])
    assert found.rows == head["rows"] > 0
    key = logged.key()
    logged.jevons.kill()
    logged.jevons.start()
    assert check_log(logged, head["anchor"]).rows == head["rows"] + 1
    assert rows(logged, key)[-1]["action"] == "key-create"
