"""Kept answers through a real gateway: who is given one, what it costs, what it says of itself, and who is given none."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jevons.core.limits import COUNT_INLINE_BYTES_MAX, KEPT_QUESTION_BYTES_MAX
from jevons.ledger.bill import check
from tests.gateway.asking import Gateway, Got, Key, body_of, connection, marker
from tests.gateway.governing import LONG, MODELS, Talk, error_in, killed, limit, wait_until
from tests.provider import Provider
from tests.running import Jevons, upstream

DOORS = ["chat", "messages", "responses"]
MODEL = MODELS | {"embeddings": "text-embedding-3-small"}
EXACT = {"x-jevons-cache": "exact"}


@pytest.fixture(scope="module")
def standin() -> Iterator[Provider]:
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture(scope="module")
def gateway(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    oa, an = standin.openai_url, standin.url
    table = [
        upstream("openai", oa, models=("gpt-*", "text-embedding-*"), retries=0),
        upstream("anthropic", an, "anthropic", models=("claude-*",), retries=0),
        upstream("away", an, "anthropic", models=("only-by-its-prefix",), retries=0),
        upstream("plan", an, "anthropic", models=("only-by-its-prefix",), auth="client", retries=0),
    ]
    access = [{"name": "fence", "team": "fenced", "tools_deny": ["danger"]}]
    cache = {"answers": {"orgs": ["listed"], "keys": ["listed-key"]}}
    with Jevons(tmp_path_factory.mktemp("answers") / "home", *table, access=access, cache=cache) as jevons:
        yield Gateway(jevons, standin)
    assert check(jevons.ledger) == []
    assert "Traceback" not in jevons.log()
    assert not any(b"Twice the same." in file.read_bytes() for file in jevons.home.rglob("*") if file.is_file())


@pytest.fixture
def key(gateway: Gateway) -> Key:
    """Of an organisation of its own: nothing is kept for it yet."""
    return gateway.key(1000 * 10**9, org=marker())


def asked(door: str, text: str, stream: bool = False, model: str = "", **members: Any) -> dict[str, Any]:
    body = body_of(door, model or MODEL[door], stream, text=text) | members
    return body | ({"store": False} if door == "responses" else {})


def words(*answers: Got) -> list[str]:
    assert {got.status for got in answers} == {200}, [got.body for got in answers]
    return [got.headers["x-jevons-cache"] for got in answers]


def said(text: str = "Hello.", **script: Any) -> tuple[str, str]:
    """(a marker, a user's words that no other test says)"""
    name = marker()
    return name, f"{text} @@{json.dumps({'marker': name, **script})}"


def status(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.admin("GET", "/cache").json["answers"]
    return found


@pytest.mark.parametrize("door", [*DOORS, "embeddings"])
def test_the_second_time_it_costs_nothing(gateway: Gateway, key: Key, door: str) -> None:
    name, text = said(reply="Twice the same.")
    one, two = [gateway.post(door, key, asked(door, text), **EXACT) for _ in range(2)]
    assert words(one, two) == ["miss", "hit"]
    assert two.json == one.json and len(gateway.attempts(name)) == 1
    paid, free = gateway.entry_of(one), gateway.entry_of(two)
    assert paid["outcome"] == "ok" and paid["billed_nusd"] > 0 and "age" not in one.headers
    assert {name: free[name] for name in ("outcome", "billed_nusd", "list_nusd", "held_nusd", "input", "output", "lines")} == {
        "outcome": "cached", "billed_nusd": 0, "list_nusd": 0, "held_nusd": 0, "input": 0, "output": 0, "lines": [],
    }  # fmt: skip
    tokens = paid["input"] + paid["output"]
    assert free["savings"] == [{"kind": "answer_exact", "nusd": paid["list_nusd"], "tokens": tokens, "estimated": True}]
    assert free["baseline_nusd"] == paid["baseline_nusd"]
    headers = {name: two.headers[name] for name in ("x-jevons-cost-nusd", "age", "x-jevons-route", "x-jevons-model")}
    assert headers == {
        "x-jevons-cost-nusd": "0",
        "age": headers["age"],
        "x-jevons-route": one.headers["x-jevons-route"],
        "x-jevons-model": one.headers["x-jevons-model"],
    }
    assert 0 <= int(headers["age"]) < 60
    assert gateway.account(key)["posted_nusd"] == paid["billed_nusd"]
    assert int(two.headers["x-jevons-budget-remaining-nusd"]) == 1000 * 10**9 - paid["billed_nusd"]


@pytest.mark.parametrize("door", DOORS)
def test_streams_and_whole_answers_are_one(gateway: Gateway, key: Key, door: str) -> None:
    """Whichever came first: the other form is made of it, and a stream of a kept answer ends as the provider's ends."""
    name, text = said(reply="One, two, three.", chunks=5)
    first = gateway.post(door, key, asked(door, text, stream=True), **EXACT)
    whole = gateway.post(door, key, asked(door, text), **EXACT)
    again = gateway.post(door, key, asked(door, text, stream=True), **EXACT, **{"x-jevons-stream-cost": "1"})
    assert words(first, whole, again) == ["miss", "hit", "hit"] and len(gateway.attempts(name)) == 1
    assert b"One, two, three." in whole.body and b"One, two, three." in again.body
    assert (
        again.whole
        and again.events[-1][0] == first.events[-1][0]
        and again.headers["content-type"] == first.headers["content-type"]
    )
    assert b": jevons-cost-nusd=0\n\n" in again.body and again.headers["x-jevons-cost-nusd"] == "0"
    if door == "chat":
        assert whole.json["usage"]["completion_tokens"] > 0, "although the first client did not ask for it"
        assert again.events[-1][1] == b"[DONE]" and b'"usage"' not in again.body


def test_a_long_stream_comes_to_its_whole_answer(gateway: Gateway, key: Key) -> None:
    """Of more events than are put together while others wait."""
    reply = "so " * 800 + "on"
    _, text = said(reply=reply, chunks=800)
    first = gateway.post("chat", key, asked("chat", text, stream=True, max_tokens=2000), **EXACT)
    whole = gateway.post("chat", key, asked("chat", text, max_tokens=2000), **EXACT)
    assert words(first, whole) == ["miss", "hit"] and len(first.body) > COUNT_INLINE_BYTES_MAX
    assert whole.json["choices"][0]["message"]["content"] == reply


def test_a_translated_answer_is_kept_as_it_was_told(gateway: Gateway, key: Key) -> None:
    name, text = said(reply="From afar.")
    bodies = [asked("chat", text, stream, model="away/claude-sonnet-4-5") for stream in (True, False, True)]
    answers = [gateway.post("chat", key, body, **EXACT) for body in bodies]
    assert words(*answers) == ["miss", "hit", "hit"] and len(gateway.attempts(name)) == 1
    assert answers[1].json["choices"][0]["message"]["content"] == "From afar."
    assert answers[1].json["usage"]["completion_tokens"] > 0


def test_who_takes_part(gateway: Gateway) -> None:
    """Nobody unasked but whom the configuration lists, and these with what is deterministic; a header says otherwise."""
    _, text = said()
    plain, cold = asked("chat", text), asked("chat", text, temperature=0)
    nobody, listed, named = gateway.key(org=marker()), gateway.key(org="listed"), "listed-key"
    by_name = Key(0, named, gateway.admin("POST", "/keys", {"name": named}).json["key"])

    def word(key: Key, body: dict[str, Any], **headers: str) -> str:
        return words(gateway.post("chat", key, body, **headers))[0]

    assert [word(nobody, cold), word(nobody, cold)] == ["none", "none"]
    for key in (listed, by_name):
        assert [word(key, cold), word(key, cold), word(key, plain), word(key, cold, x_jevons_cache="off")] == [
            "miss",
            "hit",
            "none",
            "none",
        ]
        assert [word(key, plain, x_jevons_cache="on"), word(key, plain, x_jevons_cache="exact")] == ["miss", "hit"]
    refused = gateway.post("chat", nobody, plain, x_jevons_cache="maybe")
    assert refused.status == 400 and refused.error["code"] == "invalid_cache_word"


def said_twice(gateway: Gateway, key: Key, body: dict[str, Any], *controls: str) -> str:
    """What `x-jevons-cache` says of a request with several lines of Cache-Control."""
    data = json.dumps(body).encode()
    with connection(gateway.url) as wire:
        wire.putrequest("POST", "/v1/chat/completions")
        for name, value in (*gateway.headers(key, **EXACT).items(), ("content-length", str(len(data)))):
            wire.putheader(name, value)
        for control in controls:
            wire.putheader("cache-control", control)
        wire.endheaders(data)
        answer = wire.getresponse()
        assert answer.read() and answer.status == 200
        return answer.headers["x-jevons-cache"]


def test_directives(gateway: Gateway, key: Key) -> None:
    name, text = said()

    def word(**headers: str) -> str:
        return words(gateway.post("chat", key, asked("chat", text), **EXACT, **headers))[0]

    assert word(cache_control="no-store") == "none"
    assert word() == "miss", "nothing was kept of it"
    assert [word(cache_control="max-age=60"), word(cache_control="only-if-cached"), word(cache_control="min-fresh=9999")] == [
        "hit",
        "hit",
        "miss",
    ]
    assert [word(cache_control="no-cache"), word()] == ["miss", "hit"]
    assert [word(cache_control="max-age=0"), word()] == ["miss", "hit"]
    assert said_twice(gateway, key, asked("chat", text), "no-store", "max-age=60") == "none", "lines of one name are one list"
    before = len(gateway.attempts(name))
    assert words(gateway.post("chat", key, asked("chat", text), x_jevons_cache="refresh")) == ["miss"]
    assert len(gateway.attempts(name)) == before + 1


@pytest.mark.parametrize("door", DOORS)
def test_only_if_cached(gateway: Gateway, key: Key, door: str) -> None:
    """The provider is not asked, nothing is charged, and the refusal is in the dialect."""
    name, text = said()
    for headers in (EXACT, {}):
        got = gateway.post(door, key, asked(door, text), cache_control="only-if-cached", **headers)
        assert got.status == 504 and got.headers["x-should-retry"] == "false" and got.headers["x-jevons-cache"] == "none"
        assert "only-if-cached" in str(error_in(got, door)["message"])
    both = gateway.post(door, key, asked(door, text), cache_control="no-cache, only-if-cached", **EXACT)
    assert both.status == 504
    assert gateway.attempts(name) == [] and gateway.entries(key) == []


def test_two_organisations_share_nothing(gateway: Gateway) -> None:
    """The same words under two keys of one organisation are one answer; of two, they are two; and so are erasures."""
    name, text = said()
    orgs = [marker(), marker()]
    one, other, away = gateway.key(org=orgs[0]), gateway.key(org=orgs[0]), gateway.key(org=orgs[1])
    body = asked("chat", text)
    assert words(*[gateway.post("chat", key, body, **EXACT) for key in (one, other, away, away)]) == [
        "miss",
        "hit",
        "miss",
        "hit",
    ]
    assert len(gateway.attempts(name)) == 2
    assert gateway.admin("POST", "/cache/clear", {"org": orgs[0]}).json == {"forgotten": 1, "questions": 0}
    assert words(*[gateway.post("chat", key, body, **EXACT) for key in (away, other)]) == ["hit", "miss"]
    kept = status(gateway)["entries"]
    assert kept > 2 and gateway.admin("POST", "/cache/clear", {}).json == {"forgotten": kept, "questions": 0}
    assert status(gateway)["entries"] == status(gateway)["bytes"] == 0


def test_headers_that_travel_on(gateway: Gateway, key: Key) -> None:
    """A header that nobody here knows may be what a provider answers by; of some it is known that none does. A translated call takes none along."""

    def word(text: str, model: str = "", **headers: str) -> str:
        return words(gateway.post("chat", key, asked("chat", text, model=model), **EXACT, **headers))[0]

    text, afar = said()[1], said()[1]
    assert [word(text), word(text, x_portkey_config="a"), word(text, x_portkey_config="b"), word(text, x_portkey_config="a")] == [
        "miss",
        "miss",
        "miss",
        "hit",
    ]
    assert word(text, user_agent="other/1", x_request_id=marker(), traceparent=marker(), x_stainless_retry_count="1") == "hit"
    away = "away/claude-sonnet-4-5"
    assert [word(afar, away, x_portkey_config="a"), word(afar, away, x_portkey_config="b")] == ["miss", "hit"]


def test_who_pays_the_provider_himself_is_given_his_own(gateway: Gateway) -> None:
    """Where the client's own credential travels on, the answers that it was given are for who has it."""
    org = marker()
    text = said()[1]

    def word(credential: str) -> str:
        body = asked("messages", text, model="plan/claude-sonnet-4-5")
        headers = {"x-jevons-key": gateway.key(org=org).secret, "authorization": f"Bearer {credential}"}
        return words(gateway.post("messages", None, body, **EXACT, **headers))[0]

    assert [word("sk-own-1"), word("sk-own-2"), word("sk-own-1")] == ["miss", "miss", "hit"]


NOT_KEPT: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # door, script, members of the request, settings of the key
    ("chat", {"fault": "usage_absent"}, {}, {}),
    ("chat", {"fault": "status", "status": 500}, {}, {}),
    ("chat", {"finish": "content_filter"}, {}, {}),
    ("chat", {"tools": [{"name": "danger", "arguments": {}}]}, {"tools": [{"type": "function", "function": {"name": "danger"}}]}, {"team": "fenced"}),
    ("chat", {"tokens_out": 20_000}, {"max_tokens": None}, {"default_output_tokens": 50}),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("door", "script", "members", "settings"), NOT_KEPT)
def test_what_is_not_kept(
    gateway: Gateway, stream: bool, door: str, script: dict[str, Any], members: dict[str, Any], settings: dict[str, Any]
) -> None:
    key = gateway.key(10**9, org=marker(), **settings)
    name, text = said(**script)
    body = {member: value for member, value in (asked(door, text, stream) | members).items() if value is not None}
    for _ in range(2):
        got = gateway.post(door, key, body, **EXACT)
        assert got.headers["x-jevons-cache"] in ("miss", "none")
    assert len(gateway.attempts(name)) == 2


def test_a_very_long_request_takes_no_part(gateway: Gateway, key: Key) -> None:
    """To read it would take longer than many answers."""
    body = asked("embeddings", marker())
    body["input"] = ["many words " * 100_000] * (KEPT_QUESTION_BYTES_MAX // 1_000_000)
    assert words(gateway.post("embeddings", key, body, **EXACT)) == ["none"]


def test_a_stored_response_takes_no_part(gateway: Gateway, key: Key) -> None:
    _, text = said()
    body = body_of("responses", "gpt-4o", text=text)
    assert words(*[gateway.post("responses", key, body, **EXACT) for _ in range(2)]) == ["none", "none"]


def test_a_fence_is_asked_of_a_kept_answer_too(gateway: Gateway) -> None:
    """One team may call the tool, another of the same organisation may not, though it does not even offer it: what is kept is not passed on."""
    org = marker()
    free, fenced = gateway.key(org=org), gateway.key(org=org, team="fenced")
    _, text = said(tools=[{"name": "danger", "arguments": {}}])
    body = asked("chat", text)
    assert words(gateway.post("chat", free, body, **EXACT)) == ["miss"]
    got = gateway.post("chat", fenced, body, **EXACT)
    assert got.status == 403 and got.error["code"] == "tool_not_allowed" and gateway.entries(fenced) == []


def test_whoever_is_stopped_is_given_nothing(gateway: Gateway, key: Key) -> None:
    _, text = said()
    gateway.post("chat", key, asked("chat", text), **EXACT)
    with killed(gateway, f"key:{key.name}"):
        assert gateway.post("chat", key, asked("chat", text), **EXACT).status == 402
    assert words(gateway.post("chat", key, asked("chat", text), **EXACT)) == ["hit"]


def test_a_spent_budget_still_has_what_is_kept(gateway: Gateway) -> None:
    key = gateway.key(10**9, org=marker())
    _, text = said()
    gateway.post("chat", key, asked("chat", text), **EXACT)
    gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 0})
    assert gateway.post("chat", key, asked("chat", said()[1]), **EXACT).status == 402
    got = gateway.post("chat", key, asked("chat", text), **EXACT)
    assert words(got) == ["hit"] and got.headers["x-jevons-budget-remaining-nusd"] == "0"


