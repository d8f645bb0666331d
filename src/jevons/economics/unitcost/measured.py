"""Rows of measured throughput as systems under loads: what a table says of a run.

Comes in: a CSV with columns of `COLUMNS`, one run a row. Goes out: a `Point` for every row that can be judged, an `Unjudged` with the
reason for every other. Does not know: efficiencies, predictions; what tables leave out is filled in by `unsaid`.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jevons.economics.unitcost import deepseek, unsaid
from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.cycle import Cycle
from jevons.economics.unitcost.efficiency import engine
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import find, known
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.serving import Load, reading, steady
from jevons.economics.unitcost.steps import System, widened
from jevons.economics.unitcost.unsaid import Model
from jevons.economics.unitcost.weights import CachePrecision, Precision, precision

NEEDED = ("model", "hardware", "metric")
RATES = ("tokens_per_s_total", "tokens_per_s_per_accelerator")
"""One of them is needed too."""
COLUMNS = (
    "id", *NEEDED, *RATES, "weight_precision", "kv_precision", "n_accelerators", "parallelism", "framework", "scenario",
    "batch_or_concurrency", "isl", "osl", "power_w_total", "joules_per_token",
)  # fmt: skip
METRICS = ("output_tokens", "total_tokens", "input_tokens")
MADE_IN = {"gpt_oss": "mxfp4"}
"""Families whose makers publish quantised weights alone: a table's "fp8" is what is computed in, and no other weights exist."""
NOTHING_SAID = ("", "n/a", "na", "none", "null", "auto", "unknown", "-", "nan")
LARGEST = 1e12
"""Of a figure that can be meant."""
ROUNDED = 0.03
"""By how much two figures of a row may differ that say the same."""
NUMBER = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
"""A comma parts thousands: "24.524,9" is refused, not read as 24.5."""
APART = re.compile(r"disagg|\d+p\d+d|prefill.*decode|decode.*prefill", re.IGNORECASE)


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
    """Of answers, or of prompts if it only `reads`; all devices of one engine together."""
    joules_per_token: float | None
    """Of the same tokens."""
    wall: bool
    """Power was measured at the wall, not of devices alone: MLPerf's is."""
    estimated: tuple[str, ...]
    """Assumptions that went into it."""
    reads: bool = False

    def cycle(self) -> Cycle:
        """Its steady state, before efficiencies. Raises DoesNotFit, UnknownFact."""
        work = reading if self.reads else steady
        return work(self.arch, self.precision, self.kv, self.on, self.load)


class Unjudged(NamedTuple):
    """A row that cannot be predicted."""

    id: str
    reason: str


def rows(text: str) -> list[dict[str, str]]:
    """Of a CSV's text; a column that is not there is empty. Raises UnitCostError if it is no table of this format."""
    lines = csv.reader(io.StringIO(text))
    try:
        head = [name.strip().lower() for name in next(lines, [])]
        missing = [name for name in NEEDED if name not in head]
        if not missing and not any(name in head for name in RATES):
            missing = [" or ".join(RATES)]
        if missing:
            raise UnitCostError(
                f"this is no table of measured throughput: it has no column {missing[0]}. A table is a CSV with a header line; its columns "
                f"are {', '.join(COLUMNS)}"
            )
        found = [dict.fromkeys(COLUMNS, "") | dict(zip(head, map(str.strip, line), strict=False)) for line in lines if any(line)]
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
        except (ValueError, OverflowError) as error:
            unjudged.append(Unjudged(name, str(error).splitlines()[0]))
    return judged, unjudged


def material(found: Sequence[Point]) -> list[Point]:
    """Those a fit may be of: not a maker's own account of its production, which is a day's mean and is predicted by the fit of all others."""
    return [point for point in found if not _in_house(point.framework)]


def _in_house(framework: str) -> bool:
    return "in-house" in framework.lower()


