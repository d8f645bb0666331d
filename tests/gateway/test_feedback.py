"""What clients say of their answers, through a real gateway: labels, once each, late or at once; and an attack on other tenants' requests."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jevons.core.entry import request_text
from jevons.core.label import Label
from jevons.core.limits import FEEDBACK_BYTES_MAX, FEEDBACK_PER_MINUTE_MAX, FEEDBACK_RUN_ANSWERS_MAX
from jevons.ledger.routing import labels
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.provider import Provider
from tests.running import Jevons, upstream

PATH = "/jevons/v1/feedback"
SMALL, LARGE = "gpt-4o-mini", "gpt-4o"


def table(standin: Provider) -> dict[str, Any]:
    return upstream("openai", standin.openai_url, models=("gpt-*",), retries=0)


@pytest.fixture(scope="module")
def standin() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    routes = [{"name": "easy", "to": [SMALL, LARGE], "models": ["auto"]}]
    cache = {"answers": {"ram_mib": 8}}
    with Jevons(tmp_path_factory.mktemp("feedback") / "home", table(standin), routes=routes, cache=cache) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]


@pytest.fixture
def key(gateway: Gateway) -> Key:
    return gateway.key(org=marker())


def ask(gateway: Gateway, key: Key, model: str = "auto", stream: bool = False, **headers: str) -> Got:
    return gateway.post("chat", key, body_of("chat", model, stream, reply="Bern"), **headers)


def say(gateway: Gateway, key: Key, **words: Any) -> Got:
    return gateway.post(PATH, key, words)


def labels_of(gateway: Gateway, key: Key) -> list[Label]:
    return [label for label in labels(gateway.jevons.ledger) if label.key_id == key.id]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("words", "good"), [({"good": True}, True), ({"score": 0.4}, False), ({"score": 1, "model": SMALL}, True)]
)
def test_a_word_is_a_label(gateway: Gateway, key: Key, stream: bool, words: dict[str, Any], good: bool) -> None:
    got = ask(gateway, key, stream=stream)
    said = say(gateway, key, request=got.request, **words)
    assert said.status == 200 and "x-jevons-request-id" in said.headers
    assert said.json == {"request": got.request, "model": SMALL, "good": good, "recorded": True}
    [label] = labels_of(gateway, key)
    assert request_text(label.request) == got.request
    assert (label.route, label.model, label.reference, label.grader) == ("easy", SMALL, "", "feedback")
    assert (label.good, label.harm, label.weight, label.shown) == (good, not good, 1.0, True)


def test_what_was_said_first_stands(gateway: Gateway, key: Key) -> None:
    """However often and whatever is said, by however many at once."""
    got = ask(gateway, key)
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: say(gateway, key, request=got.request, good=False).json, range(16)))
    assert sorted(one["recorded"] for one in said) == [False] * 15 + [True]
    assert say(gateway, key, request=got.request, good=True).json == {**said[0], "good": False, "recorded": False}
    assert len(labels_of(gateway, key)) == 1


def test_it_may_come_late(gateway: Gateway, key: Key) -> None:
    got = ask(gateway, key)
    gateway.jevons.stop()
    gateway.jevons.start()
    assert say(gateway, key, request=got.request, good=True).json["recorded"]


def test_who_asked_for_a_model_by_its_name_may_say_so_too(gateway: Gateway, key: Key) -> None:
    got = ask(gateway, key, LARGE)
    assert say(gateway, key, request=got.request, good=True).json["model"] == LARGE
    [label] = labels_of(gateway, key)
    assert (label.route, label.score) == ("", None)


def test_a_run_speaks_for_its_routed_answers(gateway: Gateway, key: Key) -> None:
    for _ in range(2):
        ask(gateway, key, x_jevons_run_id="tour")
    first = ask(gateway, key, x_jevons_run_id="tour")
    ask(gateway, key, LARGE, x_jevons_run_id="tour")
    ask(gateway, key, x_jevons_run_id="other")
    say(gateway, key, request=first.request, good=True)
    said = say(gateway, key, run="tour", good=False)
    assert said.json == {"run": "tour", "answers": 3, "good": False, "recorded": 2}
    assert [label.good for label in labels_of(gateway, key)] == [True, False, False]
    assert FEEDBACK_RUN_ANSWERS_MAX > 3


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ({"good": True}, 400, "invalid_request"),
        ({"request": "req_1", "run": "r", "good": True}, 400, "invalid_request"),
        ({"run": "r"}, 400, "invalid_request"),
        ({"run": "r", "good": True, "score": 1}, 400, "invalid_request"),
        ({"run": "r", "score": 1.1}, 400, "invalid_request"),
        ({"run": "r", "good": "yes"}, 400, "invalid_request"),
        ({"run": "r", "good": True, "why": "because"}, 400, "invalid_request"),
        ({"run": "r" * FEEDBACK_BYTES_MAX, "good": True}, 413, "request_too_large"),
        ({"run": "nothing", "good": True}, 404, "unknown_run"),
        ({"request": "req_1", "good": True}, 404, "unknown_request"),
        ({"request": "req_7ffffffffffffff", "good": True}, 404, "unknown_request"),
        ({"request": "1 OR 1=1", "good": True}, 404, "unknown_request"),
    ],
)
def test_what_is_no_feedback(gateway: Gateway, key: Key, words: dict[str, Any], status: int, code: str) -> None:
    got = say(gateway, key, **words)
    assert (got.status, got.error["code"]) == (status, code), got.body


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"request": "req_1", "good": true', b"[" * 9_000])
def test_what_is_no_json(gateway: Gateway, key: Key, body: bytes) -> None:
    assert gateway.post(PATH, key, body).status == 400


def test_it_is_said_of_who_answered(gateway: Gateway, key: Key) -> None:
    got = ask(gateway, key)
    wrong = say(gateway, key, request=got.request, good=True, model=LARGE)
    assert (wrong.status, wrong.error["code"]) == (400, "another_model") and labels_of(gateway, key) == []


def test_nobody_says_anything_of_what_no_model_answered(gateway: Gateway, key: Key) -> None:
    """A failed call, a kept answer."""
    failed = gateway.post("chat", key, body_of("chat", LARGE, fault="status", status=400))
    ask(gateway, key, x_jevons_cache="on")
    kept = ask(gateway, key, x_jevons_cache="on")
    assert kept.headers["x-jevons-cache"] == "hit"
    for got in (failed, kept):
        assert say(gateway, key, request=got.request, good=True).status == 404


def test_a_key_is_needed(gateway: Gateway, key: Key) -> None:
    got = ask(gateway, key)
    for secret in (Key(0, "", "jv-wrong"), None):
        assert gateway.post(PATH, secret, {"request": got.request, "good": True}).status == 401
    assert gateway.get(PATH, key).status == 404


def test_other_tenants_learn_nothing_and_change_nothing(gateway: Gateway) -> None:
    """Guesses, real ids, ids next to real ones: of another organisation's request every answer is the one of a request that never was."""
    org = marker()
    mine, ours, theirs = gateway.key(org=org), gateway.key(org=org), gateway.key(org=org + " ")
    asked = [ask(gateway, mine, x_jevons_run_id="tour") for _ in range(4)]
    places = random.Random(7)
    for got in asked:
        number = int(got.request.removeprefix("req_"), 16)
        for guess in (number, number + 1, number - places.randrange(1, 99)):
            text = f"req_{guess:015x}"
            told = say(gateway, theirs, request=text, good=False, model=SMALL)
            never = say(gateway, theirs, request="req_000000000000001", good=False, model=SMALL)
            assert told.status == never.status == 404
            assert told.error["message"].replace(text, "req_000000000000001") == never.error["message"]
    assert say(gateway, theirs, run="tour", good=False).status == 404
    assert say(gateway, ours, run="tour", good=False).status == 404, "a run is its key's own"
    assert labels_of(gateway, mine) == labels_of(gateway, theirs) == []
    assert say(gateway, ours, request=asked[0].request, good=False).json["recorded"], "another key of the organisation may"
    [label] = labels_of(gateway, mine)
    assert label.org == org and labels_of(gateway, theirs) == []


def test_there_is_a_limit(gateway: Gateway, key: Key) -> None:
    body = json.dumps({"request": "req_1", "good": True}).encode()
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: gateway.post(PATH, key, body).status, range(FEEDBACK_PER_MINUTE_MAX + 5)))
    assert statuses.count(404) == FEEDBACK_PER_MINUTE_MAX and statuses.count(429) == 5
    last = gateway.post(PATH, key, body)
    assert last.error["code"] == "rate_limit_exceeded" and int(last.headers["retry-after"]) >= 1


def test_without_routes_there_is_no_such_door(standin: Provider, tmp_path: Path) -> None:
    with Jevons(tmp_path / "home", table(standin)) as jevons:
        gateway = Gateway(jevons, standin)
        got = say(gateway, gateway.key(), request="req_1", good=True)
    assert (got.status, got.error["code"]) == (404, "unknown_path")
