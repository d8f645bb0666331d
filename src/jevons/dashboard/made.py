"""What a million tokens of each kind cost to buy, as the ledger has it, and what they cost to make, where that can be worked out.

Comes in: the ledger's file, a period, a part of the catalogue. Goes out: plain values: what was bought in whole nano-dollars of the ledger's rows;
what making costs as quantiles, estimated. Does not know: pages, prices of a book.
"""

from pathlib import Path
from typing import Any, NamedTuple

from jevons.core.limits import PAGE_ROWS_MAX
from jevons.core.money import NUSD_PER_USD, half_even
from jevons.dashboard.rows import Period
from jevons.economics.build_or_buy import model_of
from jevons.economics.unitcost import frontier_picture, local_saved, machine
from jevons.economics.unitcost.cost import UTILISATION, Cost, Hourly, Interval, Pace, electricity, exactly, nusd, per_million
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.frontier import frontier
from jevons.economics.unitcost.known import find
from jevons.economics.unitcost.local_price import Terms
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.placing import Placed, place
from jevons.economics.unitcost.positions import within
from jevons.economics.unitcost.serving import Load, Speed
from jevons.ledger.bill import reading

MILLION = 10**6
KINDS = ("input", "cache write", "cache read", "output")
LOCAL = frozenset({"local", "student"})
"""Upstreams that compute on this machine."""
FLOOR_TOK_S = 20.0
"""What each user sees at least, as `jevons build-or-buy` has it."""
_BOUGHT = """
SELECT upstream, target, sum(entries), sum(steps), sum(input), sum(cache_write_5m + cache_write_1h), sum(cache_read), sum(output),
    sum(input_nusd), sum(cache_write_5m_nusd + cache_write_1h_nusd), sum(cache_read_nusd), sum(output_nusd),
    sum(list_nusd), sum(billed_nusd), sum(iif(billed_nusd = 0, list_nusd, 0))
FROM rollup_day WHERE day >= ? AND day <= ? GROUP BY 1, 2
HAVING sum(input + cache_read + cache_write_5m + cache_write_1h + output) > 0 ORDER BY sum(list_nusd) DESC, 1, 2
"""


