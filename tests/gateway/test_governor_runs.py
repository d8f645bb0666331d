"""Which run a request belongs to, by what its client sends already, and that a run's calls count in it and in those above it."""

import json
from typing import Any

import pytest

from jevons.ledger.bill import reading
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import Talk, account, limit

CLAUDE = "x-claude-code-session-id"
NAMED: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    # who: (headers of the root, headers of a run that it started, label of that one)
    "ours": ({"x-jevons-run-id": "R"}, {"x-jevons-run-id": "C", "x-jevons-parent-run-id": "R"}, "C"),
    "claude-code": ({CLAUDE: "R"}, {CLAUDE: "R", "x-claude-code-agent-id": "C"}, "R:C"),
    "codex": (
        {"originator": "codex_cli_rs", "session-id": "R", "thread-id": "R"},
        {"originator": "codex_cli_rs", "session-id": "R", "thread-id": "C"},
        "C",
    ),
    "opencode": (
        {"user-agent": "opencode/1.18", "x-session-id": "R"},
        {"user-agent": "opencode/1.18", "x-session-id": "C", "x-parent-session-id": "R"},
        "C",
    ),
    "affinity": ({"x-session-affinity": "R"}, {"x-session-affinity": "C", "x-parent-session-id": "R"}, "C"),
    "opencode's own": ({"x-opencode-session": "R"}, {"x-opencode-session": "C", "x-parent-session-id": "R"}, "C"),
    "litellm": ({"x-litellm-trace-id": "R"}, {"x-litellm-trace-id": "C", "x-jevons-parent-run-id": "R"}, "C"),
}
SESSION = "11111111-2222-3333-4444-555555555555"
IN_BODY: dict[str, tuple[str, dict[str, Any], str]] = {
    "metadata": ("chat", {"metadata": {"session_id": "R"}}, "R"),
    "user id as JSON": ("messages", {"metadata": {"user_id": json.dumps({"session_id": SESSION})}}, SESSION),
    "user id as text": ("messages", {"metadata": {"user_id": f"user_ab12_account__session_{SESSION}"}}, SESSION),
    "cache key": ("responses", {"prompt_cache_key": "R"}, "R"),
}


def named(headers: dict[str, str], suffix: str) -> dict[str, str]:
    """Labels of this test alone."""
    return {name: value + suffix if value in ("R", "C") else value for name, value in headers.items()}


def run_of(got: Got) -> str:
    assert got.status == 200, got.body
    return got.headers["x-jevons-run-id"]


def parent_of(gateway: Gateway, key: Key, run: str) -> str | None:
    with reading(gateway.jevons.ledger) as db:
        [(parent,)] = db.execute("SELECT parent_run_id FROM runs WHERE key_id = ? AND run_id = ?", (key.id, run))
        return None if parent is None else str(parent)


@pytest.mark.parametrize("who", NAMED)
def test_headers_that_clients_send_already(gateway: Gateway, any_key: Key, who: str) -> None:
    """The root and a child of it; a limit on the run counts both, one on children the child alone."""
    suffix = marker()[:8]
    root, child, label = (one if isinstance(one, str) else named(one, suffix) for one in NAMED[who])
    assert isinstance(root, dict)
    assert isinstance(child, dict)
    key, body = gateway.key(), body_of("chat", "gpt-4o", cap=20)
    tree, below = limit(gateway, key, scope="run", steps=4), limit(gateway, key, scope="child", steps=3)
    assert run_of(gateway.post("chat", key, body, **root)) == f"R{suffix}"
    started = run_of(gateway.post("chat", key, body, **child))
    assert started == f"R{suffix}:C{suffix}" if ":" in str(label) else f"C{suffix}"
    assert parent_of(gateway, key, started) == f"R{suffix}"
    assert (account(gateway, tree)["posted"], account(gateway, below)["posted"]) == (2, 1)
    assert (account(gateway, tree)["subject"], account(gateway, below)["subject"]) == (
        f"run:{key.name}/R{suffix}",
        f"run:{key.name}/{started}",
    )
    stopped = 429 if who == "codex" else 402
    assert [gateway.post("chat", key, body, **child).status for _ in range(3)] == [200, 200, stopped]
    assert gateway.post("chat", key, body, **root).status == stopped, "what its children did is its own"
    assert gateway.entries(key)[0]["run_id"] == f"R{suffix}"


@pytest.mark.parametrize("how", IN_BODY)
def test_members_of_the_body(gateway: Gateway, how: str) -> None:
    door, members, label = IN_BODY[how]
    key = gateway.key()
    for number in range(2):
        body = body_of(door, "claude-sonnet-4-5" if door == "messages" else "gpt-4o", text=f"Other words {number}.")
        assert run_of(gateway.post(door, key, body | members)) == label


