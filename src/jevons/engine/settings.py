"""How the local engine is to run. Comes from the configuration; one half of it goes to the child process as JSON."""

import os
from pathlib import Path

import msgspec

from jevons.core.limits import LOCAL_CONTEXT_TOKENS, LOCAL_SLOTS

THREADS_MAX = 8
"""Not measured beyond two cores; a model of this size waits for memory and barriers long before it can use more."""


class EngineSettings(msgspec.Struct, frozen=True):
    """Every field has a default that works; `model` None means the packaged one."""

    model: Path | None = None
    """A GGUF file."""
    alias: str = "local"
    """Model name in answers."""
    threads: int | None = None
    """None = `default_threads()`."""
    slots: int = LOCAL_SLOTS
    """Requests decoded in parallel; further ones wait inside the engine."""
    context_tokens: int = LOCAL_CONTEXT_TOKENS
    """Prompt and answer of one request together. Each slot has this much to itself."""
    log_file: Path | None = None
    """Where the engine's log goes (mode 0600, bounded); None keeps only its last lines in memory."""

    def __post_init__(self) -> None:
        if self.slots < 1 or self.context_tokens < 1 or (self.threads is not None and self.threads < 1):
            raise ValueError("engine slots, context_tokens and threads are at least 1")


class ServeOrder(msgspec.Struct, frozen=True):
    """The first line of the child's standard input. Not on its command line, where other users could read the key."""

    model: str
    alias: str
    threads: int
    slots: int
    context_tokens: int
    api_key: str


class Report(msgspec.Struct, frozen=True):
    """The one line that the child writes on its standard output: a port, or why there is none."""

    port: int = 0
    error: str = ""


def usable_cores() -> int:
    """Cores this process may use: its affinity mask, cut by the container's CPU quota (cgroup v2)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def default_threads(cores: int) -> int:
    """All cores but one, at most THREADS_MAX.

    One is left to the gateway and its clients: llama.cpp's threads meet at a barrier after every operation, so two threads
    beside one busy process on two cores decode at 1.4 to 10 tokens/s where a single thread keeps 25 to 50 (measured).
    """
    return max(1, min(cores - 1, THREADS_MAX))
