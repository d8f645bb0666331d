"""Reads what native/syncshim.c writes: how often a process asked its disk to sync, and how long each took."""

import mmap
import statistics
import struct
from pathlib import Path

RING = 1 << 18  # as in syncshim.c
LOG_BYTES = 8 + 4 * RING


class SyncLog:
    """One process's syncs, in a file of its own that it maps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(LOG_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), LOG_BYTES)

    def environment(self, shim: Path, delay_us: int) -> dict[str, str]:
        """The variables that put a process under the shim, with `delay_us` added to each sync."""
        return {"LD_PRELOAD": str(shim), "BENCH_SYNC_FILE": str(self.path), "BENCH_SYNC_DELAY_US": str(delay_us)}

    def count(self) -> int:
        """Syncs since the process started."""
        return int(struct.unpack_from("<Q", self._map)[0])

    def p50_us(self, since: int) -> float | None:
        """Median duration of the syncs after number `since`, in microseconds; None when there were none."""
        until = self.count()
        kept = range(max(since, until - RING), until)
        durations_ns = [struct.unpack_from("<I", self._map, 8 + 4 * (i % RING))[0] for i in kept]
        return statistics.median(durations_ns) / 1000 if durations_ns else None
