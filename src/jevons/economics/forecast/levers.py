"""What the owner of a bill can do about it, in the formula's own terms: each lever as its exact derivative, and as other parts of the bill.

    cache    a share of the input more is read from the provider's cache        d bill / d share = steps · context · (p_cached - p_input)
    route    a share of frontier steps goes to a cheaper model                  d bill / d share = Σ steps · (step there - step here)
    steps    no run goes beyond a number of steps                               d bill / d depth = tasks · step
    swap     one model in place of another                                      d bill / d share = Σ steps · (step there - step here)

The bill is a product of sums of these, so that derivatives are exact; of `steps` the path needs how long runs are, which the ledger says. The
work is taken to stay as it is: another model may need other tokens for it, and the steps that a cap cuts are counted at a mean step's cost (later
ones have more context: the saving is rather more) and shared alike by the lines that a group's runs use: how long a run is is known of its group,
not of a line. Comes in: parts, rates of targets, lengths of runs. Goes out: `Pull`s, slopes, parts.
Does not know: paths, days.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from jevons.economics.forecast.formula import Rates, Terms, bill, step
from jevons.economics.forecast.segments import History, Part, Segment
from jevons.economics.frames import Span
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.ledger.bill import reading
from jevons.ledger.rollup import DAY_MS
from jevons.meter.lineages import lineage_of

Name = Literal["cache", "route", "steps", "swap"]
NAMES = ("cache", "route", "steps", "swap")
SYNTAX = "write cache=+20 (-100 to 100), route=30% (0 to 100), route=30%:MODEL, steps=50 (from 1) or swap=MODEL_A:MODEL_B"


class Target(NamedTuple):
    """Another model, as the price book has it."""

    upstream: str
    model: str
    line: str
    tier: str
    rates: Rates


Targets = Callable[[str], Target]
"""By a name as a person writes it. Raises UnknownFact."""


class Pull(NamedTuple):
    """A lever as it is asked for."""

    name: Name
    text: str
    amount: float
    """cache, route, swap: a share; steps: the cap."""
    old: str = ""
    """swap: a pattern of models."""
    new: str = ""
    """route, swap: the model that takes over; "" = the cheapest of the commodity tier in use that has a price."""


class Slope(NamedTuple):
    """A derivative at today's point."""

    name: Name
    nusd_a_day: float
    """For a whole share (cache, route, swap), or for a hundred per cent of steps a task."""
    said: str


Labels = tuple[str, ...]
"""Of a group: org, team, agent."""


class Runs(NamedTuple):
    """How much of the work is in runs, and how long these are."""

    lengths: Mapping[Labels, Sequence[tuple[int, int]]]
    """Group -> (steps, runs that had so many)."""
    steps: Mapping[tuple[Labels, str], tuple[int, int]]
    """Group and line -> steps, those of them outside any run."""


NO_RUNS = Runs({}, {})


def parse(text: str) -> Pull:
    """Raises UnitCostError that says how a lever is written."""
    name, _, value = text.partition("=")
    try:
        if name == "cache":
            return _checked(Pull("cache", text, float(value.rstrip("%")) / 100))
        if name == "route":
            share, _, model = value.partition(":")
            return _checked(Pull("route", text, float(share.rstrip("%")) / 100, new=model))
        if name == "steps":
            return _checked(Pull("steps", text, float(int(value))))
        if name == "swap":
            old, colon, new = value.partition(":")
            if old and colon and new:
                return Pull("swap", text, 1.0, old, new)
    except (ValueError, OverflowError):
        pass
    raise UnitCostError(f"{text!r} is no lever; {SYNTAX}.")


def _checked(pull: Pull) -> Pull:
    least, most = {"cache": (-1.0, 1.0), "route": (0.0, 1.0), "steps": (1.0, float("inf"))}[pull.name]
    if not least <= pull.amount <= most or pull.amount != pull.amount:
        raise ValueError
    return pull


