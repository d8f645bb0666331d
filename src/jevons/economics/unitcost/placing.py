"""Where a model is best put: on how many devices of a part, divided how, with how many requests at once.

Comes in: a model, a part, a load, the least tokens a second that each user must see. Goes out: the `Placed` that makes the most output tokens a
second per device, so the cheapest, whatever an hour costs. Does not know: prices.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.cycle import Cycle
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.serving import Load, Speed, best_batch, serve, steady
from jevons.economics.unitcost.steps import System
from jevons.economics.unitcost.weights import CachePrecision, Precision

DEVICES = (1, 2, 4, 8)
"""Of one server: between servers links are slower, and no figure of the catalogue says by how much."""


class Model(NamedTuple):
    """What is served, and in which numbers."""

    arch: Architecture
    precision: Precision
    kv: CachePrecision

    @property
    def name(self) -> str:
        return f"{self.arch.name} in {self.precision.name}"


@dataclass(frozen=True)
class Placed:
    """A model on a system under a load."""

    model: Model
    on: System
    load: Load
    """With the batch that it came to."""
    speed: Speed

    @property
    def divided(self) -> str:
        """How its matrices are."""
        if self.on.devices == 1:
            return "not"
        return "experts apart, attention by sequences" if self.on.spread else "each matrix"

    @cached_property
    def cycle(self) -> Cycle:
        """Its steady state, before efficiencies."""
        return steady(*self.model, self.on, self.load)

    def device_tok_s(self, efficiencies: Efficiencies) -> float:
        """Of the same place with other efficiencies: a draw of the bootstrap."""
        return float(self.cycle.tokens / self.cycle.seconds(efficiencies.rates()) / self.on.devices)


def place(
    model: Model, part: Part, load: Load, efficiencies: Efficiencies, floor_tok_s: float, devices: tuple[int, ...] = DEVICES
) -> Placed:
    """The cheapest place in one of these numbers of devices. `load.batch` None: with the batch that is best under the floor.

    Raises DoesNotFit where memory is too small on all of them, UnitCostError where none is as fast as `floor_tok_s`, UnknownFact.
    """
    found: list[Placed] = []
    failed: list[UnitCostError] = []
    for on in (way for number in devices for way in _ways(model.arch, part, number)):
        try:
            speed = _speed(model, on, load, efficiencies, floor_tok_s)
            found.append(Placed(model, on, replace(load, batch=speed.batch), speed))
        except UnitCostError as error:
            failed.append(error)
    if found:
        return max(found, key=lambda one: one.speed.device_tok_s)
    raise max(reversed(failed), key=_tells)  # of equals that on the most devices


def _tells(error: UnitCostError) -> int:
    """Which of several reasons is most to the point: that it is too slow, then a figure that is not known, then that it does not fit. Where a part
    without a known link fits one and is too slow, it is not the link that is missing."""
    return 1 if isinstance(error, UnknownFact) else 0 if isinstance(error, DoesNotFit) else 2


def _speed(model: Model, on: System, load: Load, efficiencies: Efficiencies, floor_tok_s: float) -> Speed:
    """Raises UnitCostError if a user would get less than the floor."""
    if load.batch is None:
        return best_batch(*model, on, load, efficiencies, floor_tok_s)
    speed = serve(*model, on, load, efficiencies)
    if speed.user_tok_s < floor_tok_s:
        raise UnitCostError(
            f"{floor_tok_s:g} tokens/s for each user cannot be met: {model.name} on {on.devices} x {on.part.name} gives "
            f"{speed.user_tok_s:.1f} to each of {load.batch:g}"
        )
    return speed


def _ways(arch: Architecture, part: Part, devices: int) -> list[System]:
    """Each matrix divided among all; and, of a mixture, attention by sequences with experts apart."""
    ways = [System(part, tensor=devices)]
    if devices > 1 and arch.experts is not None:
        ways.append(System(part, data=devices, spread=True))
    return ways
