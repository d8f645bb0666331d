"""Predictions, checks and fits for people, and as documents. What is shown is what --json prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from jevons.cli.tables import console, plain
from jevons.core.money import NUSD_PER_USD, short_usd
from jevons.economics.unitcost.cost import UTILISATION, Cost, Hourly, Interval, Pace, Quantiles, per_million, rented, stated
from jevons.economics.unitcost.efficiency import PRIORS, Efficiencies
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.frontier import answers
from jevons.economics.unitcost.hardware import parts
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.serving import Load, Speed, capacity
from jevons.economics.unitcost.steps import StepTime, System, rate
from jevons.economics.unitcost.weights import weight_bytes

if TYPE_CHECKING:
    from jevons.economics.unitcost.architecture import Architecture
    from jevons.economics.unitcost.check import Check, Verdict
    from jevons.economics.unitcost.measured import Unjudged
    from jevons.economics.unitcost.weights import CachePrecision, Precision

WORST = 12
"""Rows that are shown."""


class Priced:
    """What a prediction costs, or why that is not known."""

    def __init__(
        self, hourly: Hourly | None, kinds: Cost | None, answer: Quantiles | None, used: float | None = None, unknown: str = ""
    ) -> None:
        self.hourly, self.kinds, self.answer, self.used, self.unknown = hourly, kinds, answer, used, unknown


def cost(
    speed: Speed, part: Part, home: Path, usd_per_hour: tuple[float, float, float] | None, utilisation: float | None
) -> Priced:
    """In dollars of the part's quotes, or of what the user states. A part without a price has none: that is said, and no error."""
    try:
        hourly = stated(*usd_per_hour) if usd_per_hour else rented(part, parts(home))
    except UnknownFact as error:
        return Priced(None, None, None, unknown=str(error))
    used = UTILISATION if utilisation is None else utilisation
    cached = _spread(speed, speed.cached_tok_s) if speed.cached_tok_s else None
    kinds = per_million(Pace(_spread(speed, speed.prefill_tok_s), _spread(speed, speed.decode_tok_s), cached), hourly, used)
    return Priced(hourly, kinds, answers(speed, hourly, used), used)


def _spread(speed: Speed, value: float) -> Interval:
    low, high = speed.interval(value)
    return Interval(low, value, high)


def document(
    arch: "Architecture",
    precision: "Precision",
    kv: "CachePrecision",
    on: System,
    load: Load,
    speed: Speed,
    priced: Priced,
    efficiencies: Efficiencies,
) -> dict[str, Any]:
    """Stable keys; times in seconds, money in nano-dollars."""
    label, _ = rate(on.part, precision.compute["attention"])
    mixed, _ = rate(on.part, precision.compute["experts"])
    joules = speed.joules_per_token
    allin = on.part.allin_kw * 1000 / on.part.tdp_w if on.part.allin_kw and on.part.tdp_w else None
    return {
        "model": arch.name,
        "params_total": arch.params_total,
        "params_active": arch.params_active,
        "positions": arch.positions,
        "weights": precision.name,
        "kv": kv.name,
        "part": on.part.name,
        "devices": on.devices,
        "tensor": on.tensor,
        "data": on.data,
        "pipeline": on.pipeline,
        "experts_apart": on.spread,
        "prompt": load.prompt,
        "cached": load.cached,
        "output": load.output,
        "batch": speed.batch,
        "batch_fits": int(capacity(arch, precision, kv, on, load.cached + load.prompt + load.output, load.speculative)),
        "weight_bytes": sum(weight_bytes(arch, precision).values()),
        "user_tok_s": _interval(speed, speed.user_tok_s),
        "device_tok_s": _interval(speed, speed.device_tok_s),
        "prefill_tok_s": _interval(speed, speed.prefill_tok_s),
        "decode_tok_s": _interval(speed, speed.decode_tok_s),
        "plain_roofline_device_tok_s": speed.plain_device_tok_s,
        "step": _step(speed.step),
        "prefill": _step(speed.prefill),
        "binds": speed.binds,
        "compute_used": speed.compute_used,
        "bandwidth_used": speed.bandwidth_used,
        "power_w": speed.power_w,
        "joules_per_token": None if joules is None or speed.joules_interval is None else _values(joules, *speed.joules_interval),
        "allin_joules_per_token": None if joules is None or allin is None else joules * allin,
        "hours": None if priced.hourly is None else priced.hourly.how,
        "nusd_per_hour": None
        if priced.hourly is None
        else dict(zip(("p5", "p50", "p95"), (round(value * NUSD_PER_USD) for value in priced.hourly.usd), strict=True)),
        "utilisation": priced.used,
        "estimated": True,
        "cost": None if priced.kinds is None else priced.kinds.document(),
        "answer_per_million": None if priced.answer is None else priced.answer.document(),
        "price_unknown": priced.unknown,
        "evidence": list(speed.evidence),
        "widened": list(speed.widened),
        "from_parents": _parents(arch, efficiencies, label, mixed),
        "fitted": efficiencies.fitted,
        "source": efficiencies.source,
    }