def test_a_loop_over_kept_answers_is_stopped(gateway: Gateway) -> None:
    """Each turn's answer was kept from an earlier run: it costs nothing, is no step, and goes round all the same."""
    key = gateway.key(org=marker())
    limit(gateway, key, scope="run", repeats=4)
    opening = said()[1]

    def turns(run: str) -> list[Got]:
        talk, answers = Talk("chat", opening), []
        for _ in range(5):
            talk.tool("look", {"at": 1}, "nothing")
            answers.append(gateway.post("chat", key, talk.body(), **EXACT, **{"x-jevons-run-id": run}))
        return answers

    first, second = turns("r0"), turns("r2")
    assert words(*first[:3]) == ["miss"] * 3 and words(*second[:3]) == ["hit"] * 3
    assert [got.status for got in second[3:]] == [402, 402]
    assert second[3].error["jevons"]["reason"] == "loop"
    run = gateway.admin("GET", f"/runs/{key.name}/r2").json
    assert run["steps"] == 0 and run["entries"] == 3


def test_a_repeat_is_given_its_answer(gateway: Gateway, key: Key) -> None:
    """What an Idempotency-Key is for: the same body gets the same answer, if it is kept; another body is refused as ever."""
    name, text = said()
    once = {**EXACT, "idempotency-key": marker()}
    body = asked("chat", text)
    one, two = gateway.post("chat", key, body, **once), gateway.post("chat", key, body, **once)
    assert words(one, two) == ["miss", "hit"] and two.json == one.json
    unasked = gateway.post("chat", key, body, **(once | {"x-jevons-cache": "off"}))
    assert unasked.status == 409 and "x-jevons-cache: on" in unasked.error["message"]
    assert gateway.post("chat", key, body, **(once | {"x-jevons-cache": "refresh"})).status == 409
    assert gateway.post("chat", key, asked("chat", said()[1]), **once).status == 422
    assert len(gateway.attempts(name)) == 1


