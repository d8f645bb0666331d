"""`jevons runs`: sessions of agents as trees, with what each cost. Reads the ledger file by itself."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from jevons.cli.doctor import count
from jevons.cli.options import as_json, show
from jevons.cli.tables import console, plain, whole
from jevons.config import home_path
from jevons.core.money import format_usd
from jevons.ledger import runs as log
from jevons.ledger.errors import Unknown
from jevons.ledger.home import Home

RUNS_SHOWN = 30
CALLS_SHOWN = 30

Record = dict[str, Any]


@click.command()
@click.argument("run", required=False)
@click.option("--key", help="Only runs of this key.")
@click.option("--agent", help="Only runs of this client program: claude-code, codex, …")
@click.option("--limit", "rows", type=click.IntRange(1), default=RUNS_SHOWN, show_default=True, help="How many of the latest.")
@as_json
def runs(run: str | None, key: str | None, agent: str | None, rows: int, json: bool) -> None:
    """The latest runs as trees: steps and cost, children included. With RUN (or KEY/RUN): that one, call by call.

    Example: jevons runs --agent claude-code
    """
    ledger = Home(home_path()).ledger
    if run is not None:
        one = _found(ledger, run, key)
        show(json, one, lambda: _one(one))
    else:
        found = log.runs(ledger, key=key, agent=agent, limit=rows)
        show(json, {"runs": found}, lambda: _many(found))


def _found(ledger: Path, name: str, key: str | None) -> Record:
    """The run of this label, else the one that is written KEY/RUN, as in `jevons kill`; labels may have slashes of their own."""
    try:
        return log.run(ledger, name, key)
    except Unknown:
        owner, _, label = name.partition("/")
        if key is None and label:
            with suppress(Unknown):
                return log.run(ledger, label, owner)
        raise


def _many(found: list[Record]) -> None:
    if not found:
        console.print("No run yet. Agents name theirs by themselves; others are known by their history.", soft_wrap=True)
        return
    table = plain("run", "key", "agent", "steps", "tokens in", "out", "cost", "begins", "lasted", "how", title=None)
    for one in found:
        table.add_row(*_row(one))
    whole(table)
    if any(one["inferred"] for one in found):
        console.print("? = the client named no run; it was found by its history.", style="dim")


def _row(one: Record) -> list[Text | str]:
    name = Text("  " * (one["depth"] - 1) + one["run_id"] + (" ?" if one["inferred"] else ""))
    estimated = " ~" if one["estimated_nusd"] else ""
    begun = datetime.fromtimestamp(one["first_ms"] / 1000, UTC)
    return [
        name,
        one["key"],
        one["agent"] or "-",
        f"{one['tree_steps']:,}",
        f"{one['tree_input_tokens']:,}",
        f"{one['tree_output_tokens']:,}",
        format_usd(one["tree_billed_nusd"]) + estimated,
        f"{begun:%m-%d %H:%M}",
        _span((one["last_ms"] - one["first_ms"]) // 1000),
        f"{count(one['tree_open_calls'], 'call')} open" if one["tree_open_calls"] else _ago(one["last_ms"]),
    ]


def _one(one: Record) -> None:
    _many([one, *one["runs"]])
    console.print(Text(f"Latest calls of {one['run_id']}:"), soft_wrap=True)
    table = plain("call", "model", "tokens in", "out", "cost", "how", title=None)
    for call in one["calls"][-CALLS_SHOWN:]:
        mark = " ~" if call["estimate"] else ""
        table.add_row(
            f"{datetime.fromtimestamp(call['admitted_ms'] / 1000, UTC):%H:%M:%S}",
            f"{call['upstream']}/{call['model']}",
            f"{call['input_tokens']:,}",
            f"{call['output_tokens']:,}",
            format_usd(call["billed_nusd"]) + mark,
            call["outcome"],
        )
    whole(table)


def _span(seconds: int) -> str:
    """A length of time in its two largest units: "2 h 5 min"."""
    for size, name, smaller, small_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {name} {seconds % size // smaller} {small_name}"
    return f"{seconds} s"


def _ago(at_ms: int) -> str:
    return f"{_span(max(0, int(time.time()) - at_ms // 1000))} ago"
