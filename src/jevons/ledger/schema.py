"""The ledger file's schema: numbered forward migrations, a backup before each.

Comes in: an open connection and where backups go. Goes out: the same file at the newest version. There is no way back but the backup.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import apsw

from jevons.core.limits import LEDGER_BUSY_S
from jevons.ledger.errors import LedgerError

APPLICATION_ID = 0x4A455631  # "JEV1": `file ledger.db` and we can tell it from any other SQLite file


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, ascending."""
    folder = resources.files("jevons.ledger").joinpath("migrations")
    named = ((re.fullmatch(r"(\d{4})_\w+\.sql", item.name), item) for item in folder.iterdir())
    return sorted((int(match[1]), item.read_text(encoding="utf-8")) for match, item in named if match)


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Whatever keeps a ledger file from being opened or read becomes a LedgerError for its owner."""
    try:
        yield
    except apsw.NotADBError as error:
        raise LedgerError(
            f"{path} is not a SQLite file ({error}). Move it away or restore a backup; nothing was changed."
        ) from None
    except apsw.CorruptError as error:
        raise LedgerError(
            f"{path} is damaged ({error}). Restore a backup (`jevons backup` made one?), or see what `sqlite3 {path} .recover` can save."
            " Nothing was changed."
        ) from None
    except (apsw.Error, OSError) as error:
        raise LedgerError(
            f"{path} cannot be used: {error}. Is the disk full, is it yours to write, is another program writing?"
        ) from None


def version_of(db: apsw.Connection) -> int:
    """The schema's version, 0 for an empty file. Raises LedgerError for a foreign or newer file. Only reads."""
    version, application = int(db.pragma("user_version")), int(db.pragma("application_id"))
    tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and (application or version or tables):
        raise LedgerError(f"{db.filename} is not a Jevons ledger (application id {application:#x}). Nothing was changed.")
    newest = migrations()[-1][0]
    if version > newest:
        raise LedgerError(
            f"{db.filename} was written by a newer Jevons (schema {version}, this one knows {newest}). Install that version; nothing was changed."
        )
    return version


def migrate(db: apsw.Connection, backups: Path | None) -> list[int]:
    """Bring the file to the newest version; returns the versions applied. Raises LedgerError as `version_of`."""
    current = version_of(db)
    applied = []
    for version, sql in migrations():
        if version <= current:
            continue
        if current and backups is not None:
            backup(db, backups / f"ledger-before-{version:04d}.db")
        with db:
            db.execute(sql)
            db.pragma("user_version", version)
            db.pragma("application_id", APPLICATION_ID)
        applied.append(version)
    return applied


def backup_file(path: Path, target: Path) -> None:
    """Copy the ledger at `path`, live or not, from a connection of its own: whoever writes meanwhile is not held up."""
    with in_words(path):
        source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            source.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
            backup(source, target)
        finally:
            source.close()


def backup(source: apsw.Connection, target: Path) -> None:
    """Copy a ledger to `target` (0600), consistent and synced; replaces `target` only when the copy is whole. Raises LedgerError."""
    if target.exists() and target.samefile(source.filename):
        raise LedgerError(f"{target} is the ledger itself; name another file for the backup.")
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            _copy(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    except (apsw.Error, OSError) as error:
        raise LedgerError(f"The backup {target} could not be written: {error}.") from None


def _copy(source: apsw.Connection, partial: Path) -> None:
    copy = apsw.Connection(str(partial))
    try:
        with copy.backup("main", source, "main") as running:
            running.step(-1)  # at once, from one snapshot
        # A copy of a WAL file asks for WAL again; on its own it is one plain file.
        copy.pragma("journal_mode", "delete")
        if (verdict := copy.pragma("quick_check")) != "ok":
            raise LedgerError(f"the copy of {source.filename} is damaged: {verdict}. The backup was not written.")
    finally:
        copy.close()
    with partial.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
