"""An import from beginning to end: files are read, rows rated, batches handed to the ledger, what cannot be used is set aside.

Comes in: a kind, files, where batches go (`Door`). Goes out: a `Report`, and a file of what was set aside. Stops between any two batches leave
nothing half done: a batch and the mark of how far its file is read are one transaction, and a row that is in the ledger already is known by its
digest. A row that has grown since it was read (a bucket of a day that was not over) comes in as a further row of what it grew by.

Does not know: formats, where the ledger is, the terminal.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import apsw
import msgspec

from jevons.core.entry import Entry, admitted_ms
from jevons.core.limits import IMPORT_NAME_CHARACTERS_MAX, IMPORT_SET_ASIDE_SHOWN, IMPORT_SETTLE_S
from jevons.core.usage import Usage
from jevons.imports.growth import added, figures, larger, less
from jevons.imports.kinds import NO_OPTIONS, PROVIDERS, Kind, Options
from jevons.imports.rating import Rater
from jevons.imports.reading import SourceFile, Unreadable
from jevons.imports.record import Record, Row, digest_of
from jevons.ledger.importing import Known, Whose
from jevons.ledger.ops import FileMark, Imported, ImportRow
from jevons.ledger.rollup import DAY_MS


class Door(Protocol):
    """The ledger, as an import needs it."""

    batch_rows: int

    def keys(self, wanted: Sequence[Whose]) -> list[int]: ...

    def take_in(self, batch: Imported) -> int:
        """Durably all of it, or none. How many rows were new."""

    def known(self, digests: Sequence[bytes]) -> dict[bytes, Known]: ...

    def marks(self, kind: str) -> dict[str, FileMark]: ...

    def days_with(self, source: str) -> set[int]: ...


class CountedTwice(Exception):
    """Rows that say in other words what the ledger has already. The message says what to do."""


class SetAside(msgspec.Struct, frozen=True):
    """A row that was not used. Nothing of it is kept but where it stands and why."""

    file: str
    line: int
    reason: str


class Report(msgspec.Struct):
    """What an import did."""

    kind: str
    files: int = 0
    unchanged_files: int = 0
    """Read to their end before."""
    rows: int = 0
    fresh: int = 0
    """Came into the ledger."""
    grown: int = 0
    """Of these: what a row had grown by since it was read before."""
    known: int = 0
    """Are in the ledger already."""
    earlier: int = 0
    """Lie before --since."""
    unsettled: int = 0
    """Calls that may still be written to: the next import takes them."""
    set_aside: int = 0
    set_aside_shown: list[SetAside] = []
    set_aside_file: str = ""
    list_nusd: int = 0
    billed_nusd: int = 0
    first_ms: int = 0
    last_ms: int = 0
    unpriced: list[dict[str, object]] = []
    rated_plain: list[dict[str, object]] = []
    """Rows of a tariff for which the price book had no rates at that time."""
    dry_run: bool = False
    seconds: float = 0.0


class Import:
    """One import of one kind."""

    def __init__(
        self,
        kind: Kind,
        door: Door,
        rater: Rater,
        *,
        options: Options = NO_OPTIONS,
        since_ms: int = 0,
        dry_run: bool = False,
        aside: Path | None = None,
        clock: Callable[[], float] = time.time,
        on_read: Callable[[int], None] = lambda packed_bytes: None,
        on_batch: Callable[[Report], None] = lambda report: None,
    ) -> None:
        """`aside` is the file for rows that cannot be used, made at the first. `on_read` is told bytes of the present file."""
        self.report = Report(kind.name, dry_run=dry_run)
        self._kind, self._door, self._rater, self._options = kind, door, rater, options
        self._since_ms, self._dry_run, self._aside = since_ms, dry_run, aside
        self._clock, self._on_read, self._on_batch = clock, on_read, on_batch
        self._key_ids: dict[Whose, int] = {}
        self._other_days: dict[str, set[int]] = {}

    def run(self, paths: Iterable[Path]) -> Report:
        """All files, one after the other. Raises Unreadable, CountedTwice, LedgerError; what came before is in the ledger then."""
        begun = time.perf_counter()
        marks = self._door.marks(self._kind.name)
        for path in paths:
            self.report.files += 1
            try:
                self._file(SourceFile(path, self._on_read), marks)
            except Unreadable as error:
                if not self._kind.sessions:
                    raise
                self._note_aside(SetAside(str(path), 0, str(error)))  # the other sessions can be read
            self._on_batch(self.report)
        self.report.unpriced = [{**msgspec.to_builtins(found), "override": found.line} for found in self._rater.unpriced.values()]
        self.report.rated_plain = [
            {"price_row": row, "tariff": tariff, "rows": rows} for (row, tariff), rows in self._rater.rated_plain.items()
        ]
        self.report.seconds = time.perf_counter() - begun
        return self.report

    def _file(self, file: SourceFile, marks: dict[str, FileMark]) -> None:
        """One file, from where it stood."""
        name = mark_name(file.path, self._kind, self._options)
        before = marks.get(name)
        same = before is not None and (before.size, before.mtime_ns) == (file.size, file.mtime_ns)
        if before is not None and same and before.offset < 0:
            self.report.unchanged_files += 1
            return
        start, line, set_aside = 0, 0, 0
        if self._kind.sessions and file.mtime_ns // 1_000_000 < self._since_ms:
            return  # it was not written to since
        resume = self._kind.resume if not self._since_ms and file.is_json and file.has_lines else None
        if before is not None and same and resume is not None:
            start, line, set_aside = before.offset, before.rows, before.set_aside
        rows = resume(file, start, line) if resume is not None else self._kind.read(file, self._options)
        progress = _Progress(name, file, line, set_aside)
        batch: list[tuple[Record, Row]] = []
        for row in rows:
            progress.line, progress.offset = max(progress.line, row.line), max(progress.offset, row.offset)
            batch += [(record, row) for record in self._usable(file, row, progress)]
            if len(batch) >= self._door.batch_rows:
                self._hand_over(file, batch, self._mark(progress) if resume is not None else None, progress)
                batch = []
        complete = not progress.unsettled and not self._since_ms
        self._hand_over(file, batch, self._mark(progress, done=True) if complete else None, progress)

    def _usable(self, file: SourceFile, row: Row, progress: "_Progress") -> Iterator[Record]:
        """The row's records that are to be taken in now."""
        if row.problem:
            self._set_aside(file, row.line, row.problem, progress)
            return
        now_ms = int(self._clock() * 1000)
        for record in row.records:
            self.report.rows += 1
            if self._kind.sessions and abs(record.at_ms - now_ms) < IMPORT_SETTLE_S * 1000:
                self.report.unsettled += 1
                progress.unsettled += 1
            elif record.at_ms > now_ms:
                self._set_aside(file, row.line, "its time lies in the future", progress)
            elif record.at_ms < self._since_ms:
                self.report.earlier += 1
            elif max(map(len, _names(record))) > IMPORT_NAME_CHARACTERS_MAX:
                self._set_aside(file, row.line, "one of its names is too long for a name", progress)
            else:
                yield self._told_apart(file, row, record, progress)

    def _told_apart(self, file: SourceFile, row: Row, record: Record, progress: "_Progress") -> Record:
        """Equal rows of one file are as many rows: the second of them is another than the first.

        Of buckets those that stand side by side: labels that we do not read tell them apart. The same bucket on a later page is the same.
        """
        if not self._kind.counted:
            return record
        if self._kind.counted == "rows":
            place = progress.place_of(record.identity)
        else:
            sums = repr((record.usage, record.requests, record.billed_nusd, record.list_nusd))
            place = progress.place_of_sums(f"{record.identity}:{row.offset}" if file.is_json else record.identity, sums)
        return record if place == 0 else msgspec.structs.replace(record, identity=f"{record.identity}#{place}")

    def _hand_over(self, file: SourceFile, batch: list[tuple[Record, Row]], mark: FileMark | None, progress: "_Progress") -> None:
        """One transaction: the rows that are new, and how far the file is read."""
        fresh = self._fresh(file, batch, progress)
        if not fresh and mark is None:
            return
        self._refuse_twice([record for _, record, _ in fresh])
        ids = self._ids([self._whose(record) for _, record, _ in fresh])
        rows = []
        for (digest, record, _), key_id in zip(fresh, ids, strict=True):
            rows.append(ImportRow(digest, self._rater.entry(record, self._kind.source_of(record), key_id)))
        if mark is not None:
            mark = msgspec.structs.replace(mark, set_aside=progress.set_aside)
        taken = len(rows) if self._dry_run else self._door.take_in(Imported(tuple(rows), mark))
        self._count([row.entry for row in rows], taken, sum(change for *_, change in fresh))

    def _fresh(
        self, file: SourceFile, batch: list[tuple[Record, Row]], progress: "_Progress"
    ) -> list[tuple[bytes, Record, bool]]:
        """(digest, record, is it what a row grew by) of those that are to be written."""
        latest: dict[bytes, tuple[Record, Row]] = {}
        for record, row in batch:
            digest = digest_of(self._kind.source_of(record), record.identity)
            if digest in latest:
                self.report.known += 1
                record = larger(latest[digest][0], record)
            latest[digest] = (record, row)
        known = self._door.known(list(latest))
        fresh: list[tuple[bytes, Record, bool]] = []
        for digest, (record, row) in latest.items():
            if digest not in known:
                fresh.append((digest, record, False))
                continue
            changed, further = self._growth(record, known[digest])
            if further is None:
                if changed:
                    self._set_aside(file, row.line, "it is in the ledger with larger sums", progress)
                else:
                    self.report.known += 1
            else:
                fresh.append((*further, True))
        return fresh

    def _growth(self, record: Record, had: Known) -> tuple[bool, tuple[bytes, Record] | None]:
        """(does it differ from what the ledger has of it, what it grew by and the digest of that)"""
        if figures(record, had) == had:
            return False, None
        source, change = self._kind.source_of(record), 1
        while more := self._door.known([digest := digest_of(source, record.identity, change)]):
            had = added(had, more[digest])
            change += 1
        now = figures(record, had)
        if now == had:
            return False, None
        grown = less(now, had)
        if grown is None:
            return not self._kind.sessions, None  # a copy in another session may be of before the answer was whole
        usage = None if record.usage is None else Usage(*grown.tokens, grown.reasoning)
        told = grown.billed_nusd if record.billed_nusd is not None else None
        listed = grown.list_nusd if record.list_nusd is not None else None
        further = msgspec.structs.replace(record, usage=usage, requests=grown.requests, billed_nusd=told, list_nusd=listed)
        return True, (digest, further)

    def _refuse_twice(self, records: Iterable[Record]) -> None:
        """A provider's usage and its costs of the same days are the same money."""
        if self._kind.name not in PROVIDERS:
            return
        for record in records:
            usage = record.usage is not None
            other = f"{self._kind.name}-{'costs' if usage else 'usage'}"
            if other not in self._other_days:
                self._other_days[other] = self._door.days_with(other)
            if record.at_ms // DAY_MS in self._other_days[other]:
                day = time.strftime("%Y-%m-%d", time.gmtime(record.at_ms / 1000))
                raise CountedTwice(
                    f"The ledger has {other} of {day} already; with this file that day would count twice. Import either usage (tokens, rated at"
                    f" list prices) or costs (dollars without tokens) of a day; --since DAY takes only what comes from that day on."
                )

    def _whose(self, record: Record) -> Whose:
        return Whose(self._kind.source_of(record), record.account, record.team, record.org)

    def _ids(self, wanted: list[Whose]) -> list[int]:
        missing = [whose for whose in dict.fromkeys(wanted) if whose not in self._key_ids]
        if missing:
            found = [0] * len(missing) if self._dry_run else self._door.keys(missing)
            self._key_ids.update(zip(missing, found, strict=True))
        return [self._key_ids[whose] for whose in wanted]

    def _count(self, entries: list[Entry], taken: int, grown: int) -> None:
        report = self.report
        report.fresh += taken
        report.known += len(entries) - taken
        report.grown += grown
        for entry in entries:
            report.list_nusd += entry.list_nusd
            report.billed_nusd += entry.billed_nusd
        times = [admitted_ms(entry.hold.id) for entry in entries]
        if times:
            report.first_ms = min(report.first_ms or times[0], *times)
            report.last_ms = max(report.last_ms, *times)
        self._on_batch(report)

    def _mark(self, progress: "_Progress", *, done: bool = False) -> FileMark:
        """`offset` -1: read to its end."""
        file = progress.file
        offset = -1 if done else progress.offset
        return FileMark(
            self._kind.name,
            progress.name,
            file.size,
            file.mtime_ns,
            offset,
            progress.line,
            progress.set_aside,
            int(self._clock() * 1000),
        )

    def _set_aside(self, file: SourceFile, line: int, reason: str, progress: "_Progress") -> None:
        progress.set_aside += 1
        self._note_aside(SetAside(str(file.path), line, reason))

    def _note_aside(self, found: SetAside) -> None:
        self.report.set_aside += 1
        if len(self.report.set_aside_shown) < IMPORT_SET_ASIDE_SHOWN:
            self.report.set_aside_shown.append(found)
        if self._aside is None or self._dry_run:
            return
        if not self.report.set_aside_file:
            self._aside.parent.mkdir(mode=0o700, exist_ok=True)
            self._aside.touch(mode=0o600)
            self.report.set_aside_file = str(self._aside)
        with self._aside.open("ab") as out:
            out.write(msgspec.json.encode(found) + b"\n")


