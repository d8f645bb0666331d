"""The whole forecast as one document: what `jevons forecast` prints, draws and gives as JSON, and the dashboard shows.

Comes in: a ledger file, the price book, today, what is asked for. Goes out: a `Forecast` in whole nano-dollars, every figure of it estimated, with
where it comes from and how much of it is history. Does not know: the clock, configuration, how it is shown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jevons.economics.forecast import caveats
from jevons.economics.forecast import levers as pulls
from jevons.economics.forecast.document import (
    Basis,
    Change,
    Fan,
    Forecast,
    LeverPath,
    LeverSlope,
    ModelFloor,
    Month,
    Past,
    ScenarioPath,
    SegmentNow,
    TierPace,
)
from jevons.economics.forecast.exhaustion import Per, budgets, exhaustion, recorded, whole
from jevons.economics.forecast.floors import Floor, floor, floor_of
from jevons.economics.forecast.formula import Rates
from jevons.economics.forecast.formula import bill as bill_a_day
from jevons.economics.forecast.price_paths import Announced, Pace, announced, pace, rates_of
from jevons.economics.forecast.priors import Priors, Scenario, priors
from jevons.economics.forecast.scenarios import break_even, scenario
from jevons.economics.forecast.segments import WEEK_DAYS, History, Part, day_of, days_since_1970, history
from jevons.economics.forecast.simulate import PATHS, SEED, Array, Paths, bill, calendar, draw, tokens, under
from jevons.economics.frames import Cost, Span
from jevons.economics.unitcost.errors import UnknownFact
from jevons.meter.lineages import Tier, lineage_of
from jevons.meter.naming import UnknownModel, resolve_model
from jevons.meter.pricebook import PriceBook

TIERS: tuple[Tier, ...] = ("frontier", "commodity")
CHANCES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""Ends of the central intervals of 95, 80 and 50 per cent, and the median."""
MONTH_DAYS = 365.25 / 12
"""A derivative is told for a mean month."""


class Own(NamedTuple):
    """A budget for everything on record."""

    nusd: int
    per: Per


def forecast(
    ledger: Path, months: int = 12, *, today: date, book: PriceBook | None = None, standing: Mapping[str, Any] | None = None,
    budget: Own | None = None, levers: Sequence[str] = (), scenarios: Sequence[str] = (), cost: Cost | None = None, paths: int = PATHS,
    seed: int = SEED,
) -> Forecast | None:  # fmt: skip
    """The next `months` whole months; None where nothing is on record before today. `standing`: of `ledger.standing.limits`.

    Raises LedgerError, UnitCostError for levers and scenarios that make no sense.
    """
    known = priors()
    asked = [pulls.parse(text) for text in levers]
    wanted = {text: scenario(text, known, today) for text in scenarios}
    past = history(ledger, today, cost)
    if past is None or not past.parts:
        return None
    if book is not None:
        past = pulls.with_cached_rates(past, lambda part: rates_of(book, part.upstream, part.model, today))
    asked = [pulls.settled(pull, past.parts) for pull in asked]
    starts = _month_starts(today, months)
    targets = _targets(past, book, today)
    runs = pulls.runs_of(ledger, Span(past.spans[0].first, past.start))
    variants = {pull.text: pulls.pulled(pull, past.parts, past.segments, targets, runs) for pull in asked}
    changes = _changes([*past.parts, *(part for found in variants.values() for part in found)], book, today, day_of(starts[-1]))
    paces = {str(tier): pace(tier, known.price[tier], today) for tier in TIERS}
    drawn = draw(past, known, paces, changes, calendar(past, starts[-1]), paths=paths, seed=seed)
    tiers = {str(tier): floor(known.floor[tier], known.electricity) for tier in TIERS}
    floors = {part.model: floor_of(part.model, part.terms.rates, tiers[part.tier]) for part in changes}
    least = {model: of.rates for model, of in floors.items()}
    spent, used = recorded(ledger, today.replace(day=1), today, past.cost)
    sums = _Sums(past, drawn, starts)
    by_segment = bill(past.parts, drawn, least)
    base, tokens_used = sums.bill(by_segment, spent), sums.of(tokens(past.parts, drawn) * drawn.entered[1], used)
    light = caveats.light(drawn.methods)
    accounts, left_out = budgets(standing, ledger, past) if standing is not None else ([], [])
    if budget is not None:
        posted, _ = recorded(ledger, _window_start(budget.per, today), today, past.cost)
        accounts = [whole(budget.nusd, budget.per, posted, past), *accounts]
    return Forecast(
        estimated=True, today=today.isoformat(), cost=past.cost, per=past.per, weeks=round(past.weeks, 1),
        weeks_wanted=caveats.wanted(past, starts[-1]), paths=paths, seed=seed, correlation=round(drawn.correlation, 3),
        without=("statsforecast",) if light else (), past=tuple(_past(past)), months=tuple(_months(past, starts, spent, base, tokens_used)),
        total_nusd=fan(base[:, 1:].sum(axis=1)), total_tokens=fan(tokens_used[:, 1:].sum(axis=1)),
        segments=tuple(_segments(past, sums, by_segment)), prices=tuple(_prices(paces, tiers)), floors=tuple(_floors(floors)),
        announced=tuple(_announced(changes)), slopes=tuple(_slopes(past, asked, targets)),
        levers=tuple(_lever(name, found, past, base, sums.bill(bill(found, drawn, least), spent)) for name, found in variants.items()),
        # Without floors: what a scenario moves is the cost of making a token itself.
        scenarios=tuple(
            _scenario(name, of, known, today, sums.bill(bill(past.parts, under(of, drawn, known, seed), {}), spent))
            for name, of in wanted.items()
        ),
        exhaustion=tuple(exhaustion(one, by_segment * drawn.entered[0], past.fixed_nusd, drawn.calendar.borders, starts[-1]) for one in accounts),
        priors=tuple(_bases(known)),
        notes=(*caveats.short(past, starts[-1]), *light, *past.notes, *caveats.edges(past, book is not None), *left_out),
    )  # fmt: skip