def waiting(gateway: Gateway, count: int) -> None:
    wait_until(lambda: status(gateway)["waiting"] == count)


@pytest.mark.parametrize("door", DOORS)
def test_many_at_once_ask_once(gateway: Gateway, key: Key, door: str) -> None:
    name, text = said(reply="one answer", chunks=1, first_delay_ms=400)
    body = asked(door, text)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: gateway.post(door, key, body | ({"stream": True} if n % 2 else {}), **EXACT), range(8)))
    assert sorted(words(*answers)) == ["hit"] * 7 + ["miss"]
    assert len(gateway.attempts(name)) == 1 and all(b"one answer" in got.body for got in answers)
    assert sum(entry["billed_nusd"] > 0 for entry in gateway.entries(key)) == 1


def test_when_the_first_leaves_another_asks_for_all(gateway: Gateway, standin: Provider, key: Key) -> None:
    """The one who left pays for what it was sent; one of those who waited asks anew, and the rest wait for that."""
    name, text = said(reply="at last", chunks=1, first_delay_ms=200)
    standin.script({**LONG, "marker": name})
    body = asked("chat", text, stream=True)
    with ThreadPoolExecutor(3) as pool:
        with connection(gateway.url) as wire:
            wire.request("POST", "/v1/chat/completions", json.dumps(body).encode(), gateway.headers(key, **EXACT))
            wire.getresponse().read(1)
            others = [pool.submit(gateway.post, "chat", key, body, **EXACT) for _ in range(3)]
            waiting(gateway, 3)
        answers = [other.result() for other in others]
    assert sorted(words(*answers)) == ["hit", "hit", "miss"] and all(b"at last" in got.body for got in answers)
    assert len(gateway.attempts(name)) == 2


