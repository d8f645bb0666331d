"""Paths of the bill: growth from history and prior, steps of list prices, drawn many times through the one formula.

Every segment has three quantities (tasks a day, steps a task, tokens a step). Each has two forecasts of its distribution n weeks ahead: history's
(`blend`) and the prior's (from where history's begins, or today's level where there is none; a lognormal growth). Their quantiles are averaged in
logarithms (Vincentisation: W. H. Vincent 1912; Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59, 2013), history with the weight
m / (m + n) for m weeks of it: it is trusted as far ahead as it is long. A path is one draw of where in the distribution it stands, which moves as a
random walk does, partly together in all segments. What is not there yet (`entries`) comes on top, over all of the bill alike.

Comes in: a `History`, priors, a seed. Goes out: `Paths`: factors against today. The same draws serve every lever and scenario, so that what is
between two fans is the lever. Does not know: budgets, words. Arrays are [path, period].
"""

from collections.abc import Mapping, Sequence
from datetime import date
from statistics import NormalDist
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from jevons.economics.fits import DAYS_A_YEAR
from jevons.economics.forecast import blend
from jevons.economics.forecast.entries import damped
from jevons.economics.forecast.formula import Rates, step
from jevons.economics.forecast.price_paths import Announced, Pace
from jevons.economics.forecast.priors import Growth, Priors, Scatter, Scenario
from jevons.economics.forecast.segments import WEEK_DAYS, History, Part, day_of, days_since_1970

Array = NDArray[np.float64]

SEED = 1865
"""Of every forecast, unless another is asked for, so that a figure can be printed twice; the year of "The Coal Question"."""
PATHS = 2_000
LEVELS = tuple(range(2, 100, 2))
"""Central intervals, in per cent, by which a distribution of history is known between its 1 % and 99 % points."""
Z_MAX = 4.0
FACTOR_MAX = 1e4
"""Of one quantity against today: more is arithmetic, no forecast."""
PAIRS_MIN = 12
"""Weeks that two segments must have in common before their correlation is counted."""
WALK_MIN = 0.03
"""Of the variance of changes: of the stillest of the levels of data/series_prior.toml."""
SLOPE_OF_WALK = 6 / 5
"""Variance of the least-squares slope of a random walk over n steps: 6/5 of a step's, over n."""
QUANTITIES = ("tasks", "depth", "size")


NO_FLOOR = Rates(0.0, 0.0, 0.0, 0.0)


class Calendar(NamedTuple):
    """The periods ahead: days [borders[i], borders[i + 1]) since 1970."""

    borders: tuple[int, ...]

    @property
    def periods(self) -> int:
        return len(self.borders) - 1

    def middle_weeks(self) -> list[float]:
        """From the start to the middle of each period."""
        return [((a + b) / 2 - self.borders[0]) / WEEK_DAYS for a, b in zip(self.borders, self.borders[1:], strict=False)]


class Paths(NamedTuple):
    """Factors against today."""

    calendar: Calendar
    volume: Array
    """[segment, path, period]: tasks."""
    tokens_per_task: Array
    """[segment, path, period]: steps a task times tokens a step."""
    depth: Array
    """[segment, path, period]: steps a task alone (fees are by the step)."""
    prices: dict[str, Array]
    """line -> [path, period]."""
    announced: dict[tuple[str, str], Array]
    """(upstream, model) -> [kind of `formula.PRICED` but fees, period]: on top of that."""
    entered: tuple[Array, Array]
    """[path, period]: of all of the bill, of all tokens, by uses that are not there yet."""
    correlation: float
    methods: frozenset[str]
    """What history's forecasts were made by, as `blend.Quantiles.models` has it; empty where history is too short for any."""


def calendar(history: History, until: int) -> Calendar:
    """From the day after the history, in its own periods, to `until` or a little after."""
    borders = [history.start]
    while borders[-1] < until:
        borders.append(_next_month(borders[-1]) if history.per == "month" else borders[-1] + WEEK_DAYS)
    return Calendar(tuple(borders))


def history_weight(weeks: float, ahead_weeks: float) -> float:
    """Of history in a quantity n weeks ahead; the prior has the rest. None where there is too little for a forecast of its own."""
    return weeks / (weeks + ahead_weeks) if weeks else 0.0


