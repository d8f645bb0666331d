"""A disk that can lose power: which bytes of which files would be there afterwards.

A SQLite VFS over the real one. Reads and writes go to real files, so that the running process sees what it wrote; beside them it
keeps what is durable: the content of each file at its last xSync, the changes since, and the names that are safely in the folder.
`Disk.image` draws one of the states that a power cut now could leave: of the changes since the last sync any subset survives, in
pieces of one sector, in any order, also a file's length without its data. What was synced survives whole. The WAL index (-shm) is
memory, so it never survives.

A name is durable once its folder was synced: SQLite does that at the first sync of a journal or WAL it created, and when it
deletes with `syncdir` (os_unix.c: UNIXFILE_DIRSYNC, unixDelete). xSync does not sync the real disk: that makes the test quick.
"""

import enum
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import apsw

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
Image = dict[str, bytes]
"""File name -> content."""

_names = itertools.count()


class Survival(enum.Enum):
    """Which changes since the last sync survive."""

    NONE = "none of them"
    ALL = "all of them"
    FIRST = "the first few"
    LAST = "the last few"
    WHOLE = "any of them, each whole"
    TORN = "any sectors of any of them"
    LENGTH = "any sectors, and every file as long as it was"
    BUT_ONE = "all but one sector"


class Change(NamedTuple):
    """A write of `data` at `offset`, or, without data, a truncation to `offset`."""

    offset: int
    data: bytes | None


class Inode:
    """One file's durable content, and what was done to it since."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced
        self.pending: list[Change] = []

    def content(self, rng: random.Random, survival: Survival) -> bytes:
        kept = self._kept(rng, survival)
        content, length = bytearray(self.synced), len(self.synced)
        for (offset, data), keep in zip(self._pieces(), kept, strict=True):
            length = offset if data is None else max(length, offset + len(data))
            if keep and data is None:
                del content[offset:]
            elif keep and data is not None:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        if survival is Survival.LENGTH:
            content.extend(bytes(max(0, length - len(content))))
        return bytes(content)

    def _kept(self, rng: random.Random, survival: Survival) -> list[bool]:
        pieces = self._pieces()
        if survival in (Survival.NONE, Survival.ALL):
            return [survival is Survival.ALL] * len(pieces)
        if survival in (Survival.FIRST, Survival.LAST):
            border = rng.randint(0, len(pieces))
            return [(i < border) is (survival is Survival.FIRST) for i in range(len(pieces))]
        if survival is Survival.BUT_ONE:
            lost = rng.randrange(len(pieces)) if pieces else 0
            return [i != lost for i in range(len(pieces))]
        share = rng.random()
        if survival is Survival.WHOLE:
            by_change = [rng.random() < share for _ in self.pending]
            return [by_change[number] for number, change in enumerate(self.pending) for _ in _sectors(change)]
        return [rng.random() < share for _ in pieces]

    def _pieces(self) -> list[Change]:
        return [piece for change in self.pending for piece in _sectors(change)]


class Disk(apsw.VFS):
    """One folder on a disk that can lose power. `moment` is called where a power cut is worth looking at."""

    def __init__(self, folder: Path, image: Image, moment: Callable[[str], None]) -> None:
        self.name = f"power-{next(_names)}"
        self.folder = folder
        self._moment = moment
        self.files = {name: Inode(content) for name, content in image.items()}
        self._durable_names = dict(self.files)
        self._pending_names: list[tuple[str, Inode | None]] = []
        folder.mkdir()
        for name, content in image.items():
            (folder / name).write_bytes(content)
        super().__init__(self.name, "")

    def image(self, rng: random.Random, survival: Survival) -> Image:
        """One state that a power cut now could leave."""
        names: dict[str, Inode | None] = dict(self._durable_names)
        share = {Survival.NONE: 0.0, Survival.ALL: 1.0}.get(survival, 0.5)
        names.update([pending for pending in self._pending_names if rng.random() < share])
        return {name: inode.content(rng, survival) for name, inode in names.items() if inode is not None}

    def sync_names(self) -> None:
        for name, inode in self._pending_names:
            if inode is None:
                self._durable_names.pop(name, None)
            else:
                self._durable_names[name] = inode
        self._pending_names.clear()

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> "File":
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        created = path.name not in self.files
        if created:
            self.files[path.name] = Inode()
            self._pending_names.append((path.name, self.files[path.name]))
        return File(self, name, flags, self.files[path.name], self._moment, sync_names=created and bool(flags[0] & JOURNALS))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        if self.files.pop(Path(filename).name, None) is not None:
            self._pending_names.append((Path(filename).name, None))
        self._moment("deleted")
        if syncdir:
            self.sync_names()


class File(apsw.VFSFile):
    """A file of the disk, open."""

    def __init__(
        self,
        disk: Disk,
        name: apsw.URIFilename | str | None,
        flags: list[int],
        inode: Inode,
        moment: Callable[[str], None],
        *,
        sync_names: bool,
    ) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._inode = inode
        self._moment = moment
        self._sync_names = sync_names

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._inode.pending.append(Change(offset, bytes(data)))
        self._moment("written")

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._inode.pending.append(Change(newsize, None))
        self._moment("truncated")

    def xSync(self, flags: int) -> None:
        self._moment("before sync")
        durable = self._inode.content(random.Random(0), Survival.ALL)
        self._inode.synced = durable
        self._inode.pending.clear()
        if self._sync_names:
            self._disk.sync_names()
            self._sync_names = False
        self._moment("after sync")


def _sectors(change: Change) -> list[Change]:
    """A write cut at the sector borders of its file; a truncation is one piece."""
    offset, data = change
    if data is None:
        return [change]
    borders = [
        offset,
        *range(offset - offset % SECTOR_BYTES + SECTOR_BYTES, offset + len(data), SECTOR_BYTES),
        offset + len(data),
    ]
    return [Change(a, data[a - offset : b - offset]) for a, b in itertools.pairwise(borders)]