class Bought(NamedTuple):
    """One model of a period, or all."""

    upstream: str
    model: str
    entries: int
    steps: int
    tokens: tuple[int, ...]
    """By `KINDS`."""
    kinds_nusd: tuple[int, ...]
    """Of their lists."""
    list_nusd: int
    billed_nusd: int
    shadow_nusd: int
    """List cost of what was not billed: subscriptions and free calls."""

    @property
    def name(self) -> str:
        return f"{self.upstream}/{self.model}"

    @property
    def paid(self) -> tuple[int | None, ...]:
        """Nano-dollars a million of each kind. Where the bill is not the list's, by the same share of each."""
        if not self.list_nusd:
            return (None,) * len(KINDS)
        share = self.list_nusd
        return tuple(
            half_even(max(0, cost * self.billed_nusd) * MILLION, tokens * share) if tokens else None
            for tokens, cost in zip(self.tokens, self.kinds_nusd, strict=True)
        )

    @property
    def load(self) -> Load:
        """The mean call. Raises UnknownFact where nobody says how many there were."""
        if not self.steps:
            raise UnknownFact("how many calls these tokens were is not known, so not how long their prompts are")
        new, written, cached, output = (tokens // self.steps for tokens in self.tokens)
        return Load(prompt=max(1, new + written), output=max(1, output), cached=cached)


class Made(NamedTuple):
    """What a million tokens cost to make; estimated."""

    says: str
    """What was made on what, or what is missing."""
    cost: Cost | None = None
    electricity_nusd: int | None = None
    """Of a million output tokens, prompts included: electricity alone."""
    placed: Placed | None = None
    hourly: Hourly | None = None

    @property
    def command(self) -> str:
        """What gives the same on the command line; "" where nothing was placed."""
        return "" if self.placed is None else _command(self.placed)


def bought(path: Path, period: Period) -> list[Bought]:
    """Models of the period, the dearest first."""
    with reading(path) as db:
        found: list[tuple[Any, ...]] = db.execute(_BOUGHT, (period.first, period.last)).fetchall()
    return [
        Bought(upstream, model, entries, steps, tuple(counts[:4]), tuple(counts[4:8]), *counts[8:])
        for upstream, model, entries, steps, *counts in found
    ]


def together(rows: list[Bought]) -> Bought:
    """Their sum."""
    return Bought(
        "", "", sum(row.entries for row in rows), sum(row.steps for row in rows),
        tuple(map(sum, zip(*(row.tokens for row in rows), strict=True))), tuple(map(sum, zip(*(row.kinds_nusd for row in rows), strict=True))),
        sum(row.list_nusd for row in rows), sum(row.billed_nusd for row in rows), sum(row.shadow_nusd for row in rows),
    )  # fmt: skip


def making(rows: list[Bought], part: Part, hourly: Hourly | UnknownFact, home: Path) -> list[tuple[Bought, Made]]:
    """Each model with what it costs to make on the part, or what keeps that from being known."""
    return [(row, _made(row, part, hourly, home)) for row in rows[:PAGE_ROWS_MAX]]


def made(name: str, load: Load, part: Part, hourly: Hourly | UnknownFact) -> Made:
    """An open model on a part, under a load. Raises UnitCostError."""
    model, _ = model_of(name)
    within(model.arch, load.prompt + load.cached, load.output, "the mean call of this period")
    placed = place(model, part, load, shipped(), FLOOR_TOK_S)
    speed, on = placed.speed, placed.on
    cached = None if speed.cached_tok_s is None else _spread(speed, speed.cached_tok_s)
    cost = None
    if isinstance(hourly, Hourly):
        cost = per_million(Pace(_spread(speed, speed.prefill_tok_s), _spread(speed, speed.decode_tok_s), cached), hourly)
    joules = speed.joules_per_token
    says = f"{placed.model.name} on {on.devices} × {part.name}"
    if isinstance(hourly, UnknownFact):
        says += f": {hourly}"
    power = None if joules is None else electricity(float(joules), part).nusd
    return Made(says, cost, power, placed, hourly if isinstance(hourly, Hourly) else None)


def drawn(made: Made) -> str:
    """Cost and speed of that model there, by batch; "" where nothing was placed."""
    if made.placed is None:
        return ""
    model, on = made.placed.model, made.placed.on
    corners = frontier(model, on, made.placed.load, shipped(), made.hourly, UTILISATION)
    served = f"{model.name} on {on.devices} × {on.part.name}"
    return frontier_picture.picture(corners, served, made.placed.speed.batch, FLOOR_TOK_S)


def _command(placed: Placed) -> str:
    (arch, precision, kv), on, load = placed.model, placed.on, placed.load
    prompt = load.prompt + load.cached
    cached = f" --cached {load.cached / prompt:.6g}" if load.cached else ""
    divided = "" if on.devices == 1 else f" --devices {on.devices} --parallel {'dep' if on.spread else 'tp'}"
    return (
        f'jevons unit-cost predict {arch.name} --on "{on.part.name}" --weights {precision.name} --kv {kv.name}{divided} '
        f"--best --floor {FLOOR_TOK_S:g} --input {prompt}{cached} --output {load.output}"
    )


def here(home: Path) -> Made:
    """The local model, by the steps that `jevons hw calibrate` observed. Raises UnitCostError."""
    saved = local_saved.calibration(home)
    reads = [point for point in saved.points if point.new > 1]
    writes = [point for point in saved.points if point.new == 1]
    if not reads or not writes:
        raise UnknownFact("the calibration has no whole steps; run: jevons hw calibrate")
    measured = machine.load(home)
    stated = measured.stated if measured is not None else machine.Stated()
    terms = Terms(stated.watts, stated.usd_per_kwh, machine_usd=stated.machine_usd, years=stated.years)
    read = max(reads, key=lambda point: point.new)
    write = max(writes, key=lambda point: point.batch)
    seconds = read.observed_s / (read.new * read.batch), write.observed_s / write.batch
    amounts = [nusd(exactly(terms.busy_second_usd() * each), MILLION) for each in seconds]
    at_once = f" in {write.batch} conversations together" if write.batch > 1 else ""
    says = (
        f"{saved.model}, measured {saved.measured[:10]}: {1 / seconds[0]:,.0f} tokens/s read, {1 / seconds[1]:,.0f} written{at_once}; "
        f"{stated}{'' if measured else ', assumed'}, busy {terms.utilisation:.0%} of the time"
    )
    power_nusd = round(terms.watts * terms.usd_per_kwh * seconds[1] / 3.6e6 * MILLION * NUSD_PER_USD)
    return Made(says, Cost(amounts[0], None, amounts[1]), power_nusd)


def _made(row: Bought, part: Part, hourly: Hourly | UnknownFact, home: Path) -> Made:
    try:
        if row.upstream in LOCAL:
            return here(home)
        name = _open(row.model)
        return (
            Made("not known: its maker keeps its architecture to itself") if name is None else made(name, row.load, part, hourly)
        )
    except UnitCostError as missing:
        return Made(f"not known: {missing}")


def _open(model: str) -> str | None:
    """Its name among the open models."""
    try:
        return find(model).name
    except UnknownFact:
        return None


def _spread(speed: Speed, value: float) -> Interval:
    low, high = speed.interval(value)
    return Interval(low, value, high)
