"""The catalogue of parts that make tokens, every figure with its source.

Comes in: data/hardware.toml, whose head explains every figure; the user's own hardware.toml in JEVONS_HOME, which adds parts and
overrides figures; this machine, if it was measured. Goes out: `Part`s, found by the names that people and tables use.
Does not know: models, what a token costs.
"""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from jevons.economics.unitcost import machine
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.part import FIGURES, FILE, Confidence, Dispute, Kind, Part, Status

__all__ = ["Part", "find", "part", "parts", "plain", "sources"]


def parts(home: Path | None = None) -> tuple[Part, ...]:
    """The catalogue, in the order of its file. With a `home`, this machine too if it was measured, and hardware.toml over all.
    Raises UnitCostError for a bad file.
    """
    found = {part.name: part for part in _packaged()}
    if home is None:
        return tuple(found.values())
    here = machine.load(home)
    if here is not None:
        found[machine.NAME] = here.part()
    if (home / FILE).exists():
        _add(_text(home / FILE), str(home / FILE), found)
    return tuple(found.values())


def part(name: str, home: Path | None = None) -> Part:
    """The part of that name or alias, whatever the case, the vendor's name, dashes and what is in brackets. Raises UnknownFact."""
    return find(name, parts(home))


def find(name: str, among: Iterable[Part]) -> Part:
    """See `part`."""
    names = {plain(called): part for part in among for called in (*part.aliases, part.name)}
    found = names.get(plain(name)) or _by_size(name, names)
    if found is None and plain(name) in map(plain, (machine.NAME, *machine.UNMEASURED.aliases)):
        raise UnknownFact(
            f"this machine was not measured yet; {machine.AGAIN} (under a minute). `jevons hw list` shows other parts"
        )
    if found is None:
        close = get_close_matches(plain(name), names, n=9, cutoff=0.0)
        nearest = list(dict.fromkeys(names[called].name for called in close))[:3]
        raise UnknownFact(
            f"there is no part {name!r}; nearest: {', '.join(nearest)}. `jevons hw list` shows all; your own go into {FILE} in "
            f"JEVONS_HOME as [[part]] with name, vendor, kind and the figures you know"
        )
    return found


_SIZE = re.compile(r"(?<![a-z0-9])(\d+) ?gb(?![a-z0-9])")
_BESIDE = re.compile(r"(?<![a-z0-9])(hbm\d?e?|aarch64|x86_64|cts|max-?q|grace ?hopper|superchip)(?![a-z0-9])")
"""What tables of measurements write beside a part's name: its memory, the host's processor, how it was set."""
SIZES_APART = 0.08
"""Memory as makers and as drivers count it: a B300 has 288 or 270 GB."""


def _by_size(name: str, names: Mapping[str, Part]) -> Part | None:
    """The part whose name is followed by its memory's size and kind ("MI300X 192GB HBM3"), if it has so much."""
    lower = name.lower().replace("_aarch64", " aarch64")
    said = _SIZE.findall(lower)
    found = names.get(plain(_BESIDE.sub(" ", _SIZE.sub(" ", lower))))
    sizes = [float(size) for size in said]
    if found is None or any(found.memory_gb is None or abs(size / found.memory_gb - 1) > SIZES_APART for size in sizes):
        return None
    return found


_VENDORS = ("nvidia", "amd", "instinct", "intel", "google", "cloud", "aws", "apple", "tesla", "geforce", "radeon")


def plain(name: str) -> str:
    """A name without what people write differently: "NVIDIA H100 (ML.ENERGY)" -> "h100"."""
    words = re.findall(r"[a-z0-9.+]+", re.sub(r"\([^)]*\)", " ", name.lower()))
    return "".join(word for word in words if word not in _VENDORS)


@lru_cache(maxsize=1)
def _packaged() -> tuple[Part, ...]:
    found: dict[str, Part] = {}
    _add(_ours(), FILE, found)
    return tuple(found.values())


def sources() -> dict[str, str]:
    """What the first word of a figure's source stands for."""
    return dict(tomllib.loads(_ours())["sources"])


def _ours() -> str:
    return resources.files("jevons.economics").joinpath("data", FILE).read_text("utf-8")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnitCostError(f"{path} cannot be read: {error}") from error


