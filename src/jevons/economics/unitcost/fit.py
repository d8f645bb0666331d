"""Efficiencies from measured rows: robust least squares on log throughput, each parameter held by its prior; and what three points of a
system change in its predictions.

Comes in: `Point`s. Goes out: `Efficiencies`, log errors, `Calibration`s. Does not know: files, splits (`bench.unitcost`). Needs numpy.

The loss is pseudo-Huber in units of `NOISE`, so that a row which is off by a factor pulls little. Rows of a model count as the root of their
number (`weights`): fifty runs of one model say more than one, not fifty times as much. The minimum is found by Levenberg and Marquardt's
steps with derivatives by differences: 20 parameters, all demands in arrays.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from jevons.economics.unitcost.cycle import Cycle, Mix, Steps, mean_demand, mean_time
from jevons.economics.unitcost.efficiency import (
    CLASSES,
    NO_EVIDENCE,
    PRIORS,
    UNSEEN,
    Z90,
    Efficiencies,
    Measured,
    Power,
    busy,
    engine,
    generation,
    rates,
)
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.measured import Point
from jevons.economics.unitcost.steps import Demand, Rates

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

NOISE = 0.15
"""Scale of an ordinary error of a logarithm."""
STEPS, TRIES = 40, 8
LEAST_GAIN = 1e-5
DIFFERENCE = 1e-4
LONGEST = 0.7
"""Of a step in any parameter's logarithm: a factor of two."""
RESAMPLES = 60
FEWEST_MODELS = 3


def numpy() -> Any:
    """Raises UnitCostError where it is missing."""
    try:
        import numpy  # noqa: PLC0415 - no dependency of the core
    except ImportError:
        raise UnitCostError(f"a check and a fit need numpy: {sys.executable} -m pip install numpy") from None
    return numpy


@dataclass(frozen=True)
class Rows:
    """Points with their demands, in arrays; what does not change while parameters do."""

    points: tuple[Point, ...]
    cycles: tuple[Cycle, ...]
    steps: Mix
    vllm: Any
    trt: Any
    log_s: Any
    """Logarithm of the measured time of a step."""

    def of(self, chosen: Sequence[int]) -> "Rows":
        """Some of them, in that order; with repetition for a resample."""
        return Rows(
            tuple(self.points[row] for row in chosen),
            tuple(self.cycles[row] for row in chosen),
            tuple(Steps(kind.share[chosen], _chosen(kind.demand, chosen)) for kind in self.steps),
            self.vllm[chosen],
            self.trt[chosen],
            self.log_s[chosen],
        )


def stacked(points: Sequence[Point]) -> Rows:
    """Demands of all points. Raises DoesNotFit, UnknownFact for one that cannot be worked out."""
    np = numpy()
    cycles = tuple(point.cycle() for point in points)
    most = max(len(cycle.steps) for cycle in cycles)  # who has fewer kinds of steps has none of the others
    padded = [cycle.steps + (Steps(0.0, cycle.steps[-1].demand),) * (most - len(cycle.steps)) for cycle in cycles]
    names = [engine(point.framework) for point in points]
    return Rows(
        tuple(points),
        cycles,
        tuple(map(_stacked, zip(*padded, strict=True))),
        np.array([name == "vllm" for name in names], float),
        np.array([name == "tensorrt-llm" for name in names], float),
        np.log([cycle.tokens / point.tok_s for cycle, point in zip(cycles, points, strict=True)]),
    )


