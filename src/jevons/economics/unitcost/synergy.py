"""How five levers multiply on the way from one way of serving to another: hardware, precision, sparsity, cache, batch.

Comes in: two `End`s, a `Task`, efficiencies. Goes out: a `Synergy`: what a million output tokens cost in each of the 32 corners, by the unit-cost
model, and how the fall from the first to the last is shared out. Does not know: how it is drawn or printed.

A corner takes from either end: the part, the numbers of the weights, the model, the share of the prompt that is found in a cache, the requests at
once (a given number, or as many as are cheapest while each user sees `floor_tok_s`). Each corner is put where it is cheapest on one server. What
cannot be is treated as physics says: numbers that a part cannot multiply in are widened on the way (4-bit weights on an A100 are read as 4 bits
and multiplied in 16); what does not fit, or is too slow on every number of devices, ends it with a message that names the corner.

Costs multiply, so the levers' values are shares of a logarithm (`shapley.split`): factors that multiply to the whole fall. Dollars are shared out
beside it (`shapley.shares`), to the nano-dollar. The two need not rank levers alike: a factor of two is the more dollars the earlier it is pulled.

A million output tokens bear the reading of their prompts. Intervals are of draws: the bootstrap of the efficiencies, the same draw in every
corner; what no efficiency explains, apart for each part with its numbers and model; and each part's price of an hour. What is the same at both ends
has one draw, so that a lever that changes nothing has no width. Where a corner is put is not drawn again. Quality is not held equal: two models
are two models, and `scores` says what is known of them.
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from random import Random
from typing import Any, NamedTuple

from jevons.economics.history import best_score
from jevons.economics.shapley import Set, Split, shares, split, subsets
from jevons.economics.unitcost import synergy_picture
from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.cost import UTILISATION, Hourly, Interval, Quantiles, rented, stated
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError
from jevons.economics.unitcost.hardware import find
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.placing import Model, Placed, place
from jevons.economics.unitcost.serving import Load
from jevons.economics.unitcost.weights import cache_precision, precision

HARDWARE, PRECISION, SPARSITY, CACHE, BATCH = LEVERS = ("hardware", "precision", "sparsity", "cache", "batch")
BENCHMARKS = ("GPQA Diamond", "MMLU", "ECI")
FROM, TO = "llama-3.1-70b:bf16:A100-SXM-80GB", "gpt-oss-120b:nvfp4:B200-SXM-180GB"
CACHED_SHARE = 0.8
"""Of an agent's prompts: what was in the step before."""
FEW = 8
"""Requests at once where nobody batches."""
KV = "bf16"
"""Numbers of keys and values, at both ends."""
ENGINE = "vllm"
"""Which serves both ends, as far as intervals ask: one that the fit has rows of."""
SEED = 1865
DRAWS = 120
NUSD = 10**9
MILLION = 10**6


class End(NamedTuple):
    """One way of serving."""

    part: Part
    hourly: Hourly
    arch: Architecture
    numbers: str
    """Of its weights; what that is of a model, its family's own checkpoints say."""
    cached: float
    """Share of each prompt that is found in a cache, 0 to 1."""
    batch: int | None
    """Requests at once on one system; None: as many as are cheapest under the floor."""


class Task(NamedTuple):
    """What each request asks."""

    prompt: int = 8_192
    output: int = 512
    floor_tok_s: float = 20.0
    """Tokens a second that each user sees at least."""


class Corner(NamedTuple):
    """One set of levers."""

    levers: Set
    placed: Placed
    nusd: int
    """Per million output tokens, at the middle of efficiencies and price."""

    def document(self) -> dict[str, Any]:
        """For --json."""
        on, speed = self.placed.on, self.placed.speed
        return {
            "levers": [lever for lever in LEVERS if lever in self.levers],
            "model": self.placed.model.arch.name,
            "precision": self.placed.model.precision.name,
            "part": on.part.name,
            "devices": on.devices,
            "divided": self.placed.divided,
            "batch": speed.batch,
            "tok_s_user": float(speed.user_tok_s),
            "tok_s_device": float(speed.device_tok_s),
            "nusd_per_million_output": self.nusd,
        }


