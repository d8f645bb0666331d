"""Packed holds: begun with what a caller's answers usually need, grown durably before more is relayed, cut in dialect where the money ends."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anthropic
import openai
import pytest

from jevons.core.limits import IN_FLIGHT_OUTPUT_TOKENS, PACKED_SAMPLES_MIN
from jevons.ledger.bill import open_holds
from jevons.meter.tokens import count_text
from jevons.policy.packed import MARGIN_TOKENS
from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import FIRST_WORD, MODELS, Call, killed, limit, wait_until
from tests.gateway.test_budget import hold_of

DOORS = ["chat", "messages", "responses"]
ROUTES = [("chat", "gpt-4o"), ("messages", "claude-sonnet-4-5"), ("responses", "gpt-4o")]
TRANSLATED = [("chat", "claude-sonnet-4-5"), ("messages", "gpt-4o")]
USUAL = 40
"""Tokens of the answers that a caller is used to."""
LONG = {"reply": " ".join(["one", *["more"] * 1999]), "chunks": 100, "delay_ms": 8}
"""2,000 tokens in about a second."""
FINISH = {"chat": "length", "messages": "max_tokens", "responses": "max_output_tokens"}


def accustomed(gateway: Gateway, model: str = "gpt-4o", door: str = "", **settings: Any) -> Key:
    """A key with packed holds whose answers were short so far, and which has a thousand dollars."""
    key = gateway.key(10**12, holds="packed", **settings)
    door = door or ("messages" if model.startswith("claude") else "chat")
    body = body_of(door, model, cap=100, tokens_out=USUAL)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: gateway.post(door, key, body), range(PACKED_SAMPLES_MIN)))
    assert {got.status for got in answers} == {200}
    gateway.settled(key, PACKED_SAMPLES_MIN)
    return key


def holds_of(gateway: Gateway, key: Key) -> list[dict[str, Any]]:
    return [hold for hold in open_holds(gateway.jevons.ledger) if hold["key_id"] == key.id]


def told(got: Got) -> str:
    """Why an answer ended, as its dialect says it."""
    found = ""
    for _, data in got.events:
        if data == b"[DONE]":
            continue
        event = json.loads(data)
        if "choices" in event:
            found = next((choice["finish_reason"] for choice in event["choices"] if choice["finish_reason"]), found)
        elif event["type"] == "message_delta":
            found = event["delta"]["stop_reason"]
        elif event["type"] == "response.incomplete":
            found = event["response"]["incomplete_details"]["reason"]
    return found


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
def test_a_hold_grows_before_more_is_relayed(gateway: Gateway, door: str, model: str) -> None:
    """At any moment what is on disk is for more than the client has seen; it never shrinks, and begins small."""
    key, found = accustomed(gateway, model), list[int]()
    with Call(gateway, key, door, body_of(door, model, True, cap=3000, **LONG)) as call:
        call.heard(FIRST_WORD[door])
        while call.under_way:
            seen = count_text("one" + " more" * deltas(call.seen).count(b"more"), "o200k_base")
            for hold in holds_of(gateway, key):
                found.append(hold["output_tokens"])
                assert hold["output_tokens"] >= min(3000, seen + IN_FLIGHT_OUTPUT_TOKENS), "more was relayed than is held"
        got, _ = call.end()
    assert got.whole
    assert (USUAL + MARGIN_TOKENS <= found[0] < 1000, found == sorted(found), len(set(found)) > 3) == (True, True, True)
    entry = gateway.entries(key)[-1]
    assert (entry["output"], entry["estimate"], entry["overrun_nusd"]) == (2000, "", 0)


def deltas(stream: bytes) -> bytes:
    """A stream without the events of Responses that say again what was said."""
    lines = stream.splitlines()
    return b"".join(line for line in lines if b'"response.' not in line or b'.delta"' in line)


NOT_PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "whole answers": ("chat", body_of("chat", "gpt-4o", cap=1000)),
    "several answers": ("chat", body_of("chat", "gpt-4o", True, cap=1000) | {"n": 2}),
    "a model that reasons": ("chat", body_of("chat", "gpt-5", True, cap=1000)),
    "thinking": (
        "messages",
        body_of("messages", "claude-sonnet-4-5", True, cap=5000) | {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    ),
    "tools of the provider": (
        "messages",
        body_of("messages", "claude-sonnet-4-5", True, cap=1000)
        | {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}]},
    ),
}


@pytest.mark.parametrize("why", NOT_PACKED)
def test_strict_where_not_everything_is_seen(gateway: Gateway, why: str) -> None:
    door, body = NOT_PACKED[why]
    got = gateway.post(door, accustomed(gateway, body["model"]), body)
    assert got.status == 200, got.body
    assert gateway.entry_of(got)["held_nusd"] == hold_of(gateway, body, door)


def test_strict_until_its_answers_are_known(gateway: Gateway) -> None:
    """Each model is known by itself. A key that has no limit is never cut, and so is not packed."""
    key, body = accustomed(gateway), body_of("chat", "gpt-4o", True, cap=1000)
    other = body_of("chat", "gpt-4.1", True, cap=1000)
    strict = hold_of(gateway, body)
    assert int(gateway.post("chat", key, body).headers["x-jevons-held-nusd"]) < strict / 2
    assert int(gateway.post("chat", key, other).headers["x-jevons-held-nusd"]) > strict / 2
    assert int(gateway.post("chat", gateway.key(10**12, holds="packed"), body).headers["x-jevons-held-nusd"]) == strict


@contextmanager
def running_out(gateway: Gateway, key: Key, door: str, model: str) -> Iterator[None]:
    """Another call holds so much that a quarter of what 2,000 tokens need is left, until the block ends."""
    body = body_of(door, model, cap=1800, first_delay_ms=15_000)
    with Call(gateway, key, door, body, **{"x-jevons-run-id": "taker"}) as taker:
        wait_until(lambda: any(hold["run_id"] == "taker" for hold in holds_of(gateway, key)))
        yield
        with killed(gateway, f"run:{key.name}/taker"):
            taker.end()


def with_money_for(gateway: Gateway, key: Key, door: str, model: str, share: float, **script: Any) -> None:
    """Leave the key so much of what a call of 2,000 tokens needs."""
    strict = hold_of(gateway, body_of(door, model, cap=2000, **{**(script or LONG), "delay_ms": 0, "marker": marker()}), door)
    spent = gateway.account(key)["posted_nusd"]
    got = gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": spent + round(strict * share)})
    assert got.status == 200


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
def test_where_the_money_ends_the_answer_is_cut_in_dialect(gateway: Gateway, door: str, model: str) -> None:
    """It says that its length ended it; the account is within its limit; the provider was left, and billed no more than we charged."""
    key, mark = accustomed(gateway, model), marker()
    body = body_of(door, model, True, cap=2000, marker=mark, **LONG)
    with_money_for(gateway, key, door, model, 1.25)
    with running_out(gateway, key, door, model):
        got = gateway.post(door, key, body)
    assert (got.status, got.whole, told(got)) == (200, True, FINISH[door])
    assert 50 < deltas(got.body).count(b"more") < 1800
    entry = next(entry for entry in gateway.settled(key, PACKED_SAMPLES_MIN + 2) if entry["finish"] == "length")
    assert (entry["outcome"], entry["estimate"]) == ("ok", "seen")
    attempt = gateway.attempt(mark)
    assert attempt.how == "client_gone"
    provider = "anthropic" if model.startswith("claude") else "openai"
    assert entry["held_nusd"] >= entry["billed_nusd"] >= gateway.cost_nusd(provider, model, attempt.bill)
    account = gateway.account(key)
    assert account["overrun_nusd"] == 0
    assert account["posted_nusd"] <= account["limit_nusd"]


@pytest.mark.parametrize(("door", "model"), ROUTES + TRANSLATED)
def test_an_answer_is_never_cut_inside_of_a_tool_call(gateway: Gateway, door: str, model: str) -> None:
    """The money ends while the call is made: nothing of it is relayed, the answer ends before it, and what was made is charged."""
    key, mark = accustomed(gateway, model), marker()
    script = {
        "reply": "one",
        "tools": [{"name": "write", "arguments": {"text": "canary " * 1900}}],
        "chunks": 100,
        "delay_ms": 30,
    }
    body = body_of(door, model, True, cap=2000, marker=mark, **script)
    with_money_for(gateway, key, door, model, 1.25, **script)
    with running_out(gateway, key, door, model):
        got = gateway.post(door, key, body)
    assert (got.status, got.whole, told(got)) == (200, True, FINISH[door])
    assert b"canary" not in got.body
    assert b'"write"' not in got.body
    attempt = gateway.attempt(mark)
    assert (attempt.how, attempt.bill is not None and attempt.bill.output < 1900) == ("client_gone", True)
    account = gateway.account(key)
    assert (account["overrun_nusd"], account["posted_nusd"] <= account["limit_nusd"]) == (0, True)


def test_a_call_that_is_paid_for_comes_whole(gateway: Gateway) -> None:
    key = accustomed(gateway)
    arguments = {"text": "word " * 600}
    script = {"reply": "one", "tools": [{"name": "write", "arguments": arguments}], "chunks": 20}
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", True, cap=2000, **script))
    pieces = [
        call["function"]["arguments"]
        for _, data in got.events
        if data != b"[DONE]"
        for choice in json.loads(data)["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert json.loads("".join(pieces)) == arguments
    assert told(got) == "tool_calls"


@pytest.mark.parametrize("door", DOORS)
def test_the_official_clients_take_it_as_cut(gateway: Gateway, door: str) -> None:
    model = {**MODELS, "messages": "claude-haiku-4-5"}[door]  # of Sonnet 4.5 the SDK warns that it is old
    key = accustomed(gateway, model)
    text = "@@" + json.dumps(LONG)
    with_money_for(gateway, key, door, model, 1.25)
    with running_out(gateway, key, door, model):
        said, why = asked_by_sdk(gateway, key, door, model, text)
    assert said.startswith("one more")
    assert (why, 0 < said.count("more") < 1999) == (FINISH[door], True)


def asked_by_sdk(gateway: Gateway, key: Key, door: str, model: str, text: str) -> tuple[str, str | None]:
    """(what it understood, why the answer ended)."""
    if door == "messages":
        client = anthropic.Anthropic(base_url=gateway.url, api_key=key.secret, max_retries=0)
        with client.messages.stream(model=model, max_tokens=2000, messages=[{"role": "user", "content": text}]) as messages:
            message = messages.get_final_message()
        assert message.usage.output_tokens > 0
        return "".join(block.text for block in message.content if block.type == "text"), message.stop_reason
    openai_client = openai.OpenAI(base_url=gateway.jevons.openai_url, api_key=key.secret, max_retries=0)
    if door == "responses":
        with openai_client.responses.stream(model=model, input=text, max_output_tokens=2000) as responses:
            response = next(event.response for event in responses if event.type == "response.incomplete")
        assert response.incomplete_details is not None
        return response.output_text, response.incomplete_details.reason
    said, why = "", None
    messages_: Any = [{"role": "user", "content": text}]
    for chunk in openai_client.chat.completions.create(model=model, messages=messages_, max_tokens=2000, stream=True):
        for choice in chunk.choices:
            said += choice.delta.content or ""
            why = choice.finish_reason or why
    return said, why


def test_many_packed_streams_stay_within_the_limit_together(gateway: Gateway) -> None:
    """Twelve at once, with money for about five at their length: some are cut, nobody is over."""
    key = accustomed(gateway)
    body = body_of("chat", "gpt-4o", True, cap=2000, **LONG)
    name = limit(gateway, key, scope="key", tokens=10**9)
    with_money_for(gateway, key, "chat", "gpt-4o", 5)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: gateway.post("chat", key, body), range(12)))
    assert {got.status for got in answers} == {200}
    assert all(got.whole for got in answers)
    assert {told(got) for got in answers} == {"stop", "length"} or {told(got) for got in answers} == {"length"}
    account = gateway.account(key)
    assert (account["overrun_nusd"], account["held_nusd"]) == (0, 0)
    assert 0.7 * account["limit_nusd"] < account["posted_nusd"] <= account["limit_nusd"]
    assert gateway.admin("GET", f"/limits/{name}").json["accounts"][0]["held"] == 0
