"""Why the bill changed: effects that sum to the change, each with the segments that it comes from.

Comes in: a ledger and two spans of days, or one span that is followed period by period. Goes out: an `Explanation` in whole nano-USD, by
LMDI-I and by Shapley side by side. The way from the first span to the last is gone in the shortest steps there are (by the day), since models turn
over within months and two far ends have little in common. Does not know: how it is shown.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Literal

import msgspec

from jevons.core.limits import EXPLAIN_PARTS_MAX, EXPLAIN_SEGMENTS_MAX, EXPLAIN_STEPS_MAX
from jevons.core.money import short_usd
from jevons.economics import nest
from jevons.economics.frames import (
    BILLED_NUSD,
    BY_CALLS,
    CALLS,
    DIMENSIONS,
    INPUT,
    LIST_NUSD,
    OUTPUT,
    UNATTRIBUTED,
    Cost,
    Days,
    Frame,
    Group,
    Span,
)
from jevons.economics.nest import ENTRY, EXIT, Found, Names, Place, Step
from jevons.economics.sentences import sentence

Every = Literal["day", "week", "month"]
BY = (*DIMENSIONS, "tier", "line", "model", "tariff", "kind")
DEFAULT_BY = ("team", "agent", "model")
WEEK_DAYS = 7
LOOSE_SHARE_MAX = 0.2
"""By how much the share of calls outside runs may differ before tasks are no longer the same thing at both ends."""
FLOATS_LOSE = 1e-9
"""Of the sum of all amounts, far more than adding up floats can lose."""
_TELLS: dict[str, tuple[str, ...]] = {
    nest.VOLUME: (),
    nest.MIX: (),
    nest.DEPTH: (),
    nest.CONTEXT: (),
    nest.OUTPUT: (),
    "tier": ("tier", "line"),
    "lineage": ("line",),
    ENTRY: ("line",),
    EXIT: ("line",),
    "substitution": ("line", "model"),
    "tariff": ("model", "tariff"),
    nest.PRICE: ("model", "kind"),
}
"""What tells the segments of an effect apart within a group, where models were asked for; of the others it is the model."""


class Period(msgspec.Struct, frozen=True):
    """Whole UTC days: `first` to `last`, both in it."""

    first: str
    last: str
    nusd: int


class Segment(msgspec.Struct, frozen=True):
    labels: dict[str, str]
    lmdi_nusd: int
    shapley_nusd: int


class Effect(msgspec.Struct, frozen=True):
    name: str
    lmdi_nusd: int
    shapley_nusd: int
    sentence: str
    segments: tuple[Segment, ...]
    """The largest first; they sum to the effect, the last may be all others (labels empty)."""


class Explanation(msgspec.Struct, frozen=True):
    """Effects by either method sum to `change_nusd` exactly."""

    cost: Cost
    by: tuple[str, ...]
    base: Period
    now: Period
    base_nusd: int
    bill_nusd: int
    change_nusd: int
    steps: int
    """How many steps were taken apart on the way."""
    effects: tuple[Effect, ...]
    """The largest first."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the figures, in sentences."""


def explain(ledger: Path, window: Span, base: Span, *, by: Sequence[str] = DEFAULT_BY, cost: Cost | None = None) -> Explanation:
    """Why `window` cost more or less than `base`. `cost`: None = billed, or list where nothing was billed (a subscription).

    Raises LedgerError, ValueError for an unknown dimension.
    """
    return _explained(ledger, base, window, between(base, window), by, cost)


def follow(ledger: Path, span: Span, every: Every, *, by: Sequence[str] = DEFAULT_BY, cost: Cost | None = None) -> Explanation:
    """Why the last day, week or month of a span cost more or less than the first, along all between. Raises as `explain`."""
    way = periods(span, every)
    found = _explained(ledger, way[0], way[-1], [way], by, cost)
    if not (out := (way[0].first - span.first) + (span.after - way[-1].after)):
        return found
    return msgspec.structs.replace(found, notes=(*found.notes, f"Left out at the ends, as no whole {every}: {out} of the days."))


def halves(ledger: Path, span: Span) -> tuple[Span, Span] | None:
    """Two halves of the days of a span from the first on which something was used; None if these are fewer than two."""
    days = Days(ledger, span, (), "list")
    first = next((day for day in range(*span) if days.any(Span(day, day + 1))), span.after)
    half = (span.after - first) // 2
    return (Span(span.after - 2 * half, span.after - half), Span(span.after - half, span.after)) if half else None


