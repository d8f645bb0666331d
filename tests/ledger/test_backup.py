"""Backups of live ledgers: whole, private, and never instead of the ledger."""

import os
import threading
from pathlib import Path

import apsw
import pytest

from jevons.ledger.bill import bill, check
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.schema import backup, backup_file
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.keep import keep
from tests.ledger.making import WRONG_TYPE, make_entry, make_hold, make_key


def test_a_backup_of_a_live_ledger_is_whole_private_and_one_file(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key())])
    stop = threading.Event()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            number = 0
            while not stop.is_set():
                number += 1
                hold = make_hold(number << 4)
                store.apply([Opened(hold), Posted(make_entry(hold, number))])
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=write)
    old_umask = os.umask(0)
    thread.start()
    try:
        sizes = []
        for number in range(5):
            target = tmp_path / "copies" / f"backup-{number}.db"
            backup_file(path, target)
            assert check(target) == []
            assert target.stat().st_mode & 0o777 == 0o600
            sizes.append(bill(target)["entries"])
    finally:
        stop.set()
        thread.join()
        os.umask(old_umask)
    store.close()
    assert failed == [] and sizes == sorted(sizes) and sizes[-1] > 0
    assert (tmp_path / "copies").stat().st_mode & 0o777 == 0o700
    restored = SqliteStore(tmp_path / "copies" / "backup-4.db")
    assert len(restored.load().keys) == 1
    restored.close()


def test_a_backup_replaces_an_older_one_and_clears_what_an_interrupted_one_left(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    target = tmp_path / "backup.db"
    target.write_text("older")
    (tmp_path / "backup.db.partial").write_text("half")
    backup(store.db, target)
    store.close()
    assert check(target) == []
    assert not (tmp_path / "backup.db.partial").exists()


@pytest.mark.parametrize("link", [False, True])
def test_a_backup_never_replaces_the_ledger_itself(path: Path, tmp_path: Path, *, link: bool) -> None:
    keep(path)
    target = path
    if link:
        target = tmp_path / "link.db"
        target.symlink_to(path)
    with pytest.raises(LedgerError, match="is the ledger itself"):
        backup_file(path, target)
    assert len(bill(path)["rows"]) > 0


def test_a_backup_that_cannot_be_written_leaves_the_older_one(path: Path, tmp_path: Path) -> None:
    keep(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="could not be written"):
        backup_file(path, tmp_path / "file" / "backup.db")
    with pytest.raises(LedgerError, match="cannot be used"):
        backup_file(tmp_path / "nowhere.db", tmp_path / "backup.db")


def test_a_copy_that_is_damaged_is_no_backup(path: Path, tmp_path: Path) -> None:
    keep(path)
    db = apsw.Connection(str(path))
    db.execute(WRONG_TYPE)
    db.close()
    with pytest.raises(LedgerError, match=r"is damaged: .*The backup was not written"):
        backup_file(path, tmp_path / "backup.db")
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("backup")] == []
