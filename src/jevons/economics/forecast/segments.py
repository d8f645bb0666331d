"""Who uses what, week by week: the histories that a forecast continues, and the point that it starts from.

Comes in: a ledger file and today. Goes out: a `History` of segments (organisation, team, agent × line of models), each with its tasks a day,
steps a task and tokens a step in every whole week, oldest first, and its parts by model as they are now. Two years and more are read by the
month. The day that is running is left out. What is small is one segment for each tier. Does not know: what comes next.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Literal, NamedTuple

from jevons.core.price import HELD
from jevons.economics.forecast.entries import Entry, entry
from jevons.economics.forecast.formula import Rates, Terms, bill, terms_of
from jevons.economics.frames import (
    BILLED_NUSD,
    CALLS,
    INPUT,
    LIST_NUSD,
    OUTPUT,
    UNATTRIBUTED,
    Cost,
    Days,
    Frame,
    Group,
    Leaf,
    Span,
    Sums,
)
from jevons.ledger.bill import reading

DIMENSIONS = ("org", "team", "agent")
WEEK_DAYS = 7
RECENT_DAYS = 28
"""Today's point is the mean of as many days: four whole weeks, so that no weekday counts more than others."""
MONTHS_MIN = 24
"""From so many whole months on a history is read by the month: two years, in which a season comes twice."""
SEGMENTS_MAX = 8
SHARE_MIN = 0.01
"""Of the recent bill: what is smaller is among the others of its tier."""
STALE_DAYS = 7
"""Nothing recorded for longer: use is taken to go on from where it stopped, and that is said."""
OTHER = "other"
_UNIX = date(1970, 1, 1)
Labels = tuple[str, ...]
"""Of a group, as `DIMENSIONS`."""


class Part(NamedTuple):
    """A model in a segment, as of now."""

    segment: int
    upstream: str
    model: str
    line: str
    tier: str
    terms: Terms


class Segment(NamedTuple):
    labels: dict[str, str]
    """org, team, agent; of the others none."""
    line: str
    tier: str
    groups: frozenset[tuple[str, ...]]
    """Whose work it is, as `DIMENSIONS`."""
    lines: frozenset[str]
    tasks: tuple[float, ...]
    """A day, in each period from the first in which it was used."""
    depth: tuple[float, ...]
    """Steps a task, where there were tasks."""
    size: tuple[float, ...]
    """Tokens a step, where there were steps."""
    nusd: float
    """A day, now."""

    @property
    def name(self) -> str:
        said = " ".join(self.labels[key] for key in ("team", "agent") if self.labels.get(key))
        return f"{said or self.labels.get('org', '')} {self.line}".strip()


class History(NamedTuple):
    per: Literal["week", "month"]
    cost: Cost
    spans: tuple[Span, ...]
    """Whole periods, oldest first; one of less than a week where there is no more."""
    spent: tuple[int, ...]
    """What each cost, nano-USD."""
    tokens: tuple[int, ...]
    segments: tuple[Segment, ...]
    parts: tuple[Part, ...]
    fixed_nusd: float
    """A day: money that has no tokens to grow with (charged holds, what a source told as money only)."""
    start: int
    """The first day that is forecast."""
    notes: tuple[str, ...]
    more: dict[tuple[str, str], Rates]
    """(upstream, model) -> what its tokens cost beyond those of now: as billed, and at list price where none of them is billed."""
    entered: tuple[Entry, Entry]
    """By what growth of money and of tokens came from uses that were new."""

    @property
    def days(self) -> int:
        return sum(span.days for span in self.spans)

    @property
    def weeks(self) -> float:
        return self.days / WEEK_DAYS


def days_since_1970(day: date) -> int:
    return (day - _UNIX).days


def day_of(number: int) -> date:
    return _UNIX + timedelta(days=number)


def history(ledger: Path, today: date, cost: Cost | None = None) -> History | None:
    """What was used before `today`; None if nothing was. `cost` None: billed, or list where nothing was billed. Raises LedgerError."""
    if cost is None:
        billed = history(ledger, today, "billed")
        return history(ledger, today, "list") if billed is not None and not sum(billed.spent) else billed
    with reading(ledger) as db:
        first, last = db.execute(
            "SELECT min(day), max(day) FROM rollup_day WHERE day < ? AND (entries > 0 OR list_nusd > 0)",
            (days_since_1970(today),),
        ).get
    if first is None:
        return None
    now = days_since_1970(today)
    stale = now - 1 - last > STALE_DAYS
    end = last + 1 if stale else now
    spans = tuple(_periods(first, end))
    per: Literal["week", "month"] = "month" if spans[-1].days > WEEK_DAYS and len(spans) >= MONTHS_MIN else "week"
    days = Days(ledger, Span(first, end), DIMENSIONS, cost)
    frames = list(days.frames(spans))
    recent_span = Span(max(first, spans[-1].after - RECENT_DAYS), spans[-1].after)
    [recent] = days.frames([recent_span])
    since = _since(frames, recent, spans)
    days_there = {group: spans[-1].after - max(day, recent_span.first) for group, day in since.items()}
    segments, parts = _segments(frames, recent, spans, days_there, cost)
    kept = {HELD, UNATTRIBUTED}
    fixed = sum(nusd for aside, nusd in recent.aside.items() if aside.effect in kept) / recent_span.days
    free, more = _more(recent, cost)
    notes = [*_stale(stale, last), *_gone(segments, frames), *_new(since, spans), *_free(free)]
    return History(
        per, cost, spans, tuple(frame.nusd(cost) for frame in frames), tuple(_tokens(frame) for frame in frames), segments, parts, fixed,
        now, tuple(notes), more, _entered(frames, spans, cost),
    )  # fmt: skip


