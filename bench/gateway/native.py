"""Builds the C parts (stand-in, stream load, sync shim) into bench/build, and says what is missing on this machine."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "native"
BUILD = HERE.parent / "build"


@dataclass(frozen=True)
class Tools:
    """Paths of the built programs; `tls` says whether the stand-in can speak TLS."""

    standin: Path
    sseload: Path
    syncshim: Path
    tls: bool


def compiled(name: str, *flags: str) -> Path | None:
    """The program from native/NAME.c, compiled anew when the source is newer; None when the compiler refuses."""
    source, target = SOURCES / f"{Path(name).stem}.c", BUILD / name
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(["gcc", "-O2", "-o", target, source, *flags], capture_output=True, text=True, check=False)
    return target if done.returncode == 0 else None


def build() -> Tools:
    """Compile everything; end with a message when wrk or gcc are missing."""
    missing = [name for name in ("gcc", "wrk", "taskset") if shutil.which(name) is None]
    if missing:
        sys.exit(f"The benchmark needs {', '.join(missing)}: apt-get install gcc libc6-dev libssl-dev wrk util-linux")
    with_tls = compiled("standin.tls", "-DWITH_TLS", "-lssl", "-lcrypto")
    standin = with_tls or compiled("standin.plain")
    sseload, syncshim = compiled("sseload"), compiled("syncshim.so", "-shared", "-fPIC", "-ldl")
    if standin is None or sseload is None or syncshim is None:
        sys.exit(f"gcc cannot compile {SOURCES}/*.c: apt-get install libc6-dev, then run gcc on them to see its message")
    return Tools(standin, sseload, syncshim, tls=with_tls is not None)
