"""What engines reach of a part's peaks: the few fitted numbers behind every prediction, with their spread.

Comes in: data/efficiencies.toml, written by `jevons unit-cost fit`. Goes out: `steps.Rates` of an engine, the same for every draw of the
bootstrap, a power model. Does not know: rows, how it was fitted (`fit`).

A matrix product's share of peak FLOP/s is a product of few factors: a base (16-bit, dense), one for fewer bits, one for experts, one for
both. Each is held near what the literature says as far as rows do not say otherwise (`PRIORS`), so that a class without rows falls back
to its parents, and its interval is the parents' and its own prior together.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from math import exp, log, sqrt
from typing import Any, NamedTuple

from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.steps import Demand, Rates

FILE = "efficiencies.toml"
Z90 = 1.645
"""Standard deviations from the median to the ends of a 90 % interval."""


class Prior(NamedTuple):
    """Where a parameter lies before any row is seen: a median, and the standard deviation of its logarithm."""

    median: float
    spread: float
    says: str


PRIORS: dict[str, Prior] = {
    "dense": Prior(
        0.6, 0.3, "share of peak FLOP/s, 16-bit, large matrices (BLIS: 0.45 of a whole prefill on H100, attention included)"
    ),
    "fp8": Prior(0.85, 0.2, "times that, in 8 bits"),
    "fp4": Prior(0.7, 0.3, "times that again, in 4 bits"),
    "experts": Prior(0.6, 0.4, "times that, experts' matrices"),
    "experts_fp8": Prior(1.0, 0.2, "times that, experts in 8 bits"),
    "experts_fp4": Prior(1.0, 0.3, "times that again, experts in 4 bits"),
    "read": Prior(0.75, 0.2, "share of peak bandwidth, weights (AIConfigurator takes 0.8)"),
    "experts_read": Prior(0.8, 0.3, "times that, experts"),
    "attention": Prior(0.4, 0.4, "share of peak FLOP/s, attention over a prompt (FlashAttention-3: 0.75 at best)"),
    "looking": Prior(0.5, 0.4, "share of peak FLOP/s, attention of one new token (FlashMLA: 0.67 at best)"),
    "cache": Prior(0.6, 0.3, "share of peak bandwidth, keys and values"),
    "link": Prior(0.6, 0.4, "share of a link's peak"),
    "overlap": Prior(2.0, 0.4, "power of the norm in which computing and reading overlap"),
    "tile": Prior(32.0, 0.7, "tokens that an expert's are padded by, in the mean (half of a tile of 64)"),
    "skew": Prior(
        0.7,
        0.4,
        "tokens choosing evenly that take as many different experts as one that chooses as routers do (below 1: assumption)",
    ),
    "message_s": Prior(
        15e-6,
        0.6,
        "seconds of a message without payload; a collective is log2(devices) of them (Epoch: 6 to 12 microseconds a collective)",
    ),
    "kernel_s": Prior(4e-6, 0.6, "seconds of a kernel without work (AIConfigurator: 3 microseconds)"),
    "step_s.vllm": Prior(1.5e-3, 0.7, "seconds of a step outside of kernels"),
    "step_s.tensorrt-llm": Prior(1.5e-3, 0.7, "seconds of a step outside of kernels"),
    "sequence_s.vllm": Prior(15e-6, 0.8, "seconds of a sequence in a step outside of kernels: sampling, scheduling"),
    "sequence_s.tensorrt-llm": Prior(8e-6, 0.8, "seconds of a sequence in a step outside of kernels"),
}
TILES = 0.25
"""In no row and so in no fit: 20 and 40 TFLOP/s measured in 16 bits on Xeons of generation 4 and 6 (Kim and others, LIA, ISCA 2025), of peaks
of about 100 and 180 to 260 by clock and cores; accelerators reach 0.8 of theirs."""
ENGINES = ("vllm", "tensorrt-llm")
"""Those with own overheads; another takes the geometric mean of theirs."""
PARENT = {"int8": "fp8", "f16": "bf16", "f32": "bf16"}
"""A class of numbers that no row was measured in -> the one it is taken from."""
LABELS = ("bf16", "fp8", "fp4", "int8", "f16", "f32")
CLASSES = ("bf16", "fp8", "fp4")


def engine(framework: str) -> str:
    """The engine by the name a table gives its framework: "TensorRT-LLM 1.0 (PyTorch backend)" -> "tensorrt-llm"; "" for another."""
    plain = framework.lower().replace(" ", "-")
    return "vllm" if "vllm" in plain else "tensorrt-llm" if "tensorrt" in plain or "trt" in plain else ""


def rates(parameters: Mapping[str, Any], overheads: str = "") -> Rates:
    """Of parameters by the names of `PRIORS`, for an engine. Values may be arrays."""
    bits = {"bf16": 1.0, "fp8": parameters["fp8"], "fp4": parameters["fp8"] * parameters["fp4"]}
    mixed = {"bf16": 1.0, "fp8": parameters["experts_fp8"], "fp4": parameters["experts_fp8"] * parameters["experts_fp4"]}
    dense = {label: parameters["dense"] * bits[label] for label in CLASSES}
    experts = {label: dense[label] * parameters["experts"] * mixed[label] for label in CLASSES}
    for label, parent in PARENT.items():
        dense[label], experts[label] = dense[parent], experts[parent]
    return Rates(
        dense,
        experts,
        parameters["read"],
        parameters["read"] * parameters["experts_read"],
        parameters["attention"],
        parameters["looking"],
        parameters["cache"],
        parameters["link"],
        parameters["overlap"],
        parameters["tile"],
        parameters["skew"],
        parameters["message_s"],
        parameters["kernel_s"],
        _overhead(parameters, "step_s", overheads),
        _overhead(parameters, "sequence_s", overheads),
        TILES,
    )


def _overhead(parameters: Mapping[str, Any], name: str, overheads: str) -> Any:
    if overheads in ENGINES:
        return parameters[f"{name}.{overheads}"]
    return sqrt(parameters[f"{name}.{ENGINES[0]}"] * parameters[f"{name}.{ENGINES[1]}"])


PEAK = Rates(
    dict.fromkeys(LABELS, 1.0), dict.fromkeys(LABELS, 1.0), 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1000.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0
)  # fmt: skip
"""The plain roofline: all peaks reached, nothing costs a fixed time."""


class Power(NamedTuple):
    """Power of a device over its rated power: a floor, and what computing and moving at their peaks would add."""

    idle: float
    compute: float
    memory: float

    def share(self, demand: Demand, total_s: float) -> float:
        """In a step: at most 1, what the board's limit allows."""
        compute, memory = busy(demand, total_s)
        return float(min(1.0, self.idle + self.compute * compute + self.memory * memory))