def _periods(first: int, end: int) -> Iterable[Span]:
    """Calendar months where there are enough, else whole weeks back from the end; of less than a week all there is."""
    borders = [number for number in range(first, end + 1) if day_of(number).day == 1]
    if len(borders) > MONTHS_MIN:
        return [Span(a, b) for a, b in pairwise(borders)]
    weeks = (end - first) // WEEK_DAYS
    return [Span(end - WEEK_DAYS * back, end - WEEK_DAYS * (back - 1)) for back in range(weeks, 0, -1)] or [Span(first, end)]


def _since(frames: Sequence[Frame], recent: Frame, spans: Sequence[Span]) -> dict[Labels, int]:
    """The first day of the period in which each of those who are there now began. Who is new stands at what it used since, not at a part of it;
    a line that is new in an agent's hands may have taken another one's place, so that both have the same days."""
    found: dict[Labels, int] = {leaf.group.labels: spans[-1].first for leaf in recent.leaves}
    for frame, span in reversed(list(zip(frames, spans, strict=True))):
        found |= {leaf.group.labels: span.first for leaf in frame.leaves if leaf.group.labels in found}
    return found


class _Use(NamedTuple):
    """Of one segment in one frame."""

    tasks: float
    sums: Sums


_Key = tuple[Group, str, str]
"""Group, line, tier."""


def _uses(frame: Frame) -> dict[_Key, _Use]:
    """A group's tasks are shared out over its lines by their steps."""
    steps: dict[Group, int] = {}
    found: dict[_Key, Sums] = {}
    for leaf, sums in frame.leaves.items():
        steps[leaf.group] = steps.get(leaf.group, 0) + sums[CALLS]
        key = (leaf.group, leaf.line, leaf.tier)
        found[key] = list(map(add, found[key], sums)) if key in found else sums
    return {key: _Use(_share(frame.tasks[key[0]], sums[CALLS], steps[key[0]]), sums) for key, sums in found.items()}


def _segments(
    frames: Sequence[Frame], recent: Frame, spans: Sequence[Span], days: Mapping[Labels, int], cost: Cost
) -> tuple[tuple[Segment, ...], tuple[Part, ...]]:
    place = BILLED_NUSD if cost == "billed" else LIST_NUSD
    now = _uses(recent)
    total = sum(use.sums[place] for use in now.values())
    largest = sorted(now, key=lambda key: (-now[key].sums[place], key))
    own = [key for key in largest[:SEGMENTS_MAX] if now[key].sums[place] >= SHARE_MIN * total]
    # One that would stand alone among the others keeps its name.
    others = {tier: [key for key in largest if key not in own and key[2] == tier] for tier in ("frontier", "commodity")}
    pools = [[key] for key in own] + [keys for keys in others.values() if keys]
    used = [_uses(frame) for frame in frames]
    segments, parts = [], []
    for number, keys in enumerate(pools):
        group, line, tier = keys[0]
        alone = len(keys) == 1
        labels = dict(zip(DIMENSIONS, group.labels, strict=True)) if alone else {}
        found = list(_parts(number, set(keys), recent, days, cost))
        parts += found
        segments.append(
            Segment(
                labels, line if alone else f"{OTHER} {tier}", tier, frozenset(key[0].labels for key in keys),
                frozenset(key[1] for key in keys), *_series(keys, used, spans), sum(bill(part.terms) for part in found),
            )
        )  # fmt: skip
    return tuple(segments), tuple(parts)


