"""Limits set over the admin API while the gateway serves, at every level and in every measure, as callers meet them."""

from typing import Any

import pytest

from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import FIRST_WORD, LONG, Call, account, limit, run_id, wait_until
from tests.gateway.test_budget import hold_of

CHAT_USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 95,
    "total_tokens": 135,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 90},
}
MESSAGES_USAGE = {"input_tokens": 20, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 0, "output_tokens": 95}
BODIES = {
    "chat": body_of("chat", "gpt-4o", cap=100, reply="one", usage=CHAT_USAGE),
    "messages": body_of("messages", "claude-sonnet-4-5", cap=100, reply="one", usage=MESSAGES_USAGE),
}
POSTED = {
    "tokens": 135,
    "input_tokens": 20,
    "cache_read_tokens": 20,
    "cache_write_tokens": 20,
    "output_tokens": 95,
    "reasoning_tokens": 90,
    "steps": 1,
}
CUT = ["usd", "list_usd", "tokens", "output_tokens", "reasoning_tokens"]
"""A lower output cap makes a call smaller in these."""


def refused(got: Got, status: int = 402) -> dict[str, Any]:
    """The denial, for programs."""
    assert got.status == status, (got.status, got.body)
    found: dict[str, Any] = got.error["jevons"]
    return found


@pytest.mark.parametrize("measure", [*CUT, "input_tokens", "cache_read_tokens", "cache_write_tokens", "steps"])
def test_a_limit_in_any_measure_is_met_exactly(gateway: Gateway, measure: str) -> None:
    """Just the worst case admits, and what is billed counts; one less cuts the answer or refuses the call."""
    door = "messages" if measure == "cache_write_tokens" else "chat"
    body, unit = BODIES[door], "_nusd" if measure.endswith("usd") else ""
    probe = gateway.key()
    limit(gateway, probe, **{measure: 0})
    needed = refused(gateway.post(door, probe, body))[f"needed{unit}"]
    fits = needed + 84 if measure == "tokens" else 100 if measure in CUT else needed  # it was asked for 16 tokens, not for 100
    if unit:
        fits = hold_of(gateway, body)
    key, less = gateway.key(), gateway.key()
    name = limit(gateway, key, **{measure: usd(fits) if unit else fits})
    limit(gateway, less, **{measure: usd(fits - 1) if unit else fits - 1})
    got = gateway.post(door, key, body)
    assert (got.status, got.headers.get("x-jevons-output-cap")) == (200, None)
    posted = gateway.entry_of(got)["billed_nusd"] if unit else POSTED[measure]
    assert account(gateway, name)[f"posted{unit}"] == posted
    denial = refused(gateway.post(door, key, body))
    assert (denial["limit_name"], denial["measure"], denial[f"spent{unit}"], denial[f"limit{unit}"]) == (
        name,
        measure,
        posted,
        fits,
    )
    got = gateway.post(door, less, body)
    if measure in CUT:
        assert (got.status, got.headers["x-jevons-output-cap"]) == (200, "99")
    else:
        refused(got)


def usd(nusd: int) -> str:
    return f"{nusd / 10**9:.9f}"


def test_a_subscription_is_limited_at_list_price(gateway: Gateway) -> None:
    """Nothing is billed there, so a limit on money does not move; one on list price does."""
    key = gateway.key()
    billed, listed = limit(gateway, key, usd=0.01), limit(gateway, key, list_usd=0.01)
    own = {"authorization": "Bearer oauth-of-the-client", "x-jevons-key": key.secret, "content-type": "application/json"}
    body = body_of("messages", "plan/claude-sonnet-4-5", cap=400, tokens_out=390)
    got = gateway.post("messages", None, body, **own)
    assert got.status == 200, got.body
    entry = gateway.entry_of(got)
    assert (entry["billed_nusd"], account(gateway, billed)["posted_nusd"]) == (0, 0)
    assert account(gateway, listed)["posted_nusd"] == entry["list_nusd"] > 5_000_000
    while got.status == 200:
        got = gateway.post("messages", None, body, **own)
    assert refused(got)["limit_name"] == listed


