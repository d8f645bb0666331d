"""Real files; what a test damages, it damages on the disk."""

import logging
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jevons.core.limits import PARK_BLOCK_BYTES_MAX, PARK_DISK_RETRY_S
from jevons.engine.park.disk import Disk, erase, listing
from jevons.engine.park.sealing import PARK, tenant_tag

SECRET = bytes(range(32))
ACME, GLOBEX = tenant_tag(SECRET, "acme"), tenant_tag(SECRET, "globex")
NAMES = [bytes([n]) * 32 for n in range(4)]
NOW = float(int(time.time()))
PLAIN = os.urandom(5_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "park"


def opened(folder: Path, secret: bytes = SECRET, tenants: tuple[bytes, ...] = (ACME, GLOBEX), retention_s: float = 3600) -> Disk:
    disk = Disk(folder, secret, frozenset(tenants), retention_s)
    disk.start(NOW)
    return disk


def filed(folder: Path, tag: bytes = ACME, name: bytes = NAMES[0], at_s: float = NOW) -> Path:
    """One good file, written by another process's Disk."""
    assert opened(folder).write(tag, name, PLAIN, NOW)
    file = folder / tag.hex() / name.hex()
    os.utime(file, (at_s, at_s))
    return file


def test_a_block_comes_back_and_only_its_owner_may_read_it(folder: Path) -> None:
    file = filed(folder)
    assert opened(folder).read(ACME, NAMES[0]) == PLAIN
    assert PLAIN[:16] not in file.read_bytes()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file.parent, file)] == [0o700, 0o700, 0o600]
    assert opened(folder).read(ACME, NAMES[1]) is None


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(change(file.read_bytes()))


def linked(file: Path) -> None:
    """O_NOFOLLOW fails on it, whoever asks; root may read anything else."""
    file.unlink()
    file.symlink_to("/etc/passwd")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit": rewritten(lambda file: file[:2_000] + bytes([file[2_000] ^ 1]) + file[2_001:]),
    "cut short": rewritten(lambda file: file[:-1]),
    "empty": rewritten(lambda file: b""),
    "longer": rewritten(lambda file: file + b"\0"),
    "format of tomorrow": rewritten(lambda file: PARK.magic[:-1] + bytes([PARK.magic[-1] + 1]) + file[len(PARK.magic) :]),
    "unreadable": linked,
    "enormous": lambda file: os.truncate(file, PARK_BLOCK_BYTES_MAX + 1),  # a hole: it takes no room
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_removed_counted_and_absent(folder: Path, damage: str) -> None:
    file = filed(folder)
    DAMAGES[damage](file)
    disk = opened(folder)
    assert disk.read(ACME, NAMES[0]) is None
    assert disk.refused == 1
    assert not os.path.lexists(file)
    assert disk.write(ACME, NAMES[0], PLAIN, NOW) and disk.read(ACME, NAMES[0]) == PLAIN


def test_a_file_counts_only_under_its_name_tenant_and_secret(folder: Path) -> None:
    file = filed(folder)
    disk = opened(folder)
    shutil.copy(file, file.with_name(NAMES[1].hex()))
    (folder / GLOBEX.hex()).mkdir()
    shutil.copy(file, folder / GLOBEX.hex() / NAMES[0].hex())
    assert disk.read(ACME, NAMES[1]) is None
    assert disk.read(GLOBEX, NAMES[0]) is None
    assert disk.refused == 2
    assert opened(folder, secret=bytes(32)).read(ACME, NAMES[0]) is None
    assert list(listing(folder)) == []


def test_a_start_finds_the_files_and_removes_what_must_not_stay(folder: Path) -> None:
    filed(folder, name=NAMES[0], at_s=NOW - 10)
    filed(folder, name=NAMES[1], at_s=NOW - 20)
    filed(folder, name=NAMES[2], at_s=NOW - 3601)
    filed(folder, name=NAMES[3], at_s=NOW + 3601)  # written before the clock was set back
    filed(folder, tag=GLOBEX)
    mine = folder / ACME.hex() / "notes.txt"
    mine.write_text("not the park's")
    (folder / ACME.hex() / f"{NAMES[3].hex()}.partial").write_bytes(b"half")
    (folder / ".erased-0").mkdir()
    found = Disk(folder, SECRET, frozenset([ACME]), 3600).start(NOW)
    assert [(file.tag, file.name, file.written_s) for file in found] == [(ACME, NAMES[1], NOW - 20), (ACME, NAMES[0], NOW - 10)]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [NAMES[0].hex(), NAMES[1].hex(), "notes.txt"]
    assert not (folder / ".erased-0").exists()


