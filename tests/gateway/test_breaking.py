"""What breaks a prefix is named by a real gateway, from the requests that pass and what the provider says it read; nothing else is."""

import json
from collections.abc import Collection
from typing import Any

import pytest

from bench.breaks.plants import PLANTS, TIME, Body, Run, run_of
from jevons.ledger.bill import reading
from tests.gateway.asking import Gateway, Key, marker

POLICY = "".join(
    f"Rule {number}: bags of more than {number} kg are charged by weight, and never for gold members. " for number in range(90)
)
UNKEYED = ("wrapped", "spelling", "parameters")
"""What the stand-in's cache does not mind."""
RECORD = "".join(f"Booking {number * 7919} of 3 bags in economy to Seattle. " for number in range(30))


def conversation() -> list[Body]:
    """An agent of an airline: a long system prompt, then question, tool call, result, answer, over and over."""
    messages: list[Body] = [
        {"role": "system", "content": f"# Airline policy ({marker()})\n\n{TIME}\n\n{POLICY}"},
        _user("Hello, it is about my bags."),
    ]
    for number in range(4):
        call = {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": "get_booking", "arguments": f'{{"n": {number}}}'},
        }
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": f"{number}: {RECORD}"},
            {"role": "assistant", "content": f"I have found booking {number}, and three bags in it."},
            _user(f"And what about the one after number {number}?"),
        ]
    return [*messages, {"role": "assistant", "content": "That is all."}]


def _user(text: str | list[Body]) -> Body:
    return {"role": "user", "content": text}


def found(
    gateway: Gateway, key: Key, run: Run, door: str = "chat", unread: Collection[int] = (), **headers: str
) -> list[dict[str, Any] | None]:
    """What the ledger says of each request of a run. Of those in `unread` the provider reads nothing from its cache."""
    rows: list[dict[str, Any] | None] = []
    for place, body in enumerate(run):
        if place in unread:
            gateway.provider.script({"input_tokens": len(json.dumps(body)) // 5})
        got = gateway.post(door, key, {**body, "max_tokens": 20}, **headers)
        assert got.status == 200, got.body
        with reading(gateway.jevons.ledger) as db:
            query = db.execute(
                "SELECT cause, position, role, lost_tokens, lost_nusd FROM cache_breaks WHERE request = ?", (got.request,)
            )
            row = query.fetchone()
            rows.append(dict(zip(("cause", "position", "role", "lost_tokens", "lost_nusd"), row, strict=True)) if row else None)
    return rows


@pytest.mark.parametrize("name", PLANTS)
def test_each_break_is_named(gateway: Gateway, key: Key, name: str) -> None:
    made = PLANTS[name](run_of(conversation()))
    assert made is not None
    for place, row in enumerate(found(gateway, key, made.run, unread=made.at if name in UNKEYED else ())):
        if place not in made.at:
            assert row is None, (place, row)
            continue
        assert row is not None, place
        assert (row["cause"], row["position"], row["role"]) == made.found, place
        assert row["lost_tokens"] >= 256
        if name != "model":
            assert row["lost_nusd"] == row["lost_tokens"] * (2500 - 1250), (
                "what gpt-4o costs to read anew, less what it costs from the cache"
            )


def test_nothing_is_found_where_nothing_broke(gateway: Gateway, key: Key) -> None:
    """Also not in what only looks like it: asked again, taken up further back, another agent, parallel questions, all under one run."""
    run = run_of(conversation())
    fork = {**run[4], "messages": [*run[4]["messages"][:-1], _user("No, the other one. " * 200)]}
    helper = [
        {**body, "messages": [{"role": "system", "content": "You find flights. " * 400}, _user("Which ones?")]}
        for body in run[:2]
    ]
    parallel = [{**run[0], "messages": [run[0]["messages"][0], _user(f"{number}: {RECORD}")]} for number in range(3)]
    assert found(gateway, key, [*run, run[-1], fork, *helper, *parallel, *run[-2:]], x_jevons_run_id="one") == [None] * (
        len(run) + 9
    )


def claude(marked: bool, clock: bool) -> Run:
    """The same conversation as Claude Code sends one: its marks move on with the last message."""
    mark = {"cache_control": {"type": "ephemeral"}} if marked else {}
    system, name = f"{TIME}\n{POLICY}", marker()
    run: Run = []
    for number in range(1, 5):
        said = [{"role": ("user", "assistant")[n % 2], "content": f"{n}: {RECORD}"} for n in range(2 * number - 1)]
        said[-1] = _user([{"type": "text", "text": said[-1]["content"], **mark}])
        text = system.replace("15:00", f"15:{number:02}") if clock else system
        run.append({"model": "claude-sonnet-4-5", "system": [{"type": "text", "text": name + text, **mark}], "messages": said})
    return run


def test_marks_that_move_on_break_nothing(gateway: Gateway, key: Key) -> None:
    assert found(gateway, key, claude(marked=True, clock=False), "messages") == [None] * 4


def test_what_is_lost_was_written_anew(gateway: Gateway, key: Key) -> None:
    first, *rows = found(gateway, key, claude(marked=True, clock=True), "messages")
    assert first is None
    for row in rows:
        assert row is not None and (row["cause"], row["position"], row["role"]) == ("clock", 0, "system")
        assert row["lost_nusd"] == row["lost_tokens"] * (3750 - 300), "a write's price, less a read's"


def test_a_cache_that_was_never_asked_for(gateway: Gateway, key: Key) -> None:
    first, *rows = found(gateway, key, claude(marked=False, clock=False), "messages")
    assert first is None
    assert [row and (row["cause"], row["role"], row["lost_nusd"] // row["lost_tokens"]) for row in rows] == [
        ("unmarked", "", 2700)
    ] * 3


def test_other_keys_have_other_conversations(gateway: Gateway, key: Key) -> None:
    """What one key's requests were says nothing of another's."""
    run = run_of(conversation())
    made = PLANTS["clock"](run)
    assert made is not None
    found(gateway, key, run[-1:])
    assert found(gateway, gateway.key(), made.run[-1:]) == [None]


def test_the_text_of_a_break_is_nowhere(gateway: Gateway, key: Key) -> None:
    """What was changed is named by its kind; not a word of it is written down."""
    secret = marker()
    run = [
        {**body, "messages": [{"role": "system", "content": f"{number} {secret} {POLICY}"}, *body["messages"][1:]]}
        for number, body in enumerate(run_of(conversation())[:3])
    ]
    assert [row and row["cause"] for row in found(gateway, key, run)][1:] == ["counter", "counter"]
    gateway.jevons.run("cache", "doctor")
    assert all(secret.encode() not in path.read_bytes() for path in gateway.jevons.home.rglob("*") if path.is_file())
