"""The local model behind the gateway: what it had already read is metered as cache reads, and every dialect can ask it."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from jevons.engine.install import present
from tests.running import Jevons

SYSTEM = "You tell stories of steam engines, in few words. " * 10


@pytest.fixture(scope="module")
def jevons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jevons]:
    if not present():
        pytest.skip("needs the local model: make test")
    section = {"slots": 2, "context_tokens": 1_024}
    with Jevons(tmp_path_factory.mktemp("local"), engine=section) as jevons:
        yield jevons


def said(client: openai.OpenAI, messages: list[Any]) -> Any:
    return client.chat.completions.create(model="local", messages=messages, max_tokens=8, temperature=0)


def test_a_second_turn_is_billed_as_cache_reads(jevons: Jevons) -> None:
    client = openai.OpenAI(base_url=jevons.openai_url, api_key=jevons.key("turns"))
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Begin."}]
    first = said(client, messages)
    messages += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "Go on."}]
    second = said(client, messages)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached >= first.usage.prompt_tokens
    one, two = jevons.settled(2)[-2:]
    assert (one["cache_read"], two["cache_read"]) == (0, cached)
    assert two["input"] == second.usage.prompt_tokens - cached
    exact = two["input"] * Fraction(165) + cached * Fraction(515, 100) + two["output"] * Fraction(515)
    assert two["billed_nusd"] == round(exact)
    assert two["billed_nusd"] < one["billed_nusd"]


def test_organisations_do_not_read_each_others_prompts(jevons: Jevons) -> None:
    messages = [{"role": "system", "content": SYSTEM + "Private."}, {"role": "user", "content": "Begin."}]
    one, same, other = [
        openai.OpenAI(base_url=jevons.openai_url, api_key=jevons.key(f"key {org} {place}", org=org))
        for place, org in enumerate(("north", "north", "south"))
    ]
    said(one, messages)
    assert said(other, messages).usage.prompt_tokens_details.cached_tokens == 0
    assert said(same, messages).usage.prompt_tokens_details.cached_tokens > 50


def test_the_clients_own_labels_are_not_believed(jevons: Jevons) -> None:
    """A client cannot name another tenant: labels come from the gateway alone."""
    key = jevons.key("mallory", org="mallory")
    messages: list[Any] = [{"role": "system", "content": SYSTEM + "Labelled."}, {"role": "user", "content": "Begin."}]
    said(openai.OpenAI(base_url=jevons.openai_url, api_key=jevons.key("victim", org="victim")), messages)
    forged = {"x-jevons-tenant": "00" * 16, "x-jevons-chain": "00" * 16}
    answer = said(openai.OpenAI(base_url=jevons.openai_url, api_key=key, default_headers=forged), messages)
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("stream", [False, True])
def test_messages_are_translated_for_it(jevons: Jevons, stream: bool) -> None:
    client = anthropic.Anthropic(base_url=jevons.url, api_key=jevons.key(f"messages {stream}"))
    body: Any = {"model": "local", "max_tokens": 6, "system": SYSTEM, "messages": [{"role": "user", "content": "Héllo, señor ✓"}]}
    if stream:
        with client.messages.stream(**body) as events:
            kinds = [event.type for event in events]
            answer = events.get_final_message()
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"
    else:
        answer = client.messages.create(**body)
    counted = client.messages.count_tokens(model="local", system=SYSTEM, messages=body["messages"])
    usage = answer.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted.input_tokens
    assert usage.output_tokens <= 6
    entry = next(entry for entry in reversed(jevons.settled(1)) if entry["output"])
    assert entry["input"] + entry["cache_read"] == counted.input_tokens


def test_nothing_is_parked_on_disk_without_the_operators_word(jevons: Jevons) -> None:
    assert not Path(jevons.home, "park").exists()


def test_the_operator_sees_what_the_engine_does(jevons: Jevons) -> None:
    shown = json.loads(jevons.run("park", "--json"))
    assert shown["engine"]["store"]["ram_blocks"] >= 0
    assert "In memory:" in jevons.run("park")


def test_an_organisation_is_forgotten_at_a_word(jevons: Jevons) -> None:
    client = openai.OpenAI(base_url=jevons.openai_url, api_key=jevons.key("gone", org="gone"))
    messages: list[Any] = [{"role": "system", "content": SYSTEM + "Gone."}, {"role": "user", "content": "Begin."}]
    said(client, messages)
    assert "forgotten" in jevons.run("park", "erase", "--org", "gone")
    assert said(client, messages).usage.prompt_tokens_details.cached_tokens == 0
