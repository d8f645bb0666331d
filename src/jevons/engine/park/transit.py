"""The folder through which states pass between llama.cpp and the park: files in memory, never on a disk.

llama.cpp saves and restores a slot by file name only. The folder is one process' own: it holds a lock on it, and removes it at its end. What a
killed process left has no lock any more, and the next process removes it.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
"""Linux's memory file system."""


class Transit:
    """A folder in use, mode 0700."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def open_transit(memory: Path = MEMORY) -> Transit:
    """A new folder. Raises OSError where the machine has no file system in memory, or none that can be written."""
    prefix = f"jevons-{os.getuid()}-"
    for left in memory.glob(f"{prefix}*"):
        lock = _lock(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=memory))
    lock = _lock(folder)
    if lock is None:
        raise OSError(f"{folder} cannot be locked")
    return Transit(folder, lock)


def _lock(folder: Path) -> int | None:
    """None: somebody uses it, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
