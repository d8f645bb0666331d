"""`jevons rerate`: recorded calls at other prices: another price book, day, provider, service tier or model."""

import csv
import time
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jevons.cli import tables
from jevons.cli.doctor import count
from jevons.cli.options import Day, as_json, show
from jevons.config import home_path
from jevons.core.money import format_usd
from jevons.ledger.bill import bill
from jevons.ledger.home import Home

if TYPE_CHECKING:
    from jevons.economics.rerate import Rerated, Rerater, RowRerated, Under

ROWS_SHOWN = 30


class Replacement(click.ParamType["tuple[str, str]"]):
    """OLD=NEW: a model, or a shell pattern of models, and what takes its place."""

    name = "old=new"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        old, equals, new = str(value).partition("=")
        if not (old and equals and new):
            self.fail(f"{value!r} names no replacement; write gpt-4o=gpt-5-mini, or gpt-4o*=gpt-5-mini", param, ctx)
        return old, new


@click.command(short_help="The same tokens at other prices.")
@click.option("--from", "from_ms", type=Day(), help="First UTC day; default: the ledger's first.")
@click.option("--to", "until_ms", type=Day(), help="UTC day after the last; default: until now.")
@click.option("--book", default="recorded", show_default=True, help="recorded: each call's own; current; or the hash of one.")
@click.option("--at", "at_ms", type=Day(), help="Prices of that UTC day, at each call's hour.")
@click.option("--provider", help="As if bought there.")
@click.option(
    "--model", "models", type=Replacement(), multiple=True, help="As if NEW had been asked for OLD. May be given again."
)
@click.option("--tier", "service_tier", help="As if in that service tier: batch, flex, priority, default.")
@click.option(
    "--by", default="model", show_default=True, help="Of model, upstream, tier, tariff, org, team, key, agent, source, day."
)
@click.option("--rows", type=click.Path(path_type=Path), help="Write every call that was rated, as CSV.")
@as_json
def rerate(
    from_ms: int | None, until_ms: int | None, book: str, at_ms: int | None, provider: str | None, models: tuple[tuple[str, str], ...],
    service_tier: str | None, by: str, rows: Path | None, json: bool,
) -> None:  # fmt: skip
    """Charge recorded calls again: the list cost of the same tokens under another price book, day, provider, service tier or model.

    What cannot be rated again is shown apart, with its recorded cost. Without options it checks that the price books still give what is on
    record. Another model would use other numbers of tokens: this says nothing of that.

    Example: jevons rerate --model 'gpt-4o*=gpt-5-mini' --by team
    """
    from jevons.economics import rerate as economics

    home = Home(home_path())
    under = economics.Under(book, at_ms, provider, models, service_tier)
    rerater = _rerater(home, under)
    until_ms = until_ms if until_ms is not None else int(time.time() * 1000)
    unused = _unused(home.ledger, models, from_ms or 0, until_ms)
    if models and len(unused) == len(models):
        raise click.UsageError(f"No call in this time used {' or '.join(unused)}; `jevons bill --by model` shows what was used.")
    with ExitStack() as open_files:
        on_row = None if rows is None else _writer(rows, open_files)
        try:
            found = economics.rerate(
                home.ledger, rerater, from_ms or 0, until_ms, unchanged=under.unchanged, by=by, on_row=on_row
            )
        except ValueError as error:
            raise click.UsageError(f"{error}.") from None
    if rows is not None:
        click.echo(f"Wrote {rows}.", err=True)
    document = {"from_ms": from_ms or 0, "until_ms": until_ms, "under": under._asdict(), **msgspec.to_builtins(found)}
    show(json, document, lambda: _table(found, under))
    for old in unused:
        click.echo(f"No call in this time used {old}.", err=True)


def _unused(ledger: Path, models: tuple[tuple[str, str], ...], since_ms: int, until_ms: int) -> list[str]:
    """Patterns that no call matches, where there are calls."""
    used = [row["model"].partition("/")[2] for row in bill(ledger, by="model", since_ms=since_ms, until_ms=until_ms)["rows"]]
    return [old for old, _ in models if used and not any(fnmatchcase(model, old) for model in used)]


