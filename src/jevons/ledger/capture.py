"""Captured examples: what was asked and what was answered, of those who opted in, sealed. A file of its own (JEVONS_HOME/captured.db).

Comes in: examples of one organisation after the other. Goes out: the same, to make students of; and their erasure, by organisation, key
or request. Each organisation has a random key of its own, which lies in this file, itself sealed under the installation's: to erase an
organisation is to delete that key, and whatever was sealed under it anywhere, such as its students, can be opened by nobody.
Does not know: what may be captured (`gateway.capturing`), what is learnt of it (`distil`), who asks.

Beside the sealed text stand only numbers, names that the ledger has too, and keyed hashes. Deleted rows are overwritten (`secure_delete`), and
the journal is cut after an erasure; a disk that keeps old blocks by itself (a snapshot, an SSD's spare ones) holds sealed bytes only.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import apsw
import msgspec

from jevons.core.features import Features
from jevons.core.limits import CAPTURE_DAYS, CAPTURE_EXAMPLES_MAX, LEDGER_BUSY_S
from jevons.ledger.errors import LedgerError
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.schema import in_words
from jevons.ledger.sealing import Format, Refused, Sealer, tag_of

FILE = "captured.db"
SECRET = "capture"
"""Of `Home.secret`."""
APPLICATION_ID = 0x4A455643  # "JEVC"
_KEY = Format(b"JvOKey\x00\x01", b"jevons organisation key")
_SEALED = Format(b"JvExam\x00\x01", b"jevons examples and students")
_KEY_BYTES = 32
_SCHEMA = """
CREATE TABLE orgs (
    org     TEXT PRIMARY KEY,
    sealed  BLOB NOT NULL       -- the organisation's key; without it nothing of it can be opened
) STRICT, WITHOUT ROWID;
CREATE TABLE examples (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: students name what they hold by it
    org       TEXT NOT NULL,
    key_id    INTEGER NOT NULL,
    request   INTEGER NOT NULL, -- first entry id of the request
    at_ms     INTEGER NOT NULL,
    template  TEXT NOT NULL,
    model     TEXT NOT NULL,    -- who answered, as the route names it
    ok        INTEGER NOT NULL, -- the answer came whole
    even      INTEGER NOT NULL, -- taken by chance, or because every request was
    sealed    BLOB NOT NULL,    -- question, answer, features
    UNIQUE (request, model)
) STRICT;
CREATE INDEX examples_by_template ON examples (org, template, at_ms);
CREATE INDEX examples_by_key ON examples (key_id);
"""
_PUT = (
    "INSERT INTO examples (org, key_id, request, at_ms, template, model, ok, even, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (request, model) DO NOTHING RETURNING id"
)
_READ = (
    "SELECT id, org, key_id, request, at_ms, template, model, ok, even, sealed FROM examples WHERE org = ?1"
    " AND (?2 IS NULL OR template = ?2) AND at_ms >= ?3 ORDER BY at_ms, id"
)


_encode = msgspec.msgpack.Encoder().encode


class CaptureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[capture]`: whose questions and answers are kept for students. Nobody's, unless they are named here."""

    keys: tuple[str, ...] = ()
    """Names of keys that opted in."""
    orgs: tuple[str, ...] = ()
    """Organisations all of whose keys did; keys that name none belong to "default"."""
    retention_days: Annotated[int, msgspec.Meta(gt=0)] = CAPTURE_DAYS
    """Older examples are removed. Students made of them stay."""
    examples_max: Annotated[int, msgspec.Meta(gt=0)] = CAPTURE_EXAMPLES_MAX
    """Of all organisations together; the oldest go first."""

    @property
    def on(self) -> bool:
        return bool(self.keys or self.orgs)

    def takes(self, key: str, org: str) -> bool:
        """Did this key opt in?"""
        return key in self.keys or org in self.orgs


