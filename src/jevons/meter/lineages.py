"""Which line of its vendor a model belongs to, and in which tier that line is sold: Opus 4.8 is anthropic's opus, frontier.

Comes in: the provider and the model's name as an entry has them, and its list price where it is known. Goes out: a `Lineage`, from
data/lineages.toml, whose head defines line and tier; never None: an unknown model is a line of its own. Does not know: entries, dates.
"""

import re
import tomllib
from fnmatch import translate
from functools import lru_cache
from importlib import resources
from typing import Literal, NamedTuple

import msgspec

from jevons.core.limits import MODEL_LINES_MEMO_MAX

Tier = Literal["commodity", "frontier"]

_BEFORE_DOTS = re.compile(r"(?:[a-z]+\.)+(?=[a-z])")
"""Bedrock's "global.anthropic." before a model; the dots of a version have digits beside them."""
_VARIANT = re.compile(r":(free|batch|beta|extended|thinking|online|nitro|floor|exacto|\d+)$")
_DATE = re.compile(r"[-@](latest|20\d{6}|20\d\d-\d\d-\d\d|(0[1-9]|1[0-2])([0-2]\d|3[01])|2[3-9](0[1-9]|1[0-2]))$")
"""20251124, 2025-11-24, 1124, 2511."""


class Lineage(NamedTuple):
    """A vendor's line and its tier. A tuple, because a ledger of millions of entries is grouped by it."""

    vendor: str
    line: str
    tier: Tier


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of data/lineages.toml; the file's head explains every field."""

    vendor: str
    line: str
    tier: Tier
    match: tuple[str, ...]
    note: str = ""

    @property
    def lineage(self) -> Lineage:
        return Lineage(self.vendor, self.line, self.tier)


class _Unknown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    commodity_below_nusd_per_mtok: int


@lru_cache(maxsize=MODEL_LINES_MEMO_MAX)
def lineage_of(provider: str | None, model: str, blended_nusd_per_mtok: int | None = None) -> Lineage:
    """The line of a model by its name, as a provider or a router spells it. Never fails.

    `provider` is the upstream's kind or genai-prices' id. `blended_nusd_per_mtok` is the list price, three parts of input to one of
    output (`blended`); it matters only for a model that no line names.
    """
    name = model.lower()
    base = name.rpartition("/")[2]
    spellings = (f"{provider}:{name}", name, base, _BEFORE_DOTS.sub("", base, count=1))
    rules, unknown = _load()
    for pattern, line in rules:
        if any(pattern.match(spelling) for spelling in spellings):
            return line.lineage
    vendor = name.lstrip("~").partition("/")[0] if name.count("/") == 1 else provider
    return Lineage(
        vendor or "unknown", _undated(base), tier_by_price(blended_nusd_per_mtok, unknown.commodity_below_nusd_per_mtok)
    )


def tier_by_price(blended_nusd_per_mtok: int | None, below_nusd_per_mtok: int | None = None) -> Tier:
    """The tier that a price alone suggests; frontier where there is none. data/lineages.toml says why."""
    below = _load()[1].commodity_below_nusd_per_mtok if below_nusd_per_mtok is None else below_nusd_per_mtok
    return "frontier" if blended_nusd_per_mtok is None or blended_nusd_per_mtok >= below else "commodity"


def blended(input_nusd_per_mtok: int, output_nusd_per_mtok: int) -> int:
    """Three parts of input to one of output: the mix by which Epoch and Artificial Analysis compare list prices."""
    return (3 * input_nusd_per_mtok + output_nusd_per_mtok) // 4


def lines() -> tuple[Line, ...]:
    """All lines, in the order in which they are tried."""
    return tuple(dict.fromkeys(line for _, line in _load()[0]))


def _undated(name: str) -> str:
    while (shorter := _DATE.sub("", _VARIANT.sub("", name))) != name:
        name = shorter
    return name


@lru_cache(maxsize=1)
def _load() -> tuple[tuple[tuple[re.Pattern[str], Line], ...], _Unknown]:
    text = resources.files("jevons.meter").joinpath("data/lineages.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    known = [msgspec.convert(line, Line) for line in data["line"]]
    globs = ("|".join(translate(pattern) for pattern in line.match) for line in known)
    return tuple((re.compile(glob), line) for glob, line in zip(globs, known, strict=True)), msgspec.convert(
        data["unknown"], _Unknown
    )
