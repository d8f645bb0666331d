"""Every candidate against the reference: quality once, speed in rounds that go around, so that other work on the machine slows all alike.

Comes in: a reference and candidates, traffic. Goes out: a `Measured` of each, or why there is none. What was measured is remembered in
`models/measures.json` by file, traffic, sizes, library and processor: sums over texts, never texts.
Does not know: bounds, what is cheapest.
"""

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from jevons.engine.native.apart import apart
from jevons.engine.native.package import NativeError
from jevons.engine.weights.contents import Contents, File
from jevons.engine.weights.probe import SPEED_TEXTS, Quality, Speed, quality, speed
from jevons.engine.weights.quantise import LIBRARY
from jevons.engine.weights.traffic import Traffic
from jevons.ledger.home import write_private

REFERENCE_BYTES_MAX = 2**30
"""Memory for the reference's distributions: 10,900 tokens of a vocabulary of 49,152, 2,000 of one of 262,144. What does not fit is not measured."""


class Subject(msgspec.Struct, frozen=True):
    """One file to be measured."""

    label: str
    """ "Q4_K_M"; the reference's is its name."""
    type: str
    """The file type that it was made as; empty for the reference."""
    identity: str
    """What decides the file's bytes: its SHA-256, or of which source by which library it is made."""
    path: Callable[[], Path]
    """Makes the file at first need."""


class Sizes(msgspec.Struct, frozen=True):
    """How much is measured."""

    tokens: int = 4_800
    """Of texts, about: thirty of them and more."""
    questions: int = 80
    rounds: int = 3
    """Of speed."""
    threads: int = 1


class Measured(msgspec.Struct, frozen=True):
    label: str
    file: File | None
    quality: Quality | None
    speeds: tuple[Speed, ...]
    error: str = ""
    """Why it could not be measured."""


class _Kept(msgspec.Struct, frozen=True):
    files: dict[str, File] = {}
    qualities: dict[str, Quality] = {}
    speeds: dict[str, tuple[Speed, ...]] = {}


class Measures:
    """Measurements of one JEVONS_HOME."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`say` is told what is going on, a line at a time."""
        self._file = folder / "measures.json"
        self._say = say
        self._kept = self._read()

    def of(
        self, reference: Subject, candidates: Sequence[Subject], traffic: Traffic, sizes: Sizes, *, again: bool
    ) -> list[Measured]:
        """The reference first. `again`: also what was measured before. Raises NativeError if the reference cannot be measured."""
        subjects = [reference, *candidates]
        quality_keys = {one.label: _quality_key(reference, one, traffic, sizes) for one in subjects}
        speed_keys = {one.label: _speed_key(one, subjects, sizes) for one in subjects}
        if again:
            self._kept = self._without({*quality_keys.values(), *speed_keys.values()})
        errors: dict[str, str] = {}
        kept = self._kept
        if all(quality_keys[one.label] in kept.qualities and speed_keys[one.label] in kept.speeds for one in subjects):
            self._say("All of it was measured before; --again measures anew.")
        else:
            self._measure_quality(subjects, quality_keys, traffic, sizes, errors)
            sound = [one for one in subjects if one.label not in errors]
            self._measure_speed(sound, speed_keys, traffic, sizes, errors)
            kept = self._kept
        return [
            Measured(
                one.label,
                kept.files.get(one.identity),
                kept.qualities.get(quality_keys[one.label]),
                kept.speeds.get(speed_keys[one.label], ()),
                errors.get(one.label, ""),
            )
            for one in subjects
        ]

    def _measure_quality(
        self, subjects: Sequence[Subject], keys: Mapping[str, str], traffic: Traffic, sizes: Sizes, errors: dict[str, str]
    ) -> None:
        """What is missing; each is kept at once, so that nothing is lost when it is stopped. The reference runs whenever a candidate has to."""
        missing = [one for one in subjects[1:] if keys[one.label] not in self._kept.qualities]
        if not missing and keys[subjects[0].label] in self._kept.qualities:
            return
        texts, questions = traffic.texts, traffic.questions[: sizes.questions]
        with _nameless() as memory:
            for number, one in enumerate([subjects[0], *missing]):
                self._say(f"quality {number + 1} of {len(missing) + 1}: {one.label}")
                try:
                    path = one.path()
                    found = apart(
                        quality, path, texts, questions, sizes.tokens, memory, REFERENCE_BYTES_MAX,
                        reference=number == 0, threads=sizes.threads,
                    )  # fmt: skip
                except NativeError as error:
                    if number == 0:
                        raise
                    errors[one.label] = str(error)
                else:
                    file = Contents(path).file(one.type)
                    self._keep(_Kept({one.identity: file}, {keys[one.label]: found}, {}))

    def _measure_speed(
        self, subjects: Sequence[Subject], keys: Mapping[str, str], traffic: Traffic, sizes: Sizes, errors: dict[str, str]
    ) -> None:
        """All of them, also those that were measured before beside others: speeds are compared, so they are of one hour."""
        found: dict[str, list[Speed]] = {one.label: [] for one in subjects}
        for number in range(sizes.rounds):
            self._say(f"speed, round {number + 1} of {sizes.rounds}: {len(subjects)} files")
            for one in subjects:
                try:
                    found[one.label].append(apart(speed, one.path(), traffic.texts[:SPEED_TEXTS], sizes.threads))
                except NativeError as error:
                    if one is subjects[0]:
                        raise
                    errors[one.label] = str(error)
        whole = {keys[label]: tuple(rounds) for label, rounds in found.items() if len(rounds) == sizes.rounds}
        self._keep(_Kept({}, {}, whole))

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (OSError, msgspec.DecodeError) as error:
            self._say(f"{self._file} cannot be read ({error}): everything is measured anew")
            return _Kept()

    def _without(self, keys: set[str]) -> _Kept:
        old = self._kept
        qualities = {key: value for key, value in old.qualities.items() if key not in keys}
        return _Kept(old.files, qualities, {key: value for key, value in old.speeds.items() if key not in keys})

    def _keep(self, new: _Kept) -> None:
        old = self._kept
        self._kept = _Kept({**old.files, **new.files}, {**old.qualities, **new.qualities}, {**old.speeds, **new.speeds})
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(self._file, msgspec.json.encode(self._kept).decode())


def _quality_key(reference: Subject, one: Subject, traffic: Traffic, sizes: Sizes) -> str:
    return " · ".join(
        (reference.identity, one.identity, traffic.sha256, f"{sizes.tokens} tokens, {sizes.questions} questions", LIBRARY)
    )


def _speed_key(one: Subject, beside: Sequence[Subject], sizes: Sizes) -> str:
    """A speed belongs to the run in which it was measured, with all that ran beside it then."""
    run = hashlib.sha256("\n".join(sorted(other.identity for other in beside)).encode()).hexdigest()[:16]
    return " · ".join((one.identity, f"beside {run}", f"{sizes.rounds} rounds, {sizes.threads} threads", _processor(), LIBRARY))


def _processor() -> str:
    """Speeds belong to it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@contextmanager
def _nameless() -> Iterator[str]:
    """Memory that our own child processes can open as a file, and that is gone with us: it never reaches a disk."""
    handle = os.memfd_create("jevons-reference", os.MFD_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{handle}"
    finally:
        os.close(handle)
