"""Where a person is asked first: the agent is refused with a link, and served after a yes; no answer is a no; nothing of it is lost by a restart."""

from collections.abc import Iterator
from typing import Any

import pytest

from jevons.core.limits import QUESTIONS_OF_KEY_MAX
from tests.gateway.asking import Gateway, Got, Key, body_of
from tests.gateway.governing import Talk, account, limit, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream


def step(gateway: Gateway, key: Key, run: str = "r", **members: Any) -> Got:
    return gateway.post("chat", key, body_of("chat", "gpt-4o", cap=100, tokens_out=90, **members), **{"x-jevons-run-id": run})


def asked(got: Got) -> str:
    """The question that a refusal leads to."""
    found = got.error["jevons"]
    assert (got.status, got.headers["x-should-retry"], found["reason"]) == (402, "false", "approval")
    assert found["approval_url"].endswith(f"/jevons/v1/approvals/{found['approval']}")
    assert found["approval_url"] in got.error["message"]
    return str(found["approval"])


def decide(gateway: Gateway, approval: str, approve: bool) -> None:
    got = gateway.admin("POST", f"/approvals/{approval}", {"approve": approve})
    assert (got.status, got.json["state"]) == (200, "approved" if approve else "denied")


def questions(gateway: Gateway, key: Key) -> list[str]:
    found = gateway.admin("GET", "/approvals").json["approvals"]
    return [one["id"] for one in found if key.name in one["subject"]]


def test_from_its_point_on_a_person_is_asked_once(gateway: Gateway) -> None:
    """The retry of the same run is served after a yes, for as much again; then the next question comes; the limit stands."""
    key = gateway.key()
    name = limit(gateway, key, scope="run", steps=5, approve=2)
    assert [step(gateway, key).status for _ in range(2)] == [200, 200]
    got = step(gateway, key)
    first = asked(got)
    assert f"Run 'r' of key '{key.name}' has come to 2 steps; limit '{name}' asks from 2 steps on." in got.error["message"]
    assert "A yes allows 2 steps more." in got.error["message"]
    assert {asked(step(gateway, key)) for _ in range(3)} == {first}
    assert questions(gateway, key) == [first]
    decide(gateway, first, True)
    assert [step(gateway, key).status for _ in range(2)] == [200, 200]
    second = asked(step(gateway, key))
    assert second != first
    decide(gateway, second, True)
    assert step(gateway, key).status == 200
    assert step(gateway, key).error["jevons"]["reason"] == "limit", "a yes does not raise the limit itself"
    assert account(gateway, name)["posted"] == 5


def test_a_no_and_another_mind(gateway: Gateway) -> None:
    key = gateway.key()
    limit(gateway, key, usd=1, approve=0.002)
    while (got := step(gateway, key)).status == 200:
        pass
    approval = asked(got)
    decide(gateway, approval, False)
    got = step(gateway, key)
    assert (got.status, got.error["jevons"]["reason"]) == (402, "approval_denied")
    assert "was denied" in got.error["message"]
    assert got.error["jevons"]["approval"] == approval, "the same question, which can still be answered otherwise"
    decide(gateway, approval, True)
    assert step(gateway, key).status == 200
    decide(gateway, approval, False)
    assert step(gateway, key).error["jevons"]["reason"] == "approval_denied"


def test_each_run_is_asked_for_itself(gateway: Gateway) -> None:
    key = gateway.key()
    limit(gateway, key, scope="run", steps=10, approve=1)
    approvals = {}
    for run in ("r", "s"):
        assert step(gateway, key, run).status == 200
        approvals[run] = asked(step(gateway, key, run))
    decide(gateway, approvals["r"], True)
    assert step(gateway, key, "r").status == 200
    assert asked(step(gateway, key, "s")) == approvals["s"]