def _stacked(kinds: Sequence[Steps]) -> Steps:
    """Of every row one kind of steps, in arrays."""
    np = numpy()
    labels = {label for kind in kinds for label in kind.demand.experts | kind.demand.dense} | set(CLASSES)

    def column(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {label: np.array([value.get(label, 0.0) for value in values]) for label in sorted(labels)}
        return np.array(values, float)

    columns = (column([getattr(kind.demand, field.name) for kind in kinds]) for field in fields(Demand))
    return Steps(column([kind.share for kind in kinds]), Demand(*columns))


def _chosen(demand: Demand, chosen: Sequence[int]) -> Demand:
    def of(value: Any) -> Any:
        return {label: array[chosen] for label, array in value.items()} if isinstance(value, dict) else value[chosen]

    return Demand(*(of(getattr(demand, field.name)) for field in fields(Demand)))


def _rates(rows: Rows, parameters: dict[str, Any]) -> Rates:
    """Of all rows at once: each with its engine's overheads."""
    shared = rates(parameters)
    chosen = {}
    for name in ("step_s", "sequence_s"):
        mean = getattr(shared, name)
        chosen[name] = (
            mean + rows.vllm * (parameters[f"{name}.vllm"] - mean) + rows.trt * (parameters[f"{name}.tensorrt-llm"] - mean)
        )
    return replace(shared, **chosen)


def predicted(rows: Rows, logs: Any) -> Any:
    """Logarithms of the times of all steps, from the parameters' logarithms in the order of `PRIORS`."""
    np = numpy()
    return np.log(mean_time(rows.steps, _rates(rows, dict(zip(PRIORS, np.exp(logs), strict=True)))).total_s)


def errors(rows: Rows, efficiencies: Efficiencies) -> Any:
    """ln(predicted / measured tokens per second), row by row."""
    np = numpy()
    return rows.log_s - predicted(rows, np.log([efficiencies.parameters[name] for name in PRIORS]))


def weights(points: Sequence[Point]) -> Any:
    """One over the root of a model's rows in a framework and precision; their mean is 1."""
    np = numpy()
    counts = Counter((point.model, engine(point.framework), point.precision.name) for point in points)
    found = np.array([counts[point.model, engine(point.framework), point.precision.name] ** -0.5 for point in points])
    return found / found.mean()


def minimum(rows: Rows) -> Any:
    """The parameters' logarithms, in the order of `PRIORS`."""
    np = numpy()
    middle = np.log([prior.median for prior in PRIORS.values()])
    spread = np.array([prior.spread for prior in PRIORS.values()])
    weight = weights(rows.points)

    def residuals(logs: Any) -> Any:
        return (predicted(rows, logs) - rows.log_s) / NOISE

    def cost(logs: Any) -> float:
        huber = 2 * (np.sqrt(1 + residuals(logs) ** 2 / 2) - 1)
        return float((weight * huber).sum() + (((logs - middle) / spread) ** 2).sum() / 2)

    return _descend(middle, residuals, cost, weight, middle, spread)


def _descend(
    logs: Any, residuals: Callable[[Any], Any], cost: Callable[[Any], float], weight: Any, middle: Any, spread: Any
) -> Any:
    np = numpy()
    damping, best = 1e-2, cost(logs)
    for _ in range(STEPS):
        now = residuals(logs)
        slopes = np.stack([(residuals(logs + DIFFERENCE * unit) - now) / DIFFERENCE for unit in np.eye(len(logs))], axis=1)
        robust = weight / np.sqrt(1 + now**2 / 2)
        curvature = slopes.T @ (slopes * robust[:, None]) + np.diag(1 / spread**2)
        downhill = -(slopes.T @ (robust * now) + (logs - middle) / spread**2)
        for _ in range(TRIES):
            step = np.clip(np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), downhill), -LONGEST, LONGEST)
            reached = cost(logs + step)
            if reached < best:
                break
            damping *= 4
        else:
            return logs
        gain, best, logs, damping = best - reached, reached, logs + step, max(damping / 4, 1e-6)
        if gain < LEAST_GAIN:
            return logs
    return logs


