"""Rows of measured throughput as systems under loads: what a table says of a run, and what it leaves out, stated here.

Comes in: a CSV with the columns of `COLUMNS`, one run a row. Goes out: a `Point` for every row that can be judged, an `Unjudged` with the
reason for every other. Does not know: efficiencies, predictions.

What tables leave out is filled from public descriptions of the same benchmarks (`TASKS`, `RUNS`, `_cache`, `division`), never from a
row's own figure. Assumptions are marked as such.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.efficiency import PRIORS, engine, rates
from jevons.economics.unitcost.errors import DoesNotFit, UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.serving import Load, steady
from jevons.economics.unitcost.steps import System, system
from jevons.economics.unitcost.weights import CachePrecision, Precision, cache_precision, precision

COLUMNS = (
    "id", "model", "weight_precision", "kv_precision", "hardware", "n_accelerators", "parallelism", "framework", "scenario",
    "batch_or_concurrency", "isl", "osl", "metric", "tokens_per_s_total", "tokens_per_s_per_accelerator", "power_w_total",
    "joules_per_token",
)  # fmt: skip


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
    "llama2-70b": Task(290, 294, "MLPerf: OpenOrca, answers of 294.45 tokens in the mean; prompts about as long (assumption)"),
    "mixtral-8x7b": Task(290, 145, "MLPerf: OpenOrca, GSM8K and MBXP, answers of 144.84 tokens in the mean; prompts: assumption"),
    "llama3.1-8b": Task(
        780, 128, "MLPerf v5.1: CNN/DailyMail, articles of about 780 tokens (assumption), 128 tokens of answer at most"
    ),
    "llama3.1-405b": Task(9400, 684, "MLPerf v5.0: LongBench and others, prompts of 9,400, answers of 684 tokens in the mean"),
    "deepseek-r1": Task(800, 3880, "MLPerf v5.1: prompts of 800, answers of 3,880 tokens in the mean"),
}
"""By what a scenario's name ends in, or for MLPerf by its model."""
RUNS: dict[tuple[int, int], int] = {
    (128, 128): 30_000, (128, 2048): 3_000, (128, 4096): 1_500, (500, 2000): 3_000, (1000, 1000): 3_000, (1000, 2000): 1_500,
    (2048, 128): 3_000, (2048, 2048): 1_500, (5000, 500): 1_500, (20_000, 2000): 1_000, (1024, 1024): 3_000, (1024, 8192): 1_500,
    (1024, 32_768): 1_000, (8192, 1024): 1_500, (32_768, 1024): 1_000,
}  # fmt: skip
"""Requests of a run of trtllm-bench by prompt and answer: "Number of Requests" of TensorRT-LLM's perf-overview.md."""


SERVER_BATCH = 128
"""Of a processor whose memory no data sheet gives: an assumption."""
MADE_IN = {"gpt_oss": "mxfp4"}
"""Families whose makers publish quantised weights alone: a table's "fp8" is what is computed in, and no other weights exist."""


@dataclass(frozen=True)
class Point:
    """A run that can be predicted, and what was measured."""

    id: str
    model: str
    system: str
    """Model, precision, hardware, devices, framework and kind of run: points of one system differ in load alone."""
    framework: str
    arch: Architecture
    precision: Precision
    kv: CachePrecision
    on: System
    load: Load
    tok_s: float
    """Of answers, all devices together."""
    joules_per_token: float | None
    wall: bool
    """Power was measured at the wall, not of devices alone: MLPerf's is."""
    estimated: tuple[str, ...]
    """Assumptions that went into it."""


class Unjudged(NamedTuple):
    """A row that cannot be predicted."""

    id: str
    reason: str


