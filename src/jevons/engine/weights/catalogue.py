"""The model files that an installation knows: the packaged one, those the operator added, those that were quantised here.

Comes in: JEVONS_HOME. Goes out: `Known` files with their facts. `models/catalogue.json` remembers a path, size, time and SHA-256 of each;
an added file stays where it is (a copy would double gigabytes, a link would say less than a path), a quantised one lies in `models/`.
Does not know: which one is served, what any of them is good for.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from jevons.engine.experts.sizes import sizes
from jevons.engine.gguf import header
from jevons.engine.models import Model, find_model, read_model
from jevons.engine.native.layout import FILE_TYPES
from jevons.ledger.home import write_private

PACKAGED = "packaged"
"""Name of the model that comes with the engine's packages."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class CatalogueError(Exception):
    """It cannot be done; the message says why and what to do."""


class Made(msgspec.Struct, frozen=True):
    """Of what, and by what, a file was quantised here."""

    source: str
    """Name of the source then."""
    source_sha256: str
    type: str
    library: str
    requantised: bool
    """The source was quantised already: what was lost there stays lost, and figures say nothing of the true weights."""


class Item(msgspec.Struct, frozen=True):
    """One remembered file."""

    name: str
    path: str
    sha256: str
    size_bytes: int
    modified_ns: int
    made: Made | None = None


class _File(msgspec.Struct, frozen=True):
    models: tuple[Item, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """A file as it is now."""

    name: str
    path: Path
    sha256: str
    made: Made | None
    state: Literal["there", "missing", "changed"]
    source: str
    """Where it is from, for people."""

    def model(self) -> Model:
        """Facts of its header. Raises CatalogueError if the file is missing or is another than was added, gguf.NotGguf."""
        if self.state == "missing":
            raise CatalogueError(f"{self.path} is not there any more; put it back, or: jevons models remove {self.name}")
        if self.state == "changed":
            raise CatalogueError(
                f"{self.path} is not the file that was added as {self.name!r}: its size or time changed. "
                f"Add it anew: jevons models remove {self.name}, then jevons models add {self.path} --name {self.name}"
            )
        return Model(self.path, header(self.path), self.source, "")


class Catalogue:
    """The files of one JEVONS_HOME."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "models"
        self._file = self.folder / "catalogue.json"

    def known(self) -> list[Known]:
        """The packaged model first if it is installed, then the others in the order in which they came. Raises CatalogueError."""
        packaged = find_model()
        first = [Known(PACKAGED, packaged.path, packaged.sha256, None, "there", packaged.source)] if packaged else []
        return [*first, *(_known(item) for item in self._read().models)]

    def find(self, name: str) -> Known:
        """Raises CatalogueError if there is none of this name."""
        known = self.known()
        for one in known:
            if one.name == name:
                return one
        raise CatalogueError(f"there is no model {name!r}; there are: {', '.join(one.name for one in known) or 'none'}")

    def made_of(self, source: Known, kind: str) -> Known | None:
        """The file of this type that was quantised of it before, if it is still there."""
        for item in self._read().models:
            if item.made and (item.made.source_sha256, item.made.type) == (source.sha256, kind):
                known = _known(item)
                if known.state == "there":
                    return known
        return None

    def claim(self, name: str) -> Path:
        """Where a new file of this name may be written, asked before it is made. Raises CatalogueError: then nothing may be."""
        _check(name)
        target = self.folder / f"{name}.gguf"
        for other in self._read().models:
            if other.name == name or Path(other.path) == target.resolve():
                raise CatalogueError(
                    f"there is a model {other.name!r} already, at {other.path}; to make another: jevons models remove {other.name}"
                )
        if target.exists():
            raise CatalogueError(
                f"{target} is there already and is not in the catalogue; move it away, or: jevons models add {target}"
            )
        return target

    def add(self, path: Path, name: str | None = None, made: Made | None = None) -> Known:
        """Remember a whole file. Raises CatalogueError, gguf.NotGguf (also if it was cut short), OSError."""
        path = path.expanduser().resolve()
        model = read_model(path)
        sizes(path)  # every fact that the list shows of it can be read, or it is not taken in
        if not model.architecture:
            raise CatalogueError(f"{path} is a GGUF file without an architecture: an adapter, or a vocabulary, and no model")
        name = name or _name_of(path)
        _check(name)
        facts = path.stat()
        item = Item(name, str(path), model.sha256, facts.st_size, facts.st_mtime_ns, made)
        with self._changing() as file:
            for other in file.models:
                if other.name == name and other.sha256 != item.sha256:
                    raise CatalogueError(
                        f"there is a model {name!r} already, of {other.path}. Use --name, or: jevons models remove {name}"
                    )
            self._write((*(other for other in file.models if other.name != name), item))
        return _known(item)

    def remove(self, name: str) -> tuple[Known, bool]:
        """Forget a file; one that was quantised here is deleted too (the second value says so). Raises CatalogueError."""
        if name == PACKAGED:
            raise CatalogueError("the packaged model comes with the engine's packages; it is not in the catalogue")
        gone = self.find(name)
        with self._changing() as file:
            self._write(tuple(other for other in file.models if other.name != name))
        ours = gone.made is not None and gone.path.parent == self.folder.resolve()
        if ours:
            gone.path.unlink(missing_ok=True)
        return gone, ours

    def _read(self) -> _File:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.DecodeError) as error:
            raise CatalogueError(
                f"{self._file} cannot be read ({error}). Move it away: the models themselves are not in it"
            ) from None

    def _write(self, models: tuple[Item, ...]) -> None:
        write_private(self._file, msgspec.json.format(msgspec.json.encode(_File(models))).decode() + "\n")

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        """The catalogue as it is, while nobody else changes it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(handle)


def _check(name: str) -> None:
    """Raises CatalogueError if it cannot be a name."""
    if name == PACKAGED or name.upper() in FILE_TYPES or not NAME.fullmatch(name):
        raise CatalogueError(
            f"{name!r} cannot be a name: up to 80 letters, digits, dots, dashes; {PACKAGED!r} and names of file types are taken. "
            "Add the file with --name"
        )


def _known(item: Item) -> Known:
    path = Path(item.path)
    source = f"quantised from {item.made.source}" if item.made else item.path
    try:
        facts = path.stat()
    except OSError:
        return Known(item.name, path, item.sha256, item.made, "missing", source)
    same = (facts.st_size, facts.st_mtime_ns) == (item.size_bytes, item.modified_ns) or sha256_of(path) == item.sha256
    return Known(item.name, path, item.sha256, item.made, "there" if same else "changed", source)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name_of(path: Path) -> str:
    """A name that the file's own suggests."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.") or "model"