def draw(
    history: History, priors: Priors, paces: Mapping[str, Pace], changes: Mapping[Part, Sequence[Announced]], ahead: Calendar, *,
    paths: int = PATHS, seed: int = SEED,
) -> Paths:  # fmt: skip
    """`changes`: every part whose price is wanted -> what is announced for it. A line's prices do not depend on which others are wanted."""
    rng = np.random.default_rng(seed)
    together = correlation(history, priors)
    shape = (len(history.segments), paths, ahead.periods)
    factors, methods = {}, set[str]()
    for name, growth in zip(QUANTITIES, (priors.tasks, priors.depth, priors.size), strict=True):
        common = _walk(rng, paths, ahead)
        found = np.empty(shape)
        for number, segment in enumerate(history.segments):
            own = _walk(rng, paths, ahead)
            place = np.sqrt(together) * common + np.sqrt(1 - together) * own
            found[number], by = _factors(getattr(segment, name), growth, priors.scatter, history, ahead, place)
            methods.update(by)
        factors[name] = found
    prices = {}
    for line, tier in {(part.line, part.tier) for part in changes}:
        apart = np.random.default_rng([seed, crc32(line.encode())])
        prices[line] = _price_steps(apart, paces[tier], priors.succession.followed, paths, ahead)
    known = {(part.upstream, part.model): _announced(rows, ahead) for part, rows in changes.items()}
    entered = _entered(np.random.default_rng([seed, crc32(b"entered")]), history, paths, ahead)
    volume, depth = factors["tasks"], factors["depth"]
    return Paths(ahead, volume, depth * factors["size"], depth, prices, known, entered, together, frozenset(methods))


def bill(parts: Sequence[Part], paths: Paths, floors: Mapping[str, Rates]) -> Array:
    """Nano-USD a day, [segment, path, period], of what is there (without `entered`). `floors`: by model, nano-USD a token; a price that is
    below already stays."""
    found = np.zeros_like(paths.volume)
    for part in parts:
        *kinds, fees = step(part.terms)
        rates = part.terms.rates[:4]
        prices = paths.announced[part.upstream, part.model][:, None, :] * paths.prices[part.line]
        cost = np.zeros(paths.volume.shape[1:])
        for kind, (nusd, rate, least) in enumerate(zip(kinds, rates, floors.get(part.model, NO_FLOOR)[:4], strict=True)):
            if nusd and rate:
                cost += nusd * np.maximum(prices[kind], min(1.0, (least or 0.0) / rate))
        volume, depth = paths.volume[part.segment], paths.depth[part.segment]
        found[part.segment] += part.terms.steps * volume * (paths.tokens_per_task[part.segment] * cost + depth * fees)
    return found


def tokens(parts: Sequence[Part], paths: Paths) -> Array:
    """Tokens a day, [path, period], of what is there."""
    found = np.zeros(paths.volume.shape[1:])
    for part in parts:
        found += part.terms.tokens * paths.volume[part.segment] * paths.tokens_per_task[part.segment]
    return found


def under(scenario: Scenario, paths: Paths, priors: Priors, seed: int = SEED) -> Paths:
    """The same draws with the scenario's unit cost in place of the steps of prices, and its growth of tokens per task if it has one."""
    rng = np.random.default_rng(seed + 1)
    count = paths.volume.shape[1]
    share = np.array(
        [scenario.pass_through] * count
        if scenario.pass_through is not None
        else rng.triangular(priors.pass_through.low, priors.pass_through.mode, priors.pass_through.high, count)
    )
    since, by = (days_since_1970(day) for day in (scenario.since, scenario.by))
    now = paths.calendar.borders[0]
    middles = now + np.array(paths.calendar.middle_weeks()) * WEEK_DAYS
    done = np.clip((middles - since) / (by - since), 0, 1) - np.clip((now - since) / (by - since), 0, 1)
    price = 1 - share[:, None] * (1 - scenario.unit_cost**done)
    changed = paths._replace(
        prices=dict.fromkeys(paths.prices, price)
    )  # what is announced for a model stays: that is no scenario
    if scenario.tokens_per_task is None:
        return changed
    low, high = np.log(scenario.tokens_per_task)
    growth = np.exp(rng.uniform(low, high, count)[:, None] * done)
    return changed._replace(
        tokens_per_task=np.broadcast_to(growth, paths.volume.shape), depth=np.broadcast_to(np.sqrt(growth), paths.volume.shape)
    )


