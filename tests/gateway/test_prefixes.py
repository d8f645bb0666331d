"""The provider's prompt cache behind a real gateway: what is marked, that bytes keep still, and what is sent as it came."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from jevons.cache.settings import PromptCacheSettings
from jevons.core.ask import Caller, Dialect
from jevons.core.chain import chain
from jevons.core.entry import Hold, parse_request_text
from jevons.core.price import Price, PriceTier
from jevons.gateway.attempt import Attempt
from jevons.gateway.outbound import Outgoing
from jevons.gateway.passage import Passage
from jevons.gateway.prefixes import Prefixes, beside_its_own
from jevons.gateway.settings import UpstreamSettings
from jevons.ledger.bill import reading
from jevons.ledger.ledger import Ledger
from jevons.meter.models import ModelFacts
from jevons.meter.tokens import MessageCounter
from jevons.policy.provider_cache import Mark as Planned
from jevons.policy.provider_cache import Warm
from jevons.policy.route import Target
from jevons.policy.rules import Who
from jevons.policy.terms import decode
from jevons.wire.markers import CACHE_CONTROL, Mark, mark_edit
from jevons.wire.parse import parse
from tests.gateway.asking import Gateway, Got, Key
from tests.gateway.governing import limit
from tests.provider import Provider
from tests.running import Jevons, upstream

OPUS = "claude-opus-4-1"
SYSTEM = "You are careful. " * 600
MARKED = re.compile(rb',"cache_control":\{"type":"ephemeral"(?:,"ttl":"1h")?\}')


@pytest.fixture(scope="module")
def planning(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
        upstream("vllm", standin.openai_url, provider="openai", models=("only-by-its-prefix",), retries=0),
        upstream("watched", standin.url, "anthropic", models=("only-by-its-prefix",), retries=0),
    ]
    home = tmp_path_factory.mktemp("prefixes") / "home"
    with Jevons(
        home, *upstreams, cache={"prompt": {"mode": "on", "upstreams": {"watched": "observe", "openai": "on"}}}
    ) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log()


@pytest.fixture(scope="module")
def someone(planning: Gateway) -> Key:
    return planning.key(1000 * 10**9)


def said(name: str, turn: int) -> str:
    script = json.dumps({"marker": f"{name}-{turn}"})
    return f"Question {turn}. " + "More of it. " * 40 + f"@@{script}"


def warm_of(gateway: Gateway, got: Got) -> int:
    """What its entry says that its model had in its cache."""
    with reading(gateway.jevons.ledger) as db:
        [(terms,)] = db.execute("SELECT terms FROM entries WHERE id = ?", (parse_request_text(got.request),))
    asked = decode(terms)
    assert asked is not None
    return asked.warm_tokens


def texts(body: dict[str, Any]) -> list[str]:
    """Of a Messages body, whichever way they are written."""
    contents = [body["system"], *(message["content"] for message in body["messages"])]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]


def converse(gateway: Gateway, key: Key, name: str, turns: int, cap: int = 50, **body: Any) -> Iterator[tuple[bytes, bytes, Any]]:
    """(what the client sent, what the provider got, the answer) of each turn."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": said(name, turn)})
        raw = json.dumps({"max_tokens": cap, "messages": messages, **body}).encode()
        got = gateway.post("messages", key, raw)
        assert got.status == 200, got.body
        yield raw, gateway.attempt(f"{name}-{turn}").body, got
        messages.append({"role": "assistant", "content": got.json["content"]})


def test_a_conversation_is_marked_and_its_bytes_keep_still(planning: Gateway, someone: Key) -> None:
    before: tuple[bytes, ...] = ()
    reads: list[int] = []
    warm: list[int] = []
    for turn, (raw, sent, got) in enumerate(converse(planning, someone, "talk", 4, model=OPUS, system=SYSTEM)):
        assert got.headers["x-jevons-cache-plan"].startswith("mode=on;marks=5m@")
        marks = MARKED.findall(sent)
        assert 1 <= len(marks) <= 4
        bare = MARKED.sub(b"", sent)
        now = parse(Dialect.MESSAGES, bare).messages
        assert now[: len(before)] == before, "what was sent once is sent again as it was"
        before = now
        assert texts(json.loads(sent)) == texts(json.loads(raw))
        entry = planning.entry_of(got)
        assert entry["billed_nusd"] <= entry["held_nusd"]
        bill = planning.attempt(f"talk-{turn}").bill
        assert bill is not None and bill.cache_write_5m > 0
        reads.append(bill.cache_read)
        assert [saving["kind"] for saving in entry["savings"]] == ["prompt_planned"]
        warm.append(warm_of(planning, got))
    assert warm[0] == 0 and warm[1] > 1800, "by our own count"
    assert reads[0] == 0 and reads[1] >= 1800 and reads == sorted(set(reads)), "all but what is new is read"