def rows(text: str) -> list[dict[str, str]]:
    """Of a CSV's text. Raises UnitCostError if it is no table of this format."""
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UnitCostError(
            f"this is no table of measured throughput: {len(missing)} of {len(COLUMNS)} columns are missing, the first is {missing[0]}. "
            f"A table is a CSV with a header line; its columns are {', '.join(COLUMNS)}"
        )
    try:
        found = [{name: (row[name] or "").strip() for name in COLUMNS} for row in reader]
    except csv.Error as error:
        raise UnitCostError(f"this table cannot be read: {error}") from error
    if not found:
        raise UnitCostError("this table has a header and no rows")
    return found


def points(found: list[dict[str, str]]) -> tuple[list[Point], list[Unjudged]]:
    """All rows, judged or not; together as many as there are rows."""
    judged: list[Point] = []
    unjudged: list[Unjudged] = []
    for number, row in enumerate(found, 1):
        name = row["id"] or f"row {number}"
        try:
            judged.append(_point(name, row))
        except (UnitCostError, ValueError) as error:
            unjudged.append(Unjudged(name, str(error).splitlines()[0]))
    return judged, unjudged


def _point(name: str, row: Mapping[str, str]) -> Point:
    if not row["metric"].startswith(("output_tokens", "total_tokens")):
        raise UnitCostError(f"the metric {row['metric']!r} is neither output_tokens nor total_tokens")
    arch = known(row["model"])
    piece = hardware(row["hardware"])
    weights = precision(MADE_IN.get(arch.family, row["weight_precision"]), arch)
    devices, each = _number(row, "n_accelerators"), _number(row, "tokens_per_s_per_accelerator")
    if not devices or devices != int(devices):
        raise UnknownFact("n_accelerators is not given")
    tok_s = _number(row, "tokens_per_s_total") or (each and each * devices)
    if not tok_s:
        raise UnknownFact("tokens_per_s_total is not given")
    estimated: list[str] = []
    kv = _cache(row, piece, estimated)
    load = _load(row, estimated)
    if piece.memory_gb is None and load.batch is None:
        load = replace(load, batch=float(SERVER_BATCH))
        estimated.append(f"a batch of {SERVER_BATCH}: a server's memory is what it was bought with (assumption)")
    if row["metric"].startswith("total_tokens"):
        tok_s *= load.output / (load.prompt + load.output)
        estimated.append("total_tokens: the share of answers in all tokens")
    unit = max((int(degree) for degree in re.findall(r"(?:EP|TP)(\d+)", row["parallelism"].upper())), default=0)
    if unit > devices:
        tok_s, devices = tok_s / devices * unit, float(unit)
    if row["parallelism"]:
        on = system(piece, int(devices), row["parallelism"])
    else:
        on = division(arch, weights, kv, piece, int(devices), load)
        copies, tok_s = devices / on.devices, tok_s * on.devices / devices
        how = "experts apart" if on.spread else "tensor parallelism"
        estimated.append(f"parallelism: {copies:.0f} copies on {on.devices} devices each, {how}: the fastest by usual rates")
    joules = _number(row, "joules_per_token")
    named = (
        row["model"],
        row["weight_precision"],
        row["hardware"],
        row["n_accelerators"],
        row["parallelism"],
        row["framework"],
        row["scenario"],
    )
    return Point(
        name,
        row["model"],
        " | ".join(named),
        row["framework"],
        arch,
        weights,
        kv,
        on,
        load,
        tok_s,
        joules,
        "mlperf" in row["scenario"].lower(),
        tuple(estimated),
    )


def hardware(name: str) -> Part:
    """The part a table means: also where it says how many of them, how much memory or power one has. Raises UnknownFact."""
    plain = re.sub(r"^\d+\s*x\s*", "", name.strip(), flags=re.IGNORECASE)
    shorter = re.sub(r"[\s_-]+(\d+(\.\d+)?\s*(gb|w)|hbm\w*|oam|cts|aarch64\w*|x86\w*)\b", "", plain, flags=re.IGNORECASE)
    for candidate in (plain, shorter):
        try:
            return part(candidate)
        except UnknownFact:
            continue
    return part(name)


