"""Carbon of a kilowatt-hour by the grid that it comes from.

Comes in: a name, an ISO code. Goes out: a `Grid` with grams per kilowatt-hour as an interval, and where they come from. Does not know: where a
call was really computed, which providers do not say.
"""

import tomllib
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from math import sqrt

import msgspec

from jevons.economics.energy.scenarios import Interval
from jevons.economics.unitcost.errors import UnknownFact

WORLD = "world"
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
        said = [account.g_per_kwh for account in (self.a, self.b) if account is not None]
        beyond = TENTH if len(said) > 1 else FIFTH
        low, high = min(said) * (1 - beyond), max(said) * (1 + beyond)
        return Interval(low, sqrt(low * high), high)

    @property
    def source(self) -> str:
        return " and ".join(f"{one.source} ({one.year})" for one in (self.a, self.b) if one is not None)


@lru_cache(maxsize=1)
def grids() -> tuple[Grid, ...]:
    text = resources.files("jevons.economics").joinpath("data", "grids.toml").read_text("utf-8")
    return tuple(msgspec.convert(one, Grid) for one in tomllib.loads(text)["grid"])


def grid(name: str) -> Grid:
    """By its name, an alias, or the ISO code of its country. Raises UnknownFact."""
    asked = name.lower().strip()
    for one in grids():
        if asked in (one.name, *one.aliases):
            return one
    names = [name for one in grids() for name in (one.name, *one.aliases)]
    near = ", ".join(get_close_matches(asked, names, 3)) or f"{WORLD}, us, ireland, sweden, …"
    raise UnknownFact(f"The carbon of the grid {name!r} is not known; nearest are {near}. `jevons energy --grids` lists all.")
