"""Carbon of a kilowatt-hour by the grid that it comes from.

Comes in: a name, an ISO code. Goes out: a `Grid` with grams per kilowatt-hour as an interval, and where they come from. Does not know: where a
call was really computed, which providers do not say: without a name each scenario has a place of its own (`WORLD`).
"""

import tomllib
from bisect import bisect
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from itertools import accumulate
from math import sqrt
from typing import Any

import msgspec

from jevons.economics.energy.scenarios import Draws, Interval, interval, lognormal, uniform
from jevons.economics.unitcost.errors import UnknownFact

WORLD = "world"
"""Nobody says where: any grid of the file, as often as its region has electricity of data centres."""
TENTH, FIFTH = 0.1, 0.2
"""By how much the interval goes beyond two accounts that differ; beyond one that stands alone."""


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says of a grid."""

    g_per_kwh: float
    year: int
    source: str


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One grid of data/grids.toml, whose head explains the fields."""

    name: str
    zone: str
    """ISO 3166-1 alpha-3, or WOR: what EcoLogits is asked for."""
    label: str
    a: Account
    b: Account | None = None
    aliases: tuple[str, ...] = ()

    @property
    def g_per_kwh(self) -> Interval:
        """gCO2e/kWh; location-based, life cycle."""
        if self.name == WORLD:
            return interval(self.draws)
        said = [account.g_per_kwh for account in (self.a, self.b) if account is not None]
        beyond = TENTH if len(said) > 1 else FIFTH
        low, high = min(said) * (1 - beyond), max(said) * (1 + beyond)
        return Interval(low, sqrt(low * high), high)

    @property
    def draws(self) -> Draws:
        """gCO2e/kWh in each scenario."""
        return _anywhere() if self.name == WORLD else lognormal(f"grid {self.name}", self.g_per_kwh.low, self.g_per_kwh.high)

    @property
    def source(self) -> str:
        return " and ".join(f"{one.source} ({one.year})" for one in (self.a, self.b) if one is not None)


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the world's data centres."""

    name: str
    twh: float
    zones: tuple[str, ...]


@lru_cache(maxsize=1)
def _anywhere() -> Draws:
    """The grid of a place of its own in each scenario."""
    regions = msgspec.convert(_table()["region"], tuple[Region, ...])
    within = [[one for one in grids() if one.zone in region.zones] for region in regions]
    shares = [(region.twh / len(among), one) for region, among in zip(regions, within, strict=True) for one in among]
    ends = list(accumulate(twh for twh, _ in shares))
    chosen = [shares[bisect(ends, share * ends[-1])][1] for share in uniform("place")]
    return [one.draws[number] for number, one in enumerate(chosen)]


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files("jevons.economics").joinpath("data", "grids.toml").read_text("utf-8"))


@lru_cache(maxsize=1)
def grids() -> tuple[Grid, ...]:
    return msgspec.convert(_table()["grid"], tuple[Grid, ...])


def grid(name: str) -> Grid:
    """By its name, an alias, or the ISO code of its country. Raises UnknownFact."""
    asked = name.lower().strip()
    for one in grids():
        if asked in (one.name, *one.aliases):
            return one
    names = [name for one in grids() for name in (one.name, *one.aliases)]
    near = get_close_matches(asked, names, 3)
    known = f"nearest are {', '.join(near)}" if near else f"known are {WORLD}, us, ireland, sweden and more"
    raise UnknownFact(f"The carbon of the grid {name!r} is not known; {known}. `jevons energy --grids` lists all.")
