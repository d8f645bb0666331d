"""Parked blocks on a disk: one sealed file per block, in a folder per tenant.

Comes in: a tenant's tag, a name of 32 bytes, plain bytes. Goes out: the same bytes, or None: a file that is damaged, foreign or
unreadable is removed and counted, and its block is computed anew. A disk that is full, read-only, broken or not ours is left alone
for a while, with one line in the log; nothing here raises to whoever asks. May be used from many threads.
Does not know: which blocks are worth keeping, how many bytes they may take in all, what is in them.

    FOLDER/<tag, 32 hex>/<name, 64 hex>     0600, in folders 0700; written under a temporary name, then renamed

There is no fsync: a killed process loses nothing that it wrote, and what a power cut tears is refused by its seal.
Who erases a tenant renames its folder away first (`erase`): a process that writes meanwhile finds it gone, and forgets the tenant too.
"""

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from jevons.core.limits import (
    PARK_BLOCK_BYTES_MAX,
    PARK_DISK_FREE_MIN_BYTES,
    PARK_DISK_FREE_MIN_SHARE,
    PARK_DISK_RETRY_S,
)
from jevons.engine.park.sealing import NAME_BYTES, park_sealer
from jevons.ledger.sealing import TAG_BYTES, Refused, Sealer

log = logging.getLogger("jevons.engine.park")
PARTIAL = ".partial"
ERASED = ".erased-"


class Filed(NamedTuple):
    """One file of the park."""

    tag: bytes
    name: bytes
    size_bytes: int
    """Of the file: sealing.OVERHEAD_BYTES more than the block."""
    written_s: float
    """Unix seconds."""


class Disk:
    """`secret`: the installation's. `tenants`: tags of those who opted in; files of all others are removed at the start.

    `retention_s`: age at which a file is removed, whether it was used or not. Times are Unix seconds.
    """

    def __init__(self, folder: Path, secret: bytes, tenants: frozenset[bytes], retention_s: float) -> None:
        self._folder = folder
        self._tenants = tenants
        self._retention_s = retention_s
        self._lock = Lock()
        self._retry_s = 0.0
        self._made: set[bytes] = set()
        self.why_off: str | None = None
        """What keeps blocks from being written; None while they are."""
        self.refused = 0
        """Files that were removed because their bytes were not what had been sealed under their name, or could not be read."""
        self._sealer: Sealer | None = None
        try:
            self._sealer = park_sealer(secret)
        except ImportError:
            self._off("the package `cryptography` is missing; to encrypt: pip install cryptography", float("inf"))

    def takes(self, tag: bytes) -> bool:
        return self._sealer is not None and tag in self._tenants

    def start(self, now_s: float) -> list[Filed]:
        """Remove what must not stay (unfinished, too old, of tenants who did not opt in); what is left, the oldest first."""
        kept = []
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(self._folder)
            for file in listing(self._folder):
                if file.tag in self._tenants and abs(now_s - file.written_s) <= self._retention_s:
                    kept.append(file)
                else:
                    self.remove(file.tag, file.name)
        except OSError as error:
            self._off(_reason(error), now_s)
        self._made = {file.tag for file in kept}
        return sorted(kept, key=lambda file: file.written_s)

    def expired(self, now_s: float) -> list[Filed]:
        """Files past their retention. A clock that was set back does not prolong it: a file from far ahead counts too."""
        with suppress(OSError):
            return [file for file in listing(self._folder) if abs(now_s - file.written_s) > self._retention_s]
        return []

    def write(self, tag: bytes, name: bytes, plain: bytes, now_s: float) -> bool:
        """Whether the file is there now. False: parking on disk is off, or the tenant was erased meanwhile (`erased`)."""
        if self._sealer is None or now_s < self._retry_s:
            return False
        try:
            if not self._make(tag):
                return False
            self._keep_free(len(plain))
            _replace(self._file(tag, name), self._sealer.seal(tag, name, plain))
        except FileNotFoundError:
            return False  # erased between two lines
        except OSError as error:
            self._off(_reason(error), now_s + PARK_DISK_RETRY_S)
            return False
        self._on()
        return True

    def read(self, tag: bytes, name: bytes) -> bytes | None:
        if self._sealer is None:
            return None
        file = self._file(tag, name)
        try:
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(handle, "rb", buffering=0) as source:
                size = os.fstat(handle).st_size
                if size > PARK_BLOCK_BYTES_MAX:
                    raise Refused
                return self._sealer.open(tag, name, source.read(size))
        except FileNotFoundError:
            return None
        except (Refused, OSError):
            with self._lock:
                self.refused += 1
            self.remove(tag, name)
            return None

    def remove(self, tag: bytes, name: bytes) -> None:
        with suppress(OSError):
            self._file(tag, name).unlink(missing_ok=True)

    def erased(self) -> set[bytes]:
        """Tenants whose folder was taken away since it was made or found; each is told once."""
        with self._lock:
            gone = {tag for tag in self._made if not self._file(tag).is_dir()}
            self._made -= gone
        return gone

    def _make(self, tag: bytes) -> bool:
        """The tenant's folder, if it is not there yet. False if it was there before: somebody erased the tenant."""
        with self._lock:
            if tag in self._made:
                return self._file(tag).is_dir()
            self._file(tag).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made.add(tag)
            return True

    def _keep_free(self, size_bytes: int) -> None:
        disk = os.statvfs(self._folder)
        floor = min(PARK_DISK_FREE_MIN_BYTES, int(disk.f_blocks * disk.f_frsize * PARK_DISK_FREE_MIN_SHARE))
        if disk.f_bavail * disk.f_frsize - size_bytes < floor:
            raise OSError(errno.ENOSPC, f"less than {floor / 2**20:,.0f} MiB would stay free")

    def _file(self, tag: bytes, name: bytes | None = None) -> Path:
        folder = self._folder / tag.hex()
        return folder / name.hex() if name else folder

    def _off(self, why: str, retry_s: float) -> None:
        with self._lock:
            self._retry_s = retry_s
            said, self.why_off = self.why_off, why
        if said is None:
            log.warning("parking on disk is off (%s: %s); conversations are parked in memory only", self._folder, why)

    def _on(self) -> None:
        with self._lock:
            was, self.why_off = self.why_off, None
        if was is not None:
            log.warning("parking on disk is on again (%s)", self._folder)


