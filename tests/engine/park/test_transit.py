"""The folder in memory: one process' own, removed with it or by the next."""

import os
from pathlib import Path

import pytest

from jevons.engine.park.transit import open_transit


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    left = tmp_path / f"jevons-{os.getuid()}-left"
    left.mkdir()
    (left / "state").write_bytes(b"x")
    foreign = tmp_path / "jevons-somebody-elses"
    foreign.mkdir()
    one = open_transit(tmp_path)
    assert not left.exists()
    other = open_transit(tmp_path)
    assert one.folder.is_dir()
    assert one.folder.stat().st_mode & 0o777 == 0o700
    one.close()
    assert not one.folder.exists()
    other.close()
    assert foreign.is_dir()


def test_without_a_file_system_in_memory_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        open_transit(tmp_path / "absent")
