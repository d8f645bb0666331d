"""Agents from their registries, at fixed versions, into a cache folder outside of the tree, each into a folder of its own.

    program = from_npm("@openai/codex", "0.169.0", "codex")
    python = from_pypi("aider")             # what requirements/agents/aider.txt locks

What is there already is used; another version is installed anew. Raises Unavailable, which says what a registry could not give.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

LOCKS = Path(__file__).parents[2] / "requirements" / "agents"
INSTALL_TIMEOUT_S = 900
ERROR_LINES_MAX = 8


class Unavailable(Exception):
    """This agent cannot be had here; the message says why."""


def cache_folder() -> Path:
    """Where agents are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jevons-test-agents"


def locked_version(name: str, package: str) -> str:
    """The version of a package in requirements/agents/NAME.txt."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE)
    assert found, f"{package} is not in the lock of {name}"
    return found[1]


@cache
def from_npm(package: str, version: str, program: str) -> Path:
    """A program of an npm package."""
    if not shutil.which("npm"):
        raise Unavailable("npm is not installed (on Debian and Ubuntu: apt-get install npm)")
    folder = cache_folder() / program
    npm = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-progress", f"{package}@{version}"]
    _install(folder, f"{package}@{version}", npm)
    found = folder / "node_modules" / ".bin" / program
    if not found.exists():
        raise Unavailable(f"{package} {version} of the npm registry has no program for this machine")
    return found


@cache
def from_pypi(name: str) -> Path:
    """The Python of an environment with what requirements/agents/NAME.txt locks."""
    folder, lock = cache_folder() / name, LOCKS / f"{name}.txt"
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--no-input", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    _install(folder, hashlib.sha256(lock.read_bytes()).hexdigest(), [sys.executable, "-m", "venv", str(folder)], pip)
    return python


def _install(folder: Path, what: str, *commands: list[str]) -> None:
    """Run the commands, unless they were run for just this before. The environment is as it is: it may name a registry or a proxy."""
    done = folder / "installed"
    if done.exists() and done.read_text() == what:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"installing into {folder}", file=sys.stderr)
    for command in commands:
        try:
            ran = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"`{' '.join(command)}` did not end within {INSTALL_TIMEOUT_S} s") from None
        if ran.returncode:
            said = "\n".join((ran.stderr or ran.stdout).strip().splitlines()[-ERROR_LINES_MAX:])
            raise Unavailable(f"`{' '.join(command)}` failed:\n{said}")
    done.write_text(what)
