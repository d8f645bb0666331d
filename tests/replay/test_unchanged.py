"""The unchanged policy comes to the ledger's own money, to the nano-dollar, from real traffic and without its outcomes.

The traffic has everything that moves money: calls at once on a tight limit, streams and clients that leave, a provider that bills more than was
held, limits that change while calls are under way, kept answers, packed holds that grow, cheaper models, a sudden death and a restart.
"""

import json
import random
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jevons.core.limits import PACKED_SAMPLES_MIN
from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Key, body_of, connection
from tests.gateway.governing import FIRST_WORD, LONG, Call, Talk, limit, wait_until
from tests.provider import Provider
from tests.replay.replaying import differences, recorded, replayed, without_outcomes
from tests.running import Jevons, upstream

SEED = 1865
LIMITS: list[dict[str, Any]] = [
    {"name": "org-day", "scope": "org", "usd": 1000, "per": "day", "timezone": "Europe/Zurich"},
    {"name": "team-burst", "scope": "team", "team": "crowd-*", "usd": 0.02, "per": "5m"},
    {"name": "key-total", "scope": "key", "team": "over", "usd": 0.004},
    {"name": "key-tokens", "scope": "key", "team": "crowd-*", "tokens": 60_000, "per": "1h"},
    {"name": "sessions", "scope": "run", "team": "runs", "steps": 6},
    {"name": "subagents", "scope": "child", "team": "runs", "usd": 0.003},
    {"name": "short", "scope": "key", "team": "runs", "output_cap": 60},
    {"name": "thrift", "scope": "key", "team": "thrift", "usd": 0.1, "degrade_at": 0.5, "degrade_to": ["gpt-4o-mini"]},
    {"name": "ask", "scope": "key", "team": "asks", "usd": 1, "approve": 0.0005},
    {"name": "few", "scope": "key", "team": "crowd-*", "concurrent": 5},
]
ROUTES: list[dict[str, Any]] = [
    {"name": "plain", "to": ["gpt-4o-mini", "gpt-4o"], "teams": ["routed"]},
    {
        "name": "learns", "to": ["gpt-4o-mini", "gpt-4o"], "teams": ["learns"], "choose": "learned", "stage": "shadow",
        "sample": 1.0, "sample_usd_day": "5",
    },
]  # fmt: skip
ADVERSARY: list[dict[str, Any]] = [
    {"hidden_system_tokens": 9000},
    {"reasoning": 3000, "reply": "short", "ignore_cap": True},
    {"tokens_out": 2000, "ignore_cap": True},
    {"tokens_out": 20},
    {"fault": "usage_absent", "tokens_out": 30},
    {"fault": "status", "status": 500},
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Provider(bodies=True) as standin:
        table = [
            upstream("openai", standin.openai_url, models=("gpt-*", "text-embedding-*"), retries=1, idle_timeout_s=1.0),
            upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
            upstream("plan", standin.url, "anthropic", models=("only-by-its-prefix",), retries=0, billed=False),
            upstream(
                "own", standin.url, "azure", passes=[{"method": "POST", "path": "/openai/deployments/*", "price_usd": "0.25"}]
            ),
        ]
        with Jevons(tmp_path_factory.mktemp("unchanged") / "home", *table, limits=LIMITS, routes=ROUTES) as jevons:
            yield Gateway(jevons, standin)


def crowd(gateway: Gateway, chance: random.Random, team: str) -> None:
    """Many calls at once on limits that cut, make wait and refuse."""
    keys = [gateway.key(40_000_000, team=team) for _ in range(2)]

    def one(n: int) -> int:
        door, model = (("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5"), ("responses", "gpt-4o-mini"))[n % 3]
        script = {"tokens_out": 10 + n * 7 % 90, "delay_ms": n % 5}
        body = body_of(door, model, n % 2 == 0, cap=None if n % 7 == 0 else 60 + n, **script)
        return gateway.post(door, keys[n % 2], body, **{"x-jevons-run-id": f"r{n % 4}"}).status

    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(one, chance.sample(range(96), 96)))
    assert {200, 402} <= statuses, "some were refused"


