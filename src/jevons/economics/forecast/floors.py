"""The least that a million tokens can be sold for without loss: the larger of electricity and capacity.

    capacity     $ per accelerator-hour / (tokens a second · 3,600)
    electricity  joules a token · PUE · $ per kWh / 3.6e6

Comes in: facts of a tier's reference model (data/forecast_priors.toml), or $/h and rates that the unit-cost model worked out. Goes out: `Floor`s in
nano-USD a million tokens. A read from the cache has no floor but electricity's zero: nothing is computed. Does not know: list prices.
"""

from typing import NamedTuple

from jevons.core.money import NUSD_PER_USD
from jevons.economics.forecast.priors import Capacity, Electricity

JOULES_A_KWH = 3.6e6
MILLION = 1_000_000


class Floor(NamedTuple):
    """Estimated, nano-USD for a million tokens."""

    input_nusd: int
    output_nusd: int
    model: str
    """Whose cost of making it is."""
    source: str


def electricity_nusd(power: Electricity) -> float:
    """Of a million tokens."""
    return power.joules_per_token * power.pue * power.usd_per_kwh / JOULES_A_KWH * NUSD_PER_USD * MILLION


def capacity_nusd(usd_per_gpu_h: float, tok_s: float) -> float:
    """Of a million tokens at so many a second on one accelerator."""
    return usd_per_gpu_h / (tok_s * 3_600) * NUSD_PER_USD * MILLION


def floor(capacity: Capacity, power: Electricity) -> Floor:
    least = electricity_nusd(power)
    read, output = (
        round(max(least, capacity_nusd(capacity.usd_per_gpu_h, rate))) for rate in (capacity.input_tok_s, capacity.output_tok_s)
    )
    return Floor(read, output, capacity.model, capacity.source)
