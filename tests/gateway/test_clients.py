"""Real, unmodified clients through the gateway: each of their conversations, with stand-ins that speak one dialect each and with the local model.

What a client was told of tokens, the ledger and the stand-in's books must be one and the same.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from jevons.engine.install import install_command
from jevons.engine.models import find_model
from tests.clients import CONVERSATIONS, Door
from tests.gateway.asking import Gateway
from tests.provider import Bill, Provider
from tests.running import Jevons, upstream

HOME = {
    "chat": "gpt-4o",
    "responses": "gpt-4o",
    "embeddings": "gpt-4o",
    "messages": "claude-sonnet-4-6",
    "count_tokens": "claude-sonnet-4-6",
}
AWAY = {"chat": "claude-sonnet-4-6", "messages": "gpt-4o"}
TRANSLATED = [name for name, one in CONVERSATIONS.items() if one.portable and one.door in AWAY]
LOCAL = [name for name, one in CONVERSATIONS.items() if not one.tools and one.portable and "async" not in name]


@pytest.fixture(scope="module")
def openai_only() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def anthropic_only() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def between(openai_only: Provider, anthropic_only: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway between two providers, of which each is asked in its own dialect only."""
    upstreams = [
        upstream("openai", openai_only.openai_url, models=("gpt-*", "text-embedding-*"), retries=0),
        upstream("anthropic", anthropic_only.url, "anthropic", models=("claude-*",), retries=0),
    ]
    with Jevons(tmp_path_factory.mktemp("between") / "home", *upstreams) as jevons:
        yield Gateway(jevons, openai_only)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation(between: Gateway, openai_only: Provider, anthropic_only: Provider, name: str) -> None:
    hold_conversation(between, openai_only, anthropic_only, name, HOME[CONVERSATIONS[name].door])


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translated_conversation(between: Gateway, openai_only: Provider, anthropic_only: Provider, name: str) -> None:
    hold_conversation(between, openai_only, anthropic_only, name, AWAY[CONVERSATIONS[name].door])


def hold_conversation(between: Gateway, openai_only: Provider, anthropic_only: Provider, name: str, model: str) -> None:
    chosen, key = CONVERSATIONS[name], between.key(100 * 10**9)
    right, wrong = (openai_only, anthropic_only) if model == "gpt-4o" else (anthropic_only, openai_only)
    before, elsewhere = len(right.attempts()), len(wrong.attempts())
    said = chosen.hold(Door(between.url, key.secret, model))
    asked = [one for one in right.attempts()[before:] if one.received["method"] == "POST"]
    assert len(wrong.attempts()) == elsewhere
    expected_path = "messages" if model != "gpt-4o" else "chat/completions" if name in TRANSLATED else ""
    assert all(expected_path in one.received["target"] for one in asked)
    entries = between.settled(key, said.requests)
    assert len(entries) == len(asked) == said.requests
    assert all(entry["estimate"] == "" for entry in entries)
    if chosen.door == "count_tokens":
        assert [(entry["outcome"], entry["billed_nusd"]) for entry in entries] == [("free", 0)]
        return
    assert {entry["outcome"] for entry in entries} == {"ok"}
    bills = sorted(sum_input(one.bill or Bill()) for one in asked)
    assert bills == sorted(e["input"] + e["cache_read"] + e["cache_write_5m"] + e["cache_write_1h"] for e in entries)
    assert sorted(one.bill.output for one in asked if one.bill) == sorted(entry["output"] for entry in entries)
    if said.input_tokens is not None:
        assert said.input_tokens == sum(bills)
        assert said.output_tokens == sum(entry["output"] for entry in entries)


def sum_input(bill: Bill) -> int:
    return bill.input + bill.cache_read + bill.cache_write_5m + bill.cache_write_1h


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with its embedded model, and nothing else behind it."""
    if not importlib.util.find_spec("xllamacpp") or not find_model():
        pytest.skip(f"needs the local model: {install_command()}")
    home: Path = tmp_path_factory.mktemp("local") / "home"
    with Provider() as unused, Jevons(home, engine=True) as jevons:
        yield Gateway(jevons, unused)


@pytest.mark.parametrize("name", LOCAL)
def test_with_the_local_model(local: Gateway, name: str) -> None:
    key = local.key(10**9)
    said = CONVERSATIONS[name].hold(Door(local.url, key.secret, "local", scripted=False))
    entries = local.settled(key, said.requests)
    assert len(entries) == said.requests
    assert {(entry["outcome"], entry["estimate"], entry["upstream"]) for entry in entries} == {("ok", "", "local")}
    assert all(0 < entry["billed_nusd"] < 10**6 for entry in entries)
    if said.output_tokens is not None:
        assert said.output_tokens == sum(entry["output"] for entry in entries)


@pytest.mark.parametrize("door", ["chat", "messages"])
def test_a_prompt_over_the_local_context(local: Gateway, door: str) -> None:
    """A clear error in the client's dialect."""
    key = local.key(10**9)
    body = {"model": "local", "max_tokens": 16, "messages": [{"role": "user", "content": "many words " * 6000}]}
    got = local.post(door, key, body)
    assert got.status == 400, got.body
    assert "context" in got.error["message"]
    assert got.json.get("type") == ("error" if door == "messages" else None)
    assert [(entry["outcome"], entry["billed_nusd"]) for entry in local.entries(key)] in ([], [("error", 0)])
