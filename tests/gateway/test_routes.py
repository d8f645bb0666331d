"""Names and rules at the door: who answers a request, what each answer says of it, what a caller may choose, what a turn keeps."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from jevons.core.entry import admitted_ms, parse_request_text
from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.ledger.bill import check
from jevons.meter.pricebook import open_book
from tests.gateway.asking import Gateway, Got, Key, body_of
from tests.gateway.governing import Talk, limit, run_id
from tests.provider import Provider
from tests.running import Jevons, upstream

SPANISH = "¿Cuál es la capital de Australia, por favor?"
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
ROUTES: list[dict[str, Any]] = [
    {"name": "for-bob", "keys": ["bob-*"], "to": ["claude-haiku-4-5"]},
    {"name": "spanish", "languages": ["es"], "to": ["gpt-4.1-mini", "gpt-4o"]},
    {"name": "pictures", "modalities": ["image", "audio", "file"], "to": ["gpt-3.5-turbo", "gpt-4o-mini", "gpt-4o"]},
    {"name": "tools", "tools": True, "to": ["gpt-4.1", "gpt-4o"]},
    {"name": "cooking", "classes": ["cooking"], "to": ["house-model", "gpt-4o"]},
    {"name": "long", "min_tokens": 30_000, "to": ["gpt-3.5-turbo", "gpt-4.1-nano", "gpt-4o"]},
    {"name": "rest", "models": ["auto", "cheapest"], "to": ["gpt-4o-mini", "gpt-4o"]},
    {"name": "named", "models": ["gpt-4-turbo"], "to": ["gpt-4o-mini", "gpt-4o"]},
    {"name": "shaky", "models": ["shaky"], "to": ["dead/gpt-4o-mini", "gpt-4o"]},
    {"name": "long-named", "models": ["gpt-4"], "min_tokens": 3_000, "to": ["gpt-4.1-nano"]},
    {"name": "vip", "models": ["nobody-asks-for-this"], "to": ["gpt-4o"]},
    {"name": "whose", "models": ["mine/gpt-4o"], "to": ["theirs/gpt-4o-mini", "mine/gpt-4o"]},
    {"name": "nobodys", "models": ["nobodys"], "to": ["theirs/gpt-4o-mini", "mine/gpt-4o"]},
    {"name": "dear-first", "models": ["dear-first"], "to": ["gpt-4-turbo", "gpt-4.1-nano"]},
    {"name": "others", "models": ["theirs"], "orgs": ["others"], "to": ["gpt-4o"]},
]
ACCESS = [{"name": "fenced", "key": "fenced-*", "models_deny": ["gpt-4o-mini"]}]
CLASSES = [{"name": "cooking", "examples": ["Give me a recipe with chicken and rice.", "How long do I boil eggs?"]}]


@pytest.fixture(scope="module")
def routed(standin: Provider, closed_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    pytest.importorskip("py3langid", reason="pip install --no-deps --require-hashes -r src/jevons/embed/requirements.txt")
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*", "text-embedding-*"), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
        upstream("mine", standin.openai_url, provider="openai", auth="client", models=("only-by-its-prefix",)),
        upstream("theirs", standin.openai_url, provider="openai", auth="client", models=("only-by-its-prefix",)),
        upstream("dead", f"http://127.0.0.1:{closed_port}/v1", provider="openai", models=("only-by-its-prefix",), retries=0),
    ]
    aliases = [{"name": "house-model", "upstream": "openai", "target": "gpt-4o-mini"}]
    home = tmp_path_factory.mktemp("routed") / "home"
    with Jevons(home, *upstreams, models=aliases, routes=ROUTES, classes=CLASSES, access=ACCESS) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log(), jevons.log()[-5000:]
    assert check(jevons.ledger) == []


@pytest.fixture
def key(routed: Gateway) -> Key:
    return routed.key()


def why(got: Got) -> dict[str, str]:
    """The header taken apart."""
    assert got.status == 200, got.body
    return dict(part.split("=", 1) for part in got.headers["x-jevons-route-why"].split(";"))


def went(got: Got) -> tuple[str, str]:
    """(route, model)"""
    return why(got)["route"], got.headers["x-jevons-model"]


def asks(gateway: Gateway, key: Key, text: object, model: str = "auto", **headers: str) -> Got:
    return gateway.post(
        "chat", key, {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}]}, **headers
    )


def the_attempt(gateway: Gateway, key: Key, got: Got) -> dict[str, Any]:
    """The one attempt of a request, as its caller may see it."""
    [attempt] = gateway.get(f"/jevons/v1/requests/{got.request}", key).json["attempts"]
    return dict(attempt)


def cost_nusd(gateway: Gateway, model: str, got: Got, attempt: dict[str, Any]) -> int:
    """What these tokens cost a caller of that model."""
    price = open_book(gateway.jevons.home).price("openai", model, admitted_ms(parse_request_text(got.request) or 0))
    assert price is not None
    return charge(Usage(input=attempt["input"], output=attempt["output"]), price).nusd


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_a_spanish_question_goes_to_the_model_that_is_good_at_spanish(routed: Gateway, key: Key, door: str, stream: bool) -> None:
    got = routed.post(door, key, body_of(door, "auto", stream, text=SPANISH))
    assert went(got) == ("spanish", "gpt-4.1-mini")
    assert why(got) == {"route": "spanish", "why": "first", "language": "es"}
    entry = routed.entry_of(got)
    assert (entry["model"], entry["target"]) == ("auto", "gpt-4.1-mini")
    english = routed.post(door, key, body_of(door, "auto", stream, text="What is the capital of Australia, please?"))
    assert went(english) == ("rest", "gpt-4o-mini")


def test_a_real_client_asks_for_auto(routed: Gateway, key: Key) -> None:
    client = openai.OpenAI(base_url=f"{routed.url}/v1", api_key=key.secret, max_retries=0)
    assert "auto" in {model.id for model in client.models.list()}
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=[{"role": "user", "content": SPANISH}])
    assert raw.headers["x-jevons-route-why"] == "route=spanish;why=first;language=es"
    assert raw.parse().choices[0].message.content


def test_what_it_holds_decides_and_a_model_that_takes_text_only_is_left_out(routed: Gateway, key: Key) -> None:
    picture = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert went(asks(routed, key, picture)) == ("pictures", "gpt-4o-mini")


def test_tools_class_and_length_decide(routed: Gateway, key: Key) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "What is there?"}], "tools": [TOOL]}
    assert went(routed.post("chat", key, body)) == ("tools", "gpt-4.1")
    got = asks(routed, key, "Can you give me a recipe with rice and chicken?")
    assert went(got) == ("cooking", "gpt-4o-mini")
    assert why(got)["class"] == "cooking"
    assert went(asks(routed, key, "word " * 30_000)) == ("long", "gpt-4.1-nano"), "it does not fit into the first"


def test_a_key_has_routes_of_its_own(routed: Gateway) -> None:
    made = routed.admin("POST", "/keys", {"name": "bob-1", "limit_nusd": None, "settings": {}}).json
    bob = Key(made["id"], "bob-1", made["key"])
    assert went(asks(routed, bob, SPANISH)) == ("for-bob", "claude-haiku-4-5")


def test_names_that_routes_take_are_listed_for_whom_they_are(routed: Gateway, key: Key) -> None:
    def listed(one: Key) -> set[str]:
        return {model["id"] for model in routed.get("/v1/models", one).json["data"]}

    assert {"auto", "cheapest", "gpt-4o", "house-model"} <= listed(key)
    assert "theirs" not in listed(key)
    assert "theirs" in listed(routed.key(org="others"))
    assert "auto" not in listed(routed.key(models=["gpt-4o"]))


def test_what_the_key_may_not_use_is_left_out(routed: Gateway) -> None:
    key = routed.key(models=["auto", "gpt-4o"])
    got = asks(routed, key, "Hello there, how are you doing today?")
    assert went(got) == ("rest", "gpt-4o")
    assert why(got)["why"] == "only"
    none = asks(routed, routed.key(models=["auto", "claude-*"]), "Hello there, how are you doing today?")
    assert (none.status, none.error["code"]) == (403, "model_not_allowed")
    assert "gpt-4o-mini: this key may not use it" in none.error["message"]
    assert asks(routed, routed.key(models=["gpt-4o"]), "Hello.").status == 403, "the name itself is not on its list"


def test_what_is_denied_under_its_own_name_is_left_out(routed: Gateway) -> None:
    """The alias is not denied; the model behind it is."""
    made = routed.admin("POST", "/keys", {"name": "fenced-1", "limit_nusd": None, "settings": {}}).json
    got = asks(routed, Key(made["id"], "fenced-1", made["key"]), "Can you give me a recipe with rice and chicken?")
    assert went(got) == ("cooking", "gpt-4o")


def test_the_others_stand_in_where_the_first_fails(routed: Gateway, key: Key) -> None:
    got = asks(routed, key, "Hello.", "shaky")
    assert (got.headers["x-jevons-route"], why(got)) == ("openai/gpt-4o", {"route": "shaky", "why": "first", "by": "failover"})
    roles = [attempt["outcome"] for attempt in routed.get(f"/jevons/v1/requests/{got.request}", key).json["attempts"]]
    assert roles == ["unreachable", "ok"]
    for _ in range(12):
        got = asks(routed, key, "Hello.", "shaky")
        if why(got)["by"] == "passed-over":
            break
    assert why(got) == {"route": "shaky", "why": "first", "by": "passed-over"}, (
        "who is not called any more is said to be passed over"
    )
    assert the_attempt(routed, key, got)["upstream"] == "openai"


def test_a_name_of_no_model_that_no_route_takes(routed: Gateway, key: Key) -> None:
    got = asks(routed, key, "Hello.", "theirs")
    assert (got.status, got.error["code"]) == (404, "model_not_found")
    assert asks(routed, key, "Hello.", "gpt-4o").headers["x-jevons-model"] == "gpt-4o"
    assert "x-jevons-route-why" not in asks(routed, key, "Hello.", "gpt-4o").headers


def test_a_header_names_the_route_or_none(routed: Gateway, key: Key) -> None:
    assert went(asks(routed, key, SPANISH, "gpt-4o", x_jevons_route="rest")) == ("rest", "gpt-4o-mini")
    assert went(asks(routed, key, "Hello.", "gpt-4.1", x_jevons_route="vip")) == ("vip", "gpt-4o")
    plain = asks(routed, key, SPANISH, "gpt-4-turbo", x_jevons_route="off")
    assert (plain.headers["x-jevons-model"], "x-jevons-route-why" in plain.headers) == ("gpt-4-turbo", False)
    got = asks(routed, key, SPANISH, x_jevons_route="off")
    assert (got.status, got.error["code"]) == (404, "no_route") and "x-jevons-route: off keeps" in got.error["message"]
    for name in ("none", "others", "for-bob"):
        got = asks(routed, key, "Hello.", x_jevons_route=name)
        assert (got.status, got.error["code"]) == (400, "unknown_route"), name
    limited = routed.key(models=["gpt-4.1"])
    assert asks(routed, limited, "Hello.", "gpt-4.1", x_jevons_route="vip").status == 403


def test_a_header_names_the_model(routed: Gateway, key: Key) -> None:
    got = asks(routed, key, "Hello.", "gpt-4o", x_jevons_model="gpt-4.1-mini")
    assert (got.headers["x-jevons-model"], why(got)) == ("gpt-4.1-mini", {"why": "header"})
    assert routed.entry_of(got)["model"] == "gpt-4.1-mini"
    assert went(asks(routed, key, SPANISH, "gpt-4o", x_jevons_model="auto")) == ("spanish", "gpt-4.1-mini")
    limited = routed.key(models=["gpt-4o"])
    assert asks(routed, limited, "Hello.", "gpt-4o", x_jevons_model="gpt-4.1-mini").status == 403
    assert asks(routed, key, "Hello.", "gpt-4o", x_jevons_model="no-such").status == 404


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_an_open_turn_keeps_its_model(routed: Gateway, key: Key, door: str) -> None:
    """What came since would fit another route; the next turn may go elsewhere."""
    run = {"x-jevons-run-id": run_id()}
    talk = Talk(door, SPANISH)
    assert went(routed.post(door, key, talk.body("auto"), **run)) == ("spanish", "gpt-4.1-mini")
    got = routed.post(door, key, talk.tool("look", {}, "word " * 40_000).body("auto"), **run)
    assert went(got) == ("spanish", "gpt-4.1-mini")
    assert why(got)["why"] == "turn"
    talk.assistant("Hecho.").user("Thank you. And what is the largest city of Australia?")
    assert went(routed.post(door, key, talk.body("auto"), **run)) == ("long", "gpt-4.1-nano")


def test_a_turn_that_no_route_took_goes_on_by_its_name(routed: Gateway, key: Key) -> None:
    run = {"x-jevons-run-id": run_id()}
    talk = Talk("chat", "Find it.")
    assert routed.post("chat", key, talk.body("gpt-4"), **run).headers["x-jevons-model"] == "gpt-4"
    got = routed.post("chat", key, talk.tool("look", {}, "word " * 3_000).body("gpt-4"), **run)
    assert (got.headers["x-jevons-model"], "x-jevons-route-why" in got.headers) == ("gpt-4", False)
    got = routed.post("chat", key, talk.assistant("Done.").user("And now?").body("gpt-4"), **run)
    assert went(got) == ("long-named", "gpt-4.1-nano")


def test_a_stored_response_goes_on_where_it_lies(routed: Gateway, key: Key) -> None:
    first = routed.post("responses", key, body_of("responses", "auto", text=SPANISH))
    assert went(first) == ("spanish", "gpt-4.1-mini")
    body = body_of("responses", "auto", text="What is the largest city of Australia?") | {
        "previous_response_id": first.json["id"]
    }
    second = routed.post("responses", key, body)
    assert (second.headers["x-jevons-model"], why(second)["why"]) == ("gpt-4.1-mini", "turn")


def test_counting_is_of_the_reference(routed: Gateway, key: Key) -> None:
    got = routed.post("count_tokens", key, body_of("count_tokens", "cheapest"))
    assert got.status == 200
    assert got.json["input_tokens"] > 0
    assert routed.post("embeddings", key, body_of("embeddings", "auto")).status == 404


def test_counting_is_for_those_who_may_ask(routed: Gateway, key: Key) -> None:
    """Of a route's name, those whom the route takes; of its models, one that the key may use, for the text is sent there."""

    def refused(door: str, one: Key, model: str) -> tuple[int, str]:
        got = routed.post(door, one, body_of(door, model))
        return got.status, got.error["type"]

    assert refused("count_tokens", key, "theirs") == refused("messages", key, "theirs") == (404, "not_found_error")
    only_name = routed.key(models=["cheapest"])
    assert (
        refused("count_tokens", only_name, "cheapest") == refused("messages", only_name, "cheapest") == (403, "permission_error")
    )
    small = routed.key(models=["cheapest", "gpt-4o-mini"])
    assert routed.post("count_tokens", small, body_of("count_tokens", "cheapest")).status == 200