def fitted(rows: Rows, *, resamples: int = 0, spread: bool = True, seed: int = 0, on: str = "", source: str = "") -> Efficiencies:
    """Efficiencies of these rows. `resamples` of whole models, drawn with replacement, give the parameters' intervals; leaving out every
    model in turn the spread of predictions (without `spread`: `NOISE`). Raises UnitCostError for too few models."""
    np = numpy()
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, point in enumerate(rows.points):
        members[_layers(point)].append(row)
    if len(members) < FEWEST_MODELS:
        raise UnitCostError(f"a fit needs rows of {FEWEST_MODELS} models or more that can be judged; there are {len(members)}")
    logs = minimum(rows)
    chance, models = np.random.default_rng(seed), list(members.values())
    between = (_unseen(rows, "model") or NOISE) if spread else NOISE
    draws = []
    for _ in range(resamples):
        drawn = chance.integers(len(models), size=len(models))
        draws.append(_named(minimum(rows.of([row for model in drawn for row in models[model]]))))
    within = _within(rows.points, rows.log_s - predicted(rows, logs))
    power, power_spread = _power(rows, np.exp(predicted(rows, logs)))
    measured = _measured(rows, between if spread else None)
    return Efficiencies(_named(logs), power, between, within, power_spread, tuple(draws), _counts(rows), on, source, measured)


def _layers(point: Point) -> Hashable:
    """What a model is where models are left out or drawn: names that share all layers are one (Llama 2, 3.1 and 3.3 70B), of which a fit that
    has seen one has seen all."""
    return point.arch.hidden, point.arch.groups


KEYS: dict[str, Callable[[Point], Hashable]] = {
    "model": _layers,
    "part": lambda point: point.on.part.name,
    "generation": lambda point: generation(point.on.part),
    "framework": lambda point: engine(point.framework),
}


def left_out(rows: Rows, *names: str) -> Iterator[tuple[list[int], list[int]]]:
    """Places of rows that agree in all of these (`KEYS`), and of those that share none of it; where these are of too few models, nothing."""
    keys = [tuple(KEYS[name](point) for name in names) for point in rows.points]
    for group in dict.fromkeys(keys):
        own = [row for row, key in enumerate(keys) if key == group]
        rest = [row for row, key in enumerate(keys) if all(one != other for one, other in zip(key, group, strict=True))]
        if len({_layers(rows.points[row]) for row in rest}) >= FEWEST_MODELS - 1:
            yield own, rest


def nameless(rows: Rows) -> Rows:
    """The same under a framework that nobody knows: with the mean of the overheads."""
    return replace(rows, vllm=0 * rows.vllm, trt=0 * rows.trt)


def _unseen(rows: Rows, *names: str) -> float | None:
    """Standard deviation of log errors with these left out of the fit together, rows weighing as in a fit; None where nothing can be. It is
    itself an estimate from so many groups, so their Student's quantile takes the place of the normal one: few groups make it wider."""
    np = numpy()
    found, weight = [], weights(rows.points)
    for own, rest in left_out(rows, *names):
        asked = rows.of(own)
        left = asked.log_s - predicted(nameless(asked) if "framework" in names else asked, minimum(rows.of(rest)))
        found.append((left, weight[own]))
    if not found:
        return None
    left, weight = (np.concatenate(column) for column in zip(*found, strict=True))
    return _quantile_spread(left, weight) * student90(max(1, len(found) - 1)) / Z90


def student90(degrees: int) -> float:
    """Student's t whose central 90 % it ends (Hill's expansion about the normal; Abramowitz and Stegun 26.7.5), within 2 % from 3 degrees on."""
    z = Z90
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def _measured(rows: Rows, between: float | None) -> Measured:
    """`between`: the spread of a model that was left out; None = nothing else is left out either. What cannot be left out, as the only
    part, is taken as far off as a vendor without rows."""
    parts, generations, frameworks = (
        tuple(sorted({str(KEYS[name](point)) for point in rows.points} - {""})) for name in ("part", "generation", "framework")
    )
    powered = tuple(sorted({point.on.part.name for point in rows.points if point.joules_per_token and not point.wall}))
    unseen = between and {
        name: max(between, _unseen(rows, "model", *name.split(" and ")) or NO_EVIDENCE * between) for name in UNSEEN
    }
    return Measured(parts, generations, frameworks, powered, unseen or None)


