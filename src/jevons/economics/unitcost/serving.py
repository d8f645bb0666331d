"""What a system serves: tokens a second in a steady mix of prompts and answers, joules, and the batch that costs least under a speed floor.

Comes in: an architecture, precisions, a `System`, a `Load`, efficiencies. Goes out: a `Speed`. Does not know: prices (`cost`), when requests
arrive: there are always enough of them.

Continuous batching in steady state (Yu and others, Orca, OSDI 2022): while `batch` sequences make a token each, batch/output new prompts
take the places of those that are done. Of the steps a share reads prompts too (`cycle`), and tokens/s = batch / the mean time of a step.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil, exp, log, sqrt
from statistics import pvariance
from typing import Any

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.cycle import PREFILL_TOKENS, Cycle, Steps, mean_demand, mean_time, mixed, plain_s, reading_share
from jevons.economics.unitcost.efficiency import WIDER_PARENT, Z90, Efficiencies, busy
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError
from jevons.economics.unitcost.memory import fit
from jevons.economics.unitcost.positions import within
from jevons.economics.unitcost.steps import Demand, Rates, StepTime, System, demand, time, widened
from jevons.economics.unitcost.weights import CachePrecision, Precision, weight_bytes
from jevons.economics.unitcost.work import Speculation, sequence_bytes

RESERVED = 0.07
"""Share of a device's free memory that is left: between vLLM's 0.1 and the 0.05 of TensorRT-LLM's published runs."""
ACTIVATIONS_BYTES = 3e9
"""On a device, beside weights and caches: activations, graphs, the runtime; an assumption (vLLM's profile run prints 1 to 5 GB)."""
SMALL_DEVICE_SHARE = 0.04
"""But no more than this share of a device's memory."""
MOST_SEQUENCES = 4096
"""Of one engine at once, whatever fits: trtllm-bench's cap (bench/build/tuning.py)."""
CONTEXTS = 4
"""Points of an answer at which its cache is looked at; the mean is taken."""


@dataclass(frozen=True)
class Load:
    """What is asked of an engine, again and again."""

    prompt: int
    """New tokens of a prompt."""
    output: int
    cached: int = 0
    """Tokens before them whose keys and values are kept already."""
    batch: float | None = None
    """Sequences at once, in the mean; None = as many as fit."""
    requests: int | None = None
    """Of a run that ends; None = it does not. Answers of equal length are made in whole waves."""
    speculative: Speculation | None = None
    apart: bool = False
    """Prompts are read by other devices, whose keys and values come over."""


def capacity(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    context: int,
    speculative: Speculation | None = None,
) -> float:
    """Sequences of `context` tokens that fit at once, all devices together. A drafting model is there too: its weights are divided as the
    model's matrices are, and it keeps keys and values of its own. Raises DoesNotFit with what would fit."""
    memory = on.part.memory()
    kept = min(ACTIVATIONS_BYTES, SMALL_DEVICE_SHARE * memory)
    draft = speculative.draft if speculative else None
    if speculative is None or draft is None:
        return fit(arch, precision, kv, memory, context, on, kept, RESERVED).sequences
    drafting = sum(weight_bytes(draft, speculative.precision or precision).values()) / on.tensor / on.pipeline
    found = fit(arch, precision, kv, memory, context, on, kept + drafting, RESERVED)
    own = sequence_bytes(draft, kv, context) / min(on.tensor, draft.kv_heads) / on.pipeline
    both = found.sequences * found.sequence_bytes / (found.sequence_bytes + own)
    if both < on.data:
        raise DoesNotFit(
            f"{arch.name} in {precision.name} with {draft.name} that drafts does not fit on {on.devices} x {on.part.name}: not one sequence "
            f"of {context:,} tokens is left room for beside {(found.weight_bytes + drafting) / 1e9:.1f} GB of weights on each"
        )
    return both


