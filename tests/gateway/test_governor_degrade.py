"""A cheaper model from a share of the budget on: only for a new turn, only where it is cheaper and allowed, and always said."""

import json
from typing import Any

import pytest

from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.gateway.governing import FIRST_WORD, LONG, MODELS, Call, Talk, limit

CHEAP = {"chat": "gpt-4o-mini", "messages": "claude-haiku-4-5", "responses": "gpt-4o-mini"}


def near_its_end(gateway: Gateway, *degrade_to: str, share: float = 0.5, **settings: Any) -> tuple[Key, str]:
    """A key of which more than that share of ten cents is spent, and its limit."""
    key = gateway.key(**settings)
    name = limit(gateway, key, usd=0.1, degrade_at=share, degrade_to=degrade_to)
    body = body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)
    assert gateway.post("chat", key, body, **{"x-jevons-run-id": "before"}).headers["x-jevons-model"] == "gpt-4o"
    return key, name


def model_of(got: Got) -> str:
    assert got.status == 200, got.body
    return got.headers["x-jevons-model"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_from_its_share_on_a_new_turn_is_cheaper(gateway: Gateway, door: str, stream: bool) -> None:
    """The provider is asked for it, the client is told, the entry says both."""
    key, name = near_its_end(gateway, CHEAP[door])
    mark = marker()
    got = gateway.post(door, key, body_of(door, MODELS[door], stream, marker=mark))
    assert model_of(got) == CHEAP[door]
    assert got.headers["x-jevons-degraded"] == f"{MODELS[door]} -> {CHEAP[door]} ({name})"
    assert json.loads(gateway.attempts(mark)[0].body)["model"] == CHEAP[door]
    entry = gateway.entry_of(got)
    assert (entry["model"], entry["target"]) == (MODELS[door], CHEAP[door])


def test_below_its_share_nothing_changes(gateway: Gateway) -> None:
    key, _ = near_its_end(gateway, "gpt-4o-mini", share=0.9)
    got = gateway.post("chat", key, body_of("chat", "gpt-4o"))
    assert (model_of(got), "x-jevons-degraded" in got.headers) == ("gpt-4o", False)


def test_only_to_what_is_cheaper_and_known_and_allowed(gateway: Gateway) -> None:
    key, _ = near_its_end(gateway, "gpt-4", "gpt-99-unknown", "no-such", "gpt-4o", "gpt-4o-mini")
    assert model_of(gateway.post("chat", key, body_of("chat", "gpt-4o"))) == "gpt-4o", "itself comes before the cheaper one"
    key, _ = near_its_end(gateway, "gpt-4", "gpt-99-unknown", "no-such", "gpt-4o-mini")
    assert model_of(gateway.post("chat", key, body_of("chat", "gpt-4o"))) == "gpt-4o-mini"
    key, _ = near_its_end(gateway, "gpt-4o-mini", models=["gpt-4o"])
    assert model_of(gateway.post("chat", key, body_of("chat", "gpt-4o"))) == "gpt-4o"


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_an_open_turn_keeps_its_model_both_ways(gateway: Gateway, door: str) -> None:
    """Also while the run begins another turn elsewhere; cache marks that move change nothing."""
    big, cheap, run = MODELS[door], CHEAP[door], {"x-jevons-run-id": "r"}
    key = gateway.key()
    name = limit(gateway, key, usd=0.1, degrade_at=0.5, degrade_to=[cheap])

    def asks(talk: Talk) -> str:
        return model_of(gateway.post(door, key, talk.body(), **run))

    first = Talk(door, "First.")
    assert asks(first) == big
    spend = body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)
    assert model_of(gateway.post("chat", key, spend, **{"x-jevons-run-id": "other"})) == "gpt-4o"
    second = Talk(door, "Second.")
    assert asks(second) == cheap
    assert asks(first.tool("look", {"at": 1}, "a")) == big, "begun with it"
    assert asks(second.tool("look", {"at": 1}, "b")) == cheap
    limit(gateway, key, name, usd=100, degrade_at=0.5, degrade_to=[cheap])
    assert asks(Talk(door, "Third.")) == big, "there is money again"
    assert asks(second.tool("look", {"at": 2}, "c")) == cheap, "begun with it"
    assert asks(second.assistant("Done.").user("And now?")) == big


