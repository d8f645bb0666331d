"""Documents as tables for people. What is shown here is what --json prints."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text, TextType

from jevons.cli.doctor import Finding, count
from jevons.core.money import format_usd
from jevons.meter.cost import DatedPrice

console = Console(highlight=False)
WIDTH_MAX = 1_000
"""Characters of a line that is not cut short."""
TEXT_WIDTH = 20
"""Characters that a column of text keeps at a narrow terminal; the rest wraps."""
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
    Console(highlight=False, width=max(console.width, _wanted(table).maximum)).print(table)


def fitting(table: Table, *least: str) -> None:
    """Print a table no wider than the terminal: texts and headers wrap, then columns go, of the headers `least` one after the other.

    A figure is never cut. What is left out is said; --json has it. Into a pipe or a file goes all of it, on whole lines.
    """
    if not console.is_terminal or _wanted(table).maximum <= console.width:
        whole(table)
        return
    for column in table.columns:
        if column.justify == "right":
            column.width = max(_wanted(column.header).minimum, *(_wanted(cell).maximum for cell in column.cells), 1)
        else:
            column.min_width = min(TEXT_WIDTH, max(_wanted(cell).maximum for cell in (column.header, *column.cells)))
            column.overflow = "fold"
    left_out = []
    for header in least:
        if _wanted(table).minimum <= console.width:
            break
        if any(column.header == header for column in table.columns):
            left_out.append(header)
            rows, table = table.rows, _Plain(*(column for column in table.columns if column.header != header), title=table.title)
            table.rows = rows
    console.print(table)
    if left_out:
        say(f"No room here for: {'; '.join(left_out)} (--json has all).")


def _wanted(shown: RenderableType) -> Measurement:
    """Its least and its whole width, at a terminal as wide as need be."""
    return Measurement.get(console, console.options.update(width=WIDTH_MAX), shown)


def say(text: str | Text) -> None:
    """A sentence, which is no markup: wrapped at a terminal, one line elsewhere."""
    console.print(Text(text) if isinstance(text, str) else text, soft_wrap=not console.is_terminal)


def printable(text: str) -> str:
    """Without signs that steer a terminal: clients choose names of agents, models and tools."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


class _Plain(Table):
    """Its cells are text, no markup: an agent may be called "[/x]"."""

    def __init__(self, *columns: Column, title: TextType | None) -> None:
        super().__init__(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")

    def add_row(self, *cells: Any, **settings: Any) -> None:
        super().add_row(*[Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells], **settings)


def plain(first: str, *columns: str, title: str | None) -> Table:
    table = _Plain(title=title)
    table.add_column(first)
    texts = {"key", "agent", "model", "how", "begins", "made"}
    for column in columns:
        table.add_column(column, justify="left" if column in texts else "right")
    return table
