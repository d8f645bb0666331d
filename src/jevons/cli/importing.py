"""`jevons import`: others' logs and exports into the ledger, with progress; and "your last 30 days" from the logs of local agents."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from jevons.cli.demo import is_demo
from jevons.cli.doctor import count
from jevons.cli.operator import Intake, Operator
from jevons.cli.options import Day, as_json, show
from jevons.cli.tables import console, plain, whole
from jevons.config import home_path
from jevons.core.limits import IMPORT_BATCH_ROWS
from jevons.core.money import NUSD_PER_USD, format_usd
from jevons.imports.intake import Import, Report
from jevons.imports.kinds import KINDS, Kind, Options, files_of, local_folders
from jevons.imports.rating import Rater, open_rates
from jevons.imports.traces import Added
from jevons.ledger.home import Home
from jevons.ledger.importing import summary
from jevons.ledger.rollup import DAY_MS
from jevons.welcome import command_to_paste

LOCAL_DAYS = 30
RUNS_SHOWN = 5
MODELS_SHOWN = 12
BAR_WIDTH = 24
UNPRICED_SHOWN = 5

_HELP = "\n".join(f"  {kind.name:<12} {kind.what}" for kind in KINDS.values())


@click.command("import", short_help="Others' logs and exports into the ledger.", epilog=f"\b\nKinds:\n{_HELP}")
@click.argument("kind", required=False, type=click.Choice(list(KINDS)), metavar="KIND")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--local", is_flag=True, help="Claude Code's and Codex' session logs of this user, and what the last 30 days cost.")
@click.option("--since", "since_ms", type=Day(), help="Only what comes from that UTC day on.")
@click.option("--subscription", is_flag=True, help="Nothing of it was billed by use: list cost is kept, billed is 0.")
@click.option("--rate-card", type=click.Path(path_type=Path), help="Prices over the price book's, in the form of prices.toml.")
@click.option(
    "--team-from", type=click.Choice(["project"]), help="claude-code: the project's folder names the team. It is not kept else."
)
@click.option("--model", default="", help="trace: the model to rate it as.")
@click.option("--provider", help="trace: whose price.")
@click.option("--start", "start_ms", type=Day(), help="trace: the UTC day on which it begins.")
@click.option("--dry-run", is_flag=True, help="Read and rate everything, write nothing.")
@as_json
def import_(
    kind: str | None, paths: tuple[Path, ...], local: bool, since_ms: int | None, subscription: bool, rate_card: Path | None,
    team_from: str | None, model: str, provider: str | None, start_ms: int | None, dry_run: bool, json: bool,
) -> None:  # fmt: skip
    """Bring usage from others' logs into the ledger: counts, costs and names, never text.

    A row comes in once, however often it is read; what was interrupted goes on where it stood. Rows that cannot be used are set aside with
    their line and reason. No limit counts what was imported.

    Example: jevons import litellm spend.jsonl
    """
    home = Home(home_path())
    if is_demo(home.path):
        raise click.UsageError(f"{home.path} is a demo's: nothing of yours belongs there. Unset JEVONS_HOME, or name another.")
    if local and (kind is not None or paths):
        raise click.UsageError("--local finds the session logs by itself; leave out KIND and PATH.")
    if not local and kind is None:
        raise click.UsageError(f"Name a kind ({', '.join(KINDS)}), or --local.")
    options = Options(team_from == "project", Added(model, provider, start_ms))
    book = open_rates(home.path, rate_card)
    aside = home.path / "imports" / f"{kind or 'local'}-{datetime.now(UTC):%Y%m%d-%H%M%S}-set-aside.jsonl"
    work = [(one, _files(one, paths)) for one in KINDS.values() if (one.sessions if local else one.name == kind)]
    reports = []
    with _door(home, dry_run) as door:
        for one, files in work:
            with _progress(one, files) as (on_read, on_batch):
                rater = Rater(book, subscription=subscription)
                begun = Import(
                    one, door, rater, options=options, since_ms=since_ms or 0, dry_run=dry_run, aside=aside, on_read=on_read, on_batch=on_batch
                )  # fmt: skip
                reports.append(begun.run(files))
    if not local:
        show(json, msgspec.to_builtins(reports[0]), lambda: _told(reports[0]))
        return
    sources = [one.name for one, _ in work]
    shown_ms = max(since_ms or 0, (int(time.time()) // 86_400 - LOCAL_DAYS + 1) * DAY_MS)
    found = summary(home.ledger, sources, shown_ms, RUNS_SHOWN) if home.ledger.exists() else {}
    document = {"since_ms": shown_ms, "imports": msgspec.to_builtins(reports), "summary": found}
    show(json, document, lambda: _local(reports, found, subscription))


def _files(kind: Kind, paths: tuple[Path, ...]) -> list[Path]:
    """Without paths: the logs of this user's own agents."""
    if not paths and not kind.sessions:
        raise click.UsageError(f"Name the file: jevons import {kind.name} PATH.")
    return files_of(paths or local_folders(kind.name), kind)


@contextmanager
def _door(home: Home, dry_run: bool) -> Iterator[Intake]:
    if dry_run:
        yield Intake(home.ledger, IMPORT_BATCH_ROWS, lambda wanted: [0] * len(wanted), lambda batch: len(batch.rows))
        return
    with Operator(home).intake() as door:
        yield door


