"""JEVONS_HOME: one folder, one owner. Everything Jevons keeps is under it, files 0600, the folder 0700.

The serving process holds an exclusive lock on it; command-line writes take the same lock when nobody serves.
"""

import fcntl
import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from jevons.ledger.errors import LedgerError
from jevons.ledger.schema import sync_folder


class Home:
    """Paths under JEVONS_HOME. Creating a `Home` makes the folder, nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_dir():
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(path.parent)
        except OSError as error:
            raise LedgerError(f"cannot make {path} ({error.strerror}). Set JEVONS_HOME to a folder you may write.") from None

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def backups(self) -> Path:
        return self.path / "backups"

    @property
    def config(self) -> Path:
        return self.path / "jevons.toml"

    @property
    def address(self) -> Path:
        """Where the serving process says how it is reached; absent when nobody serves."""
        return self.path / "serving.json"

    def secret(self, name: str) -> bytes:
        """32 random bytes kept under `name`, made at first need."""
        return bytes.fromhex(self._token(f"{name}.secret"))

    def admin_token(self) -> str:
        """The admin API's own token, made at first need."""
        return self._token("admin.token", "jva-")

    def _token(self, name: str, prefix: str = "") -> str:
        file = self.path / name
        try:
            token = file.read_text(errors="replace").strip()
        except FileNotFoundError:
            token = prefix + secrets.token_hex(32)
            write_private(file, token + "\n")
        if not re.fullmatch(f"{prefix}[0-9a-f]{{64}}", token):  # an empty admin token would let everybody in
            raise LedgerError(
                f"{file} is damaged: it should hold {prefix}64 hexadecimal digits. Restore it, or remove it: then a new one is made."
            )
        return token


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    handle = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)
    sync_folder(file.parent)


class HomeLock:
    """Exclusive ownership of JEVONS_HOME while the context is open. Raises LedgerError if another process has it."""

    def __init__(self, home: Home) -> None:
        self._file = home.path / "lock"
        self._handle = -1

    def __enter__(self) -> Self:
        folder = self._file.parent
        try:
            self._handle = os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise LedgerError(
                f"{folder} is in use by process {owner}. One process serves one JEVONS_HOME; stop it, or set JEVONS_HOME to another folder."
            ) from None
        except OSError as error:
            raise LedgerError(
                f"cannot lock {self._file} ({error.strerror}). JEVONS_HOME must be a local folder of yours."
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._handle)
