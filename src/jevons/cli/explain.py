"""`jevons explain`: why the bill changed, as a table, a document, rows or a picture."""

import csv
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jevons.cli import tables
from jevons.cli.options import Day, NewFile, as_json, show, write
from jevons.config import home_path
from jevons.core.money import format_usd, short_usd
from jevons.ledger.home import Home
from jevons.ledger.rollup import DAY_MS

if TYPE_CHECKING:
    from jevons.economics.explain import Explanation

DEFAULT_DAYS = 30
RUNS_SHOWN = 5


class Days(click.ParamType["tuple[int, int]"]):
    """Two UTC days with a colon between, 2026-10-01:2026-11-01: from the first until the second."""

    name = "from:to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, colon, after = str(value).partition(":")
        if not colon:
            self.fail(f"{value!r} is no span of days; write 2026-10-01:2026-11-01", param, ctx)
        days = Day().convert(first, param, ctx), Day().convert(after, param, ctx)
        if days[0] >= days[1]:
            self.fail(f"{value!r} ends before it begins", param, ctx)
        return days


@click.command(short_help="Why the bill changed, in effects that sum to the change.")
@click.option("--from", "from_ms", type=Day(), help="First UTC day; default: 30 days before the last.")
@click.option("--to", "until_ms", type=Day(), help="UTC day after the last; default: tomorrow, so that today counts.")
@click.option("--against", type=Days(), help="What it is compared with, FROM:TO; default: as many days before.")
@click.option(
    "--every", type=click.Choice(["day", "week", "month"]), help="Compare the last day, week or month of the span with its first."
)
@click.option(
    "--by",
    default="team,agent,model",
    show_default=True,
    help="Of org, team, key, agent, source, tier, line, model, tariff, kind.",
)
@click.option(
    "--cost", type=click.Choice(["billed", "list"]), help="Default: billed; list where nothing was billed (a subscription)."
)
@click.option("--effect", help="All segments of one effect, and the costliest runs of its largest.")
@click.option("--csv", "as_csv", is_flag=True, help="One line for each segment of each effect.")
@click.option("--svg", type=NewFile(), help="Write a waterfall picture.")
@click.option("--png", type=NewFile(), help="The same as pixels.")
@as_json
def explain(
    from_ms: int | None, until_ms: int | None, against: tuple[int, int] | None, every: str | None, by: str, cost: str | None, effect: str | None,
    as_csv: bool, svg: Path | None, png: Path | None, json: bool,
) -> None:  # fmt: skip
    """Why the bill changed: price, volume, depth, mix, cache and the rest, each in nano-dollars, by two methods that are both exact.

    LMDI and Shapley share out differently what several causes did together; where they differ much, so do fair opinions. docs/explain.md says
    what each effect means.
    """
    from jevons.economics.sentences import NAMES

    if every and against:
        raise click.UsageError("--every follows one span; --against compares two. Use one of them.")
    ledger = Home(home_path()).ledger
    until_ms = until_ms if until_ms is not None else _tomorrow_ms()
    from_ms = from_ms if from_ms is not None else until_ms - DEFAULT_DAYS * DAY_MS
    if from_ms >= until_ms:
        raise click.UsageError("--from must lie before --to.")
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    if effect is not None and effect not in NAMES:
        raise click.UsageError(f"There is no effect {effect!r}; there are: {', '.join(NAMES)}.")
    found = _explained(ledger, (from_ms, until_ms), against, every, names, cost)
    if svg or png:
        _draw(found, svg, png)
    if as_csv:
        _write_rows(found)
        return
    runs = _runs(ledger, found, effect) if effect else []
    document = msgspec.to_builtins(found) | ({"runs": runs} if effect else {})
    show(json, document, lambda: _table(found, effect, runs))


