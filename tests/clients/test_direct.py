"""The conversations work against the stand-in itself, and agree with its books: whatever a gateway does to them shows as a difference."""

from collections.abc import Iterator

import pytest

from tests.clients import CONVERSATIONS, Door
from tests.provider import Bill, Provider

MODELS = {"messages": "claude-sonnet-4-6", "count_tokens": "claude-sonnet-4-6"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One stand-in for all conversations."""
    with Provider() as started:
        yield started


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_and_its_bill(provider: Provider, name: str) -> None:
    chosen = CONVERSATIONS[name]
    before = len(provider.attempts())
    said = chosen.hold(Door(provider.url, "sk-key", MODELS.get(chosen.door, "gpt-4o")))
    bills = [attempt.bill or Bill() for attempt in provider.attempts()[before:] if attempt.received["method"] == "POST"]
    assert len(bills) == said.requests
    if said.input_tokens is not None and chosen.door != "count_tokens":
        assert said.input_tokens == sum(b.input + b.cache_read + b.cache_write_5m + b.cache_write_1h for b in bills)
        assert said.output_tokens == sum(b.output for b in bills)