def over_the_top(gateway: Gateway) -> None:
    """A provider that bills more than was held."""
    for n, script in enumerate(ADVERSARY * 2):
        key = gateway.key(3_000_000, team="over")
        for _ in range(2):
            gateway.post("chat", key, body_of("chat", "gpt-4o", n % 2 == 0, cap=100, **script))


def family(gateway: Gateway) -> None:
    """Runs that start runs, budgets that they set themselves, what counts for nothing or is not billed."""
    key, sub = gateway.key(team="runs"), {"x-jevons-run-id": "sub", "x-jevons-parent-run-id": "root"}
    for n in range(9):
        headers = sub if n % 2 else {"x-jevons-run-id": "root"} | ({"x-jevons-run-budget-usd": "0.004"} if n == 2 else {})
        gateway.post("chat", key, body_of("chat", "gpt-4o", cap=150, tokens_out=50), **headers)
    gateway.post("embeddings", key, body_of("embeddings", "text-embedding-3-small"))
    gateway.post("count_tokens", key, body_of("count_tokens", "claude-sonnet-4-5"))
    gateway.post("messages", key, body_of("messages", "plan/claude-sonnet-4-5"))
    gateway.post("/openai/deployments/x/images", gateway.key(), {"prompt": "a cat"})


def changes(gateway: Gateway, door: str = "chat") -> None:
    """Limits that come, shrink, grow and go while calls are under way; a key that moves; corrections."""
    key = gateway.key(10**9, team="moves")
    slow = {"reply": " ".join(["one", *["more"] * 99]), "chunks": 50, "delay_ms": 8}
    with Call(gateway, key, door, body_of(door, "gpt-4o", True, cap=400, **slow)) as call:
        call.heard(FIRST_WORD[door])
        name = limit(gateway, key, usd=0.01, per="day")
        gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 1_000_000})
        call.end()
    step = body_of(door, "gpt-4o", cap=None, tokens_out=40)
    gateway.post(door, key, step)
    gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 10**9})
    for n in range(6):
        gateway.post(door, key, step)
        if n == 2:
            limit(gateway, key, name=name, usd=0.001, per="day")
        if n == 3:
            gateway.admin("DELETE", f"/limits/{name}")
            gateway.admin("PATCH", f"/keys/{key.name}", {"team": "crowd-0"})
        if n == 4:
            gateway.admin("POST", "/adjustments", {"key": key.name, "nusd": 2_000_000, "reason": "a bill"})


def storm_of_changes(gateway: Gateway) -> None:
    """A limit that is raised and lowered again and again while callers crowd on it: calls are decided in between."""
    key = gateway.key(3_000_000, team="storm")

    def one(n: int) -> None:
        gateway.post("chat", key, body_of("chat", "gpt-4o", cap=None, tokens_out=n % 30))

    def turn(n: int) -> None:
        gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": (2_000_000, 40_000_000)[n % 2]})

    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(turn if n % 8 == 0 else one, n // 8 if n % 8 == 0 else n) for n in range(96)]
        assert [done.result() for done in waiting]


def left_alone(gateway: Gateway) -> None:
    """Clients that leave in the middle, a provider that falls silent."""
    key = gateway.key()
    for model in ("gpt-4o", "gpt-5"):
        body = json.dumps(body_of("chat", model, True, cap=800, **LONG)).encode()
        with connection(gateway.url) as wire:
            wire.request("POST", "/v1/chat/completions", body, gateway.headers(key))
            wire.getresponse().read(1)
    gateway.settled(key, 2)
    gateway.post("chat", key, body_of("chat", "gpt-4o", True, cap=50, fault="hang_mid_stream"))


def packed(gateway: Gateway) -> None:
    """Holds that begin small, grow, and are cut where the money ends."""
    key = gateway.key(60_000_000, holds="packed")
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda _: gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100, tokens_out=40)), range(PACKED_SAMPLES_MIN)
            )
        )
    long = {"reply": " ".join(["one", *["more"] * 1499]), "chunks": 60, "delay_ms": 4}
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: gateway.post("chat", key, body_of("chat", "gpt-4o", True, cap=3000, **long)), range(5)))


