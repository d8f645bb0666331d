"""What several commands share: option types, --json, and how a document is shown."""

import difflib
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import click
import msgspec

from jevons.core.money import parse_usd
from jevons.ledger.bill import accounts

as_json = click.option("--json", "json", is_flag=True, help="One JSON document with stable keys; money in *_nusd integers.")

NEGATIVE = {"ignore_unknown_options": True}
"""An amount may begin with a minus, which is no option."""


FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Days that a ledger can have, with room to count back as far and on by months."""


class Dollars(click.ParamType["int | None"]):
    """An amount such as 5, 0.25 or $100; "none" where a limit may be absent."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if str(value).lower() == "none":
            return None
        try:
            return parse_usd(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DollarSpread(click.ParamType["tuple[float, float, float]"]):
    """Dollars as one number, or LOW:TYPICAL:HIGH."""

    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float, float]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = [float(number.removeprefix("$")) for number in str(value).split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            return numbers[0], numbers[0], numbers[0]
        if len(numbers) != 3:
            self.fail(f"{value!r} is no price; write 2.50, or LOW:TYPICAL:HIGH as 1.90:2.50:6.88", param, ctx)
        return numbers[0], numbers[1], numbers[2]


class Amount(click.ParamType["int | str"]):
    """A whole number or dollars, as the members of a limit take it."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip()
        try:
            parse_usd(text)
        except ValueError:
            self.fail(f"{text!r} is not an amount; write for example 5, 0.25 or 20000", param, ctx)
        return int(text) if text.isdecimal() else text


class Real(click.FloatRange):
    """A finite number of a range; click's own lets nan pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class Day(click.ParamType[int]):
    """A UTC day, 2026-11-21, as Unix milliseconds of its start."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            day = datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.fail(f"{value!r} is not a day; write 2026-11-21", param, ctx)
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            self.fail(f"{value!r} lies outside the years {FIRST_YEAR} to {LAST_YEAR}", param, ctx)
        return int(day.timestamp() * 1000)


class NewFile(click.Path):
    """A file to write, in a folder that is there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path)
        if not path.parent.is_dir():
            self.fail(f"There is no folder {str(path.parent)!r}", param, ctx)
        return path


def check_key(ledger: Path, name: str | None) -> None:
    """Is there a key of that name? Nothing was spent by one that never was. Raises click.BadParameter, LedgerError."""
    names = sorted(key["name"] for key in accounts(ledger)) if name is not None else []
    if name is not None and name not in names:
        close = difflib.get_close_matches(name, names, 3)
        hint = f"Did you mean {', '.join(close)}?" if close else "`jevons keys list` shows all."
        raise click.BadParameter(f"There is no key {name!r}. {hint}", param_hint="--key")


def check_days(since_ms: int | None, until_ms: int | None) -> None:
    """Is there a day between them? Raises click.UsageError."""
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.UsageError("--from must lie before --to, which is the day after the last.")


def show(json: bool, document: Any, table: Callable[[], None]) -> None:
    """Print a document as JSON, or as a table for people."""
    if json:
        click.echo(msgspec.json.encode(document).decode())
    else:
        table()


def write(file: Path, content: str | bytes) -> None:
    """What an option asked to be written; says so beside the document. Raises click.ClickException."""
    try:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"Wrote {file}.", err=True)
