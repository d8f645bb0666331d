"""`jevons park`: real parked files, listed and erased."""

import time
from pathlib import Path

import pytest

from jevons.engine.park.disk import Disk
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.park.trails import FILE
from jevons.ledger.home import Home
from jevons.ledger.sealing import OVERHEAD_BYTES
from tests.cli.conftest import Run


@pytest.fixture
def parked(home: Path) -> None:
    """Two blocks and trails of an organisation that a key names, one block of one that nobody names any more."""
    secret = Home(home).secret("installation")
    acme, gone = tenant_tag(secret, "acme"), tenant_tag(secret, "gone")
    disk = Disk(home / "park", secret, frozenset([acme, gone]), 3600)
    for tag, name in ((acme, bytes(32)), (acme, bytes([1]) * 32), (acme, FILE), (gone, bytes(32))):
        assert disk.write(tag, name, bytes(100_000), time.time())


def test_nothing_parked(jevons: Run) -> None:
    assert "Nothing is parked on disk" in jevons("park").out
    assert jevons("park", "--json").json["orgs"] == []
    assert "Removed 0 files" in jevons("park", "erase", "--all").out


def test_what_is_parked(jevons: Run, parked: None, home: Path) -> None:
    jevons("keys", "create", "alice", "--org", "acme")
    found = jevons("park", "--json").json
    size_bytes = 100_000 + OVERHEAD_BYTES
    assert [(row["org"], row["blocks"], row["bytes"]) for row in found["orgs"]] == [
        ("acme", 2, 3 * size_bytes),
        (None, 1, size_bytes),
    ]
    assert (found["blocks"], found["bytes"], found["folder"]) == (3, 4 * size_bytes, str(home / "park"))
    assert abs(found["oldest_ms"] / 1000 - time.time()) < 3600
    shown = jevons("park").out
    assert "acme" in shown and f"{found['orgs'][1]['tag'][:8]}… (no key names it)" in shown
    assert "3 blocks, 0.4 MB, encrypted" in shown


def test_erasing(jevons: Run, parked: None) -> None:
    assert jevons("park", "erase").status == 2
    assert jevons("park", "erase", "--org", "acme", "--all").status == 2
    assert jevons("park", "erase", "--org", "acme").out == "Removed 3 files of acme, 0.3 MB.\n"
    assert [row["org"] for row in jevons("park", "--json").json["orgs"]] == [None]
    assert jevons("park", "erase", "--all", "--json").json["files"] == 1
    assert jevons("park", "--json").json["blocks"] == 0
