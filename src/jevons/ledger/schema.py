"""The ledger file's schema: numbered forward migrations, a backup before each.

Comes in: an open connection and where backups go. Goes out: the same file at the newest version. There is no way back but the backup.
"""

import os
import re
from importlib import resources
from pathlib import Path

import apsw

from jevons.ledger.errors import LedgerError

APPLICATION_ID = 0x4A455631  # "JEV1": `file ledger.db` and we can tell it from any other SQLite file


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, ascending."""
    found = []
    for item in resources.files("jevons.ledger").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", item.name):
            found.append((int(match[1]), item.read_text(encoding="utf-8")))
    return sorted(found)


def version_of(db: apsw.Connection) -> int:
    return int(db.pragma("user_version"))


def migrate(db: apsw.Connection, backups: Path | None) -> list[int]:
    """Bring the file to the newest version; returns the versions applied. Raises LedgerError for a foreign or newer file."""
    steps = migrations()
    current, application = version_of(db), int(db.pragma("application_id"))
    tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and (current or tables):
        raise LedgerError(f"{db.filename} is not a Jevons ledger (application id {application:#x}). Nothing was changed.")
    if current > steps[-1][0]:
        raise LedgerError(
            f"{db.filename} was written by a newer Jevons (schema {current}, this one knows {steps[-1][0]}). Install that version; nothing was changed."
        )
    applied = []
    for version, sql in steps:
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


def backup(source: apsw.Connection, target: Path) -> None:
    """Copy a live ledger to `target` (0600), consistent and synced; replaces `target` only when the copy is whole."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy = apsw.Connection(str(partial))
    try:
        with copy.backup("main", source, "main") as running:
            while not running.done:
                running.step(1000)
        # A copy of a WAL file asks for WAL again; on its own it is one plain file.
        copy.pragma("journal_mode", "delete")
        if (verdict := copy.pragma("quick_check")) != "ok":
            raise LedgerError(f"the copy of {source.filename} is damaged: {verdict}. The backup was not written.")
    finally:
        copy.close()
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
