"""What was used in each day, week or month, from the sums by the day and the rows of runs: the quantities that the paradox is read from.

Comes in: a ledger file, a span of whole UTC days, whose calls. Goes out: `Period`s in order, and what had to be left aside, each with its
reason. No entry is counted. Does not know: what any of it means.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw
import msgspec

from jevons.core.price import HELD
from jevons.core.usage import TOKEN_KINDS
from jevons.ledger.bill import reading
from jevons.ledger.ops import KeySettings
from jevons.ledger.rollup import COSTS, DAY_MS
from jevons.meter.lineages import Tier, lineage_of

Per = Literal["day", "week", "month"]
Item = tuple[str, ...]
"""Upstream, model, tariff, kind of token."""

DAYS_BY_DAY_MAX, DAYS_BY_WEEK_MAX = 21, 180
"""Up to three weeks are shown by the day, up to half a year by the week: at most 27 points on a chart."""
MONTH_DAYS_MIN = 15
"""A month at an end of which less is in sight is left out: its days are not the month's mean."""
EPOCH = date(1970, 1, 1)


class Whose(NamedTuple):
    """Only these; None = all."""

    key: str | None = None
    team: str | None = None
    agent: str | None = None


EVERYBODY = Whose()


class Period(msgspec.Struct):
    """Sums of one period, as far as it lies in the span."""

    start: date
    days: int
    tokens: int = 0
    steps: int = 0
    loose: int = 0
    """Steps outside any run: each a task of its own."""
    runs: int = 0
    """Runs that no run started, and that called in this period."""
    list_nusd: int = 0
    billed_nusd: int = 0
    items: dict[Item, tuple[int, int]] = {}
    """(tokens, list cost)"""
    tiers: dict[Tier, tuple[int, int, int]] = {}
    """(tokens, list cost, billed cost)"""
    callers: dict[tuple[int, str], tuple[int, int]] = {}
    """Key and client program -> (steps, of them outside any run)"""

    @property
    def tasks(self) -> int:
        """Where only parts of others' runs are in sight, a call is a task."""
        return self.runs + self.loose or self.steps


class Aside(msgspec.Struct):
    """Left aside: why, how many tokens, what it cost."""

    reason: str
    tokens: int = 0
    list_nusd: int = 0
    billed_nusd: int = 0


class Used(msgspec.Struct):
    per: Per
    periods: list[Period]
    """Whole weeks, counted back from the last day with a call; or days; or months."""
    aside: list[Aside]
    sources: list[str]
    """Who told it: "" = metered here."""
    left_out_days: int = 0
    """At the ends, of weeks and months that are not whole."""
    corrections_nusd: int = 0
    """Dated adjustments of the span; they are of no model and no token."""


WHOLE_HOLD = "whole holds that were charged because nobody knows what was used"
CREDITS = "credits of a provider, as an import told them"
NO_TOKENS = "money whose tokens are not told"
NO_PRICE = "imported tokens without a price: free, or of a price that is not known"
NO_CALLS = "imported tokens of which no number of calls is told"


def used(path: Path, first: date, after: date, *, per: Per | None = None, whose: Whose = EVERYBODY) -> Used:
    """Whole UTC days [first, after), cut to those between the first and the last call. `per` None: by how long that is. Raises LedgerError."""
    with reading(path) as db:
        keys = {
            key_id: found for key_id, found in _keys(db) if whose.key in (None, found[0]) and whose.team in (None, found[1].team)
        }
        rows = [row for row in _rows(db, first, after) if row[1] in keys and whose.agent in (None, row[2])]
        if not rows:
            return Used(per or "day", [], [], [])
        first_day, last_day = rows[0][0], rows[-1][0]
        length = per or per_of(last_day + 1 - first_day)
        periods = _periods(first_day, last_day + 1, length)
        begin, end = _day(periods[0].start), _day(periods[-1].start) + periods[-1].days
        rows = [row for row in rows if begin <= row[0] < end]
        place = {day: period for period in periods for day in range(_day(period.start), _day(period.start) + period.days)}
        aside: dict[str, Aside] = {}
        counted = any(row[7] for row in rows)
        for row in rows:
            _add(place[row[0]], aside, row, keys[row[1]][1].source, counted)
        for key_id, agent, from_day, to_day, runs in _runs(db, begin, end):
            if key_id in keys and whose.agent in (None, agent):
                for start in {place[day].start for day in range(max(from_day, begin), min(to_day, end - 1) + 1)}:
                    place[_day(start)].runs += runs
        corrections = sum(nusd for key_id, nusd in _corrections(db, begin, end) if key_id in keys)
    sources = sorted({keys[row[1]][1].source for row in rows})
    return Used(length, periods, list(aside.values()), sources, last_day + 1 - first_day - (end - begin), corrections)