def steady(
    arch: Architecture, precision: Precision, kv: CachePrecision, on: System, load: Load, *, prompts: bool = True
) -> Cycle:
    """Of a load on a system; without `prompts` of answers alone. Raises DoesNotFit, UnknownFact."""
    if load.prompt < 1 or load.output < 1 or load.cached < 0:
        raise UnitCostError("a load needs at least one new token of a prompt and one of an answer")
    batch = load.batch if load.batch is not None else _most(arch, precision, kv, on, load)
    if batch <= 0:
        raise UnitCostError(f"a batch of {batch:g} makes nothing")
    before = load.cached + load.prompt
    contexts = tuple(before + round(load.output * (part + 0.5) / CONTEXTS) for part in range(CONTEXTS))
    spec = load.speculative
    produced = spec.produced if spec else 1.0
    begun = batch * produced / load.output if prompts and not load.apart else 0.0
    share = reading_share(begun / on.data / on.pipeline, load.prompt, waves=load.requests is not None)
    own = partial(demand, kv=kv, on=on, batch=batch, contexts=contexts, prompt=load.prompt, cached=load.cached)
    steps = mixed(begun, share, lambda read: own(arch, precision, prompts=read, speculative=spec))
    if spec is None or spec.draft is None or not spec.drafted:
        return Cycle(batch, produced, steps, (), spec.drafted if spec else 0)
    draft, weights = spec.draft, spec.precision or precision
    drafts = mixed(begun / spec.drafted, share, lambda read: own(draft, weights, prompts=read))
    return Cycle(batch, produced, steps, drafts, spec.drafted)


def reading(arch: Architecture, precision: Precision, kv: CachePrecision, on: System, load: Load) -> Cycle:
    """Passes that only read prompts, as long ones as engines make; what is counted is their tokens, those that are kept already too."""
    most = max(1.0, PREFILL_TOKENS * on.data / load.prompt)
    prompts = most if load.batch is None else min(most, load.batch)
    steps = (Steps(1.0, _reading(arch, precision, kv, on, load, prompts)),)
    return Cycle(prompts, float(load.prompt + load.cached), steps, (), 0)


def running(arch: Architecture, precision: Precision, kv: CachePrecision, on: System, load: Load) -> float:
    """Sequences that fit when they are half way, as those that run are in the mean. Raises DoesNotFit."""
    return capacity(arch, precision, kv, on, load.cached + load.prompt + ceil(load.output / 2), load.speculative)


