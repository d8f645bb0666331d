"""`jevons build-or-buy`: a month of what the ledger holds, at APIs, at a host of an open model, rented, owned, and here."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from jevons.cli import tables
from jevons.cli.options import DollarSpread, NewFile, Real, as_json, check_key, show, write
from jevons.config import home_path
from jevons.core.money import short_usd
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.ledger.rollup import DAY_MS

if TYPE_CHECKING:
    from jevons.economics.break_even import BreakEven
    from jevons.economics.build_or_buy import Comparison
    from jevons.economics.ways import Here
    from jevons.economics.workload import Workload


@click.command("build-or-buy", short_help="A month of your work at an API, rented, owned, or here.")
@click.option("--model", "name", required=True, help="The open model that would do the work.")
@click.option("--on", "part_name", required=True, help="The part that it would run on; `jevons hw list` shows all.")
@click.option("--precision", help="Of its weights. Default: 16 bits, or what its maker publishes.")
@click.option("--days", type=click.IntRange(1, 3_660), default=30, show_default=True, help="UTC days of the ledger, up to today.")
@click.option("--key", help="Only this key's calls.")
@click.option("--agent", help="Only this agent's.")
@click.option("--of", "of_model", metavar="PATTERN", help="Only calls of models that match, as 'anthropic/*' or 'gpt-5*'.")
@click.option("--floor", type=Real(0, 10_000), default=20.0, show_default=True, help="Tokens/s that each user sees at least.")
@click.option(
    "--usd-per-hour", type=DollarSpread(), help="Rent of one device, USD or LOW:TYPICAL:HIGH. Default: quotes of the catalogue."
)
@click.option("--purchase-usd", type=Real(0, min_open=True), help="Price of one device with its share of the server.")
@click.option("--years", type=Real(0.5, 20), default=4.0, show_default=True, help="Over which it is written off.")
@click.option("--electricity", type=Real(0, 10), default=0.08, show_default=True, help="$/kWh.")
@click.option("--pue", type=Real(1, 5), default=1.2, show_default=True, help="Power of the building over its computers'.")
@click.option("--busiest-over-mean", "uneven", type=Real(1, 1_000), help="Default: as the ledger's hours have it.")
@click.option("--svg", type=NewFile(), help="Write the picture.")
@as_json
def build_or_buy(
    name: str, part_name: str, precision: str | None, days: int, key: str | None, agent: str | None, of_model: str | None, floor: float,
    usd_per_hour: tuple[float, float, float] | None, purchase_usd: float | None, years: float, electricity: float, pue: float,
    uneven: float | None, svg: Path | None, json: bool,
) -> None:  # fmt: skip
    """What a month of the ledger's work costs bought and built, and from how many tokens a month on building is cheaper.

    Sums are of the ledger's rows; a month is projected from them. The open model is another model than those that did the work: what is
    compared is the price of as many tokens. docs/build-or-buy.md says how each figure comes about.

    Example: jevons build-or-buy --model gpt-oss-120b --on H100-SXM-80GB
    """
    from jevons.economics import build_or_buy as economics
    from jevons.economics.build_or_buy_picture import picture
    from jevons.economics.unitcost.cost import Owning, offers
    from jevons.economics.unitcost.efficiency import shipped
    from jevons.economics.unitcost.hardware import find, parts
    from jevons.economics.workload import workload
    from jevons.meter.pricebook import open_book

    home = Home(home_path())
    check_key(home.ledger, key)
    until_ms = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS
    work = workload(home.ledger, until_ms - days * DAY_MS, until_ms, key=key, agent=agent, model=of_model)
    if work is None:
        raise LedgerError(_empty(days, agent, of_model))
    among = parts(home.path)
    part = find(part_name, among)
    model, names = economics.model_of(name, precision)
    terms = Owning(years=years, electricity_usd_kwh=electricity, pue=pue)
    rent, own = offers(part, among, usd_per_hour, purchase_usd, terms)
    found = economics.compare(
        work, model, part, shipped(), rented=rent,
        owned=own, here=_here(home.path, work, floor),
        book=open_book(home.path), names=names, floor_tok_s=floor, uneven=uneven, terms=terms,
    )  # fmt: skip
    show(json, found.document(), lambda: _table(found))
    if svg is not None:
        write(svg, picture(found))


def _empty(days: int, agent: str | None, of_model: str | None) -> str:
    if agent is None and of_model is None:
        return f"The ledger has no calls with tokens in the last {days} days. `jevons import --local` reads logs you have; or try --days."
    return f"No call with tokens in the last {days} days is of that agent or model; `jevons bill --by model` shows what was used."


def _here(home: Path, work: "Workload", floor: float) -> "Here | str":
    """The model that is served on this machine, as `jevons hw calibrate` found it; or what is missing."""
    from jevons.cli.hw_local import on_this_machine
    from jevons.economics import build_or_buy as economics
    from jevons.economics.unitcost.errors import UnitCostError
    from jevons.economics.unitcost.machine import load
    from jevons.engine.native.package import NativeError

    try:
        path, model, saved = on_this_machine()
        return economics.on_this_machine(path.stem, model, saved, load(home), work, floor)
    except (UnitCostError, NativeError) as error:
        return str(error)


def _table(found: "Comparison") -> None:
    from jevons.economics.build_or_buy_picture import volume
    from jevons.economics.ways import per_million

    say, work, on = tables.say, found.work, found.placed.on
    tokens = work.tokens_a_month
    say(
        Text.from_markup(
            f"{work.sums.requests:,} calls in {work.days:.0f} days: {work.sums.computed:,} tokens computed, {work.sums.cached:,} cached, "
            f"{work.sums.output:,} written; [bold]{volume(tokens)} tokens a month[/]."
        )
    )
    table = tables.plain("", "a month", "90 %", "a million", "tokens/s, user", "devices", "busy", title=None)
    for way in found.ways:
        if way.monthly is None:
            table.add_row(way.title, "", "", "", "", "", "")
            continue
        number = f"{way.replicas[0].needed(tokens) * way.replicas[0].devices}" if way.replicas else ""
        table.add_row(
            way.title, short_usd(way.monthly.mid), _spread(way.monthly.low, way.monthly.high), short_usd(per_million(way.monthly, tokens).mid),
            "" if way.tok_s_user is None else f"{way.tok_s_user:,.0f}", number, "" if way.utilisation is None else _share(way.utilisation),
        )  # fmt: skip
    tables.fitting(table, "busy", "a million", "tokens/s, user", "devices")
    _crossings(found)
    model, speed = found.placed.model, found.placed.speed
    say(f"A replica: {model.name}, {on.devices} x {on.part.name}, up to {speed.batch:,.0f} requests at once.")
    for way in found.ways:
        say(f"{way.title}: {way.says}.")
    if found.electricity is not None:
        nusd, of, terms = found.electricity
        whose = (
            "with its share of server and network"
            if of == "computers"
            else "the device alone: what its server draws is not known"
        )
        say(
            f"Electricity alone: {short_usd(nusd)} a million tokens on {on.part.name}, {whose}, at ${terms.electricity_usd_kwh:g}/kWh and a PUE "
            f"of {terms.pue:g}."
        )
    for note in found.notes:
        say(note)


def _crossings(found: "Comparison") -> None:
    if not found.crossings:
        return
    table = tables.plain("first cheaper at, tokens a month", "", "90 %", "times now", "never", "for good from", title="")
    for one in found.crossings:
        table.add_row(
            f"{found.way(one.build).title}, against {found.way(one.buy).title}", *_volumes(one, found.work.tokens_a_month)
        )
    tables.fitting(table, "times now", "never", "for good from")


def _volumes(one: "BreakEven", now: float) -> tuple[str, ...]:
    from jevons.economics.build_or_buy_picture import volume

    if one.tokens is None:
        return "never", "", "", _share(one.never), ""
    high = "never" if one.tokens.high == float("inf") else volume(one.tokens.high)
    good = "" if one.for_good is None else volume(one.for_good)
    return volume(one.tokens.mid), f"{volume(one.tokens.low)} to {high}", f"{one.tokens.mid / now:,.1f}", _share(one.never), good


def _spread(low: int, high: int) -> str:
    return "" if low == high else f"{short_usd(low)} to {short_usd(high)}"


def _share(of: float) -> str:
    return f"{100 * of:.1f} %" if 0 < of < 0.1 else f"{100 * of:.0f} %"
