"""Times, amounts and counts as exports write them.

Comes in: what a cell or a JSON member holds. Goes out: Unix milliseconds (UTC where no zone is told), nano-USD, whole numbers.
Raises BadRow, which names the field and never quotes it.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, DecimalException

from jevons.core.limits import IMPORT_COUNT_MAX, IMPORT_NUSD_MAX
from jevons.core.money import NUSD_PER_USD
from jevons.core.usage import Usage
from jevons.imports.record import BadRow

_WHOLE = Decimal(1)
_SECONDS_UNTIL = 10_000_000_000
"""A number below this is a time in seconds (until the year 2286), above it in milliseconds (from April 1970)."""

Written = str | int | float | None


def at_ms(value: Written, name: str) -> int:
    """A time: ISO 8601 in any of its forms, or a number of seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            text = value.strip()
            if not text.isdecimal():
                moment = datetime.fromisoformat(text.removesuffix(" UTC"))
                found = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
                if found <= 0:
                    raise BadRow(f"{name} lies before 1970")
                return found
            value = int(text)
        if value is not None and 0 < value < 2**53:
            return round(value * 1000) if value < _SECONDS_UNTIL else round(value)
    except (ValueError, OverflowError):
        pass
    raise BadRow(f"{name} is missing" if value in (None, "") else f"{name} is not a time")


def nusd(value: Decimal | str | None, name: str, *, per_usd: int = 1) -> int | None:
    """An amount in dollars, or with `per_usd` of a smaller unit (100 = cents), rounded half-even to a nano-dollar; None if there is none."""
    if value is None or value == "":
        return None
    try:
        amount = Decimal(value.strip().removeprefix("$").replace(",", "")) if isinstance(value, str) else value
        if not amount.is_finite():
            raise BadRow(f"{name} is not an amount")
        found = int((amount * NUSD_PER_USD / per_usd).quantize(_WHOLE, ROUND_HALF_EVEN))
    except DecimalException:
        raise BadRow(f"{name} is not an amount") from None
    if found < 0:
        raise BadRow(f"{name} is negative: a credit, which `jevons adjust` records")
    if found > IMPORT_NUSD_MAX:
        raise BadRow(f"{name} is more than a ledger can hold")
    return found


def count(value: int | None, name: str) -> int:
    """A number of tokens or calls; 0 if there is none."""
    if value is None:
        return 0
    if not 0 <= value <= IMPORT_COUNT_MAX:
        raise BadRow(f"{name} is no plausible number")
    return value


def split_input(
    total: int, read: int, write: int, output: int, reasoning: int = 0, other: tuple[tuple[str, int], ...] = ()
) -> Usage:
    """Usage where the input total includes what was read from the cache and written to it."""
    if read + write > total:
        raise BadRow("it has more cached input than input")
    if reasoning > output:
        raise BadRow("it has more reasoning than output")
    return Usage(total - read - write, read, write, 0, output, reasoning, other)