def _series(
    keys: Sequence[_Key], used: Sequence[dict[_Key, _Use]], spans: Sequence[Span]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    tasks: list[float] = []
    depth: list[float] = []
    size: list[float] = []
    for frame, span in zip(used, spans, strict=True):
        there = [frame[key] for key in keys if key in frame]
        n, steps = sum(use.tasks for use in there), sum(use.sums[CALLS] for use in there)
        tokens = sum(sum(use.sums[INPUT : OUTPUT + 1]) for use in there)
        if n or tasks:
            tasks.append(n / span.days)
        if n and steps:
            depth.append(steps / n)
        if steps and tokens:
            size.append(tokens / steps)
    return tuple(tasks), tuple(depth), tuple(size)


def _parts(number: int, keys: set[_Key], recent: Frame, days: Mapping[Labels, int], cost: Cost) -> Iterable[Part]:
    steps: dict[Group, int] = {}
    models: dict[tuple[Group, str, str, str, str], Sums] = {}
    for leaf, sums in recent.leaves.items():
        steps[leaf.group] = steps.get(leaf.group, 0) + sums[CALLS]
        if (leaf.group, leaf.line, leaf.tier) in keys:
            where = (leaf.group, leaf.line, leaf.tier, _upstream(leaf), leaf.model)
            models[where] = list(map(add, models[where], sums)) if where in models else sums
    for (group, line, tier, upstream, model), sums in sorted(models.items(), key=lambda item: item[0][1:]):
        if sums[CALLS]:
            tasks = _share(recent.tasks[group], sums[CALLS], steps[group])
            yield Part(number, upstream, model, line, tier, terms_of(sums, tasks, days[group.labels], cost))


def _entered(frames: Sequence[Frame], spans: Sequence[Span], cost: Cost) -> tuple[Entry, Entry]:
    place = BILLED_NUSD if cost == "billed" else LIST_NUSD
    money: list[dict[Hashable, float]] = []
    tokens: list[dict[Hashable, float]] = []
    for frame in frames:
        paid: dict[Hashable, float] = {}
        used: dict[Hashable, float] = {}
        for leaf, sums in frame.leaves.items():
            use = (leaf.group.labels, leaf.line)
            paid[use] = paid.get(use, 0.0) + sums[place]
            used[use] = used.get(use, 0.0) + sum(sums[INPUT : OUTPUT + 1])
        money.append(paid)
        tokens.append(used)
    weeks_each = sum(span.days for span in spans) / len(spans) / WEEK_DAYS
    return entry(money, weeks_each), entry(tokens, weeks_each)


def _more(recent: Frame, cost: Cost) -> tuple[set[str], dict[tuple[str, str], Rates]]:
    """Models of which nothing was billed although they have a list price, and rates. A free tier or a subscription ends at its quota."""
    used: dict[tuple[str, str], Sums] = {}
    charged: dict[tuple[str, str], Sums] = {}
    for leaf, sums in recent.leaves.items():
        where = (_upstream(leaf), leaf.model)
        used[where] = list(map(add, used[where], sums)) if where in used else sums
        if cost == "list" or sums[BILLED_NUSD] or not sums[LIST_NUSD]:
            charged[where] = list(map(add, charged[where], sums)) if where in charged else sums
    more = {
        where: terms_of(charged[where], 1, 1, cost).rates if where in charged else terms_of(sums, 1, 1, "list").rates
        for where, sums in used.items()
    }
    return {model for upstream, model in used.keys() - charged.keys()}, more


def _new(since: Mapping[Labels, int], spans: Sequence[Span]) -> list[str]:
    """Who began within the weeks that today's point is the mean of."""
    begun = {group for group, day in since.items() if spans[0].first < day and day > spans[-1].after - RECENT_DAYS}
    named = sorted({" ".join(label for label in group[1:] if label) or group[0] for group in begun})
    if not named:
        return []
    return [
        f"Began in the last {RECENT_DAYS} days, so taken at what it used since: {', '.join(named[:5])}{' and others' if len(named) > 5 else ''}."
    ]


def _free(models: set[str]) -> list[str]:
    named = ", ".join(sorted(models)[:5]) + (" and others" if len(models) > 5 else "")
    return (
        [f"Not billed (a free tier, a subscription): {named}. A lever that sends work there pays list price."] if models else []
    )


def _upstream(leaf: Leaf) -> str:
    return leaf.tariff.partition(" ")[0]


def _share(tasks: int, part: int, whole: int) -> float:
    return tasks * part / whole if whole else 0.0


def _tokens(frame: Frame) -> int:
    return sum(sum(sums[INPUT : OUTPUT + 1]) for sums in frame.leaves.values())


def _stale(stale: bool, last: int) -> list[str]:
    return [f"Nothing is recorded since {day_of(last)}: use is taken to go on from there."] if stale else []


def _gone(segments: Sequence[Segment], frames: Sequence[Frame]) -> list[str]:
    there = {(group, line) for segment in segments for group in segment.groups for line in segment.lines}
    gone = {(leaf.group.labels, leaf.line) for frame in frames for leaf in frame.leaves} - there
    if not gone:
        return []
    lines = sorted({line for _, line in gone})
    return [
        f"Not used in the last {RECENT_DAYS} days, so not continued: {', '.join(lines[:5])}{' and others' if len(lines) > 5 else ''}."
    ]