def test_the_clients_own_marks_stay_as_they_are(planning: Gateway, someone: Key) -> None:
    own = [{"type": "text", "text": "Own marks. " + SYSTEM, "cache_control": {"type": "ephemeral"}}]
    for turn, (raw, sent, got) in enumerate(converse(planning, someone, "own", 2, model=OPUS, system=own)):
        assert json.loads(sent)["system"] == own
        assert texts(json.loads(sent)) == texts(json.loads(raw))
        bill = planning.attempt(f"own-{turn}").bill
        assert bill is not None and (bill.cache_read >= 1800) == (turn > 0)
        assert [saving["kind"] for saving in planning.entry_of(got)["savings"]] == ["prompt_client"]


def test_no_shorter_lifetime_of_ours_stands_before_the_clients(planning: Gateway, someone: Key) -> None:
    """Providers refuse an hour behind five minutes; a request may ask for the hour as a whole."""
    hour = {"type": "ephemeral", "ttl": "1h"}
    for _, sent, _ in converse(planning, someone, "hour", 2, model=OPUS, system="By the hour. " + SYSTEM, cache_control=hour):
        marks = re.findall(rb'"cache_control": ?\{[^}]*\}', sent)
        assert marks and all(b'"1h"' in mark for mark in marks), marks


@pytest.mark.parametrize("plain", [False, True])
def test_a_conversation_is_known_again_when_its_client_moves_its_mark(planning: Gateway, someone: Key, plain: bool) -> None:
    """As agents do, each turn, to the newest message. Many write a block only where they mark it."""
    messages: list[dict[str, Any]] = []
    warm: list[int] = []
    for turn in range(3):
        asked = said(f"moves-{plain}", turn) + " word" * 600
        block = {"type": "text", "text": asked, "cache_control": {"type": "ephemeral"}}
        body = {"model": OPUS, "max_tokens": 50, "system": f"Moving, {plain}. " + SYSTEM}
        got = planning.post("messages", someone, {**body, "messages": [*messages, {"role": "user", "content": [block]}]})
        assert got.status == 200, got.body
        warm.append(warm_of(planning, got))
        unmarked = asked if plain else [{"type": "text", "text": asked}]
        messages += [{"role": "user", "content": unmarked}, {"role": "assistant", "content": got.json["content"]}]
    assert warm[0] == 0 and warm[2] - warm[1] > 600, warm


def test_a_request_of_very_many_messages_is_sent_as_it_came(planning: Gateway, someone: Key) -> None:
    """To look at them would hold up everybody."""
    many = [{"role": ("user", "assistant")[n % 2], "content": "x"} for n in range(2_050)]
    raw = json.dumps(
        {"model": OPUS, "max_tokens": 50, "system": SYSTEM, "messages": [*many, {"role": "user", "content": said("many", 0)}]}
    ).encode()
    got = planning.post("messages", someone, raw)
    assert got.status == 200 and "x-jevons-cache-plan" not in got.headers
    assert planning.attempt("many-0").body == raw


def test_observing_sends_what_the_client_sent(planning: Gateway, someone: Key) -> None:
    for raw, sent, got in converse(planning, someone, "watch", 2, model=f"watched/{OPUS}", system="Observed. " + SYSTEM):
        assert sent == raw.replace(f'"watched/{OPUS}"'.encode(), f'"{OPUS}"'.encode())
        assert got.headers["x-jevons-cache-plan"].startswith("mode=observe;marks=5m@")
        assert planning.entry_of(got)["savings"] == []
    page = planning.get("/metrics").body.decode()
    assert re.search(r'jevons_prompt_cache_marks_total\{mode="observe",upstream="watched"\} [1-9]', page)
    assert re.search(r'jevons_prompt_cache_would_save_usd\{upstream="watched"\} 0\.0', page)