def fan(values: Array) -> Fan:
    """Quantiles of one row of draws, in whole units."""
    return Fan(*(round(float(value)) for value in np.quantile(values, CHANCES)))


class _Sums:
    """From amounts a day in each period to sums of months: [path, month]."""

    def __init__(self, past: History, drawn: Paths, starts: Sequence[int]) -> None:
        borders = np.array(drawn.calendar.borders)
        first, after = np.maximum(np.array(starts[:-1]), past.start), np.array(starts[1:])
        overlap = np.minimum(borders[1:, None], after) - np.maximum(borders[:-1, None], first)
        self._days = np.maximum(overlap, 0).astype(float)
        self._fixed = past.fixed_nusd
        self._entered = drawn.entered[0]

    def of(self, a_day: Array, already: float = 0) -> Array:
        """`already`: what the running month had before today."""
        found: Array = a_day @ self._days
        found[:, 0] += already
        return found

    def bill(self, by_segment: Array, already: int) -> Array:
        return self.of(by_segment.sum(axis=0) * self._entered + self._fixed, already)


def _month_starts(today: date, months: int) -> list[int]:
    """First days of the running month, of each whole one, and of the one after."""
    found = [today.replace(day=1)]
    for _ in range(months + 1):
        last = found[-1]
        found.append(date(last.year + last.month // 12, last.month % 12 + 1, 1))
    return [days_since_1970(day) for day in found]


def _window_start(per: Per, today: date) -> date:
    """Of the window that is running."""
    match per:
        case "week":
            return today - timedelta(days=today.weekday())
        case "month":
            return today.replace(day=1)
        case "year":
            return date(today.year, 1, 1)
    return date(1970, 1, 1)


def _targets(past: History, book: PriceBook | None, today: date) -> Callable[[str], pulls.Target]:
    """Rates of a model by name: what is paid for one that is in use, else the list. What is free now is at list price for what comes more."""

    def target(name: str) -> pulls.Target:
        own = next((part for part in past.parts if part.model == name), None)
        listed = None if book is None else rates_of(book, own.upstream if own else None, name, today)
        if own is not None:
            paid = past.more[own.upstream, own.model]
            rates = paid if listed is None else _filled(paid, listed)
            return pulls.Target(own.upstream, own.model, own.line, own.tier, rates)
        if book is None or listed is None:
            raise UnknownFact(f"The price book has no price of {name!r}; prices.toml may add one (docs/prices.md).")
        try:
            seller, model = resolve_model(book, name)
        except UnknownModel as error:
            raise UnknownFact(str(error)) from None
        lineage = lineage_of(seller, model)
        return pulls.Target(seller, model, f"{lineage.vendor}/{lineage.line}", lineage.tier, listed)

    return target


def _filled(paid: Rates, listed: Rates) -> Rates:
    """What is paid, and the list where nothing of a kind was bought."""
    pairs = zip(paid[:4], listed[:4], strict=True)
    read, cached, written, output = (mine if mine is not None else theirs for mine, theirs in pairs)
    return Rates(read, cached, written, output, paid.fees)


def _changes(parts: Sequence[Part], book: PriceBook | None, today: date, until: date) -> dict[Part, list[Announced]]:
    known: dict[tuple[str, str], list[Announced]] = {}
    found = {}
    for part in parts:
        sold = (part.upstream, part.model)
        if sold not in known:
            known[sold] = announced(book, *sold, today, until)
        found[part] = known[sold]
    return found


def _past(past: History) -> Iterator[Past]:
    for span, nusd, used in zip(past.spans, past.spent, past.tokens, strict=True):
        yield Past(day_of(span.first).isoformat(), day_of(span.after - 1).isoformat(), nusd, used)


def _months(past: History, starts: Sequence[int], spent: int, base: Array, used: Array) -> Iterator[Month]:
    for number, (start, weight) in enumerate(zip(starts[:-1], caveats.weights(past, starts), strict=True)):
        month = day_of(start).isoformat()[:7]
        yield Month(month, 0 if number else spent, fan(base[:, number]), fan(used[:, number]), weight)


def _segments(past: History, sums: _Sums, by_segment: Array) -> Iterator[SegmentNow]:
    each = past.days / len(past.spans) / WEEK_DAYS
    for number, segment in enumerate(past.segments):
        parts = [part for part in past.parts if part.segment == number]
        terms = [part.terms for part in parts]
        tasks, steps = sum(one.tasks for one in terms), sum(one.steps for one in terms)
        read = sum(one.steps * one.context for one in terms)
        cached = sum(one.steps * one.context * one.cached for one in terms)
        yield SegmentNow(
            segment.name, segment.labels, segment.line, segment.tier, round(segment.nusd * MONTH_DAYS), round(tasks, 3),
            round(steps / tasks, 3) if tasks else 0.0, round(sum(one.tokens for one in terms) / steps, 1) if steps else 0.0,
            round(cached / read, 4) if read else 0.0, round(len(segment.tasks) * each, 1),
            tuple(sorted({part.model for part in parts})), fan(sums.of(by_segment[number])[:, -1]),
        )  # fmt: skip


def _prices(paces: Mapping[str, Pace], floors: Mapping[str, Floor]) -> Iterator[TierPace]:
    for tier, of in paces.items():
        least = floors[tier]
        yield TierPace(
            tier, round(of.own_a_year + of.succeeded_a_year, 2), round(exp(of.drift), 3), len(of.own) + len(of.succeeded),
            round(of.line_years, 1), round(of.weight, 2), of.source, least.input_nusd, least.output_nusd, least.model, least.source,
        )  # fmt: skip


def _floors(of: Mapping[str, Floor]) -> Iterator[ModelFloor]:
    for model, least in sorted(of.items()):
        yield ModelFloor(model, least.input_nusd, least.output_nusd, least.model, least.source)


def _announced(changes: Mapping[Part, Sequence[Announced]]) -> list[Change]:
    found = sorted({one for rows in changes.values() for one in rows})
    return [Change(one.day.isoformat(), one.model, one.input, one.output, one.source) for one in found]


def _slopes(past: History, asked: Sequence[pulls.Pull], targets: Callable[[str], pulls.Target]) -> list[LeverSlope]:
    found = pulls.slopes(past.parts, targets)
    found += [pulls.swap_slope(pull, past.parts, targets) for pull in asked if pull.name == "swap"]
    return [LeverSlope(one.name, round(one.nusd_a_day * MONTH_DAYS / 100), one.said) for one in found]


def _lever(name: str, parts: Sequence[Part], past: History, base: Array, with_it: Array) -> LeverPath:
    before, after = (sum(bill_a_day(part.terms) for part in some) for some in (past.parts, parts))
    total, was = with_it[:, 1:].sum(axis=1), base[:, 1:].sum(axis=1)
    months = tuple(fan(with_it[:, number]) for number in range(with_it.shape[1]))
    return LeverPath(name, round((after - before) * MONTH_DAYS), months, fan(total), fan(total - was))


def _scenario(name: str, of: Scenario, known: Priors, today: date, amounts: Array) -> ScenarioPath:
    even = break_even(of, known.pass_through, today)
    months = tuple(fan(amounts[:, number]) for number in range(amounts.shape[1]))
    return ScenarioPath(
        name, of.unit_cost, of.since.isoformat(), of.by.isoformat(), of.tokens_per_task, round(even.pass_through, 3),
        round(even.all_passed_on, 2), round(even.passed_on, 2), round(even.to_come, 2), even.bill, of.source, of.reading, months,
        fan(amounts[:, 1:].sum(axis=1)),
    )  # fmt: skip


def _bases(known: Priors) -> Iterator[Basis]:
    for name, growth in (("tasks", known.tasks), ("steps a task", known.depth), ("tokens a step", known.size)):
        yield Basis(name, f"{growth.median:g} times a year ({growth.low:g} to {growth.high:g})", growth.source, growth.reading)
    for tier, trend in known.price.items():
        said = f"halves in {trend.halving_years:g} years" if trend.halving_years else "no trend"
        yield Basis(f"price, {tier}", said, trend.source, trend.reading)
    passed, power = known.pass_through, known.electricity
    for name, value, of in (
        ("succession", f"{100 * known.succession.followed:.0f} % follow", known.succession),
        ("pass-through", f"{passed.low:g} to {passed.high:g}, mostly {passed.mode:g}", passed),
        ("scatter", f"{known.scatter.week:g} a week", known.scatter),
        ("together", f"{known.together.correlation:g}", known.together),
        ("electricity", f"${power.usd_per_kwh:g}/kWh", power),
    ):
        yield Basis(name, value, of.source, of.reading)
