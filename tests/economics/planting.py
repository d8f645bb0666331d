"""Ledgers with a known cause in them: two periods of realistic noise, and in the second one thing, or two, that somebody did.

Comes in: a seed and what is to be planted. Goes out: a ledger file, written through the store, its two periods, and what an explanation has to
name. Does not know: how a bill is explained.

The noise of every ledger (standard deviations of logarithms, unless said otherwise): each team and agent's number of tasks drifts by 0.1 from
one period to the other and scatters by 0.2 from day to day and as Poisson does, on Saturdays and Sundays it is a third; calls a task drift by
0.05 and scatter by 0.4 from task to task; tokens a call drift by 0.05 (input, output) and scatter by 0.3; the cached part of the input moves by
0.02 (points) and scatters by 0.05; the weights of models drift by 0.1 and scatter by 0.2 from day to day. The periods do not have the same
number of weekends. What is planted changes the bill of the second period by SIZES of the first one's, measured on the very same rows, alone and
beside what else is planted.
"""

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from math import exp
from pathlib import Path
from typing import NamedTuple

from jevons.core.entry import Entry, Estimate, Hold, Outcome, first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import CACHE_READ, CACHE_WRITE_5M, INPUT, OUTPUT, Usage
from jevons.ledger.ops import Imported, ImportRow, Key, KeyCreated, KeySettings
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.lineages import lineage_of

FIRST_DAY = 20_700
"""4 September 2026, a Friday; tests never read the clock."""
SIZES = (0.20, 0.80)
"""What is planted, as a part of the first period's bill."""
TEAMS = ("payments", "search", "growth", "platform", "support", "research")
AGENTS = ("claude-code", "codex", "opencode", "nightly-review")


class Model(NamedTuple):
    """A model and what it costs: nano-USD for a token of input, cache read, cache write, output."""

    upstream: str
    name: str
    rates: tuple[int, int, int, int]

    @property
    def line(self) -> str:
        lineage = lineage_of(self.upstream, self.name)
        return f"{lineage.vendor}/{lineage.line}"

    @property
    def tier(self) -> str:
        return lineage_of(self.upstream, self.name).tier


MODELS = tuple(
    Model(upstream, name, rates)
    for upstream, name, rates in (
        ("anthropic", "claude-opus-4-1", (15_000, 1_500, 18_750, 75_000)),
        ("anthropic", "claude-opus-4-5", (5_000, 500, 6_250, 25_000)),
        ("anthropic", "claude-sonnet-4-5", (3_000, 300, 3_750, 15_000)),
        ("anthropic", "claude-haiku-3-5", (800, 80, 1_000, 4_000)),
        ("anthropic", "claude-haiku-4-5", (1_000, 100, 1_250, 5_000)),
        ("openai", "gpt-4o", (2_500, 1_250, 2_500, 10_000)),
        ("openai", "gpt-5.1", (1_250, 125, 1_250, 10_000)),
        ("openai", "gpt-5.2", (1_750, 175, 1_750, 14_000)),
        ("openai", "gpt-4.1-mini", (400, 100, 400, 1_600)),
        ("openai", "gpt-5-mini", (250, 25, 250, 2_000)),
        ("google", "gemini-2.5-pro", (1_250, 125, 1_250, 10_000)),
        ("google", "gemini-3-pro-preview", (2_000, 200, 2_000, 12_000)),
        ("google", "gemini-2.5-flash", (300, 30, 300, 2_500)),
        ("google", "gemini-3-flash-preview", (500, 50, 500, 3_000)),
        ("x-ai", "grok-4", (3_000, 750, 3_000, 15_000)),
        ("deepseek", "deepseek-chat", (280, 28, 280, 420)),
        ("mistral", "mistral-medium-3.1", (400, 400, 400, 2_000)),
    )
)


