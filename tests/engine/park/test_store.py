"""RAM and disk together, through the store's own door; files are real, and looked at as another process would."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from jevons.engine.park.disk import Disk, erase, listing
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.park.shelf import Block
from jevons.engine.park.store import Store
from jevons.engine.park.trails import FILE

SECRET = bytes(range(32))
ACME, GLOBEX = tenant_tag(SECRET, "acme"), tenant_tag(SECRET, "globex")
SIZE = 1_000
PLENTY = 10**9


def key(conversation: int, place: int) -> bytes:
    return bytes([conversation, place]) * 16


def payload(conversation: int, place: int) -> bytes:
    return bytes([conversation, place]) * (SIZE // 2)


def state(conversation: int, blocks: int) -> list[bytes]:
    return [key(conversation, place) for place in range(blocks)]


def park(store: Store, conversation: int, blocks: int, now_s: float, tag: bytes = ACME) -> list[bool]:
    """As the engine does it: a state's blocks in order, then its trail."""
    kept = []
    for place in range(blocks):
        before = key(conversation, place - 1) if place else None
        block = Block(key(conversation, place), before, SIZE, 256, 256 * place)
        kept.append(store.put(tag, block, payload(conversation, place), now_s))
    store.trails.remember(tag, [bytes([conversation]) * 16], state(conversation, blocks), 256 * blocks)
    return kept


