"""What can be had of a system, batch by batch: how fast each user is served against what a token costs to make.

Comes in: what is served, on what, how long requests are, what an hour costs. Goes out: `Corner`s, from one sequence to as many as fit. The more
are served together, the less a token costs and the slower each user's tokens come: no single figure of a system says both. Does not know: how it
is drawn (`frontier_picture`), which corner anybody wants.
"""

from dataclasses import replace
from typing import NamedTuple

from jevons.economics.unitcost.cost import Hourly, Interval, Pace, Quantiles, exactly, per_million
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.placing import Model
from jevons.economics.unitcost.serving import Load, Speed, serve
from jevons.economics.unitcost.steps import System


class Corner(NamedTuple):
    """One batch."""

    speed: Speed
    cost: Quantiles | None
    """A million tokens of answers, their prompts included; None where an hour has no price."""
    plain_nusd: int | None
    """The same by the plain roofline, at the median of the price."""

    @property
    def batch(self) -> float:
        return self.speed.batch

    @property
    def plain_user_tok_s(self) -> float:
        return self.speed.plain_device_tok_s * self.speed.devices / self.speed.batch


def frontier(
    model: Model, on: System, load: Load, efficiencies: Efficiencies, hourly: Hourly | None, utilisation: float, engine: str = ""
) -> list[Corner]:
    """Powers of two, what fits, and the load's own batch, from few to many. Raises DoesNotFit, UnknownFact, UnitCostError as `serve` does."""
    full = serve(*model, on, replace(load, batch=None), efficiencies, engine)
    batches = {load.batch} if load.batch else set()
    power = 1.0
    while power < full.batch:
        batches.add(power)
        power *= 2
    others = [serve(*model, on, replace(load, batch=batch), efficiencies, engine) for batch in batches - {full.batch}]
    return [_corner(speed, hourly, utilisation) for speed in sorted([full, *others], key=lambda speed: speed.batch)]


def answers(speed: Speed, hourly: Hourly, utilisation: float) -> Quantiles:
    """A million tokens of answers, the prompts before them included."""
    whole = Interval(speed.interval(speed.device_tok_s)[0], speed.device_tok_s, speed.interval(speed.device_tok_s)[1])
    return per_million(Pace(whole, whole), hourly, utilisation).output


def _corner(speed: Speed, hourly: Hourly | None, utilisation: float) -> Corner:
    if hourly is None:
        return Corner(speed, None, None)
    plain = exactly(speed.plain_device_tok_s)
    return Corner(speed, answers(speed, hourly, utilisation), per_million(Pace(plain, plain), hourly, utilisation).output.mid)