def test_headers_come_before_the_body(gateway: Gateway, any_key: Key) -> None:
    body = body_of("chat", "gpt-4o") | {"metadata": {"session_id": "of-the-body"}}
    assert run_of(gateway.post("chat", any_key, body, **{"x-session-id": "of-a-header"})) == "of-a-header"
    both = {"x-session-id": "of-a-header", "x-jevons-run-id": "ours"}
    assert run_of(gateway.post("chat", any_key, body, **both)) == "ours"


def test_a_continued_response_is_of_its_run(gateway: Gateway) -> None:
    """Whatever other label its cache key would give."""
    key, other = gateway.key(), gateway.key()
    body = body_of("responses", "gpt-4o", text="Begin.")
    first = gateway.post("responses", key, body, **{"x-jevons-run-id": "named-once"})
    follows = body_of("responses", "gpt-4o", text="Go on.") | {"previous_response_id": first.json["id"]}
    second = gateway.post("responses", key, follows | {"prompt_cache_key": "another"})
    assert (run_of(first), run_of(second)) == ("named-once", "named-once")
    third = gateway.post("responses", key, follows | {"previous_response_id": second.json["id"]})
    assert run_of(third) == "named-once"
    assert gateway.post("responses", other, follows).status == 404, "it is another key's"


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_a_conversation_names_itself(gateway: Gateway, door: str) -> None:
    """By what it repeats; a branch is a child; other words are another run; a limit holds over all of its turns."""
    key, topic = gateway.key(), marker()
    limit(gateway, key, scope="run", steps=4)
    talk = Talk(door, f"Of {topic}.")
    first = run_of(gateway.post(door, key, talk.body()))
    talk.assistant("Yes.").user("Then?")
    assert run_of(gateway.post(door, key, talk.body())) == first
    branch = Talk(door, f"Of {topic}.").assistant("Yes.").user("Then?").assistant("No.").user("Why?")
    talk.tool("look", {"at": 1}, "seen")
    assert run_of(gateway.post(door, key, talk.body())) == first
    started = run_of(gateway.post(door, key, branch.body()))
    assert parent_of(gateway, key, started) == first
    assert gateway.post(door, key, talk.assistant("Done.").user("More.").body()).status == 402, "four steps, one of its child's"
    assert run_of(gateway.post(door, key, Talk(door, "Something else.").body())) not in (first, started)


def test_two_keys_with_one_label_never_meet(gateway: Gateway) -> None:
    """Neither by name, nor by words, nor by a budget that one of them set."""
    one, two = gateway.key(), gateway.key()
    for key in (one, two):
        limit(gateway, key, scope="run", steps=2)
    body, run = body_of("chat", "gpt-4o", cap=20), {"x-jevons-run-id": "same"}
    assert gateway.post("chat", one, body, **run, **{"x-jevons-run-budget-usd": "0.01"}).status == 200
    assert gateway.post("chat", one, body, **run).status == 200
    assert gateway.post("chat", one, body, **run).status == 402
    got = gateway.post("chat", two, body, **run)
    assert (got.status, got.headers["x-jevons-budget-remaining-nusd"]) == (200, "unlimited")
    talk = Talk("chat", f"Of {marker()}.")
    assert run_of(gateway.post("chat", one, talk.body())) != run_of(gateway.post("chat", two, talk.body()))


def test_a_parent_is_what_the_first_call_said(gateway: Gateway) -> None:
    """A run cannot move out from under its limit by naming another parent, or none."""
    key = gateway.key()
    limit(gateway, key, scope="run", steps=3)
    body = body_of("chat", "gpt-4o", cap=20)

    def step(run: str, parent: str = "") -> Got:
        return gateway.post(
            "chat", key, body, **{"x-jevons-run-id": run}, **({"x-jevons-parent-run-id": parent} if parent else {})
        )

    assert [step("root").status, step("c", "root").status, step("c", "elsewhere").status] == [200] * 3
    for parent in ("", "elsewhere", "c", "root"):
        got = step("c", parent)
        assert (got.status, got.error["jevons"]["scope"]) == (402, f"run:{key.name}/root")


@pytest.mark.parametrize("value", ["", "with space", "x" * 129, "ümlaut"])
def test_a_label_of_ours_that_is_none(gateway: Gateway, any_key: Key, value: str) -> None:
    got = gateway.post("chat", any_key, body_of("chat", "gpt-4o"), **{"x-jevons-run-id": value})
    assert (got.status, got.error["code"]) == (400, "invalid_run_id")


def test_runs_deeper_than_any_agent(gateway: Gateway) -> None:
    key, body = gateway.key(), body_of("chat", "gpt-4o", cap=20)
    statuses = []
    for depth in range(33):
        about = {"x-jevons-run-id": f"d{depth}"} | ({"x-jevons-parent-run-id": f"d{depth - 1}"} if depth else {})
        got = gateway.post("chat", key, body, **about)
        statuses.append(got.status)
    assert statuses == [200] * 32 + [403]
    assert got.error["code"] == "run_too_deep"