def test_age_ends_a_file_while_it_runs(folder: Path) -> None:
    filed(folder)
    disk = opened(folder)
    assert disk.expired(NOW + 3600) == []
    assert [file.name for file in disk.expired(NOW + 3601)] == [NAMES[0]]


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """A disk on which only so many bytes of a file can be written: the kernel then fails write(2) with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_cannot_be_written_is_left_alone_and_tried_again(
    folder: Path, file_size_limit: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    disk = opened(folder)
    assert disk.write(ACME, NAMES[0], PLAIN, NOW)
    file_size_limit(1_000)
    assert not disk.write(ACME, NAMES[1], PLAIN, NOW)
    assert disk.why_off == "File too large"
    assert [file.name for file in (folder / ACME.hex()).iterdir()] == [NAMES[0].hex()]  # no half of a file
    assert disk.read(ACME, NAMES[0]) == PLAIN
    file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    assert not disk.write(ACME, NAMES[1], PLAIN, NOW + PARK_DISK_RETRY_S - 1)
    assert disk.write(ACME, NAMES[1], PLAIN, NOW + PARK_DISK_RETRY_S)
    assert disk.why_off is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2  # off, on


def test_a_folder_that_cannot_be_made_turns_it_off(tmp_path: Path) -> None:
    (tmp_path / "park").write_text("a file stands here")
    disk = opened(tmp_path / "park")
    assert not disk.write(ACME, NAMES[0], PLAIN, NOW + PARK_DISK_RETRY_S)
    assert disk.why_off in ("File exists", "Not a directory")
    assert disk.read(ACME, NAMES[0]) is None


def test_some_of_the_disk_stays_free(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = opened(folder)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    monkeypatch.setattr("jevons.engine.park.disk.PARK_DISK_FREE_MIN_BYTES", free)
    monkeypatch.setattr("jevons.engine.park.disk.PARK_DISK_FREE_MIN_SHARE", 1.0)
    assert not disk.write(ACME, NAMES[0], PLAIN, NOW)
    assert "would stay free" in str(disk.why_off)


def test_erasing_beside_a_process_that_writes(folder: Path) -> None:
    filed(folder, name=NAMES[0])
    filed(folder, tag=GLOBEX)
    disk = opened(folder)
    assert erase(folder, {ACME})[0] == 1
    assert disk.read(ACME, NAMES[0]) is None
    assert not disk.write(ACME, NAMES[1], PLAIN, NOW)  # what it still held of the tenant is not written again
    assert disk.erased() == {ACME}
    assert disk.erased() == set()
    assert disk.write(ACME, NAMES[2], PLAIN, NOW)  # a new conversation
    assert [file.tag for file in listing(folder)].count(GLOBEX) == 1
    assert erase(folder)[0] == 2
    assert list(folder.iterdir()) == []


WRITES = """
import sys
import time
from pathlib import Path
from jevons.engine.park.disk import Disk
folder, secret, tag = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
disk = Disk(folder, secret, frozenset([tag]), 3600)
disk.start(float(sys.argv[4]))
for n in range(10**6):
    assert disk.write(tag, n.to_bytes(32, "big"), n.to_bytes(4, "big") * 50_000, float(sys.argv[4]))
    print(n, flush=True)
"""


def test_a_process_killed_while_it_writes_loses_no_file_that_it_finished(folder: Path) -> None:
    arguments = [sys.executable, "-c", WRITES, str(folder), SECRET.hex(), ACME.hex(), str(NOW)]
    writer = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    writer.kill()
    done = 20 + len(writer.stdout.readlines())
    writer.wait()
    writer.stdout.close()
    for file in folder.rglob("*"):
        os.utime(file, (NOW, NOW))
    disk = Disk(folder, SECRET, frozenset([ACME]), 3600)
    names = {file.name for file in disk.start(NOW)}
    assert {n.to_bytes(32, "big") for n in range(done + 1)} <= names
    assert all(disk.read(ACME, name) == name[-4:] * 50_000 for name in names)
    assert not list(folder.rglob("*.partial"))