def _add(text: str, file: str, found: dict[str, Part]) -> None:
    """The parts of a file's text into `found`: new ones, and figures over those of the same name."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnitCostError(f"{file} is not TOML: {error}") from error
    entries = document.pop("part", [])
    document.pop("sources", None)
    if document:
        raise UnitCostError(f"{file}: unknown key {next(iter(document))!r}; each part is a table that begins with [[part]]")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnitCostError(f"{file}: write [[part]] with two brackets, once for each part")
    for number, entry in enumerate(entries, 1):
        fresh = _Entry(entry, f"{file}, [[part]] number {number}").read(found)
        found[fresh.name] = fresh
    called: dict[str, str] = {}
    for one in found.values():
        for alias in (one.name, *one.aliases):
            if called.setdefault(plain(alias), one.name) != one.name:
                raise UnitCostError(f"{file}: {alias!r} would be both {called[plain(alias)]} and {one.name}")


class _Entry:
    """Reads one [[part]] table; knows its place, for the error messages."""

    def __init__(self, table: dict[str, Any], place: str) -> None:
        self.table = table
        self.place = f"{place} ({table.get('name', 'without a name')})"

    def bad(self, what: str) -> UnitCostError:
        return UnitCostError(f"{self.place}: {what}")

    def read(self, found: Mapping[str, Part]) -> Part:
        keys = {field.name for field in fields(Part)} | {"source"}
        for key in self.table:
            if key not in keys:
                close = get_close_matches(key, keys, n=1)
                raise self.bad(f"unknown key {key!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        name = self._word("name", "")
        base = next((one for one in found.values() if plain(name) in map(plain, (one.name, *one.aliases))), None)
        values: dict[str, Any] = {figure: self._number(figure) for figure in FIGURES if figure in self.table}
        sources = self._sources(values)
        if base is None and plain(name) in map(plain, (machine.UNMEASURED.name, *machine.UNMEASURED.aliases)):
            base = machine.UNMEASURED
        if base is None:
            base = Part(name=name, vendor=self._word("vendor"), kind=self._one_of("kind", get_args(Kind)), sources={})
        if "aliases" in self.table:
            values["aliases"] = self._aliases()
        if "disputes" in self.table:
            values["disputes"] = self._disputes()
        for key, allowed in (("status", get_args(Status)), ("confidence", get_args(Confidence))):
            if key in self.table:
                values[key] = self._one_of(key, allowed)
        for key in ("announced", "note"):
            if key in self.table:
                values[key] = self._word(key)
        return replace(base, **values, sources={**base.sources, **sources})

    def _word(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(f'{key} is missing or no text; write {key} = "…"')
        return value.strip()

    def _one_of(self, key: str, allowed: tuple[str, ...]) -> Any:
        value = self.table.get(key)
        if value not in allowed:
            raise self.bad(f"{key} = {value!r}; it may be {', '.join(allowed)}")
        return value

    def _number(self, figure: str) -> float:
        value = self.table[figure]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.bad(f"{figure} = {value!r} is not a positive number of {FIGURES[figure].unit}; leave out what is unknown")
        return float(value)

    def _aliases(self) -> tuple[str, ...]:
        value = self.table["aliases"]
        if not isinstance(value, list) or not all(isinstance(alias, str) and plain(alias) for alias in value):
            raise self.bad('write aliases = ["another name", …]')
        return tuple(value)

    def _disputes(self) -> tuple[Dispute, ...]:
        try:
            said = [(str(one["figure"]), float(one["value"]), str(one["source"])) for one in self.table["disputes"]]
            for figure, _, _ in said:
                assert FIGURES[figure]
            return tuple(Dispute(*one) for one in said)
        except (TypeError, KeyError, ValueError):
            raise self.bad('write disputes = [{ figure = "bandwidth_gb_s", value = 7700, source = "…" }]') from None

    def _sources(self, values: Iterable[str]) -> dict[str, str]:
        """Ours: `sources` by group or figure, beginning with codes of the file's [sources]. The user's: one `source` for the entry."""
        given, text = self.table.get("sources", {}), self.table.get("source", f"stated in your {FILE}")
        if not isinstance(text, str) or not isinstance(given, dict):
            raise self.bad('write source = "where you have it from"')
        if given:
            return {str(key): str(said) for key, said in given.items()}
        return dict.fromkeys(values, text)