@contextmanager
def _progress(kind: Kind, files: list[Path]) -> Iterator[tuple[Any, Any]]:
    """A bar on standard error, where that is a terminal, of the bytes of all files."""
    sizes = [file.stat().st_size if file.exists() else 0 for file in files]
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.fields[rows]:,} rows"),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task(kind.name, total=sum(sizes) or 1, rows=0)
        done = 0

        def on_read(packed_bytes: int) -> None:
            bar.update(task, completed=done + packed_bytes)

        def on_batch(report: Report) -> None:
            nonlocal done
            done = sum(sizes[: report.files - 1])
            bar.update(task, rows=report.rows)

        yield on_read, on_batch


def _told(report: Report) -> None:
    """What came of one import."""
    done = "would come in" if report.dry_run else "came in"
    line = f"{report.kind}: {count(report.files, 'file')}, {count(report.rows, 'row')}: {report.fresh:,} {done}"
    for number, what in (
        (report.grown, "of them as growth of rows that were there"),
        (report.known, "were there"),
        (report.earlier, "earlier than --since"),
        (report.unsettled, "too fresh, for the next time"),
        (report.set_aside, "set aside"),
    ):
        line += f", {number:,} {what}" if number else ""
    console.print(Text(line + "."), soft_wrap=True)
    if report.unchanged_files:
        console.print(Text(f"  {count(report.unchanged_files, 'file')} read to the end before and unchanged."), soft_wrap=True)
    if report.fresh:
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).date() for ms in (report.first_ms, report.last_ms))
        money = f"list {format_usd(report.list_nusd)}, billed {format_usd(report.billed_nusd)}"
        console.print(Text(f"  {first} to {last} (UTC): {money}, {report.seconds:.1f} s."), soft_wrap=True)
    for aside in report.set_aside_shown:
        console.print(Text(f"  {aside.file}:{aside.line}: {aside.reason}"), soft_wrap=True)
    if report.set_aside_file:
        console.print(Text(f"  All {report.set_aside:,} that were set aside: {report.set_aside_file}"), soft_wrap=True)
    for plain_one in report.rated_plain[:UNPRICED_SHOWN]:
        rows = count(int(str(plain_one["rows"])), "row")
        console.print(
            Text(
                f"  {rows} of {plain_one['price_row']} were {plain_one['tariff']}, without a rate then: rated at the plain rates."
            ),
            soft_wrap=True,
        )
    _unpriced(report)


def _unpriced(report: Report) -> None:
    if not report.unpriced:
        return
    rows = sum(int(str(one["rows"])) for one in report.unpriced)
    console.print(
        Text(
            f"  No price is known for {count(rows, 'row')}: cost 0, marked unknown. What to write into prices.toml, or a --rate-card, before an"
            " import into a fresh JEVONS_HOME:"
        ),
        soft_wrap=True,
    )
    for one in report.unpriced[:UNPRICED_SHOWN]:
        console.print(Text("\n".join(f"    {line}" for line in str(one["override"]).splitlines())), soft_wrap=True)
    if len(report.unpriced) > UNPRICED_SHOWN:
        console.print(Text(f"  and {len(report.unpriced) - UNPRICED_SHOWN} more models (--json lists them)."))


def _local(reports: list[Report], found: dict[str, Any], subscription: bool) -> None:
    """Your last 30 days."""
    for report in reports:
        if report.files:
            _told(report)
    if any(report.dry_run and report.fresh for report in reports):
        return
    if not found or (not found["list_nusd"] and not found["requests"]):
        console.print("No session logs of Claude Code or Codex from the last 30 days were found.", soft_wrap=True)
        return
    console.print(Text(f"\nYour last {LOCAL_DAYS} days, at list prices: {format_usd(found['list_nusd'])}"), style="bold")
    table = plain("model", "calls", "tokens in", "of them cached", "out", "list", title=None)
    for row in found["models"][:MODELS_SHOWN]:
        numbers = (row["requests"], row["input_tokens"], row["cached_tokens"], row["output_tokens"])
        table.add_row(row["model"], *(f"{number:,}" for number in numbers), format_usd(row["list_nusd"]))
    whole(table)
    _days(found["days"])
    if found["runs"]:
        table = plain("dearest sessions", "agent", "calls", "begins", "list", title=None)
        for row in found["runs"]:
            begins = f"{datetime.fromtimestamp(row['first_ms'] / 1000, UTC):%m-%d %H:%M}"
            table.add_row(row["run"], row["agent"], f"{row['requests']:,}", begins, format_usd(row["list_nusd"]))
        whole(table)
    jevons, measure = command_to_paste(), "list-usd" if subscription else "usd"
    console.print(Text(f"Why it changed:  {jevons} explain"), soft_wrap=True)
    console.print(
        Text(
            f"Cap each session: {jevons} limits set sessions --scope run --{measure} {_cap_usd(found['runs'])}   (holds for what goes through the gateway)"
        ),
        soft_wrap=True,
    )
    if not subscription:
        console.print(
            Text(
                "Under a subscription nothing is billed by use: import with --subscription into a fresh JEVONS_HOME, and billed is 0."
            ),
            style="dim",
            soft_wrap=True,
        )


def _cap_usd(runs: list[dict[str, Any]]) -> int:
    """A round sum that would have stopped the dearest session, and few others."""
    dearest = max((run["list_nusd"] for run in runs), default=0)
    return next((usd for usd in (200, 100, 50, 20, 10, 5, 2) if usd * NUSD_PER_USD < dearest), 1)


def _days(days: list[dict[str, Any]]) -> None:
    most = max((day["list_nusd"] for day in days), default=0)
    table = plain("day", "calls", "list", "", title=None)
    for day in days:
        bar = "█" * (day["list_nusd"] * BAR_WIDTH // most if most else 0)
        table.add_row(day["day"], f"{day['requests']:,}", format_usd(day["list_nusd"]), bar)
    whole(table)
