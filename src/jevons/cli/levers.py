"""`jevons levers`: what each way to a cheaper token takes off its cost on this machine, measured now, and each one's share of the fall."""

import importlib
from pathlib import Path
from typing import Any

import click

from jevons.cli import levers_shown
from jevons.cli.options import NewFile, as_json, show, write
from jevons.config import home_path
from jevons.ledger.home import Home


@click.command(short_help="What makes a local token cheap here, and by how much.")
@click.option(
    "--reference", type=click.Path(path_type=Path), help="Weights before; default: the engine's model, as half-precision numbers."
)
@click.option("--quantised", type=click.Path(path_type=Path), help="Weights after; default: the engine's model.")
@click.option("--text", "text_file", type=click.Path(path_type=Path), help="What to read; default: a packaged sample.")
@click.option(
    "--turn", default="1000:800:100", show_default=True, metavar="PROMPT:REPEATED:OUTPUT", help="Tokens of one turn of an agent."
)
@click.option("--usd-per-hour", help="Price of an hour of the busy machine; default: as prices of the local model assume.")
@click.option(
    "--watts",
    type=click.FloatRange(0, min_open=True, max=1e6),
    default=30.0,
    show_default=True,
    help="Assumed where the processor's own counters cannot be read.",
)
@click.option(
    "--kld-max",
    type=click.FloatRange(0, min_open=True, max=10),
    default=0.02,
    show_default=True,
    help="Nats per token that compressing parked conversations may cost.",
)
@click.option("--threads", type=click.IntRange(1, 512), default=1, show_default=True)
@click.option("--quick", is_flag=True, help="One short round: seconds instead of minutes, and rougher.")
@click.option("--svg", type=NewFile(), help="Write the picture to this file.")
@as_json
def levers(json: bool, svg: Path | None, **options: Any) -> None:
    """Measure what quantised weights, batching, a kept prefix and compressed KV each do on this machine, and a mixture of experts beside
    its dense twin. docs/levers.md says what each figure is.

    Example: jevons levers --quick
    """
    found = importlib.import_module("jevons.cli.levers_measured").report(Home(home_path()), **options)
    show(json, found, lambda: levers_shown.table(found))
    if svg is not None:
        write(svg, levers_shown.picture(found))