def levels(gateway: Gateway) -> tuple[dict[str, dict[str, str]], dict[str, Key]]:
    """(members by which a limit is for them alone, keys): two who share organisation and team, and two who do not."""
    org, team = marker()[:8], marker()[:8]
    keys = {
        "one": gateway.key(org=org, team=team),
        "colleague": gateway.key(org=org, team=team),
        "other team": gateway.key(org=org, team="other"),
        "other org": gateway.key(org=f"{org}-other", team=team),
    }
    return {"org": {"org": org}, "team": {"org": org, "team": team}}, keys


SHARED = {
    # scope -> who shares the account with key "one" of agent opencode in run r: (key, agent, run)
    "org": [("colleague", "opencode", "r"), ("other team", "codex", "s")],
    "team": [("colleague", "opencode", "r"), ("one", "codex", "s")],
    "key": [("one", "codex", "s")],
    "agent": [("one", "opencode", "s")],
    "run": [("one", "codex", "r"), ("one", "opencode", "r/child")],
}
APART = {
    "org": [("other org", "opencode", "r")],
    "team": [("other team", "opencode", "r"), ("other org", "opencode", "r")],
    "key": [("colleague", "opencode", "r")],
    "agent": [("one", "codex", "r"), ("colleague", "opencode", "r")],
    "run": [("one", "opencode", "s"), ("colleague", "opencode", "r")],
}


@pytest.mark.parametrize("scope", SHARED)
def test_an_account_is_shared_by_its_level_and_by_nobody_else(gateway: Gateway, scope: str) -> None:
    """So many steps for all together. Who is refused spends nothing; those of other accounts go on."""
    everybody, keys = levels(gateway)
    steps = 1 + len(SHARED[scope])
    if scope in everybody:
        limit(gateway, scope=scope, steps=steps, **everybody[scope])
    else:  # for these four keys only: the gateway has many
        for key in keys.values():
            limit(gateway, key, scope=scope, steps=steps)

    def step(who: str, agent: str, run: str) -> Got:
        run, _, child = run.partition("/")
        about = {"x-jevons-agent": agent, "x-jevons-run-id": f"{run}-{child}" if child else run}
        if child:
            about["x-jevons-parent-run-id"] = run
        return gateway.post("chat", keys[who], body_of("chat", "gpt-4o", cap=20), **about)

    first = step("one", "opencode", "r")
    assert first.status == 200
    for who in SHARED[scope]:
        assert step(*who).status == 200, who
    for who in [("one", "opencode", "r"), *SHARED[scope]]:
        assert refused(step(*who))["measure"] == "steps", who
    for who in APART[scope]:
        assert step(*who).status == 200, who


def test_a_child_has_an_account_of_its_own(gateway: Gateway) -> None:
    """With those that it started itself; the root has none."""
    key = gateway.key()
    name = limit(gateway, key, scope="child", steps=2)

    def step(run: str, parent: str = "") -> Got:
        about = {"x-jevons-run-id": run} | ({"x-jevons-parent-run-id": parent} if parent else {})
        return gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20), **about)

    assert [step("root").status for _ in range(4)] == [200] * 4
    assert step("child", "root").status == 200
    assert step("grandchild", "child").status == 200
    denial = refused(step("child", "root"))
    assert (denial["limit_name"], denial["scope"]) == (name, f"run:{key.name}/child")
    assert refused(step("grandchild", "child"))["scope"] == f"run:{key.name}/child"
    assert step("sibling", "root").status == 200
    assert step("root").status == 200


def test_all_levels_at_once_or_none(gateway: Gateway) -> None:
    """The innermost of seven accounts has no room: the others keep what they had, held and posted."""
    org, run = f"org-{marker()[:8]}", run_id()
    key = gateway.key(10**12, org=org, team="t")
    names = [
        limit(gateway, scope="org", org=org, usd=100),
        limit(gateway, scope="team", org=org, tokens=10**6),
        limit(gateway, key, scope="key", steps=100),
        limit(gateway, key, scope="agent", usd=100),
        limit(gateway, key, scope="run", usd=100),
        limit(gateway, key, scope="child", steps=1),
    ]
    about = {"x-jevons-agent": "a", "x-jevons-run-id": run, "x-jevons-parent-run-id": f"{run}-root"}
    body = body_of("chat", "gpt-4o", cap=50)
    assert gateway.post("chat", key, body, **about).status == 200
    before = [account(gateway, name) for name in names]
    posted = gateway.account(key)["posted_nusd"]
    assert all(one.get("posted_nusd", one.get("posted")) for one in before)
    for _ in range(5):
        assert refused(gateway.post("chat", key, body, **about))["limit_name"] == names[-1]
    assert [account(gateway, name) for name in names] == before
    assert (gateway.account(key)["posted_nusd"], gateway.account(key)["held_nusd"]) == (posted, 0)