def listing(folder: Path) -> Iterator[Filed]:
    """Every file of the park. Raises OSError; what is not ours by its name is passed over."""
    for home in _tenants(folder):
        with suppress(FileNotFoundError), os.scandir(home.path) as files:
            for file in files:
                name = _bytes(file.name, NAME_BYTES)
                if name is not None and file.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        facts = file.stat(follow_symlinks=False)
                        yield Filed(bytes.fromhex(home.name), name, facts.st_size, facts.st_mtime)


def erase(folder: Path, tags: set[bytes] | None = None) -> tuple[int, int]:
    """Remove everything of these tenants, or of all: (files, bytes) removed. Safe beside a process that writes. Raises OSError."""
    files = size_bytes = 0
    for home in _tenants(folder):
        if tags is None or bytes.fromhex(home.name) in tags:
            aside = folder / f"{ERASED}{secrets.token_hex(8)}"
            os.rename(home.path, aside)  # at once for whoever writes: its next file finds no folder
            with os.scandir(aside) as inside:
                sizes = [file.stat(follow_symlinks=False).st_size for file in inside]
            files, size_bytes = files + len(sizes), size_bytes + sum(sizes)
            shutil.rmtree(aside)
    return files, size_bytes


def _tenants(folder: Path) -> list["os.DirEntry[str]"]:
    with suppress(FileNotFoundError), os.scandir(folder) as homes:
        return [home for home in homes if _bytes(home.name, TAG_BYTES) is not None and home.is_dir(follow_symlinks=False)]
    return []


def _sweep(folder: Path) -> None:
    """What a process left behind that was killed while it wrote or erased."""
    for rest in folder.glob(f"{ERASED}*"):
        shutil.rmtree(rest, ignore_errors=True)
    for rest in folder.glob(f"*/*{PARTIAL}"):
        rest.unlink(missing_ok=True)


def _replace(file: Path, sealed: bytes) -> None:
    """The whole file or none. Raises OSError."""
    partial = file.with_name(file.name + PARTIAL)
    handle = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb", buffering=0) as out:
            view = memoryview(sealed)
            while view:
                view = view[out.write(view) :]
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _bytes(name: str, length: int) -> bytes | None:
    with suppress(ValueError):
        value = bytes.fromhex(name)
        if len(value) == length and value.hex() == name:
            return value
    return None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