class Work(NamedTuple):
    """What one task asked of one model under one of its tariffs: `calls` calls, summed up."""

    day: int
    team: str
    agent: str
    task: int
    model: Model
    calls: int
    tokens: tuple[int, int, int, int]
    """input, cache read, cache write, output"""
    rates: tuple[int, int, int, int]
    tariff: str = ""

    @property
    def nusd(self) -> int:
        (a, b, c, d), (p, q, r, s) = self.tokens, self.rates
        return a * p + b * q + c * r + d * s


Naming = Mapping[str, Mapping[str, frozenset[str]]]
"""Effect that counts as naming it -> what its largest segment has to say: dimension -> names that are right."""


class Planted(NamedTuple):
    """What was done, and what counts as naming it."""

    cause: str
    names: Naming
    size: float
    """Change of the second period's bill by it, as a part of the first one's."""

    def named_by(self, effect: str, labels: dict[str, str]) -> bool:
        """Does the largest segment of an effect name it? Where one took another's place, a label says "old → new"."""
        told = {dimension: set(re.split(" → |, ", label)) for dimension, label in labels.items()}
        return effect in self.names and all(right & told.get(where, set()) for where, right in self.names[effect].items())


class Ledger(NamedTuple):
    """A ledger with something planted in it. Periods are [first day, day after)."""

    path: Path
    base: tuple[int, int]
    window: tuple[int, int]
    planted: tuple[Planted, ...]


