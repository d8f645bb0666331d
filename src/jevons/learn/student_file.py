"""A student on disk: numbers and JSON, no code; sealed under its organisation's key, for it holds what people wrote.

Comes in: a student, its name and version, the sealer of its organisation (`Captured.sealer`). Goes out: the file under JEVONS_HOME/students,
and back; a file that was changed, renamed or written for another organisation is not opened. Where the organisation's key is erased, no
student of it can be opened any more. Does not know: which students there are (`ledger.routing.students`).

Packed, before it is sealed: u64 length of a JSON header, header, arrays one after the other, each at a multiple of 8 bytes.
"""

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from jevons.learn.student import Arrays, Student, Tried
from jevons.learn.student_calibrated import Calibrated
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
Read = TypeVar("Read")
_SCORES, _HARMS = "trial.scores", "trial.harms"
_KINDS: dict[str, Callable[[dict[str, Any], Arrays], Student]] = {kind.kind: kind.of for kind in (Table, Classifier, Extractor)}


def path_of(folder: Path, name: str, version: int) -> Path:
    return folder / f"{name}@{version}.student"


def save(folder: Path, name: str, version: int, student: Student, sealer: OrgSealer, trial: Sequence[Tried] = ()) -> Path:
    """Written whole or not at all; readable by its owner only. `trial`: how it did on examples that it was not trained on."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = path_of(folder, name, version)
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as out:
        out.write(sealer.seal(_bound(name, version), pack(student, trial)))
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_folder(folder)
    return path


def load(folder: Path, name: str, version: int, sealer: OrgSealer) -> Student:
    """Raises LedgerError for a file that is gone, or that is not what was written for this organisation under this name."""
    return _opened(folder, name, version, sealer, unpack)


def trial(folder: Path, name: str, version: int, sealer: OrgSealer) -> list[Tried]:
    """What was saved of how it did. Raises LedgerError as `load` does."""
    return _opened(folder, name, version, sealer, _trial)


def _opened(folder: Path, name: str, version: int, sealer: OrgSealer, read: Callable[[bytes], Read]) -> Read:
    path = path_of(folder, name, version)
    try:
        return read(sealer.open(_bound(name, version), path.read_bytes()))
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


def pack(student: Student, trial: Sequence[Tried] = ()) -> bytes:
    settings, arrays = student.state()
    arrays |= {
        _SCORES: np.array([one.score for one in trial], np.float32),
        _HARMS: np.array([one.harm for one in trial], np.uint8),
    }
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
    kind, settings, arrays = _read(packed)
    try:
        return _made(kind, settings, arrays)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a student: {error}") from None


def _made(kind: str, settings: dict[str, Any], arrays: Arrays) -> Student:
    if kind == Calibrated.kind:
        return Calibrated(_made(settings["kind"], settings["of"], arrays), settings["odds"], settings["shares"])
    return _KINDS[kind](settings, arrays)


def _trial(packed: bytes) -> list[Tried]:
    _, _, arrays = _read(packed)
    return [Tried(score, bool(harm)) for score, harm in zip(arrays[_SCORES].tolist(), arrays[_HARMS].tolist(), strict=True)]


def _read(packed: bytes) -> tuple[str, dict[str, Any], Arrays]:
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "little")
    try:
        header = msgspec.json.decode(packed[_LENGTH_BYTES:end])
        arrays = {name: _array(packed, end + at, kind, shape) for name, (kind, shape, at) in header["arrays"].items()}
        return header["kind"], header["settings"], arrays
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