class _Progress:
    """How far one file is."""

    def __init__(self, name: str, file: SourceFile, line: int, set_aside: int) -> None:
        self.name, self.file = name, file
        self.line, self.offset, self.set_aside, self.unsettled = line, 0, set_aside, 0
        self._places: apsw.Connection | None = None

    def place_of(self, identity: str) -> int:
        """How many rows of this file had this identity before."""
        upsert = "INSERT INTO rows VALUES (?, 0) ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number"
        place: int = self._seen().execute(upsert, (identity,)).get
        return place

    def place_of_sums(self, identity: str, sums: str) -> int:
        """How many other sums this file had under this identity before these."""
        db = self._seen()
        place: int | None = db.execute("SELECT place FROM sums WHERE identity = ? AND sums = ?", (identity, sums)).get
        if place is None:
            place = int(db.execute("SELECT count(*) FROM sums WHERE identity = ?", (identity,)).get)
            db.execute("INSERT INTO sums VALUES (?, ?, ?)", (identity, sums, place))
        return place

    def _seen(self) -> apsw.Connection:
        """On disk where there are many, in a file of its own that goes when it is closed: files may have any number of rows."""
        if self._places is None:
            self._places = apsw.Connection("")
            self._places.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            self._places.execute("CREATE TABLE rows (identity TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID")
            self._places.execute(
                "CREATE TABLE sums (identity TEXT, sums TEXT, place INTEGER NOT NULL, PRIMARY KEY (identity, sums)) WITHOUT ROWID; BEGIN"
            )
        return self._places


def _names(record: Record) -> tuple[str, ...]:
    return (
        record.model, record.asked, record.provider or "", record.account, record.team, record.org, record.agent, record.run or "",
        record.parent_run or "", *(value for _, value in record.context),
    )  # fmt: skip


def mark_name(path: Path, kind: Kind, options: Options = NO_OPTIONS) -> str:
    """What a file is known by. Of session logs a digest: their folders are named after projects. A trace may be read as several models."""
    whole = str(path.absolute())
    if options.trace.model:
        whole += f" as {options.trace.provider or ''}/{options.trace.model} from {options.trace.start_ms or 0}"
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest() if kind.sessions else whole
