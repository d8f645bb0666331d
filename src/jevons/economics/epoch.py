"""Epoch AI's regression recovered: the price of at least GPT-3's MMLU score fell 11.8 times a year, 90 % interval 8.3 to 16.7.

Epoch takes the lowest price of its day among models at or above the score, and fits a line to its logarithm; the interval is Student's t.
Three figures stand side by side: ours over Epoch's own nine points, which must give Epoch's result to the last digit; the same method over
*our* price and score files; and what becomes of that when one choice is made differently.

Comes in: data/epoch_mmlu_gpt3.csv, the price history, its scores. Does not know: the ledger, the clock.
"""

import csv
import math
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from jevons.economics.decline import POINTS_MIN
from jevons.economics.fits import Fit, least_squares, years
from jevons.economics.history import Kind, PriceRow, data_lines
from jevons.economics.quality import MILESTONES, minima, qualified

PUBLISHED = (11.772872667426151, 8.287354506876559, 16.724339561970456)
"""Factor a year and 90 % interval, from Epoch's file of results; data/epoch_mmlu_gpt3.csv says where."""
PUBLISHED_UNTIL = date(2024, 10, 3)
"""Day of Epoch's last point."""
_EPOCH_DAYS_A_YEAR = 365
"""With it the published digits come out; with 365.25 the factor is 11.79."""
_GPT3 = MILESTONES[0]


class Choice(NamedTuple):
    """The regression under one set of choices."""

    words: str
    fit: Fit
    rows: tuple[PriceRow, ...]
    """The minima it went through; none for Epoch's own points."""

    @property
    def agrees(self) -> bool:
        """Whether it lies in Epoch's interval."""
        return PUBLISHED[1] <= self.fit.factor_a_year <= PUBLISHED[2]


def own_points() -> Choice:
    """Our arithmetic over Epoch's nine points, in Epoch's years."""
    rows = csv.DictReader(data_lines("epoch_mmlu_gpt3.csv"))
    points = [(date.fromisoformat(row["date"]).toordinal() / _EPOCH_DAYS_A_YEAR, math.log(float(row["price"]))) for row in rows]
    return Choice("Epoch's own nine points", least_squares(points), ())


def recovered(until: date) -> Choice | None:
    """The same from our files: median of reporters, three parts of input to one of output, all rows to this day; None if they are too few."""
    return _choice("our files, to the last price", until)


@lru_cache(maxsize=8)
def choices(until: date) -> tuple[Choice, ...]:
    """The recovered figure, and beside it one choice at a time made differently; none of them with too few points for a line."""
    return tuple(choice for choice in (recovered(until), *_others(until)) if choice is not None)


def _others(until: date) -> Iterator[Choice | None]:
    yield _choice(f"ends with Epoch's data ({PUBLISHED_UNTIL})", min(until, PUBLISHED_UNTIL))
    yield _choice("scores: maximum of reporters", until, joined="maximum")
    yield _choice("scores: minimum of reporters", until, joined="minimum")
    yield _choice("price: input only", until, "input")
    yield _choice("price: output only", until, "output")
    yield _choice("vendors' own list prices only", until, hosts=False)
    yield _choice("without gpt-3.5-turbo of March 2023", until, leave_out="gpt-3.5-turbo")


def _choice(
    words: str, until: date, kind: Kind = "blend", *, joined: str = _GPT3.joined, hosts: bool = True, leave_out: str = ""
) -> Choice | None:
    rows = qualified(_GPT3._replace(joined=joined), until)
    rows = [row for row in rows if row.model != leave_out and (hosts or row.provider == row.lineage.vendor)]
    lowest = minima(rows, kind)
    if len(lowest) < POINTS_MIN:
        return None
    return Choice(words, least_squares([(years(row.date), math.log(row.price(kind) or 1)) for row in lowest]), tuple(lowest))
