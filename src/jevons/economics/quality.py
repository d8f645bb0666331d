"""The price of a fixed quality: the cheapest model that scores at least as much as one of the past did.

Two answers. The running minimum is what Epoch and a16z publish: the cheapest that has *ever* been offered, which can only fall. The
other is the cheapest that is offered *now*, which rises when a cheap one becomes dear or is withdrawn.

Comes in: price rows and scores. Goes out: the rows that set a new minimum, and `Offer`s by the month, until the scores end.
Does not know: lines through the points (decline.py), the clock.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from jevons.economics.history import CHEAPEST_HOST, Kind, PriceRow, best_score, price_rows, scores, series
from jevons.economics.indices import months

WITHDRAWN_AFTER_DAYS = 365
"""A model is taken to be gone so long after its successor came, and a host's quote so long after it was seen: vendors' notices give six to
twelve months, the later is taken, so that rises are not made by this rule."""

JOINED: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "maximum": max, "minimum": min}
"""How several scores of one model become one."""


class Milestone(NamedTuple):
    """ "At least what `model` scored on `benchmark`"."""

    benchmark: str
    model: str
    title: str
    joined: str = "maximum"
    """Of JOINED. MMLU scores differ by reporter (median); others by reasoning effort (maximum)."""

    @property
    def threshold(self) -> float:
        return best_score(self.benchmark, JOINED[self.joined])[self.model]

    def reached_by(self) -> set[str]:
        """Models with a score at or above it."""
        return {model for model, score in best_score(self.benchmark, JOINED[self.joined]).items() if score >= self.threshold}


MILESTONES = (
    Milestone("MMLU", "davinci", "MMLU, at least GPT-3", "median"),
    Milestone("MMLU", "gpt-4-0613", "MMLU, at least GPT-4 (June 2023)", "median"),
    Milestone("GPQA Diamond", "gpt-4", "GPQA, at least GPT-4"),
    Milestone("GPQA Diamond", "gpt-4o", "GPQA, at least GPT-4o"),
    Milestone("GPQA Diamond", "o1", "GPQA, at least o1"),
    Milestone("SWE-bench Verified", "claude-3-5-sonnet", "SWE-bench, at least Claude 3.5 Sonnet"),
)


class Offer(NamedTuple):
    """The cheapest on a day, and the cheapest that there ever was until then."""

    day: date
    offered: PriceRow | None
    lowest: PriceRow


def qualified(milestone: Milestone, until: date = date.max) -> list[PriceRow]:
    """Plain prices, dated well enough, of models that reach the milestone, by day."""
    models = milestone.reached_by()
    return [row for row in price_rows() if row.model in models and not row.variant and row.dated and row.date <= until]


def minima(rows: Iterable[PriceRow], kind: Kind = "blend") -> list[PriceRow]:
    """The rows that were cheaper than all before them."""
    found: list[PriceRow] = []
    for row in rows:
        price = row.price(kind)
        if price is not None and (not found or price < (found[-1].price(kind) or 0)):
            found.append(row)
    return found


def offers(milestone: Milestone, kind: Kind = "blend", until: date | None = None) -> list[Offer]:
    """The cheapest on the first of each month, from the milestone's own model to the end of the scores."""
    last = min(until or date.max, scores_end())
    rows = qualified(milestone, last)
    found = []
    for day in months(rows[0].date, last) if rows else ():
        past = [row for row in rows if row.date <= day and row.price(kind) is not None]
        now = {(row.provider, row.model): row for row in past}  # a model's last row is its price
        standing = [row for row in now.values() if day < _gone(row)]
        found.append(Offer(day, min(standing, key=lambda row: row.price(kind) or 0, default=None), minima(past, kind)[-1]))
    return found


def scores_end() -> date:
    """The day after which no model has a score."""
    return max(score.released for score in scores())


def _gone(row: PriceRow) -> date:
    """The day from which a model is taken not to be offered any more."""
    since = row.date if row.provider == CHEAPEST_HOST else _succeeded().get((row.provider, row.model))
    return since + timedelta(days=WITHDRAWN_AFTER_DAYS) if since else date.max


@lru_cache(maxsize=1)
def _succeeded() -> dict[tuple[str, str], date]:
    """(provider, model) -> the day on which its line went on to another model."""
    pairs = [(line.provider, old, new) for line in series() for old, new in pairwise(line.rows)]
    return {(provider, old.model): new.date for provider, old, new in pairs if old.model != new.model}
