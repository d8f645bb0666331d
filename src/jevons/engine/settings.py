"""How the local engine is to run. Comes from the configuration; one half of it goes to the child process as JSON."""

import os
from pathlib import Path

import msgspec

from jevons.core.limits import LOCAL_CONTEXT_TOKENS, LOCAL_SLOTS, PARK_RAM_MIB

KV_TYPES = ("f16", "q8_0", "q4_0")
"""Types of keys and values that slots may hold; what is not f16 is parked as it is."""
BUILD_FILE = "engine.json"
"""In JEVONS_HOME: which CPU build was chosen."""
PARK_FOLDER = "park"
PLANS_FOLDER = "models/plans"
THREADS_MAX = 8
"""Not measured beyond two cores; a model of this size waits for memory and barriers long before it can use more."""


class ParkSettings(msgspec.Struct, frozen=True):
    """How conversations that hold no slot are kept."""

    ram_bytes: int = PARK_RAM_MIB * 2**20
    """0: nothing is parked."""
    disk_bytes: int = 0
    """0: nothing is written to disk."""
    disk_folder: str = ""
    disk_tags: tuple[str, ...] = ()
    """Tenants (tags in hex) that opted in to the disk."""
    retention_s: float = 0.0
    """Older files are removed."""
    kld_max: float = 0.0
    """Mean Kullback-Leibler divergence in nats that encoding may cost; 0: lossless, unless `bytes_per_token_max` is set."""
    bytes_per_token_max: int = 0
    """Bytes that a parked token may take; 0: no bound."""
    secret: str = ""
    """Hex: what block keys and the disk's cipher are derived from. Empty: a new one at every start, which fits what lives in memory."""
    plans: str = ""
    """Folder of measured sensitivities of the operator's own models; empty: only what ships."""


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
    kv_type: str = "f16"
    """Type of the keys and values in the slots: one of KV_TYPES."""
    park: ParkSettings = ParkSettings()
    builds: Path | None = None
    """Where the chosen CPU build stands (engine.json); None: the server's own."""
    log_file: Path | None = None
    """Where the engine's log goes (mode 0600, bounded); None keeps only its last lines in memory."""

    def __post_init__(self) -> None:
        if self.slots < 1 or self.context_tokens < 1 or (self.threads is not None and self.threads < 1):
            raise ValueError("engine slots, context_tokens and threads are at least 1")
        if self.kv_type not in KV_TYPES:
            raise ValueError(f"engine kv_type is one of {', '.join(KV_TYPES)}")


class ServeOrder(msgspec.Struct, frozen=True):
    """The first line of the child's standard input. Not on its command line, where other users could read the key."""

    model: str
    alias: str
    threads: int
    slots: int
    context_tokens: int
    api_key: str
    kv_type: str = "f16"
    park: ParkSettings = ParkSettings()
    builds: str = ""


class Report(msgspec.Struct, frozen=True):
    """The one line that the child writes on its standard output: a port, or why there is none."""

    port: int = 0
    build: str = ""
    """What computes, in a sentence."""
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
