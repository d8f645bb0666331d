"""Puts a gateway under native/reaper.c: where it shall die, or when its disk shall fail."""

import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "native" / "reaper.c"
HEALTHY, NO_SPACE, NO_SYNC = b"0", b"w", b"s"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc: apt-get install gcc libc6-dev")


@lru_cache(maxsize=1)
def library() -> Path:
    """The compiled library, in a folder that git does not see."""
    target = SOURCE.with_name("build") / "reaper.so"
    target.parent.mkdir(exist_ok=True)
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        partial = target.with_suffix(".partial")
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", partial, SOURCE, "-ldl"], check=True)
        partial.replace(target)
    return target


def death_at(point: str, mark: str, provider_port: int, count: int = 1) -> dict[str, str]:
    """The environment of a gateway that dies there."""
    about = {"REAPER_POINT": point, "REAPER_MARK": mark, "REAPER_PORT": str(provider_port), "REAPER_COUNT": str(count)}
    return {"LD_PRELOAD": str(library()), **about}


def failing_disk(switch: Path) -> dict[str, str]:
    """The environment of a gateway whose ledger fails as long as `switch` says so: write HEALTHY, NO_SPACE or NO_SYNC to it in place."""
    switch.write_bytes(HEALTHY)
    return {"LD_PRELOAD": str(library()), "REAPER_FAULT": str(switch)}
