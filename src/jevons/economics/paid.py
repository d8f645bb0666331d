"""Index of the price actually paid: what a million tokens cost *you*, month by month, and how much of the change is price.

    unit value   billed cost / tokens. Moves when prices move, and also when you move: to dearer models, more output, less cache.
    model        Fisher's ideal index over what was bought in both months, same model, upstream and tariff, kind by kind, chained
    line         the same, models of one line taken together: a successor counts as a price change

Between unit value and model index lies what is not price. Fisher is the geometric mean of Laspeyres (the old basket at new prices) and Paasche
(the new basket): I. Fisher, "The Making of Index Numbers", 1922.

Comes in: a ledger file. Goes out: `Month`s, from the sums by the day. Subscriptions bill nothing, so their paid price is zero and no ratio
can be made of it: they are in the unit value only. Does not know: list prices, the price history.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from jevons.ledger.bill import reading
from jevons.meter.lineages import lineage_of

KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
_UNIX = date(1970, 1, 1)

Basket = dict[tuple[str, ...], tuple[int, float]]
"""What was bought -> (tokens, nano-USD paid)."""


class Month(NamedTuple):
    """One calendar month (UTC) of the ledger."""

    day: date
    """Its first."""
    tokens: int
    billed_nusd: int
    unpriced_tokens: int
    """Of `tokens`, those without a list price: free models, and imported rows whose source told no price."""
    by_model: float
    """The chained index over same models; 100 in the first month."""
    by_line: float
    matched: float
    """Share of this month's token cost that could be compared with the month before by model."""

    @property
    def nusd_per_mtok(self) -> int | None:
        """The unit value; None without tokens."""
        return round(self.billed_nusd * 1_000_000 / self.tokens) if self.tokens else None


class _Bought(NamedTuple):
    """Sums of one month for one model, upstream and tariff: what was billed, and apart from it what was not."""

    upstream: str
    model: str
    tariff: str
    tokens: tuple[int, ...]
    list_nusd: tuple[int, ...]
    all_list_nusd: int
    billed_nusd: int


def paid(ledger: Path, first: date = date.min, last: date = date.max) -> list[Month]:
    """Months with tokens, oldest first, days in [first, last]. An empty ledger gives none. Raises LedgerError if there is no ledger."""
    found: list[Month] = []
    baskets: list[tuple[Basket, Basket]] = []
    for day, bought in _months(ledger, first, last).items():
        by_model, by_line = _basket(bought, lines=False), _basket(bought, lines=True)
        tokens, billed = sum(sum(b.tokens) for b in bought), sum(b.billed_nusd for b in bought)
        unpriced = sum(sum(b.tokens) for b in bought if not b.all_list_nusd)
        found.append(Month(day, tokens, billed, unpriced, 100.0, 100.0, 0.0))
        baskets.append((by_model, by_line))
    for at, ((old_model, old_line), (model, line)) in enumerate(pairwise(baskets), 1):
        spent = sum(nusd for _, nusd in model.values())
        common = sum(nusd for what, (_, nusd) in model.items() if what in old_model)
        found[at] = found[at]._replace(
            by_model=found[at - 1].by_model * fisher(old_model, model),
            by_line=found[at - 1].by_line * fisher(old_line, line),
            matched=common / spent if spent else 0.0,
        )
    return found


def in_use(ledger: Path, since: date) -> list[tuple[str, str]]:
    """(upstream, model) of everything that was called since a day, most used first. Raises LedgerError if there is no ledger."""
    with reading(ledger) as db:
        return list(
            db.execute(
                "SELECT upstream, target FROM rollup_day WHERE day >= ? GROUP BY 1, 2 ORDER BY sum(entries) DESC, 1, 2",
                ((since - _UNIX).days,),
            )
        )


def fisher(old: Mapping[tuple[str, ...], tuple[int, float]], new: Mapping[tuple[str, ...], tuple[int, float]]) -> float:
    """Fisher's ideal price index of what both baskets hold; 1 where they have nothing in common."""
    common = sorted(old.keys() & new.keys())
    at_old_prices = at_new_prices = spent_old = spent_new = 0.0
    for what in common:
        (q0, v0), (q1, v1) = old[what], new[what]
        spent_old, spent_new = spent_old + v0, spent_new + v1
        at_new_prices += v1 / q1 * q0
        at_old_prices += v0 / q0 * q1
    if not common:
        return 1.0
    return math.sqrt((at_new_prices / spent_old) * (spent_new / at_old_prices))


def _basket(bought: list[_Bought], *, lines: bool) -> Basket:
    """Tokens and paid cost by kind. The ledger knows list cost by kind and billed cost in all: each kind is billed in proportion."""
    sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0, 0.0])
    for b in bought:
        if b.billed_nusd <= 0 or b.all_list_nusd <= 0:
            continue
        share = b.billed_nusd / b.all_list_nusd
        name = lineage_of(b.upstream, b.model)[:2] if lines else (b.upstream, b.model, b.tariff)
        for kind, tokens, nusd in zip(KINDS, b.tokens, b.list_nusd, strict=True):
            cell = sums[*name, kind]
            cell[0] += tokens
            cell[1] += nusd * share
    return {what: (int(tokens), nusd) for what, (tokens, nusd) in sums.items() if tokens and nusd}


def _months(ledger: Path, first: date, last: date) -> dict[date, list[_Bought]]:
    found: dict[date, dict[tuple[str, str, str, bool, bool], list[int]]] = defaultdict(dict)
    for day, upstream, model, tariff, *values in _rows(ledger, (first - _UNIX).days, (last - _UNIX).days):
        month = (_UNIX + timedelta(days=day)).replace(day=1)
        what = (upstream, model, tariff, values[-2] > 0, values[-1] > 0)  # a key on a subscription, beside one that pays
        sums = found[month].setdefault(what, [0] * len(values))
        found[month][what] = [a + b for a, b in zip(sums, values, strict=True)]
    n = len(KINDS)
    return {
        month: [_Bought(*what[:3], tuple(v[:n]), tuple(v[n : 2 * n]), v[-2], v[-1]) for what, v in sorted(rows.items())]
        for month, rows in sorted(found.items())
    }


def _rows(ledger: Path, first: int, last: int) -> Iterator[tuple[int, str, str, str, *tuple[int, ...]]]:
    """Days with tokens in them; fees of rows without tokens have no price for a token."""
    tokens, costs = ", ".join(KINDS), ", ".join(f"{kind}_nusd" for kind in KINDS)
    with reading(ledger) as db:
        yield from db.execute(
            f"SELECT day, upstream, target, tariff, {tokens}, {costs}, list_nusd, billed_nusd FROM rollup_day"
            f" WHERE day BETWEEN ? AND ? AND {' + '.join(KINDS)} > 0 ORDER BY day, key_id, agent, upstream, target, tariff",
            (first, last),
        )
