"""Students through a real gateway: whose requests they answer, in which form, at what price, and when they stop."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import check, open_holds
from tests.gateway.asking import Gateway, Got, Key
from tests.gateway.governing import wait_until
from tests.gateway.schooling import enrol, labels, scripted, state_of
from tests.gateway.test_capturing import kept
from tests.provider import Provider
from tests.running import Jevons, upstream

ROUTE = {
    "name": "greeting",
    "models": ["auto"],
    "to": ["student/greeter", "gpt-4o"],
    "choose": "learned",
    "stage": "full",
    "share": 1.0,
    "sample": 0.0,
    "delta": 0.1,
    "grader": "exact",
}
ANSWERS = {"How are you?": "Fine.", "Who is there?": "A student."}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Provider(bodies=True) as standin:
        teacher = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
        jevons = Jevons(tmp_path_factory.mktemp("students") / "home", teacher, routes=[ROUTE])
        with jevons:
            jevons.stop()
            enrol(jevons, "greeter", ANSWERS)
            jevons.start()
            yield Gateway(jevons, standin)
            assert check(jevons.ledger) == [] and open_holds(jevons.ledger) == []
            assert "Traceback" not in jevons.log()


@pytest.fixture
def key(gateway: Gateway) -> Key:
    return gateway.key(org="school")


def asked(gateway: Gateway, key: Key, question: str, reply: str = "From the teacher.", door: str = "chat", **members: Any) -> Got:
    body = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": question}]} | members
    return gateway.post(door, key, body, **scripted(reply))


def text(got: Got) -> str:
    return str(got.json["choices"][0]["message"]["content"])


def test_a_student_answers_what_it_is_sure_of_at_the_price_of_a_millisecond(gateway: Gateway, key: Key) -> None:
    got = asked(gateway, key, "How are you?")
    assert (got.status, text(got)) == (200, "Fine.")
    assert got.json["model"] == "student/greeter@1"
    assert got.headers["x-jevons-route"] == "student/greeter@1" and ";why=cheaper;" in got.headers["x-jevons-route-why"]
    entry = gateway.entry_of(got)
    assert (entry["upstream"], entry["target"], entry["billed_nusd"], entry["estimate"]) == ("student", "greeter@1", 33, "")
    assert got.json["usage"]["completion_tokens"] == entry["output"] == 2
    [saving] = entry["savings"]
    assert saving["kind"] == "student" and saving["nusd"] > 0


def test_a_streamed_request_gets_a_stream(gateway: Gateway, key: Key) -> None:
    got = asked(gateway, key, "How are you?", stream=True)
    chunks = [json.loads(data) for _, data in got.events if data != b"[DONE]"]
    assert got.events[-1][1] == b"[DONE]" and not any(chunk.get("usage") for chunk in chunks)
    assert "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]) == "Fine."
    assert gateway.entry_of(got)["billed_nusd"] == 33


@pytest.mark.parametrize("stream", [False, True])
def test_another_dialect_is_answered_in_its_own(gateway: Gateway, key: Key, stream: bool) -> None:
    got = asked(gateway, key, "Who is there?", door="messages", stream=stream)
    entry = gateway.entry_of(got)
    assert (entry["target"], entry["billed_nusd"], entry["estimate"]) == ("greeter@1", 33, "")
    if stream:
        assert b"A student." in got.body and got.events[-1][0] == "message_stop"
    else:
        assert got.json["content"] == [{"type": "text", "text": "A student."}]


@pytest.mark.parametrize(
    ("question", "members"),
    [
        ("What is the time?", {}),
        ("How are you?", {"max_tokens": 1}),
        ("How are you?", {"logprobs": True}),
        ("How are you?", {"n": 2}),
        (
            "How are you?",
            {"messages": [{"role": "system", "content": "In French."}, {"role": "user", "content": "How are you?"}]},
        ),
        (
            "How are you?",
            {"messages": [{"role": r, "content": "How are you?"} for r in ("user", "assistant", "user")]},
        ),
        (
            "How are you?",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]},
        ),
    ],
    ids=["unknown", "cut", "logprobs", "two", "instructions", "conversation", "picture"],
)
def test_what_is_not_its_own_goes_to_the_teacher(gateway: Gateway, key: Key, question: str, members: dict[str, Any]) -> None:
    got = asked(gateway, key, question, **members)
    assert got.status == 200 and gateway.entry_of(got)["upstream"] == "openai"


def test_tenants_never_meet(gateway: Gateway, key: Key) -> None:
    assert text(asked(gateway, key, "How are you?")) == "Fine."
    other = gateway.key(org="elsewhere")
    assert text(asked(gateway, other, "How are you?")) == "From the teacher."
    assert [one["upstream"] for one in gateway.entries(other) if one["billed_nusd"]] == ["openai"]


def test_only_a_route_asks_students(gateway: Gateway, key: Key) -> None:
    """Whoever names one is refused before anything is tried, however often, and takes it from nobody."""
    for _ in range(8):
        for model in ("student/greeter", "student/greeter@1"):
            refused = asked(gateway, key, "How are you?", model=model)
            assert (refused.status, refused.error["code"]) == (400, "student_by_name")
            assert "only through a route" in refused.error["message"]
    assert asked(gateway, key, "How are you?", model="student/greeter", door="messages").json["type"] == "error"
    assert gateway.entries(key) == []
    assert text(asked(gateway, key, "How are you?")) == "Fine."


def test_a_version_that_is_tried_answers_once_its_promise_holds_and_goes_when_it_drifts(tmp_path: Path) -> None:
    """Its labels cost nothing: every answer of the teacher is held against what it would have said."""
    with Provider(bodies=True) as standin:
        teacher = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
        jevons = Jevons(tmp_path / "home", teacher, routes=[ROUTE | {"sample": 1.0, "alpha": 0.2}], capture={"orgs": ["school"]})
        with jevons:
            jevons.stop()
            enrol(jevons, "greeter", ANSWERS, state="shadow")
            jevons.start()
            gateway = Gateway(jevons, standin)
            key = gateway.key(org="school")
            stored = {"model": "auto", "input": "How are you?"}
            assert gateway.post("responses", key, stored, **scripted("Stored, so for no student.")).status == 200
            first = asked(gateway, key, "How are you?", "Fine.")
            assert gateway.entry_of(first)["upstream"] == "openai"
            wait_until(lambda: state_of(jevons, "greeter") == {1: "serving"})
            assert [one.even for one in kept(jevons)] == [False, True]
            [label] = labels(jevons)
            assert (label["model"], label["reference"], label["good"], label["shown"]) == ("student/greeter@1", "gpt-4o", 1, 0)
            served = 0
            while state_of(jevons, "greeter") == {1: "serving"}:
                got = asked(gateway, key, "How are you?", "Who wants to know?")
                served += gateway.entry_of(got)["upstream"] == "student"
                assert served < 100, "it goes on although every answer is another than the teacher's"
            assert served and state_of(jevons, "greeter") == {1: "demoted"}
            assert text(asked(gateway, key, "How are you?", "The teacher again.")) == "The teacher again."
            jevons.stop()
            jevons.start()
            assert text(asked(gateway, key, "How are you?", "The teacher again.")) == "The teacher again."
            assert check(jevons.ledger) == []


def test_who_takes_consent_back_takes_the_students_made_of_it_along(tmp_path: Path) -> None:
    with Provider(bodies=True) as standin:
        teacher = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
        with Jevons(tmp_path / "home", teacher, routes=[ROUTE], capture={"orgs": ["school"]}) as jevons:
            gateway = Gateway(jevons, standin)
            key = gateway.key(org="school")
            for question in ANSWERS:
                asked(gateway, key, question)
            jevons.stop()
            enrol(jevons, "greeter", ANSWERS)  # its card names examples 1 and 2
            jevons.start()
            assert text(asked(gateway, key, "How are you?")) == "Fine."
            gone = json.loads(jevons.run("capture", "erase", "--key", key.name, "--json"))
            assert gone["examples"] == 2 and [one["name"] for one in gone["students"]] == ["greeter"]
            assert text(asked(gateway, key, "How are you?")) == "From the teacher."
            assert state_of(jevons, "greeter") == {1: "withdrawn"}
            assert not (jevons.home / "students" / "greeter@1.student").exists()


def test_a_key_that_may_not_use_the_teacher_is_no_students_either(gateway: Gateway) -> None:
    """Nobody would be asked what it does not know."""
    got = asked(gateway, gateway.key(org="school", models=["auto", "student/*"]), "How are you?")
    assert (got.status, got.error["code"]) == (403, "model_not_allowed")
