"""Documents as tables for people. What is shown here is what --json prints."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from jevons.cli.doctor import Finding, count
from jevons.core.money import format_usd
from jevons.meter.cost import DatedPrice

console = Console(highlight=False)
WIDTH_MAX = 1_000
"""Characters of a line that is not cut short."""
MARKS = {"good": "[green]✓[/]", "bad": "[red]✗[/]", "note": "[yellow]•[/]"}


def bill(document: dict[str, Any], by: str) -> None:
    rows = document["rows"]
    if not rows:
        console.print("Nothing was spent in this time. `jevons top` shows what is going on now.")
        return
    table = plain(by, "calls", "input", "cached", "written", "output", "list", "billed", title=None)
    for row in rows:
        written = row["cache_write_5m"] + row["cache_write_1h"]
        counts = [_calls(row), row["input"], row["cache_read"], written, row["output"]]
        name = row[by] if row[by] is not None else "(no run named)"
        table.add_row(str(name), *(f"{n:,}" for n in counts), format_usd(row["list_nusd"]), format_usd(row["billed_nusd"]))
    whole(table)
    if document["adjustments_nusd"]:
        console.print(f"Adjustments: {format_usd(document['adjustments_nusd'])}")
    estimated = f" (of it estimated: {format_usd(document['estimated_nusd'])})" if document["estimated_nusd"] else ""
    console.print(f"Total: [bold]{format_usd(document['total_nusd'])}[/]{estimated}, {count(sum(map(_calls, rows)), 'call')}")


def _calls(row: dict[str, Any]) -> int:
    """An imported entry may stand for many."""
    return max(int(row["entries"]), int(row["steps"]))


def keys(found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("No keys yet. `jevons keys create NAME` makes one.")
        return
    table = plain("key", "begins", "limit", "spent", "held now", "overrun", "made", title=None)
    for key in found:
        name = Text.assemble((key["name"], "strike"), " (revoked)") if key["revoked_ms"] else key["name"]
        if key["settings"].get("source"):
            name = f"{key['name']} (imported)"
        limit = "none" if key["limit_nusd"] is None else format_usd(key["limit_nusd"])
        money = [format_usd(key[column]) for column in ("posted_nusd", "held_nusd", "overrun_nusd")]
        table.add_row(
            name, key["prefix"] + "…", limit, *money, f"{datetime.fromtimestamp(key['created_ms'] / 1000, UTC):%Y-%m-%d}"
        )
    console.print(table)


def now(picture: dict[str, Any]) -> None:
    console.print(top_table(picture))


def top_table(picture: dict[str, Any]) -> Table:
    """Open calls above, the latest entries below, today's total in the title."""
    spent = f"today {format_usd(picture['today_nusd'])} in {count(picture['today_entries'], 'call')}"
    title = f"{spent} · held {format_usd(picture['held_nusd'])} in {count(len(picture['holds']), 'open call')}"
    table = plain("", "key", "model", "tokens in", "out", "cost", "how", title=title)
    for hold in picture["holds"][-20:]:
        table.add_row(
            Text("open", "yellow"),
            hold["key_name"],
            f"{hold['upstream']}/{hold['target']}",
            f"≤{hold['input_tokens']:,}",
            f"≤{hold['output_tokens']:,}",
            f"≤{format_usd(hold['held_nusd'])}",
            "",
        )
    for entry in picture["entries"]:
        inputs = entry["input"] + entry["cache_read"] + entry["cache_write_5m"] + entry["cache_write_1h"]
        mark = " ~" if entry["estimate"] else ""
        when = f"{datetime.fromtimestamp(entry['settled_ms'] / 1000, UTC):%H:%M:%S}"
        table.add_row(
            when,
            entry["key_name"],
            f"{entry['upstream']}/{entry['target']}",
            f"{inputs:,}",
            f"{entry['output']:,}",
            format_usd(entry["billed_nusd"]) + mark,
            entry["outcome"],
        )
    if not picture["holds"] and not picture["entries"]:
        table.add_row("", "nothing yet", "", "", "", "", "")
    return table


def tokens(document: dict[str, Any]) -> None:
    shown = "|".join(piece["text"].replace("\n", "⏎") for piece in document["pieces"])
    console.print(shown, markup=False, soft_wrap=True)
    console.print(f"{document['tokens']:,} tokens of {document['characters']:,} characters ({document['encoding']})")


def prices(found: tuple[DatedPrice, ...]) -> None:
    for price in found:
        when = ", ".join([price.applies, *(f"if {name}={value}" for name, value in price.context.items())])
        console.print(f"{price.row}   {when}{'' if price.active else ' (not now)'}", markup=False, soft_wrap=True)
        if not price.rates:
            console.print("  no rates of its own" if price.context else "  unknown: no rate is stated")
        for kind, rate in price.rates.items():
            console.print(f"  {kind:<16} {rate}", markup=False, soft_wrap=True)


def findings(found: list[Finding]) -> None:
    for finding in found:
        console.print(f"{MARKS[finding.verdict]} {finding.subject}: ", end="")
        console.print(finding.text, markup=False, soft_wrap=True)


def whole(table: Table) -> None:
    """Print a table with nothing cut short, however narrow the terminal: names in it are there to be copied."""
    wanted = Measurement.get(console, console.options.update(width=WIDTH_MAX), table).maximum
    Console(highlight=False, width=max(console.width, wanted)).print(table)


def printable(text: str) -> str:
    """Without signs that steer a terminal: clients choose names of agents, models and tools."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


class _Plain(Table):
    """Its cells are text, no markup: an agent may be called "[/x]"."""

    def add_row(self, *cells: Any, **settings: Any) -> None:
        super().add_row(*[Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells], **settings)


def plain(first: str, *columns: str, title: str | None) -> Table:
    table = _Plain(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    texts = {"key", "agent", "model", "how", "begins", "made"}
    for column in columns:
        table.add_column(column, justify="left" if column in texts else "right")
    return table
