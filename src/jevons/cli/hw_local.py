"""`jevons hw calibrate`, `local`, `local-price`: the local engine measured on this machine, predicted for any file, and priced."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from jevons.cli import tables
from jevons.cli.options import NewFile, as_json, show, write
from jevons.config import home_path
from jevons.config import load as configuration
from jevons.core.money import NUSD_PER_USD
from jevons.ledger.home import Home, write_private

if TYPE_CHECKING:
    from jevons.economics.unitcost.local import LocalModel, Rates
    from jevons.economics.unitcost.local_price import Prices, Terms, Turn
    from jevons.economics.unitcost.local_saved import Calibration

BATCHES = (1, 2, 4, 8)
KEPT = (128, 1024, 4096)
NEW = 256
AVX2 = "haswell"
"""The native library's back end that computes the same as the one inside the server."""
MODEL = click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)


class Served(NamedTuple):
    """How the engine runs here."""

    path: Path
    threads: int
    kv_type: str
    variant: str


@click.command()
@MODEL
@click.option("--threads", type=click.IntRange(1, 64), help="Default: those that the engine uses.")
@click.option("--quick", is_flag=True, help="Only the types of that file, and one round of five: a few seconds, and rougher.")
@as_json
def calibrate(model: Path | None, threads: int | None, quick: bool, json: bool) -> None:
    """Measure what the local engine's operations take here, in under a minute: then its speed with any file can be predicted.

    MODEL: a GGUF file (default: the one that is served). Its types of weights are measured beside the common ones, and three whole steps of it.
    It wants the machine for itself, and 1.5 GB of memory. What is found is kept in JEVONS_HOME/local_rates.json.
    """
    from jevons.cli import hw_shown
    from jevons.economics.unitcost.local import calibrated, with_layers
    from jevons.economics.unitcost.local_saved import FILE, Calibration, Point
    from jevons.engine.builds.choice import processor
    from jevons.engine.experts.routing import DENSE, STORED
    from jevons.engine.native import package
    from jevons.engine.native.apart import apart
    from jevons.engine.rates.calibrate import calibrate as measure

    served, load = _served(model, threads), hw_shown.waiting()
    package.find()
    click.echo(f"Measuring {served.path.name}, back end {served.variant}, threads: {served.threads} …", err=True)
    found = apart(measure, served.path, served.threads, variant=served.variant, kv_type=served.kv_type, quick=quick)
    rates = _rates(found.kernels)
    rates = with_layers(rates, _model(DENSE, rates), found.tiny_s, _model(STORED, rates), found.mixture_s)
    predicted = _model(served.path, rates)
    points = [
        Point(
            one.new,
            one.batch,
            one.kept,
            predicted.prefill(one.new, one.kept) if one.new > 1 else predicted.decode(one.batch, one.kept).seconds,
            one.seconds,
        )
        for one in found.points
    ]
    rates = calibrated(rates, [(point.new * point.batch, point.predicted_s, point.observed_s) for point in points])
    saved = Calibration(
        rates,
        served.path.name,
        processor(),
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        points,
        found.restore_token_s / predicted.architecture.cache_elements(1),
        load,
    )
    home = Home(home_path())
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(home.path / FILE, msgspec.json.format(msgspec.json.encode(saved)).decode())
    document = {**_document(_model(served.path, rates), served.path, saved), "file": str(home.path / FILE)}

    def people() -> None:
        _table(document)
        parts = ", ".join(f"{_phase(point)} {point.observed_s / point.predicted_s:.2f}" for point in points)
        tables.console.print(
            f"Observed : predicted by the operations alone: {parts}; taken: {rates.factor:.2f} for one conversation that is "
            f"continued, 1 for all else.",
            soft_wrap=True,
        )
        tables.console.print(f"Wrote {document['file']}.", markup=False, soft_wrap=True)

    show(json, document, people)


@click.command()
@MODEL
@click.option("--svg", type=NewFile(), help="Draw it, with the steps that were observed of this file.")
@as_json
def local(model: Path | None, svg: Path | None, json: bool) -> None:
    """Predict the local engine's speed with a file, by batch and context. MODEL: a GGUF file (default: the one that is served)."""
    path, predicted, saved = on_this_machine(model)
    document = _document(predicted, path, saved)
    show(json, document, lambda: _table(document))
    if svg is not None:
        from jevons.economics.unitcost.local_picture import picture

        observed = saved.points if path.name == saved.model else []
        write(svg, picture(predicted, path.name, BATCHES, NEW, observed))