def between(base: Span, window: Span) -> list[list[Span]]:
    """The ways from one to the other: each a part of `base`, a week or a quarter of it, that moves to its place in `window` by a day at a time
    where that is not too many. Parts, since within a long span a model that goes and one that comes meet no longer as they were.

    At once where they are shorter than a week: what rests on a weekend would look like gone and new.
    """
    days = min(base.days, window.days)
    most = max(1, min(EXPLAIN_PARTS_MAX, days // WEEK_DAYS))
    # Parts of one length share steps: where the second begins the first has been.
    parts = next((n for n in range(most, 1, -1) if days % n == 0), most)
    far = max(abs(window.first - base.first), abs(window.after - base.after))
    steps = max(1, min(far, EXPLAIN_STEPS_MAX)) if days >= WEEK_DAYS else 1

    def border(place: int, step: int) -> int:
        a, b = (span.first + span.days * place // parts for span in (base, window))
        return a + (b - a) * step // steps

    return [[Span(border(part, step), border(part + 1, step)) for step in range(steps + 1)] for part in range(parts)]


def periods(span: Span, every: Every) -> list[Span]:
    """The whole days, weeks (of seven days, back from its last) or calendar months of a span. Raises ValueError for fewer than two."""
    if every == "month":
        borders = [day for day in range(span.first, span.after + 1) if _date(day).day == 1]
    else:
        borders = list(range(span.after, span.first - 1, -{"day": 1, "week": WEEK_DAYS}[every]))[::-1]
    if len(borders) < 3:
        raise ValueError(f"There are no two {every}s from {_date(span.first)} to {_date(span.after)} to compare.")
    return [Span(a, b) for a, b in pairwise(borders)]


def _explained(
    ledger: Path, base: Span, window: Span, ways: list[list[Span]], by: Sequence[str], cost: Cost | None
) -> Explanation:
    if cost is None:
        billed = _explained(ledger, base, window, ways, by, "billed")
        return billed if billed.base_nusd or billed.bill_nusd else _explained(ledger, base, window, ways, by, "list")
    if unknown := [name for name in by if name not in BY]:
        raise ValueError(f"{unknown[0]!r} is no dimension of a bill; choose of {', '.join(BY)}")
    dimensions = tuple(name for name in by if name in DIMENSIONS)
    every = [base, window, *(span for way in ways for span in way)]
    days = Days(ledger, Span(min(span.first for span in every), max(span.after for span in every)), dimensions, cost)
    first, last = days.frames([base, window])
    named = _began_to_name_runs(first, last)
    if named:
        days.count_calls(named)
        first, last = days.frames([base, window])
    found: Found = {}
    _ends(first, last, cost, found)
    # Where nothing was used in between there is nothing to compare with.
    ways = [[span for place, span in enumerate(way) if place in (0, len(way) - 1) or days.any(span)] for way in ways]
    steps = Counter(step for way in ways for step in pairwise(way))
    staying = _groups(first) & _groups(last)
    _walk(days, ways, steps, Step(cost, _naming(first, last), found), staying)
    base_nusd, bill_nusd = first.nusd(cost), last.nusd(cost)
    segments = _segments(found, tuple(by), dimensions)
    _leave_over(segments, bill_nusd - base_nusd)
    totals = _whole(segments, bill_nusd - base_nusd)
    effects = [
        Effect(
            name,
            sum(s.lmdi_nusd for s in parts),
            sum(s.shapley_nusd for s in parts),
            sentence(name, parts, first, last, dimensions),
            _shown(parts),
        )
        for name, parts in totals.items()
    ]
    effects.sort(key=lambda effect: (-abs(effect.lmdi_nusd), effect.name))
    return Explanation(
        cost,
        tuple(by),
        Period(str(_date(base.first)), str(_date(base.after - 1)), base_nusd),
        Period(str(_date(window.first)), str(_date(window.after - 1)), bill_nusd),
        base_nusd,
        bill_nusd,
        bill_nusd - base_nusd,
        len(steps),
        tuple(effects),
        (
            *_against_each_other(effects, first, last),
            *_told(named, dimensions),
            *days.told([base, window]),
            *_untold(staying),
            *_unpriced(first, last),
        ),
    )


def _walk(days: Days, ways: list[list[Span]], steps: Counter[tuple[Span, Span]], step: Step, staying: set[Group]) -> None:
    """Take each step once, as often as ways share it."""
    bases = [sorted(group for group in staying if group.basis == basis) for basis in sorted({group.basis for group in staying})]
    taken: set[tuple[Span, Span]] = set()
    for way in ways:
        frames = zip(way, days.frames(way), strict=True)
        for (here, before), (there, after) in pairwise(frames):
            if (here, there) not in taken:
                taken.add((here, there))
                for groups in bases:
                    step.take(before, after, groups, steps[here, there])


def _ends(first: Frame, last: Frame, cost: Cost, found: Found) -> None:
    """What has no factors, and groups that are there at one end only."""
    for place in {**first.aside, **last.aside}:
        change = last.aside.get(place, 0) - first.aside.get(place, 0)
        _put(found, Place(place.labels, "", "", place.model, ""), place.effect, change)
    staying = _groups(first) & _groups(last)
    for frame, effect, sign in ((first, EXIT, -1), (last, ENTRY, 1)):
        for leaf, sums in frame.leaves.items():
            if leaf.group not in staying:
                nusd = sums[BILLED_NUSD if cost == "billed" else LIST_NUSD]
                _put(found, Place(leaf.group.labels, *leaf[1:]), effect, sign * nusd)


def _put(found: Found, place: Place, effect: str, nusd: int) -> None:
    sums = found.setdefault(place, {}).setdefault((effect, ""), [0.0, 0.0])
    sums[0] += nusd
    sums[1] += nusd


def _against_each_other(effects: Sequence[Effect], first: Frame, last: Frame) -> list[str]:
    """More calls that are smaller, or fewer that are larger: then neither effect is much by itself."""
    sums = {effect.name: effect.lmdi_nusd for effect in effects}
    depth, size = sums.get(nest.DEPTH, 0), sums.get(nest.CONTEXT, 0) + sums.get(nest.OUTPUT, 0)
    if depth * size >= 0 or 2 * abs(depth + size) > max(abs(depth), abs(size)):
        return []
    per_task = []
    for frame in (first, last):
        tokens = sum(sum(of[INPUT : OUTPUT + 1]) for leaf, of in frame.leaves.items() if leaf.group.basis == BY_CALLS)
        tasks = sum(n for group, n in frame.tasks.items() if group.basis == BY_CALLS)
        per_task.append(f"{tokens / tasks:,.0f}" if tasks else "none")
    together = f"{'+' if depth + size > 0 else ''}{short_usd(depth + size)}"
    what = "Calls per task and tokens per call moved against each other (calls of other sizes came or went)"
    return [f"{what}: read them together, as tokens per task ({per_task[0]} → {per_task[1]}), {together}."]


def _began_to_name_runs(first: Frame, last: Frame) -> set[Group]:
    """Groups of which many more, or many fewer, calls are in runs than before: their tasks before and after are not the same thing."""
    found = set()
    for group in _groups(first) & _groups(last):
        shares = []
        for frame in (first, last):
            calls = sum(sums[CALLS] for leaf, sums in frame.leaves.items() if leaf.group == group)
            shares.append(frame.loose.get(group, 0) / calls if calls else 0)
        if group.basis == BY_CALLS and abs(shares[1] - shares[0]) > LOOSE_SHARE_MAX:
            found.add(group)
    return found


def _told(named: set[Group], dimensions: tuple[str, ...]) -> list[str]:
    said = sorted(
        ", ".join(f"{name} {value}" for name, value in zip(dimensions, group.labels, strict=True) if value) for group in named
    )
    return [f"{of or 'All'}: the share of calls in runs is not what it was, so each call counts as a task." for of in said]


def _untold(groups: set[Group]) -> list[str]:
    if all(group.basis == BY_CALLS for group in groups):
        return []
    return [
        "Some sources do not tell how many calls there were. Of these, volume is the number of tokens, and context and output are their shares."
    ]


def _unpriced(first: Frame, last: Frame) -> list[str]:
    tokens = [
        sum(sum(sums[INPUT : OUTPUT + 1]) for sums in frame.leaves.values() if not sums[LIST_NUSD]) for frame in (first, last)
    ]
    if not any(tokens):
        return []
    return [
        f"Tokens without a price (free, or not known) count as work that costs nothing: {tokens[0]:,} before, {tokens[1]:,} now."
    ]


def _groups(frame: Frame) -> set[Group]:
    return {leaf.group for leaf in frame.leaves}


def _naming(first: Frame, last: Frame) -> nest.Naming:
    """In the work of somebody, a line that is new took tokens from others. In a market, where nobody is told apart, it did so as far as the
    others of its tier have fewer than before; what it has beyond that is an entry. The other way for a line that is gone."""
    tokens: dict[tuple[Group, str, str], list[int]] = {}
    for place, frame in enumerate((first, last)):
        for leaf, sums in frame.leaves.items():
            tokens.setdefault((leaf.group, leaf.tier, leaf.line), [0, 0])[place] += sum(sums[INPUT : OUTPUT + 1])
    left: dict[tuple[Group, str], int] = {}
    came: dict[tuple[Group, str], int] = {}
    for (group, tier, _), (here, there) in tokens.items():
        left[group, tier] = left.get((group, tier), 0) + max(0, here - there)
        came[group, tier] = came.get((group, tier), 0) + max(0, there - here)

    def names(group: Group, tier: str, line: str) -> Names:
        here, there = tokens.get((group, tier, line), (0, 0))
        if group.labels or bool(here) == bool(there):
            return [("lineage", 1.0)]
        gone, new = left[group, tier], came[group, tier]
        share = min(gone, new) / (gone if here else new)
        return [("lineage", share), (EXIT if here else ENTRY, 1 - share)]

    return names


Key = tuple[tuple[str, str], ...]


def _segments(found: Found, by: tuple[str, ...], dimensions: tuple[str, ...]) -> dict[tuple[str, Key], list[float]]:
    """(effect, labels) -> sums by either method."""
    gathered: dict[tuple[str, Key], tuple[list[float], list[float]]] = {}
    for place, effects in found.items():
        own = place._asdict()
        for (effect, kind), (by_lmdi, by_shapley) in effects.items():
            labels = dict(zip(dimensions, place.labels, strict=True))
            told = _TELLS.get(effect, ("model",))
            if "model" not in by:
                told = tuple(name for name in by if name not in dimensions) if told else ()
            labels |= {name: value for name in told if (value := kind if name == "kind" else own[name])}
            lists = gathered.setdefault((effect, tuple(labels.items())), ([], []))
            lists[0].append(by_lmdi)
            lists[1].append(by_shapley)
    return {key: [fsum(lists[0]), fsum(lists[1])] for key, lists in gathered.items()}


def _leave_over(sums: dict[tuple[str, Key], list[float]], change: int) -> None:
    """What floats cannot have lost is not hidden by rounding: it stays unattributed."""
    for column in (0, 1):
        values = [of[column] for of in sums.values()]
        left = change - fsum(values)
        if abs(left) > len(values) + FLOATS_LOSE * fsum(map(abs, values)):
            sums.setdefault((UNATTRIBUTED, ()), [0.0, 0.0])[column] += left


def _whole(sums: dict[tuple[str, Key], list[float]], change: int) -> dict[str, list[Segment]]:
    """Effect -> segments in whole nano-USD that sum to the change, the largest first."""
    columns = [_rounded([values[column] for values in sums.values()], change) for column in (0, 1)]
    effects: dict[str, list[Segment]] = {}
    for (effect, labels), by_lmdi, by_shapley in zip(sums, *columns, strict=True):
        if by_lmdi or by_shapley:
            effects.setdefault(effect, []).append(Segment(dict(labels), by_lmdi, by_shapley))
    for segments in effects.values():
        segments.sort(key=lambda segment: (-abs(segment.lmdi_nusd), sorted(segment.labels.items())))
    return effects


def _rounded(values: Iterable[float], total: int) -> list[int]:
    """Whole numbers that sum to the total; what rounding leaves goes to the largest, where it shows least."""
    whole = [round(value) for value in values]
    if whole:
        largest = max(range(len(whole)), key=lambda place: abs(whole[place]))
        whole[largest] += total - sum(whole)
    return whole


def _shown(segments: list[Segment]) -> tuple[Segment, ...]:
    if len(segments) <= EXPLAIN_SEGMENTS_MAX:
        return tuple(segments)
    rest = segments[EXPLAIN_SEGMENTS_MAX - 1 :]
    others = Segment({}, sum(s.lmdi_nusd for s in rest), sum(s.shapley_nusd for s in rest))
    return (*segments[: EXPLAIN_SEGMENTS_MAX - 1], others)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
