"""The least that a million tokens can be sold for without loss: the larger of electricity and capacity.

    capacity     $ per accelerator-hour / (tokens a second x 3,600)
    electricity  joules a token x PUE x $ per kWh / 3.6e6

Of an open model the unit-cost model works it out: on the cheapest of some parts, in one server, with no idle hour, at its lowest quote. Where that
lies above what the model is sold for, others make it cheaper than we know how (more servers, other hours), and it is no floor: then, and for models
that keep their architecture to themselves, there is the reference model of the tier (data/forecast_priors.toml).

Comes in: a model's name, today's rates, the tier's facts. Goes out: `Floor`s in nano-USD a million tokens. A read from the cache has none: nothing
is computed. Does not know: what becomes of prices.
"""

from functools import lru_cache
from typing import NamedTuple

from jevons.core.money import NUSD_PER_USD
from jevons.economics.forecast.formula import Rates
from jevons.economics.forecast.priors import Capacity, Electricity
from jevons.economics.unitcost.cost import Pace, exactly, per_million, rented, stated
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.hardware import part, parts
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.placing import Model, place
from jevons.economics.unitcost.serving import Load
from jevons.economics.unitcost.weights import cache_precision, precision

JOULES_A_KWH = 3.6e6
MILLION = 1_000_000
PARTS = ("H100-SXM", "H200-SXM", "B200-SXM")
"""What open models are rented out on most: quotes of several sellers, and measured efficiencies."""
NUMBERS = "fp8"
USUAL = Load(prompt=3_000, output=1_000)
"""Three of input to one of output: the blend by which list prices are compared."""
USER_TOK_S = 20.0
"""The least that a seller lets a user see."""


class Floor(NamedTuple):
    """Estimated, nano-USD for a million tokens."""

    input_nusd: int
    output_nusd: int
    model: str
    """Whose cost of making it is, and how."""
    source: str

    @property
    def rates(self) -> Rates:
        """By the token."""
        return Rates(self.input_nusd / MILLION, 0.0, self.input_nusd / MILLION, self.output_nusd / MILLION)


def electricity_nusd(power: Electricity) -> float:
    """Of a million tokens."""
    return power.joules_per_token * power.pue * power.usd_per_kwh / JOULES_A_KWH * NUSD_PER_USD * MILLION


def capacity_nusd(usd_per_gpu_h: float, tok_s: float) -> float:
    """Of a million tokens at so many a second on one accelerator."""
    return usd_per_gpu_h / (tok_s * 3_600) * NUSD_PER_USD * MILLION


def floor(capacity: Capacity, power: Electricity) -> Floor:
    """Of a tier."""
    least = electricity_nusd(power)
    read, output = (
        round(max(least, capacity_nusd(capacity.usd_per_gpu_h, rate))) for rate in (capacity.input_tok_s, capacity.output_tok_s)
    )
    return Floor(read, output, capacity.model, capacity.source)


def floor_of(model: str, rates: Rates, tier: Floor) -> Floor:
    """What the unit-cost model says of an open model, if it is sold for more; else the tier's."""
    found = worked_out(model)
    if found is None:
        return tier
    pairs = ((rates.input, found.rates.input), (rates.output, found.rates.output))
    return tier if any(rate is not None and least is not None and rate < least for rate, least in pairs) else found


@lru_cache(maxsize=256)
def worked_out(model: str) -> Floor | None:
    """The cheapest of `PARTS`; None where the architecture is not known, or it fits on none of them."""
    try:
        arch = known(model)
    except UnitCostError:
        return None
    found = []
    for name in PARTS:
        on = part(name)
        try:
            made = place(Model(arch, precision(NUMBERS, arch), cache_precision(NUMBERS)), on, USUAL, shipped(), USER_TOK_S)
            lowest = rented(on, parts()).usd.low
        except UnitCostError:
            continue
        pace = Pace(exactly(made.speed.prefill_tok_s), exactly(made.speed.decode_tok_s))
        cost = per_million(pace, stated(lowest, lowest, lowest), 1.0)
        said = f"{arch.name} in {NUMBERS} on {made.on.devices} x {on.name}, worked out"
        found.append(
            Floor(
                cost.input.mid, cost.output.mid, said, f"docs/unit-cost.md; ${lowest:g} an hour: {on.source('price_low_usd_h')}"
            )
        )
    return min(found, key=lambda one: 3 * one.input_nusd + one.output_nusd, default=None)
