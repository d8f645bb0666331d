"""The parts that make tokens: what each can compute, move, hold and draw, and what an hour of it costs, every figure with its source.

Comes in: data/hardware.toml, whose head explains every figure, and the user's own hardware.toml in JEVONS_HOME, which adds parts and
overrides figures. Goes out: `Part`s, found by the names that people and tables use. A figure that nobody published is None; whoever
needs it gets UnknownFact, which says how to give it. Does not know: models, this machine (`machine`), what a token costs.
"""

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from jevons.economics.unitcost.errors import UnitCostError, UnknownFact

FILE = "hardware.toml"
"""The name of our data file, and of the user's own."""

Kind = Literal["gpu", "consumer gpu", "soc", "tpu", "asic", "wafer", "cpu"]
Status = Literal["available", "announced"]
Confidence = Literal["high", "medium", "low"]
Group = Literal["spec", "power", "price", "tco"]
"""Figures that mostly have one source in common."""

GIGA, TERA, PETA = 1e9, 1e12, 1e15


class Figure(NamedTuple):
    """What one figure of a part is."""

    words: str
    unit: str
    group: Group


FIGURES: dict[str, Figure] = {
    "f32_tflops": Figure("f32 throughput", "TFLOP/s", "spec"),
    "bf16_tflops": Figure("16-bit throughput", "TFLOP/s", "spec"),
    "fp8_tflops": Figure("fp8 throughput", "TFLOP/s", "spec"),
    "fp4_tflops": Figure("fp4 throughput", "TFLOP/s", "spec"),
    "int8_tops": Figure("int8 throughput", "TOP/s", "spec"),
    "memory_gb": Figure("memory", "GB", "spec"),
    "bandwidth_gb_s": Figure("memory bandwidth", "GB/s", "spec"),
    "link_gb_s": Figure("link bandwidth to its neighbours, one way", "GB/s", "spec"),
    "tdp_w": Figure("rated power", "W", "power"),
    "measured_w": Figure("power measured under load", "W", "power"),
    "allin_kw": Figure("all-in power (its share of server, network and cooling)", "kW", "power"),
    "price_low_usd_h": Figure("lowest rent", "$/h", "price"),
    "price_typical_usd_h": Figure("typical rent", "$/h", "price"),
    "price_high_usd_h": Figure("highest rent", "$/h", "price"),
    "purchase_usd": Figure("purchase price", "$", "price"),
    "tco_hyperscaler_usd_h": Figure("cost of owning it as a hyperscaler", "$/h", "tco"),
    "tco_neocloud_usd_h": Figure("cost of owning it as a smaller cloud", "$/h", "tco"),
}
"""Throughputs are dense and of one part. GB are 10^9 bytes."""

THROUGHPUT = {
    **dict.fromkeys(("f32", "fp32"), "f32_tflops"),
    **dict.fromkeys(("bf16", "f16", "fp16"), "bf16_tflops"),
    "fp8": "fp8_tflops",
    "fp4": "fp4_tflops",
    "int8": "int8_tops",
}
"""What is computed in -> the figure that is its rate."""


class Quotes(NamedTuple):
    """Rent of one part in dollars an hour, as quoted; mixed dates and sellers, so a spread and no market price."""

    low: float | None
    typical: float | None
    high: float | None


