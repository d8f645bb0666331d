"""How long one step of a model takes on a system, from what it computes, moves, sends and waits for.

Comes in: an architecture, precisions, a `System`, tokens of a step; efficiencies. Goes out: a `StepTime`. Between them stands a `Demand`:
seconds at peak rates and counts of fixed costs, before any efficiency, so that the same step is timed with many sets of them. Does not
know: requests, queues (`serving`), where efficiencies come from (`efficiency`, `fit`).

Kernels run one after another, so their times add up: matrices, experts' matrices, attention, what is sent. Within a kernel computing and
reading overlap: the norm (c^p + m^p)^(1/p), which is the roofline's max for large p (Williams and others 2009).
"""

import re
from dataclasses import dataclass
from math import log, log2, sqrt
from typing import Any, NamedTuple

from jevons.economics.unitcost.architecture import Architecture, Attention, Experts, Latent
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.weights import CachePrecision, Precision
from jevons.economics.unitcost.work import Speculation, Work, decode, prefill

WIDER = {"fp4": ("fp8", "bf16", "f32"), "fp8": ("bf16", "f32"), "int8": ("bf16", "f32"), "bf16": ("f32",), "f16": ("f32",)}
"""What a part computes in that has no throughput for the weights' own numbers: they are widened on the way."""


class Between(NamedTuple):
    """Links that a mixture's tokens take where its devices stand in several nodes."""

    bytes_s: float
    """Of a device, one way."""
    copies: float
    """Most times that a token leaves, whatever number of experts it takes."""
    payload: float
    """Bytes of a token to its experts and back, over those in 16 bits."""


@dataclass(frozen=True)
class System:
    """Devices that make one engine. `tensor` x `data` x `pipeline` = devices."""

    part: Part
    tensor: int = 1
    """Devices between which every matrix is divided."""
    data: int = 1
    """Groups that hold attention and dense matrices in whole, each for its own sequences."""
    pipeline: int = 1
    """Stages of layers."""
    spread: bool = False
    """Experts are kept in whole, divided among the devices of a stage, instead of being cut."""
    hides: bool = False
    """What is sent goes while another half of the batch is computed (DeepSeek's two micro-batches)."""
    between: Between | None = None
    """None: all devices are neighbours, or their nodes' links are taken to be as fast as the part's own."""

    @property
    def devices(self) -> int:
        return self.tensor * self.data * self.pipeline

    @property
    def sends(self) -> bool:
        """Tokens travel to their experts; under tensor parallelism alone they are everywhere already."""
        return self.spread and self.data > 1


