"""What tables of measured throughput leave out, from public descriptions of the same benchmarks; never from a row's own figure.

Comes in: what a row does say. Goes out: lengths, numbers of a cache, limits on latency, how a run was divided. Assumptions are marked as such
and end up in `Point.estimated`. Does not know: the table's format (`measured`), efficiencies that were fitted.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import NamedTuple

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.efficiency import PRIORS, engine, rates
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.serving import Load, largest, running, steady
from jevons.economics.unitcost.steps import System, system
from jevons.economics.unitcost.weights import CachePrecision, Precision, cache_precision


class Task(NamedTuple):
    """Mean lengths of a data set's requests, in tokens, where a table does not say."""

    prompt: int
    output: int | None
    says: str


TASKS: dict[str, Task] = {
    "lm-arena-chat": Task(200, None, "assumption: chat prompts of one or few turns, LMArena human preference"),
    "gpqa": Task(250, None, "assumption: a question of GPQA diamond with four choices and the instruction"),
    "sourcegraph-fim": Task(1500, None, "assumption: text before and after a gap in a file of code"),
    "image-chat": Task(1500, None, "assumption: an image of a thousand and more tokens, a short question"),
    "video-chat": Task(6000, None, "assumption: some tens of frames"),
    "audio-chat": Task(500, None, "assumption: a clip of some ten seconds, a short question"),
}
"""By what a scenario's name ends in."""
MLPERF: dict[str, Task] = {
    "llama2-70b": Task(290, 294, "MLPerf: OpenOrca, answers of 294.45 tokens in the mean; prompts about as long (assumption)"),
    "mixtral-8x7b": Task(290, 145, "MLPerf: OpenOrca, GSM8K and MBXP, answers of 144.84 tokens in the mean; prompts: assumption"),
    "llama3.1-8b": Task(
        780, 128, "MLPerf v5.1: CNN/DailyMail, articles of about 780 tokens (assumption), 128 tokens of answer at most"
    ),
    "gptj": Task(780, 69, "MLPerf: CNN/DailyMail, articles of about 780 tokens, answers of 69 in the mean (assumptions)"),
    "llama3.1-405b": Task(9400, 684, "MLPerf v5.0: LongBench and others, prompts of 9,400, answers of 684 tokens in the mean"),
    "deepseek-r1": Task(800, 3880, "MLPerf v5.1: prompts of 800, answers of 3,880 tokens in the mean"),
}
"""By what a model's name begins with."""
TOKEN_S: dict[tuple[str, str], float] = {
    ("llama2-70b", "server"): 0.2, ("llama2-70b", "interactive"): 0.04, ("mixtral-8x7b", "server"): 0.2,
    ("llama3.1-8b", "server"): 0.1, ("llama3.1-8b", "interactive"): 0.03, ("llama3.1-405b", "server"): 0.175,
    ("llama3.1-405b", "interactive"): 0.08, ("deepseek-r1", "server"): 0.08, ("deepseek-r1", "interactive"): 0.015,
}  # fmt: skip
"""Seconds that 99 % of requests may take for a token of their answers, by MLPerf's rules (v4.1 to v6.0); the mean request is held to it here,
and the limit on the first token is left out: both are a little too kind."""
RUNS: dict[tuple[int, int], int] = {
    (128, 128): 30_000, (128, 2048): 3_000, (128, 4096): 1_500, (500, 2000): 3_000, (1000, 1000): 3_000, (1000, 2000): 1_500,
    (2048, 128): 3_000, (2048, 2048): 1_500, (5000, 500): 1_500, (20_000, 2000): 1_000, (1024, 1024): 3_000, (1024, 8192): 1_500,
    (1024, 32_768): 1_000, (8192, 1024): 1_500, (32_768, 1024): 1_000,
}  # fmt: skip
"""Requests of a run of trtllm-bench by prompt and answer: "Number of Requests" of TensorRT-LLM's perf-overview.md."""
SERVER_BATCH = 128.0
"""Of a processor whose memory no data sheet gives: an assumption."""
COPY_DEVICES = (1, 2, 4, 8)
"""Of one copy of a model, where a run does not say how it is divided; and all of them together."""
MOST_DEVICES = 64
"""Of a run that says neither how many nor how it is divided."""
LENGTHS = re.compile(r"\b(\d+)(k?)\s*[/x_ ,-]?\s*(\d+)(k)\b|\b(?:isl|in)\D?(\d+)(k?)\D+(?:osl|out)\D?(\d+)(k?)\b")
"""Of prompts and answers in a scenario's name: "1k/8k", "8k1k", "isl=8192 osl=1024"."""


def task(model: str, scenario: str) -> Task | None:
    """The data set of a run."""
    if "mlperf" in scenario.lower():
        name = _benchmark(model)
        return MLPERF[name] if name else None
    said = LENGTHS.search(scenario.lower())
    if said:
        digits = [part for part in said.groups() if part is not None]
        prompt, output = (int(number) * (1024 if kilo else 1) for number, kilo in zip(digits[::2], digits[1::2], strict=True))
        return Task(prompt, output, "the scenario's name")
    return next((found for name, found in TASKS.items() if scenario.lower().endswith(name)), None)


def _benchmark(model: str) -> str | None:
    plain = re.sub(r"[^a-z0-9]", "", model.lower())
    return next((name for name in MLPERF if plain.startswith(re.sub(r"[^a-z0-9]", "", name))), None)


