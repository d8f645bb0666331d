"""`jevons savings`: what was saved against what was asked for, kind by kind."""

import click
import msgspec

from jevons.cli import tables
from jevons.cli.options import Day, as_json, check_days, check_key, show
from jevons.config import home_path
from jevons.core.money import format_usd, short_usd
from jevons.core.saving import SavingKind
from jevons.economics import savings as economics
from jevons.economics.savings import WAYS, By, Row, Saved
from jevons.ledger.home import Home

EMPTY = """Nothing was saved in this time. The provider's cache shows here as soon as a call reads from it. The rest is turned on in jevons.toml:
  [cache.prompt]    mode = "on"          marks what the provider's cache should keep, where that pays
  [cache.answers]   keys = ["a key"]     gives the same answer to the same request; or a request asks: x-jevons-cache: on
  [cache.semantic]  enabled = true       gives an answer to a similar request, under an error bound, to whoever asks for it
  [cache.trim]      enabled = true       makes long tool output shorter
docs/configuration.md has all of it, docs/savings.md says what each figure is."""


@click.command(short_help="What was saved, against what was asked for.")
@click.option("--by", type=click.Choice(WAYS), default="kind", show_default=True)
@click.option("--from", "since_ms", type=Day(), default=None, help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), default=None, help="UTC day after the last.")
@click.option("--key", help="Only this key.")
@as_json
def savings(by: By, since_ms: int | None, until_ms: int | None, key: str | None, json: bool) -> None:
    """What calls would have cost as they were asked for, less what was saved, is what they cost at list price.

    All of it is at list price, and net of what checking cached answers cost. docs/savings.md says what each kind is.
    """
    ledger = Home(home_path()).ledger
    check_days(since_ms, until_ms)
    check_key(ledger, key)
    found = economics.savings(ledger, by=by, since_ms=since_ms or 0, until_ms=until_ms, key=key)
    show(json, msgspec.to_builtins(found), lambda: _table(found, by))


def _table(found: Saved, by: str) -> None:
    if not found.kinds:
        tables.console.print(EMPTY, markup=False, soft_wrap=True)
        return
    if by == "kind":
        _kinds(found)
    else:
        _rows(found, by)
    _sentences(found)


def _kinds(found: Saved) -> None:
    table = tables.plain("", "calls", "tokens", "usd", "of baseline", title=None)
    table.add_row("Baseline: as it was asked for", f"{found.entries:,}", "", format_usd(found.baseline_nusd), "")
    for one in found.kinds:
        name = f"{'+' if one.nusd < 0 else '-'} {economics.REASONS[SavingKind(one.kind)]}{' ~' if one.estimated_nusd else ''}"
        table.add_row(
            name, f"{one.entries:,}", f"{one.tokens:,}", format_usd(abs(one.nusd)), _share(one.nusd, found.baseline_nusd)
        )
    table.add_row("= list cost", "", "", format_usd(found.list_nusd), "")
    tables.whole(table)


def _rows(found: Saved, by: str) -> None:
    table = tables.plain(by, "calls", "baseline", "saved", "of it checks", "list cost", "share", title=None)
    for row in [*found.rows, found]:
        name = "all" if row is found else _named(row.label, by)
        money = (row.baseline_nusd, row.saved_nusd, row.checks_nusd, row.list_nusd)
        table.add_row(name, f"{row.entries:,}", *map(format_usd, money), _share(row.saved_nusd, row.baseline_nusd))
    tables.whole(table)


def _named(label: str, by: str) -> str:
    if by == "team" and (not label or label.endswith("/")):
        return f"{label}(no team)"
    return label or "(not told)"


def _sentences(found: Saved) -> None:
    share = _share(found.saved_nusd, found.baseline_nusd)
    print_ = tables.console.print
    print_(
        f"Saved: [bold]{format_usd(found.saved_nusd)}[/], {share} of the baseline, net of checks.{_whose(found)}", soft_wrap=True
    )
    if found.estimated_nusd:
        print_(
            f"~ Estimated: {format_usd(found.estimated_nusd)}. What was never made, or never sent, has no bill.", soft_wrap=True
        )
    if found.billed_nusd != found.list_nusd:
        print_(
            f"Billed: {format_usd(found.billed_nusd)}. A subscription or your own rates bill another sum than the list; savings are at list price.",
            soft_wrap=True,
        )
    if found.recorded_since is not None:
        print_(f"Recorded since {found.recorded_since}; what was spent before has no savings here.", soft_wrap=True)


def _whose(found: Row) -> str:
    others = found.saved_nusd - found.ours_nusd
    if not others:
        return ""
    part = "All" if not found.ours_nusd else short_usd(others)
    return f" {part} of it without Jevons as well: by clients' own marks, and by providers themselves."


def _share(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}%" if of > 0 else ""