def cheaper(gateway: Gateway) -> None:
    """A new turn goes on with a cheaper model, an open one with its own."""
    key, run = gateway.key(team="thrift"), {"x-jevons-run-id": "thrifty"}
    talk = Talk("chat")
    for n in range(6):
        gateway.post("chat", key, talk.body(), **run)
        if n == 1:
            gateway.post("chat", key, body_of("chat", "gpt-4o", cap=6000, tokens_out=5500), **run)
        talk.tool("look", {"at": n}, f"result {n}") if n % 2 == 0 else talk.assistant("Done.").user(f"Then {n}.")


def asked(gateway: Gateway) -> None:
    """A person says yes."""
    key = gateway.key(team="asks")
    for _ in range(4):
        got = gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100, tokens_out=60))
        if got.status == 402:
            gateway.admin("POST", f"/approvals/{got.error['jevons']['approval']}", {"approve": True})


def routed(gateway: Gateway) -> None:
    """By the first of a list, and by what is learnt: then both models are asked, and one of them is shown to nobody."""
    for team in ("routed", "learns"):
        key = gateway.key(team=team)
        for n in range(6):
            got = gateway.post("chat", key, body_of("chat", "auto", n % 2 == 0, cap=60, tokens_out=20 + n))
            assert got.status == 200, got


def kept(gateway: Gateway) -> None:
    """Answers that are given again, to runs under limits and to one that goes round in circles."""
    key, said = gateway.key(team="runs"), f"Say it again {gateway.key().name}."
    for n in range(9):
        headers = {"x-jevons-cache": "exact", "x-jevons-run-id": f"again-{n % 2}"}
        gateway.post("chat", key, body_of("chat", "gpt-4o", n % 2 == 0, cap=50, text=said), **headers)
    gateway.post("chat", gateway.key(0), body_of("chat", "gpt-4o", cap=50, text=said), **{"x-jevons-cache": "exact"})


def death(gateway: Gateway, key: Key) -> None:
    """Killed with a call under way, and started again."""
    with Call(gateway, key, "chat", body_of("chat", "gpt-4o", True, cap=400, **LONG)) as call:
        call.heard(FIRST_WORD["chat"])
        gateway.jevons.kill()
    gateway.jevons.start()
    wait_until(lambda: not gateway.jevons.holds())


def test_the_unchanged_policy_comes_to_the_ledger(gateway: Gateway, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for n in range(2):
        crowd(gateway, chance, f"crowd-{n}")
        over_the_top(gateway)
        family(gateway)
        changes(gateway)
        storm_of_changes(gateway)
        left_alone(gateway)
        packed(gateway)
        cheaper(gateway)
        asked(gateway)
        routed(gateway)
        kept(gateway)
        death(gateway, gateway.key(10**9))
    gateway.jevons.stop()
    assert check(gateway.jevons.ledger) == []
    ledger = recorded(gateway.jevons.ledger)
    assert sum(entry["outcome"] == "cached" for entry in gateway.jevons.entries()) == 2 * 9
    assert sum(entry["role"] == "shadow" for entry in gateway.jevons.entries()) > 6
    assert len(ledger.entries) > 250 and len(ledger.overruns) > 5
    assert differences(gateway.jevons.home, tmp_path / "scratch") == {}


def test_what_happened_is_in_it(gateway: Gateway, tmp_path: Path) -> None:
    """Without its outcomes a ledger has none; the replay still has waits, cheaper models and grown holds."""
    copy = without_outcomes(gateway.jevons.home, tmp_path)
    db = sqlite3.connect(copy)
    assert db.execute("SELECT sum(billed_nusd), sum(held_nusd), sum(list_nusd) FROM entries").fetchone() == (0, 0, 0)
    assert db.execute("SELECT count(*) FROM overruns").fetchone() == (0,)
    db.close()
    with replayed(gateway.jevons.home, copy) as (world, _):
        assert world.tally.estimated_nusd and world.tally.overruns and not world.tally.stopped
        assert sum(moved.calls for moved in world.tally.moved.values()) == 0, "a cheaper model took the calls then, too"