def _explained(
    ledger: Path,
    window: tuple[int, int],
    against: tuple[int, int] | None,
    every: str | None,
    by: tuple[str, ...],
    cost: str | None,
) -> "Explanation":
    from jevons.economics import explain as economics
    from jevons.economics.frames import Span

    def once(base: Span, window: Span, cost: Any) -> "Explanation":
        if every:
            return economics.follow(ledger, window, every, by=by, cost=cost)  # type: ignore[arg-type]
        return economics.explain(ledger, window, base, by=by, cost=cost)

    spans = (Span.of_ms(*(against or (2 * window[0] - window[1], window[0]))), Span.of_ms(*window))
    try:
        found = once(*spans, cost)
        halves = economics.halves(ledger, spans[1]) if not (against or every or found.base_nusd) and found.bill_nusd else None
        if halves is None:
            return found
        found = once(*halves, found.cost)
        return msgspec.structs.replace(
            found, notes=("Nothing is recorded before: the two halves of what there is are compared.", *found.notes)
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _table(found: "Explanation", effect: str | None, runs: list[dict[str, Any]]) -> None:
    from jevons.economics.frames import UNATTRIBUTED

    if not found.base_nusd and not found.bill_nusd:
        tables.console.print(
            f"Nothing was spent from {found.base.first} to {found.now.last}. `jevons import --local` brings in what your coding agents"
            " logged; `jevons bill` shows which days have something."
        )
        return
    share = f"{100 * found.change_nusd / found.base_nusd:+.1f} %" if found.base_nusd else "from nothing"
    tables.console.print(
        f"{found.base.first} … {found.base.last}  {format_usd(found.base_nusd)}\n"
        f"{found.now.first} … {found.now.last}  {format_usd(found.bill_nusd)}   change [bold]{_signed(found.change_nusd)}[/] ({share})"
        f"{'  at list price' if found.cost == 'list' else ''}\n"
    )
    shown = [one for one in found.effects if effect in (None, one.name)]
    if not shown:
        tables.console.print(f"Nothing of it is {effect}." if effect else "Nothing changed.")
        return
    table = tables.plain("effect", "LMDI", "Shapley", "why", title=None)
    table.columns[3].justify, table.columns[3].overflow = "left", "fold"
    for one in shown:
        table.add_row(one.name, _signed_short(one.lmdi_nusd), _signed_short(one.shapley_nusd), one.sentence)
    if not effect:
        table.add_row("change", _signed_short(found.change_nusd), _signed_short(found.change_nusd), "")
    tables.console.print(table)
    for note in found.notes:
        tables.console.print(tables.printable(note), markup=False)
    if effect:
        _one(shown[0], runs)
    else:
        if all(one.name != UNATTRIBUTED for one in shown):
            tables.console.print("\nNothing is left unattributed.", end="")
        tables.console.print(f"\nMore of one: jevons explain … --effect {shown[0].name}")


def _one(effect: Any, runs: list[dict[str, Any]]) -> None:
    labels = list(dict.fromkeys(label for segment in effect.segments for label in segment.labels))
    table = tables.plain(labels[0] if labels else "", *labels[1:], "LMDI", "Shapley", title="\nwhere it comes from")
    for column in table.columns[: len(labels)]:
        column.justify = "left"
    for segment in effect.segments:
        cells = [segment.labels.get(label, "") for label in labels] or [""]
        table.add_row(*cells, _signed_short(segment.lmdi_nusd), _signed_short(segment.shapley_nusd))
    tables.console.print(table)
    if runs:
        table = tables.plain(
            "run",
            "key",
            "agent",
            "calls",
            "cost",
            title=f"\nits costliest runs {'now' if effect.segments[0].lmdi_nusd > 0 else 'before'} (jevons runs RUN)",
        )
        for run in runs:
            table.add_row(run["run"], run["key"], run["agent"], f"{run['calls']:,}", format_usd(run["nusd"]))
        tables.whole(table)


def _runs(ledger: Path, found: "Explanation", effect: str) -> list[dict[str, Any]]:
    """Of the largest segment: those of now, or of before where that is what cost more."""
    from jevons.economics.drill import costliest_runs
    from jevons.economics.frames import Span

    segments = next((one.segments for one in found.effects if one.name == effect), ())
    if not segments:
        return []
    period = found.now if segments[0].lmdi_nusd > 0 else found.base
    first, last = (int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) for day in (period.first, period.last))
    return costliest_runs(ledger, Span.of_ms(first, last + DAY_MS), segments[0].labels, cost=found.cost, limit=RUNS_SHOWN)


def _draw(found: "Explanation", svg: Path | None, png: Path | None) -> None:
    from jevons.economics.waterfall import NoRasteriser, waterfall
    from jevons.economics.waterfall import png as pixels

    steps = [(one.name, one.lmdi_nusd) for one in found.effects]
    ends = [(f"{period.first} … {period.last}", period.nusd) for period in (found.base, found.now)]
    picture = waterfall("Why the bill changed", ends[0], steps, ends[1])
    if svg:
        write(svg, picture)
    if png:
        try:
            write(png, pixels(picture))
        except NoRasteriser as error:
            raise click.ClickException(str(error)) from None


def _write_rows(found: "Explanation") -> None:
    labels = list(dict.fromkeys(label for one in found.effects for segment in one.segments for label in segment.labels))
    writer = csv.writer(sys.stdout)
    writer.writerow(["effect", *labels, "lmdi_nusd", "shapley_nusd"])
    for one in found.effects:
        for segment in one.segments:
            writer.writerow(
                [one.name, *(segment.labels.get(label, "") for label in labels), segment.lmdi_nusd, segment.shapley_nusd]
            )


def _signed(nusd: int) -> str:
    return f"{'+' if nusd > 0 else ''}{format_usd(nusd)}"


def _signed_short(nusd: int) -> str:
    return f"{'+' if nusd > 0 else ''}{short_usd(nusd)}"


def _tomorrow_ms() -> int:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return int(tomorrow.timestamp() * 1000)
