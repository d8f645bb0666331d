"""`jevons forecast`: where the bill goes, as a table, a document or pictures."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_origin

import click
import msgspec

from jevons.cli.operator import Operator
from jevons.cli.options import Dollars, NewFile, as_json, show, write
from jevons.config import home_path
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.economics.forecast.document import Forecast
    from jevons.economics.forecast.exhaustion import Per
    from jevons.economics.frames import Cost

MONTHS_MAX = 60
"""Beyond five years it would be priors alone."""
PATHS_MIN, PATHS_MAX = 200, 20_000
ACCOUNTS_MAX = 100
"""Of each limit: the fullest."""
NOTHING = "Nothing is on record before today, so there is nothing to continue. `jevons import --local` brings in what your coding agents logged."


@click.command(short_help="Where the bill goes: a fan of the next months, levers, scenarios, budgets.")
@click.option(
    "--months", type=click.IntRange(1, MONTHS_MAX), default=12, show_default=True, help="Whole months after the running one."
)
@click.option(
    "--lever", "levers", multiple=True, help="cache=+20, route=30%[:MODEL], steps=50 or swap=MODEL_A:MODEL_B; repeatable."
)
@click.option(
    "--scenario", "scenarios", multiple=True,
    help="gartner-2030, rubin-10x, none, or your own: cost=0.5,by=2027-12-31[,from=DAY][,depth=2:6][,pass=0.5]. Default: the first two.",
)  # fmt: skip
@click.option(
    "--budget", "budget_nusd", type=Dollars(), help="A budget for all that is on record; limits are looked at without asking."
)
@click.option("--per", type=click.Choice(["week", "month", "year", "total"]), help="Of --budget.  [default: month]")
@click.option("--cost", type=click.Choice(["billed", "list"]), help="Default: billed; list where nothing was billed.")
@click.option("--paths", type=click.IntRange(PATHS_MIN, PATHS_MAX), default=2_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1865, show_default=True)
@click.option("--svg", type=NewFile(), help="Write the fan.")
@click.option("--levers-svg", type=NewFile(), help="Write what the levers do.")
@as_json
def forecast(
    months: int, levers: tuple[str, ...], scenarios: tuple[str, ...], budget_nusd: int | None, per: str | None, cost: str | None, paths: int,
    seed: int, svg: Path | None, levers_svg: Path | None, json: bool,
) -> None:  # fmt: skip
    """Where the bill goes, by history as far as it is long, and by stated priors beyond. Every figure of it is an estimate.

    The formula is that of `jevons explain`: tasks, steps a task, tokens a step, prices. docs/forecast.md says how it is made.

    Example: jevons forecast --lever cache=+20 --lever route=30% --budget 500
    """
    from jevons.cli import forecast_tables as tables
    from jevons.economics.forecast.document import Forecast
    from jevons.economics.forecast.priors import priors
    from jevons.economics.forecast.report import Own
    from jevons.economics.forecast.report import forecast as work_out
    from jevons.meter.pricebook import open_book

    if budget_nusd is not None and budget_nusd <= 0:
        raise click.BadParameter("A budget is more than nothing; write dollars, as 500 or 49.90.", param_hint="--budget")
    if per is not None and budget_nusd is None:
        raise click.UsageError("--per is of a budget: --budget 500 --per week.")
    home = Home(home_path())
    wanted = [name for name in scenarios if name != "none"] if scenarios else list(priors().scenario)
    found = work_out(
        home.ledger, months, today=datetime.now(UTC).date(), book=open_book(home.path), standing=_standing(home),
        budget=None if budget_nusd is None else Own(budget_nusd, cast("Per", per or "month")), levers=levers, scenarios=wanted,
        cost=cast("Cost | None", cost), paths=paths, seed=seed,
    )  # fmt: skip
    if found is None:
        empty: dict[str, Any] = {
            field.name: [] if get_origin(field.type) is tuple else None for field in msgspec.structs.fields(Forecast)
        }
        show(json, {**empty, "estimated": True, "notes": [NOTHING]}, lambda: click.echo(NOTHING))
        return
    show(json, msgspec.to_builtins(found), lambda: tables.forecast(found))
    _draw(found, svg, levers_svg)


def _standing(home: Home) -> dict[str, Any] | None:
    """How limits stand; None without a ledger (then there is nothing to forecast either)."""
    return Operator(home).limits(ACCOUNTS_MAX) if home.ledger.exists() else None


def _draw(found: "Forecast", svg: Path | None, levers_svg: Path | None) -> None:
    from jevons.economics.forecast import fan

    for file, picture in ((svg, fan.fan), (levers_svg, fan.bars)):
        if file is not None:
            write(file, picture(found))
