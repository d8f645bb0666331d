"""`jevons energy`: watt-hours and grams of CO2-equivalent of recorded calls, as intervals, beside another's estimate."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jevons.cli import tables
from jevons.cli.doctor import count
from jevons.cli.options import Day, NewFile, as_json, check_days, check_key, show, write
from jevons.config import home_path
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.economics.energy.report import By, Energy, Row

WAYS = ("model", "org", "team", "key", "agent", "day", "run", "call")


@click.command(short_help="Energy and carbon of your calls, as intervals.")
@click.argument("request", required=False)
@click.option("--run", help="Only this run, with the runs that it started.")
@click.option("--key", help="Only this key.")
@click.option("--by", type=click.Choice(WAYS), help="Default: model; call for one request.")
@click.option("--from", "since_ms", type=Day(), help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), help="UTC day after the last.")
@click.option("--grid", "grid_name", default="world", show_default=True, help="Whose electricity it is: us, ireland, se, …")
@click.option("--grids", "list_grids", is_flag=True, help="List the grids and end.")
@click.option("--svg", type=NewFile(), help="Write the picture.")
@as_json
def energy(
    request: str | None, run: str | None, key: str | None, by: "By | None", since_ms: int | None, until_ms: int | None,
    grid_name: str, list_grids: bool, svg: Path | None, json: bool,
) -> None:  # fmt: skip
    """Watt-hours and grams of CO2-equivalent of your calls, at 5, 50 and 95 %; of one REQUEST, a run, or sums.

    All of it is estimated: no provider says what a call took. docs/energy.md has the method, its sources and its limits.
    """
    if list_grids:
        _grids(json)
        return
    from jevons.economics.energy import report
    from jevons.economics.energy.facts import stated
    from jevons.economics.unitcost.machine import load

    home = Home(home_path())
    if request is not None and (run, key, since_ms, until_ms) != (None, None, None, None):
        raise click.UsageError("REQUEST names the calls; --run, --key, --from and --to go without it.")
    check_days(since_ms, until_ms)
    check_key(home.ledger, key)
    machine = load(home.path)
    found = report.energy(
        home.ledger,
        by=by or ("call" if request else "model"),
        since_ms=since_ms or 0,
        until_ms=until_ms,
        key=key,
        run=run,
        request=request,
        in_grid=grid_name,
        own=stated(home.path),
        watts=machine.busy_watts if machine is not None else None,
    )
    show(json, msgspec.to_builtins(found), lambda: _table(found))
    if svg is not None:
        _draw(svg, found)


def _draw(file: Path, found: "Energy") -> None:
    from jevons.economics.energy.picture import picture

    drawn = picture(found)
    if drawn is None:
        raise click.ClickException("There is nothing to draw: no call of a known model in this time.")
    write(file, drawn)


def _table(found: "Energy") -> None:
    if not found.rows:
        tables.say("No call in this time. `jevons bill` shows what is on record.")
        return
    table = tables.plain(
        found.by, "calls", "output", "Wh", "5 to 95 %", "gCO2e", "5 to 95 %", "EcoLogits Wh", "its gCO2e", title=None
    )
    for row in [*found.rows, found] if len(found.rows) > 1 else found.rows:
        table.add_row("all" if row is found else row.label or "(not told)", *_cells(row))
    tables.fitting(table, "its gCO2e", "EcoLogits Wh", "output", "calls")
    grams = found.grid_gco2e_per_kwh
    tables.say(
        f"Estimated, all of it. {found.grid}: {grams[0]:.0f} to {grams[2]:.0f} gCO2e/kWh, location-based; use alone, without making the hardware."
    )
    _others(found)
    for missing in found.unknown:
        tables.say(
            f"Unknown: {missing.model}, {count(missing.calls, 'call')}, {count(missing.tokens, 'token')}, in no sum. {missing.why}"
        )


def _others(found: "Energy") -> None:
    from jevons.economics.energy.beside import MISSING

    if found.ecologits is None:
        tables.say(f"{MISSING}.")
    elif found.ecologits_calls:
        total = _span(found.ecologits_gco2e_total_low, found.ecologits_gco2e_total_high)
        part = "all" if found.ecologits_calls == found.calls else f"{found.ecologits_calls:,} of {found.calls:,}"
        tables.say(f"EcoLogits {found.ecologits} has {part} calls; with making the hardware it says {total} gCO2e.")
    else:
        tables.say(f"EcoLogits {found.ecologits} has none of these models.")


def _cells(row: "Row") -> list[str]:
    known = row.calls > row.unknown_calls
    ours = (
        [_short(row.wh), _span(row.wh_low, row.wh_high), _short(row.gco2e), _span(row.gco2e_low, row.gco2e_high)]
        if known
        else ["unknown", "", "", ""]
    )
    ours[0] += " +?" if known and row.unknown_calls else ""
    theirs = [_span(row.ecologits_wh_low, row.ecologits_wh_high), _span(row.ecologits_gco2e_low, row.ecologits_gco2e_high)]
    return [f"{row.calls:,}", f"{row.output:,}", *ours, *theirs]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return _short(low) if _short(low) == _short(high) else f"{_short(low)} to {_short(high)}"


def _grids(json: bool) -> None:
    from jevons.economics.energy.grids import grids

    document = {
        "grids": [
            {
                "name": one.name,
                "aliases": one.aliases,
                "label": one.label,
                "gco2e_per_kwh": list(one.g_per_kwh),
                "source": one.source,
            }
            for one in grids()
        ]
    }

    def table() -> None:
        shown = tables.plain("grid", "gCO2e/kWh", "5 to 95 %", "where", "source", title=None)
        for text in shown.columns[3:]:
            text.justify = "left"
        for one in grids():
            low, middle, high = one.g_per_kwh
            shown.add_row(one.name, f"{middle:.0f}", f"{low:.0f} to {high:.0f}", one.label, one.source)
        tables.fitting(shown, "source")

    show(json, document, table)