@pytest.mark.parametrize("measure", ["steps", "usd", "tokens"])
@pytest.mark.parametrize("per", ["total", "day", "24h", "5m", "year"])
def test_a_limit_set_today_counts_what_was_spent_in_its_window(gateway: Gateway, measure: str, per: str) -> None:
    key = gateway.key()
    got = [gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100, tokens_out=90)) for _ in range(3)]
    spent = {
        "steps": 3,
        "usd": sum(gateway.entry_of(one)["billed_nusd"] for one in got),
        "tokens": sum(entry["input"] + entry["output"] for entry in map(gateway.entry_of, got)),
    }[measure]
    name = limit(gateway, key, per=per, **{measure: usd(spent) if measure == "usd" else spent})
    denial = refused(gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100)))
    assert denial["spent_nusd" if measure == "usd" else "spent"] == spent
    assert denial["window"] == per
    limit(gateway, key, name, per=per, **{measure: 10**6})
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100)).status == 200


@pytest.mark.parametrize("scope", ["org", "team", "key", "agent", "run", "child"])
def test_a_limit_set_today_counts_at_every_level(gateway: Gateway, scope: str) -> None:
    org = f"org-{marker()[:8]}"
    key, body = gateway.key(org=org, team="t"), body_of("chat", "gpt-4o", cap=20)
    about = {"x-jevons-agent": "a", "x-jevons-run-id": "c", "x-jevons-parent-run-id": "r"}
    assert [gateway.post("chat", key, body, **about).status for _ in range(3)] == [200] * 3
    name = limit(gateway, scope=scope, org=org, steps=3)
    denial = refused(gateway.post("chat", key, body, **about))
    assert (denial["limit_name"], denial["spent"]) == (name, 3)
    limit(gateway, name=name, scope=scope, org=org, steps=4)
    assert [gateway.post("chat", key, body, **about).status for _ in range(2)] == [200, 402]


def test_a_limit_set_today_counts_what_is_open(gateway: Gateway) -> None:
    """A call that was admitted before is held on the new account, and posted to it."""
    key = gateway.key()
    with Call(gateway, key, "chat", body_of("chat", "gpt-4o", True, **{**LONG, "chunks": 20})) as call:
        call.heard(FIRST_WORD["chat"])
        name = limit(gateway, key, steps=1)
        assert (account(gateway, name)["posted"], account(gateway, name)["held"]) == (0, 1)
        got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
        assert got.error["code"] in ("holds_open", "insufficient_quota")
        assert call.end()[0].whole
    assert (account(gateway, name)["posted"], account(gateway, name)["held"]) == (1, 0)


def test_a_rolling_window_lets_go(gateway: Gateway) -> None:
    """Refused for the moment: 429 with whole seconds to wait; then served."""
    key = gateway.key()
    limit(gateway, key, steps=1, per="2s")
    body = body_of("chat", "gpt-4o", cap=20)
    assert gateway.post("chat", key, body).status == 200
    got = gateway.post("chat", key, body)
    denial = refused(got, 429)
    assert (got.error["code"], denial["window"]) == ("limit_reached", "2s")
    assert 1 <= int(got.headers["retry-after"]) <= 3
    assert "x-should-retry" not in got.headers
    while got.status == 429:
        got = gateway.post("chat", key, body)
    assert got.status == 200


@pytest.mark.parametrize("per", ["hour", "day", "week", "month", "year"])
def test_a_calendar_window_says_when_it_ends(gateway: Gateway, per: str) -> None:
    key = gateway.key()
    name = limit(gateway, key, steps=1, per=per, timezone="Asia/Kathmandu")
    while (got := gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20))).status == 200:
        pass  # twice at most, but for the turn of a window
    denial, window = got.error["jevons"], account(gateway, name)
    assert got.status in (402, 429), "429 in its last minute"
    assert denial["window"] == per
    assert window["window_start_ms"] < denial["resets_ms"] == window["window_end_ms"]
    assert f"allows per {per}. There is room again at" in got.error["message"]


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_limit_has_three_modes(gateway: Gateway, mode: str) -> None:
    key = gateway.key()
    name = limit(gateway, key, mode=mode, steps=1)
    statuses = [gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20)).status for _ in range(3)]
    assert statuses == ([200, 402, 402] if mode == "enforce" else [200] * 3)
    expected = {"off": [], "observe": ["would-deny"], "enforce": ["denied"]}[mode]
    wait_until(lambda: actions(gateway, key) == expected)
    limit(gateway, key, name, mode="enforce", steps=3)
    posted = 1 if mode == "enforce" else 3
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20)).status == (200 if posted < 3 else 402)


