"""A route that chooses by what was learnt: a file of JEVONS_HOME/routers decides who answers, for its own organisation alone, and each answer says why."""

from collections.abc import Iterator

import pytest

from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Got
from tests.gateway.governing import Talk, run_id
from tests.gateway.learning import learnt
from tests.provider import Provider
from tests.running import Jevons, upstream

SHORT, LONG = "What is two and two?", "Tell me all about the history of the compiler. " * 20
TO = ["gpt-4o-mini", "gpt-4o"]


@pytest.fixture(scope="module")
def learning(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("learned") / "home"
    home.mkdir(mode=0o700)
    learnt(home, "learned")
    learnt(home, "warm", "gpt-4.1")
    full = {"stage": "full", "share": 1.0, "sample": 0.0}
    routes = [
        {"name": "learned", "to": TO, "choose": "learned", **full},
        {"name": "warm", "models": ["warm"], "to": ["gpt-4.1", "gpt-4o"], "choose": "learned", **full},
        {"name": "watching", "models": ["watched"], "to": TO, "choose": "learned", "sample": 0.0},
        {
            "name": "cut-off",
            "models": ["cut-off"],
            "to": ["gpt-4o-mini", "claude-sonnet-4-5"],
            "choose": "learned",
            "sample": 0.0,
        },
    ]
    models = upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)
    with Jevons(home, models, upstream("anthropic", standin.url, "anthropic", models=("claude-*",)), routes=routes) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]
    assert check(jevons.ledger) == []


def asks(gateway: Gateway, text: str, model: str = "auto", *, key: object = None, **members: object) -> Got:
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | members
    return gateway.post("chat", key or gateway.key(), body)  # type: ignore[arg-type]


def why(got: Got) -> dict[str, str]:
    assert got.status == 200, got.body
    return dict(part.split("=", 1) for part in got.headers["x-jevons-route-why"].split(";"))


def test_what_was_learnt_decides(learning: Gateway) -> None:
    small, large = asks(learning, SHORT), asks(learning, LONG)
    assert (small.headers["x-jevons-model"], large.headers["x-jevons-model"]) == ("gpt-4o-mini", "gpt-4o")
    told = why(small)
    assert (told["route"], told["why"], told["stage"]) == ("learned", "cheaper", "share")
    score, _, threshold = told["score"].partition(">=")
    assert float(score) > 0.9 > float(threshold) > 0
    assert int(told["expected_nusd"]) > 0
    assert why(large)["why"] == "not-good-enough"


def test_nobody_elses_requests(learning: Gateway) -> None:
    """What was learnt of one organisation's requests says nothing of another's."""
    other = learning.key(org="others")
    got = asks(learning, SHORT, key=other)
    assert (got.headers["x-jevons-model"], why(got)["why"]) == ("gpt-4o", "no-promise")


def test_without_a_file_nothing_is_promised(learning: Gateway) -> None:
    got = asks(learning, SHORT, "watched")
    assert (got.headers["x-jevons-model"], why(got)["why"], why(got)["stage"]) == ("gpt-4o", "no-promise", "observe")


def test_without_its_reference_nothing_is_chosen(learning: Gateway) -> None:
    got = asks(learning, SHORT, "cut-off", key=learning.key(models=["cut-off", "gpt-*"]))
    assert (got.headers["x-jevons-model"], why(got)["why"]) == ("gpt-4o-mini", "no-reference")


def test_what_cannot_be_compared_goes_to_the_reference(learning: Gateway) -> None:
    got = asks(learning, SHORT, n=2)
    assert (got.headers["x-jevons-model"], why(got)["why"]) == ("gpt-4o", "not-compared")


def test_an_open_turn_is_not_decided_anew(learning: Gateway) -> None:
    key, run = learning.key(), {"x-jevons-run-id": run_id()}
    talk = Talk("chat", SHORT)
    assert learning.post("chat", key, talk.body("auto"), **run).headers["x-jevons-model"] == "gpt-4o-mini"
    got = learning.post("chat", key, talk.tool("look", {}, LONG).body("auto"), **run)
    assert (got.headers["x-jevons-model"], why(got)["why"]) == ("gpt-4o-mini", "turn")
    unknown = learning.post("chat", key, Talk("chat", SHORT).tool("look", {}, "x").body("auto"), x_jevons_run_id=run_id())
    assert (unknown.headers["x-jevons-model"], why(unknown)["why"]) == ("gpt-4o", "turn"), "nobody knows what it began with"


def test_a_conversation_stays_where_its_prompt_is_warm_if_that_is_worth_more(learning: Gateway) -> None:
    """A new turn that the cheaper model could answer: what it would read anew costs more than it saves."""
    key, run, history = learning.key(), {"x-jevons-run-id": run_id()}, Talk("chat", LONG * 20)
    fresh = asks(learning, SHORT, "warm", key=key)
    assert (fresh.headers["x-jevons-model"], why(fresh)["why"]) == ("gpt-4.1", "cheaper")
    assert learning.post("chat", key, history.body("warm"), **run).headers["x-jevons-model"] == "gpt-4o"
    got = learning.post("chat", key, history.assistant("It is long.").user(SHORT).body("warm"), **run)
    assert (got.headers["x-jevons-model"], why(got)["why"]) == ("gpt-4o", "reference-cheapest")
