"""`jevons paradox`: unit price, volume, depth and bill as indices, and whether the paradox holds here."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jevons.cli import tables
from jevons.cli.options import Day, NewFile, as_json, show, write
from jevons.config import home_path
from jevons.core.money import short_usd
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.economics.paradox import Cost, Paradox
    from jevons.economics.periods import Per


@click.command(short_help="Tokens become cheaper: does the bill rise all the same?")
@click.option("--from", "from_ms", type=Day(), help="First UTC day; default: the ledger's first.")
@click.option("--to", "until_ms", type=Day(), help="UTC day after the last; default: today, which is not over yet.")
@click.option("--per", type=click.Choice(["day", "week", "month"]), help="Default: by the length of the time.")
@click.option(
    "--cost", type=click.Choice(["billed", "list"]), help="Default: billed; list where nothing was billed (a subscription)."
)
@click.option("--key", help="Only this key.")
@click.option("--team", help="Only this team.")
@click.option("--agent", help="Only this client program: claude-code, codex, …")
@click.option("--svg", type=NewFile(), help="Write the chart.")
@as_json
def paradox(
    from_ms: int | None, until_ms: int | None, per: "Per | None", cost: "Cost | None", key: str | None, team: str | None, agent: str | None,
    svg: Path | None, json: bool,
) -> None:  # fmt: skip
    """The price of a token, how many a task takes, how many tasks there are, and the bill: each as an index, the first period 100.

    Says in words whether the paradox holds here, and by what it is driven. docs/paradox.md says what each figure is.
    """
    from jevons.economics import paradox as economics
    from jevons.economics.paradox_shown import picture, sentences
    from jevons.economics.periods import Whose, day_of_ms, used

    first = day_of_ms(from_ms or 0)
    after = day_of_ms(until_ms if until_ms is not None else int(time.time() * 1000))
    if first >= after:
        raise click.UsageError("--from must lie before --to.")
    found = economics.paradox(used(Home(home_path()).ledger, first, after, per=per, whose=Whose(key, team, agent)), cost)
    if svg is not None:
        write(svg, picture(found))
    document = msgspec.to_builtins(found) | {"sentences": list(sentences(found))}
    show(json, document, lambda: _table(found, document["sentences"]))


def _table(found: "Paradox", sentences: list[str]) -> None:
    if not found.rows:
        tables.console.print(
            "Nothing was used in this time. `jevons import --local` brings in what your coding agents logged; `jevons demo` shows what this"
            " looks like on recorded traffic of others.",
            soft_wrap=True,
        )
        return
    for sentence in sentences:
        tables.console.print(sentence, markup=False)
    columns = ("bill", "price", "basket", "tokens", "tasks", "steps/task", "tokens/step", "a million", "bill of it", "frontier")
    table = tables.plain(found.per, *columns, title="\nIndices, the first = 100; bill, tokens and tasks for a day")
    for row in found.rows:
        one = row.index
        indices = (one.bill, one.unit_price, one.basket_price, one.tokens, one.tasks, one.steps_per_task, one.tokens_per_step)
        price = row.billed_nusd_per_mtok if found.cost == "billed" else row.list_nusd_per_mtok
        frontier = row.tiers.get("frontier")
        table.add_row(
            row.start,
            *("-" if value is None else f"{value:,.0f}" for value in indices),
            "-" if price is None else short_usd(price),
            short_usd(row.billed_nusd if found.cost == "billed" else row.list_nusd),
            f"{100 * frontier.of_tokens:.0f} %" if frontier else "0 %",
        )
    tables.whole(table)
