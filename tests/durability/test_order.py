"""Durable before visible, as the kernel saw it: every hold synced before its request leaves, every entry before its answer ends.

The full measure: `JEVONS_SOAK=1 make test ARGS="tests/durability/test_order.py -s"` (1,000 requests; 200 otherwise).
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.durability.load import Call, Told, load
from tests.durability.order import Order, read_order
from tests.durability.trace import Trace, read_trace, wrapper
from tests.provider import Provider
from tests.running import Jevons, upstream

REQUESTS = 1_000 if os.environ.get("JEVONS_SOAK") else 200
pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")


class Watched:
    """One gateway under strace: what its callers were told, the trace, and the order it shows."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        log = folder / "strace.log"
        with Provider() as provider:
            jevons = Jevons(
                folder / "home",
                upstream("openai", provider.openai_url),
                upstream("anthropic", provider.url, "anthropic"),
                environ={"JEVONS_LEDGER_SYNCHRONOUS": synchronous},
            )
            with jevons:
                key = jevons.key("traced", "1000")
            jevons.start(*wrapper(log))
            port = int(jevons.url.rpartition(":")[2])
            half = REQUESTS // 2
            self.told = load(port, key, calls(0, half), 1) + load(port, key, calls(half, REQUESTS), 16)
            self.entries = jevons.settled(REQUESTS)
            jevons.stop()
            self.ports = (port, provider.port)
        db = apsw.Connection(str(jevons.ledger), flags=apsw.SQLITE_OPEN_READONLY)
        self.columns = tuple(len(list(db.execute(f"PRAGMA table_info({table})"))) for table in ("holds", "entries"))
        db.close()
        with log.open("rb") as lines:
            self.trace = read_trace(lines)
        log.unlink()

    def order(self, trace: Trace | None = None) -> Order:
        return read_order(trace or self.trace, *self.ports, *self.columns)


def calls(first: int, end: int) -> Iterator[Call]:
    """Whole and streamed answers, Chat and Messages, in turn."""
    for n in range(first, end):
        yield Call(f"run-{n}", ("chat", "messages")[n % 2], stream=n % 4 > 1)


def complete(told: list[Told]) -> bool:
    return len(told) == REQUESTS and all(one.whole and one.ended and f" {one.call.name}".encode() in one.body for one in told)


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("full"), "FULL")


@pytest.mark.timeout(600)
def test_every_hold_is_synced_before_its_request_and_every_entry_before_the_end_of_its_answer(synced: Watched) -> None:
    assert complete(synced.told)
    order = synced.order()
    names = {f"run-{n}" for n in range(REQUESTS)}
    assert sorted(sent.name for sent in order.requests) == sorted(names)
    assert {f"req_{sent.name}" for sent in order.answers} == {one.request for one in synced.told}
    assert len(order.answers) == REQUESTS
    assert set(order.holds) == names and {entry["id"] for entry in synced.entries} == set(order.entries)
    assert order.unheld == []
    assert order.unposted == []
    print(f"{REQUESTS} requests, {order.syncs} syncs of the log, {len(synced.trace.events)} traced calls: no violation")


@pytest.mark.timeout(600)
def test_each_single_sync_is_needed_and_missed(synced: Watched) -> None:
    """One call at a time, each sync covers one row: without it the check finds exactly that row's request or answer."""
    syncs = synced.trace.of("fdatasync", file="ledger.db-wal")
    missed = 0
    for sync in syncs[10:30]:
        order = synced.order(Trace([event for event in synced.trace.events if event is not sync]))
        assert len(order.unheld) + len(order.unposted) == 1
        missed += 1
    assert missed == 20


@pytest.mark.timeout(600)
def test_without_syncs_the_check_finds_every_request(tmp_path: Path) -> None:
    watched = Watched(tmp_path, "OFF")
    assert complete(watched.told)
    order = watched.order()
    assert len(order.unheld) == len(order.unposted) == REQUESTS