def correlation(history: History, priors: Priors) -> float:
    """Of weekly changes of logarithms of tasks between segments: their mean, pulled to the prior where there are few weeks."""
    prior = priors.together
    changes = [np.diff(np.log(segment.tasks)) for segment in history.segments if min(segment.tasks, default=0) > 0]
    long = [change for change in changes if len(change) >= PAIRS_MIN and change.std() > 0]
    if len(long) < 2:
        return prior.correlation
    weeks = min(len(change) for change in long)
    matrix = np.corrcoef([change[-weeks:] for change in long])
    counted = float(matrix[np.triu_indices(len(long), 1)].mean())
    weight = weeks / (weeks + prior.weeks)
    return float(np.clip(weight * counted + (1 - weight) * prior.correlation, 0, 0.95))


def _walk(rng: np.random.Generator, paths: int, ahead: Calendar) -> Array:
    """A standard normal at every period, correlated as a random walk seen from its beginning is: by the root of the ratio of times."""
    times = np.array(ahead.middle_weeks())
    lengths = np.diff(times, prepend=0.0)
    found: Array = np.cumsum(rng.standard_normal((paths, len(times))) * np.sqrt(lengths), axis=1) / np.sqrt(times)
    return found


def _factors(
    values: Sequence[float], growth: Growth, scatter: Scatter, history: History, ahead: Calendar, place: Array
) -> tuple[Array, tuple[str, ...]]:
    """exp of the weighted mean of history's and the prior's log-quantile at each place, against today's level; and history's methods."""
    weeks_each = history.days / len(history.spans) / WEEK_DAYS
    weeks = np.array(ahead.middle_weeks())
    years = weeks * WEEK_DAYS / DAYS_A_YEAR
    seen = max(len(values) * weeks_each, 1 / WEEK_DAYS)
    recent = min(seen, 4.0)
    past = _of_history(values, growth, ahead, weeks_each)
    begins = 0.0 if past is None else float(np.interp(0.0, past[0], past[1][0])) - growth.mean_log * years[0]
    prior = (
        begins + growth.mean_log * years + place * np.sqrt((growth.sd_log * years) ** 2 + _scatter(values, scatter) ** 2 / recent)
    )
    methods: tuple[str, ...] = ()
    if past is None:
        mixed = prior
    else:
        weight = seen / (seen + weeks)
        nodes, logs, methods = past
        told = np.column_stack([np.interp(place[:, period], nodes, logs[period]) for period in range(ahead.periods)])
        mixed = weight * told + (1 - weight) * prior
    return np.exp(np.clip(mixed, -np.log(FACTOR_MAX), np.log(FACTOR_MAX))), methods


def _entered(rng: np.random.Generator, history: History, paths: int, ahead: Calendar) -> tuple[Array, Array]:
    """With history's weight: the prior's growth has new uses in it."""
    weeks = np.array(ahead.middle_weeks())
    weight = history.weeks / (history.weeks + weeks)
    place = _walk(rng, paths, ahead) * np.sqrt(weeks)
    ways = np.array([damped(one) for one in weeks])
    money, tokens = (np.exp(weight * (entry.a_week * ways + entry.scatter * place)) for entry in history.entered)
    return money, tokens


def _scatter(values: Sequence[float], prior: Scatter) -> float:
    """Standard deviation of a period's logarithm about its level: of its own changes, with the prior worth so many weeks."""
    changes = np.diff(np.log([value for value in values if value > 0]))
    worth = prior.weeks
    return float(np.sqrt((np.sum(changes**2) / 2 + worth * prior.week**2) / (len(changes) + worth)))