def _most(arch: Architecture, precision: Precision, kv: CachePrecision, on: System, load: Load) -> float:
    """All that fits, at the full length of a sequence: engines that never evict admit no more. Whole sequences for each group."""
    fits = capacity(arch, precision, kv, on, load.cached + load.prompt + load.output, load.speculative)
    most = min(float(fits // on.data), float(MOST_SEQUENCES)) * on.data
    if load.requests is None:
        return most
    most = min(most, float(load.requests))
    return load.requests / ceil(load.requests / most)


@dataclass(frozen=True)
class Speed:
    """What a system makes of a load. Rates are of one device where they say so."""

    batch: float
    devices: int
    step: StepTime
    """The mean of steps that read prompts and of those that do not."""
    prefill: StepTime
    """Of one prompt that is read alone."""
    user_tok_s: float
    """Tokens a second that a sequence gets."""
    device_tok_s: float
    """Tokens of answers a second, prompts being read meanwhile."""
    decode_tok_s: float
    """The same if no prompts were read."""
    prefill_tok_s: float
    """New tokens of prompts a second, if nothing else were done."""
    cached_tok_s: float | None
    """Tokens a second whose keys and values are kept: what looking at them costs; None if the load has none."""
    power_w: float | None
    """Of a device; None where its rated power is not known."""
    compute_used: float
    """Share of peak FLOP/s."""
    bandwidth_used: float
    plain_device_tok_s: float
    """By the plain roofline."""
    spread: float
    """Standard deviation of the logarithm of the rates."""
    power_spread: float
    evidence: tuple[str, ...]
    """What the intervals rest on."""
    widened: tuple[str, ...]
    """Numbers that the part does not multiply in as they are."""

    @property
    def joules_per_token(self) -> float | None:
        """Of an answer's token, its share of prompts included; devices alone."""
        return None if self.power_w is None else self.power_w / self.device_tok_s

    @property
    def binds(self) -> str:
        return self.step.binds

    def interval(self, value: float) -> tuple[float, float]:
        """90 % about one of the rates."""
        factor = exp(Z90 * self.spread)
        return value / factor, value * factor

    @cached_property
    def joules_interval(self) -> tuple[float, float] | None:
        if self.joules_per_token is None:
            return None
        factor = exp(Z90 * sqrt(self.spread**2 + self.power_spread**2))
        return self.joules_per_token / factor, self.joules_per_token * factor


def serve(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    load: Load,
    efficiencies: Efficiencies,
    engine: str = "",
) -> Speed:
    """Speed under a load. `engine` is a framework's name; "" = the mean of those known. Raises DoesNotFit, TooLong, UnknownFact, UnitCostError."""
    within(arch, load.cached + load.prompt, load.output)
    if load.batch is not None:
        fits = running(arch, precision, kv, on, load)
        if load.batch > fits:
            raise DoesNotFit(
                f"a batch of {load.batch:g} does not fit: {fits:,.0f} sequences of {load.cached + load.prompt:,} + {load.output:,} tokens "
                f"do on {on.devices} x {on.part.name}"
            )
    rates = efficiencies.rates(engine)
    cycle = steady(arch, precision, kv, on, load)
    seconds = cycle.seconds(rates)
    alone = steady(arch, precision, kv, on, replace(load, batch=cycle.batch), prompts=False)
    one = _reading(arch, precision, kv, on, load, 1.0)
    many = max(1.0, PREFILL_TOKENS * on.data / load.prompt)
    reading = time(_reading(arch, precision, kv, on, load, many), rates).total_s
    logs = [log(cycle.seconds(draw.rates(engine))) for draw in efficiencies.draws()]
    used = mean_demand(cycle.steps)
    compute, bandwidth = busy(used, seconds)
    evidence = efficiencies.evidence(on.part, engine)
    power = on.part.tdp_w and on.part.tdp_w * efficiencies.power.share(used, seconds)
    return Speed(
        cycle.batch,
        on.devices,
        mean_time(cycle.steps, rates),
        time(one, rates),
        cycle.produced / seconds,
        cycle.tokens / seconds / on.devices,
        cycle.tokens / alone.seconds(rates) / on.devices,
        many * load.prompt / reading / on.devices,
        _kept(arch, precision, kv, on, load, many, reading, rates) if load.cached else None,
        power,
        compute,
        bandwidth,
        cycle.tokens / plain_s(cycle.steps) / on.devices,
        sqrt((_without_rows(efficiencies, used) * evidence.spread) ** 2 + (pvariance(logs) if logs else 0.0)),
        evidence.power_spread,
        evidence.says,
        widened(on.part, precision, kv),
    )


def _without_rows(efficiencies: Efficiencies, step: Demand) -> float:
    """How much wider the interval is where most of a step's products are of a class that no row was measured in."""
    taken = {
        (label, experts): seconds
        for experts in (False, True)
        for label, seconds in (step.experts if experts else step.dense).items()
    }
    label, experts = max(taken, key=lambda one: taken[one])
    return WIDER_PARENT if efficiencies.parent(label, experts=experts) else 1.0


def _reading(arch: Architecture, precision: Precision, kv: CachePrecision, on: System, load: Load, prompts: float) -> Demand:
    """Of a pass that only reads prompts."""
    return demand(arch, precision, kv, on, batch=0, contexts=(0,), prompts=prompts, prompt=load.prompt, cached=load.cached)


def _kept(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    load: Load,
    many: float,
    reading_s: float,
    rates: Any,
) -> float | None:
    """Rate at which kept tokens go by: the time they add to reading the new ones. None where that is nothing."""
    without = time(_reading(arch, precision, kv, on, replace(load, cached=0), many), rates).total_s
    return many * load.cached / (reading_s - without) / on.devices if reading_s > without else None


def best_batch(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    load: Load,
    efficiencies: Efficiencies,
    floor_tok_s: float,
    engine: str = "",
) -> Speed:
    """At the batch that costs least while a sequence gets `floor_tok_s`: the largest, since a step's fixed costs are shared by all. A whole
    number. Raises UnitCostError with the best that there is where one sequence alone is slower than the floor."""
    within(arch, load.cached + load.prompt, load.output)
    batch = largest(arch, precision, kv, on, load, efficiencies.rates(engine), floor_tok_s)
    return serve(arch, precision, kv, on, replace(load, batch=float(batch)), efficiencies, engine)


def largest(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    load: Load,
    rates: Rates,
    floor_tok_s: float,
) -> int:
    """Batch at which every sequence still gets `floor_tok_s`. Raises DoesNotFit, UnitCostError as `best_batch` does."""

    def speed(batch: int) -> float:
        cycle = steady(arch, precision, kv, on, replace(load, batch=float(batch)))
        return float(cycle.produced / cycle.seconds(rates))

    high = max(1, int(_most(arch, precision, kv, on, replace(load, batch=None, requests=None))))
    if not speed(1) >= floor_tok_s:
        raise UnitCostError(
            f"{floor_tok_s:g} tokens/s for each user cannot be met: {arch.name} in {precision.name} on {on.devices} x {on.part.name} gives "
            f"{speed(1):.1f} to a single one. More devices in tensor parallelism, fewer bits or speculative decoding would be faster"
        )
    low = 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if speed(middle) >= floor_tok_s else (low, middle - 1)
    return low