def _parents(arch: "Architecture", efficiencies: Efficiencies, label: str, mixed: str) -> list[str]:
    """Classes of matrices without measured rows, and what they are taken from."""
    asked = [("dense", label, False)] + ([("experts", mixed, True)] if arch.experts else [])
    found = [(kind, numbers, efficiencies.parent(numbers, experts=experts)) for kind, numbers, experts in asked]
    return [
        f"{kind} {numbers}: no measured rows; taken from {parent}; the interval is wider (assumption)"
        for kind, numbers, parent in found
        if parent
    ]


def _interval(speed: Speed, value: float) -> dict[str, float]:
    return _values(value, *speed.interval(value))


def _values(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def _step(step: StepTime) -> dict[str, float]:
    return dict(step._asdict())


def prediction(found: dict[str, Any]) -> None:
    """One screen."""
    apart = ", experts apart" if found["experts_apart"] else ""
    divided = f"tensor {found['tensor']} x data {found['data']} x stages {found['pipeline']}{apart}"
    console.print(
        f"{found['model']} in {found['weights']}, keys and values in {found['kv']}, on {found['devices']} x {found['part']} ({divided})"
    )
    lengths = f"{found['prompt'] + found['cached']:,} in ({found['cached']:,} kept), {found['output']:,} out"
    console.print(
        f"{lengths}; batch {found['batch']:,.0f} ({found['batch_fits']:,.0f} fit), weights {found['weight_bytes'] / 1e9:.1f} GB"
    )
    table = plain("", "value", "90 %", title="")
    for name, key, digits in (
        ("tokens/s a user", "user_tok_s", 1),
        ("tokens/s a device", "device_tok_s", 0),
        ("  answers alone", "decode_tok_s", 0),
        ("  prompts alone", "prefill_tok_s", 0),
        ("joules a token", "joules_per_token", 3),
    ):
        value = found[key]
        shown = (
            ("unknown", "")
            if value is None
            else (_digits(value["value"], digits), f"{_digits(value['low'], digits)} to {_digits(value['high'], digits)}")
        )
        table.add_row(name, *shown)
    table.add_row("plain roofline, tokens/s a device", f"{found['plain_roofline_device_tok_s']:,.0f}", "")
    if found["allin_joules_per_token"] is not None:
        table.add_row("joules a token, server and cooling too", f"{found['allin_joules_per_token']:,.3f}", "")
    console.print(table)
    times = plain("milliseconds", "compute", "memory", "network", "overhead", "total", title="")
    for name, key in (("a step, in the mean", "step"), ("one prompt alone", "prefill")):
        times.add_row(name, *(f"{1000 * value:,.2f}" for value in found[key].values()))
    console.print(times)
    used = f"{found['compute_used']:.0%} of peak FLOP/s, {found['bandwidth_used']:.0%} of peak bandwidth"
    console.print(f"{found['binds'].capitalize()} takes the most time; {used}. Compute and memory overlap.")
    _dollars(found)
    if found["positions"] is None:
        asked = found["prompt"] + found["cached"] + found["output"]
        console.print(
            Text(f"How long a sequence of {found['model']} may be is not known: see that it takes {asked:,} tokens.", "yellow")
        )
    for line in found["evidence"]:
        console.print(Text(f"Interval: {line}."))
    for line in (*found["widened"], *found["from_parents"]):
        console.print(Text(line, "yellow"))


def _digits(value: float, digits: int) -> str:
    """With so many decimals, and two significant digits of what is small."""
    return f"{value:,.{digits}f}" if value >= 10**-digits else f"{value:.2g}"


def _dollars(found: dict[str, Any]) -> None:
    if found["cost"] is None:
        console.print(Text(found["price_unknown"], "yellow"))
        return
    table = plain("$ per million tokens", "median", "90 %", title="")
    rows = [(name, found["cost"][key]) for name, key in _KINDS] + [
        ("answers, their prompts included", found["answer_per_million"])
    ]
    for name, value in rows:
        if value is not None:
            table.add_row(name, short_usd(value["p50_nusd"]), f"{short_usd(value['p5_nusd'])} to {short_usd(value['p95_nusd'])}")
    console.print(table)
    console.print(f"Hours of devices: {found['hours']}.")


_KINDS = (("prompts", "input_per_million"), ("prompts, kept", "cached_per_million"), ("answers", "output_per_million"))


def checked_document(found: "Check", efficiencies: Efficiencies) -> dict[str, Any]:
    """Stable keys; errors in percent of what was measured, signed."""
    return {
        **found.figures,
        "fitted": efficiencies.fitted,
        "source": efficiencies.source,
        "by_hardware": _groups(found, "hardware"),
        "by_framework": _groups(found, "framework"),
        "by_precision": _groups(found, "precision"),
        "by_model": _groups(found, "model"),
        "points": [_verdict(verdict) for verdict in found.verdicts],
        "not_judged": [row._asdict() for row in found.unjudged],
    }


def _groups(found: "Check", name: str) -> dict[str, dict[str, Any]]:
    return {key: {"rows": rows, "median_ape_spec_pct": error} for key, (rows, error) in found.by(name).items()}


def _verdict(verdict: "Verdict") -> dict[str, Any]:
    from math import expm1

    point = verdict.point
    calibrated = verdict.calibrated_error
    return {
        "id": point.id,
        "model": point.model,
        "hardware": point.on.part.name,
        "devices": point.on.devices,
        "measured_tok_s": point.tok_s,
        "predicted_tok_s": verdict.tok_s,
        "low": verdict.low,
        "high": verdict.high,
        "error_pct": 100 * expm1(verdict.error),
        "calibrated_error_pct": None if calibrated is None else 100 * expm1(calibrated),
        "plain_roofline_error_pct": 100 * expm1(verdict.plain_error),
        "measured_joules_per_token": point.joules_per_token,
        "predicted_joules_per_token": verdict.joules_per_token,
        "estimated": list(point.estimated),
    }


def checked(found: "Check", efficiencies: Efficiencies) -> None:
    figures = found.figures
    table = plain("median error, %", "", "rows", title="")
    for name, key, rows in (
        ("tokens/s from the specification", "median_ape_spec_pct", "judged"),
        ("after three points of the same system", "median_ape_calibrated_pct", "calibrated_rows"),
        ("plain roofline", "plain_roofline_ape_pct", "judged"),
        ("joules a token", "median_ape_joules_pct", "joules_rows"),
    ):
        table.add_row(name, "—" if figures[key] is None else f"{figures[key]:.1f}", f"{figures[rows]}")
    console.print(table)
    inside = "" if figures["inside_90_pct"] is None else f" {figures['inside_90_pct']} % of rows lie inside their 90 % interval."
    console.print(
        f"Fit of {efficiencies.fitted} ({efficiencies.source}); rows that were part of it are judged too kindly.{inside}"
    )
    groups = plain("", "rows", "median error, %", title="")
    for name in ("hardware", "framework", "precision"):
        for key, (count, apart) in found.by(name).items():
            groups.add_row(key, f"{count}", f"{apart:.1f}")
    console.print(groups)
    worst = plain("farthest off", "model", "part", "measured", "predicted", "%", title="")
    for verdict in sorted(found.verdicts, key=lambda verdict: -abs(verdict.error))[:WORST]:
        error = f"{100 * (verdict.tok_s / verdict.point.tok_s - 1):+.0f}"
        point = verdict.point
        worst.add_row(
            point.id,
            point.model,
            f"{point.on.devices} x {point.on.part.name}",
            f"{point.tok_s:,.0f}",
            f"{verdict.tok_s:,.0f}",
            error,
        )
    console.print(worst)
    _unjudged(found.unjudged)


def _unjudged(rows: "Sequence[Unjudged]") -> None:
    if rows:
        console.print(f"Not judged: {len(rows)}")
    for row in rows:
        console.print(f"  {row.id}: {row.reason}", markup=False, soft_wrap=True)


def fitted_document(found: Efficiencies, unjudged: "Sequence[Unjudged]") -> dict[str, Any]:
    return {
        "fitted": found.fitted,
        "source": found.source,
        "parameters": {
            name: {"value": found.parameters[name], "low": low, "high": high} for name, (low, high) in _intervals(found).items()
        },
        "classes": found.classes(),
        "power": found.power._asdict(),
        "spread_between_systems": found.spread,
        "spread_within_a_system": found.spread_within,
        "rows": dict(found.rows or {}),
        "not_fitted": [row._asdict() for row in unjudged],
    }


def _intervals(found: Efficiencies) -> dict[str, tuple[float, float]]:
    return {name: found.interval(name) for name in PRIORS}


def fitted(found: Efficiencies, unjudged: "Sequence[Unjudged]") -> None:
    table = plain("", "fitted", "90 %", "before any row", "", title="")
    for name, (low, high) in _intervals(found).items():
        prior = PRIORS[name]
        table.add_row(name, f"{found.parameters[name]:.3g}", f"{low:.3g} to {high:.3g}", f"{prior.median:.3g}", prior.says)
    console.print(table)
    classes = plain("numbers", "matrices", "phase", "share of", "", "90 %", "rows", "from", title="")
    for row in found.classes():
        spread = f"{row['low']:.2f} to {row['high']:.2f}"
        classes.add_row(
            row["numbers"],
            row["matrices"],
            row["phase"],
            row["of"],
            f"{row['share']:.2f}",
            spread,
            f"{row['rows']}",
            row["from"] or "",
        )
    console.print(classes)
    console.print(
        f"Power over rated power: {found.power.idle:.2f} + {found.power.compute:.2f} x compute + {found.power.memory:.2f} x memory."
    )
    _unjudged(unjudged)