class Dispute(NamedTuple):
    """What another source says of a figure."""

    figure: str
    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One accelerator or processor. None is unknown; see `FIGURES` for words and units."""

    name: str
    vendor: str
    kind: Kind
    status: Status = "available"
    announced: str = ""
    """When and where it was announced, for what cannot be bought yet."""
    aliases: tuple[str, ...] = ()
    f32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp8_tflops: float | None = None
    fp4_tflops: float | None = None
    int8_tops: float | None = None
    memory_gb: float | None = None
    bandwidth_gb_s: float | None = None
    link_gb_s: float | None = None
    tdp_w: float | None = None
    measured_w: float | None = None
    allin_kw: float | None = None
    price_low_usd_h: float | None = None
    price_typical_usd_h: float | None = None
    price_high_usd_h: float | None = None
    purchase_usd: float | None = None
    tco_hyperscaler_usd_h: float | None = None
    tco_neocloud_usd_h: float | None = None
    disputes: tuple[Dispute, ...] = ()
    confidence: Confidence = "medium"
    note: str = ""
    sources: Mapping[str, str]
    """Group or single figure -> where it comes from."""

    def figure(self, name: str) -> float:
        """A figure by its name in `FIGURES`. Raises UnknownFact where it is not known."""
        value: float | None = getattr(self, name)
        if value is None:
            words, unit, _ = FIGURES[name]
            raise UnknownFact(
                f"the {words} of {self.name} is not known ({name}). If you know it, write it into {FILE} in JEVONS_HOME:\n"
                f'[[part]]\nname = "{self.name}"\n{name} = …  # {unit}\nsource = "where you have it from"'
            )
        return value

    def source(self, figure: str) -> str:
        """Where a figure comes from."""
        return self.sources.get(figure) or self.sources.get(FIGURES[figure].group, "")

    def flops(self, precision: str) -> float:
        """FLOP/s (for int8: operations a second) of dense matrix products in `precision`: f32, bf16 or f16, fp8, fp4, int8.
        Raises UnknownFact where it is not known: whether it can compute in that precision is not for us to assume.
        """
        if precision not in THROUGHPUT:
            raise UnknownFact(f"parts have no throughput in {precision!r}; there are {', '.join(THROUGHPUT)}")
        return self.figure(THROUGHPUT[precision]) * TERA

    def bandwidth(self) -> float:
        """Bytes a second from and to its memory. Raises UnknownFact."""
        return self.figure("bandwidth_gb_s") * GIGA

    def memory(self) -> float:
        """Bytes of its memory. Raises UnknownFact."""
        return self.figure("memory_gb") * GIGA

    def link(self) -> float:
        """Bytes a second to its neighbours, one way. Raises UnknownFact."""
        return self.figure("link_gb_s") * GIGA

    def ridge(self, precision: str) -> float:
        """FLOP per byte from which on computing and not memory is the limit (Williams et al. 2009). Raises UnknownFact."""
        return self.flops(precision) / self.bandwidth()

    def hourly(self) -> Quotes:
        """What an hour of it is quoted at."""
        return Quotes(self.price_low_usd_h, self.price_typical_usd_h, self.price_high_usd_h)

    def usd_per_pflop_hour(self, precision: str) -> float:
        """Dollars for an hour of 10^15 FLOP/s at the typical rent. Raises UnknownFact."""
        return self.figure("price_typical_usd_h") / (self.flops(precision) / PETA)

    def usd_per_tb_s_hour(self) -> float:
        """Dollars for an hour of 10^12 bytes a second at the typical rent. Raises UnknownFact."""
        return self.figure("price_typical_usd_h") / (self.bandwidth() / TERA)

    def as_dict(self) -> dict[str, object]:
        """For --json: stable keys; money in nano-dollars; null is unknown."""
        document: dict[str, object] = {
            key: getattr(self, key) for key in ("name", "vendor", "kind", "status", "announced", "confidence", "note")
        }
        for figure in FIGURES:
            value = getattr(self, figure)
            if "_usd" in figure:
                document[figure.replace("_usd", "_nusd")] = None if value is None else round(value * GIGA)
            else:
                document[figure] = value
        document["disputes"] = [dispute._asdict() for dispute in self.disputes]
        document["sources"] = dict(self.sources)
        return document


def parts(home: Path | None = None) -> tuple[Part, ...]:
    """The catalogue, in the order of its file; with those of `home`/hardware.toml over it. Raises UnitCostError for a bad file."""
    found = {part.name: part for part in _packaged()}
    if home is not None and (home / FILE).exists():
        _add(_text(home / FILE), str(home / FILE), found)
    return tuple(found.values())


def part(name: str, home: Path | None = None) -> Part:
    """The part of that name or alias, whatever the case, the vendor's name, dashes and what is in brackets. Raises UnknownFact."""
    return find(name, parts(home))


