"""What is believed before there is history enough: data/forecast_priors.toml as values, each with its source.

Comes in: the data file. Goes out: `Priors`. Raises UnknownFact for a scenario that nobody wrote down. Does not know: how they are used.
"""

import math
import tomllib
from datetime import date
from functools import lru_cache
from importlib import resources

import msgspec

from jevons.economics.unitcost.errors import UnknownFact

Z95 = 1.6448536269514722
"""Standard deviations from the middle of a normal distribution to its 95 % point."""


class Sourced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: str
    reading: str


class Growth(Sourced, frozen=True):
    """A factor a year, lognormal."""

    low: float
    median: float
    high: float

    @property
    def mean_log(self) -> float:
        return math.log(self.median)

    @property
    def sd_log(self) -> float:
        return (math.log(self.high) - math.log(self.low)) / (2 * Z95)


class Scatter(Sourced, frozen=True):
    week: float
    weeks: float
    """How many weeks of its own history this is worth."""


class Together(Sourced, frozen=True):
    correlation: float
    weeks: float


class Trend(Sourced, frozen=True):
    halving_years: float
    """0 = no trend."""
    events: float

    @property
    def log_a_year(self) -> float:
        return -math.log(2) / self.halving_years if self.halving_years else 0.0


class Succession(Sourced, frozen=True):
    followed: float


class PassThrough(Sourced, frozen=True):
    low: float
    mode: float
    high: float


class Scenario(Sourced, frozen=True, rename={"since": "from"}):
    unit_cost: float
    since: date
    by: date
    tokens_per_task: tuple[float, float] | None = None
    pass_through: float | None = None
    """None: as the prior has it."""


class Electricity(Sourced, frozen=True):
    usd_per_kwh: float
    pue: float
    joules_per_token: float


class Capacity(Sourced, frozen=True):
    model: str
    usd_per_gpu_h: float
    input_tok_s: float
    output_tok_s: float


class Priors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tasks: Growth
    depth: Growth
    size: Growth
    scatter: Scatter
    together: Together
    price: dict[str, Trend]
    """By tier."""
    succession: Succession
    pass_through: PassThrough
    scenario: dict[str, Scenario]
    electricity: Electricity
    floor: dict[str, Capacity]
    """By tier."""

    def named(self, scenario: str) -> Scenario:
        """Raises UnknownFact."""
        if scenario not in self.scenario:
            raise UnknownFact(
                f"There is no scenario {scenario!r}; there are: {', '.join(self.scenario)}, or one of your own: cost=0.5,by=2027-12-31."
            )
        return self.scenario[scenario]


@lru_cache(maxsize=1)
def priors() -> Priors:
    text = resources.files("jevons.economics").joinpath("data", "forecast_priors.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Priors)
