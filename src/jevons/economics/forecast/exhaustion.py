"""When budgets are used up: the day, with its probability, for every limit in money over a month, a year, a week or all of time.

Comes in: how limits stand (the document of `ledger.standing.limits`), budgets of one's own, paths of each segment's bill, and who spent what lately: a
subject's part of each segment is taken to stay what it was. Goes out: `Exhaustion`s. Shorter windows are not forecast: a mean of weeks says
nothing of an hour. Days are whole and UTC. Does not know: where limits are kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from jevons.core.price import HELD
from jevons.core.usage import TOKEN_KINDS
from jevons.economics.forecast.document import Exhaustion, Within
from jevons.economics.forecast.segments import RECENT_DAYS, History, day_of, days_since_1970
from jevons.economics.forecast.simulate import Array
from jevons.economics.frames import Cost, Span
from jevons.ledger.bill import reading
from jevons.ledger.ops import KeySettings
from jevons.ledger.rollup import DAY_MS
from jevons.meter.lineages import lineage_of
from jevons.policy.rules import MONEY, Limit, Rule, Scope, Who, applies, rules_of, subject
from jevons.policy.windows import window

Per = Literal["week", "month", "year", "total"]
WINDOWS = ("week", "month", "year", "total")
MEASURE = {"billed": "usd", "list": "list_usd"}
CHANCES = (0.1, 0.5, 0.9)


class Budget(NamedTuple):
    """One account: whose, how much, how much of it is gone."""

    name: str
    subject: str
    per: Per
    limit_nusd: int
    posted_nusd: int
    """In the window that is running."""
    shares: tuple[float, ...]
    """Of each segment's bill, the subject's."""
    fixed: float = 0.0
    """The part of the money without tokens."""
    enforced: bool = True
    today_nusd: int = 0
    """Of what is posted, today's: the forecast has today as a whole day."""


def exhaustion(budget: Budget, segments: Array, fixed_nusd: float, borders: Sequence[int], until: int) -> Exhaustion:
    """`segments`: nano-USD a day, [segment, path, period]; `borders`: of the periods, days since 1970; `until`: the day after the last."""
    share = np.array(budget.shares)
    rate = np.tensordot(share, segments, axes=1) + budget.fixed * fixed_nusd
    days = np.arange(borders[0], until)
    place = np.searchsorted(np.array(borders), days, side="right") - 1
    daily = rate[:, place]
    daily[:, 0] = np.maximum(daily[:, 0], budget.today_nusd)
    never = until
    first = np.full(len(daily), never)
    shown = []
    for number, (begins, start, after) in enumerate(_windows(budget.per, borders[0], until)):
        before = budget.posted_nusd - budget.today_nusd if number == 0 else 0
        spent = before + np.cumsum(daily[:, start - borders[0] : after - borders[0]], axis=1)
        hit = spent >= budget.limit_nusd
        day = np.where(hit.any(axis=1), start + hit.argmax(axis=1), never)
        first = np.minimum(first, day)
        if number < 2:
            there = day[day < never]
            shown.append(Within(_day(begins), len(there) / len(day), _day(np.median(there)) if len(there) else None))
    ordered = np.sort(first)
    dates = [ordered[min(len(ordered) - 1, int(chance * len(ordered)))] for chance in CHANCES]
    return Exhaustion(
        budget.name, budget.subject, budget.per, budget.limit_nusd, budget.posted_nusd, budget.enforced,
        budget.posted_nusd >= budget.limit_nusd, float((first < never).mean()),
        tuple(None if day >= never else _day(day) for day in dates), tuple(shown),
    )  # fmt: skip


def budgets(standing: Mapping[str, Any], ledger: Path, history: History) -> tuple[list[Budget], list[str]]:
    """Of every account of a limit in money that is forecast, and notes of those that are not. Raises LedgerError."""
    after = history.spans[-1].after
    recent = _rows(ledger, history, Span(max(history.spans[0].first, after - RECENT_DAYS), after))
    today = _rows(ledger, history, Span(history.start, history.start + 1))
    found, left = [], set()
    for one in standing["limits"]:
        rules = rules_of(msgspec.convert({**one["settings"], "mode": "enforce"}, Limit))
        for rule in (rule for rule in rules if rule.measure in MONEY):
            if rule.window.name not in WINDOWS or rule.measure != MEASURE[history.cost]:
                left.add(f"{one['name']} ({rule.measure} per {rule.window.name})")
                continue
            for account in (a for a in one["accounts"] if a["measure"] == rule.measure and a["limit_nusd"] is not None):
                counts = partial(_counts, rule, account["subject"])
                found.append(_budget(one["name"], account, rule.window.name, counts, recent, today, history))
    for account in standing["keys"]:
        if account["limit_nusd"] is not None:
            if history.cost != "billed":  # what a key may spend is money that is billed
                left.add(f"{account['subject']} ({MEASURE['billed']} in total)")
                continue
            found.append(_budget("key", account, "total", partial(_of_key, account["subject"]), recent, today, history))
    notes = (
        [
            f"Limits that are not forecast (a window below a week, a run's, or another cost than this forecast's): {', '.join(sorted(left))}."
        ]
        if left
        else []
    )
    return found, notes