def with_own(gateway: Gateway, key: Key, model: str, **headers: str) -> Got:
    """With a credential of the client's own."""
    body = body_of("chat", model, text="Hello.")
    return gateway.post("chat", None, body, authorization="Bearer sk-of-the-client", x_jevons_key=key.secret, **headers)


def test_a_route_takes_the_clients_own_credential_nowhere_else(routed: Gateway, key: Key) -> None:
    got = with_own(routed, key, "mine/gpt-4o")
    assert (got.headers["x-jevons-route"], why(got)["why"]) == ("mine/gpt-4o", "only")
    assert with_own(routed, key, "mine/gpt-4o", x_jevons_route="off").headers["x-jevons-route"] == "mine/gpt-4o"
    got = with_own(routed, key, "nobodys")
    assert (got.status, got.error["code"]) == (400, "no_model_fits"), "it may be either's"
    assert "the client's own credential is another provider's" in got.error["message"]
    limit(routed, key, usd=0.1, degrade_at=0.5, degrade_to=["theirs/gpt-4.1-nano"])
    assert routed.post("chat", key, body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)).status == 200
    assert with_own(routed, key, "mine/gpt-4o").headers["x-jevons-route"] == "mine/gpt-4o"


def test_saved_is_what_the_reference_would_have_cost(routed: Gateway, key: Key) -> None:
    """Of `auto`, the route's reference; of a model by its own name, that model."""
    for asked, baseline in (("auto", "gpt-4o"), ("gpt-4-turbo", "gpt-4-turbo")):
        got = asks(routed, key, "Hello there, how are you doing today?", asked)
        assert got.headers["x-jevons-model"] == "gpt-4o-mini"
        attempt = the_attempt(routed, key, got)
        [line] = attempt["savings"]
        assert line["kind"] == "route"
        assert attempt["baseline_nusd"] == attempt["list_nusd"] + line["nusd"] == cost_nusd(routed, baseline, got, attempt)
    assert the_attempt(routed, key, asks(routed, key, "Hello there.", x_jevons_route="vip"))["savings"] == []