def busy(demand: Demand, total_s: Any) -> tuple[Any, Any]:
    """Share of peak FLOP/s and of peak bandwidth that a step uses."""
    compute = sum(demand.dense.values()) + sum(demand.experts.values()) + demand.attention + demand.looking
    memory = demand.dense_read + demand.experts_read + demand.cache + demand.passed
    return compute / total_s, memory / total_s


def generation(part: Part) -> str:
    """Parts that are taken for relatives: of one vendor and kind, whose narrowest floating-point numbers are the same (on NVIDIA's data sheets
    Ampere, Hopper with Ada, Blackwell)."""
    narrowest = "fp4" if part.fp4_tflops else "fp8" if part.fp8_tflops else "16 bits"
    return f"{part.vendor} {part.kind}, {narrowest}"


UNSEEN = ("part", "generation", "framework", "part and framework", "generation and framework")
"""What else than the model can be in no row of the fit."""
NO_EVIDENCE = 2.0
"""How much wider the interval is for a vendor or a kind of part without any row than for a generation without: an assumption."""
POWER_NO_EVIDENCE = 0.3
"""Standard deviation of power's logarithm on a part whose power no row has: an assumption, that of the priors of a floor and two slopes."""


class Evidence(NamedTuple):
    """What a prediction's interval rests on."""

    spread: float
    """Standard deviation of the logarithm of a rate."""
    power_spread: float
    says: tuple[str, ...]
    """One sentence on the rate, one on power."""


