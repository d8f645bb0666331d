"""The doors beside the model calls: repeats, stored responses, counting, models, costs, health, metrics."""

import json
import resource
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.asking import Gateway, Key, ask, body_of, marker
from tests.gateway.conftest import UPSTREAM_KEY
from tests.provider import Provider
from tests.running import Jevons, upstream

CANARY = "content-canary-5150"


@pytest.fixture(scope="module")
def own(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that may be stopped, starved and counted."""
    passes = [{"method": "POST", "path": "/v1/embeddings/*", "price_usd": "0.25"}, {"method": "GET", "path": "/v1/models/*"}]
    with Jevons(
        tmp_path_factory.mktemp("own") / "home",
        upstream("openai", standin.openai_url, retries=0, key=UPSTREAM_KEY, passes=passes),
        upstream("anthropic", standin.url, "anthropic", retries=0, key=UPSTREAM_KEY),
        cache={"answers": {"ram_mib": 0}},
    ) as jevons:
        yield Gateway(jevons, standin)


def test_an_idempotency_key(own: Gateway) -> None:
    """Made once: a repeat is told where its cost stands, another body is told so, another key's same value is another matter."""
    key, other, mark = own.key(10**12), own.key(10**12), marker()
    body = body_of("chat", "gpt-4o", marker=mark, reply="one")
    first = own.post("chat", key, body, idempotency_key="abc")
    assert first.status == 200
    for _ in range(2):
        repeat = own.post("chat", key, body, idempotency_key="abc")
        assert (repeat.status, repeat.error["code"]) == (409, "idempotent_repeat")
        assert repeat.error["jevons"] == {"request": first.request, "billed_nusd": own.entry_of(first)["billed_nusd"]}
        assert repeat.headers["x-should-retry"] == "false"
        assert "x-jevons-cache" not in repeat.error["message"]  # no answer is kept here
        changed = own.post("chat", key, body | {"temperature": 0}, idempotency_key="abc")
        assert (changed.status, changed.error["code"]) == (422, "idempotency_key_reused")
        assert own.entries_of(repeat) == own.entries_of(changed) == []
        own.jevons.stop()
        own.jevons.start()
    assert len(own.attempts(mark)) == 1
    assert own.post("chat", other, body, idempotency_key="abc").status == 200
    assert own.post("chat", key, body, idempotency_key="abd").status == 200


@pytest.mark.parametrize("size", [10, 300_000])
def test_the_same_idempotency_key_twice_at_once(own: Gateway, size: int) -> None:
    """Also while a long prompt is being counted elsewhere: one of them is made."""
    key, mark = own.key(10**12), marker()
    body = body_of("chat", "gpt-4o", marker=mark, first_delay_ms=100)
    body["messages"].insert(0, {"role": "system", "content": mark + " word" * (size // 5)})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own.post("chat", key, body, idempotency_key="twice"), range(8)))
    assert Counter(got.status for got in answers) == {200: 1, 409: 7}
    assert len(own.attempts(mark)) == 1


def test_a_refused_call_leaves_its_idempotency_key_free(own: Gateway) -> None:
    key = own.key(1000)
    body = body_of("chat", "gpt-4o")
    assert own.post("chat", key, body, idempotency_key="later").status == 402
    own.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": 10**12})
    assert own.post("chat", key, body, idempotency_key="later").status == 200


def test_stored_responses_belong_to_their_key(own: Gateway) -> None:
    mine, theirs = own.key(), own.key()
    made = own.post("responses", mine, body_of("responses", "gpt-4o", reply="one"))
    name = made.json["id"]
    continued = body_of("responses", "gpt-4o", reply="two") | {"previous_response_id": name}
    assert own.post("responses", mine, continued).status == 200
    assert own.get(f"/v1/responses/{name}", mine).json["id"] == name
    for method in ("GET", "DELETE"):
        refused = ask(own.url, method, f"/v1/responses/{name}", None, own.headers(theirs))
        assert (refused.status, refused.error["code"]) == (404, "unknown_response")
    refused = own.post("responses", theirs, continued)
    assert (refused.status, refused.error["param"]) == (404, "previous_response_id")
    assert own.entries_of(refused) == []
    before = own.ids(mine)
    assert ask(own.url, "DELETE", f"/v1/responses/{name}", None, own.headers(mine)).status == 200
    assert own.get(f"/v1/responses/{name}", mine).status == 404
    assert own.ids(mine) == before


def test_a_streamed_response_is_stored_too(own: Gateway) -> None:
    key = own.key()
    made = own.post("responses", key, body_of("responses", "gpt-4o", True, reply="one"))
    name = json.loads(made.events[-1][1])["response"]["id"]
    assert own.get(f"/v1/responses/{name}", key).status == 200
    unstored = own.post("responses", key, body_of("responses", "gpt-4o") | {"store": False})
    assert own.get(f"/v1/responses/{unstored.json['id']}", key).status == 404


@pytest.mark.parametrize("dots", ["..", "%2e%2e", ".%2E", "%252e%252e", "..%2f"])
def test_a_stored_response_is_no_way_into_another(own: Gateway, dots: str) -> None:
    """`..` would be resolved on the way: to another tenant's response, under our own credential."""
    mine, theirs = own.key(), own.key()
    ours = own.post("responses", mine, body_of("responses", "gpt-4o")).json["id"]
    secret = own.post("responses", theirs, body_of("responses", "gpt-4o", reply=CANARY)).json["id"]
    before = len(own.provider.attempts())
    got = ask(own.url, "GET", f"/v1/responses/{ours}/{dots}/{secret}", None, own.headers(mine))
    assert got.status == 404
    assert CANARY.encode() not in got.body
    asked = own.provider.attempts()[before:]
    assert all(secret not in attempt.received["target"].partition("%25")[0] for attempt in asked)


def test_doors_of_the_operators_own(own: Gateway) -> None:
    """Forwarded at the stated price; each call an attempt with its entry."""
    key = own.key(10**9)
    got = own.get("/v1/models/gpt-4o?x=1", key)
    assert got.status == 200
    assert own.provider.attempts()[-1].received["target"] == "/v1/models/gpt-4o?x=1"
    assert own.entry_of(got)["billed_nusd"] == 0
    paid = ask(own.url, "POST", "/v1/embeddings/nothing", b"{}", own.headers(key))
    assert own.entry_of(paid)["outcome"] == "error"
    poor = own.key(10**8)
    refused = ask(own.url, "POST", "/v1/embeddings/nothing", b"{}", own.headers(poor))
    assert (refused.status, own.ids(poor)) == (402, [])
    outside = ask(own.url, "GET", "/v1/models/../responses/x", None, own.headers(key))
    assert outside.status == 404


def test_counting_is_free_and_limited(own: Gateway) -> None:
    key = own.key(10**9)
    got = own.post("count_tokens", key, body_of("count_tokens", "claude-sonnet-4-5"))
    entry = own.entry_of(got)
    assert got.json["input_tokens"] > 0
    assert (entry["outcome"], entry["billed_nusd"], entry["list_nusd"], entry["estimate"]) == ("free", 0, 0, "")
    here = own.post("count_tokens", key, body_of("count_tokens", "gpt-4o", text="one two three"))
    assert here.json["input_tokens"] >= 3
    assert own.entry_of(here)["outcome"] == "free"
    body = json.dumps(body_of("count_tokens", "gpt-4o")).encode()
    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(got.status for got in pool.map(lambda _: own.post("count_tokens", key, body), range(620)))
    assert statuses[429] >= 20
    refused = own.post("count_tokens", key, body)
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_error")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert own.post("count_tokens", own.key(), body).status == 200


def test_models_in_both_shapes(own: Gateway) -> None:
    everyone, narrow = own.key(), own.key(models=["gpt-4o*", "claude-sonnet-4-5"])
    listed = own.get("/v1/models", everyone).json
    assert listed["object"] == "list"
    names = {model["id"] for model in listed["data"]}
    assert {"gpt-4o", "claude-sonnet-4-5"} <= names
    shape = own.get("/v1/models?limit=1000", narrow, anthropic_version="2023-06-01").json
    assert not shape["has_more"]
    assert {model["type"] for model in shape["data"]} == {"model"}
    seen = {model["id"] for model in shape["data"]}
    assert "claude-sonnet-4-5" in seen
    assert seen == {name for name in names if name.startswith("gpt-4o") or name == "claude-sonnet-4-5"}
    assert own.get("/v1/models").status == 401


def test_the_cost_of_a_request_is_its_keys_own_matter(own: Gateway) -> None:
    mine, theirs = own.key(), own.key()
    got = own.post("chat", mine, body_of("chat", "gpt-4o", True, reply="one two"))
    found = own.get(f"/jevons/v1/requests/{got.request}", mine)
    entry = own.entry_of(got)
    assert (found.json["id"], found.json["settled"]) == (got.request, True)
    assert found.json["billed_nusd"] == entry["billed_nusd"] == sum(line["nusd"] for line in entry["lines"])
    assert [one["outcome"] for one in found.json["attempts"]] == ["ok"]
    for key, request in ((theirs, got.request), (mine, "req_000000000000000"), (mine, "nonsense"), (mine, "req_zzzzzzzzzzzzzzz")):
        refused = own.get(f"/jevons/v1/requests/{request}", key)
        assert (refused.status, refused.error["code"]) == (404, "unknown_request")


def test_every_answer_says_which_request_it_was(own: Gateway, any_key: Key) -> None:
    key = own.key()
    for got in (
        own.get("/v1/models", key),
        own.get("/v1/nothing", key),
        own.post("chat", None, b"{}"),
        own.post("chat", key, b"{"),
        own.post("count_tokens", key, body_of("count_tokens", "gpt-4o")),
    ):
        assert got.request.startswith("req_"), got
        assert got.headers["x-jevons-cache"] == "none"


def test_health(own: Gateway) -> None:
    assert own.get("/health/live").json == own.get("/health/ready").json == {"status": "ok"}
    assert ask(own.url, "HEAD", "/").status == 200


def test_without_a_disk_nothing_is_served_and_nothing_is_lost(own: Gateway) -> None:
    """The ledger's file may not grow: 503 before anything is sent, not ready, and back again once there is room."""
    key, mark = own.key(10**12), marker()
    body = body_of("chat", "gpt-4o", marker=mark)
    assert own.post("chat", key, body).status == 200
    hard = resource.prlimit(own.jevons.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(own.jevons.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        for door, model in (("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5")):
            got = own.post(door, key, body_of(door, model, marker=mark))
            assert got.status == 503
            assert got.error["type"] == ("overloaded_error" if door == "messages" else "server_error")
        ready = own.get("/health/ready")
        assert (ready.status, ready.json["status"]) == (503, "unavailable")
        assert own.get("/health/live").status == 200
    finally:
        resource.prlimit(own.jevons.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert len(own.attempts(mark)) == 1
    served = own.post("chat", key, body)
    while served.status == 503:
        served = own.post("chat", key, body)
    assert served.status == 200
    assert own.get("/health/ready").status == 200
    assert len(own.settled(key, 2)) == 2
    assert own.account(key)["posted_nusd"] == sum(entry["billed_nusd"] for entry in own.entries(key))


def test_metrics_add_up_to_the_ledger(own: Gateway) -> None:
    """Since the last start; in what Prometheus itself can read."""
    own.jevons.stop()
    earlier = {entry["id"] for entry in own.jevons.entries()}
    own.jevons.start()
    key = own.key(10**12)
    for door, model, script in (
        ("chat", "gpt-4o", {"reply": "one two"}),
        ("messages", "claude-sonnet-4-5", {"tokens_out": 50}),
        ("chat", "gpt-4o", {"fault": "status", "status": 400}),
    ):
        own.post(door, key, body_of(door, model, **script))
    own.post("chat", own.key(1000), body_of("chat", "gpt-4o"))
    page = own.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples: dict[str, Counter[Any]] = {}
    for family in text_string_to_metric_families(page.body.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, Counter())[tuple(sorted(sample.labels.items()))] += sample.value
    entries = [entry for entry in own.jevons.entries() if entry["id"] not in earlier]
    cost = sum(entry["billed_nusd"] for entry in entries)
    assert round(samples["jevons_cost_usd_total"].total() * 1e9) == cost
    assert samples["jevons_attempts_total"].total() == len(entries) == 3
    tokens = Counter[str]()
    for labels, count in samples["jevons_tokens_total"].items():
        tokens[dict(labels)["kind"]] += count
    assert tokens["output"] == sum(entry["output"] for entry in entries)
    assert tokens["input"] == sum(entry["input"] for entry in entries)
    assert samples["jevons_denials_total"][(("reason", "insufficient_quota"),)] == 1
    assert samples["jevons_holds_open"].total() == 0
    remaining = samples["jevons_budget_remaining_usd"][(("key", key.name),)]
    assert round(remaining * 1e9) == 10**12 - own.account(key)["posted_nusd"]


def test_no_secret_and_no_content_is_anywhere(own: Gateway) -> None:
    """The upstream's key, the admin token, clients' keys, what was said: in no answer, log, ledger file or metric."""
    key = own.key(10**12)
    answers = [
        own.post(door, key, body_of(door, model, stream, reply=CANARY, **({"fault": fault} if fault else {})))
        for door, model in (("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5"), ("responses", "gpt-4o"))
        for stream in (False, True)
        for fault in ("", "reset_mid_stream", "invalid_json")
    ]
    answers += [
        own.get("/metrics"),
        own.get("/v1/models", key),
        own.admin("GET", "/keys"),
        own.post("chat", key, b"{" + CANARY.encode()),
    ]
    token = (own.jevons.home / "admin.token").read_text().strip()
    secrets = [UPSTREAM_KEY, token, key.secret]
    for got in answers:
        told = got.body.decode() + json.dumps(got.headers)
        assert not [secret for secret in secrets if secret in told]
    own.jevons.stop()
    for file in (path for path in own.jevons.home.rglob("*") if path.is_file()):
        kept = {"admin.token": [token], "test.toml": [UPSTREAM_KEY]}.get(file.name, [])
        data = file.read_bytes()
        assert not [secret for secret in [*secrets, CANARY] if secret.encode() in data and secret not in kept], file
        if file.name not in ("serve.log", "test.toml"):
            assert file.stat().st_mode & 0o077 == 0, file
    own.jevons.start()