def find(name: str, among: Iterable[Part]) -> Part:
    """See `part`."""
    names = {plain(called): part for part in among for called in (*part.aliases, part.name)}
    found = names.get(plain(name))
    if found is None:
        close = get_close_matches(plain(name), names, n=9, cutoff=0.0)
        nearest = list(dict.fromkeys(names[called].name for called in close))[:3]
        raise UnknownFact(
            f"there is no part {name!r}; nearest: {', '.join(nearest)}. `jevons hw list` shows all; your own go into {FILE} in "
            f"JEVONS_HOME as [[part]] with name, vendor, kind and the figures you know"
        )
    return found


_VENDORS = ("nvidia", "amd", "instinct", "intel", "google", "cloud", "aws", "apple", "tesla", "geforce", "radeon")


def plain(name: str) -> str:
    """A name without what people write differently: "NVIDIA H100 (ML.ENERGY)" -> "h100"."""
    words = re.findall(r"[a-z0-9.+]+", re.sub(r"\([^)]*\)", " ", name.lower()))
    return "".join(word for word in words if word not in _VENDORS)


@lru_cache(maxsize=1)
def _packaged() -> tuple[Part, ...]:
    found: dict[str, Part] = {}
    _add(resources.files("jevons.economics").joinpath("data", FILE).read_text("utf-8"), FILE, found)
    return tuple(found.values())


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
    entries, known = document.pop("part", []), document.pop("sources", {})
    if document:
        raise UnitCostError(f"{file}: unknown key {next(iter(document))!r}; each part is a table that begins with [[part]]")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UnitCostError(f"{file}: write [[part]] with two brackets, once for each part")
    for number, entry in enumerate(entries, 1):
        fresh = _Entry(entry, f"{file}, [[part]] number {number}", known).read(found)
        found[fresh.name] = fresh
    called: dict[str, str] = {}
    for one in found.values():
        for alias in (one.name, *one.aliases):
            if called.setdefault(plain(alias), one.name) != one.name:
                raise UnitCostError(f"{file}: {alias!r} would be both {called[plain(alias)]} and {one.name}")


class _Entry:
    """Reads one [[part]] table; knows its place, for the error messages."""

    def __init__(self, table: dict[str, Any], place: str, sources: Mapping[str, str]) -> None:
        self.table = table
        self.place = f"{place} ({table.get('name', 'without a name')})"
        self.codes = sources

    def bad(self, what: str) -> UnitCostError:
        return UnitCostError(f"{self.place}: {what}")

    def read(self, found: Mapping[str, Part]) -> Part:
        keys = {field.name for field in fields(Part)} | {"source"}
        for key in self.table:
            if key not in keys:
                close = get_close_matches(key, keys, n=1)
                raise self.bad(f"unknown key {key!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        name = self._word("name", "")
        base = next((one for one in found.values() if plain(one.name) == plain(name)), None)
        values: dict[str, Any] = {figure: self._number(figure) for figure in FIGURES if figure in self.table}
        sources = self._sources(values)
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
            return tuple(Dispute(str(one["figure"]), float(one["value"]), str(one["source"])) for one in self.table["disputes"])
        except (TypeError, KeyError, ValueError):
            raise self.bad('write disputes = [{ figure = "bandwidth_gb_s", value = 7700, source = "…" }]') from None

    def _sources(self, values: Iterable[str]) -> dict[str, str]:
        """Ours: `sources` by group or figure, beginning with codes of the file's [sources]. The user's: one `source` for the entry."""
        if "sources" in self.table:
            return {str(key): str(text) for key, text in self.table["sources"].items()}
        text = self.table.get("source", f"stated in your {FILE}")
        if not isinstance(text, str):
            raise self.bad('write source = "where you have it from"')
        return dict.fromkeys(values, text)