def opened(folder: Path, ram_blocks: int = 0, disk_blocks: int = 1_000, secret: bytes = SECRET, *tags: bytes) -> Store:
    disk = Disk(folder, secret, frozenset(tags or [ACME]), retention_s=3600)
    return Store(ram_blocks * SIZE, disk, disk_blocks * SIZE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for the store's own thread."""
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "park"


def test_without_a_disk_it_holds_what_fits() -> None:
    store = Store(3 * SIZE)
    park(store, 1, 2, 0.0)
    park(store, 2, 2, 10.0)
    assert store.holds(state(2, 2)) == 2
    assert store.holds(state(1, 2)) == 1  # the end of the older one went
    assert store.get(key(1, 0)) == payload(1, 0)
    assert store.get(key(1, 1)) is None
    assert key(1, 0) in store and key(1, 1) not in store
    assert store.lookup(state(1, 2), 20.0) == 1
    assert not store.outlives
    stats = store.stats()
    assert (stats.ram_blocks, stats.ram_bytes, stats.hits_ram, stats.misses) == (3, 3 * SIZE, 1, 1)
    store.close()


def test_a_block_that_is_dropped_takes_its_successors_along() -> None:
    store = Store(PLENTY)
    park(store, 1, 4, 0.0)
    store.drop(key(1, 2))
    assert store.holds(state(1, 4)) == 2
    assert store.stats().ram_bytes == 2 * SIZE


def test_what_leaves_ram_is_read_from_disk_and_comes_back(folder: Path) -> None:
    store = opened(folder, ram_blocks=2)
    park(store, 1, 2, 1.0)
    park(store, 2, 2, 100.0)
    assert store.stats().ram_blocks == 2
    until(lambda: len([file for file in listing(folder) if file.name != FILE]) == 4)
    assert store.lookup(state(1, 2), 200.0) == 2
    assert [store.get(name) for name in state(1, 2)] == [payload(1, 0), payload(1, 1)]
    assert store.stats().hits_disk == 2
    store.close()


def test_everything_survives_the_process_except_of_those_who_did_not_opt_in(folder: Path) -> None:
    store = opened(folder, ram_blocks=100)
    park(store, 1, 3, time.time())
    park(store, 2, 3, time.time(), GLOBEX)
    store.close()
    assert {file.tag for file in listing(folder)} == {ACME}

    again = opened(folder, ram_blocks=100)
    match = again.trails.find(ACME, [bytes([1]) * 16])
    assert match is not None and match.trail.keys == tuple(state(1, 3))
    assert again.lookup(match.trail.keys, time.time()) == 3
    assert [again.get(name) for name in match.trail.keys] == [payload(1, place) for place in range(3)]
    assert again.holds(state(2, 3)) == 0 and again.trails.find(GLOBEX, [bytes([2]) * 16]) is None
    again.close()
    assert opened(folder, 1, 1_000, bytes(32)).get(key(1, 0)) is None  # another installation's


PARKS = """
import sys, time
from pathlib import Path
from jevons.engine.park.disk import Disk
from jevons.engine.park.shelf import Block
from jevons.engine.park.store import Store
secret, tag = bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
store = Store(10**9, Disk(Path(sys.argv[1]), secret, frozenset([tag]), 3600), 10**9)
for conversation in range(250):
    for place in range(3):
        name = [bytes([conversation, place - 1 + own]) * 16 for own in (0, 1) if place - 1 + own >= 0]
        block = Block(name[-1], name[0] if place else None, 1_000, 256, 256 * place)
        store.put(tag, block, bytes([conversation, place]) * 500, time.time())
    time.sleep(0.01)
"""


def test_after_a_kill_it_has_nothing_that_is_wrong(folder: Path) -> None:
    """Files, whatever the trails say: these are filed every few seconds, and here never."""
    writer = subprocess.Popen([sys.executable, "-c", PARKS, str(folder), SECRET.hex(), ACME.hex()])
    until(lambda: len(list(listing(folder))) > 40 or writer.poll() is not None)
    writer.kill()
    writer.wait()
    store = opened(folder)
    names = [file.name for file in listing(folder)]
    assert len(names) > 40
    assert store.stats().disk_blocks == len(names)
    for name in names:
        assert store.get(name) == payload(name[0], name[1])
    assert store.stats().damaged == 0
    store.close()


def test_every_tenants_trails_come_back(folder: Path) -> None:
    store = opened(folder, 100, 1_000, SECRET, ACME, GLOBEX)
    park(store, 1, 2, time.time())
    park(store, 2, 2, time.time(), GLOBEX)
    store.close()
    again = opened(folder, 100, 1_000, SECRET, ACME, GLOBEX)
    for conversation, tag in ((1, ACME), (2, GLOBEX)):
        match = again.trails.find(tag, [bytes([conversation]) * 16])
        assert match is not None and again.holds(match.trail.keys) == 2
    assert again.stats().disk_blocks == 4
    again.close()


def test_a_damaged_file_costs_its_block_and_those_after_it(folder: Path) -> None:
    store = opened(folder)
    park(store, 1, 3, time.time())
    store.close()
    file = folder / ACME.hex() / key(1, 1).hex()
    file.write_bytes(file.read_bytes()[:-1])
    again = opened(folder)
    assert again.lookup(state(1, 3), time.time()) == 3
    assert [again.get(name) for name in state(1, 3)] == [payload(1, 0), None, None]
    assert again.holds(state(1, 3)) == 1
    assert again.stats().damaged == 1
    assert all(park(again, 1, 3, time.time()))
    until(lambda: again.get(key(1, 2)) == payload(1, 2) and file.exists())
    again.close()


def test_the_disk_has_a_bound_of_its_own(folder: Path) -> None:
    store = opened(folder, ram_blocks=100, disk_blocks=4)
    for conversation in range(5):
        park(store, conversation, 2, 100.0 * conversation)
    store.close()
    assert {file.name for file in listing(folder)} == {FILE, *state(4, 2), *state(3, 2)}
    assert store.stats().ram_blocks == 10
    smaller = opened(folder, disk_blocks=1)
    until(lambda: len([file for file in listing(folder) if file.name != FILE]) == 1)
    smaller.close()


def test_without_a_disk_to_write_to_it_parks_in_ram(tmp_path: Path) -> None:
    (tmp_path / "park").write_text("a file stands here")
    store = opened(tmp_path / "park", ram_blocks=10)
    assert all(park(store, 1, 3, 1.0))
    until(lambda: store.stats().disk_blocks == 0)
    assert [store.get(name) for name in state(1, 3)] == [payload(1, place) for place in range(3)]
    stats = store.stats()
    assert stats.disk_off is not None and stats.unwritten > 0
    store.close()


def test_what_waits_for_the_disk_takes_little_memory_beside_ram(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.engine.park.store.PARK_WRITES_BYTES_MAX", 0)
    store = opened(folder, ram_blocks=2)
    assert park(store, 1, 4, 1.0) == [True, True, False, False]
    stats = store.stats()
    assert (stats.ram_blocks, stats.disk_blocks, stats.unwritten) == (2, 2, 2)
    store.close()


def test_an_erased_tenant_is_forgotten_in_ram_and_not_written_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.engine.park.store.PARK_TIDY_S", 0.02)
    store = opened(folder, 100, 1_000, SECRET, ACME, GLOBEX)
    park(store, 1, 3, time.time())
    park(store, 2, 3, time.time(), GLOBEX)
    until(lambda: len(list(listing(folder))) == 8)
    erase(folder, {ACME})
    until(lambda: store.holds(state(1, 3)) == 0)
    until(lambda: store.trails.find(ACME, [bytes([1]) * 16]) is None)
    assert store.get(key(1, 0)) is None
    assert [store.get(name) for name in state(2, 3)] == [payload(2, place) for place in range(3)]
    store.close()
    assert {file.tag for file in listing(folder)} == {GLOBEX}


def test_retention_holds_while_it_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jevons.engine.park.store.PARK_TIDY_S", 0.02)
    monkeypatch.setattr("jevons.engine.park.store.PARK_EXPIRE_S", 0.02)
    store = opened(folder, ram_blocks=100)
    park(store, 1, 2, time.time())
    until(lambda: len(list(listing(folder))) == 3)
    file, old_s = folder / ACME.hex() / key(1, 1).hex(), time.time() - 3601
    os.utime(file, (old_s, old_s))
    until(lambda: not file.exists())
    until(lambda: store.holds(state(1, 2)) == 1)
    store.close()


def test_many_threads(folder: Path) -> None:
    """Whatever is found is what was put."""
    store = opened(folder, ram_blocks=20, disk_blocks=60)

    def work(number: int) -> int:
        found = 0
        for step in range(60):
            conversation = (number * 7 + step) % 12
            park(store, conversation, 4, time.time())
            for place in range(store.lookup(state(conversation, 4), time.time())):
                got = store.get(key(conversation, place))
                assert got in (None, payload(conversation, place))
                found += got is not None
        return found

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) > 500
    store.close()
    stats = store.stats()
    assert stats.ram_bytes <= 20 * SIZE and stats.disk_bytes <= 60 * SIZE and stats.damaged == 0
    names = {file.name for file in listing(folder)} - {FILE}
    assert len(names) == stats.disk_blocks


class AsOneMap(RuleBasedStateMachine):
    """RAM and disk, restarts included: nothing is found that was not put, and no state has a gap that is hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ["PYTEST_PARK"]) / str(time.monotonic_ns())
        self.store = opened(self.folder, ram_blocks=4, disk_blocks=8)
        self.put: set[int] = set()

    @rule(conversation=st.integers(0, 3), blocks=st.integers(1, 5))
    def park(self, conversation: int, blocks: int) -> None:
        park(self.store, conversation, blocks, time.time())
        self.put.add(conversation)

    @rule(conversation=st.integers(0, 3), place=st.integers(0, 4))
    def drop(self, conversation: int, place: int) -> None:
        self.store.drop(key(conversation, place))
        assert self.store.holds(state(conversation, 5)) <= place

    @rule()
    def restart(self) -> None:
        """What nothing leads to any more may be left behind."""
        before = self.store.stats().disk_blocks
        held = [self.store.holds(state(conversation, 5)) for conversation in range(4)]
        self.store.close()
        self.store = opened(self.folder, ram_blocks=4, disk_blocks=8)
        assert self.store.stats().disk_blocks <= before
        assert all(self.store.holds(state(conversation, 5)) <= held[conversation] for conversation in range(4))

    @rule(conversation=st.integers(0, 3))
    def read(self, conversation: int) -> None:
        there = self.store.lookup(state(conversation, 5), time.time())
        assert there == 0 or conversation in self.put
        for place in range(there):
            assert self.store.get(key(conversation, place)) == payload(conversation, place)

    @invariant()
    def bounded(self) -> None:
        stats = self.store.stats()
        assert stats.ram_bytes <= 4 * SIZE and stats.disk_bytes <= 8 * SIZE

    def teardown(self) -> None:
        self.store.close()


def test_as_one_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_PARK", str(tmp_path))
    monkeypatch.setattr("jevons.engine.park.store.PARK_WRITES_BYTES_MAX", 2 * SIZE)
    run_state_machine_as_test(AsOneMap, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))
