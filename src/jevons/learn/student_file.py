"""A student on disk: numbers and JSON, no code; sealed under its organisation's key, for it holds what people wrote.

Comes in: a student, its name and version, the sealer of its organisation (`Captured.sealer`). Goes out: the file under JEVONS_HOME/students,
and back; a file that was changed, renamed or written for another organisation is not opened. Where the organisation's key is erased, no
student of it can be opened any more. Does not know: which students there are (`ledger.routing.students`).

Packed, before it is sealed: u64 length of a JSON header, header, arrays one after the other, each at a multiple of 8 bytes.
"""

import contextlib
import math
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from jevons.learn.student import Arrays, Student
from jevons.learn.student_classifier import Classifier
from jevons.learn.student_extractor import Extractor
from jevons.learn.student_table import Table
from jevons.ledger.capture import OrgSealer
from jevons.ledger.errors import LedgerError
from jevons.ledger.schema import sync_folder
from jevons.ledger.sealing import Refused

FOLDER = "students"
"""Under JEVONS_HOME."""
_TYPES = frozenset({"<f4", "<f8", "<i4", "<i8", "|u1"})
_LENGTH_BYTES = 8
_KINDS: dict[str, Callable[[dict[str, Any], Arrays], Student]] = {kind.kind: kind.of for kind in (Table, Classifier, Extractor)}


def path_of(folder: Path, name: str, version: int) -> Path:
    return folder / f"{name}@{version}.student"


def save(folder: Path, name: str, version: int, student: Student, sealer: OrgSealer) -> Path:
    """Written whole or not at all; readable by its owner only."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = path_of(folder, name, version)
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
        out.write(sealer.seal(_bound(name, version), pack(student)))
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_folder(folder)
    return path


def load(folder: Path, name: str, version: int, sealer: OrgSealer) -> Student:
    """Raises LedgerError for a file that is gone, or that is not what was written for this organisation under this name."""
    path = path_of(folder, name, version)
    try:
        return unpack(sealer.open(_bound(name, version), path.read_bytes()))
    except FileNotFoundError:
        raise LedgerError(f"{path} is gone. Train the student anew, or withdraw it: jevons students withdraw {name}") from None
    except (Refused, ValueError):
        raise LedgerError(
            f"{path} cannot be opened: it is not what was written for this organisation, or its key was erased."
            f" Train the student anew: jevons students train {name}"
        ) from None


def remove(folder: Path, name: str, version: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        path_of(folder, name, version).unlink()


def pack(student: Student) -> bytes:
    settings, arrays = student.state()
    places: dict[str, tuple[str, tuple[int, ...], int]] = {}
    data = bytearray()
    for name, array in arrays.items():
        data += bytes(-len(data) % 8)
        places[name] = array.dtype.str, array.shape, len(data)
        data += np.ascontiguousarray(array).tobytes()
    header = msgspec.json.encode({"kind": student.kind, "settings": settings, "arrays": places})
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header + data


def unpack(packed: bytes) -> Student:
    """Raises ValueError for what is no student."""
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "little")
    try:
        header = msgspec.json.decode(packed[_LENGTH_BYTES:end])
        arrays = {name: _array(packed, end + at, kind, shape) for name, (kind, shape, at) in header["arrays"].items()}
        return _KINDS[header["kind"]](header["settings"], arrays)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a student: {error}") from None


def _array(packed: bytes, begin: int, kind: str, shape: list[int]) -> np.ndarray[Any, Any]:
    if kind not in _TYPES:
        raise ValueError(f"no array of {kind!r} is a student's")
    count = math.prod(shape)
    return np.frombuffer(packed, np.dtype(kind), count, begin).reshape(shape)


def _bound(name: str, version: int) -> bytes:
    """What the file is sealed to, so that a renamed one is refused."""
    return sha256(f"{name}@{version}".encode()).digest()