class House:
    """Who works with what, and how that drifts; it makes both periods of noise."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.days = rng.randint(14, 30)
        self.teams = rng.sample(TEAMS, rng.randint(3, 6))
        self.agents = rng.sample(AGENTS, rng.randint(2, 4))
        self.models = rng.sample(MODELS, rng.randint(4, 10))
        self.crews = [(team, agent) for team in self.teams for agent in self.agents if rng.random() < 0.75]
        self.crews += [(team, self.agents[0]) for team in self.teams if all(team != named for named, _ in self.crews)]
        self.boundary = FIRST_DAY + self.days
        self.tasks = 0

    def noise(self) -> list[Work]:
        return [work for crew in self.crews for work in self.work(*crew, FIRST_DAY, self.boundary + self.days)]

    def work(self, team: str, agent: str, first: int, after: int) -> list[Work]:
        """All tasks of a team's agent."""
        rng = self.rng
        tasks_a_day, calls, size = rng.lognormvariate(1.6, 0.5), rng.uniform(5, 25), rng.lognormvariate(9.8, 0.5)
        output, cached = rng.lognormvariate(6.4, 0.4), rng.choice((0.0, rng.uniform(0.3, 0.9)))
        models = rng.sample(self.models, rng.randint(1, 3))
        weights = [rng.uniform(0.3, 1) for _ in models]
        drift = {name: rng.gauss(0, scale) for name, scale in (("tasks", 0.1), ("calls", 0.05), ("size", 0.05), ("output", 0.05))}
        cache_drift, weight_drift = rng.gauss(0, 0.02), [rng.gauss(0, 0.1) for _ in models]
        found = []
        for day in range(first, after):
            late = day >= self.boundary
            expected = tasks_a_day * exp(drift["tasks"] * late + rng.gauss(0, 0.2)) * (0.33 if (day + 4) % 7 in (0, 6) else 1)
            today = [w * exp(d * late + rng.gauss(0, 0.2)) for w, d in zip(weights, weight_drift, strict=True)]
            for _ in range(_poisson(rng, expected)):
                self.tasks += 1
                n = max(1, round(calls * exp(drift["calls"] * late + rng.gauss(0, 0.4) - 0.08)))
                model = rng.choices(models, today)[0]
                inputs = size * exp(drift["size"] * late + rng.gauss(0, 0.3))
                share = min(0.95, max(0.0, cached + cache_drift * late + rng.gauss(0, 0.05))) if cached else 0.0
                written = 0.05 if cached and model.upstream == "anthropic" else 0.0
                a_call = (
                    inputs * (1 - share) * (1 - written),
                    inputs * share,
                    inputs * (1 - share) * written,
                    output * exp(drift["output"] * late + rng.gauss(0, 0.3)),
                )
                tokens = tuple(round(n * one) for one in a_call)
                found.append(Work(day, team, agent, self.tasks, model, n, tokens, model.rates))  # type: ignore[arg-type]
        return found


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth, The Art of Computer Programming 2, 3.4.1."""
    count, product, floor = 0, rng.random(), exp(-mean)
    while product > floor:
        count += 1
        product *= rng.random()
    return count


# What is planted: each takes the rows of the second period from `since` on, and gives them back changed, with what has to be named.

Change = Callable[[Work], Work]
Plan = tuple[Naming, Change | list[Work]]
"""What has to be named; what becomes of each row, or which rows come in addition."""


def _says(effect: str, team: str | None = None, **labels: str | tuple[str, ...]) -> Naming:
    right = {name: frozenset([value] if isinstance(value, str) else value) for name, value in labels.items()}
    return {effect: right | ({"team": frozenset([team])} if team else {})}


def price_cut(house: House, works: Sequence[Work]) -> Plan:
    """A vendor lowers all rates of one model, by 40 to 75 %."""
    model, left = house.rng.choice(works).model, house.rng.uniform(0.25, 0.6)

    def cut(work: Work) -> Work:
        return work._replace(rates=_scaled(work.rates, (left,) * 4)) if work.model == model else work

    return _says("price", model=model.name), cut


def migration_within(house: House, works: Sequence[Work]) -> Plan:
    """One team, or all, go on with another model of the same line: at once, or over two thirds of the period."""
    old, new, team, migrate = _migration(house, works, lambda old, new: old.line == new.line)
    return _says("substitution", team, model=(old.name, new.name)), migrate


def migration_across(house: House, works: Sequence[Work]) -> Plan:
    """The same to another line of the same tier."""
    old, new, team, migrate = _migration(house, works, lambda old, new: old.line != new.line and old.tier == new.tier)
    return _says("lineage", team, line=(old.line, new.line)), migrate


def migration_tiers(house: House, works: Sequence[Work]) -> Plan:
    """One team goes from a line of one tier to one of the other, of the same vendor. That is a move between tiers, at what calls cost in
    each on the mean, and one of lines within them: either may be the larger. There are two tiers, so their names alone say nothing."""
    old, new, team, migrate = _migration(
        house, works, lambda old, new: old.tier != new.tier and old.upstream == new.upstream, True
    )
    return {**_says("tier", team, tier=(old.tier, new.tier)), **_says("lineage", team, line=(old.line, new.line))}, migrate


def _migration(
    house: House, works: Sequence[Work], fits: Callable[[Model, Model], bool], one_team: bool = False
) -> tuple[Model, Model, str | None, Change]:
    rng = house.rng
    picked = rng.choice(works)
    old, team = picked.model, picked.team if one_team or rng.random() < 0.5 else None
    new = rng.choice([model for model in MODELS if model != old and fits(old, model)] or [old])
    share, chance = rng.uniform(0.7, 1.0), _chances(rng)
    slope = rng.choice((0.0, 2 / 3 * house.days))

    def migrate(work: Work) -> Work:
        arrived = 1.0 if not slope else min(1.0, (work.day - house.boundary + 1) / slope)
        if work.model != old or (team and work.team != team) or chance(work) >= share * arrived:
            return work
        return work._replace(model=new, rates=new.rates)

    return old, new, team, migrate


def _chances(rng: random.Random) -> Callable[[Work], float]:
    """Evenly spread over tasks: multiples of the golden ratio."""
    start = rng.random()
    return lambda work: (start + work.task * 0.6180339887498949) % 1


def steps_doubled(house: House, works: Sequence[Work]) -> Plan:
    """One agent, in one team or in all, calls twice as often for a task."""
    picked = house.rng.choice(works)
    team = house.rng.choice((None, picked.team))

    def double(work: Work) -> Work:
        if work.agent != picked.agent or (team and work.team != team):
            return work
        plain, cached, written, output = work.tokens
        return work._replace(calls=2 * work.calls, tokens=(2 * plain, 2 * cached, 2 * written, 2 * output))

    return _says("depth", team, agent=picked.agent), double


def cache_broken(house: House, works: Sequence[Work]) -> Plan:
    """What one team's agent read from the provider's cache is sent anew."""
    picked = house.rng.choice(works)

    def miss(work: Work) -> Work:
        if (work.team, work.agent) != (picked.team, picked.agent):
            return work
        plain, cached, written, output = work.tokens
        return work._replace(tokens=(plain + cached, 0, written, output))

    return _says("cache", picked.team, agent=picked.agent), miss


def new_team(house: House, works: Sequence[Work]) -> Plan:
    """A team that was not there begins."""
    rng = house.rng
    team = "mobile"
    agents = rng.sample(house.agents, rng.randint(1, len(house.agents)))
    first = min(work.day for work in works)
    return _says("entry", team), [
        work for agent in agents for work in house.work(team, agent, first, house.boundary + house.days)
    ]


TARIFFS = (("service_tier=batch", (0.5,) * 4), ("service_tier=flex", (0.5,) * 4), ("service_tier=priority", (2.0,) * 4))
LONG = ">200000"
LONG_RATES = (2.0, 2.0, 2.0, 1.5)


def tariff(house: House, works: Sequence[Work]) -> Plan:
    """60 to 95 % of one model's calls move to another tariff of it."""
    rng = house.rng
    model, share, (name, scales) = rng.choice(works).model, rng.uniform(0.6, 0.95), rng.choice(TARIFFS)
    chance = _chances(rng)

    def move(work: Work) -> Work:
        if work.model != model or chance(work) >= share:
            return work
        return work._replace(tariff=name, rates=_scaled(work.rates, scales))

    return _says("tariff", model=model.name), move