class Example(msgspec.Struct, frozen=True, gc=False):
    """One request that stood by itself, and what a model answered."""

    org: str
    key_id: int
    request: int
    """First entry id."""
    at_ms: int
    template: str
    """Of `Features.template`."""
    model: str
    """Who answered, as the route names it."""
    question: str
    answer: str
    features: Features = Features()
    ok: bool = True
    """The answer came whole, and ended by itself."""
    even: bool = True
    """It was not chosen for being hard: not because a student declined it. Only these measure one."""
    id: int = 0
    """Given as it is kept."""


class _Text(msgspec.Struct, array_like=True, frozen=True, gc=False):
    question: str
    answer: str
    features: Features


_decode = msgspec.msgpack.Decoder(_Text).decode


class Held(msgspec.Struct, frozen=True):
    """What is kept of one key and template."""

    org: str
    key_id: int
    template: str
    examples: int
    first_ms: int
    last_ms: int


class OrgSealer:
    """Seals under one organisation's key: its examples, its students."""

    def __init__(self, org: str, key: bytes) -> None:
        self._tag = tag_of(key, b"org", org)
        self._sealer = Sealer(key, _SEALED)

    def seal(self, name: bytes, plain: bytes) -> bytes:
        return self._sealer.seal(self._tag, name, plain)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        """Raises sealing.Refused."""
        return self._sealer.open(self._tag, name, sealed)


