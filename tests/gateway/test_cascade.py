"""A cascade through a real gateway: the small model's answer is judged before it is seen, and both attempts are held, charged and on record.

The stand-in is both models; what they say, and how sure the small one is, is queued in the order in which they are asked.
"""

import asyncio
import http.client
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from math import exp
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jevons.core.routed import Stage
from jevons.gateway.patience import Patience
from jevons.gateway.promises import LOOKS, Model, State, name_of
from jevons.ledger.bill import check
from jevons.policy.promise import Certificate
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import Call, killed, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream

SMALL, LARGE = "gpt-4o-mini", "gpt-4o"
HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"
THRESHOLD = 0.5
SURE, UNSURE = -0.01, -1.0
ROUTES: dict[str, tuple[str, str]] = {
    "chat": (SMALL, LARGE),
    "messages": (SMALL, SONNET),
    "claude": (HAIKU, OPUS),
    "dear": (HAIKU, SONNET),
    "known": (SMALL, LARGE),
    "learning": (SMALL, LARGE),
}
"""Name that is asked for -> small, large."""
ALPHA, DELTA = 0.2, 0.1


@pytest.fixture(scope="module")
def standin() -> Iterator[Provider]:
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    table = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
    ]
    routes = [
        {
            "name": name,
            "models": [f"auto-{name}"],
            "to": list(to),
            "choose": "cascade",
            "stage": "full",
            "sample": 1.0 if name == "learning" else 0.0,
            "share": 1.0,
            "grader": "exact",
        }
        | {"alpha": ALPHA, "delta": DELTA}
        for name, to in ROUTES.items()
    ]
    with Jevons(tmp_path_factory.mktemp("cascade") / "home", *table, routes=routes) as jevons:
        jevons.stop()
        _promise(jevons)
        jevons.start()
        yield Gateway(jevons, standin)
    assert check(jevons.ledger) == []
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]


def _promise(jevons: Jevons) -> None:
    """As if enough labels had been there."""
    now = int(time.time() * 1000)
    with closing(sqlite3.connect(jevons.ledger)) as db, db:
        for name, (small, large) in ROUTES.items():
            stage, model = Stage.SHADOW, Model(ALPHA, DELTA, large, "exact", seen=LOOKS[0] - 1)
            if name != "learning":
                stage, certificate = Stage.FULL, Certificate(THRESHOLD, 0.9, 1_000, 0, ALPHA)
                model = Model(ALPHA, DELTA, large, "exact", certificate=certificate, since_ms=now)
            state = msgspec.json.encode(State(stage, changed_ms=now, models={small: model})).decode()
            db.execute("INSERT INTO learnt VALUES ('promise', ?, ?, ?)", (name_of("default", name), state, now))
        rows = [(16 * number, "known", SMALL, LARGE, number % 4 > 0, number % 4 == 0) for number in range(40)]
        rows += [(16 * (100 + number), "learning", SMALL, LARGE, True, False) for number in range(LOOKS[0] - 1)]
        db.executemany(
            "INSERT INTO labels (request_id, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features)"
            " VALUES (?, 1, 'default', ?, ?, ?, ?, ?, 'exact', 1, 0.9, 0, 0, '[]')",
            rows,
        )


@pytest.fixture
def key(gateway: Gateway) -> Key:
    return gateway.key(1000 * 10**9)


def asked(
    gateway: Gateway, key: Key, route: str, *scripts: dict[str, Any], stream: bool = False, **members: Any
) -> tuple[Got, str]:
    """(answer, marker of all the attempts that came of it)"""
    name, door = marker(), "chat" if route in ("chat", "known", "learning") else "messages"
    gateway.provider.script(*({"marker": name, **script} for script in scripts))
    return gateway.post(door, key, body_of(door, f"auto-{route}", stream, text="Which?") | members), name


def told(got: Got) -> str:
    assert got.status == 200, got.body
    if got.headers["content-type"].startswith("application/json"):
        whole = got.json
        return str(whole["choices"][0]["message"]["content"] if "choices" in whole else whole["content"][0]["text"])
    assert got.whole
    return "".join(_delta(json.loads(data)) for _, data in got.events if data != b"[DONE]")


def _delta(data: dict[str, Any]) -> str:
    if "choices" in data:
        return "".join(choice["delta"].get("content") or "" for choice in data["choices"])
    return str(data.get("delta", {}).get("text", ""))