def per_of(days: int) -> Per:
    """The period that shows so many days best."""
    return "day" if days <= DAYS_BY_DAY_MAX else "week" if days <= DAYS_BY_WEEK_MAX else "month"


def _add(period: Period, aside: dict[str, Aside], row: tuple[Any, ...], source: str, counted: bool) -> None:
    _, key_id, agent, upstream, target, tariff, _, steps, loose, *kinds, list_nusd, billed_nusd = row
    tokens, costs = kinds[:5], kinds[5:]
    total = sum(tokens)
    reason = ""
    if tariff == HELD:
        reason = WHOLE_HOLD
    elif list_nusd < 0 or billed_nusd < 0:
        reason = CREDITS
    elif not total and (list_nusd or billed_nusd) and (source or not steps):
        reason = NO_TOKENS
    elif source and total and not list_nusd and not billed_nusd:
        reason = NO_PRICE
    elif source and total and not steps and counted:
        reason = NO_CALLS
    if reason:
        left = aside.setdefault(reason, Aside(reason))
        left.tokens += total
        left.list_nusd += list_nusd
        left.billed_nusd += billed_nusd
        return
    period.tokens += total
    period.steps += steps
    period.loose += loose
    period.list_nusd += list_nusd
    period.billed_nusd += billed_nusd
    for kind, count, nusd in zip(TOKEN_KINDS, tokens, costs, strict=True):
        if count:
            item = (upstream, target, tariff, kind)
            before = period.items.get(item, (0, 0))
            period.items[item] = (before[0] + count, before[1] + nusd)
    had = period.callers.get((key_id, agent), (0, 0))
    period.callers[key_id, agent] = (had[0] + steps, had[1] + loose)
    tier = lineage_of(upstream, target).tier
    sums = period.tiers.get(tier, (0, 0, 0))
    period.tiers[tier] = (sums[0] + total, sums[1] + list_nusd, sums[2] + billed_nusd)


def _periods(begin: int, end: int, per: Per) -> list[Period]:
    """Weeks are counted back from the last day, so that each has all seven, whatever days they are; months begin on their first."""
    if per == "day":
        return [Period(EPOCH + timedelta(day), 1) for day in range(begin, end)]
    if per == "week":
        weeks = (end - begin) // 7
        if not weeks:
            return [Period(EPOCH + timedelta(begin), end - begin)]
        return [Period(EPOCH + timedelta(end - 7 * back), 7) for back in range(weeks, 0, -1)]
    found = []
    while begin < end:
        day = EPOCH + timedelta(begin)
        following = _day(date(day.year + day.month // 12, day.month % 12 + 1, 1))
        found.append(Period(day, min(following, end) - begin))
        begin = following
    return [period for period in found if period.days >= MONTH_DAYS_MIN] or found[:1]


def _day(day: date) -> int:
    return (day - EPOCH).days


def day_of_ms(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def _keys(db: apsw.Connection) -> Iterator[tuple[int, tuple[str, KeySettings]]]:
    for key_id, name, settings in db.execute("SELECT id, name, settings FROM keys"):
        yield key_id, (name, msgspec.json.decode(settings, type=KeySettings))


def _rows(db: apsw.Connection, first: date, after: date) -> Iterator[tuple[Any, ...]]:
    return db.execute(
        f"SELECT day, key_id, agent, upstream, target, tariff, entries, steps, loose, {', '.join(TOKEN_KINDS)}, {', '.join(COSTS)}, list_nusd,"
        " billed_nusd FROM rollup_day WHERE day >= ? AND day < ? ORDER BY day",
        (_day(first), _day(after)),
    )


def _runs(db: apsw.Connection, begin: int, end: int) -> Iterator[tuple[Any, ...]]:
    return db.execute(
        f"SELECT key_id, agent, first_ms / {DAY_MS}, last_ms / {DAY_MS}, count(*) FROM runs"
        " WHERE parent_run_id IS NULL AND steps > 0 AND last_ms >= ? AND first_ms < ? GROUP BY 1, 2, 3, 4",
        (begin * DAY_MS, end * DAY_MS),
    )


def _corrections(db: apsw.Connection, begin: int, end: int) -> Iterator[tuple[Any, ...]]:
    return db.execute(
        "SELECT key_id, nusd FROM adjustments WHERE created_ms >= ? AND created_ms < ?", (begin * DAY_MS, end * DAY_MS)
    )
