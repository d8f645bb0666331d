"""A stop signal while answers are open: they end well within the grace, or are cut and settled after it; every entry is written.

The exit status is 0 and nothing is a traceback, whatever is open and however often the signal comes.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from jevons.core.limits import SHUTDOWN_GRACE_S
from tests.durability.load import TERMINALS, Call
from tests.durability.oracle import reconcile
from tests.provider import Provider
from tests.provider.bare import connected, read_all, read_until
from tests.running import Jevons, upstream


def rest(sock: socket.socket) -> bytes:
    """All that still comes until the connection is closed."""
    wire = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            wire += data
    return wire


class Stopping:
    """A gateway with open calls, and what is said of it once it has ended."""

    def __init__(self, jevons: Jevons, provider: Provider, key: str) -> None:
        self.jevons, self.provider, self.key = jevons, provider, key

    def open(self, stack: ExitStack, call: Call, until: bytes) -> socket.socket:
        """The call is sent and its answer read up to `until`; with nothing to read, it has reached the provider."""
        sock = stack.enter_context(connected(int(self.jevons.url.rpartition(":")[2])))
        sock.sendall(call.wire(self.key))
        if until:
            read_until(sock, until)
        while not any(attempt.marker == call.name for attempt in self.provider.attempts_now()):
            time.sleep(0.01)
        return sock

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.jevons.pid, number)

    def listens(self) -> bool:
        """New connections are taken."""
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", int(self.jevons.url.rpartition(":")[2]))) == 0

    def ended(self) -> dict[str, dict[str, object]]:
        """Its entries by run, after it has ended as it should: by itself, well, and in silence."""
        assert self.jevons.wait_dead() == 0, self.jevons.log()
        assert "Traceback" not in self.jevons.log() and "rror" not in self.jevons.log(), self.jevons.log()
        assert not (self.jevons.home / "serving.json").exists()
        return reconcile(self.jevons, self.provider.attempts(), [])


@pytest.fixture
def stopping(tmp_path: Path, provider: Provider) -> Iterator[Stopping]:
    upstreams = (upstream("openai", provider.openai_url), upstream("anthropic", provider.url, "anthropic"))
    with Jevons(tmp_path / "home", *upstreams) as jevons:
        yield Stopping(jevons, provider, jevons.key("stopped", "1000"))


def test_what_is_open_is_finished_and_nothing_new_is_begun(stopping: Stopping) -> None:
    slow = {"delay_ms": 80}
    streamed = [Call(f"streamed-{door}", door, True, script=slow) for door in ("chat", "messages", "responses")]
    whole = Call("whole", script={"first_delay_ms": 500})
    with ExitStack() as stack:
        socks = [stopping.open(stack, call, b"this") for call in streamed] + [stopping.open(stack, whole, b"")]
        stopping.signal(signal.SIGTERM)
        for call, sock in zip(streamed, socks, strict=False):
            wire = rest(sock)
            assert TERMINALS[call.door] in wire and wire.endswith(b"\r\n0\r\n\r\n")
        answer = read_all(socks[-1])
        assert answer.finished and answer.head.startswith(b"HTTP/1.1 200")
    entries = stopping.ended()
    assert {str(run): (entry["outcome"], entry["estimate"]) for run, entry in entries.items()} == {
        call.name: ("ok", "") for call in (*streamed, whole)
    }


def test_what_does_not_end_is_cut_after_the_grace_and_charged(stopping: Stopping) -> None:
    hanging = [
        Call("stream-hangs", "chat", True, script={"fault": "hang_mid_stream", "fault_at": 3}),
        Call("message-hangs", "messages", True, script={"fault": "hang_mid_stream", "fault_at": 5}),
    ]
    silent = Call("silent", script={"fault": "hang_before_headers", "hang_ms": 1_000 * (SHUTDOWN_GRACE_S + 3)})
    with ExitStack() as stack:
        socks = [stopping.open(stack, call, b"this") for call in hanging] + [stopping.open(stack, silent, b"")]
        stopping.signal(signal.SIGTERM)
        for call, sock in zip(hanging, socks, strict=False):
            wire = rest(sock)
            assert b"is being stopped" in wire, "the error event"
            assert TERMINALS[call.door] not in wire and not wire.endswith(b"\r\n0\r\n\r\n")
        refused = read_all(socks[-1])
        assert refused.head.startswith(b"HTTP/1.1 503") and b'"code":"stopping"' in refused.body
    entries = stopping.ended()
    assert {run: entry["estimate"] for run, entry in entries.items()} == {
        "stream-hangs": "seen",
        "message-hangs": "seen",
        "silent": "hold",
    }


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_stop_ends_it_and_settles_all_the_same(stopping: Stopping, first: signal.Signals) -> None:
    call = Call("hangs", stream=True, script={"fault": "hang_mid_stream", "fault_at": 3})
    with ExitStack() as stack:
        sock = stopping.open(stack, call, b"this")
        stopping.signal(first)
        while stopping.listens():  # until it has heard the first: two at once are one
            time.sleep(0.01)
        stopping.signal(signal.SIGINT)
        assert b"is being stopped" in rest(sock)
        entries = stopping.ended()
    assert entries["hangs"]["estimate"] == "seen"


def test_nothing_open(stopping: Stopping) -> None:
    """An idle connection that is kept alive is not waited for."""
    call = Call("done")
    with ExitStack() as stack:
        sock = stopping.open(stack, call, b"")
        assert read_all(sock).finished
        stopping.signal(signal.SIGINT)
        assert stopping.ended()["done"]["outcome"] == "ok"
