"""An agent that repeats itself, as the gateway sees it in its requests: warned, asked about, stopped. What only looks like it goes on."""

from typing import Any

import pytest

from tests.gateway.asking import Gateway, Got, Key, body_of
from tests.gateway.governing import MODELS, Talk, limit, wait_until

DOORS = ["chat", "messages", "responses"]
LADDER = {"scope": "run", "repeats": 6, "warn": 2, "approve": 4}


def turns(gateway: Gateway, key: Key, talk: Talk, count: int, *steps: tuple[str, Any, str], **headers: str) -> list[Got]:
    """So many requests, each after one more tool call; `steps` take turns. {n} in a result is another number every time."""
    answers = []
    for number in range(count):
        name, arguments, result = steps[number % len(steps)]
        talk.tool(name, arguments, result.format(n=number))
        answers.append(gateway.post(talk.door, key, talk.body(), **headers))
    return answers


def standing(got: Got) -> str:
    """served, warned, or why it was refused."""
    if got.status == 200:
        return "warned" if "x-jevons-warning" in got.headers else "served"
    return str(got.error["jevons"]["reason"])


@pytest.mark.parametrize("door", DOORS)
def test_the_ladder(gateway: Gateway, door: str) -> None:
    """The same call with the same result: warned from the second on, asked at the fourth; after a yes stopped at the sixth."""
    key = gateway.key()
    name = limit(gateway, key, **LADDER)
    talk = Talk(door)
    answers = turns(gateway, key, talk, 4, ("look", {"at": 1}, "nothing"))
    assert [standing(got) for got in answers] == ["served", "warned", "warned", "approval"]
    assert answers[1].headers["x-jevons-warning"] == f"{name}: repeats 2 of 6"
    approval = answers[3].error["jevons"]["approval"]
    assert gateway.admin("POST", f"/approvals/{approval}", {"approve": True}).status == 200
    assert standing(gateway.post(door, key, talk.body())) == "warned"
    answers = turns(gateway, key, talk, 2, ("look", {"at": 1}, "nothing"))
    assert [standing(got) for got in answers] == ["warned", "loop"]
    found = answers[1].error["jevons"]
    assert (answers[1].status, found["measure"], found["limit"], found["value"]) == (402, "repeats", 6, 6)
    assert "repeats itself" in answers[1].error["message"]
    assert "look" in answers[1].error["message"]
    assert standing(gateway.post(door, key, talk.body())) == "loop", "sent again it is refused again"


@pytest.mark.parametrize("door", DOORS)
def test_two_calls_in_turn_are_a_cycle(gateway: Gateway, door: str) -> None:
    key = gateway.key()
    limit(gateway, key, scope="run", repeats=3)
    answers = turns(gateway, key, Talk(door), 7, ("look", {"at": 1}, "nothing"), ("list", {}, "the same"))
    assert [standing(got) for got in answers][-1] == "loop"
    assert [standing(got) for got in answers][:4] == ["served"] * 4


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "steps",
    [[("poll", {"job": 7}, "{n} % done")], [("read", {"page": 1}, "a"), ("read", {"page": 2}, "b{n}")]],
    ids=["polling", "reading on"],
)
def test_polling_with_changing_results_is_none(gateway: Gateway, door: str, steps: list[tuple[str, Any, str]]) -> None:
    key = gateway.key()
    limit(gateway, key, scope="run", repeats=4, warn=3)
    assert {standing(got) for got in turns(gateway, key, Talk(door), 12, *steps)} == {"served"}


def test_batch_work_is_none(gateway: Gateway) -> None:
    """Other arguments each time, the same result each time."""
    key, talk = gateway.key(), Talk("chat")
    limit(gateway, key, scope="run", repeats=4, warn=3)
    answers = [gateway.post("chat", key, talk.tool("write", {"file": n}, "ok").body()) for n in range(12)]
    assert {standing(got) for got in answers} == {"served"}


def test_something_new_ends_it(gateway: Gateway) -> None:
    key, talk = gateway.key(), Talk("chat")
    limit(gateway, key, scope="run", repeats=4, warn=3)
    same = ("look", {"at": 1}, "nothing")
    for _ in range(3):
        assert [standing(got) for got in turns(gateway, key, talk, 3, same)] == ["served", "served", "warned"]
        assert [standing(got) for got in turns(gateway, key, talk, 1, ("think", {}, str(id(talk)) + "{n}"))] == ["served"]
        same = (same[0], {"at": same[1]["at"] + 1}, same[2])


def test_identical_calls_with_others_between(gateway: Gateway) -> None:
    key, talk = gateway.key(), Talk("messages")
    limit(gateway, key, scope="run", identical_calls=3)
    answers = []
    for number in range(4):
        turns(gateway, key, talk, 1, ("note", {"n": number}, "noted"))
        answers += turns(gateway, key, talk, 1, ("look", {"at": 1}, "nothing"))
    assert [standing(got) for got in answers] == ["served", "served", "loop", "loop"]


def test_a_context_that_grows_and_nothing_new_happens(gateway: Gateway) -> None:
    key, talk = gateway.key(), Talk("chat")
    name = limit(gateway, key, scope="run", stalled_tokens=2000)
    answers = turns(gateway, key, talk, 8, ("look", {"at": 1}, "nothing of use " * 150))
    assert standing(answers[0]) == "served"
    assert standing(answers[-1]) == "loop"
    assert (answers[-1].error["jevons"]["limit_name"], answers[-1].error["jevons"]["measure"]) == (name, "stalled_tokens")


def test_a_request_that_is_sent_over_and_over(gateway: Gateway) -> None:
    """An agent whose own loop is stuck: the very same bytes. A client's few retries are none."""
    key = gateway.key()
    limit(gateway, key, scope="run", repeats=3)
    body = Talk("chat").tool("look", {}, "x").body()
    found = [standing(gateway.post("chat", key, body)) for _ in range(20)]
    assert found[:4] == ["served"] * 4
    assert found[-1] == "loop"


def test_the_built_in_limit_only_notes(gateway: Gateway) -> None:
    """Without a limit of the operator's: served, and one line in the audit log says what would have been."""
    key = gateway.key()
    answers = turns(gateway, key, Talk("chat"), 22, ("look", {"at": 1}, "nothing"), **{"x-jevons-run-id": "r"})
    assert {standing(got) for got in answers} == {"served"}

    def rows() -> list[tuple[str, Any]]:
        found = gateway.admin("GET", "/audit?limit=1000").json["rows"]
        whose = (f"run:{key.name}/r", f"key:{key.name}")  # where very many runs were noted, they share the lines of their key
        mine = [row for row in found if row["subject"] in whose and "measure" in row["detail"]]
        return sorted((row["action"], row["detail"]["measure"]) for row in mine)

    wait_until(lambda: rows() == [("would-ask", "repeats"), ("would-deny", "repeats")])


def test_runs_repeat_themselves_alone(gateway: Gateway) -> None:
    """Three agents that each do the same thing once are no loop; nor is a plain question asked often."""
    key = gateway.key()
    limit(gateway, key, scope="run", repeats=2)
    for run in ("a", "b", "c", "d"):
        [got] = turns(gateway, key, Talk("chat"), 1, ("look", {"at": 1}, "nothing"), **{"x-jevons-run-id": run})
        assert got.status == 200
    for number in range(6):
        body = body_of("chat", MODELS["chat"], text=f"Translate word {number}.")
        assert gateway.post("chat", key, body, **{"x-jevons-run-id": "batch"}).status == 200