def _number(row: Mapping[str, str], column: str) -> float | None:
    """None where it is empty. Raises UnitCostError for what is no positive number."""
    if not row[column]:
        return None
    try:
        value = float(row[column].replace(",", ""))
    except ValueError:
        raise UnitCostError(f"{column} is {row[column]!r}, not a number") from None
    if not 0 < value < float("inf"):
        raise UnitCostError(f"{column} is {row[column]!r}, not above zero")
    return value


def _load(row: Mapping[str, str], estimated: list[str]) -> Load:
    prompt, output = _number(row, "isl"), _number(row, "osl")
    batch = _number(row, "batch_or_concurrency")
    task = _task(row)
    if prompt is None and task:
        prompt = task.prompt
        estimated.append(f"prompts of {task.prompt} tokens: {task.says}")
    if output is None and task and task.output:
        output = task.output
        estimated.append(f"answers of {task.output} tokens: {task.says}")
    if prompt is None or output is None:
        raise UnknownFact(
            f"the length of {'prompts (isl)' if prompt is None else 'answers (osl)'} is not given, and not known of {row['scenario']!r}"
        )
    lengths = round(prompt), max(1, round(output))
    requests = RUNS.get(lengths) if engine(row["framework"]) == "tensorrt-llm" and "offline max" in row["scenario"] else None
    return Load(*lengths, batch=batch, requests=requests)


def _task(row: Mapping[str, str]) -> Task | None:
    scenario = row["scenario"].lower()
    if "mlperf" in scenario:
        plain = re.sub(r"[^a-z0-9]", "", row["model"].lower())
        return next((task for name, task in TASKS.items() if plain.startswith(re.sub(r"[^a-z0-9]", "", name))), None)
    return next((task for name, task in TASKS.items() if scenario.endswith(name)), None)


def _cache(row: Mapping[str, str], piece: Part, estimated: list[str]) -> CachePrecision:
    """Where a table does not say: quantised checkpoints of TensorRT-LLM and MLPerf come with keys and values in fp8; vLLM keeps 16 bits; so
    does TensorRT-LLM for gpt-oss on parts without fp4 (perf-overview.md: "Hopper: use auto")."""
    if row["kv_precision"]:
        return cache_precision(row["kv_precision"])
    quantised = row["weight_precision"].lower() not in ("bf16", "fp16", "fp32")
    offline = engine(row["framework"]) == "tensorrt-llm" or "mlperf" in row["scenario"].lower()
    own = "gpt-oss" in row["model"].lower() and piece.fp4_tflops is None
    kv = "fp8" if quantised and offline and not own and piece.fp8_tflops else "bf16"
    estimated.append(f"keys and values in {kv}: the framework's habit")
    return cache_precision(kv)


COPY_DEVICES = (1, 2, 4, 8)
"""Of one copy of a model, where a run does not say how it is divided; and all of them together, for a mixture."""


def division(arch: Architecture, weights: Precision, kv: CachePrecision, piece: Part, devices: int, load: Load) -> System:
    """One copy of a run that does not say how it is divided: who submits a run takes the fastest, so the fastest by the rates that parameters
    have before any row (`PRIORS`). Raises DoesNotFit, UnknownFact if there is no division that can be worked out."""
    usual = rates({name: prior.median for name, prior in PRIORS.items()})
    sizes = [size for size in {*COPY_DEVICES, devices} if devices % size == 0]
    tried = [System(piece, size) for size in sizes if size in COPY_DEVICES or size == devices == 1]
    tried += [System(piece, 1, size, spread=True) for size in sizes if arch.experts and size > 1]
    found: dict[float, System] = {}
    failed: UnitCostError | None = None
    for on in tried:
        try:
            cycle = steady(arch, weights, kv, on, load)
        except (DoesNotFit, UnknownFact) as error:
            failed = error
            continue
        found[cycle.tokens / cycle.seconds(usual) / on.devices] = on
    if failed and not found:
        raise failed
    return found[max(found)]