def _point(name: str, row: Mapping[str, str]) -> Point:
    metric = next((metric for metric in METRICS if row["metric"].startswith(metric)), None)
    if metric is None:
        raise UnitCostError(f"the metric {row['metric']!r} is none of {', '.join(METRICS)}")
    if APART.search(row["parallelism"]) or APART.search(row["scenario"]):
        raise UnitCostError("prompts and answers on devices of their own, in one row: which of them the figure is of is not said")
    estimated: list[str] = []
    piece = hardware(row["hardware"])
    model = _model(row, piece, estimated)
    estimated += widened(piece, model.precision, model.kv)
    devices, each = _devices(row, estimated)
    reads = metric == "input_tokens"
    if _in_house(row["framework"]):
        on, load = _production(model, reads, estimated)
    else:
        on, load, said = unsaid.placed(
            model, piece, devices, _parallelism(row), _load(row, reads, estimated), unsaid.floor(row["model"], row["scenario"])
        )
        estimated += [said] if said else []
        _noted(row, on, load, devices, estimated)
    tok_s, joules = each * on.devices, _optional(row, "joules_per_token", estimated)
    watts = _optional(row, "power_w_total", estimated)
    if joules is None and watts and devices:
        joules = watts / (each * devices)
    if metric == "total_tokens":
        share = load.output / (load.prompt + load.output)
        tok_s, joules = tok_s * share, joules and joules / share
        estimated.append("total_tokens: the share of answers in all tokens")
    system = ("model", "weight_precision", "hardware", "n_accelerators", "parallelism", "framework", "scenario")
    return Point(
        name, row["model"], " | ".join(row[column] for column in system), row["framework"], *model, on, load, tok_s, joules,
        "mlperf" in row["scenario"].lower(), tuple(estimated), reads,
    )  # fmt: skip


def _model(row: Mapping[str, str], piece: Part, estimated: list[str]) -> Model:
    arch = known(row["model"])
    weights = re.sub(r"\s*\(.*\)$", "", row["weight_precision"])
    if weights.lower() in NOTHING_SAID:
        weights = find(row["model"]).stored
        estimated.append(f"weights in {weights}: as their maker stores them")
    kv = row["kv_precision"] if row["kv_precision"].lower() not in NOTHING_SAID else ""
    kept, said = unsaid.cache(kv, weights, row["model"], row["framework"], row["scenario"], piece)
    estimated += [said] if said else []
    return Model(arch, precision(MADE_IN.get(arch.family, weights), arch), kept)


def _devices(row: Mapping[str, str], estimated: list[str]) -> tuple[int | None, float]:
    """How many there are, None where nothing says it, and tokens a second of each. Raises UnitCostError, UnknownFact."""
    devices, total, each = (_number(row, name) for name in ("n_accelerators", *RATES))
    if devices and devices != int(devices):
        raise UnitCostError(f"n_accelerators is {row['n_accelerators']!r}, not a whole number")
    if not total and not each:
        raise UnknownFact("tokens_per_s_total is not given")
    counted = re.match(r"(\d+)\s*x\s", row["hardware"], re.IGNORECASE) or re.search(
        r"\sx\s*(\d+)$", row["hardware"], re.IGNORECASE
    )
    by_parallelism = unsaid.degrees(_parallelism(row))
    if not devices:
        devices = (total / each if total and each else None) or by_parallelism or (counted and int(counted[1])) or None
        if devices and abs(devices - round(devices)) > ROUNDED * devices:
            raise UnitCostError(f"n_accelerators is not given, and {total:g} in all at {each:g} each are {devices:.2f} of them")
        devices = devices and float(max(1, round(devices)))
        estimated += [f"n_accelerators: {devices:g}, by its other figures"] if devices else []
    if total and each and devices and abs(total / each / devices - 1) > ROUNDED:
        raise UnitCostError(f"{total:g} tokens/s in all are not {devices:g} accelerators at {each:g} each")
    if not devices and not each:
        raise UnknownFact("n_accelerators is not given, and tokens/s of all of them together")
    unit = by_parallelism or 0
    if devices and unit > devices:
        if not re.search(r"unit|node", row["parallelism"], re.IGNORECASE):
            raise UnitCostError(
                f"parallelism {row['parallelism']!r} takes {unit} accelerators, and n_accelerators is {devices:g}"
            )
        estimated.append(f"{unit} accelerators make one unit, of which the row has {devices:g}")
    rate = each or (total or 0.0) / (devices or 1.0)
    return (int(max(devices, unit)) if devices else None), rate


def _parallelism(row: Mapping[str, str]) -> str:
    """As `steps.system` reads it: SGLang's TEP8 is TP8/EP8, and attention by sequences (DPA, ADP) with experts apart is DEP."""
    said = re.sub(r"\btep\s*(\d+)", r"TP\1/EP\1", row["parallelism"], flags=re.IGNORECASE)
    if said.lower() in NOTHING_SAID:
        return ""
    if re.search(r"\b(dpa|adp)\b", said, re.IGNORECASE) and (among := re.search(r"EP(\d+)", said, re.IGNORECASE)):
        return f"DEP{among[1]}"
    return said