@click.command("local-price")
@MODEL
@click.option(
    "--watts", type=click.FloatRange(0), help="While busy, at the wall. Default: as stated to `jevons hw measure`, else 30."
)
@click.option("--usd-per-kwh", type=click.FloatRange(0), help="Default: as stated to `jevons hw measure`, else 0.15.")
@click.option("--pue", type=click.FloatRange(1), default=1.0, show_default=True, help="What the room takes beside it; 1 at home.")
@click.option("--machine-usd", type=click.FloatRange(0), help="Default: as stated to `jevons hw measure`, else 1000.")
@click.option("--years", type=click.FloatRange(0, min_open=True), help="Default: as stated to `jevons hw measure`, else 4.")
@click.option(
    "--utilisation",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.25,
    show_default=True,
    help="Share of its time in which it makes tokens.",
)
@click.option("--turn", default="1000:800:100", show_default=True, metavar="PROMPT:REPEATED:OUTPUT", help="Tokens of a request.")
@click.option(
    "--batch", type=click.IntRange(1, 64), default=1, show_default=True, help="Conversations that are answered together."
)
@click.option("--name", default="*", show_default=True, help="Model in the price book: a name or a pattern.")
@click.option("--write", is_flag=True, help="Add the entry to JEVONS_HOME/prices.toml; else it is only shown.")
@as_json
def local_price(
    model: Path | None,
    watts: float | None,
    usd_per_kwh: float | None,
    pue: float,
    machine_usd: float | None,
    years: float | None,
    utilisation: float,
    turn: str,
    batch: int,
    name: str,
    write: bool,
    json: bool,
) -> None:
    """Price the local model by what its tokens take on this machine: from now on, and after every entry that is there.

    Example: jevons hw local-price --watts 65 --machine-usd 800 --write
    """
    from jevons.economics.unitcost.local_price import Terms, entry, prices, speed
    from jevons.economics.unitcost.local_saved import calibration
    from jevons.economics.unitcost.machine import load as measured

    saved, served = calibration(home_path()), _served(model, None)
    machine = measured(home_path())
    stated = machine.stated if machine is not None else Terms()
    terms = Terms(
        stated.watts if watts is None else watts,
        stated.usd_per_kwh if usd_per_kwh is None else usd_per_kwh,
        pue,
        stated.machine_usd if machine_usd is None else machine_usd,
        stated.years if years is None else years,
        utilisation,
    )
    asked = _turn(turn, batch)
    found = speed(_model(served.path, saved.rates), asked, saved.restore_element_s)
    quoted = prices(found, terms)
    now = datetime.now(UTC)
    said = (
        f"{served.path.name}, {saved.rates.threads} thread(s), batch {batch}, {turn} tokens: {found.prefill_tok_s:.0f} in/s, "
        f"{found.decode_tok_s:.0f} out/s; {terms.watts:g} W, ${terms.usd_per_kwh:g}/kWh, PUE {terms.pue:g}, ${terms.machine_usd:g} / "
        f"{terms.years:g} years at {terms.utilisation:.0%}; measured {saved.measured}"
    )
    text = entry(quoted, name, now.strftime("%Y-%m-%dT%H:%M:%SZ"), said)
    document = {
        "entry": text,
        "written": write,
        **_money(quoted, terms),
        "turn": asked._asdict(),
        "speed": found._asdict(),
        "measured": saved.measured,
    }
    file = home_path() / "prices.toml"
    if write:
        _append(file, text)

    def people() -> None:
        tables.console.print(text, markup=False, soft_wrap=True)
        after = (
            f"Added to {file}; a running Jevons uses it from its next start on."
            if write
            else f"Nothing was written. With --write it is added to {file}."
        )
        tables.console.print(after, markup=False, soft_wrap=True)

    show(json, document, people)


COMMANDS = (calibrate, local, local_price)


def on_this_machine(path: Path | None = None) -> tuple[Path, "LocalModel", "Calibration"]:
    """A file (default: the one that is served), its speed here, and what that was measured by. Raises UnknownFact, NativeError."""
    from jevons.economics.unitcost.local_saved import calibration

    saved, served = calibration(home_path()), _served(path, None)
    return served.path, _model(served.path, saved.rates), saved


def _served(path: Path | None, threads: int | None) -> Served:
    """What the configuration says, with another file or other threads. Raises NativeError where there is no model."""
    from jevons.engine.builds.build import BUILT_IN
    from jevons.engine.builds.exchange import look
    from jevons.engine.models import find_model
    from jevons.engine.native.package import NativeError
    from jevons.engine.settings import BUILD_FILE, default_threads, usable_cores

    home = Home(home_path())
    section = configuration(home.config if home.config.exists() else None).engine
    if path is None:
        packaged = find_model()
        if not section.model and packaged is None:
            raise NativeError("the packaged model is not installed; `jevons serve` installs it, or name a GGUF file")
        path = Path(section.model).expanduser() if section.model or packaged is None else packaged.path
    build = look(home.path / BUILD_FILE).build
    used = threads or section.threads or default_threads(usable_cores())
    return Served(path, used, section.kv_type, AVX2 if build == BUILT_IN else build)


