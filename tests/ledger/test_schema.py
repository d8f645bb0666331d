"""Files of every release, foreign files, damaged files, migrations."""

import hashlib
from pathlib import Path
from typing import Any

import apsw
import pytest

import jevons
from jevons.ledger import schema
from jevons.ledger.bill import bill, check
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.rollup import MEASURES
from jevons.ledger.schema import APPLICATION_ID, migrations
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.failing import FailingDisk
from tests.ledger.keep import FIXTURES, STILL_OPEN, keep
from tests.ledger.making import NOON_MS, SETTINGS, make_entry, make_hold, make_key

KEPT = sorted(FIXTURES.glob("ledger-*.db"))
NEWEST = migrations()[-1][0]


def picture(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a folder: digest and time of change."""
    return {
        file.name: (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in folder.iterdir()
        if not file.name.endswith("-shm")  # an index in memory
    }


@pytest.fixture
def copy(path: Path, request: pytest.FixtureRequest) -> Path:
    path.write_bytes(request.param.read_bytes())
    return path


@pytest.mark.parametrize("copy", KEPT, ids=lambda file: file.stem, indirect=True)
def test_a_ledger_of_every_release_opens_and_adds_up(copy: Path) -> None:
    store = SqliteStore(copy, backups=copy.parent / "backups")
    snapshot = store.load()
    assert [hold.id for hold in snapshot.holds] == [STILL_OPEN.id]
    assert {key.name: key.settings for key in snapshot.keys}["key-3"] == SETTINGS
    assert snapshot.last_id == STILL_OPEN.id
    assert settle_open_holds(store, NOON_MS) == 1
    store.close()
    assert check(copy) == []
    killed = bill(copy, by="run")["rows"]
    assert {row["run"] for row in killed} >= {"crashed"}


def test_this_release_keeps_a_ledger_and_it_is_small() -> None:
    assert FIXTURES / f"ledger-{jevons.__version__}.db" in KEPT
    assert all(file.stat().st_size < 100_000 for file in KEPT)


@pytest.mark.parametrize("copy", KEPT, ids=lambda file: file.stem, indirect=True)
def test_a_ledger_of_every_release_comes_to_the_schema_of_a_new_one(copy: Path, tmp_path: Path) -> None:
    def tables(file: Path) -> list[tuple[str, str]]:
        store = SqliteStore(file)
        found = sorted(store.db.execute("SELECT name, sql FROM sqlite_schema"), key=repr)
        store.close()
        return found

    assert tables(copy) == tables(tmp_path / "new.db")


@pytest.mark.parametrize("copy", KEPT, ids=lambda file: file.stem, indirect=True)
def test_a_ledger_of_every_release_sums_to_what_its_entries_say(copy: Path) -> None:
    before = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    entries = [
        dict(zip(names(before, "entries"), row, strict=True)) for row in before.execute("SELECT * FROM entries ORDER BY id")
    ]
    accounts = list(before.execute("SELECT * FROM accounts"))
    before.close()
    store = SqliteStore(copy)
    db = store.db
    for entry, row in zip(entries, db.execute("SELECT * FROM entries ORDER BY id"), strict=True):
        assert entry.items() <= dict(zip(names(db, "entries"), row, strict=True)).items()
    assert list(db.execute("SELECT * FROM accounts")) == accounts
    assert list(
        db.execute(
            "SELECT key_id, sum(nusd) FROM (SELECT key_id, billed_nusd AS nusd FROM entries"
            " UNION ALL SELECT key_id, nusd FROM adjustments) GROUP BY 1"
        )
    ) == [(key, posted) for key, _, posted, _ in accounts if posted]
    for period, width_ms in (("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000)):
        periods = [{**entry, "agent": entry.get("agent", ""), period: entry["id"] // 2**18 // width_ms} for entry in entries]
        summed = sums(periods, (period, "key_id", "agent", "upstream", "target"))
        found = {
            row[:5]: row[5:]
            for row in db.execute(f"SELECT {period}, key_id, agent, upstream, target, {', '.join(MEASURES)} FROM rollup_{period}")
        }
        assert found == summed
    runs = sums([entry for entry in entries if entry["run_id"] is not None], ("key_id", "run_id"))
    assert runs and {row[:2]: row[2:] for row in db.execute(f"SELECT key_id, run_id, {', '.join(MEASURES)} FROM runs")} == runs
    for key_id, run_id, first_ms, last_ms in db.execute("SELECT key_id, run_id, first_ms, last_ms FROM runs"):
        instants = [e["id"] // 2**18 for e in entries if (e["key_id"], e["run_id"]) == (key_id, run_id)]
        assert (first_ms, last_ms) == (min(instants), max(instants))
    store.close()
    assert check(copy) == []


def test_what_was_recorded_before_overruns_were_kept_one_by_one_is_kept_as_one(path: Path) -> None:
    path.write_bytes((FIXTURES / "ledger-0.1.0.db").read_bytes())
    db = apsw.Connection(str(path))
    db.execute("UPDATE accounts SET overrun_nusd = 70 WHERE key_id = 1")
    db.close()
    store = SqliteStore(path)
    assert store.load().overruns == {("key:usd key:key-1", 0): 70}
    assert store.load().posted[1][1] == 70
    settle_open_holds(store, NOON_MS)
    store.close()
    assert check(path) == []


def names(db: apsw.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def sums(entries: list[dict[str, Any]], group: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Each measure of the rollups, added up entry by entry."""
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for entry in entries:
        is_step = entry["id"] % 16 == 0 and entry["outcome"] not in ("void", "free")
        made = {"entries": 1, "steps": int(is_step), "estimated_nusd": entry["billed_nusd"] if entry["estimate"] else 0}
        row = tuple({**entry, **made}[measure] for measure in MEASURES)
        place = tuple(entry[name] for name in group)
        found[place] = tuple(a + b for a, b in zip(found.get(place, (0,) * len(row)), row, strict=True))
    return found


def test_entries_refuse_to_be_edited_or_removed(path: Path) -> None:
    store = SqliteStore(path)
    hold = make_hold(16)
    store.apply([KeyCreated(make_key()), Opened(hold), Posted(make_entry(hold, 5))])
    for statement in (
        "UPDATE entries SET billed_nusd = 0",
        "DELETE FROM entries",
        "REPLACE INTO entries SELECT * FROM entries WHERE id = 16",
    ):
        with pytest.raises(apsw.ConstraintError, match="write an adjustment"):
            store.db.execute(statement)
    store.close()
    assert check(path) == []


def foreign(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE notes (text)")
    db.close()


def foreign_empty(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.pragma("application_id", 0x0F055112)
    db.close()


def newer(path: Path) -> None:
    SqliteStore(path).close()
    db = apsw.Connection(str(path))
    db.pragma("user_version", 9_999)
    db.close()


def text(path: Path) -> None:
    path.write_text("not a database, and longer than the header of one" * 20)


def torn_first_page(path: Path) -> None:
    keep(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3_900)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "is not a Jevons ledger"),
        (foreign_empty, "is not a Jevons ledger"),
        (newer, "was written by a newer Jevons"),
        (text, "is not a SQLite file"),
        (torn_first_page, "is damaged"),
    ],
)
def test_a_file_that_is_no_ledger_of_ours_is_named_and_left_as_it_is(make: object, words: str, path: Path) -> None:
    make(path)  # type: ignore[operator]
    before = picture(path.parent)
    with pytest.raises(LedgerError, match=words) as caught:
        SqliteStore(path, backups=path.parent / "backups")
    assert str(path) in str(caught.value)
    assert "othing was changed" in str(caught.value)
    assert picture(path.parent) == before


