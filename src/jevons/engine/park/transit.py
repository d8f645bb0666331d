"""The folder through which states pass between llama.cpp and the park: files in memory, never on a disk.

llama.cpp saves and restores a slot by file name only. The folder is one process' own, and is removed with it; what a killed process left
is removed by the next.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
"""Linux's memory file system."""
NAME = re.compile(r"jevons-(\d+)-(\d+)-\w+")


def open_transit(memory: Path = MEMORY) -> Path | None:
    """A new folder, mode 0700; None where the machine has no file system in memory, or none that can be written."""
    try:
        for folder in memory.glob("jevons-*"):
            if (owner := NAME.fullmatch(folder.name)) and int(owner[1]) == os.getuid() and not Path(f"/proc/{owner[2]}").exists():
                shutil.rmtree(folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"jevons-{os.getuid()}-{os.getpid()}-", dir=memory))
    except OSError:
        return None


def close_transit(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
