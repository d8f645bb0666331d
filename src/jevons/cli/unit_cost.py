"""`jevons unit-cost predict | check | fit`: how fast a model runs on a part and what a token costs to make; how far that is from measured rows."""

import json as text_json
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jevons.cli.options import DollarSpread, NewFile, as_json, show, write
from jevons.config import home_path

if TYPE_CHECKING:
    from jevons.economics.unitcost.architecture import Architecture
    from jevons.economics.unitcost.weights import Precision

GGUF = ".gguf"
RESAMPLES = 60
MOST_DRAFTED = 64
"""Tokens of a step; engines draft 1 to 10."""


@click.group("unit-cost", short_help="What a token costs to make: speed, energy, dollars of a model on a part.")
def unit_cost() -> None:
    """Time, energy and price of a token from a model's architecture, its precision, a load and a part. docs/unit-cost.md says how."""


@unit_cost.command("predict")
@click.argument("model")
@click.option("--on", "part_name", required=True, metavar="PART", help="A part of `jevons hw list`, or of your hardware.toml.")
@click.option("--devices", type=click.IntRange(1, 100_000), default=1, show_default=True, help="That make one engine.")
@click.option("--parallel", default="", metavar="HOW", help="tp, ep, dep, dp or pp; with degrees as TP2,PP2. Default: tp.")
@click.option(
    "--weights", "weights_name", metavar="P", help="bf16, fp8, nvfp4, mxfp4, int8, int4, …. Default: as its maker stores them."
)
@click.option("--kv", "kv_name", default="bf16", show_default=True, metavar="P", help="Of keys and values.")
@click.option("--batch", type=click.FloatRange(1), help="Sequences at once. Default: as many as fit.")
@click.option("--best", is_flag=True, help="The batch that costs least above --floor.")
@click.option(
    "--floor", type=click.FloatRange(0, min_open=True), metavar="TOK_S", help="Tokens/s that each user gets; with --best."
)
@click.option(
    "--input", "prompt", type=click.IntRange(1), default=1000, show_default=True, help="Tokens of a prompt, cached ones too."
)
@click.option("--output", type=click.IntRange(1), default=1000, show_default=True, help="Tokens of an answer.")
@click.option("--cached", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Share of a prompt that is kept already.")
@click.option(
    "--speculative", metavar="DRAFTED:ACCEPTANCE[:MODEL]", help="As 3:0.7, or 4:0.8:llama-3.2-1b with a drafting model."
)
@click.option("--engine", type=click.Choice(("vllm", "tensorrt-llm")), help="Its overheads. Default: the mean of both.")
@click.option("--usd-per-hour", type=DollarSpread(), help="Of one device, USD or LOW:TYPICAL:HIGH. Default: the part's quotes.")
@click.option(
    "--utilisation", type=click.FloatRange(0, 1, min_open=True), help="Share of paid hours in which it works. Default: 0.7."
)
@click.option("--svg", type=NewFile(), help="Draw dollars against each user's speed, by batch.")
@as_json
def predict(
    model: str,
    part_name: str,
    devices: int,
    parallel: str,
    weights_name: str | None,
    kv_name: str,
    batch: float | None,
    best: bool,
    floor: float | None,
    prompt: int,
    output: int,
    cached: float,
    speculative: str | None,
    engine: str | None,
    usd_per_hour: tuple[float, float, float] | None,
    utilisation: float | None,
    svg: Path | None,
    json: bool,
) -> None:
    """Tokens/s, joules and dollars of MODEL on a part. MODEL: a name, a config.json, or a .gguf file.

    Example: jevons unit-cost predict llama-3.3-70b --on H100 --devices 2 --weights fp8 --kv fp8
    """
    from jevons.cli import unit_cost_shown as shown
    from jevons.economics.unitcost.efficiency import shipped
    from jevons.economics.unitcost.hardware import part
    from jevons.economics.unitcost.serving import Load, best_batch, serve
    from jevons.economics.unitcost.steps import system
    from jevons.economics.unitcost.weights import cache_precision

    if any(given is not None and not isfinite(given) for given in (batch, floor)):
        raise click.UsageError("--batch and --floor are numbers.")
    if best != (floor is not None) or (best and batch is not None):
        raise click.UsageError("--best needs --floor TOK_S, and chooses the batch itself.")
    arch, precision = _model(model, weights_name)
    on = system(part(part_name, home_path()), devices, parallel)
    if on.spread and arch.experts is None:
        raise click.UsageError(
            f"--parallel {parallel}: {arch.name} has no experts to keep apart; tp cuts its matrices, dp copies them."
        )
    kept = min(prompt - 1, round(cached * prompt))
    load = Load(prompt - kept, output, kept, batch=batch, speculative=_speculation(speculative))
    kv = cache_precision(kv_name)
    if floor is not None:
        speed = best_batch(arch, precision, kv, on, load, shipped(), floor, engine or "")
    else:
        speed = serve(arch, precision, kv, on, load, shipped(), engine or "")
    cost = shown.cost(speed, on.part, home_path(), usd_per_hour, utilisation)
    document = shown.document(arch, precision, kv, on, load, speed, cost, shipped())
    show(json, document, lambda: shown.prediction(document))
    if svg is not None:
        from jevons.economics.unitcost import frontier_picture
        from jevons.economics.unitcost.cost import UTILISATION
        from jevons.economics.unitcost.frontier import frontier
        from jevons.economics.unitcost.placing import Model

        served, asked = Model(arch, precision, kv), replace(load, batch=speed.batch)
        corners = frontier(served, on, asked, shipped(), cost.hourly, cost.used or UTILISATION, engine or "")
        write(svg, frontier_picture.picture(corners, f"{served.name} on {on.devices} × {on.part.name}", speed.batch, floor))


def _model(model: str, weights_name: str | None) -> "tuple[Architecture, Precision]":
    """In the numbers that are asked for, else in those it is stored in. Raises UnitCostError, click.ClickException for a file that cannot
    be read."""
    from jevons.economics.unitcost.config_read import from_config, stored_as
    from jevons.economics.unitcost.known import find, known
    from jevons.economics.unitcost.weights import precision

    path = Path(model)
    if model.endswith(GGUF):
        return _gguf(path, weights_name)
    if model.endswith(".json"):
        try:
            config = text_json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{path} cannot be read as a config.json: {error}") from None
        if not isinstance(config, dict):
            raise click.ClickException(f"{path} is no config.json: it holds no object")
        arch = from_config(config, path.parent.name or path.stem)
        return arch, precision(weights_name or stored_as(config), arch)
    arch = known(model)
    return arch, precision(weights_name or find(model).stored, arch)


def _gguf(path: Path, weights_name: str | None) -> "tuple[Architecture, Precision]":
    from jevons.economics.unitcost.gguf_read import from_gguf, precision_of
    from jevons.economics.unitcost.weights import precision
    from jevons.engine.gguf import NotGguf, header, tensors

    try:
        facts, found = header(path), tensors(path)
    except (OSError, NotGguf) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from None
    arch = from_gguf(facts, found, path.stem)
    return arch, precision(weights_name, arch) if weights_name else precision_of(arch, found)


def _speculation(text: str | None) -> Any:
    from jevons.economics.unitcost.known import known
    from jevons.economics.unitcost.work import Speculation

    if text is None:
        return None
    drafted, _, rest = text.partition(":")
    share, _, draft = rest.partition(":")
    try:
        found = Speculation(int(drafted), float(share), known(draft) if draft else None)
    except ValueError as error:
        if draft:
            raise
        raise click.UsageError(f"--speculative {text!r} is not DRAFTED:ACCEPTANCE[:MODEL], as 3:0.7: {error}") from None
    if not 1 <= found.drafted <= MOST_DRAFTED or not 0 <= found.acceptance <= 1:
        raise click.UsageError(f"--speculative: 1 to {MOST_DRAFTED} tokens are drafted, and the acceptance is 0 to 1.")
    return found


@unit_cost.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--svg", type=NewFile(), help="Draw predicted against measured.")
@as_json
def check(file: Path, svg: Path | None, json: bool) -> None:
    """How far predictions with the shipped fit are from the measured rows of a CSV FILE; docs/unit-cost.md has its columns.

    A row that cannot be judged is listed with its reason.

    Example: jevons unit-cost check measured_throughput.csv --json
    """
    from jevons.cli import unit_cost_shown as shown
    from jevons.economics.unitcost import check as economics
    from jevons.economics.unitcost.efficiency import shipped

    found = economics.check(_text(file), shipped())
    show(json, shown.checked_document(found, shipped()), lambda: shown.checked(found, shipped()))
    if svg is not None:
        from jevons.economics.unitcost.check_picture import picture

        write(svg, picture(found))


@unit_cost.command("fit")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "target", type=NewFile(), help="Write the fit to this file; without it, it is only shown.")
@click.option(
    "--resamples", type=click.IntRange(0, 1000), default=RESAMPLES, show_default=True, help="Of models, for the intervals."
)
@as_json
def fit(file: Path, target: Path | None, resamples: int, json: bool) -> None:
    """Fit efficiencies to the measured rows of a CSV FILE, as those that are shipped were.

    Example: jevons unit-cost fit measured_throughput.csv --to efficiencies.toml
    """
    from jevons.cli import unit_cost_shown as shown
    from jevons.economics.unitcost import check as economics
    from jevons.economics.unitcost import fit as fitting
    from jevons.economics.unitcost.efficiency import written
    from jevons.economics.unitcost.measured import material, points, rows

    fitting.numpy()
    found = rows(_text(file))
    judged, unjudged = points(found)
    ready, failed = economics.ready(material(judged))
    models = len({point.model for point in ready})
    source = f"{file.name}: {len(ready)} of {len(found)} rows, {models} models"
    fitted = fitting.fitted(fitting.stacked(ready), resamples=resamples, on=f"{datetime.now(UTC):%Y-%m-%d}", source=source)
    show(json, shown.fitted_document(fitted, [*unjudged, *failed]), lambda: shown.fitted(fitted, [*unjudged, *failed]))
    if target is not None:
        write(target, written(fitted))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} cannot be read as a table: {error}") from None