def settled(pull: Pull, parts: Sequence[Part]) -> Pull:
    """Names may have colons themselves: a swap is taken apart at the first one that has a model in use before it."""
    value = pull.text.partition("=")[2]
    for place in (place for place, letter in enumerate(value) if letter == ":" and pull.name == "swap"):
        old, new = value[:place], value[place + 1 :]
        if new and any(fnmatchcase(part.model, old) for part in parts):
            return pull._replace(old=old, new=new)
    return pull


def pulled(pull: Pull, parts: Sequence[Part], segments: Sequence[Segment], targets: Targets, runs: Runs) -> list[Part]:
    """The parts of the bill with the lever pulled. Raises UnknownFact for a model or a rate that nobody knows, UnitCostError if it moves nothing."""
    match pull.name:
        case "cache":
            found = [part._replace(terms=cached(part.terms, pull.amount)) for part in parts]
        case "steps":
            left = [_left(segments[part.segment], part.line, runs, int(pull.amount)) for part in parts]
            found = [
                part._replace(terms=part.terms._replace(depth=part.terms.depth * share))
                for part, share in zip(parts, left, strict=True)
            ]
        case "route":
            found = moved(parts, pull.amount, _route_target(pull, parts, targets), lambda part: part.tier == "frontier")
        case "swap":
            if not any(fnmatchcase(part.model, pull.old) for part in parts):
                there = ", ".join(sorted({part.model for part in parts})[:8])
                raise UnitCostError(f"{pull.text}: {pull.old} is not in use; there are: {there}.")
            target = targets(pull.new)
            found = moved(parts, 1.0, target, lambda part: fnmatchcase(part.model, pull.old), dearer=True)
    return found


def cached(terms: Terms, more: float) -> Terms:
    """With so much more of the input read from the cache, as far as there is uncached input (or cached, to take back)."""
    share = min(max(terms.cached + more, 0.0), 1 - terms.written)
    rates = terms.rates
    if rates.cached is None or rates.input is None:
        return terms
    return terms._replace(cached=share)


def moved(
    parts: Sequence[Part], share: float, target: Target, which: Callable[[Part], bool], *, dearer: bool = False
) -> list[Part]:
    """A share of the steps of some parts at the target's rates; of those only where it is cheaper, unless `dearer`."""
    found = []
    for part in parts:
        there = _at(part, target) if which(part) and part.model != target.model else None
        if there is None or (not dearer and bill(there.terms) >= bill(part.terms)):
            found.append(part)
            continue
        for one, of in ((part, 1 - share), (there, share)):
            if of:
                found.append(one._replace(terms=one.terms._replace(tasks=one.terms.tasks * of)))
    return found


def slopes(parts: Sequence[Part], targets: Targets) -> list[Slope]:
    """Of each lever that something can be said of without more being asked: cache, route to the usual target, steps."""
    found = [
        Slope("cache", sum(_cache_slope(part.terms) for part in parts), "a share of the input more is read from the cache"),
        Slope("steps", sum(bill(part.terms) for part in parts), "steps a task"),
    ]
    try:
        target = _route_target(Pull("route", "route", 1.0), parts, targets)
    except UnitCostError:
        return found
    routed = [_at(part, target) for part in parts if part.tier == "frontier" and part.model != target.model]
    gains = [bill(there.terms) - bill(part.terms) for part, there in zip(_frontier(parts, target), routed, strict=True)]
    return [*found, Slope("route", sum(min(0.0, gain) for gain in gains), f"a share of frontier steps goes to {target.model}")]


def swap_slope(pull: Pull, parts: Sequence[Part], targets: Targets) -> Slope:
    target = targets(pull.new)
    old = [part for part in parts if fnmatchcase(part.model, pull.old) and part.model != target.model]
    gain = sum(bill(_at(part, target).terms) - bill(part.terms) for part in old)
    return Slope("swap", gain, f"a share of the steps of {pull.old} goes to {target.model}")