def _quantile_spread(left: Any, weight: Any) -> float:
    """Standard deviation of the normal distribution whose central 90 % hold 90 % of these errors by weight."""
    np = numpy()
    order = np.argsort(np.abs(left))
    held = np.cumsum(weight[order])
    return float(np.abs(left)[order][np.searchsorted(held, 0.9 * held[-1])]) / Z90


def _named(logs: Any) -> dict[str, float]:
    np = numpy()
    return dict(zip(PRIORS, map(float, np.exp(logs)), strict=True))


def _within(points: Sequence[Point], left: Any) -> float:
    """Standard deviation of the residuals about their system's median, robust (1.4826 x the median of their size)."""
    np = numpy()
    systems = defaultdict(list)
    for point, value in zip(points, left, strict=True):
        systems[point.system].append(float(value))
    inside = [value - float(np.median(values)) for values in systems.values() if len(values) > 2 for value in values]
    return 1.4826 * float(np.median(np.abs(inside))) if inside else NOISE


def _counts(rows: Rows) -> dict[str, int]:
    np = numpy()
    found, used = {}, mean_demand(rows.steps)
    for kind, column, share in (("dense", used.dense, MOSTLY), ("experts", used.experts, 0.0)):
        for label, values in column.items():
            found[f"{kind} {label}"] = int(np.sum(values > share * sum(column.values())))
    return found


MOSTLY = 0.5
"""A row counts for the numbers in which most of its dense products are made; the output layer's are others."""
POWER_PRIORS = ((0.3, 0.1), (0.6, 0.3), (0.4, 0.2))
"""Mean and standard deviation before any row: floor, computing at its peak, moving at its peak; shares of rated power."""
POWER_NOISE = 0.08


def _power(rows: Rows, seconds: Any) -> tuple[Power, float]:
    """Least squares on power over rated power, held by priors; without rows the priors. The spread is of its logarithm."""
    np = numpy()
    compute, memory = busy(mean_demand(rows.steps), seconds)
    known = [row for row, point in enumerate(rows.points) if point.joules_per_token and point.on.part.tdp_w and not point.wall]
    middle, spread = np.array(POWER_PRIORS).T
    if not known:
        return Power(*map(float, middle)), 0.3
    shares = np.array([_share(rows.points[row]) for row in known])
    features = np.stack([np.ones(len(known)), compute[known], memory[known]], axis=1)
    curvature = features.T @ features / POWER_NOISE**2 + np.diag(1 / spread**2)
    found = np.linalg.solve(curvature, features.T @ shares / POWER_NOISE**2 + middle / spread**2).clip(0)
    left = np.log(np.minimum(1, features @ found) / shares)
    return Power(*map(float, found)), _quantile_spread(left, np.ones(len(known)))


SERVER_SHARE = 0.45
"""What a server's processors, memory, fans and losses add at the wall, over its devices' rated power: an assumption."""


def _share(point: Point) -> float:
    """Measured power of a device over its rated one."""
    return (point.joules_per_token or 0.0) * point.tok_s / point.on.devices / (point.on.part.tdp_w or 1.0)


def joules(rows: Rows, efficiencies: Efficiencies) -> Any:
    """Predicted joules per token, row by row; not a number where rated power is not known."""
    np = numpy()
    seconds = np.exp(predicted(rows, np.log([efficiencies.parameters[name] for name in PRIORS])))
    compute, memory = busy(mean_demand(rows.steps), seconds)
    server = np.array([SERVER_SHARE * point.wall for point in rows.points])
    share = server + np.minimum(
        1, efficiencies.power.idle + efficiencies.power.compute * compute + efficiencies.power.memory * memory
    )
    watts = np.array([(point.on.part.tdp_w or float("nan")) * point.on.devices for point in rows.points])
    return watts * share * seconds / np.array([cycle.tokens for cycle in rows.cycles])