def floor(model: str, scenario: str) -> float | None:
    """Tokens a second that a user must get, in MLPerf's scenarios with limits on latency."""
    said = scenario.lower()
    kind = "interactive" if "interactive" in f"{said} {model.lower()}" else "server" if "server" in said else ""
    limit = TOKEN_S.get((_benchmark(model) or "", kind)) if "mlperf" in said else None
    return limit and 1 / limit


def cache(kv: str, weights: str, model: str, framework: str, scenario: str, piece: Part) -> tuple[CachePrecision, str | None]:
    """Where a table does not say: quantised checkpoints of TensorRT-LLM and MLPerf come with keys and values in fp8; vLLM keeps 16 bits; so
    does TensorRT-LLM for gpt-oss on parts without fp4 (perf-overview.md: "Hopper: use auto")."""
    if kv:
        return cache_precision(kv), None
    quantised = weights.lower() not in ("bf16", "fp16", "fp32")
    offline = engine(framework) == "tensorrt-llm" or "mlperf" in scenario.lower()
    own = "gpt-oss" in model.lower() and piece.fp4_tflops is None
    name = "fp8" if quantised and offline and not own and piece.fp8_tflops else "bf16"
    return cache_precision(name), f"keys and values in {name}: the framework's habit"


class Model(NamedTuple):
    """What is served, in which numbers."""

    arch: Architecture
    precision: Precision
    kv: CachePrecision


USUAL = rates({name: prior.median for name, prior in PRIORS.items()})
"""The rates that parameters have before any row is seen: what a run does not say is never filled in from a fit."""


def placed(
    model: Model, piece: Part, devices: int | None, parallelism: str, load: Load, floor_tok_s: float | None
) -> tuple[System, Load, str | None]:
    """One engine of a run, its load, and what was assumed of how the run is divided. Raises DoesNotFit, UnknownFact, UnitCostError."""
    if parallelism:
        if devices is None:
            raise UnknownFact("n_accelerators is not given")
        on = system(piece, devices, parallelism)
        return on, admitted(model, on, load, floor_tok_s), None
    if devices is not None:
        return _fastest(model, piece, devices, load, floor_tok_s)
    number = 1
    while True:
        try:
            on, own, said = _fastest(model, piece, number, load, floor_tok_s)
        except DoesNotFit:
            if number >= MOST_DEVICES:
                raise
            number *= 2
        else:
            return on, own, f"n_accelerators: {number}, the fewest on which it fits; {said}"


def admitted(model: Model, on: System, load: Load, floor_tok_s: float | None) -> Load:
    """With no more requests at once than fit, or than are quick enough; the others wait, as engines make them. Raises DoesNotFit where not
    one fits."""
    if on.part.memory_gb is None:
        return replace(load, batch=load.batch or SERVER_BATCH)
    if floor_tok_s and load.batch is None:
        return replace(load, batch=float(largest(*model, on, load, USUAL, floor_tok_s)))
    if load.batch is None:
        return load
    return replace(load, batch=min(load.batch, running(*model, on, load)))


def _fastest(model: Model, piece: Part, devices: int, load: Load, floor_tok_s: float | None) -> tuple[System, Load, str]:
    """One copy of a run that does not say how it is divided: who submits a run takes the fastest, so the fastest by usual rates. Copies
    share its requests. Raises DoesNotFit, UnknownFact, UnitCostError if there is no division that can be worked out."""
    found: dict[float, tuple[System, Load, str]] = {}
    failed: UnitCostError = UnitCostError(
        f"{load.batch or 0:g} requests at once cannot be divided among copies on {devices} devices"
    )
    for on in _ways(model.arch, piece, devices):
        copies = devices // on.devices
        if load.batch is not None and load.batch < copies:
            continue
        try:
            own = admitted(model, on, _shared(load, copies), floor_tok_s)
            cycle = steady(*model, on, own)
        except (DoesNotFit, UnknownFact) as error:
            failed = error
            continue
        how = "experts apart" if on.spread else "tensor parallelism"
        said = f"parallelism: {copies} copies on {on.devices} devices each, {how}: the fastest by usual rates"
        found[cycle.tokens / cycle.seconds(USUAL) / on.devices] = on, own, said
    if not found:
        raise failed
    return found[max(found)]


def _ways(arch: Architecture, piece: Part, devices: int) -> Iterator[System]:
    for size in sorted({*COPY_DEVICES, devices}):
        if devices % size == 0:
            yield System(piece, size)
            if arch.experts and size > 1:
                yield System(piece, 1, size, spread=True)


def _shared(load: Load, copies: int) -> Load:
    return replace(
        load,
        batch=load.batch and load.batch / copies,
        requests=load.requests and max(1, round(load.requests / copies)),
    )


def degrees(parallelism: str) -> int | None:
    """Devices that "TP4", "TP2,PP2" or "DEP8" say; experts are on the same devices as the rest. None = it says none."""
    said = dict(re.findall(r"\b(tp|dep|ep|dp|pp)\s*(\d+)", parallelism.lower()))
    if not said:
        return None
    group = max(prod(int(said.get(kind, 1)) for kind in ("tp", "dp")), *(int(said.get(kind, 1)) for kind in ("ep", "dep")))
    return group * int(said.get("pp", 1))