def _rerater(home: Home, under: "Under") -> "Rerater":
    """Raises what there is to say of a book, a provider or a model that is not known."""
    from jevons.economics.rerate import Books, Rerater
    from jevons.meter.naming import UnknownModel

    books = Books(home.path)
    try:
        rerater = Rerater(books, under)
    except LookupError:
        raise click.UsageError(
            f"{home.path}/prices has no price book {under.book!r}. `current` is the one in use; in SQL, SELECT DISTINCT price_book FROM calls"
            " lists those that calls were charged by."
        ) from None
    book = books.current()
    if (
        under.provider is not None
        and book.catalogue.provider_id(under.provider) is None
        and under.provider not in book.providers()
    ):
        raise click.UsageError(f"The price book has no provider {under.provider!r}; it has: {', '.join(book.providers())}.")
    for _, new in under.models:
        sellers = [under.provider] if under.provider is not None else [None, *book.providers()]
        own = any(set(override.model) - set("*?") and fnmatchcase(new.lower(), override.model) for override in book.overrides)
        if not own and all(book.catalogue.find(seller, new) is None for seller in sellers):
            similar = book.suggest(new)
            near = f"; near to it: {', '.join(similar)}" if similar else ""
            raise UnknownModel(f"The price book has no price for {new!r}{near}.", similar)
    return rerater


def _writer(path: Path, open_files: ExitStack) -> Any:
    out = csv.writer(open_files.enter_context(path.open("w", newline="", encoding="utf-8")))
    out.writerow(["request", "attempt", "model", "tokens", "price_row", "rerated_row", "list_nusd", "rerated_nusd"])

    def write(row: "RowRerated") -> None:
        out.writerow(msgspec.structs.astuple(row))

    return write


def _table(found: "Rerated", under: "Under") -> None:
    total, say = found.total, tables.console.print
    if not total.entries and not found.aside:
        say("No calls in this time. `jevons bill` shows which days have some.")
        return
    if under.unchanged:
        say(
            f"{count(total.entries, 'call')} charged again by the price books they were charged by: {format_usd(total.rerated_nusd)},"
            " as on record to the nano-dollar.",
            soft_wrap=True,
        )
    else:
        share = f" ({100 * total.difference_nusd / total.list_nusd:+.1f} %)" if total.list_nusd else ""
        say(
            f"The same tokens, list cost: {format_usd(total.list_nusd)} on record, [bold]{format_usd(total.rerated_nusd)}[/] so:"
            f" [bold]{_signed(total.difference_nusd)}[/]{share}, {count(total.entries, 'call')}.",
            soft_wrap=True,
        )
    table = tables.plain(found.by, "calls", "tokens", "on record", "so", "difference", title="")
    for row in found.rows[:ROWS_SHOWN]:
        money = (format_usd(row.list_nusd), format_usd(row.rerated_nusd), _signed(row.difference_nusd))
        table.add_row(row.name or "-", f"{row.entries:,}", f"{row.tokens:,}", *money)
    if found.rows:
        tables.whole(table)
    if len(found.rows) > ROWS_SHOWN:
        say(f"and {len(found.rows) - ROWS_SHOWN} more (--json lists them)")
    for row in found.aside:
        now = f", now {format_usd(row.rerated_nusd)}" if row.rerated_nusd else ""
        say(
            f"Not in it: {count(row.entries, 'call')}, {format_usd(row.list_nusd)} on record{now}: {row.name}.",
            markup=False,
            soft_wrap=True,
        )
    for row in found.without_tier:
        say(
            f"{row.name} has no price for {under.service_tier}: {count(row.entries, 'call')} at its plain price.",
            markup=False,
            soft_wrap=True,
        )
    if found.estimated:
        say(f"Of it, {count(found.estimated, 'call')} with tokens that are an estimate.")
    if under.models:
        say(
            "Another model would use other numbers of tokens, and do other work: this is the price of the same tokens.",
            soft_wrap=True,
        )
    if found.largest:
        largest = tables.plain("largest differences", "model", "tokens", "row on record", "row now", "on record", "so", title="")
        for one in found.largest:
            texts = (one.request, one.model, f"{one.tokens:,}", one.price_row, one.rerated_row)
            largest.add_row(*texts, format_usd(one.list_nusd), format_usd(one.rerated_nusd))
        tables.whole(largest)


def _signed(nusd: int) -> str:
    return f"+{format_usd(nusd)}" if nusd > 0 else format_usd(nusd)