@dataclass(frozen=True)
class Measured:
    """What the rows of a fit were measured with, and how far predictions are off for what is not among it."""

    parts: tuple[str, ...] = ()
    generations: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    power_parts: tuple[str, ...] = ()
    """Those whose power was measured."""
    unseen: Mapping[str, float] | None = None
    """By the names of `UNSEEN`: the standard deviation when that, and the model, are left out of the fit. None: nothing was left out."""


@dataclass(frozen=True)
class Efficiencies:
    """Fitted, with what is needed to say how sure they are."""

    parameters: Mapping[str, float]
    power: Power
    spread: float
    """Standard deviation of the logarithm of what no parameter explains, of a model in no row on a part and under a framework that are in some."""
    spread_within: float
    """The same within a system: what is left after points of it are known."""
    power_spread: float
    resamples: tuple[Mapping[str, float], ...] = ()
    rows: Mapping[str, int] | None = None
    """Measured rows of every class, as "dense fp8"."""
    fitted: str = ""
    source: str = ""
    measured: Measured = Measured()

    def evidence(self, part: Part, framework: str) -> Evidence:
        """For a part and a framework: as wide as predictions were off when such things were left out of the fit."""
        own = self.measured
        missing = "" if part.name in own.parts else "part" if generation(part) in own.generations else "generation"
        strange = engine(framework) not in own.frameworks
        kin = any(name.startswith(f"{part.vendor} {part.kind},") for name in own.generations)
        wider = 1.0 if kin else NO_EVIDENCE
        named = " and ".join(name for name in (missing, "framework" if strange else "") if name)
        if own.unseen is None:
            spread, wider, said = self.spread, 1.0, "how far off other parts and frameworks are was not asked of this fit"
        elif not named:
            spread, wider, said = (
                self.spread,
                1.0,
                f"measured rows: {part.name} and {engine(framework)} have some; the model is taken as new",
            )
        else:
            spread, what = own.unseen[named], f"{part.name}, " if missing == "part" else f"{generation(part)} ({part.name}), "
            said = f"no measured rows: {what if missing else ''}{(framework or 'no framework named') if strange else ''}".rstrip(
                ", "
            )
            said += f"; as wide as predictions were off with {named} left out of the fit"
        if wider > 1:
            said += f", times {wider:g} for a vendor or kind without any row (assumption)"
        powered = part.name in own.power_parts or own.unseen is None
        power = (
            "power: measured of this part"
            if powered
            else f"power: measured of {' and '.join(own.power_parts) or 'no part'} alone; wider (assumption)"
        )
        return Evidence(
            max(self.spread, spread) * wider,
            self.power_spread if powered else max(self.power_spread, POWER_NO_EVIDENCE),
            (said, power),
        )

    def rates(self, framework: str = "") -> Rates:
        """Of an engine by its framework's name."""
        return rates(self.parameters, engine(framework))

    def draws(self) -> tuple["Efficiencies", ...]:
        """The fit on every resample of models, always in the same order, so that two systems can be compared draw by draw."""
        return tuple(replace(self, parameters=one, resamples=()) for one in self.resamples)

    def interval(self, name: str) -> tuple[float, float]:
        """90 % of a parameter over the resamples."""
        logs = sorted(log(one[name]) for one in self.resamples)
        if not logs:
            return self.parameters[name], self.parameters[name]
        return exp(logs[round(0.05 * (len(logs) - 1))]), exp(logs[round(0.95 * (len(logs) - 1))])

    def parent(self, label: str, *, experts: bool) -> str | None:
        """What a class without measured rows is taken from; None = it has rows of its own."""
        kind = "experts" if experts else "dense"
        if (self.rows or {}).get(f"{kind} {label}"):
            return None
        return f"{kind} {PARENT[label]}" if label in PARENT else "the base class and its prior"

    def classes(self) -> list[dict[str, Any]]:
        """The table: numbers x dense or experts x phase, each with its interval, rows and parent."""
        found = []
        for kind in ("dense", "experts"):
            for label in LABELS:
                own = [getattr(rates(one), kind)[label] for one in (self.parameters, *self.resamples)]
                reads = [
                    rates(one).read if kind == "dense" else rates(one).experts_read for one in (self.parameters, *self.resamples)
                ]
                parent = self.parent(label, experts=kind == "experts")
                wider = WIDER_PARENT if parent else 1.0
                for phase, of, values in (("prefill", "peak FLOP/s", own), ("decode", "peak bandwidth", reads)):
                    low, high = _ends(values, wider)
                    rows = (self.rows or {}).get(f"{kind} {label}", 0)
                    found.append(
                        {
                            "numbers": label, "matrices": kind, "phase": phase, "of": of,
                            "share": values[0], "low": low, "high": high, "rows": rows, "from": parent,
                        }
                    )  # fmt: skip
        return found


