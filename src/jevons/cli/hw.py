"""`jevons hw`: the catalogue of parts that make tokens, one part with the source of every figure, and this machine measured."""

from pathlib import Path

import click

from jevons.cli.hw_local import COMMANDS
from jevons.cli.options import NewFile, as_json, show
from jevons.config import home_path
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home

PRECISIONS = ("bf16", "fp8", "fp4", "int8", "f32")


@click.group(invoke_without_command=True, short_help="Hardware: what each part can do and costs; this machine measured.")
@as_json
@click.pass_context
def hw(context: click.Context, json: bool) -> None:
    """What was measured of this machine. `jevons hw measure` measures it; `jevons hw list` shows the parts it stands beside.

    Example: jevons hw show H100
    """
    if context.invoked_subcommand is None:
        from jevons.cli import hw_shown
        from jevons.economics.unitcost.machine import load

        found = load(home_path())
        show(json, hw_shown.document(found), lambda: hw_shown.machine(found))


for command in COMMANDS:
    hw.add_command(command)


@hw.command("list")
@click.option("--precision", type=click.Choice(PRECISIONS), default="bf16", show_default=True, help="Of the picture.")
@click.option("--svg", type=NewFile(), help="Write the picture of all parts to this file.")
@click.option("--all", "every", is_flag=True, help="All columns; wider than a terminal.")
@click.option("--markdown", is_flag=True, help="As the tables of docs/hardware.md.")
@as_json
def show_list(precision: str, svg: Path | None, every: bool, markdown: bool, json: bool) -> None:
    """All parts: throughput, memory, bandwidth, power, price. "unknown" is what nobody published; nothing is filled in."""
    from jevons.cli import hw_shown
    from jevons.economics.unitcost.hardware import parts
    from jevons.economics.unitcost.roofline_picture import picture

    found = parts(home_path())
    if markdown:
        click.echo(hw_shown.markdown(found))
    else:
        show(json, {"parts": [part.as_dict() for part in found]}, lambda: hw_shown.parts(found, every))
    if svg is not None:
        _write(svg, picture(found, precision))


@hw.command("show")
@click.argument("name", metavar="PART")
@as_json
def show_part(name: str, json: bool) -> None:
    """One part: every figure with its source, and what sources disagree on. PART: a name as people write it."""
    from jevons.cli import hw_shown
    from jevons.economics.unitcost.hardware import part

    found = part(name, home_path())
    show(json, {**found.as_dict(), "derived": hw_shown.derived(found)}, lambda: hw_shown.part(found))


@hw.command()
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: all cores. One thread is measured too.")
@click.option("--quick", is_flag=True, help="Fewer types and shorter rounds: ten seconds, and rougher.")
@click.option(
    "--watts", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Stated: at the wall, busy."
)
@click.option("--usd-per-kwh", type=click.FloatRange(0), default=0.15, show_default=True, help="Stated.")
@click.option(
    "--machine-usd",
    type=click.FloatRange(0, min_open=True),
    default=1000.0,
    show_default=True,
    help="Stated: what it cost to buy.",
)
@click.option(
    "--years", type=click.FloatRange(0, min_open=True), default=4.0, show_default=True, help="Stated: until it is replaced."
)
@as_json
def measure(
    threads: int | None, quick: bool, watts: float, usd_per_kwh: float, machine_usd: float, years: float, json: bool
) -> None:
    """Measure this machine: bandwidth of memory and cache, and matrix products in every type that weights are stored in.

    It takes about half a minute, and wants the machine for itself. What is found is kept in JEVONS_HOME/machine.json.

    Example: jevons hw measure --watts 65 --machine-usd 800
    """
    from jevons.cli import hw_shown
    from jevons.cli.hw_measure import measured
    from jevons.economics.unitcost.machine import Stated

    stated = Stated(watts=watts, usd_per_kwh=usd_per_kwh, machine_usd=machine_usd, years=years)
    found = measured(threads, quick, stated)
    file = found.save(Home(home_path()).path)
    show(json, hw_shown.document(found), lambda: hw_shown.machine(found))
    click.echo(f"Wrote {file}.", err=True)


def _write(file: Path, picture: str) -> None:
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"The picture cannot be written to {file} ({error.strerror}).") from None