def test_a_run_that_repeats_itself_is_asked_about(gateway: Gateway) -> None:
    key = gateway.key()
    limit(gateway, key, scope="run", repeats=9, approve=3)
    talk = Talk("chat")

    def turn() -> Got:
        return gateway.post("chat", key, talk.tool("look", {"at": 1}, "nothing").body())

    assert [turn().status for _ in range(2)] == [200, 200]
    got = turn()
    approval = asked(got)
    assert "look" in got.error["message"], "what it repeats is said"
    got = gateway.post("chat", key, talk.body())
    assert asked(got) == approval
    decide(gateway, approval, True)
    assert gateway.post("chat", key, talk.body()).status == 200
    assert [turn().status for _ in range(2)] == [200, 200]
    assert asked(turn()) != approval


@pytest.mark.parametrize("members", [{"steps": 5, "approve": 0}, {"context_tokens": 10**6, "approve": 1}])
def test_a_first_request_that_is_sent_again_is_the_same_question(gateway: Gateway, members: dict[str, Any]) -> None:
    """Of a run that nothing names but its words: after the yes it is served."""
    key = gateway.key()
    limit(gateway, key, scope="run", **members)
    talk = Talk("messages", f"A beginning of {key.name}.")
    approval = asked(gateway.post("messages", key, talk.body()))
    assert asked(gateway.post("messages", key, talk.body())) == approval
    decide(gateway, approval, True)
    got = gateway.post("messages", key, talk.body())
    if "context_tokens" in members:
        assert asked(got) != approval, "a yes to one token more is soon used up"
    else:
        assert got.status == 200


@pytest.fixture(scope="module")
def hasty(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose questions are open for one second; people reach it under another name."""
    limits = [{"name": "asks", "scope": "run", "steps": 10, "approve": 1}]
    home = tmp_path_factory.mktemp("hasty") / "home"
    table = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
    governor = {"approval_s": 1, "public_url": "https://jevons.example"}
    with Jevons(home, table, limits=limits, governor=governor) as jevons:
        yield Gateway(jevons, standin)


def test_no_answer_is_a_no_and_a_late_yes_is_a_yes(hasty: Gateway) -> None:
    key = hasty.key()
    assert step(hasty, key).status == 200
    got = step(hasty, key)
    approval = asked(got)
    assert got.error["jevons"]["approval_url"] == f"https://jevons.example/jevons/v1/approvals/{approval}"
    wait_until(lambda: step(hasty, key).error["jevons"]["reason"] == "approval_denied")
    got = step(hasty, key)
    assert "was not approved in time, which counts as a no" in got.error["message"]
    assert (got.error["jevons"]["approval"], questions(hasty, key)) == (approval, [approval])
    decide(hasty, approval, True)
    assert step(hasty, key).status == 200


def test_questions_and_answers_survive_a_restart(hasty: Gateway) -> None:
    """By a signal, and by a sudden death."""
    yes, no = hasty.key(), hasty.key()
    approvals = {}
    for key in (yes, no):
        assert step(hasty, key).status == 200
        approvals[key] = asked(step(hasty, key))
    hasty.jevons.stop()
    hasty.jevons.start()
    assert step(hasty, yes).error["jevons"]["approval"] == approvals[yes]
    decide(hasty, approvals[yes], True)
    decide(hasty, approvals[no], False)
    hasty.jevons.kill()
    hasty.jevons.start()
    assert step(hasty, yes).status == 200
    assert step(hasty, yes).status == 402, "a yes is used up once, restart or not"
    assert step(hasty, no).error["jevons"]["reason"] == "approval_denied"
    assert [len(questions(hasty, key)) for key in (yes, no)] == [2, 1]


def test_a_key_has_so_many_questions_and_no_more(gateway: Gateway) -> None:
    """Each run may ask its own; what begins run after run is refused without a question, and others still ask theirs."""
    key, other = gateway.key(), gateway.key()
    for one in (key, other):
        limit(gateway, one, scope="run", context_tokens=10_000, approve=1)
    told = [step(gateway, key, run=f"r{number}") for number in range(QUESTIONS_OF_KEY_MAX + 2)]
    assert [got.status for got in told] == [402] * len(told)
    assert len(questions(gateway, key)) == QUESTIONS_OF_KEY_MAX
    assert "approval" not in told[-1].error["jevons"]
    assert "as many questions open as a key may have" in told[-1].error["message"]
    one = asked(step(gateway, other))
    assert questions(gateway, other) == [one]