def actions(gateway: Gateway, key: Key) -> list[str]:
    """Actions in the audit log about a key and its runs, newest first."""
    rows = gateway.admin("GET", "/audit?limit=50").json["rows"]
    return [row["action"] for row in rows if key.name in row["subject"] and row["action"] != "key-create"]


def test_calls_at_once(gateway: Gateway) -> None:
    """The third waits for one of the two to end, or is told to come back."""
    key = gateway.key()
    limit(gateway, key, concurrent=2)
    slow = body_of("chat", "gpt-4o", True, **LONG)
    with Call(gateway, key, "chat", slow) as one, Call(gateway, key, "chat", slow) as two:
        for call in (one, two):
            call.heard(FIRST_WORD["chat"])
        got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
        assert (got.status, got.error["code"], got.headers["retry-after"]) == (429, "holds_open", "1")
        assert got.error["jevons"]["held"] == 2
        with_room = body_of("chat", "gpt-4o", cap=20)
        got = gateway.admin("POST", "/kills", {"subject": f"key:{key.name}"})
        assert gateway.admin("DELETE", f"/kills/{got.json['id']}").status == 200
        for call in (one, two):
            call.end()
        assert gateway.post("chat", key, with_room).status == 200


BOUNDS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("seconds", 0, {}, "has been running for"),
    ("context_tokens", 200, {"text": "word " * 300}, "input tokens in one call"),
    ("context_growth", 2.5, {"text": "word " * 300}, "times the input of its first call"),
]


@pytest.mark.parametrize(("measure", "amount", "then", "words"), BOUNDS)
def test_a_run_that_has_become_too_much(gateway: Gateway, measure: str, amount: Any, then: dict[str, Any], words: str) -> None:
    key, run = gateway.key(), {"x-jevons-run-id": "r"}
    name = limit(gateway, key, scope="run", **{measure: amount})
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", reply="one", first_delay_ms=1100), **run).status == 200
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", **then), **run)
    denial = refused(got)
    assert (denial["limit_name"], denial["measure"], denial["scope"]) == (name, measure, f"run:{key.name}/r")
    assert words in got.error["message"]
    assert len(gateway.ids(key)) == 1
    if measure != "context_tokens":
        assert gateway.post("chat", key, body_of("chat", "gpt-4o", **then), **{"x-jevons-run-id": "s"}).status == 200


def test_a_text_to_embed_is_no_beginning(gateway: Gateway) -> None:
    """What a run's context grows from is what its model was told first."""
    key, run = gateway.key(), {"x-jevons-run-id": "r"}
    limit(gateway, key, scope="run", context_growth=2)
    small = body_of("embeddings", "text-embedding-3-small", text="word")
    large = body_of("embeddings", "text-embedding-3-small", text="word " * 5000)
    talk = body_of("chat", "gpt-4o", text="word " * 500)
    calls = [("embeddings", small), ("chat", talk), ("embeddings", large), ("chat", talk)]
    assert [gateway.post(door, key, body, **run).status for door, body in calls] == [200] * 4


def test_how_deep_and_how_wide_runs_may_go(gateway: Gateway) -> None:
    key = gateway.key()
    deep, wide = limit(gateway, key, scope="run", depth=2), limit(gateway, key, scope="run", children=2)

    def step(run: str, parent: str = "") -> Got:
        about = {"x-jevons-run-id": run} | ({"x-jevons-parent-run-id": parent} if parent else {})
        return gateway.post("chat", key, body_of("chat", "gpt-4o", cap=20), **about)

    assert [step("root").status, step("a", "root").status, step("b", "root").status] == [200] * 3
    assert refused(step("a1", "a"))["limit_name"] == deep
    assert refused(step("c", "root"))["limit_name"] == wide
    assert refused(step("c", "root"))["limit_name"] == wide, "asking again does not help"
    assert [step("a", "root").status, step("root").status, step("b", "root").status] == [200] * 3


