"""The provider's prompt cache behind a real gateway: what is marked, that bytes keep still, and what is sent as it came."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.wire.parse import parse
from tests.gateway.asking import Gateway, Key
from tests.provider import Provider
from tests.running import Jevons, upstream

OPUS = "claude-opus-4-1"
SYSTEM = "You are careful. " * 600
MARK = re.compile(rb',"cache_control":\{"type":"ephemeral"(?:,"ttl":"1h")?\}')


@pytest.fixture(scope="module")
def planning(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
        upstream("watched", standin.url, "anthropic", models=("only-by-its-prefix",), retries=0),
    ]
    home = tmp_path_factory.mktemp("prefixes") / "home"
    with Jevons(home, *upstreams, cache={"prompt": {"mode": "on", "upstreams": {"watched": "observe"}}}) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log()


@pytest.fixture(scope="module")
def someone(planning: Gateway) -> Key:
    return planning.key(1000 * 10**9)


def said(name: str, turn: int) -> str:
    script = json.dumps({"marker": f"{name}-{turn}"})
    return f"Question {turn}. " + "More of it. " * 40 + f"@@{script}"


def texts(body: dict[str, Any]) -> list[str]:
    """Of a Messages body, whichever way they are written."""
    contents = [body["system"], *(message["content"] for message in body["messages"])]
    return [content if isinstance(content, str) else content[0]["text"] for content in contents]


def converse(gateway: Gateway, key: Key, name: str, turns: int, **body: Any) -> Iterator[tuple[bytes, bytes, Any]]:
    """(what the client sent, what the provider got, the answer) of each turn."""
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": said(name, turn)})
        raw = json.dumps({"max_tokens": 50, "messages": messages, **body}).encode()
        got = gateway.post("messages", key, raw)
        assert got.status == 200, got.body
        yield raw, gateway.attempt(f"{name}-{turn}").body, got
        messages.append({"role": "assistant", "content": got.json["content"]})


def test_a_conversation_is_marked_and_its_bytes_keep_still(planning: Gateway, someone: Key) -> None:
    before: tuple[bytes, ...] = ()
    reads: list[int] = []
    for turn, (raw, sent, got) in enumerate(converse(planning, someone, "talk", 4, model=OPUS, system=SYSTEM)):
        assert got.headers["x-jevons-cache-plan"].startswith("mode=on;marks=5m@")
        marks = MARK.findall(sent)
        assert 1 <= len(marks) <= 4
        bare = MARK.sub(b"", sent)
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
    assert reads[0] == 0 and reads[1] >= 1800 and reads == sorted(set(reads)), "all but what is new is read"


def test_the_clients_own_marks_stay_as_they_are(planning: Gateway, someone: Key) -> None:
    own = [{"type": "text", "text": "Own marks. " + SYSTEM, "cache_control": {"type": "ephemeral"}}]
    for turn, (raw, sent, got) in enumerate(converse(planning, someone, "own", 2, model=OPUS, system=own)):
        assert json.loads(sent)["system"] == own
        assert texts(json.loads(sent)) == texts(json.loads(raw))
        bill = planning.attempt(f"own-{turn}").bill
        assert bill is not None and (bill.cache_read >= 1800) == (turn > 0)
        assert [saving["kind"] for saving in planning.entry_of(got)["savings"]] == ["prompt_client"]


def test_observing_sends_what_the_client_sent(planning: Gateway, someone: Key) -> None:
    for raw, sent, got in converse(planning, someone, "watch", 2, model=f"watched/{OPUS}", system="Observed. " + SYSTEM):
        assert sent == raw.replace(f'"watched/{OPUS}"'.encode(), f'"{OPUS}"'.encode())
        assert got.headers["x-jevons-cache-plan"].startswith("mode=observe;marks=5m@")
        assert planning.entry_of(got)["savings"] == []
    page = planning.get("/metrics").body.decode()
    assert re.search(r'jevons_prompt_cache_marks_total\{mode="observe",upstream="watched"\} [1-9]', page)
    assert re.search(r'jevons_prompt_cache_would_save_usd\{upstream="watched"\} 0\.0', page)