def _rates(kernels: object) -> "Rates":
    from jevons.economics.unitcost.local import Rates

    return msgspec.convert(msgspec.to_builtins(kernels), Rates)


def _model(path: Path, rates: "Rates") -> "LocalModel":
    """Raises UnitCostError, NativeError for a file that is none."""
    from jevons.economics.unitcost.gguf_read import from_gguf
    from jevons.economics.unitcost.local import LocalModel
    from jevons.engine.gguf import NotGguf, header, tensors
    from jevons.engine.native.package import NativeError

    try:
        weights = tensors(path)
        return LocalModel(from_gguf(header(path), weights), weights, rates)
    except NotGguf as error:
        raise NativeError(str(error)) from None


def _turn(text: str, batch: int) -> "Turn":
    from jevons.economics.unitcost.local_price import Turn

    try:
        prompt, repeated, output = (int(part) for part in text.split(":"))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not PROMPT:REPEATED:OUTPUT, as 1000:800:100", param_hint="--turn") from None
    return Turn(prompt, repeated, output, batch)


def _money(quoted: "Prices", terms: "Terms") -> dict[str, Any]:
    return {
        "nusd_per_million": {kind: round(usd * NUSD_PER_USD) for kind, usd in quoted._asdict().items()},
        "nusd_per_busy_hour": round(terms.busy_second_usd() * 3600 * NUSD_PER_USD),
        "terms": {
            "watts": terms.watts,
            "nusd_per_kwh": round(terms.usd_per_kwh * NUSD_PER_USD),
            "pue": terms.pue,
            "machine_nusd": round(terms.machine_usd * NUSD_PER_USD),
            "years": terms.years,
            "utilisation": terms.utilisation,
        },
    }


def _append(file: Path, text: str) -> None:
    """Behind everything that the file says, if the whole can then be read. Raises BadOverride; the file is then as it was."""
    from jevons.meter.overrides import parse_overrides

    try:
        before = file.read_text("utf-8")
    except FileNotFoundError:
        before = ""
    whole = f"{before.rstrip()}\n\n{text}" if before.strip() else text
    parse_overrides(whole, str(file))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, whole)


def _document(model: "LocalModel", path: Path, saved: "Calibration") -> dict[str, Any]:
    takes = model.architecture.takes
    return {
        "model": path.name,
        "measured": saved.measured,
        "processor": saved.processor,
        "threads": saved.rates.threads,
        "back_end": saved.rates.variant,
        "kv_type": saved.rates.kv_type,
        "calibrated_with": saved.model,
        "factor": saved.rates.factor,
        "load": saved.load,
        "points": saved.points,
        "new_tokens": NEW,
        "kept": list(KEPT),
        "positions": model.architecture.positions,
        "prefill_tok_s": [model.prefill_tok_s(NEW, kept) if takes(kept + NEW) else None for kept in KEPT],
        "decode_tok_s": {
            str(batch): [model.decode_tok_s(batch, kept) if takes(kept + 1) else None for kept in KEPT] for batch in BATCHES
        },
    }


def _table(document: dict[str, Any]) -> None:
    from jevons.economics.unitcost.quiet import crowded
    from jevons.engine.settings import usable_cores

    tables.console.print(
        f"{document['model']}: tokens a second predicted, {document['threads']} thread(s), back end {document['back_end']}, "
        f"measured {document['measured']}",
        markup=False,
        soft_wrap=True,
    )
    table = tables.plain("tokens kept", *(f"{kept:,}" for kept in KEPT), title=None)
    table.add_row(f"{NEW} new tokens of a prompt", *(_rate(rate, 0) for rate in document["prefill_tok_s"]))
    for batch, rates in document["decode_tok_s"].items():
        together = "a token each of 1 conversation" if batch == "1" else f"of {batch} together"
        table.add_row(together, *(_rate(rate, 1) for rate in rates))
    tables.console.print(table)
    if None in (*document["prefill_tok_s"], *document["decode_tok_s"]["1"]):
        tables.say(f"–: the model takes {document['positions']:,} tokens in a sequence, by its file.")
    if others := crowded(document["load"], usable_cores(), "jevons hw calibrate"):
        tables.console.print(others, soft_wrap=True)


def _rate(rate: float | None, digits: int) -> str:
    return "–" if rate is None else f"{rate:,.{digits}f}"


def _phase(point: Any) -> str:
    return f"{point.new} tokens of a prompt" if point.new > 1 else f"batch {point.batch}"
