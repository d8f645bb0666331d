"""Power cuts at every sync and between: what was acknowledged is there, whole, and nothing is half there.

JEVONS_POWERLOSS_SEEDS=500 makes a longer run.
"""

import os
import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from jevons.ledger.bill import check
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import Op
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import Dump, batches, dump, dump_file
from tests.ledger.powerloss import SECTOR_BYTES, Disk, Image, Survival

SEEDS = int(os.environ.get("JEVONS_POWERLOSS_SEEDS", "4"))
BATCHES = 24
ROUNDS = 3
"""Power comes back twice: the second life starts from what the first left."""
CHECKPOINT_PAGES = 24
"""Small, so that a short workload sees several checkpoints and WAL restarts."""
BETWEEN = 0.04
"""Share of the moments between syncs at which the power is cut."""


class Cut(NamedTuple):
    """A power cut: what is left, and which batches had been acknowledged (-1: not even the opening)."""

    image: Image
    acknowledged: int
    moment: str
    survival: Survival


class Life:
    """From one start to the end of its batches, with a record of what power cuts on the way would leave."""

    def __init__(self, rng: random.Random, folder: Path, image: Image, synchronous: str) -> None:
        self.cuts: list[Cut] = []
        self._rng = rng
        self._folder = folder
        self._acknowledged = -1
        self._disk = Disk(folder, image, self._moment)
        self._synchronous = synchronous

    def live(self, work: list[list[Op]], done: int) -> None:
        """Open the store (whose `done` first batches are there already) and apply the rest."""
        store = SqliteStore(self._folder / "ledger.db", vfs=self._disk.name, synchronous=self._synchronous)
        store.db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        self._acknowledged = done
        for batch in work[done:]:
            store.apply(batch)
            self._acknowledged += 1
            self._moment("acknowledged")
        store.close()
        self._moment("acknowledged")

    def _moment(self, moment: str) -> None:
        if moment in ("before sync", "after sync", "acknowledged") or self._rng.random() < BETWEEN:
            survival = self._rng.choice(list(Survival))
            self.cuts.append(Cut(self._disk.image(self._rng, survival), self._acknowledged, moment, survival))


def whole_states(folder: Path, work: list[list[Op]]) -> list[Dump]:
    """The ledger after 0, 1, ... all batches."""
    store = SqliteStore(folder / "reference.db", synchronous="OFF")
    states = [dump(store.db)]
    for batch in work:
        store.apply(batch)
        states.append(dump(store.db))
    store.close()
    return states


def verdict(cut: Cut, folder: Path, states: list[Dump], began: int) -> tuple[str, int]:
    """(what is wrong, empty if nothing; how many batches are there)"""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in cut.image.items():
        (folder / name).write_bytes(content)
    ledger = folder / "ledger.db"
    least = began if cut.acknowledged < 0 else cut.acknowledged
    try:
        found, problems = dump_file(ledger), check(ledger)
    except LedgerError as error:
        return f"{cut.moment}, {cut.survival.value} survive: {error}", -1
    if problems:
        return f"{cut.moment}, {cut.survival.value} survive: {problems}", -1
    for count in (least, least + 1):
        if count < len(states) and found == states[count]:
            return "", count
    return (
        f"{cut.moment}, {cut.survival.value} survive: {least} batches were acknowledged, and neither they nor one more are there",
        -1,
    )


def violations(seed: int, folder: Path, *, synchronous: str) -> list[str]:
    """What goes wrong over several lives, each starting from a state that a cut in the one before left."""
    rng = random.Random(seed)
    work = batches(rng, BATCHES)
    folder.mkdir()
    states = whole_states(folder, work)
    image: Image = {}
    done, found = 0, []
    for round_number in range(ROUNDS):
        life = Life(rng, folder / f"life-{round_number}", image, synchronous)
        life.live(work, done)
        survivors = []
        for cut in life.cuts:
            problem, count = verdict(cut, folder / "cut", states, done)
            if problem:
                found.append(problem)
            else:
                survivors.append((cut.image, count))
        if not survivors:
            break
        image, done = rng.choice(survivors[: len(survivors) * 2 // 3 + 1])
    return found


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_power_cut_loses_or_halves_what_was_acknowledged(seed: int, tmp_path: Path) -> None:
    assert violations(seed, tmp_path / "run", synchronous="FULL") == []


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_same_cuts_find_the_fault_of_a_ledger_that_does_not_sync_each_commit(synchronous: str, tmp_path: Path) -> None:
    found = violations(0, tmp_path / "run", synchronous=synchronous)
    assert [problem for problem in found if "neither they nor one more are there" in problem]


def test_without_syncs_a_file_can_be_torn_so_that_it_does_not_open(tmp_path: Path) -> None:
    found = violations(1, tmp_path / "run", synchronous="OFF")
    assert [problem for problem in found if "damaged" in problem or "not a SQLite file" in problem or "SQLite says" in problem]


def test_the_disk_itself_keeps_what_was_synced_and_any_sectors_of_the_rest(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", {"file": b"old " * SECTOR_BYTES}, lambda moment: None)
    inode = disk.files["file"]
    store = SqliteStore(tmp_path / "disk" / "ledger.db", vfs=disk.name)
    rng = random.Random(1)
    for survival in Survival:
        assert disk.image(rng, survival)["file"] == b"old " * SECTOR_BYTES
    store.close()
    new = b"new " * SECTOR_BYTES
    for start in range(0, len(new), 1024):
        inode.pending.append((start, new[start : start + 1024]))  # type: ignore[arg-type]
    assert inode.content(rng, Survival.NONE) == inode.synced
    assert inode.content(rng, Survival.ALL) == new
    torn = inode.content(rng, Survival.TORN)
    sectors = [torn[start : start + SECTOR_BYTES] for start in range(0, len(torn), SECTOR_BYTES)]
    assert {sector[:4] for sector in sectors} == {b"old ", b"new "} and all(
        len(set(map(bytes, (s[:4], s[-4:])))) == 1 for s in sectors
    )