def test_who_leaves_before_it_is_sent_is_not_asked_for(gateway: Gateway) -> None:
    """It leaves while its hold is waited for, before anybody is asked: nobody is, and nothing is paid."""
    key = gateway.key(11_000_000, org=marker())
    (before, text), (name, unheard) = said(first_delay_ms=1500), said()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.post, "chat", key, asked("chat", text, max_tokens=1000))  # holds nearly all of the budget
        wait_until(lambda: len(gateway.attempts(before)) == 1)
        looked = status(gateway)["looked"]
        with connection(gateway.url) as wire:
            body = json.dumps(asked("chat", unheard, stream=True, max_tokens=400)).encode()
            wire.request("POST", "/v1/chat/completions", body, gateway.headers(key, **EXACT))
            wait_until(lambda: status(gateway)["looked"] > looked)
        assert first.result().status == 200
    _, left = gateway.settled(key, 2)
    assert (left["outcome"], left["billed_nusd"]) == ("void", 0) and gateway.attempts(name) == []


def test_when_the_first_fails_all_ask_for_themselves(gateway: Gateway, standin: Provider, key: Key) -> None:
    name, text = said(reply="by myself")
    standin.script({"fault": "status", "status": 500, "first_delay_ms": 700, "marker": name})
    body = asked("chat", text)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(gateway.post, "chat", key, body, **EXACT)
        wait_until(lambda: len(gateway.attempts(name)) == 1)
        others = [pool.submit(gateway.post, "chat", key, body, **EXACT) for _ in range(3)]
        waiting(gateway, 3)
        answers = [other.result() for other in others]
    assert first.result().status == 500
    assert words(*answers) == ["miss"] * 3 and len(gateway.attempts(name)) == 4


def test_what_was_asked_before_an_erasure_is_not_kept_after_it(gateway: Gateway, standin: Provider, key: Key) -> None:
    name, text = said(reply="forget me", first_delay_ms=500)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.post, "chat", key, asked("chat", text), **EXACT)
        wait_until(lambda: len(gateway.attempts(name)) == 1)
        gateway.admin("POST", "/cache/clear", {"org": "somebody else"})
        assert words(first.result()) == ["miss"]
    assert words(gateway.post("chat", key, asked("chat", text), **EXACT)) == ["miss"]


def test_who_asks_after_an_erasure_is_not_given_what_was_asked_before_it(gateway: Gateway, key: Key) -> None:
    name, text = said(reply="forget me", first_delay_ms=500)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.post, "chat", key, asked("chat", text), **EXACT)
        wait_until(lambda: len(gateway.attempts(name)) == 1)
        gateway.admin("POST", "/cache/clear", {})
        after = gateway.post("chat", key, asked("chat", text), **EXACT)
        assert words(first.result(), after) == ["miss", "miss"]