def test_a_turn_is_known_although_its_client_moves_its_cache_marks(gateway: Gateway) -> None:
    key, _ = near_its_end(gateway, CHEAP["messages"])
    run = {"x-jevons-run-id": "r"}
    text = {"type": "text", "text": "Find it."}
    opening = {"role": "user", "content": [{**text, "cache_control": {"type": "ephemeral"}}]}
    body = {"model": MODELS["messages"], "max_tokens": 100, "messages": [opening]}
    assert model_of(gateway.post("messages", key, body, **run)) == CHEAP["messages"]
    later = Talk("messages").tool("look", {}, "a").body()
    assert later["messages"][0]["content"] == "Find it."
    assert model_of(gateway.post("messages", key, later, **run)) == CHEAP["messages"]


def test_reasoning_that_only_its_own_model_can_read(gateway: Gateway) -> None:
    """Responses: encrypted reasoning in the history keeps the model."""
    key, _ = near_its_end(gateway, "gpt-4o-mini")
    body = Talk("responses").assistant("One.").user("And two?").body()
    body["input"].insert(1, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"})
    assert model_of(gateway.post("responses", key, body)) == "gpt-4o"
    del body["input"][1]["encrypted_content"]
    assert model_of(gateway.post("responses", key, body)) == "gpt-4o-mini"


def test_a_stored_turn_goes_on_with_its_model(gateway: Gateway) -> None:
    """Its words are at the provider: it is known by the response that it goes on from."""
    key = gateway.key()
    name = limit(gateway, key, usd=5, degrade_at=0.01, degrade_to=["gpt-4o-mini"])  # what is stored may be all of a context
    spend = body_of("chat", "gpt-4o", cap=6000, tokens_out=5500)

    def begin(text: str) -> Got:
        script = "@@" + json.dumps({"tools": [{"name": "look"}], "then": {"reply": "done"}})
        return gateway.post("responses", key, {"model": "gpt-4o", "input": f"{text} {script}", "max_output_tokens": 100})

    def go_on(got: Got) -> Got:
        call = next(item for item in got.json["output"] if item["type"] == "function_call")
        back = {"type": "function_call_output", "call_id": call["call_id"], "output": "seen"}
        body = {"model": "gpt-4o", "previous_response_id": got.json["id"], "input": [back], "max_output_tokens": 100}
        return gateway.post("responses", key, body)

    big = begin("one")
    assert gateway.post("chat", key, spend).status == 200
    small = begin("two")
    assert [model_of(big), model_of(small)] == ["gpt-4o", "gpt-4o-mini"]
    assert model_of(go_on(big)) == "gpt-4o"
    assert model_of(go_on(small)) == "gpt-4o-mini"
    limit(gateway, key, name, usd=100, degrade_at=0.5, degrade_to=["gpt-4o-mini"])
    assert model_of(go_on(small)) == "gpt-4o-mini"


def test_the_share_counts_what_is_held(gateway: Gateway) -> None:
    """Ten calls at once do not all begin on the dear model because none of them is billed yet."""
    key = gateway.key()
    limit(gateway, key, usd=0.1, degrade_at=0.5, degrade_to=["gpt-4o-mini"])
    with Call(gateway, key, "chat", body_of("chat", "gpt-4o", True, cap=6000, **{**LONG, "chunks": 30})) as call:
        call.heard(FIRST_WORD["chat"])
        assert model_of(gateway.post("chat", key, body_of("chat", "gpt-4o"))) == "gpt-4o-mini"
        call.end()
    assert model_of(gateway.post("chat", key, body_of("chat", "gpt-4o", text="Next."))) == "gpt-4o"
