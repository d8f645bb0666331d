"""The processor's counters as Linux shows them: packages only, across a wrap, and nothing where nobody may read."""

from pathlib import Path

import pytest

from jevons.engine.levers.energy import joules_since, read_counters


def zone(folder: Path, name: str, kind: str, microjoules: int) -> Path:
    place = folder / name
    place.mkdir()
    (place / "name").write_text(f"{kind}\n")
    (place / "max_energy_range_uj").write_text("9999999\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    return place


def test_packages_are_summed_and_their_parts_left_out(tmp_path: Path) -> None:
    one, two = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000), zone(tmp_path, "intel-rapl:1", "package-1", 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:2", "psys", 5)
    before = read_counters(tmp_path)
    (one / "energy_uj").write_text("3500000")
    (two / "energy_uj").write_text("1000000")  # it wrapped
    assert joules_since(before) == pytest.approx(2.5 + 2.0)


def test_without_counters_nothing_is_known(tmp_path: Path) -> None:
    assert joules_since(read_counters(tmp_path)) is None
    place = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    before = read_counters(tmp_path)
    (place / "energy_uj").unlink()
    assert joules_since(before) is None
