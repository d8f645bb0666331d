"""The compiled price books kept under JEVONS_HOME/prices/: made at first need, replaced by updates, never thrown away.

Comes in: the installed genai-prices package, or its published JSON (a URL or a file). Goes out: the path of a book file.
genai_prices costs a second and 100 MB to import, so `compiler.py` runs in a process of its own; here it is never imported.

    prices/genai-0.2.3-f1.book          made from the installed package
    prices/update-1a2b3c4d5e6f-f1.book  made from a download; the digits begin its content hash
    prices/current                      names the download in use, and the package version it was put over

Old books stay: ledger entries name the book they were priced with. A package installed after an update is newer and wins.
Does not know: what is in a book, overrides, usage.
"""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from jevons.core.limits import PRICE_COMPILE_TIMEOUT_S
from jevons.meter import compiled
from jevons.meter.compiled import FORMAT, Payload

DEFAULT_SOURCE = "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
"""Where genai-prices publishes its data (genai_prices.update_prices.DEFAULT_UPDATE_URL)."""


class UpdateFailed(Exception):
    """No new book was installed; the one in use is unchanged. The message says why."""


class Updated(msgspec.Struct, frozen=True):
    """What an update installed."""

    path: Path
    source: str
    providers: int
    models: int
    sha256: str


class Pointer(msgspec.Struct, frozen=True):
    """The file prices/current."""

    book: str
    package: str


def package_version() -> str:
    """Version of the installed genai-prices, without importing it."""
    return importlib.metadata.version("genai-prices")


def install_bytes(path: Path, data: bytes) -> None:
    """Put a file in place whole or not at all, readable by the owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _compile_apart(out: Path, *source: str) -> None:
    """Run the compiler in a process of its own, which is gone, with its 100 MB, when the file is there."""
    root = str(Path(__file__).parents[2])
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p))
    command = [sys.executable, "-m", "jevons.meter.compiler", str(out), *source]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PRICE_COMPILE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UpdateFailed(f"the price compiler did not end within {error.timeout:.0f} s") from error
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UpdateFailed(last or f"the price compiler ended with status {done.returncode}")


def ensure_book(home: Path) -> Path:
    """Path of the book in use: the last update, unless a package installed since then is newer; made now if it is missing.

    Raises UpdateFailed if it has to be made and cannot be.
    """
    prices, package = home / "prices", package_version()
    try:
        pointer = msgspec.json.decode((prices / "current").read_bytes(), type=Pointer)
        if pointer.package == package and (prices / pointer.book).is_file():
            return prices / pointer.book
    except (OSError, msgspec.DecodeError):
        pass  # no update so far, or its pointer is damaged: the installed package always serves
    path = prices / f"genai-{package}-f{FORMAT}.book"
    if not path.is_file():
        _compile_apart(path)
    return path


def update(home: Path, source: str = DEFAULT_SOURCE) -> Updated:
    """Install the prices published at `source` (URL or file) beside the book in use, and use them from the next load on.

    Raises UpdateFailed, and then nothing has changed: unreadable, not genai-prices' JSON, or cut off.
    """
    in_use = ensure_book(home)
    prices = home / "prices"
    with tempfile.TemporaryDirectory(dir=prices, prefix=".update-") as work:
        made = Path(work) / "book"
        _compile_apart(made, source)
        data = made.read_bytes()
    envelope, payload = compiled.unseal(data, source)
    models = _count_models(payload)
    known = _count_models(compiled.read_book(in_use)[1])
    if 2 * models < known:
        raise UpdateFailed(f"{source} has {models:,} models, the book in use {known:,}: it looks cut off; nothing was changed")
    path = prices / f"update-{envelope.sha256[:12]}-f{FORMAT}.book"
    install_bytes(path, data)
    install_bytes(prices / "current", msgspec.json.encode(Pointer(path.name, package_version())))
    return Updated(path, envelope.source, len(payload.providers), models, envelope.sha256)


def _count_models(payload: Payload) -> int:
    return sum(len(compiled.decode_models(provider)) for provider in payload.providers)
