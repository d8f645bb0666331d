"""Money as an integer number of nano-dollars, and the one place where it is rounded.

Comes in: counts and exact rates (integers over a common denominator). Goes out: `int` nano-USD.
Does not know: what the counts mean, nor where the rates come from. Never a float.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

NUSD_PER_USD = 1_000_000_000
AMOUNT_CHARACTERS_MAX = 64
"""Longer than any amount that a ledger can hold, written in any way."""

_AMOUNT = re.compile(
    r"([+-]?)\$?(\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*|(?=\.\d))((?:\.\d*)?(?:e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE
)


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded to the nearest integer, ties to even. Both >= 0, denominator > 0."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def round_up(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded towards +infinity: what a hold uses."""
    return -(-numerator // denominator)


def allot(numerators: Sequence[int], denominator: int) -> tuple[int, list[int]]:
    """Round a sum once and hand the result to its parts, so that parts sum to the total exactly.

    The total is Σ numerators / denominator, rounded half-even. Each part gets its floor; what is left goes to the parts with
    the largest fraction (largest-remainder method), earlier parts first among equals.

    Returns (total, parts) with sum(parts) == total.
    """
    total = half_even(sum(numerators), denominator)
    parts = [n // denominator for n in numerators]
    missing = total - sum(parts)
    if missing:
        by_fraction = sorted(range(len(parts)), key=lambda i: -(numerators[i] % denominator))
        for i in by_fraction[:missing]:
            parts[i] += 1
    return total, parts


def parse_usd(text: str) -> int:
    """Nano-USD of a decimal dollar amount such as "5", "$0.25", "1,000", "-2.50" or "1e-9"; the inverse of `format_usd`.

    Raises ValueError for anything else (a comma that does not part thousands may be a decimal comma: "0,25" is refused), for
    more than nine decimals, and for amounts beyond a 64-bit ledger.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(text) > AMOUNT_CHARACTERS_MAX:
        raise ValueError(f"{text!r} is not an amount in dollars; write for example 5, 0.25 or $100")
    sign, whole, rest = match.groups()
    nusd = Fraction(f"{sign}{whole.replace(',', '').replace('_', '')}{rest}") * NUSD_PER_USD
    if nusd.denominator != 1:
        raise ValueError(f"{text!r} is finer than a nano-dollar (nine decimals)")
    if abs(nusd) >= 2**63:
        raise ValueError(f"{text!r} is beyond what the ledger can hold (about $9.2 billion)")
    return int(nusd)


def format_usd(nusd: int) -> str:
    """Dollars for people: every non-zero digit, at least two decimals. `124_000_000` -> "$0.124"."""
    sign, magnitude = ("-", -nusd) if nusd < 0 else ("", nusd)
    whole, fraction = divmod(magnitude, NUSD_PER_USD)
    decimals = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{decimals}"


def short_usd(nusd: int) -> str:
    """Dollars at a glance: whole cents from a dollar on, three digits below. Where it stands, the exact amount is a step away.

    `1_234_567_890` -> "$1.23", `12_345_678` -> "$0.0123"
    """
    magnitude = abs(nusd)
    step = NUSD_PER_USD // 100 if magnitude >= NUSD_PER_USD else 10 ** max(0, len(str(magnitude)) - 3)
    rounded = half_even(magnitude, step) * step
    return format_usd(-rounded if nusd < 0 else rounded)