def long_context(house: House, works: Sequence[Work]) -> Plan:
    """Contexts of one model that ended just under 200,000 tokens grow by an eighth: from there on its rates are higher."""
    rng = house.rng
    model, share, chance = rng.choice(works).model, rng.uniform(0.6, 0.95), _chances(rng)

    def grow(work: Work) -> Work:
        if work.model != model or chance(work) >= share:
            return work
        plain, cached, written, output = work.tokens
        longer = (plain * 9 // 8, cached * 9 // 8, written * 9 // 8, output)
        return work._replace(tariff=LONG, rates=_scaled(work.rates, LONG_RATES), tokens=longer)

    return _says("tariff", model=model.name), grow


def _scaled(rates: tuple[int, int, int, int], scales: Sequence[float]) -> tuple[int, int, int, int]:
    return tuple(max(1, round(rate * scale)) for rate, scale in zip(rates, scales, strict=True))  # type: ignore[return-value]


CAUSES: dict[str, Callable[[House, Sequence[Work]], Plan]] = {
    cause.__name__: cause
    for cause in (
        price_cut,
        migration_within,
        migration_across,
        migration_tiers,
        steps_doubled,
        cache_broken,
        new_team,
        tariff,
        long_context,
    )
}
TRIES = 12
"""Choices of team, agent, model and strength, before a house is given up in which nothing is large enough."""


def plant(seed: int, folder: Path, *causes: str) -> Ledger:
    """A ledger with these causes in it, one on top of the other. The same seed makes the same ledger."""
    rng = random.Random(f"{seed} {causes}")
    while True:
        house = House(rng)
        works = house.noise()
        if "long_context" in causes:
            works = [_near_the_border(work) for work in works]
        base = [work for work in works if work.day < house.boundary]
        after = [work for work in works if work.day >= house.boundary]
        found = _planted(causes, house, _nusd(base), after)
        if found is not None:
            after, planted = found
            path = folder / f"{seed}-{'-'.join(causes)}.db"
            write(path, [*base, *after])
            return Ledger(path, (FIRST_DAY, house.boundary), (house.boundary, house.boundary + house.days), planted)


def _planted(
    causes: Sequence[str], house: House, base_nusd: int, noise: list[Work]
) -> tuple[list[Work], tuple[Planted, ...]] | None:
    """Each cause is large enough alone, and beside the others, and of the same sign."""
    since = house.boundary + house.rng.randint(0, max(1, house.days // 10))
    late = [work for work in noise if work.day >= since]
    plans, alone = [], []
    for cause in causes:
        for _ in range(TRIES):
            plan = CAUSES[cause](house, late)
            size = (_nusd(_done(late, [plan])) - _nusd(late)) / base_nusd
            if SIZES[0] <= abs(size) <= SIZES[1]:
                break
        else:
            return None
        plans.append(plan)
        alone.append(size)
    after = _done(late, plans)
    planted = []
    for place, (cause, (names, _), size) in enumerate(zip(causes, plans, alone, strict=True)):
        others = plans[:place] + plans[place + 1 :]
        beside = (_nusd(after) - _nusd(_done(late, others))) / base_nusd if others else size
        if beside * size < 0 or not SIZES[0] <= abs(beside) <= SIZES[1]:
            return None
        planted.append(Planted(cause, names, beside))
    return [*(work for work in noise if work.day < since), *after], tuple(planted)


def _done(works: list[Work], plans: Sequence[Plan]) -> list[Work]:
    for _, change in plans:
        works = [change(work) for work in works] if callable(change) else [*works, *change]
    return works


def _nusd(works: Sequence[Work]) -> int:
    return sum(work.nusd for work in works)


def _near_the_border(work: Work) -> Work:
    """The same money in fewer, larger calls of 188,000 to 198,000 tokens of input."""
    plain, cached, written, output = work.tokens
    inputs = plain + cached + written
    calls = max(1, round(inputs / 190_000))
    scale = calls * (188_000 + work.task % 11 * 1_000) / max(1, inputs)
    return work._replace(calls=calls, tokens=(round(plain * scale), round(cached * scale), round(written * scale), output))


def write(path: Path, works: Sequence[Work]) -> None:
    """The rows as others' logs would tell them: a key for each team, a run for each task."""
    teams = {team: number for number, team in enumerate(sorted({work.team for work in works}), 1)}
    store = SqliteStore(path, synchronous="OFF")
    try:
        store.apply(
            [
                KeyCreated(Key(number, team, bytes([number]) * 32, "", 0, settings=KeySettings(team=team, source="litellm")))
                for team, number in teams.items()
            ]
        )
        store.apply([Imported(tuple(row(place, work, teams[work.team]) for place, work in enumerate(works)))])
    finally:
        store.close()


def row(place: int, work: Work, key_id: int) -> ImportRow:
    """`place`: anything that no other row has."""
    at_ms = work.day * DAY_MS + (9 + work.task % 2 * 5) * 3_600_000  # mornings and afternoons
    hold = Hold(
        id=first_id_of_ms(at_ms),
        key_id=key_id,
        run_id=f"task-{work.task}",
        dialect="",
        model=work.model.name,
        target=work.model.name,
        upstream=work.model.upstream,
        stream=False,
        held_nusd=0,
        list_held_nusd=0,
        input_tokens=0,
        input_bound="",
        output_tokens=0,
        price_book="",
        price_row="",
        chain=b"",
        messages=0,
        agent=work.agent,
        tier=work.model.tier,
    )
    plain, cached, written, output = work.tokens
    kinds = (INPUT, CACHE_READ, CACHE_WRITE_5M, OUTPUT)
    lines = tuple(
        Line(kind, count, count * rate, rate) for kind, count, rate in zip(kinds, work.tokens, work.rates, strict=True) if count
    )
    entry = Entry(
        hold=hold,
        outcome=Outcome.OK,
        status=200,
        usage=Usage(input=plain, cache_read=cached, cache_write_5m=written, output=output),
        lines=lines,
        list_nusd=work.nusd,
        billed_nusd=work.nusd,
        estimate=Estimate.NONE,
        settled_ms=at_ms,
        tariff=work.tariff,
        source="litellm",
        requests=work.calls,
    )
    return ImportRow(hashlib.blake2b(str(place).encode(), digest_size=16).digest(), entry)