def system(part: Part, devices: int, parallelism: str = "") -> System:
    """From a name as tables write it: TP4, EP8 or DEP8 (attention by sequences, experts spread), TP1/EP8 (attention cut over the same 8
    devices, as vLLM's expert parallelism does), DP2, PP2, "TP2,PP2"; in words tp, ep, dep, dp, pp; nothing = tensor parallelism. Raises UnitCostError."""
    degrees: dict[str, int] = {}
    for kind, number in re.findall(r"\b(tp|dep|ep|dp|pp)\s*(\d*)", parallelism.lower()):
        degrees[kind] = int(number) if number else devices
    if parallelism and not degrees:
        raise UnitCostError(
            f"parallelism {parallelism!r} is not understood: write tp, ep, dep, dp or pp with a number of devices, as TP4 or TP2,PP2"
        )
    if any(degree < 1 for degree in degrees.values()):
        raise UnitCostError(f"parallelism {parallelism!r}: a number of devices is 1 or more")
    stages = degrees.get("pp", 1)
    if devices % stages:
        raise UnitCostError(f"{devices} devices cannot make {stages} stages")
    group = devices // stages
    spread = degrees.get("ep", degrees.get("dep", 1)) > 1
    tensor = degrees.get("tp", group // degrees.get("dp", 1))
    if "dep" in degrees or ("ep" in degrees and "tp" not in degrees):
        tensor = 1
    elif tensor == 1 and spread and "dp" not in degrees:
        tensor = group
    if tensor < 1 or group % tensor:
        raise UnitCostError(f"{group} devices cannot be divided as {parallelism!r} says")
    return System(part, tensor, group // tensor, stages, spread)


NOTHING_S = 1e-30
Seconds = Any
"""A float, or an array of them: all that is done with a demand is elementwise, so that a fit times all its rows at once."""


@dataclass(frozen=True)
class Demand:
    """Of one step on one device: seconds at peak rates, and counts of what costs a fixed time."""

    dense: dict[str, Seconds]
    """Products with matrices that all tokens take, by the numbers they are made in."""
    experts: dict[str, Seconds]
    padding: dict[str, Seconds]
    """Of one more token for every expert that is taken: tokens of an expert are padded to a whole tile."""
    dense_read: Seconds
    experts_read: Seconds
    """Of experts that are taken if all are as likely."""
    choice: Seconds
    """Share of a layer's experts that a token takes; 0 = there are none."""
    pool: Seconds
    """Tokens that choose."""
    attention: Seconds
    """Scores and sums of prompts."""
    looking: Seconds
    """Scores and sums of tokens that are made one at a time."""
    cache: Seconds
    """Keys and values, read and written."""
    passed: Seconds
    """Inputs and outputs of matrices, through memory."""
    sent: Seconds
    """Payloads over links."""
    messages: float
    """In a row."""
    kernels: float
    waited: float
    """1 = sending goes before or after computing, 0 = it goes meanwhile."""
    sequences: float
    """That one group's scheduler looks after in a step."""
    tiles: float = 0.0
    """1 = products are made in a processor's tiles (AMX), 0 = elsewhere."""


class StepTime(NamedTuple):
    """In seconds. `compute_s` and `memory_s` overlap, so that parts add up to more than `total_s`."""

    compute_s: Seconds
    memory_s: Seconds
    network_s: Seconds
    overhead_s: Seconds
    total_s: Seconds

    @property
    def longest_s(self) -> Seconds:
        """The longest of computing, moving and sending: a roofline, where all are at their peaks."""
        return _larger(_larger(self.compute_s, self.memory_s), self.network_s)

    @property
    def binds(self) -> str:
        """What takes the most time."""
        named = {"compute": self.compute_s, "memory": self.memory_s, "network": self.network_s, "overhead": self.overhead_s}
        return max(named, key=lambda name: named[name])


def time(demand: Demand, rates: "Rates") -> StepTime:
    """A demand at the rates that an engine reaches."""
    reached = 1 - demand.tiles * (1 - rates.tiles)
    dense = sum(seconds / rates.dense[label] for label, seconds in demand.dense.items()) / reached
    taken = _fewer(demand.choice, demand.pool, rates.skew)
    padded = {label: seconds + rates.tile * taken * demand.padding[label] for label, seconds in demand.experts.items()}
    experts = sum(seconds / rates.experts[label] for label, seconds in padded.items()) / reached
    attention = (demand.attention / rates.attention + demand.looking / rates.looking) / reached
    dense_read, experts_read = demand.dense_read / rates.read, taken * demand.experts_read / rates.experts_read
    cache, passed = demand.cache / rates.cache, demand.passed / rates.read
    network = demand.sent / rates.link + demand.messages * rates.message_s
    overhead = rates.step_s + demand.kernels * rates.kernel_s + demand.sequences * rates.sequence_s
    kernels = (
        norm(dense, dense_read, rates.overlap)
        + norm(experts, experts_read, rates.overlap)
        + norm(attention, cache, rates.overlap)
    )
    return StepTime(
        dense + experts + attention,
        dense_read + experts_read + cache + passed,
        network,
        overhead,
        kernels + passed + demand.waited * network + (1 - demand.waited) * _above(network, kernels) + overhead,
    )


def _fewer(choice: Seconds, pool: Seconds, skew: float) -> Seconds:
    """Different experts that are taken, over those if all were as likely: as if fewer tokens had chosen."""
    even = 1 - (1 - choice) ** pool
    return (1 - (1 - choice) ** (skew * pool) + NOTHING_S) / (even + NOTHING_S)


def _larger(one: Seconds, other: Seconds) -> Seconds:
    return one + _above(other, one)


def _above(one: Seconds, other: Seconds) -> Seconds:
    return (one - other + abs(one - other)) / 2


def norm(one: Seconds, other: Seconds, power: float) -> Seconds:
    """Of two things that overlap. Written about the larger one: small seconds to a high power would vanish."""
    larger, smaller = (one + other + abs(one - other)) / 2, (one + other - abs(one - other)) / 2
    return larger * (1 + (smaller / (larger + NOTHING_S)) ** power) ** (1 / power)


def demand(
    arch: Architecture,
    precision: Precision,
    kv: CachePrecision,
    on: System,
    *,
    batch: float,
    contexts: tuple[int, ...],
    prompts: float = 0.0,
    prompt: int = 0,
    cached: int = 0,
    speculative: Speculation | None = None,
) -> Demand:
    """Of a step in which `batch` sequences make a token each, at the mean of `contexts`, while `prompts` prompts of `prompt` new tokens
    after `cached` ones are read. Both are of all devices together; either may be 0. A pipeline's stages work on as many parts of them,
    so that a step lasts as long as one part takes through all layers. Raises UnknownFact for a figure of the part that is needed,
    DoesNotFit for more devices in tensor parallelism than there are heads.
    """
    heads = max((group.mixer.heads for group in arch.groups if isinstance(group.mixer, Attention | Latent)), default=on.tensor)
    if on.tensor > heads:
        raise DoesNotFit(
            f"{arch.name} has {heads} heads: tensor parallelism over {on.tensor} devices would leave some without one"
        )
    batch, prompts = batch / on.pipeline, prompts / on.pipeline
    whole, share = max(1, round(batch)), batch / max(1, round(batch)) / len(contexts)
    making = [(share, decode(arch, precision, kv, whole, context, speculative)) for context in contexts if batch]
    reading = [(prompts, prefill(arch, precision, kv, prompt, cached))] if prompts else []
    works = making + reading
    group = on.tensor * on.data
    tokens = sum(share * work.tokens for share, work in works)
    mixture = _experts(arch, tokens if on.spread else tokens / on.data)
    sharing = group if on.spread else on.tensor
    bandwidth = on.part.bandwidth()
    dense: dict[str, float] = {}
    experts: dict[str, float] = {}
    padding: dict[str, float] = {}
    label, peak = rate(on.part, precision.compute["experts"])
    crowd, fullest = _uneven(arch, group, tokens, mixture.taken) if on.spread else (1.0, 1.0)
    if mixture.flops:
        experts[label] = crowd * tokens * mixture.flops / group / peak
        padding[label] = mixture.taken * mixture.expert_flops / sharing / peak
    for share, work in works:
        for numbers, flops in work.flops.items():
            name, peak = rate(on.part, numbers)
            own = flops - (work.tokens * mixture.flops if numbers == precision.compute["experts"] else 0.0)
            dense[name] = dense.get(name, 0.0) + share * own / group / peak
    read = max(sum(value for kind, value in work.weight_bytes.items() if kind != "experts") for _, work in works)
    _, peak = rate(on.part, kv.compute)
    holders = min(on.tensor, arch.kv_heads) * on.data
    sent, messages = _sent(arch, on, works)
    return Demand(
        dense,
        experts,
        padding,
        read / on.tensor / bandwidth,
        fullest * mixture.taken * mixture.expert_params * precision.bits["experts"] / 8 / sharing / bandwidth,
        arch.experts.active / arch.experts.number if arch.experts else 0.0,
        tokens if on.spread else tokens / on.data,
        sum(share * work.attention_flops for share, work in reading) / group / peak,
        sum(share * work.attention_flops for share, work in making) / group / peak,
        sum(share * (work.kv_bytes_read + work.kv_bytes_written) for share, work in works) / holders / bandwidth,
        sum(share * work.activation_bytes for share, work in works) / group / bandwidth,
        sent,
        messages,
        max(work.matrices for _, work in works),
        0.0 if on.hides else 1.0,
        (batch + prompts) / on.data,
        1.0 if _tiled(on.part) else 0.0,
    )


def _tiled(part: Part) -> bool:
    """A processor by its data sheet, whose 16-bit peak is of tiles: vectors alone would be twice its peak in 32 bits. One that was measured
    states what it reaches."""
    peak = not part.source("bf16_tflops").startswith("measured")
    return part.kind == "cpu" and peak and (part.bf16_tflops or 0.0) > 4 * (part.f32_tflops or float("inf"))


def rate(part: Part, numbers: str) -> tuple[str, float]:
    """The numbers that a part really multiplies in for those asked, and its FLOP/s: of these and wider ones the fastest that is known, as
    engines widen weights rather than multiply slowly. `widened` says it. Raises UnknownFact if none is known."""
    known = {name: flops for name in (numbers, *WIDER.get(numbers, ())) if (flops := _flops(part, name))}
    if not known:
        part.flops(numbers)
    name = max(known, key=lambda name: known[name])
    return name, known[name]


def _flops(part: Part, name: str) -> float | None:
    try:
        return part.flops(name)
    except UnknownFact:
        return None


def widened(part: Part, precision: Precision, kv: CachePrecision) -> tuple[str, ...]:
    """A sentence for every kind of numbers that a part widens before it multiplies."""
    found = []
    for numbers in sorted({*precision.compute.values(), kv.compute}):
        name, _ = rate(part, numbers)
        if name != numbers:
            why = "is slower" if _flops(part, numbers) else "is not known"
            found.append(f"{numbers} is computed in {name}: its throughput in {numbers} on {part.name} {why}")
    return tuple(found)


class _Mixture(NamedTuple):
    """Experts of all layers."""

    taken: float
    """Layers x experts that at least one token takes."""
    expert_params: int
    flops: float
    """Of one token, in all layers."""

    @property
    def expert_flops(self) -> float:
        """Of one token in one expert."""
        return 2.0 * self.expert_params


def _experts(arch: Architecture, tokens: float) -> _Mixture:
    taken, params, flops = 0.0, 0, 0.0
    for group in arch.groups:
        if isinstance(group.feed_forward, Experts):
            params = group.feed_forward.expert_params(arch.hidden)
            taken += group.count * group.feed_forward.touched(tokens)
            flops += 2.0 * group.count * group.feed_forward.active * params
    return _Mixture(taken, params, flops)


def _uneven(arch: Architecture, group: int, tokens: float, taken: float) -> tuple[float, float]:
    """Of the fullest device over the mean, where experts are kept in whole: its tokens, and its experts that are taken. All wait for it.
    The largest of g sums of n chances is about n + sqrt(2 n ln g) (Raab and Steger 1998); at most all tokens, or all experts that it keeps."""
    if group < 2 or arch.experts is None or not tokens:
        return 1.0, 1.0
    mixture, mean = arch.experts, taken / arch.expert_layers / group
    idle = 1 - mean * group / mixture.number
    crowd, fullest = 1 + sqrt(2 * log(group) / (tokens * mixture.active / group)), 1 + sqrt(2 * log(group) * idle / mean)
    return min(crowd, float(group)), min(fullest, mixture.number / (mean * group))


def _sent(arch: Architecture, on: System, works: list[tuple[float, Work]]) -> tuple[float, float]:
    """Seconds of payload at the link's peak, and messages in a row: log2 of the devices for every collective, as deep as a tree of them is.
    A ring's all-reduce sends 2 (t - 1) / t of its payload (Patarasuk and Yuan 2009); a token goes once to a device, however many of its
    experts are there."""
    seconds = messages = 0.0
    if on.tensor > 1:
        payload = sum(share * work.exchange.reduce_bytes * work.exchange.reduces for share, work in works) / on.data
        seconds += 2 * (on.tensor - 1) / on.tensor * payload / on.part.link()
        messages += log2(on.tensor) * max(work.exchange.reduces for _, work in works)
    mixture = arch.experts
    if on.sends and mixture:
        group = on.tensor * on.data
        payload = sum(share * work.exchange.scatter_bytes * work.exchange.scatters for share, work in works) / group
        if on.between:
            share = min(1.0, on.between.copies / mixture.active) * on.between.payload / on.between.bytes_s
        else:
            share = min(1.0, group / mixture.active) / on.part.link()
        seconds += payload * (group - 1) / group * share
        messages += log2(group) * max(work.exchange.scatters for _, work in works)
    if on.pipeline > 1:
        seconds += on.pipeline * sum(share * work.exchange.hop_bytes for share, work in works) / on.tensor / on.part.link()
        messages += on.pipeline
    return seconds, messages


@dataclass(frozen=True)
class Rates:
    """What an engine reaches: shares of peaks (0 to 1), and seconds of what has no peak."""

    dense: dict[str, float]
    experts: dict[str, float]
    read: float
    experts_read: float
    attention: float
    looking: float
    cache: float
    link: float
    overlap: float
    """The norm's power: 1 = nothing overlaps, large = all does."""
    tile: float
    """Tokens that an expert's are padded by, in the mean."""
    skew: float
    """Tokens that choose experts evenly and take as many different ones as one token that chooses as routers do."""
    message_s: float
    kernel_s: float
    step_s: float
    sequence_s: float
    tiles: float
    """What a processor's tiles reach of their peak, over what an accelerator reaches of its own."""