class Synergy(NamedTuple):
    """The fall, shared out."""

    start: End
    end: End
    task: Task
    corners: dict[Set, Corner]
    whole: Interval
    """What the cost at the start is over the cost at the end."""
    costs: tuple[Quantiles, Quantiles]
    """Of start and end."""
    split: Split
    """Logarithms; negative where the cost falls."""
    factors: dict[str, Interval]
    """What each lever divides the cost by; at the middle they multiply to the whole."""
    shares_nusd: dict[str, int]
    """Sum to the fall of the cost at the middle."""

    @property
    def models(self) -> tuple[str, str]:
        """Names at the start and at the end."""
        return self.start.arch.name, self.end.arch.name

    def cost(self, *levers: str) -> int:
        """Nano-dollars per million output tokens with just these."""
        return self.corners[frozenset(levers)].nusd

    def document(self) -> dict[str, Any]:
        """For --json: stable keys."""
        return {
            "from": _end(self.start),
            "to": _end(self.end),
            "task": self.task._asdict(),
            "per_million_output": {"from": self.costs[0].document(), "to": self.costs[1].document()},
            "factor": _range(self.whole),
            "levers": [
                {
                    "lever": lever,
                    "factor": _range(self.factors[lever]),
                    "own_factor": exp(-self.split.own[lever]),
                    "share_nusd": self.shares_nusd[lever],
                    "alone_nusd": self.cost(lever),
                }
                for lever in LEVERS
            ],
            "pairs": [{"levers": list(pair), "factor": exp(-value)} for pair, value in self.split.pairs.items()],
            "corners": [corner.document() for corner in self.corners.values()],
            "scores": [
                {"benchmark": benchmark, "from": of.get(self.start.arch.name), "to": of.get(self.end.arch.name)}
                for benchmark, of in scores(*self.models).items()
            ],
            "draws": DRAWS,
            "seed": SEED,
            "estimated": True,
        }


def synergy(start: End, end: End, task: Task, efficiencies: Efficiencies, utilisation: float = UTILISATION) -> Synergy:
    """Raises UnitCostError where a corner cannot be: DoesNotFit, too slow for the floor; UnknownFact for a figure that is needed."""
    corners = {levers: _corner(start, end, task, efficiencies, utilisation, levers) for levers in subsets(LEVERS)}
    found = split(lambda levers: log(corners[levers].nusd), LEVERS)
    none, every = corners[frozenset()].nusd, corners[frozenset(LEVERS)].nusd
    drawn = _drawn(start, end, corners, efficiencies, utilisation)
    factors = {lever: _interval([exp(-one[0].values[lever]) for one in drawn], exp(-found.values[lever])) for lever in LEVERS}
    costs = _quantiles([first for _, first, _ in drawn], none), _quantiles([last for _, _, last in drawn], every)
    return Synergy(
        *(start, end, task, corners),
        _interval([first / last for _, first, last in drawn], none / every),
        costs,
        found,
        factors,
        shares(lambda levers: corners[levers].nusd, LEVERS),
    )


def end_of(text: str, among: Sequence[Part], cached: float, batch: int | None) -> End:
    """MODEL:PRECISION:PART, or with :USD of an hour as a fourth part. Raises UnitCostError, UnknownFact."""
    model, *rest = text.split(":")
    if len(rest) not in (2, 3):
        raise UnitCostError(
            f"{text!r} is no way of serving; write MODEL:PRECISION:PART, as {FROM}, or with dollars an hour, as {FROM}:1.29"
        )
    if not 0 <= cached < 1:
        raise UnitCostError(f"the cached share is of a prompt, from 0 to less than 1; {cached:g} is not")
    part = find(rest[1], among)
    arch = known(model)
    try:
        hourly = rented(part, among) if len(rest) == 2 else stated(*[float(rest[2])] * 3)
    except ValueError as error:
        if isinstance(error, UnitCostError):
            raise
        raise UnitCostError(f"{rest[2]!r} is no price of an hour in dollars") from None
    return End(part, hourly, arch, precision(rest[0], arch).name, cached, batch)


def picture(found: Synergy) -> str:
    """SVG."""
    task = found.task
    return synergy_picture.picture(
        synergy_picture.Fall(
            "A million output tokens, and what makes them cheaper",
            f"{task.prompt:,} prompt tokens, {task.output:,} output tokens, at least {task.floor_tok_s:g} tokens/s for each user; logarithmic.",
            (_said(found.start), found.cost()),
            (_said(found.end), found.cost(*LEVERS)),
            found.split.values,
            found.split.own,
            found.split.pairs,
            {lever: (factor.low, factor.high) for lever, factor in found.factors.items()},
            found.shares_nusd,
            [
                f"From {_where(found.start)} to {_where(found.end)}: medians of quotes, {100 * UTILISATION:.0f} % of paid hours busy.",
                quality(*found.models),
            ],
        )
    )


def quality(start: str, end: str) -> str:
    """What is known of it, in a sentence."""
    if start == end:
        return "One model at both ends: what fewer bits lose of its quality is in docs/quantisation.md."
    both = [
        f"{benchmark} {of[start]:.3g} and {of[end]:.3g}"
        for benchmark, of in scores(start, end).items()
        if {start, end} <= set(of)
    ]
    return f"Quality is not held equal: {'; '.join(both) if both else f'no benchmark has scores of both {start} and {end}'}."


