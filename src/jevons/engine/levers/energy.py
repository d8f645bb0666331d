"""Joules that the processor's packages took, from the counters that Linux shows (RAPL; Intel's and AMD's under the same path).

Comes in: the folder of the counters. Goes out: joules since a reading, or None where nobody may read them (virtual machines, or no root).
"""

from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6


class Counter(NamedTuple):
    """One package's counter, in microjoules; it begins again from 0 after `wraps_at`."""

    file: Path
    wraps_at: int
    value: int


def read_counters(folder: Path = POWERCAP) -> list[Counter]:
    """The packages' counters; empty where there are none to read. Parts of a package (intel-rapl:0:1) are in its own."""
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            if zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package"):
                file = zone / "energy_uj"
                found.append(Counter(file, int((zone / "max_energy_range_uj").read_text()), int(file.read_text())))
        except (OSError, ValueError):
            continue
    return found


def joules_since(before: list[Counter]) -> float | None:
    """Joules of all packages since `before` was read; None if there is nothing to read. One wrap is seen, as minutes need at most."""
    try:
        spent = [(int(counter.file.read_text()) - counter.value) % (counter.wraps_at + 1) for counter in before]
    except (OSError, ValueError):
        return None
    return sum(spent) * MICRO if spent else None