def _of_history(
    values: Sequence[float], growth: Growth, ahead: Calendar, weeks_each: float
) -> tuple[Array, Array, tuple[str, ...]] | None:
    """(z of each node, log of quantile against today's level [period, node], methods); None where history is too short for a forecast.

    The blend damps its trends towards none. So it sees the values without their steady growth, which is put back: what it damps towards is the
    growth of all of history, as far as that is told from its scatter, and the prior's beyond.
    """
    back: Array = (len(values) - 0.5 - np.arange(len(values), dtype=np.float64)) * (weeks_each * WEEK_DAYS / DAYS_A_YEAR)
    seen = np.array(values, dtype=np.float64)
    steady = _steady(seen, back, growth)
    still = seen * np.exp(steady * back)
    try:
        found = blend.forecast(still.tolist(), ahead.periods, LEVELS, season=12 if weeks_each > 1 else None)
    except blend.TooShort:
        return None
    level = float(np.mean(values[-max(1, round(4 / weeks_each)) :]))
    if level <= 0:
        return None
    normal = NormalDist()
    nodes = np.array([normal.inv_cdf(p) for p in found.probabilities])
    years = np.array(ahead.middle_weeks()) * WEEK_DAYS / DAYS_A_YEAR
    logs = np.log(np.maximum(found.values / level, 1 / FACTOR_MAX)) + steady * years[:, None]
    # Beyond the last node: straight on, as far as anybody draws.
    slope_low = (logs[:, 1] - logs[:, 0]) / (nodes[1] - nodes[0])
    slope_high = (logs[:, -1] - logs[:, -2]) / (nodes[-1] - nodes[-2])
    low, high = logs[:, 0] - slope_low * (Z_MAX + nodes[0]), logs[:, -1] + slope_high * (Z_MAX - nodes[-1])
    return np.concatenate([[-Z_MAX], nodes, [Z_MAX]]), np.column_stack([low, logs, high]), found.models


def _steady(values: Array, back: Array, growth: Growth) -> float:
    """ln of the factor a year: the slope of logarithms, pooled with the prior's by their variances. That of the slope has what is noise and what
    is walk in the changes (their covariance with the next is minus the noise's), the walk at the least a part of `WALK_MIN`."""
    there = values > 0
    count = int(there.sum())
    if count < blend.FEWEST:
        return growth.mean_log
    logs, times = np.log(values[there]), -back[there]
    apart = times - times.mean()
    slope = float(apart @ logs / (apart @ apart))
    changes = np.diff(logs) - slope * np.diff(times)
    square, beside = float(changes @ changes) / len(changes), float(changes[1:] @ changes[:-1]) / len(changes)
    walk = float(np.clip(square + 2 * beside, WALK_MIN * square, square))
    variance = (square - walk) / 2 / float(apart @ apart) + SLOPE_OF_WALK * walk * count / float(times[-1] - times[0]) ** 2
    own = growth.sd_log**2 / (growth.sd_log**2 + variance)
    return own * slope + (1 - own) * growth.mean_log


def _price_steps(rng: np.random.Generator, pace: Pace, followed: float, paths: int, ahead: Calendar) -> Array:
    """A price that stands until it changes: [path, period], 1 at the beginning. A successor's price is met by those who follow."""
    years = (ahead.borders[-1] - ahead.borders[0]) / DAYS_A_YEAR
    found = np.zeros((paths, ahead.periods))
    for sizes, a_year in ((pace.own, pace.own_a_year), (pace.succeeded, pace.succeeded_a_year * followed)):
        if sizes:
            counts = rng.poisson(a_year * years, paths)
            which = np.repeat(np.arange(paths), counts)
            when = rng.integers(0, ahead.periods, len(which))
            np.add.at(found, (which, when), rng.choice(np.array(sizes), len(which)) + pace.shift)
    steps: Array = np.exp(np.cumsum(found, axis=1))
    return steps


def _announced(changes: Sequence[Announced], ahead: Calendar) -> Array:
    factors: Array = np.ones((4, ahead.periods))
    for change in changes:
        day = days_since_1970(change.day)
        for period, (first, after) in enumerate(zip(ahead.borders, ahead.borders[1:], strict=False)):
            share = min(1.0, max(0.0, (after - day) / (after - first)))
            ratios = np.array([change.input, change.cached, change.written, change.output])
            factors[:, period] *= 1 + share * (ratios - 1)
    return factors


def _next_month(day: int) -> int:
    at = day_of(day)
    return days_since_1970(date(at.year + at.month // 12, at.month % 12 + 1, 1))