def scores(*models: str) -> dict[str, dict[str, float]]:
    """What benchmarks say of models, where they say anything of one: Epoch AI (CC BY 4.0), as in data/model_scores.csv."""
    found = {
        benchmark: {model: score for model, score in best_score(benchmark).items() if model in models} for benchmark in BENCHMARKS
    }
    return {benchmark: of for benchmark, of in found.items() if of}


def _corner(start: End, end: End, task: Task, efficiencies: Efficiencies, utilisation: float, levers: Set) -> Corner:
    def of(lever: str) -> End:
        return end if lever in levers else start

    arch = of(SPARSITY).arch
    model = Model(arch, precision(of(PRECISION).numbers, arch), cache_precision(KV))
    cached = round(task.prompt * of(CACHE).cached)
    load = Load(prompt=max(1, task.prompt - cached), output=task.output, cached=cached, batch=of(BATCH).batch)
    try:
        placed = place(model, of(HARDWARE).part, load, efficiencies, task.floor_tok_s)
    except UnitCostError as error:
        said = ", ".join(lever for lever in LEVERS if lever in levers) or "none of the levers"
        kind = DoesNotFit if isinstance(error, DoesNotFit) else UnitCostError
        raise kind(f"With {said} pulled: {error}") from None
    return Corner(levers, placed, round(_nusd(placed.speed.device_tok_s, of(HARDWARE).hourly.usd.mid, utilisation)))


def _nusd(device_tok_s: float, usd_per_hour: float, utilisation: float) -> float:
    """Nano-dollars per million output tokens."""
    return usd_per_hour * MILLION * NUSD / (3600 * utilisation * float(device_tok_s))


def _drawn(
    start: End, end: End, corners: Mapping[Set, Corner], efficiencies: Efficiencies, utilisation: float
) -> list[tuple[Split, float, float]]:
    """Of each draw: the split, the cost in nano-dollars at the start and at the end."""
    rng, found = Random(SEED), []
    fits = efficiencies.draws() or (efficiencies,)
    systems = {levers: _system(corner.placed) for levers, corner in corners.items()}
    # One engine serves both ends, so what is not known of it divides out; what is not known of a part does not.
    spreads = {systems[levers]: efficiencies.evidence(corner.placed.on.part, ENGINE).spread for levers, corner in corners.items()}
    same = (start.part.name, start.hourly.usd) == (end.part.name, end.hourly.usd)
    for number in range(DRAWS):
        fit = fits[number % len(fits)]
        chances = _chance(rng), _chance(rng)
        price = {False: start.hourly.usd.at(chances[0]), True: end.hourly.usd.at(chances[0 if same else 1])}
        beyond = {system: exp(rng.gauss(0, spreads[system])) for system in sorted(spreads)}
        cost = {
            levers: _nusd(corner.placed.device_tok_s(fit) * beyond[systems[levers]], price[HARDWARE in levers], utilisation)
            for levers, corner in corners.items()
        }
        logs = {levers: log(nusd) for levers, nusd in cost.items()}
        found.append((split(logs.__getitem__, LEVERS), cost[frozenset()], cost[frozenset(LEVERS)]))
    return found


def _system(placed: Placed) -> tuple[str, str, str]:
    """What shares the error that no efficiency explains."""
    return placed.on.part.name, placed.model.precision.name, placed.model.arch.name


def _chance(rng: Random) -> float:
    """In (0, 1)."""
    return min(max(rng.random(), 1e-9), 1 - 1e-9)


def _interval(drawn: Sequence[float], middle: float) -> Interval:
    low, high = _ends(drawn)
    return Interval(low, middle, high)


def _quantiles(drawn: Sequence[float], middle: int) -> Quantiles:
    low, high = _ends(drawn)
    return Quantiles(round(low), middle, round(high))


def _ends(drawn: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(drawn)
    return ordered[round(0.05 * (len(ordered) - 1))], ordered[round(0.95 * (len(ordered) - 1))]


def _where(end: End) -> str:
    return f"{end.part.name} at ${end.hourly.usd.mid:.2f}/h"


def _said(end: End) -> str:
    return f"{end.arch.name}, {end.numbers}"


def _range(found: Interval) -> dict[str, float]:
    return {"p5": found.low, "mid": found.mid, "p95": found.high}


def _end(end: End) -> dict[str, Any]:
    return {
        "model": end.arch.name,
        "precision": end.numbers,
        "part": end.part.name,
        "part_status": end.part.status,
        "cached_share": end.cached,
        "batch": end.batch,
        "nusd_per_hour": dict(zip(("p5", "p50", "p95"), (round(value * NUSD) for value in end.hourly.usd), strict=True)),
        "price": end.hourly.how,
        "price_source": end.hourly.source,
        "price_estimated": end.hourly.estimated,
    }
