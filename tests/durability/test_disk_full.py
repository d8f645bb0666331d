"""The disk is full, or does not sync any more, while calls are served: nothing is sent unmetered, nothing that was billed is lost.

Three ways to fail: the kernel's own limit on file sizes (EFBIG on every write of the process), no space (ENOSPC on writes of the
ledger) and a sync that fails (EIO, the data being written) by native/reaper.c.
"""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import accounts
from tests.durability.load import TERMINALS, Call, Told, load
from tests.durability.oracle import reconcile
from tests.durability.reaper import HEALTHY, NO_SPACE, NO_SYNC, failing_disk, needs_gcc
from tests.provider import Provider
from tests.provider.bare import connected, read_all, read_until
from tests.running import Jevons, upstream

pytestmark = needs_gcc
NO_LIMIT = resource.RLIM_INFINITY


class Sick:
    """A gateway whose disk fails on demand, and all that was asked of it."""

    def __init__(self, folder: Path, provider: Provider, way: str) -> None:
        self.provider, self._way = provider, way
        self._switch = folder / "switch"
        environ = failing_disk(self._switch)
        upstreams = (upstream("openai", provider.openai_url), upstream("anthropic", provider.url, "anthropic"))
        self.jevons = Jevons(folder / "home", *upstreams, environ=environ)
        self.told: list[Told] = []
        self.key = ""
        self._names = 0

    def name(self) -> str:
        """A run id of its own."""
        self._names += 1
        return f"sick-{self._names}"

    def ask(self, *calls: Call) -> list[Told]:
        """Their answers, in order."""
        told = load(self.port, self.key, calls, 1)
        self.told += told
        return told

    @property
    def port(self) -> int:
        return int(self.jevons.url.rpartition(":")[2])

    def fail(self) -> None:
        if self._way == "file size limit":
            resource.prlimit(self.jevons.pid, resource.RLIMIT_FSIZE, (0, NO_LIMIT))
        else:
            self._set(NO_SPACE if self._way == "no space" else NO_SYNC)

    def heal(self) -> None:
        """The disk is back. (The limit died with its process, if that is dead.)"""
        self._set(HEALTHY)
        if self.jevons.running:
            resource.prlimit(self.jevons.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))

    def health(self, door: str) -> tuple[int, bytes]:
        """Status and body of /health/DOOR."""
        with connected(self.port) as sock:
            sock.sendall(f"GET /health/{door} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            seen = read_all(sock)
            return int(seen.head.split()[1]), seen.body

    def judged(self) -> dict[str, dict[str, Any]]:
        """The entries by run, after the books were compared."""
        return reconcile(self.jevons, self.provider.attempts(), self.told)

    def later(self, call: Call) -> dict[str, Any]:
        """The entry of a call that could not be written, once the disk is back."""
        self.heal()
        wait_until(lambda: self.health("ready")[0] == 200 and self.jevons.holds() == [])
        return self.judged()[call.name]

    def _set(self, state: bytes) -> None:
        with self._switch.open("r+b") as file:  # in place: the gateway has it mapped
            file.write(state)


@pytest.fixture(scope="module", params=["file size limit", "no space", "no sync"])
def sick(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sick]:
    with Provider() as provider:
        made = Sick(tmp_path_factory.mktemp("sick"), provider, request.param)
        with made.jevons:
            made.key = made.jevons.key("patient", "100")
            yield made


def wait_until(true: Callable[[], bool]) -> None:
    """Look until it is; the gateway tries its disk again once a second."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CODES: dict[str, Callable[[bytes], bool]] = {
    "chat": lambda body: b'"code":"ledger_unavailable"' in body and b'"type":"server_error"' in body,
    "responses": lambda body: b'"code":"ledger_unavailable"' in body,
    "messages": lambda body: b'"type":"overloaded_error"' in body,
}


def test_refused_in_dialect_and_served_again(sick: Sick) -> None:
    calls = [Call(sick.name(), door, stream) for door in CODES for stream in (False, True)]
    assert sick.ask(Call(sick.name()))[0].ended
    received = len(sick.provider.attempts())
    sick.fail()
    for one in sick.ask(*calls):
        assert one.status == 503 and one.whole
        assert CODES[one.call.door](one.body), one.body
    status, reason = sick.health("ready")
    assert status == 503 and b"the ledger cannot be written" in reason
    assert sick.health("live")[0] == 200
    assert len(sick.provider.attempts()) == received
    sick.heal()
    wait_until(lambda: sick.health("ready")[0] == 200)
    again = [Call(sick.name(), call.door, call.stream) for call in calls]
    assert all(one.ended for one in sick.ask(*again))
    entries = sick.judged()
    assert entries.keys() >= {call.name for call in again}
    assert not entries.keys() & {call.name for call in calls}
    remaining = sick.ask(Call(sick.name()))[0].wire.partition(b"x-jevons-budget-remaining-nusd: ")[2].partition(b"\r\n")[0]
    [account] = [one for one in accounts(sick.jevons.ledger) if one["name"] == "patient"]
    assert int(remaining) == account["limit_nusd"] - account["posted_nusd"], "what was refused is held no more"


@pytest.mark.parametrize("door", ["chat", "messages", "responses"])
def test_an_open_stream_ends_in_an_error_and_its_entry_is_written_later(sick: Sick, door: str) -> None:
    call = Call(sick.name(), door, True, script={"delay_ms": 60})
    with connected(sick.port) as sock:
        sock.sendall(call.wire(sick.key))
        read_until(sock, b"this")
        sick.fail()
        wire = read_all(sock).wire
    assert TERMINALS[door] not in wire and not wire.endswith(b"0\r\n\r\n")
    last = wire.rstrip().rpartition(b"\n\n")[2]
    assert b"error" in last and b"ledger" in last, last
    assert call.name not in {entry["run_id"] for entry in sick.jevons.entries()}
    assert sick.later(call)["estimate"] == ""
    assert sick.ask(Call(sick.name()))[0].ended


def test_a_whole_answer_is_withheld_and_its_entry_is_written_later(sick: Sick) -> None:
    call = Call(sick.name(), script={"first_delay_ms": 300})
    with connected(sick.port) as sock:
        sock.sendall(call.wire(sick.key))
        wait_until(lambda: any(attempt.marker == call.name for attempt in sick.provider.attempts_now()))
        sick.fail()
        seen = read_all(sock)
    assert seen.finished and seen.head.startswith(b"HTTP/1.1 503")
    assert call.name.encode() not in seen.wire
    entry = sick.later(call)
    assert (entry["outcome"], entry["estimate"]) == ("ok", "")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_the_process_ends_before_the_disk_is_back(sick: Sick, end: str) -> None:
    """What could not be written is settled from its hold at the next start, once."""
    call = Call(sick.name(), stream=True, script={"delay_ms": 60})
    with connected(sick.port) as sock:
        sock.sendall(call.wire(sick.key))
        read_until(sock, b"this")
        sick.fail()
        read_all(sock)
    sick.jevons.kill() if end == "kill" else sick.jevons.stop()
    sick.heal()
    sick.jevons.start()
    assert sick.ask(Call(sick.name()))[0].ended
    assert sick.judged()[call.name]["outcome"] in ("killed", "ok")
