"""JEVONS_HOME: one owner, and nothing that others may read."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jevons.ledger import admin
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, HomeLock, write_private
from jevons.ledger.ops import KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, running

HOLDER = """
import sys
from pathlib import Path
from jevons.ledger.home import Home, HomeLock
with HomeLock(Home(Path(sys.argv[1]))):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_everything_under_the_home_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    home = Home(tmp_path / "deep" / "home")

    async def scene() -> None:
        store = SqliteStore(home.ledger, backups=home.backups)
        async with running(home.ledger, store) as ledger:
            await admin.create_key(ledger, "first", None, KeySettings(), NOON_MS)
            await ledger.take(hold := make_hold(ledger.next_request(NOON_MS)))
            await ledger.post(make_entry(hold, 1))
            await admin.back_up(ledger, home.backups / "now.db")
            write_private(home.address, "{}")
            home.secret("installation")
            home.admin_token()
            seen.update({file.relative_to(home.path).as_posix(): file.stat().st_mode & 0o777 for file in home.path.rglob("*")})

    seen: dict[str, int] = {"": home.path.stat().st_mode & 0o777}
    with HomeLock(home):
        asyncio.run(scene())
    assert {name for name, mode in seen.items() if mode == 0o700} == {"", "backups"}
    assert {name for name, mode in seen.items() if mode == 0o600} == {
        "lock",
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "backups/now.db",
        "serving.json",
        "installation.secret",
        "admin.token",
    }
    assert all(mode in (0o600, 0o700) for mode in seen.values())


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    home, again = Home(tmp_path), Home(tmp_path)
    assert home.secret("installation") == again.secret("installation") != home.secret("other")
    assert len(home.secret("installation")) == 32
    assert home.admin_token() == again.admin_token()
    assert home.admin_token().startswith("jva-") and len(home.admin_token()) == 4 + 64
    assert home.config == tmp_path / "jevons.toml"


@pytest.mark.parametrize("content", ["", "\n", "abc", "not hexadecimal at all", "ab" * 31, "\xff" * 64])
def test_a_damaged_secret_is_not_used_least_of_all_an_empty_one(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path)
    for name in ("installation.secret", "admin.token"):
        (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(LedgerError, match=r"installation\.secret is damaged"):
        home.secret("installation")
    with pytest.raises(LedgerError, match=r"admin\.token is damaged"):
        home.admin_token()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serving.json"
    write_private(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(file, "new")
    assert file.read_text() == "old"


def test_a_home_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="Set JEVONS_HOME to a folder you may write"):
        Home(tmp_path / "file" / "home")


def test_a_second_process_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdin is not None
        assert first.stdout.readline() == b"mine\n"
        with pytest.raises(LedgerError, match=f"in use by process {first.pid}"), HomeLock(home):
            pass
        first.kill()  # as the kernel frees what a dead process had
        first.wait()
    with HomeLock(home), pytest.raises(LedgerError, match=f"in use by process {os.getpid()}"), HomeLock(home):
        pass
    with HomeLock(home):
        pass


def test_an_owner_that_has_not_said_who_it_is_yet_is_unknown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with HomeLock(home):
        (tmp_path / "lock").write_text("")
        with pytest.raises(LedgerError, match="process unknown"), HomeLock(home):
            pass


def test_a_lock_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / "lock").mkdir()
    with pytest.raises(LedgerError, match="must be a local folder of yours"), HomeLock(home):
        pass


def test_a_lock_is_not_inherited_by_programs_that_are_started(tmp_path: Path) -> None:
    home = Home(tmp_path)
    program = [sys.executable, "-c", "import sys; print('running', flush=True); sys.stdin.read()"]
    with HomeLock(home):
        child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
        assert child.stdout is not None and child.stdout.readline() == b"running\n"
    try:
        with HomeLock(home):
            pass
    finally:
        child.communicate()
