"""Disks that fail: a SQLite VFS over the real one that refuses to open, write or sync, and a store whose commits fail.

`FailingDisk` raises where the real disk would, so that SQLite itself has to cope. `DoubtfulStore` is worse than any SQLite: it may
report failure for a commit that was written.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import apsw

from jevons.ledger.ops import Op
from jevons.ledger.sqlite import SqliteStore
from jevons.ledger.store import Snapshot

_names = itertools.count()


class FailingDisk(apsw.VFS):
    """`broken` maps "open", "write" or "sync", then the end of a file's name ("" = any), to what is raised there.

    `spared` operations of those succeed first.
    """

    def __init__(self) -> None:
        self.name = f"failing-{next(_names)}"
        self.broken: dict[tuple[str, str], type[Exception]] = {}
        self.spared = 0
        self.refused = 0
        super().__init__(self.name, "")

    def meet(self, operation: str, file: str) -> None:
        for (broken, end), error in self.broken.items():
            if broken == operation and file.endswith(end):
                if self.spared:
                    self.spared -= 1
                    return
                self.refused += 1
                raise error(f"{operation} of {Path(file).name}")

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> "FailingFile":
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.meet("open", path)
        return FailingFile(self, name, flags, path)


class FailingFile(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: apsw.URIFilename | str | None, flags: list[int], path: str) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.meet("write", self._path)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.meet("sync", self._path)
        super().xSync(flags)


class DoubtfulStore:
    """A real store whose next commits fail as `failures` says: (error, was it written all the same)."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.failures: list[tuple[Exception, bool]] = []
        self.applied: list[list[Op]] = []

    def load(self) -> Snapshot:
        return self.store.load()

    def apply(self, batch: Sequence[Op]) -> None:
        if self.failures:
            error, written = self.failures.pop(0)
            if written:
                self.store.apply(batch)
            raise error
        self.store.apply(batch)
        self.applied.append(list(batch))

    def has_entry(self, entry_id: int) -> bool:
        return self.store.has_entry(entry_id)

    def probe(self) -> None:
        if self.failures:
            raise self.failures.pop(0)[0]
        self.store.probe()

    def close(self) -> None:
        self.store.close()