def roles(gateway: Gateway, key: Key) -> list[tuple[str, str, float | None]]:
    """(role, model, confidence) of a key's entries, in the order of their ids."""
    with closing(sqlite3.connect(gateway.jevons.ledger)) as db:
        rows = db.execute("SELECT role, target, routed FROM entries WHERE key_id = ? ORDER BY id", (key.id,)).fetchall()
    return [(role, target, json.loads(routed)[-1] if routed else None) for role, target, routed in rows]


def bills(gateway: Gateway, name: str) -> int:
    """What the stand-in billed for a marker, at list price."""
    total = 0
    for attempt in gateway.attempts(name):
        model = attempt.received["model"]
        total += gateway.cost_nusd("anthropic" if model.startswith("claude") else "openai", model, attempt.bill)
    return total


@pytest.mark.parametrize("route", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_sure_answer_is_shown(gateway: Gateway, key: Key, route: str, stream: bool) -> None:
    """As if the small model had been asked by its name: without the figures that nobody but us asked for, and as a stream where one was asked for."""
    got, name = asked(gateway, key, route, {"reply": "blue", "logprob": SURE}, stream=stream)
    assert told(got) == "blue" and got.headers["x-jevons-model"] == SMALL
    [attempt] = gateway.attempts(name)
    sent = json.loads(attempt.body)
    assert (sent["logprobs"], sent["top_logprobs"], sent.get("stream", False)) == (True, 2, False)
    assert b"-0.01" not in got.body
    [entry] = gateway.settled(key, 1)
    assert roles(gateway, key) == [("", SMALL, pytest.approx(exp(SURE)))]
    assert entry["billed_nusd"] == bills(gateway, name) > 0 and gateway.account(key)["posted_nusd"] == entry["billed_nusd"]


@pytest.mark.parametrize("route", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_unsure_answer_is_not_shown(gateway: Gateway, key: Key, route: str, stream: bool) -> None:
    """The large model is asked, streamed through as ever; both are charged, and what the try cost is a loss of routing."""
    got, name = asked(gateway, key, route, {"reply": "blue", "logprob": UNSURE}, {"reply": "green"}, stream=stream)
    assert told(got) == "green" and b"blue" not in got.body
    large = ROUTES[route][1]
    assert got.headers["x-jevons-model"] == large
    small_entry, large_entry = gateway.settled(key, 2)
    assert roles(gateway, key) == [("cascade", SMALL, pytest.approx(exp(UNSURE))), ("", large, None)]
    assert small_entry["billed_nusd"] + large_entry["billed_nusd"] == bills(gateway, name) == gateway.account(key)["posted_nusd"]
    [loss] = small_entry["savings"]
    assert (loss["kind"], loss["nusd"]) == ("route", -small_entry["list_nusd"]) and small_entry["baseline_nusd"] == 0
    small, other = gateway.attempts(name)
    sent = json.loads(other.body)
    assert "logprobs" not in sent and sent.get("stream", False) is stream and small.received["model"] == SMALL


def test_a_try_that_was_not_shown_is_a_label(gateway: Gateway, key: Key) -> None:
    """Both answers are there. Features and figures only: no word of them."""
    got, _ = asked(gateway, key, "chat", {"reply": "zebra-blue", "logprob": UNSURE}, {"reply": "zebra-green"})
    again, _ = asked(gateway, key, "chat", {"reply": "zebra-red", "logprob": UNSURE}, {"reply": "zebra-red"})

    def labels() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(gateway.jevons.ledger)) as db:
            return db.execute(
                "SELECT model, reference, good, harm, weight, score, shown FROM labels WHERE key_id = ? ORDER BY id", (key.id,)
            ).fetchall()

    assert told(got) and told(again)
    wait_until(lambda: len(labels()) == 2)
    about = (SMALL, LARGE)
    assert labels() == [(*about, 0, 1, 1.0, pytest.approx(exp(UNSURE)), 0), (*about, 1, 0, 1.0, pytest.approx(exp(UNSURE)), 0)]
    assert not any(b"zebra" in file.read_bytes() for file in gateway.jevons.home.rglob("*") if file.is_file())


def test_who_asks_for_log_probabilities_gets_them(gateway: Gateway, key: Key) -> None:
    got, _ = asked(gateway, key, "chat", {"reply": "blue", "logprob": SURE}, logprobs=True, top_logprobs=4)
    [choice] = got.json["choices"]
    assert choice["logprobs"]["content"][0]["logprob"] == SURE and len(choice["logprobs"]["content"][0]["top_logprobs"]) == 4


@pytest.mark.parametrize(
    "script",
    [
        {"fault": "status", "status": 500},
        {"fault": "status", "status": 400},
        {"fault": "reset_before_headers"},
        {"fault": "invalid_json"},
        {"reply": "blue", "finish": "length", "logprob": SURE},
        {"reply": "", "tools": [{"name": "look", "arguments": {}}], "logprob": SURE},
    ],
    ids=["error", "refusal", "reset", "garbage", "cut", "tool"],
)
def test_a_small_model_that_fails_is_no_answer(gateway: Gateway, key: Key, script: dict[str, Any]) -> None:
    """Nor is one that cannot be judged. The large model answers; our sum is what was billed."""
    got, name = asked(gateway, key, "chat", script, {"reply": "green"})
    assert told(got) == "green"
    entries = gateway.settled(key, 2)
    assert [role for role, _, _ in roles(gateway, key)] == ["cascade", ""]
    if script.get("fault") not in ("reset_before_headers", "invalid_json"):  # of these nobody can say what they cost
        assert sum(entry["billed_nusd"] for entry in entries) == bills(gateway, name)


def test_without_log_probabilities_answers_are_compared(gateway: Gateway, key: Key) -> None:
    """The small model is asked twice more; each is a call of its own, and the first answer is the one that is shown."""
    sure, name = asked(gateway, key, "claude", *[{"reply": "Blue."}] * 3)
    assert told(sure) == "Blue." and sure.headers["x-jevons-model"] == HAIKU
    assert sorted(roles(gateway, key), key=str) == [("", HAIKU, 1.0), *[("cascade", HAIKU, None)] * 2]
    assert [json.loads(attempt.body).get("temperature") for attempt in gateway.attempts(name)] == [None, 1, 1]
    assert gateway.account(key)["posted_nusd"] == bills(gateway, name)


def test_answers_that_differ_are_not_shown(gateway: Gateway, key: Key) -> None:
    scripts = [{"reply": "Blue."}, {"reply": "Red."}, {"fault": "status", "status": 500}, {"reply": "Green."}]
    got, name = asked(gateway, key, "claude", *scripts, stream=True)
    assert told(got) == "Green." and got.headers["x-jevons-model"] == OPUS
    gateway.settled(key, 4)
    assert sorted(role for role, _, _ in roles(gateway, key)) == ["", "cascade", "cascade", "cascade"]
    assert gateway.account(key)["posted_nusd"] == bills(gateway, name)


def test_a_small_model_that_must_be_asked_thrice_is_a_third_as_cheap(gateway: Gateway, key: Key) -> None:
    """The large one costs three times as much: asking the small one first would save nothing, however often it is right."""
    got, name = asked(gateway, key, "dear", {"reply": "Blue."})
    assert (told(got), got.headers["x-jevons-model"]) == ("Blue.", SONNET) and len(gateway.attempts(name)) == 1
    assert "why=reference-cheapest" in got.headers["x-jevons-route-why"]


def test_a_client_that_leaves_during_the_try(gateway: Gateway, key: Key) -> None:
    """The large model is not asked for it."""
    name = marker()
    gateway.provider.script({"marker": name, "reply": "blue", "first_delay_ms": 20_000})
    wire = http.client.HTTPConnection(gateway.url.partition("://")[2])
    wire.request("POST", "/v1/chat/completions", json.dumps(body_of("chat", "auto-chat", text="Which?")), gateway.headers(key))
    wait_until(lambda: gateway.attempts(name))
    wire.close()
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], roles(gateway, key)[0][0]) == ("cancelled", "cascade")
    assert len(gateway.attempts(name)) == 1


