"""`jevons cache`: `doctor` says what keeps the provider's prompt cache from reading prefixes, and what that costs; `status` and `clear` are of kept answers."""

import time
from pathlib import Path

import click
import msgspec

from jevons.cli.cache_answers import clear, status
from jevons.cli.doctor import count
from jevons.cli.options import as_json, check_key, show
from jevons.cli.tables import console, plain, printable, whole
from jevons.config import home_path
from jevons.core.money import format_usd, short_usd
from jevons.economics.prefix_breaks import Finding, Report
from jevons.ledger.home import Home
from jevons.ledger.rollup import DAY_MS

DEFAULT_DAYS = 30
FINDINGS_SHOWN = 20
_DIALECTS = ("chat", "responses", "messages")


@click.group()
def cache() -> None:
    """What caches do for you, and what keeps them from it."""


cache.add_command(status)
cache.add_command(clear)


@cache.command(short_help="What breaks prompt prefixes, and what that costs by the month.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(1), default=DEFAULT_DAYS, show_default=True, help="How far back to look.")
@click.option("--key", help="Only this key.")
@click.option("--agent", help="Only this client program: claude-code, codex, …")
@click.option("--model", help="Only this model, as the upstream is asked. With FILE: priced as this one.")
@click.option("--dialect", type=click.Choice(_DIALECTS), help="With FILE: what its bodies are; default: as they look.")
@as_json
def doctor(
    file: Path | None, days: int, key: str | None, agent: str | None, model: str | None, dialect: str | None, json: bool
) -> None:
    """Name what breaks prompt prefixes, by message and cause, and price the loss by the month.

    A provider's prompt cache goes on as far as a prompt begins with the same bytes. Each finding says which message differs first, what
    changed in it, and what to do. With FILE: recorded requests, one JSON body a line, or {"at": seconds, "body": {…}}; nothing of it is kept.

    Example: jevons cache doctor --days 7
    """
    if file is not None and (key is not None or agent is not None):
        raise click.UsageError("--key and --agent are of the ledger; a file has neither.")
    if file is None and dialect is not None:
        raise click.UsageError("--dialect says what a FILE holds; name the file.")
    home = Home(home_path())
    if file is not None:
        from jevons.cli.cache_file import examine

        found, skipped = examine(file, home.path, model, dialect)
        document = msgspec.to_builtins(found) | {"skipped": skipped}
        show(json, document, lambda: _told(found, f"in {file.name}", skipped))
        return
    from jevons.economics.prefix_breaks import doctor as examined

    check_key(home.ledger, key)
    now_ms = int(time.time() * 1000)
    found = examined(home.ledger, (now_ms // DAY_MS - days + 1) * DAY_MS, now_ms, key, agent, model)
    show(json, msgspec.to_builtins(found), lambda: _told(found, f"in the last {count(days, 'day')}", []))


def _told(found: Report, where: str, skipped: list[str]) -> None:
    for problem in skipped:
        console.print(printable(problem), markup=False, soft_wrap=True)
    if not found.requests:
        console.print(
            f"Nothing was observed {where}: requests are looked at as they pass the gateway, from this version on.",
            soft_wrap=True,
        )
        return
    if not found.findings:
        console.print(f"Nothing broke {where}: {count(found.requests, 'request')}.", soft_wrap=True)
    else:
        _findings(found, where)
    _hit_rates(found)


def _findings(found: Report, where: str) -> None:
    lost = f"{count(found.broken, 'request')} of {found.requests:,} {where} lost {found.lost_tokens:,} tokens of their prefix"
    console.print(f"{lost}: about [bold]{short_usd(found.lost_nusd)}[/]{_by_month(found)}.\n", soft_wrap=True)
    for finding in found.findings[:FINDINGS_SHOWN]:
        _one(finding)
    if len(found.findings) > FINDINGS_SHOWN:
        console.print(f"And {len(found.findings) - FINDINGS_SHOWN} more, each cheaper: --json has all.\n")
    if any(finding.position is not None for finding in found.findings):
        console.print("Messages are counted from 0: tools, then the system prompt, then what was said.", style="dim")


def _by_month(found: Report) -> str:
    if found.month_nusd is None:
        return " (the file tells no times: nothing is said of a month)"
    days = f"{found.observed_days:g} day{'' if found.observed_days == 1 else 's'}"
    return f", [bold]{short_usd(found.month_nusd)}[/] a month (estimated, from {days} observed)"


def _one(finding: Finding) -> None:
    place = "" if finding.position is None else f"message {finding.position}, {finding.role}: "
    if finding.position is not None and finding.cause in ("parameters", "model"):
        place = "" if finding.cause == "model" else f"{finding.role}: "
    cost = finding.lost_nusd if finding.month_nusd is None else finding.month_nusd
    unit = "" if finding.month_nusd is None else " a month"
    who = ", ".join(name for name in (finding.key, finding.agent, finding.model) if name)
    console.print(f"{short_usd(cost)}{unit}  {place}{finding.what}", style="bold", markup=False, soft_wrap=True)
    share = f", {100 * finding.share:.0f} % of its requests" if finding.share else ""
    console.print(
        printable(
            f"  {who}: {count(finding.times, 'time')}{share}, {finding.lost_tokens:,} tokens, {format_usd(finding.lost_nusd)};"
        )
        + f" for example {finding.request}",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"  {finding.advice}\n", markup=False, soft_wrap=True)


def _hit_rates(found: Report) -> None:
    if not any(rate.input_tokens for rate in found.models):
        return
    table = plain("model", "requests", "tokens in", "from the cache", "share", title=None)
    for rate in found.models:
        told = rate.input_tokens or 0, rate.cache_read or 0, rate.share or 0
        table.add_row(rate.model, f"{rate.requests:,}", f"{told[0]:,}", f"{told[1]:,}", f"{100 * told[2]:.1f} %")
    whole(table)
