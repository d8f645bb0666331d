"""A client leaves: before the first byte, in the middle, after the usage, right after the end; or stays and never reads.

What is charged: docs/ledger.md, "Estimates". The provider bills what it generated until it noticed, reasoning that nobody saw included; our entry
must be the provider's own figure where it was told, and never less than the bill where it was not.
"""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.durability.load import TERMINALS, Call
from tests.durability.oracle import cost, reconcile
from tests.provider import Attempt, Provider
from tests.provider.bare import connected, read_until
from tests.running import Jevons, upstream

CHUNKS = 4
NEVER_MS = 60_000
IDLE_S = 2


@dataclass(frozen=True)
class Way:
    """A door, and the model that answers behind it."""

    door: str
    model: str
    upstream: str
    """The dialect that the provider speaks."""
    extra: dict[str, Any] = field(default_factory=dict)
    reasoning: int = 0
    """Tokens that the provider thinks, and bills, before it says anything."""
    shown: bool = True
    """All that is billed can be seen, so that an unfinished answer is counted; else the whole hold is charged."""

    def call(self, name: str, *, stream: bool = True, **script: Any) -> Call:
        usage = {"stream_options": {"include_usage": True}} if self.door == "chat" and stream else {}
        script = {"reasoning": self.reasoning, "chunks": CHUNKS, **script}
        return Call(name, self.door, stream, self.model, script, {**usage, **self.extra})

    @property
    def frames_before_text(self) -> int:
        """Frames of the provider's stream before the first of the answer's four deltas (tests/provider writes them)."""
        thought = min(self.reasoning, CHUNKS)
        shown_thinking = 3 if "thinking" in self.extra else 0  # a block around the thoughts, and its signature
        return {"chat": 1, "messages": 3, "responses": 4}[self.upstream] + thought + shown_thinking

    @property
    def frames_to_usage(self) -> int:
        """Frames up to the final usage, which a terminal event follows."""
        return self.frames_before_text + CHUNKS + 2


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}
WAYS = {
    "chat": Way("chat", "gpt-4o", "chat"),
    "messages": Way("messages", "claude-sonnet-4-5", "messages"),
    "responses": Way("responses", "gpt-4o", "responses"),
    "chat to messages": Way("chat", "claude-sonnet-4-5", "messages"),
    "messages to chat": Way("messages", "gpt-4o", "chat"),
    "chat, reasons unseen": Way("chat", "o3", "chat", {"max_tokens": 400}, 90, shown=False),
    "messages, thinks": Way("messages", "claude-sonnet-4-5", "messages", THINKING, 90, shown=False),
    "messages to chat, reasons unseen": Way("messages", "o3", "chat", {"max_tokens": 400}, 90, shown=False),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


class House:
    """A gateway and its provider for all tests of this file; each call has a name of its own."""

    def __init__(self, jevons: Jevons, provider: Provider, key: str) -> None:
        self.jevons, self.provider, self.key = jevons, provider, key
        self._calls = 0

    def name(self) -> str:
        self._calls += 1
        return f"gone-{self._calls}"

    @contextlib.contextmanager
    def asked(self, call: Call) -> Iterator[socket.socket]:
        """The call is sent; when the block ends, its client is gone."""
        with connected(int(self.jevons.url.rpartition(":")[2])) as sock:
            sock.sendall(call.wire(self.key))
            yield sock

    def outcome(self, call: Call) -> tuple[dict[str, Any], Attempt]:
        """The call's entry and the provider's books, once both are written, and checked against each other."""
        self.jevons.settled(self._calls)
        entries = reconcile(self.jevons, self.provider.attempts(), [])
        [attempt] = self.provider.attempts(call.name)
        return entries[call.name], attempt

    def received(self, call: Call) -> None:
        """Wait until the provider has the request."""
        while not any(attempt.marker == call.name for attempt in self.provider.attempts_now()):
            pass


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("gone") / "home"
    with Provider() as provider:
        upstreams = (
            upstream("openai", provider.openai_url, idle_timeout_s=IDLE_S),
            upstream("anthropic", provider.url, "anthropic", idle_timeout_s=IDLE_S),
        )
        with Jevons(home, *upstreams) as jevons:
            yield House(jevons, provider, jevons.key("leaver", "1000"))


@every_way
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_before_the_first_byte(way: Way, stream: bool, house: House) -> None:
    call = way.call(house.name(), stream=stream, first_delay_ms=NEVER_MS)
    with house.asked(call):
        house.received(call)
    entry, attempt = house.outcome(call)
    assert attempt.how == "client_gone", "the provider is told at once"
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "seen" if stream and way.shown else "hold")
    assert entry["billed_nusd"] >= cost(attempt) > 0
    if entry["estimate"] == "hold":
        assert entry["billed_nusd"] == entry["held_nusd"]


@every_way
def test_in_the_middle(way: Way, house: House) -> None:
    """After the first word of the answer; the provider has thought before it, and may be words ahead."""
    call = way.call(house.name(), fault="hang_mid_stream", fault_at=way.frames_before_text + 2)
    with house.asked(call) as sock:
        read_until(sock, b'"this')
    entry, attempt = house.outcome(call)
    assert attempt.how == "client_gone" and attempt.bill is not None
    assert attempt.bill.reasoning == way.reasoning and attempt.bill.output > way.reasoning
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "seen" if way.shown else "hold")
    assert cost(attempt) < entry["billed_nusd"] <= entry["held_nusd"]


@pytest.mark.parametrize("name", ["chat", "messages", "chat, reasons unseen", "messages, thinks"])
def test_after_the_usage_and_before_the_end(name: str, house: House) -> None:
    """Nothing is open any more but the farewell: the provider's own figure is charged. (Responses say both in one event.)"""
    way = WAYS[name]
    call = way.call(house.name(), fault="hang_mid_stream", fault_at=way.frames_to_usage)
    with house.asked(call) as sock:
        read_until(sock, b'"usage":{' if way.door == "chat" else b"event: message_delta")
        read_until(sock, b"\n\n")
    entry, attempt = house.outcome(call)
    assert attempt.how == "client_gone"
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "")
    assert entry["billed_nusd"] == cost(attempt)
    assert attempt.bill is not None and entry["reasoning"] == attempt.bill.reasoning


@every_way
def test_right_after_the_end(way: Way, house: House) -> None:
    """It has had its answer: that is a success."""
    call = way.call(house.name())
    with house.asked(call) as sock:
        read_until(sock, TERMINALS[way.door])
    entry, attempt = house.outcome(call)
    assert (entry["outcome"], entry["estimate"]) == ("ok", "")
    assert entry["billed_nusd"] == cost(attempt)


def test_a_client_that_never_reads_costs_no_memory_and_is_cut(house: House) -> None:
    """24 MB for somebody who takes none of it: the provider has to wait, and after the idle time-out the stream is over.

    How much it had made by then nobody has seen, so the hold is charged.
    """
    words = 6_000_000
    call = Call(
        house.name(), stream=True, script={"reply": None, "tokens_out": words, "chunks": 2_000}, extra={"max_tokens": words}
    )
    before = _peak_kib(house.jevons.pid)
    with house.asked(call) as sock:
        house.received(call)
        entry, attempt = house.outcome(call)
        assert sock.fileno() >= 0
    assert (entry["outcome"], entry["estimate"]) == ("cancelled", "hold")
    assert attempt.how == "client_gone" and attempt.bill is not None and attempt.bill.output > 64
    assert _peak_kib(house.jevons.pid) - before < 16 * 1024


def _peak_kib(pid: int) -> int:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