class Captured:
    """The file. Usable from many threads, and by several processes at once; each call is one transaction. Every method raises LedgerError."""

    def __init__(self, path: Path, secret: bytes) -> None:
        """Makes the file where there is none. Raises LedgerError, also without the package that seals."""
        self.path = path
        self._secret = secret
        try:
            self._keys = Sealer(secret, _KEY)
        except ImportError:
            raise LedgerError(
                "Captured examples are sealed by the package `cryptography`: pip install cryptography, or take [capture] out of jevons.toml."
            ) from None
        self._sealers: dict[str, tuple[bytes, OrgSealer]] = {}
        self._lock = threading.Lock()
        with in_words(path):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives the journal's files the same mode
            self._db = apsw.Connection(str(path))
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
        application = int(self._db.pragma("application_id"))
        if application not in (0, APPLICATION_ID):
            raise LedgerError(f"{self.path} is not a file of captured examples. Nothing was changed.")
        self._db.pragma("journal_mode", "wal")
        self._db.pragma("secure_delete", 1)
        with self._transaction() as db:
            if not db.pragma("application_id"):
                db.execute(_SCHEMA)
                db.pragma("application_id", APPLICATION_ID)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def put(self, examples: Sequence[Example]) -> int:
        """Keep them; one that is kept already (same request and model) is passed over. Returns how many were new."""
        fresh = 0
        with self._transaction() as db:
            for one in examples:
                text = _encode(_Text(one.question, one.answer, one.features))
                sealed = self._of(db, one.org).seal(_bound(one.request, one.model), text)
                row = (one.org, one.key_id, one.request, one.at_ms, one.template, one.model, one.ok, one.even, sealed)
                fresh += db.execute(_PUT, row).fetchone() is not None
        return fresh

    def read(self, org: str, *, template: str | None = None, since_ms: int = 0) -> Iterator[Example]:
        """An organisation's examples by time. Own read-only connection: who writes is not waited for."""
        with in_words(self.path):
            db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                db.set_busy_timeout(int(LEDGER_BUSY_S * 1000))
                sealer = self._known(db, org)
                if sealer is None:
                    return
                for number, whose, key_id, request, at_ms, kind, model, ok, even, sealed in db.execute(
                    _READ, (org, template, since_ms)
                ):
                    text = _decode(self._opened(sealer, _bound(request, model), sealed))
                    yield Example(
                        whose,
                        key_id,
                        request,
                        at_ms,
                        kind,
                        model,
                        text.question,
                        text.answer,
                        text.features,
                        bool(ok),
                        bool(even),
                        number,
                    )
            finally:
                db.close()

    def erase(self, *, org: str | None = None, key_id: int | None = None, request: int | None = None) -> list[int]:
        """Remove the examples of an organisation (with its key, for good), of a key, of a request (its first entry id), or of all that is
        named at once. Returns their numbers. Raises ValueError if nothing is named."""
        if org is None and key_id is None and request is None:
            raise ValueError("name an organisation, a key or a request")
        with self._transaction() as db:
            found: list[Any] = db.execute(
                "DELETE FROM examples WHERE (?1 IS NULL OR org = ?1) AND (?2 IS NULL OR key_id = ?2) AND (?3 IS NULL OR request = ?3)"
                " RETURNING id",
                (org, key_id, request),
            ).fetchall()
            if org is not None and key_id is None and request is None:
                db.execute("DELETE FROM orgs WHERE org = ?", (org,))
        self._cut_journal()
        return sorted(int(row[0]) for row in found)

    def prune(self, now_ms: int, settings: CaptureSettings) -> int:
        """Remove what is past its retention, and the oldest of what is too much. Returns how many."""
        with self._transaction() as db:
            db.execute("DELETE FROM examples WHERE at_ms < ?", (now_ms - settings.retention_days * DAY_MS,))
            gone = db.changes()
            db.execute(
                "DELETE FROM examples WHERE id IN (SELECT id FROM examples ORDER BY at_ms DESC, id DESC LIMIT -1 OFFSET ?)",
                (settings.examples_max,),
            )
            gone += db.changes()
        if gone:
            self._cut_journal()
        return gone

    def held(self) -> list[Held]:
        """What is kept of whom, by organisation, key and template."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT org, key_id, template, count(*), min(at_ms), max(at_ms) FROM examples GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
            return [Held(*row) for row in rows]

    def sealer(self, org: str, *, make: bool = False) -> OrgSealer:
        """For what is made of the organisation's examples. Raises LedgerError if it has no key, or none any more, unless it is to be made."""
        with self._transaction() as db:
            sealer = self._of(db, org) if make else self._known(db, org)
        if sealer is None:
            raise LedgerError(f"Nothing is captured of organisation {org!r}, or it was erased: its students cannot be opened.")
        return sealer

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        with self._lock, in_words(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _of(self, db: apsw.Connection, org: str) -> OrgSealer:
        """Its sealer, with a new key if it has none."""
        known = self._known(db, org)
        if known is not None:
            return known
        sealed = self._keys.seal(tag_of(self._secret, b"org", org), b"", os.urandom(_KEY_BYTES))
        db.execute("INSERT INTO orgs (org, sealed) VALUES (?, ?)", (org, sealed))
        made = self._known(db, org)
        assert made is not None
        return made

    def _known(self, db: apsw.Connection, org: str) -> OrgSealer | None:
        """By the key that is in the file now: another process may have erased the one that was in use."""
        row = db.execute("SELECT sealed FROM orgs WHERE org = ?", (org,)).fetchone()
        if row is None:
            self._sealers.pop(org, None)
            return None
        kept = self._sealers.get(org)
        if kept is None or kept[0] != row[0]:
            key = self._opened(self._keys, tag_of(self._secret, b"org", org), b"", row[0])
            kept = self._sealers[org] = row[0], OrgSealer(org, key)
        return kept[1]

    def _opened(self, sealer: Sealer | OrgSealer, *sealed: bytes) -> bytes:
        try:
            return sealer.open(*sealed)
        except Refused:
            raise LedgerError(
                f"{self.path} cannot be opened with this installation's {SECRET}.secret: was one of them replaced? Restore it, or remove the file."
            ) from None

    def _cut_journal(self) -> None:
        """What was deleted leaves the journal too: now, or when whoever still reads is done and the file is closed."""
        with self._lock, in_words(self.path), suppress(apsw.BusyError):
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _bound(request: int, model: str) -> bytes:
    """What an example is sealed to, so that none can be taken for another."""
    return f"{request} {model}".encode()
