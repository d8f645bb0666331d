"""What is known of a model that decides its energy: its architecture, its size, or the class that it belongs to.

Comes in: the provider whose price it has and its name, the operator's own energy.toml. Goes out: a `Facts` with its source, or UnknownFact: of a
model that nobody has classified nothing is assumed. Does not know: joules, tokens.
"""

import re
import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.known import Known, find, known
from jevons.meter.lineages import lineage_of, lines

FILE = "energy.toml"
LOCAL = ("local", "student")
"""Providers of the price book that are this machine."""

_RELEASE = re.compile(r"(?<!\d)\d{4}(?!\d)")

Basis = Literal["architecture", "stated", "class", "this machine"]
Pair = tuple[float, float]
"""5 and 95 %."""


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A class of energy.toml, or a model that its operator states."""

    match: tuple[str, ...]
    name: str = ""
    active_b: Pair | None = None
    """Parameters that a token takes, in billions; None = this kind of work is not known."""
    total_b: Pair | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if (self.active_b is None) != (self.total_b is None):
            raise ValueError("active_b and total_b go together")
        for low, high in filter(None, (self.active_b, self.total_b)):
            if not 0 < low <= high:
                raise ValueError(f"[{low:g}, {high:g}] is no interval of parameters; write the smaller first, both above 0")
        if (
            self.active_b is not None
            and self.total_b is not None
            and any(some > every for some, every in zip(self.active_b, self.total_b, strict=True))
        ):
            raise ValueError("active_b is of total_b: no token takes more parameters than there are")


class Law(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    constant: float
    active: float
    total: float
    batch: float
    spread: float


class Fleet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    batch: Pair
    hardware: Pair
    prefill_tflop_per_joule: Pair
    cache_kb: Pair
    joules_per_gb: Pair
    attention: Pair
    host: Pair
    pue: Pair


class Open(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: tuple[str, ...]
    precisions: tuple[str, ...]
    batches: tuple[int, ...]


class Own(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    watts: Pair
    pue: Pair


class Assumed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """data/energy.toml, whose comments explain every figure and say where it is from."""

    law: Law
    fleet: Fleet
    open: Open
    local: Own
    classes: tuple[Size, ...] = msgspec.field(name="class")


class Facts(msgspec.Struct, frozen=True):
    """Of one model."""

    basis: Basis
    name: str
    """Of the architecture, of the class, or of what was stated."""
    line: str
    """What shares its uncertainty: models of one line are as large as each other as far as anybody knows."""
    source: str
    active_b: Pair | None = None
    total_b: Pair | None = None
    architecture: Architecture | None = None


@lru_cache(maxsize=1)
def assumed() -> Assumed:
    text = resources.files("jevons.economics").joinpath("data", FILE).read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Assumed)


def stated(home: Path) -> tuple[Size, ...]:
    """The [[model]] tables of energy.toml in `home`; () if there is none. Raises UnitCostError with what is wrong in it."""
    path = home / FILE
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        return msgspec.convert(table.pop("model", []), tuple[Size, ...]) if set(table) <= {"model"} else _unknown(path, table)
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UnitCostError(
            f"{path} cannot be read: {error}. Each model is a table [[model]] with match, active_b and total_b."
        ) from None


def _unknown(path: Path, table: dict[str, object]) -> tuple[Size, ...]:
    wrong = next(name for name in table if name != "model")
    raise UnitCostError(
        f"{path} has {wrong!r}, which is not read; each model is a table [[model]] with match, active_b and total_b."
    )


def facts(provider: str, model: str, own: tuple[Size, ...] = ()) -> Facts:
    """`own`: the operator's, which stand before all. Raises UnknownFact for a model that nobody has described."""
    lineage = lineage_of(provider, model)
    line = f"{lineage.vendor}/{lineage.line}"
    for size in own:
        if any(fnmatchcase(model.lower(), pattern.lower()) for pattern in size.match):
            return _sized("stated", size, line, model)
    if provider in LOCAL:
        return Facts("this machine", provider, provider, "its own time and watts")
    if (named := _known(model)) is not None:
        return Facts("architecture", named.name, line, named.source, architecture=known(model))
    if lineage in {one.lineage for one in lines()}:
        place = f"{line}/{lineage.tier}"
        for size in assumed().classes:
            if any(fnmatchcase(place, pattern) for pattern in size.match):
                return _sized("class", size, line, model)
    raise _nothing(model, "nobody has classified it")


def _known(model: str) -> Known | None:
    """An open model; None if it is closed, not in the list, or of another release than the one there: Mistral Large 2407 is dense, 2512 is not."""
    try:
        found = find(model)
    except UnknownFact:
        return None
    spellings = " ".join((found.name, found.hub, *found.aliases))
    return found if all(release in spellings for release in _RELEASE.findall(model)) else None


def _sized(basis: Basis, size: Size, line: str, model: str) -> Facts:
    if size.active_b is None:
        raise _nothing(model, f"it is of the kind {size.name!r}")
    return Facts(basis, size.name or ", ".join(size.match), line, size.source, size.active_b, size.total_b)


def _nothing(model: str, why: str) -> UnknownFact:
    return UnknownFact(
        f"The energy of {model!r} is not known: {why}. State its size in {FILE} in JEVONS_HOME: [[model]] with match, active_b, total_b."
    )