def test_damage_behind_the_first_page_is_found_where_a_start_reads(path: Path) -> None:
    keep(path)
    db = apsw.Connection(str(path))
    pages = [page for (page,) in db.execute("SELECT rootpage FROM sqlite_schema WHERE name IN ('accounts', 'rollup_day')")]
    db.close()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
    store = SqliteStore(path)
    with pytest.raises(LedgerError, match="is damaged"):
        store.load()
    store.close()
    with pytest.raises(LedgerError, match="is damaged"):
        bill(path)


@pytest.mark.parametrize("operation", ["open", "write", "sync"])
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.CantOpenError])
def test_a_disk_that_is_full_or_broken_at_the_start_is_said_in_words(operation: str, error: type[Exception], path: Path) -> None:
    disk = FailingDisk()
    disk.broken = {(operation, ""): error}
    with pytest.raises(LedgerError, match="cannot be used"):
        SqliteStore(path, vfs=disk.name)
    disk.broken = {}
    SqliteStore(path, vfs=disk.name).close()
    assert check(path) == []


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be used"):
        SqliteStore(tmp_path / "nowhere" / "ledger.db")


def test_a_file_system_without_shared_memory_is_refused(path: Path) -> None:
    class Plain(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("no-shared-memory", "", iVersion=1)

        def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> "PlainFile":
            return PlainFile(name, flags)

    class PlainFile:
        """A file without xShmMap, as network file systems have them."""

        def __init__(self, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
            self._file = apsw.VFSFile("", name, flags)

        def __getattr__(self, method: str) -> object:
            return getattr(self._file, method)

    plain = Plain()
    with pytest.raises(LedgerError, match="journal mode delete"):
        SqliteStore(path, vfs="no-shared-memory")
    del plain


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    steps = [
        *migrations(),
        (NEWEST + 1, "CREATE TABLE teams (id INTEGER PRIMARY KEY) STRICT;"),
        (NEWEST + 2, "ALTER TABLE keys ADD COLUMN team_id INTEGER;"),
    ]
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    return steps


def test_each_migration_is_preceded_by_a_backup(path: Path, tmp_path: Path, next_release: list[tuple[int, str]]) -> None:
    path.write_bytes((FIXTURES / "ledger-0.1.0.db").read_bytes())
    backups = tmp_path / "backups"
    store = SqliteStore(path, backups=backups)
    assert store.migrated == list(range(2, NEWEST + 3))
    assert store.db.pragma("user_version") == NEWEST + 2
    assert store.db.execute("SELECT count(*) FROM teams").get == 0
    store.close()
    assert sorted(file.name for file in backups.iterdir()) == [f"ledger-before-{n:04d}.db" for n in range(2, NEWEST + 3)]
    versions = []
    for file in sorted(backups.iterdir()):
        db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        versions.append(
            (db.pragma("user_version"), db.pragma("application_id"), db.execute("SELECT count(*) FROM entries").get > 0)
        )
        db.close()
    assert versions == [(n, APPLICATION_ID, True) for n in range(1, NEWEST + 2)]
    again = SqliteStore(path, backups=backups)
    assert again.migrated == []
    again.close()


def test_a_new_ledger_needs_no_backup(path: Path, tmp_path: Path, next_release: list[tuple[int, str]]) -> None:
    store = SqliteStore(path, backups=tmp_path / "backups")
    assert store.migrated == list(range(1, NEWEST + 3))
    store.close()
    assert not (tmp_path / "backups").exists()


def test_a_migration_that_fails_leaves_the_file_at_the_version_before(
    path: Path, tmp_path: Path, next_release: list[tuple[int, str]]
) -> None:
    SqliteStore(path).close()
    next_release.append((NEWEST + 3, "CREATE TABLE late (x); INSERT INTO nowhere VALUES (1);"))
    with pytest.raises(LedgerError, match="no such table: nowhere"):
        SqliteStore(path, backups=tmp_path / "backups")
    del next_release[-1]
    store = SqliteStore(path)
    assert store.migrated == [] and store.db.pragma("user_version") == NEWEST + 2
    assert store.db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'late'").get == 0
    store.close()


def test_no_backup_no_migration(path: Path, tmp_path: Path, next_release: list[tuple[int, str]]) -> None:
    path.write_bytes((FIXTURES / "ledger-0.1.0.db").read_bytes())
    (tmp_path / "backups").write_text("a file where the folder should be")
    with pytest.raises(LedgerError, match="could not be written"):
        SqliteStore(path, backups=tmp_path / "backups")
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == 1
    db.close()