@pytest.mark.parametrize("name", ["auto-chat", "auto-messages"], ids=["its-own-error", "our-error"])
def test_a_try_is_forgotten_with_its_request(gateway: Gateway, key: Key, name: str) -> None:
    """Also where the large model's answer, which it would be compared with, never comes: each of these requests takes some 6 MB."""
    picture = {"url": "data:image/png;base64," + "A" * 1_600_000}
    said = [{"type": "text", "text": "Which?"}, {"type": "image_url", "image_url": picture}]

    def refused() -> None:
        mark = marker()
        gateway.provider.script(
            {"marker": mark, "reply": "blue", "logprob": UNSURE}, {"marker": mark, "fault": "status", "status": 400}
        )
        assert gateway.post("chat", key, {"model": name, "messages": [{"role": "user", "content": said}]}).status == 400

    def resident_mb() -> int:
        status = Path(f"/proc/{gateway.jevons.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    for _ in range(3):
        refused()
    before = resident_mb()
    for _ in range(12):
        refused()
    assert resident_mb() - before < 30
    assert [role for role, *_ in roles(gateway, key)] == ["cascade", ""] * 15


def test_a_kill_during_the_try(gateway: Gateway, key: Key) -> None:
    name = marker()
    gateway.provider.script({"marker": name, "reply": "blue", "first_delay_ms": 20_000})
    with Call(gateway, key, "chat", body_of("chat", "auto-chat", text="Which?")) as call:
        wait_until(lambda: gateway.attempts(name))
        with killed(gateway, f"key:{key.name}"):
            got, _ = call.end()
    assert got.error["jevons"]["reason"] == "killed"
    [entry] = gateway.settled(key, 1)
    assert (entry["outcome"], roles(gateway, key)[0][0]) == ("stopped", "cascade")
    assert len(gateway.attempts(name)) == 1


def test_there_is_money_for_the_large_model_alone_or_for_none(gateway: Gateway) -> None:
    """A try that cannot be held is refused like any call: the account is at its limit."""
    got, name = asked(gateway, gateway.key(1), "chat")
    assert got.status == 402 and gateway.attempts(name) == []


def test_what_is_believed_is_what_labels_say(gateway: Gateway, key: Key) -> None:
    """Of 40 answers with such a confidence three in four were good. The threshold is one of the confidence itself."""
    got, _ = asked(gateway, key, "known", {"reply": "blue", "logprob": SURE})
    assert told(got) == "blue"
    gateway.settled(key, 1)
    assert roles(gateway, key) == [("", SMALL, 0.75)]
    with closing(sqlite3.connect(gateway.jevons.ledger)) as db:
        [(routed,)] = db.execute("SELECT routed FROM entries WHERE key_id = ?", (key.id,)).fetchall()
    option = json.loads(routed)[5][0]
    assert (option[0], option[3], option[4]) == (SMALL, pytest.approx(exp(SURE)), THRESHOLD)


def test_labels_make_a_promise_and_that_begins_the_cascade(gateway: Gateway, key: Key) -> None:
    """The last label that was missing comes of a sample: the small model is asked behind the client's back, as a cascade would ask it."""
    first, name = asked(gateway, key, "learning", {"reply": "blue"}, {"reply": "blue", "logprob": SURE})
    assert told(first) == "blue" and first.headers["x-jevons-model"] == LARGE
    gateway.settled(key, 2)
    assert [(role, model) for role, model, _ in roles(gateway, key)] == [("", LARGE), ("shadow", SMALL)]
    assert json.loads(gateway.attempts(name)[1].body)["logprobs"] is True

    def shown() -> list[Any]:
        with closing(sqlite3.connect(gateway.jevons.ledger)) as db:
            return db.execute("SELECT shown, score FROM labels WHERE key_id = ? ORDER BY id", (key.id,)).fetchall()

    wait_until(lambda: shown() == [(0, pytest.approx(exp(SURE)))])
    second, _ = asked(gateway, key, "learning", {"reply": "blue", "logprob": SURE}, {"reply": "blue"})
    assert told(second) == "blue" and second.headers["x-jevons-model"] == SMALL
    gateway.settled(key, 4)
    assert [(role, model) for role, model, _ in roles(gateway, key)[2:]] == [("", SMALL), ("shadow", LARGE)]
    wait_until(lambda: len(shown()) == 2)
    assert shown()[1] == (1, pytest.approx(exp(SURE))), "what was shown is judged by the confidence that it was shown for"


async def _broken_off(most_s: float) -> bool:
    patience = Patience(most_s)
    patience.start(60.0)
    try:
        while True:
            await asyncio.sleep(0)
            patience.touch()
    except asyncio.CancelledError:
        return patience.expired()


def test_a_try_ends_in_time_however_often_something_comes() -> None:
    """The clock of `CASCADE_TRY_MAX_S`."""
    assert asyncio.run(_broken_off(0.01))
