"""Shadow sampling through a real gateway: who is asked besides, what it costs whom, what is learnt of it, and what never happens.

The stand-in is all models; what they say is queued in the order in which they are asked.
"""

import json
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from math import exp
from typing import Any

import msgspec
import pytest

from jevons.core.label import Label
from jevons.core.routed import Routed, Stage
from jevons.gateway.promises import Model, State, name_of
from jevons.ledger.bill import check, open_holds
from jevons.ledger.routing import labels
from jevons.policy.promise import Certificate
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import killed, limit, wait_until
from tests.gateway.schooling import enrol
from tests.gateway.test_cascade import bills, told
from tests.provider import Provider
from tests.running import Jevons, upstream

SMALL, LARGE, JUDGE = "gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5"
HANG = {"fault": "hang_before_headers"}
SURE = -0.01
MICRO = {"auto-tight": "0.000012", "auto-noon": "0.000005"}
"""Routes that may spend next to nothing in a day: a shadow of one or two tokens is held at about 0.000002."""


ALIASES = [{"name": "large", "upstream": name, "target": LARGE} for name in ("first", "second")]
SHAKY: dict[str, dict[str, Any]] = {
    "busy": {"fault": "status", "status": 429},
    "broken": {"fault": "status", "status": 500},
    "gone": {"fault": "reset_before_headers"},
}
"""Upstreams of their own, with a route each: what fails cools down."""


def route(name: str, **settings: Any) -> dict[str, Any]:
    made = {"name": name, "models": [f"auto-{name}"], "to": [SMALL, LARGE], "choose": "learned", "stage": "shadow", "sample": 1.0}
    return made | {"sample_usd_day": "100"} | settings


ROUTES = [
    route("same"),
    route("number", grader="number"),
    route("three", to=["gpt-4.1-nano", SMALL, LARGE]),
    route("judge", grader="judge", judge=JUDGE),
    route("cascade", choose="cascade", stage="full", grader="exact"),
    route("unsure", to=["claude-haiku-4-5", "claude-opus-4-5"], choose="cascade", grader="exact"),
    route("taught", to=["student/greeter", LARGE], stage="full", share=1.0, delta=0.1, grader="exact"),
    route("claimed", grader="feedback"),
    route("unsampled", sample=0.0),
    route("own", to=[f"mine/{SMALL}", LARGE]),
    route("spread", to=[SMALL, "large"]),
    *(route(name, to=[f"{name}/{SMALL}", LARGE]) for name in SHAKY),
    *(route(name.removeprefix("auto-"), sample_usd_day=usd) for name, usd in MICRO.items()),
]


def table(standin: Provider) -> list[dict[str, Any]]:
    return [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
        *(
            upstream(name, standin.openai_url, provider="openai", models=("by-prefix-only",), retries=0)
            for name in ("first", "second")
        ),
        upstream("mine", standin.openai_url, provider="openai", models=("by-prefix-only",), auth="client"),
        *(upstream(name, standin.openai_url, provider="openai", models=("by-prefix-only",), retries=0) for name in SHAKY),
    ]


@pytest.fixture(scope="module")
def standin() -> Iterator[Provider]:
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Jevons(tmp_path_factory.mktemp("shadow") / "home", *table(standin), routes=ROUTES, models=ALIASES) as jevons:
        jevons.stop()
        _promise(jevons)
        enrol(jevons, "greeter", {"Which zebra?": "The striped one."})
        jevons.start()
        yield Gateway(jevons, standin)
    assert check(jevons.ledger) == [] and open_holds(jevons.ledger) == []
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]


def _promise(jevons: Jevons) -> None:
    """The cascade's small model may answer, as if enough labels had been there."""
    now = int(time.time() * 1000)
    model = Model(0.05, 0.05, LARGE, "exact", certificate=Certificate(0.5, 0.9, 1_000, 0, 0.05), since_ms=now)
    state = msgspec.json.encode(State(Stage.FULL, changed_ms=now, models={SMALL: model})).decode()
    with closing(sqlite3.connect(jevons.ledger)) as db, db:
        db.execute("INSERT INTO learnt VALUES ('promise', ?, ?, ?)", (name_of("default", "cascade"), state, now))


@pytest.fixture
def key(gateway: Gateway) -> Key:
    return gateway.key(1000 * 10**9)