def runs_of(ledger: Path, span: Span) -> Runs:
    """Runs that were begun in a span, and the steps in it. Raises LedgerError."""
    who = "coalesce(settings ->> 'org', 'default'), coalesce(settings ->> 'team', ''), agent"
    begun = (
        f"SELECT {who}, steps, count(*) FROM runs JOIN keys ON keys.id = key_id"
        " WHERE first_ms >= ? AND first_ms < ? AND steps > 0 GROUP BY 1, 2, 3, 4"
    )
    made = (
        f"SELECT {who}, upstream, target, sum(steps), sum(loose) FROM rollup_day JOIN keys ON keys.id = key_id"
        " WHERE day >= ? AND day < ? GROUP BY 1, 2, 3, 4, 5"
    )
    lengths: dict[Labels, list[tuple[int, int]]] = {}
    used: dict[tuple[Labels, str], tuple[int, int]] = {}
    with reading(ledger) as db:
        for *group, steps, runs in db.execute(begun, (span.first * DAY_MS, span.after * DAY_MS)):
            lengths.setdefault(tuple(group), []).append((steps, runs))
        for *group, upstream, target, steps, loose in db.execute(made, span):
            lineage = lineage_of(upstream, target)
            where = (tuple(group), f"{lineage.vendor}/{lineage.line}")
            before = used.get(where, (0, 0))
            used[where] = (before[0] + steps, before[1] + loose)
    return Runs(lengths, used)


def with_cached_rates(history: History, known: Callable[[Part], Rates | None]) -> History:
    """Parts that never read from a cache get the book's rate for it, at the discount that they have on input."""
    found = []
    for part in history.parts:
        rates = part.terms.rates
        if rates.cached is None and rates.input and (book := known(part)) is not None and book.cached is not None and book.input:
            rates = rates._replace(cached=book.cached * rates.input / book.input)
        found.append(part._replace(terms=part.terms._replace(rates=rates)))
    return history._replace(parts=tuple(found))


def _cache_slope(terms: Terms) -> float:
    rates = terms.rates
    if rates.cached is None or rates.input is None or terms.cached + terms.written >= 1:
        return 0.0
    return terms.steps * terms.context * (rates.cached - rates.input)


def _left(segment: Segment, line: str, runs: Runs, cap: int) -> float:
    """Share of the steps of a segment's line that a cap leaves: Σ min(n, cap) / Σ n of those in runs; calls outside runs stay."""
    all_steps, cut = 0, 0.0
    for group in segment.groups:
        steps, loose = runs.steps.get((group, line), (0, 0))
        lengths = runs.lengths.get(group, ())
        in_runs = sum(n * count for n, count in lengths)
        beyond = sum(max(0, n - cap) * count for n, count in lengths)
        all_steps += steps
        cut += (steps - loose) * beyond / in_runs if in_runs else 0.0
    return 1 - cut / all_steps if all_steps else 1.0


def _route_target(pull: Pull, parts: Sequence[Part], targets: Targets) -> Target:
    if pull.new:
        return targets(pull.new)
    frontier = [part for part in parts if part.tier == "frontier" and part.terms.steps]
    known = [targets(part.model) for part in parts if part.tier == "commodity"]
    priced = [target for target in known if any(target.rates)]
    able = [target for target in priced if frontier and all(_able(part.terms, target) for part in frontier)]
    if not able:
        raise UnknownFact(f"{pull.text}: no model in use could take over from one of the frontier; name one: route=30%:MODEL.")
    return min(able, key=lambda target: sum(bill(_at(part, target).terms) for part in frontier))


def _frontier(parts: Sequence[Part], target: Target) -> list[Part]:
    return [part for part in parts if part.tier == "frontier" and part.model != target.model]


def _at(part: Part, target: Target) -> Part:
    """The part's steps at the target's rates. Raises UnknownFact for a kind that it has no rate for."""
    if not _able(part.terms, target):
        raise UnknownFact(f"{target.model} has tokens of {part.model} to take over for which the price book has no rate.")
    terms = part.terms._replace(rates=target.rates)
    return part._replace(upstream=target.upstream, model=target.model, line=target.line, tier=target.tier, terms=terms)


def _able(terms: Terms, target: Target) -> bool:
    """Is there a rate for every kind of token that would have to be paid for?"""
    try:
        step(terms._replace(rates=target.rates))
    except ValueError:
        return False
    return True