def test_a_kept_answer_says_where_it_came_from(routed: Gateway, key: Key) -> None:
    first, again = (asks(routed, key, SPANISH, x_jevons_cache="on") for _ in range(2))
    assert (first.headers["x-jevons-cache"], again.headers["x-jevons-cache"]) == ("miss", "hit")
    assert why(again) == why(first) == {"route": "spanish", "why": "first", "language": "es"}


def test_a_budget_that_runs_out_goes_on_from_what_the_route_chose(routed: Gateway) -> None:
    key = routed.key()
    limit(routed, key, usd=0.1, degrade_at=0.5, degrade_to=["gpt-4.1-nano"])
    assert routed.post("chat", key, body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)).status == 200
    got = asks(routed, key, SPANISH)
    assert (got.headers["x-jevons-model"], got.headers["x-jevons-degraded"].split(" (")[0]) == (
        "gpt-4.1-nano",
        "gpt-4.1-mini -> gpt-4.1-nano",
    )
    attempt = the_attempt(routed, key, got)
    assert [line["kind"] for line in attempt["savings"]] == ["route", "model"]
    assert attempt["baseline_nusd"] == attempt["list_nusd"] + sum(line["nusd"] for line in attempt["savings"])


def test_a_budget_that_goes_on_with_the_reference_saves_nothing(routed: Gateway) -> None:
    """What the route chose beyond it, and what the budget took back, come to nothing together."""
    key = routed.key()
    limit(routed, key, usd=0.1, degrade_at=0.5, degrade_to=["gpt-4.1-nano"])
    assert routed.post("chat", key, body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)).status == 200
    attempt = the_attempt(routed, key, asks(routed, key, "Hello.", "dear-first"))
    assert [line["kind"] for line in attempt["savings"]] == ["route", "model"] and attempt["baseline_nusd"] == attempt[
        "list_nusd"
    ]


def test_without_routes_auto_is_a_mistake_that_says_what_to_write(gateway: Gateway) -> None:
    got = asks(gateway, gateway.key(), "Hello.")
    assert (got.status, got.error["code"]) == (404, "no_route")
    assert '[[routes]] name = "default" to = [' in got.error["message"]


def test_a_mistake_is_told_at_the_start(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    routes = [{"name": "a", "to": ["gpt-4o"], "languages": ["spanish"]}]
    home, models = tmp_path_factory.mktemp("mistaken") / "home", upstream("openai", standin.openai_url, models=("gpt-*",))
    with pytest.raises(RuntimeError) as failed, Jevons(home, models, routes=routes):
        pass
    assert "jevons.toml: route 'a': 'spanish' is no language that can be told" in str(failed.value)
    assert "Traceback" not in str(failed.value)