WIDER_PARENT = 1.5
"""How much wider, in logarithms, the interval of a class is that is taken from its parent: an assumption."""


def _ends(values: list[float], wider: float) -> tuple[float, float]:
    logs = sorted(log(value) for value in values[1:]) or [log(values[0])]
    low, high = logs[round(0.05 * (len(logs) - 1))], logs[round(0.95 * (len(logs) - 1))]
    mid = log(values[0])
    return exp(mid - wider * max(0.0, mid - low)), min(1.0, exp(mid + wider * max(0.0, high - mid)))


@lru_cache(maxsize=1)
def shipped() -> Efficiencies:
    """The package's fit."""
    return read(resources.files("jevons.economics").joinpath("data", FILE).read_text("utf-8"))


def read(text: str) -> Efficiencies:
    """From the text of a file that `written` made."""
    table = tomllib.loads(text)
    names = tuple(PRIORS)
    return Efficiencies(
        {name: float(table["parameters"][name]["value"]) for name in names},
        Power(**table["power"]["shares"]),
        table["spread"]["between_systems"],
        table["spread"]["within_a_system"],
        table["spread"]["power"],
        tuple(dict(zip(names, map(float, draw), strict=True)) for draw in table["resamples"]["draws"]),
        table["rows"],
        table["fitted"],
        table["source"],
        Measured(**{name: tuple(table["measured"][name]) for name in MEASURED}, unseen=table["spread"].get("unseen")),
    )


MEASURED = ("parts", "generations", "frameworks", "power_parts")


def written(found: Efficiencies) -> str:
    """The text of the file: TOML, every number with what it says."""
    lines = [
        "# What engines reach of a part's peaks. Written by `jevons unit-cost fit FILE`; do not edit by hand.",
        "# Read by economics/unitcost/efficiency.py, which says what every parameter is.",
        f'fitted = "{found.fitted}"',
        f'source = "{found.source}"',
        "",
        "# Measured rows in which a class of matrices takes part.",
        "[rows]",
        *(f'"{name}" = {count}' for name, count in (found.rows or {}).items()),
        "",
        "# What the rows were measured with.",
        "[measured]",
        *(f"{name} = {json.dumps(getattr(found.measured, name))}" for name in MEASURED),
        "",
        "# Standard deviations of logarithms, out of sample: each model left out of the fit (between systems), within a system, of power.",
        "[spread]",
        f"between_systems = {found.spread:.4g}",
        f"within_a_system = {found.spread_within:.4g}",
        f"power = {found.power_spread:.4g}",
        *(
            [
                "",
                "# With that left out of the fit too: every pair (triple) of a model and it, predicted from rows that share neither.",
                "[spread.unseen]",
            ]
            + [f'"{name}" = {value:.4g}' for name, value in found.measured.unseen.items()]
            if found.measured.unseen
            else []
        ),
        "",
        "# Of rated power: the floor, and what computing and moving at their peaks would add.",
        "[power.shares]",
        *(f"{name} = {value:.4g}" for name, value in found.power._asdict().items()),
    ]
    for name, prior in PRIORS.items():
        low, high = found.interval(name)
        lines += ["", f"# {prior.says}", f'[parameters."{name}"]', f"value = {found.parameters[name]:.5g}"]
        lines += [f"low = {low:.5g}", f"high = {high:.5g}", f"prior = {prior.median:.5g}"]
    lines += ["", "# The fit on every resample of models; the order is that of the parameters above.", "[resamples]", "draws = ["]
    lines += ["  [" + ", ".join(f"{draw[name]:.4g}" for name in PRIORS) + "]," for draw in found.resamples]
    return "\n".join([*lines, "]", ""])