def whole(amount_nusd: int, per: Per, posted_nusd: int, history: History) -> Budget:
    """A budget for everything on record."""
    return Budget("budget", "everything", per, amount_nusd, posted_nusd, (1.0,) * len(history.segments), 1.0)


class _Row(NamedTuple):
    who: Who
    model: str
    segment: int | None
    """None: of none, as a charged hold or what began today."""
    nusd: int
    governed: bool


def _rows(ledger: Path, history: History, span: Span) -> list[_Row]:
    """What was spent in a span by key, agent and model, each with its segment."""
    column = "billed_nusd" if history.cost == "billed" else "list_nusd"
    query = (
        f"SELECT key_id, agent, upstream, target, tariff = '{HELD}', sum({column}) FROM rollup_day"
        " WHERE day >= ? AND day < ? GROUP BY 1, 2, 3, 4, 5"
    )
    found = []
    with reading(ledger) as db:
        keys = {
            key_id: (name, msgspec.json.decode(settings, type=KeySettings))
            for key_id, name, settings in db.execute("SELECT id, name, settings FROM keys")
        }
        for key_id, agent, upstream, target, held, nusd in db.execute(query, span):
            name, settings = keys[key_id]
            lineage = lineage_of(upstream, target)
            group, line = (settings.org, settings.team, agent), f"{lineage.vendor}/{lineage.line}"
            segment = None if held else _segment(history, group, line, lineage.tier)
            found.append(_Row(Who(*group[:2], key_id, name, agent), target, segment, nusd, not settings.source))
    return found


def _segment(history: History, group: tuple[str, ...], line: str, tier: str) -> int | None:
    """Its own one where it has one; else the others of its tier."""
    there = [n for n, s in enumerate(history.segments) if group in s.groups and line in s.lines and tier == s.tier]
    return min(there, key=lambda n: len(history.segments[n].groups) + len(history.segments[n].lines), default=None)


def _of_key(account: str, row: _Row) -> bool:
    return f"key:{row.who.key}" == account


def _counts(rule: Rule, account: str, row: _Row) -> bool:
    return (
        row.governed
        and rule.scope not in (Scope.RUN, Scope.CHILD)
        and applies(rule, row.who, row.model)
        and subject(rule.scope, row.who) == account
    )


def _budget(
    name: str, account: Mapping[str, Any], per: str, counts: Callable[[_Row], bool], recent: Sequence[_Row], today: Sequence[_Row],
    history: History,
) -> Budget:  # fmt: skip
    totals, own = [0] * len(history.segments), [0] * len(history.segments)
    for row in recent:
        if row.segment is not None:
            totals[row.segment] += row.nusd
            own[row.segment] += row.nusd if counts(row) else 0
    shares = tuple(part / total if total > 0 else 0.0 for part, total in zip(own, totals, strict=True))
    limit, posted = account["limit_nusd"], account["posted_nusd"]
    so_far = min(posted, sum(row.nusd for row in today if counts(row)))
    return Budget(name, account["subject"], per, limit, posted, shares, 0.0, account["mode"] == "enforce", so_far)  # type: ignore[arg-type]


def _windows(per: Per, first: int, until: int) -> Iterator[tuple[int, int, int]]:
    """(its first day, the first of it that is forecast, day after its last) of each window; a later one that the forecast cuts off is left out."""
    if per == "total":
        yield first, first, until
        return
    span, day = window(per), first
    while day < until:
        start_ms, end_ms = span.period(day * DAY_MS)
        after = end_ms // DAY_MS
        if after <= until or day == first:
            yield start_ms // DAY_MS, day, min(after, until)
        day = after


def _day(number: float) -> str:
    return day_of(int(number)).isoformat()


def recorded(ledger: Path, first: date, after: date, cost: Cost) -> tuple[int, int]:
    """(nano-USD, tokens) of days [first, after). Raises LedgerError."""
    column = "billed_nusd" if cost == "billed" else "list_nusd"
    with reading(ledger) as db:
        nusd, tokens = db.execute(
            f"SELECT coalesce(sum({column}), 0), coalesce(sum({' + '.join(TOKEN_KINDS)}), 0) FROM rollup_day WHERE day >= ? AND day < ?",
            (days_since_1970(first), days_since_1970(after)),
        ).get
    return nusd, tokens
