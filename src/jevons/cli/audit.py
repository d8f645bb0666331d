"""`jevons audit`: the log of every change and every denial; checking it, and anchoring it elsewhere. Reads the ledger file by itself."""

import click

from jevons.cli import governor_tables as tables
from jevons.cli.doctor import count
from jevons.cli.options import as_json, show
from jevons.config import home_path
from jevons.ledger import audit as log
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home

ROWS_SHOWN = 30


@click.group(invoke_without_command=True)
@click.option("--action", help="Only this: kill, denied, limit-set, key-create, …")
@click.option("--limit", "rows", type=click.IntRange(1), default=ROWS_SHOWN, show_default=True, help="How many of the latest.")
@as_json
@click.pass_context
def audit(context: click.Context, action: str | None, rows: int, json: bool) -> None:
    """Every change and every denial, newest first. Each row's code covers the rows before it.

    Example: jevons audit --action denied --limit 5
    """
    if context.invoked_subcommand is None:
        found = log.rows(Home(home_path()).ledger, rows, action)
        show(json, {"rows": found}, lambda: tables.audit(found))


@audit.command()
@click.option("--anchor", "text", metavar="N:HEX", help="What `jevons audit anchor` printed then.")
@as_json
def verify(text: str | None, json: bool) -> None:
    """Check that no row was changed, put in or taken out; with an anchor, that none was cut off at the end. Exit status 1 if so.

    Example: jevons audit verify --json
    """
    try:
        anchor = log.parse_anchor(text) if text is not None else None
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    found = _verified(anchor)
    document = {"sound": not found.broken, "rows": found.rows, "broken": found.broken, "anchor": str(found.anchor)}
    if found.broken:
        line = f"The audit log is broken: {found.broken}. Restore a backup elsewhere and compare."
    elif anchor is not None:
        line = f"{count(found.rows, 'row')}, each as it was written; those up to {anchor.seq} are the anchored ones."
    else:
        line = f"{count(found.rows, 'row')}, each as it was written. Only an anchor shows whether later ones were cut off: --anchor N:HEX."
    show(json, document, lambda: click.echo(line))
    if found.broken:
        raise click.exceptions.Exit(1)


@audit.command()
@as_json
def anchor(json: bool) -> None:
    """Check the log and print its head, N:HEX. Keep it where nobody who may write here can change it.

    Example: jevons audit anchor
    """
    found = _verified(None)
    if found.broken:
        raise LedgerError(f"The audit log is broken, and is not to be vouched for: {found.broken}.")
    show(json, {"rows": found.rows, "anchor": str(found.anchor)}, lambda: click.echo(str(found.anchor)))


def _verified(anchor: log.Anchor | None) -> log.Verdict:
    home = Home(home_path())
    if home.ledger.exists() and not (home.path / "audit.secret").exists():
        raise LedgerError(f"{home.path / 'audit.secret'} is missing: without it the log cannot be checked. Restore it.")
    return log.verify(home.ledger, home.secret("audit") if home.ledger.exists() else b"", anchor)