class Asker:
    """Asks one route; every script that is given is one answer of a model, in the order in which they are asked."""

    def __init__(self, gateway: Gateway, key: Key, route: str) -> None:
        self.gateway, self.key, self.route, self.name = gateway, key, route, marker()

    def ask(self, *scripts: dict[str, Any], door: str = "chat", stream: bool = False, **members: Any) -> Got:
        self.gateway.provider.script(*({"marker": self.name, **script} for script in scripts))
        stored = {"store": False} if door == "responses" else {}
        body = body_of(door, f"auto-{self.route}", stream, text="Which zebra?") | stored | members
        got = self.gateway.post(door, self.key, body, idempotency_key=marker())
        assert got.status == 200, got.body
        return got

    def labels(self, count: int) -> list[Label]:
        """Those of its key, once there are so many."""
        wait_until(lambda: len(self._labels()) >= count)
        assert len(self._labels()) == count
        return self._labels()

    def _labels(self) -> list[Label]:
        return [label for label in labels(self.gateway.jevons.ledger) if label.key_id == self.key.id]

    def entries(self, count: int) -> list[dict[str, Any]]:
        """Its key's, once there are so many; what the stand-in billed is what they cost."""
        found = self.gateway.settled(self.key, count)
        assert sum(entry["billed_nusd"] for entry in found) == bills(self.gateway, self.name) > 0
        assert self.gateway.account(self.key)["posted_nusd"] == sum(entry["billed_nusd"] for entry in found)
        return found

    def counted(self, outcome: str) -> int:
        """What /metrics says became of the samples of its route."""
        page = self.gateway.get("/metrics").body.decode()
        line = f'jevons_samples_total{{outcome="{outcome}",route="{self.route}"}}'
        return next((int(float(one.rpartition(" ")[2])) for one in page.splitlines() if one.startswith(line)), 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_the_small_model_answers_too(gateway: Gateway, key: Key, door: str, stream: bool) -> None:
    """Behind the reference's answer, whatever the door and the form: one more entry of the same key, and a label."""
    asker = Asker(gateway, key, "number")
    got = asker.ask({"reply": "#### 42"}, {"reply": "So it is 42.0, I think."}, door=door, stream=stream)
    assert got.headers["x-jevons-model"] == LARGE and b"I think" not in got.body
    [label] = asker.labels(1)
    assert (label.model, label.reference, label.good, label.harm, label.grader) == (SMALL, LARGE, True, False, "number")
    assert (label.org, label.route, label.weight, label.shown) == ("default", "number", 1.0, False)
    assert label.features.dialect == door and label.request == gateway.ids(key)[0]
    shown, shadow = asker.entries(2)
    assert (shown["role"], shadow["role"], shadow["target"], shadow["run_id"]) == ("", "shadow", SMALL, None)
    assert [(line["kind"], line["nusd"]) for line in shadow["savings"]] == [("shadow", -shadow["list_nusd"])]
    assert shadow["baseline_nusd"] == 0 and json.loads(shadow["routed"])[0] == "number"
    first, second = gateway.attempts(asker.name)
    assert json.loads(second.body).get("stream", False) is False
    headers = dict(second.received["headers"])
    assert "idempotency-key" in dict(first.received["headers"]) or door == "messages", "which is translated for this model"
    assert "idempotency-key" not in headers, "that is the client's own"


@pytest.mark.parametrize(
    ("script", "good", "harm"),
    [
        ({"reply": "The answer is Bern."}, True, False),
        ({"reply": "Zurich"}, False, True),
        ({"reply": "Bern", "finish": "length"}, False, True),
        ({"reply": "Bern", "finish": "content_filter", "tokens_out": 0}, True, False),
        ({"fault": "status", "status": 400}, False, True),
    ],
)
def test_what_the_model_does_is_a_label(gateway: Gateway, key: Key, script: dict[str, Any], good: bool, harm: bool) -> None:
    asker = Asker(gateway, key, "same")
    asker.ask({"reply": "Bern"}, script)
    [label] = asker.labels(1)
    assert (label.good, label.harm) == (good, harm)
    asker.entries(2)


@pytest.mark.parametrize("shaky", SHAKY)
def test_what_the_network_does_is_none(gateway: Gateway, key: Key, shaky: str) -> None:
    asker = Asker(gateway, key, shaky)
    asker.ask({"reply": "Bern"}, SHAKY[shaky])
    wait_until(lambda: asker.counted("unanswered") == 1)
    assert asker._labels() == []
    shadow = gateway.settled(key, 2)[1]
    assert (shadow["role"], shadow["estimate"]) == ("shadow", "hold" if shaky == "gone" else ""), "who was reset knows no bill"
    assert shadow["billed_nusd"] == (shadow["held_nusd"] if shaky == "gone" else 0)


def test_calls_of_tools_are_compared(gateway: Gateway, key: Key) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    asker = Asker(gateway, key, "same")
    one, other = ({"tools": [{"name": "look", "arguments": {"at": at}}]} for at in (1, 2))
    asker.ask(one, one, tools=tools)
    asker.ask(one, other, tools=tools)
    assert [label.good for label in asker.labels(2)] == [True, False]


def test_all_others_are_asked(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "three")
    asker.ask({"reply": "Bern"}, {"reply": "Basel"}, {"reply": "Bern"})
    assert {label.model: label.good for label in asker.labels(2)} == {"gpt-4.1-nano": False, SMALL: True}
    asker.entries(3)


def test_whichever_upstream_has_the_reference(gateway: Gateway, key: Key) -> None:
    """The first does not answer, another with the same model does: it is the reference all the same."""
    asker = Asker(gateway, key, "spread")
    asker.ask({"fault": "status", "status": 500}, {"reply": "Bern"}, {"reply": "Bern"})
    [label] = asker.labels(1)
    assert (label.model, label.reference, label.good) == (SMALL, "large", True)
    assert [(entry["role"], entry["upstream"]) for entry in asker.entries(3)] == [
        ("", "first"),
        ("failover", "second"),
        ("shadow", "openai"),
    ]


def test_where_the_small_model_was_shown_the_reference_is_asked(gateway: Gateway, key: Key) -> None:
    """So harm is known of what is routed away. The score is what was believed when it was shown."""
    asker = Asker(gateway, key, "cascade")
    got = asker.ask({"reply": "Basel", "logprob": SURE}, {"reply": "Bern"})
    assert told(got) == "Basel" and got.headers["x-jevons-model"] == SMALL
    [label] = asker.labels(1)
    assert (label.model, label.reference, label.harm, label.shown) == (SMALL, LARGE, True, True)
    assert label.score == pytest.approx(exp(SURE))
    assert [(entry["role"], entry["target"]) for entry in asker.entries(2)] == [("", SMALL), ("shadow", LARGE)]


def test_the_small_model_of_a_cascade_is_scored_by_its_answer(gateway: Gateway) -> None:
    """Of another organisation, where nothing is promised yet."""
    asker = Asker(gateway, gateway.key(1000 * 10**9, org="elsewhere"), "cascade")
    got = asker.ask({"reply": "Bern"}, {"reply": "Bern", "logprob": SURE})
    assert got.headers["x-jevons-model"] == LARGE
    [label] = asker.labels(1)
    assert (label.org, label.model, label.good, label.shown) == ("elsewhere", SMALL, True, False)
    assert label.score == pytest.approx(exp(SURE))
    assert json.loads(gateway.attempts(asker.name)[1].body)["logprobs"] is True


def test_answers_for_the_agreement_are_of_the_sample_too(gateway: Gateway, key: Key) -> None:
    """Of a model that tells no log-probabilities: what all three cost is what the sample cost, in the reports and in the day that goes on after a restart."""
    asker = Asker(gateway, key, "unsure")
    asker.ask(*[{"reply": "Bern"}] * 4, door="messages")
    [label] = asker.labels(1)
    assert (label.good, label.score) == (True, 1.0)
    shown, *others = asker.entries(4)
    assert (shown["role"], [entry["role"] for entry in others]) == ("", ["shadow"] * 3)
    assert all([line["kind"] for line in entry["savings"]] == ["shadow"] for entry in others)


def test_behind_a_student_its_teacher_is_asked(gateway: Gateway) -> None:
    """A label of that version. Students themselves are never asked as shadows."""
    asker = Asker(gateway, gateway.key(1000 * 10**9, org="school"), "taught")
    got = asker.ask({"reply": "The plain one."})
    assert told(got) == "The striped one."
    [label] = asker.labels(1)
    assert (label.model, label.reference, label.harm, label.shown) == ("student/greeter@1", LARGE, True, True)
    shown, shadow = gateway.settled(asker.key, 2)
    assert (shown["upstream"], shadow["role"], shadow["upstream"]) == ("student", "shadow", "openai")
    options = msgspec.json.decode(shown["routed"], type=Routed).options
    assert label.score == options[0].score is not None, "what was believed when it was shown"


def test_a_judge_is_asked_where_texts_differ(gateway: Gateway, key: Key) -> None:
    """It echoes what it is asked, which is no verdict: it is asked again in the other order, and nothing is decided."""
    asker = Asker(gateway, key, "judge")
    asker.ask({"reply": "Bern"}, {"reply": "bern!"})
    assert [label.good for label in asker.labels(1)] == [True] and len(gateway.ids(key)) == 2
    undecided = asker.counted("undecided")
    asker.ask({"reply": "Bern"}, {"reply": "It is Zurich."})
    assert [label.harm for label in asker.labels(2)] == [False, True]
    assert asker.counted("undecided") == undecided + 1
    judges = [entry for entry in gateway.settled(key, 6) if entry["role"] == "judge"]
    assert [(entry["target"], entry["run_id"]) for entry in judges] == [(JUDGE, None)] * 2
    assert all(entry["savings"][0]["kind"] == "shadow" and entry["baseline_nusd"] == 0 for entry in judges)


def test_a_judge_that_neither_likes(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "judge")
    asker.ask({"reply": "Bern"}, {"reply": "Zurich"}, {"reply": "D"}, {"reply": "D"})
    [label] = asker.labels(1)
    assert (label.good, label.harm, label.grader) == (False, False, "judge")
    if len(gateway.ids(key)) == 3:  # it was asked once: what is queued still is for nobody
        _take_one(gateway.provider)


def test_of_keys_that_may_not_use_the_judge_nothing_is_sampled(gateway: Gateway) -> None:
    asker = Asker(gateway, gateway.key(1000 * 10**9, models=["auto-*", "gpt-*"]), "judge")
    asker.ask({"reply": "Bern"})
    assert asker.counted("judge_not_allowed") == 1 and len(gateway.ids(asker.key)) == 1


@pytest.mark.parametrize("route", ["claimed", "unsampled"])
def test_nobody_is_asked_where_the_route_says_so(gateway: Gateway, key: Key, route: str) -> None:
    asker = Asker(gateway, key, route)
    asker.ask({"reply": "Bern"})
    assert len(gateway.attempts(asker.name)) == 1


def test_what_leaves_more_than_an_answer_is_not_asked_again(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "same")
    asker.ask({"reply": "Bern"}, door="responses", store=True)
    asker.ask({"reply": "Bern"}, n=2)
    assert len(gateway.attempts(asker.name)) == 2


def test_a_clients_credential_is_not_taken_elsewhere(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "own")
    body = body_of("chat", "auto-own", marker=asker.name, reply="Bern")
    got = gateway.post("chat", None, body, x_jevons_key=key.secret, authorization="Bearer sk-my-own")
    assert got.headers["x-jevons-model"] == LARGE
    wait_until(lambda: asker.counted("unfit") == 1)
    assert len(gateway.attempts(asker.name)) == 1


@pytest.mark.parametrize(
    "members", [{"usd": "0.00001", "mode": "observe"}, {"steps": 2}, {"concurrent": 1}, {"usd": 1, "approve": "0.00001"}]
)
def test_none_is_made_out_of_what_a_caller_has_left(gateway: Gateway, key: Key, members: dict[str, Any]) -> None:
    """A fifth of every limit is for what it asks for itself, and nobody is asked for more because of a sample."""
    asker = Asker(gateway, key, "same")
    nearly = asker.counted("caller_nearly_spent")
    limit(gateway, key, **members)
    asker.ask({"reply": "Bern"})
    wait_until(lambda: asker.counted("caller_nearly_spent") == nearly + 1)
    assert len(gateway.ids(key)) == 1 and asker._labels() == []


def test_a_day_costs_no_more_than_it_may(gateway: Gateway, key: Key) -> None:
    """Twenty at once. Each is held before it is sent, at the most that it may come to."""
    asker = Asker(gateway, key, "tight")
    body = body_of("chat", "auto-tight", cap=2, marker=asker.name, reply="Bern", first_delay_ms=50)
    with ThreadPoolExecutor(10) as pool:
        assert all(got.status == 200 for got in pool.map(lambda _: gateway.post("chat", key, body), range(20)))
    wait_until(lambda: len(asker._labels()) + asker.counted("day_spent") + asker.counted("busy") == 20)
    shadows = [entry for entry in gateway.entries(key) if entry["role"] == "shadow"]
    assert 0 < len(shadows) < 20 and sum(entry["list_nusd"] for entry in shadows) <= 12_000
    assert asker.counted("day_spent") > 0
    asker.entries(20 + len(shadows))


def test_stopping_settles_what_is_under_way_and_the_day_goes_on(gateway: Gateway, key: Key) -> None:
    """A shadow that hangs is cut off; what was spent before is known afterwards, from the ledger."""
    asker, cut = Asker(gateway, key, "noon"), Asker(gateway, gateway.key(1000 * 10**9), "same")
    while not asker.counted("day_spent"):
        asker.ask({"reply": "Bern"}, max_tokens=1)
        gateway.settled(key, 1)
    before = sum(entry["role"] == "shadow" for entry in gateway.entries(key))
    cut.ask({"reply": "Bern"}, HANG)
    wait_until(lambda: len(gateway.attempts(cut.name)) == 2)
    gateway.jevons.stop()
    assert open_holds(gateway.jevons.ledger) == [] and check(gateway.jevons.ledger) == []
    shown, shadow = gateway.entries(cut.key)
    assert (shown["outcome"], shadow["role"], shadow["outcome"]) == ("ok", "shadow", "cancelled")
    gateway.jevons.start()
    asker.ask({"reply": "Bern"})
    wait_until(lambda: asker.counted("day_spent") == 1)
    assert sum(entry["role"] == "shadow" for entry in gateway.entries(key)) == before >= 1


def test_a_kill_of_the_key_stops_its_shadow(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "same")
    asker.ask({"reply": "Bern"}, HANG)
    wait_until(lambda: len(gateway.attempts(asker.name)) == 2)
    with killed(gateway, f"key:{key.name}"):
        _, shadow = gateway.settled(key, 2)
    assert (shadow["role"], shadow["outcome"]) == ("shadow", "stopped")


def test_tenants_never_meet(gateway: Gateway) -> None:
    """Two organisations ask the same at once, many times over: each label, entry and cent is of whose request it was."""
    askers = [Asker(gateway, gateway.key(1000 * 10**9, org=org), "same") for org in ("acme", "acme ", "ACME", "zebra")]

    def ask(asker: Asker) -> int:
        body = body_of("chat", "auto-same", marker=asker.name, reply=asker.name)
        return gateway.post("chat", asker.key, body, x_jevons_org="acme").status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, askers * 5)) == {200}
    wait_until(lambda: sum(len(gateway.ids(one.key)) for one in askers) >= 20 + sum(len(one._labels()) for one in askers))
    for asker, org in zip(askers, ("acme", "acme ", "ACME", "zebra"), strict=True):
        entries = gateway.settled(asker.key, 5)
        wait_until(lambda entries=entries, asker=asker: len(asker._labels()) == sum(e["role"] == "shadow" for e in entries))
        assert {label.org for label in asker._labels()} <= {org}
        asker.entries(len(entries))


def test_no_word_of_an_answer_is_on_the_disk(gateway: Gateway, key: Key) -> None:
    asker = Asker(gateway, key, "same")
    asker.ask({"reply": "striped-4711"}, {"reply": "spotted-4711"})
    asker.labels(1)
    for file in (file for file in gateway.jevons.home.rglob("*") if file.is_file()):
        assert not any(word in file.read_bytes() for word in (b"striped-4711", b"spotted-4711", b"Which zebra")), file


def _take_one(provider: Provider) -> None:
    body = json.dumps({"model": LARGE, "messages": [{"role": "user", "content": "Hi."}]}).encode()
    headers = {"authorization": "Bearer sk-upstream-secret", "content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(provider.openai_url + "/chat/completions", body, headers)).close()
