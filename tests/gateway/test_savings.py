"""Each call says what it saved against what it asked for: the provider's cache, a cheaper model, or nothing that can be said."""

from typing import Any

import pytest

from jevons.core.entry import admitted_ms, parse_request_text
from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.meter.pricebook import open_book
from tests.gateway.asking import Gateway, Got, Key, body_of, marker, prompt
from tests.gateway.governing import limit


def long_body(door: str, model: str, *, marked: bool = False, stream: bool = False) -> dict[str, Any]:
    """A prompt long enough to be cached, with the client's own mark or without; the same words each time."""
    text = {"type": "text", "text": f"{marker()} " + "word " * 1_500}
    content = [text | ({"cache_control": {"type": "ephemeral"}} if marked else {}), {"type": "text", "text": prompt(reply="yes")}]
    return {**body_of(door, model, stream), "messages": [{"role": "user", "content": content}]}


def shown(gateway: Gateway, key: Key, got: Got) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the request's own page says, its one attempt)"""
    found = gateway.get(f"/jevons/v1/requests/{got.request}", key).json
    [attempt] = found["attempts"]
    assert found["baseline_nusd"] == attempt["baseline_nusd"]
    assert attempt["baseline_nusd"] == attempt["list_nusd"] + sum(line["nusd"] for line in attempt["savings"])
    return found, attempt


def uncached_nusd(gateway: Gateway, provider: str, model: str, got: Got, attempt: dict[str, Any]) -> int:
    """What its tokens would have cost that model's caller, none of them cached."""
    price = open_book(gateway.jevons.home).price(provider, model, admitted_ms(parse_request_text(got.request) or 0))
    assert price is not None
    tokens = attempt["input"] + attempt["cache_read"] + attempt["cache_write_5m"] + attempt["cache_write_1h"]
    return charge(Usage(input=tokens, output=attempt["output"], reasoning=attempt["reasoning"]), price).nusd


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_client_marked_costs_first_and_saves_then(gateway: Gateway, key: Key, stream: bool) -> None:
    body = long_body("messages", "claude-sonnet-4-5", marked=True, stream=stream)
    for reads in (False, True):
        got = gateway.post("messages", key, body)
        _, attempt = shown(gateway, key, got)
        [line] = attempt["savings"]
        assert (line["kind"], line["estimated"]) == ("prompt_client", False)
        assert (line["nusd"] > 0, line["tokens"] > 1_000) == (reads, reads)
        assert attempt["baseline_nusd"] == uncached_nusd(gateway, "anthropic", "claude-sonnet-4-5", got, attempt)


def test_what_the_provider_caches_by_itself_is_nobodys(gateway: Gateway, key: Key) -> None:
    body = long_body("chat", "gpt-4o")
    assert shown(gateway, key, gateway.post("chat", key, body))[1]["savings"] == []
    got = gateway.post("chat", key, body)
    _, attempt = shown(gateway, key, got)
    [line] = attempt["savings"]
    assert (line["kind"], line["tokens"]) == ("prompt_automatic", attempt["cache_read"])
    assert attempt["baseline_nusd"] == uncached_nusd(gateway, "openai", "gpt-4o", got, attempt) > attempt["list_nusd"]
    assert 'jevons_saved_usd{kind="prompt_automatic",upstream="openai"}' in gateway.get("/metrics").body.decode()


def test_a_cheaper_model_saves_what_the_other_would_have_cost(gateway: Gateway) -> None:
    key = gateway.key()
    limit(gateway, key, usd=0.1, degrade_at=0.5, degrade_to=("gpt-4o-mini",))
    gateway.post("chat", key, body_of("chat", "gpt-4o", cap=6000, tokens_out=5500))
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    found, attempt = shown(gateway, key, got)
    assert attempt["target"] == "gpt-4o-mini"
    [line] = attempt["savings"]
    assert (line["kind"], line["tokens"], line["estimated"]) == ("model", 0, True)
    assert found["baseline_nusd"] == uncached_nusd(gateway, "openai", "gpt-4o", got, attempt) > 10 * attempt["list_nusd"]


def test_of_a_whole_hold_nothing_is_said(gateway: Gateway, key: Key) -> None:
    body = long_body("chat", "gpt-4o")
    body["messages"][0]["content"][1]["text"] = prompt(fault="usage_absent")
    for _ in range(2):
        _, attempt = shown(gateway, key, gateway.post("chat", key, body))
        assert (attempt["estimate"], attempt["savings"]) == ("hold", [])