def _production(model: Model, reads: bool, estimated: list[str]) -> tuple[System, Load]:
    """DeepSeek's own: the loads behind its figures are described, not in the table."""
    if not model.arch.name.startswith("deepseek"):
        raise UnknownFact("a maker's own production: its load is not known")
    on, load = deepseek.prefilling() if reads else deepseek.decoding()
    estimated.append(
        f"prompts of {load.prompt + load.cached:,} tokens, {load.cached:,} of them kept, answers of {load.output:,}: its day's sums"
    )
    if reads:
        return on, replace(load, batch=None)
    estimated.append(f"a batch that leaves {deepseek.USER_TOK_S:g} tokens/s to each, as published")
    return on, unsaid.admitted(model, on, load, deepseek.USER_TOK_S)


def _noted(row: Mapping[str, str], on: System, load: Load, devices: int | None, estimated: list[str]) -> None:
    """What a batch became."""
    asked = _number(row, "batch_or_concurrency")
    mine = asked and asked * on.devices / (devices or on.devices)
    if mine and load.batch and load.batch < 0.999 * mine:
        estimated.append(f"{load.batch:,.0f} of {mine:,.0f} requests at once: no more fit, or are quick enough")
    elif asked is None and load.batch and on.part.memory_gb is None:
        estimated.append(f"a batch of {load.batch:g}: a server's memory is what it was bought with (assumption)")
    elif asked is None and load.batch:
        estimated.append(f"a batch of {load.batch:g}: the largest within the limit on latency, by usual rates")


def hardware(name: str) -> Part:
    """The part a table means: also where it says how many of them, how much memory or power one has. Raises UnknownFact."""
    plain = re.sub(r"^\d+\s*x\s*|\s+x\s*\d+$", "", name.strip(), flags=re.IGNORECASE)
    shorter = re.sub(r"[\s_-]+(\d+(\.\d+)?\s*(gb|w)|hbm\w*|oam|cts|aarch64\w*|x86\w*)\b", "", plain, flags=re.IGNORECASE)
    slot = re.sub(r"[\s_-]+pcie\b", "", shorter, flags=re.IGNORECASE)
    for candidate in (plain, shorter, slot):
        try:
            return part(candidate)
        except UnknownFact:
            continue
    return part(name)


def _number(row: Mapping[str, str], column: str) -> float | None:
    """None where it is empty. Raises UnitCostError for what is no positive number."""
    said = row[column]
    if said.lower() in NOTHING_SAID or (column in RATES and said.strip("0.") == ""):
        return None
    if not NUMBER.fullmatch(said):
        raise UnitCostError(f"{column} is {said!r}, not a number above zero")
    value = float(said.replace(",", ""))
    if not 0 < value < LARGEST:
        raise UnitCostError(f"{column} is {said!r}, not above zero and below {LARGEST:g}")
    return value


def _optional(row: Mapping[str, str], column: str, estimated: list[str]) -> float | None:
    """None also for what cannot be read: a row is not lost for it."""
    try:
        return _number(row, column)
    except UnitCostError as error:
        estimated.append(f"left out: {error}")
        return None


def _load(row: Mapping[str, str], reads: bool, estimated: list[str]) -> Load:
    prompt, output = _number(row, "isl"), _number(row, "osl")
    task = unsaid.task(row["model"], row["scenario"])
    if prompt is None and task:
        prompt = task.prompt
        estimated.append(f"prompts of {task.prompt} tokens: {task.says}")
    if output is None and task and task.output:
        output = task.output
        estimated.append(f"answers of {task.output} tokens: {task.says}")
    if output is None and reads:
        output = 1.0
    if prompt is None or output is None:
        raise UnknownFact(
            f"the length of {'prompts (isl)' if prompt is None else 'answers (osl)'} is not given, and not known of {row['scenario']!r}"
        )
    lengths = max(1, round(prompt)), max(1, round(output))
    offline = engine(row["framework"]) == "tensorrt-llm" and "offline max" in row["scenario"]
    batch = _number(row, "batch_or_concurrency")
    if batch is None and re.search(r"mlperf.*single\W?stream", row["scenario"], re.IGNORECASE):
        batch = 1.0
    return Load(*lengths, batch=batch, requests=unsaid.RUNS.get(lengths) if offline else None)