def chat(gateway: Gateway, key: Key, name: str, turns: int, system: str = "", **body: Any) -> list[dict[str, Any]]:
    """What the provider got of a Chat conversation, turn by turn."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system or f"For {name}. " + SYSTEM}]
    sent = []
    for turn in range(turns):
        messages.append({"role": "user", "content": said(name, turn)})
        got = gateway.post("chat", key, {"messages": messages, "max_completion_tokens": 50, **body})
        assert got.status == 200, got.body
        assert (";key=" in got.headers["x-jevons-cache-plan"]) == (
            b'"prompt_cache_key":"' in gateway.attempt(f"{name}-{turn}").body
        )
        assert {saving["kind"] for saving in gateway.entry_of(got)["savings"]} <= {
            "prompt_planned" if "5.6" in body["model"] or "claude" in body["model"] else "prompt_automatic"
        }
        sent.append(json.loads(gateway.attempt(f"{name}-{turn}").body))
        messages.append(got.json["choices"][0]["message"])
    return sent


def test_a_conversation_has_one_key_and_says_what_may_be_billed_as_written(planning: Gateway, someone: Key) -> None:
    first, second = chat(planning, someone, "keyed", 2, model="gpt-5.6-luna")
    [other] = chat(planning, someone, "another", 1, model="gpt-5.6-luna")
    assert re.fullmatch("[0-9a-f]{32}", first["prompt_cache_key"])
    assert first["prompt_cache_key"] == second["prompt_cache_key"] != other["prompt_cache_key"]
    for sent in (first, second):
        assert "prompt_cache_options" not in sent, "the provider marks the end by itself"
        [block] = sent["messages"][0]["content"]
        assert block == {"type": "text", "text": "For keyed. " + SYSTEM, "prompt_cache_breakpoint": {"mode": "explicit"}}
        assert all(isinstance(message["content"], str) for message in sent["messages"][1:])
    own = {"prompt_cache_key": "mine", "prompt_cache_options": {"mode": "implicit"}}
    [told] = chat(planning, someone, "told", 1, model="gpt-5.6-luna", **own)
    assert {name: told[name] for name in own} == own
    assert all(isinstance(message["content"], str) for message in told["messages"])
    [older] = chat(planning, someone, "older", 1, model="gpt-4o")
    assert "prompt_cache_key" in older and "prompt_cache_options" not in older
    assert all(isinstance(message["content"], str) for message in older["messages"])


def test_conversations_that_begin_alike_have_one_key_where_the_beginning_can_be_cached_alone(
    planning: Gateway, someone: Key
) -> None:
    """With two, the second would be sent to a machine that has not read the system prompt."""
    keys = [
        [sent["prompt_cache_key"] for sent in chat(planning, someone, f"{name}-{word}", 2, system, model="gpt-4o")]
        for name, system in (("long", "Common. " + SYSTEM), ("brief", "Be brief. " + "You are careful. " * 250))
        for word in ("one", "two")
    ]
    assert all(first == second for first, second in keys)
    assert keys[0] == keys[1] and keys[2] != keys[3]
    [sent] = chat(planning, someone, "nothing-to-gain", 1, "Be brief.", model="gpt-4o")
    assert "prompt_cache_key" not in sent


def test_a_server_that_is_only_compatible_is_told_nothing_that_it_may_refuse(planning: Gateway, someone: Key) -> None:
    """Unless the operator names it."""
    for model in ("gpt-4o", "gpt-5.6-luna"):
        [sent] = chat(planning, someone, f"own-{model}", 1, model=f"vllm/{model}")
        assert "prompt_cache" not in json.dumps(sent)


class Broken(MessageCounter):
    """A bug in the planner."""

    def ends(self, messages: Sequence[bytes], facts: ModelFacts, digests: Sequence[bytes]) -> list[int]:
        raise ValueError(f"Is that right: {messages[0].decode()}?")


def test_a_bug_in_the_planner_fails_no_call_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    body = {"model": OPUS, "max_tokens": 9, "messages": [{"role": "user", "content": "It is a secret."}]}
    ask = parse(Dialect.MESSAGES, json.dumps(body).encode())
    target = Target("anthropic", OPUS, Dialect.MESSAGES)
    hold = Hold(1 << 18, 1, None, "messages", OPUS, OPUS, "anthropic", False, 0, 0, 9, "exact", 9, "", "", b"", 1)
    price = Price("", "", 1, (PriceTier(-1, {"input": 1}),))
    attempt = Attempt(
        cast(Ledger, None), hold, price, provider="anthropic", dialect=Dialect.MESSAGES, billed=True, visible=True,
        encoding="", on_entry=print,
    )  # fmt: skip
    attempt.passage = Passage(Caller(1, "k", "org"), Who("org", "", 1, "k", ""), 1 << 18, chain(b"s", ask.messages))
    prefixes = Prefixes(PromptCacheSettings(mode="on"), b"s")
    prefixes._beginnings.counter = Broken()
    assert prefixes.plan(attempt, ask, Outgoing(ask, target, UpstreamSettings("anthropic", "anthropic"))) == {}
    assert "a bug, in planning for the prompt cache: ValueError" in caplog.text and "secret" not in caplog.text


def test_a_translated_conversation_is_marked_in_the_dialect_that_is_sent(planning: Gateway, someone: Key) -> None:
    for sent in chat(planning, someone, "spoken", 2, model=OPUS):
        assert "prompt_cache_key" not in sent
        assert '"cache_control"' in json.dumps(sent["messages"][-1])
    bill = planning.attempt("spoken-1").bill
    assert bill is not None and bill.cache_read >= 1800


@pytest.mark.parametrize(("places", "warm", "kept"), [
    ((), (), ()),
    ((), (1, 4), (1,)),  # the other ends at a mark of the provider's
    ((0, 1, 3), (), (0, 1)),
    ((1, 3), (0,), (0, 1)),
])  # fmt: skip
def test_beside_a_provider_that_marks_the_end_by_itself(
    places: tuple[int, ...], warm: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    marks, cached = [Planned(place, 0) for place in places], [Warm(place, 0, 9.0) for place in warm]
    assert beside_its_own(marks, cached, 2) == tuple([Planned(place, 0) for place in kept])


def believed(gateway: Gateway) -> dict[str, float]:
    """Tokens at the upstream `openai`, by what was thought of them."""
    page = gateway.get("/metrics").body.decode()
    return {
        what: float(n)
        for what, n in re.findall(r'jevons_prompt_cache_tokens_total\{upstream="openai",what="(\w+)"\} (\S+)', page)
    }


def test_no_organisation_finds_anothers_beginnings_and_usage_sets_a_belief_right(planning: Gateway) -> None:
    ours, theirs = planning.key(), planning.key(org="elsewhere")

    def more(key: Key, **script: Any) -> dict[str, float]:
        before = believed(planning)
        asked = f"Go on.@@{json.dumps(script)}"
        messages = [{"role": "system", "content": "A common beginning. " + SYSTEM}, {"role": "user", "content": asked}]
        assert planning.post("chat", key, {"model": "gpt-4o", "messages": messages, "max_tokens": 50}).status == 200
        after = believed(planning)
        return {what: n - before.get(what, 0) for what, n in after.items() if n != before.get(what, 0)}

    assert "believed" not in more(ours)
    again = more(ours)
    assert again["believed"] >= 1024 and again["read"] >= 1024 and "missed" not in again
    assert more(theirs).keys() == {"read"}, "the provider's cache is of the account; what we know of it is of the organisation"
    gone = {"prompt_tokens": 2000, "completion_tokens": 5, "total_tokens": 2005}
    missed = more(ours, usage=gone)
    assert missed == {"believed": again["believed"], "missed": again["believed"]}


def test_a_warm_conversation_keeps_its_model_where_another_saves_less_than_it_forfeits(planning: Gateway) -> None:
    key, warm = planning.key(), {"model": "claude-fable-5-1", "system": "To go on. " + SYSTEM}
    turns = converse(planning, key, "kept", 2, **warm, cap=16)
    next(turns)
    limit(planning, key, usd=100, degrade_at=0, degrade_to=["claude-fable-5-2"])
    _, _, got = next(turns)
    assert got.headers["x-jevons-model"] == "claude-fable-5-1"
    [(_, _, cold)] = converse(planning, key, "fresh", 1, **(warm | {"system": "Anew. " + SYSTEM}), cap=16)
    assert cold.headers["x-jevons-model"] == "claude-fable-5-2"


def test_a_note_to_the_agent_stands_behind_the_marks() -> None:
    """What is cached ends before it: the next turn does not carry it."""
    body = {"model": OPUS, "max_tokens": 9, "messages": [{"role": "user", "content": "Go."}]}
    ask = parse(Dialect.MESSAGES, json.dumps(body).encode())
    changes, _ = mark_edit(ask.fields, ask.dialect, CACHE_CONTROL, [Mark(0)])
    outgoing = Outgoing(ask, Target("anthropic", OPUS, Dialect.MESSAGES), UpstreamSettings("anthropic", "anthropic"))
    sent = json.loads(outgoing.body(None, 0, "Half is spent.", changes))
    assert sent["messages"][0]["content"] == [
        {"type": "text", "text": "Go.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Half is spent."},
    ]