def test_an_output_cap_cuts_and_never_refuses(gateway: Gateway) -> None:
    """But for a request whose thinking alone is more."""
    key, mark = gateway.key(), marker()
    limit(gateway, key, output_cap=50)
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", cap=500, marker=mark, tokens_out=300))
    assert (got.status, got.headers["x-jevons-output-cap"], gateway.entry_of(got)["output"]) == (200, "50", 50)
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=40)).headers.get("x-jevons-output-cap") is None
    assert gateway.post("chat", key, body_of("chat", "gpt-4o", cap=None)).headers["x-jevons-output-cap"] == "50"
    thinks = body_of("messages", "claude-sonnet-4-5", cap=5000) | {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert refused(gateway.post("messages", key, thinks))["measure"] == "output_cap"


def test_a_limit_for_some_models_only(gateway: Gateway) -> None:
    """Others neither count in it nor are stopped by it. A model counts under its own name, whatever it is asked for as."""
    key = gateway.key()
    limit(gateway, key, model="*-mini", steps=2)

    def step(model: str) -> int:
        return gateway.post("chat", key, body_of("chat", model, cap=20)).status

    assert [step(model) for model in ("gpt-4o", "gpt-4o", "house-model", "openai/gpt-4o-mini")] == [200] * 4
    assert [step(model) for model in ("gpt-4o-mini", "house-model", "gpt-4o")] == [402, 402, 200]


def test_a_run_tightens_its_own_budget_and_nothing_else(gateway: Gateway) -> None:
    """A later, higher one changes nothing; a child's calls count; a child may tighten further; the limit of the operator stands."""
    key = gateway.key()
    limit(gateway, key, scope="run", usd=0.02)
    body = body_of("chat", "gpt-4o", cap=100, tokens_out=90)  # about a tenth of a cent

    def step(run: str, budget: str = "", parent: str = "") -> Got:
        about = {"x-jevons-run-id": run}
        about |= {"x-jevons-run-budget-usd": budget} if budget else {}
        about |= {"x-jevons-parent-run-id": parent} if parent else {}
        return gateway.post("chat", key, body, **about)

    assert int(step("r", "0.005").headers["x-jevons-budget-remaining-nusd"]) < 5_000_000
    assert int(step("r", "5").headers["x-jevons-budget-remaining-nusd"]) < 4_500_000
    while (got := step("c", parent="r")).status == 200:
        pass
    denial = refused(got)
    assert (denial["limit_name"], denial["scope"], denial["limit_nusd"]) == ("run-budget", f"run:{key.name}/r", 5_000_000)
    assert "begin a new run" in got.error["message"]
    assert refused(step("r", "100"))["limit_name"] == "run-budget"
    wide = step("s", "1")
    assert 15_000_000 < int(wide.headers["x-jevons-budget-remaining-nusd"]) < 20_000_000, "the operator's own is tighter"
    assert int(step("t", "0.001", parent="s").headers["x-jevons-budget-remaining-nusd"]) < 1_000_000
    assert refused(step("t", parent="s"))["scope"] == f"run:{key.name}/t"
    assert step("s").status == 200


@pytest.mark.parametrize("budget", ["-1", "much", "nan", "1e400", ""])
def test_a_budget_that_is_none_is_not_passed_over(gateway: Gateway, any_key: Key, budget: str) -> None:
    got = gateway.post("chat", any_key, body_of("chat", "gpt-4o"), **{"x-jevons-run-budget-usd": budget})
    assert (got.status, got.error["code"]) == (400, "invalid_run_budget")


def test_a_budget_without_a_run_is_not_passed_over(gateway: Gateway, any_key: Key) -> None:
    """A call to embed names no run by itself."""
    body = body_of("embeddings", "text-embedding-3-small")
    budget = {"x-jevons-run-budget-usd": "1"}
    got = gateway.post("embeddings", any_key, body, **budget)
    assert (got.status, got.error["code"]) == (400, "invalid_run_budget")
    assert gateway.post("embeddings", any_key, body, **budget, **{"x-jevons-run-id": "r"}).status == 200
