"""Energy and carbon of calls on record: sums as intervals, beside EcoLogits' of the same calls.

Comes in: a ledger file, which calls, a grid. Goes out: an `Energy` with a row for each part and one for all. Does not know: pages.

Every row is a sum of scenarios (`scenarios`), not of intervals: what is uncertain of a model is the same for all its calls, and what is uncertain
of the industry for all models. So the interval of a thousand calls is a thousand times as wide as that of one. A model of which nothing is known
adds nothing to the sums, and stands in `unknown` with the tokens that it made.

Calls of this machine that are open at the same time share its watts, asked for or not: each has its part of every moment (`_shared`).
"""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from jevons.core.entry import ATTEMPT_BITS, admitted_ms, first_id_of_ms, parse_request_text, request_text
from jevons.economics.energy import beside, scenarios
from jevons.economics.energy.facts import LOCAL, Facts, Pair, Size, assumed, facts
from jevons.economics.energy.grids import WORLD, Grid, grid
from jevons.economics.energy.joules import joules, overhead
from jevons.economics.energy.scenarios import SCENARIOS, Draws, lognormal
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.ledger import runs
from jevons.ledger.bill import reading
from jevons.ledger.errors import Unknown
from jevons.ledger.rollup import DAY_MS

By = Literal["model", "org", "team", "key", "agent", "day", "run", "call"]
WAYS: tuple[By, ...] = get_args(By)
IN_ORDER: tuple[By, ...] = ("day", "call")
"""Parts that follow each other."""
J_PER_WH = 3600.0
CALLS_MAX = 10_000
"""Calls that are listed one by one; each takes some milliseconds."""
NOTHING: Draws = (0.0,) * SCENARIOS

_ORG = "coalesce(settings ->> 'org', 'default')"
_TEAM = "coalesce(settings ->> 'team', '')"
_GROUPS = {
    "model": "upstream || '/' || target",
    "org": _ORG,
    "team": f"iif({_ORG} = 'default', {_TEAM}, {_ORG} || '/' || {_TEAM})",
    "key": "keys.name",
    "agent": "agent",
    "day": "date((entries.id >> 18) / 1000, 'unixepoch')",
    "run": "coalesce(run_id, '')",
    "call": "entries.id",
}
_NEW = "(input + cache_write_5m + cache_write_1h)"
_PROVIDER = "substr(price_row, 1, instr(price_row || '/', '/') - 1)"
_HERE = f"source = '' AND coalesce(nullif({_PROVIDER}, ''), upstream) IN ({', '.join(repr(one) for one in LOCAL)})"
"""This machine did it, and we know how long it took."""
_SECONDS = "(settled_ms - (entries.id >> 18)) / 1000.0"
_PAIRS = "iif(source <> '' AND requests = 0, 0.0, 1.0 / max(1, requests))"
"""Over the calls that a row stands for: an import's sum of a day is no long conversation. 0 where nobody says how many they are."""
_WORKED = "outcome NOT IN ('void', 'free', 'cached', 'unreachable')"
_COUNTS = f"""
SELECT {{group}} AS label, upstream, target, {_PROVIDER} AS provider, source = '' AS ours,
    sum(max(1, requests)), sum({_NEW}), sum(cache_read), sum(output),
    sum(output * ({_NEW} + cache_read + output / 2.0) * {_PAIRS}), sum({_NEW} * (cache_read + {_NEW} / 2.0) * {_PAIRS}),
    sum(iif(source = '', {_SECONDS}, 0.0)), sum(iif({_HERE}, seconds_here(entries.id), 0.0)), sum(list_nusd), sum(billed_nusd)
FROM entries JOIN keys ON keys.id = key_id
WHERE entries.id >= :first AND entries.id < :after AND {_WORKED}
    AND (:key IS NULL OR keys.name = :key) AND (:runs IS NULL OR run_id IN (SELECT value FROM json_each(:runs)))
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
"""
_OPEN_HERE = f"""
SELECT entries.id, settled_ms FROM entries
WHERE entries.id >= :first - {first_id_of_ms(DAY_MS)} AND entries.id < :after + {first_id_of_ms(DAY_MS)} AND {_WORKED} AND {_HERE}
"""
"""With those of a day before and after, which may have been open beside them."""


class Row(msgspec.Struct, kw_only=True):
    """A part, or all. Watt-hours and grams of CO2-equivalent at 5, 50 and 95 %: estimates, all of them."""

    label: str = ""
    calls: int = 0
    input: int = 0
    """New tokens of prompts."""
    cached: int = 0
    output: int = 0
    wh_low: float = 0.0
    wh: float = 0.0
    wh_high: float = 0.0
    gco2e_low: float = 0.0
    gco2e: float = 0.0
    gco2e_high: float = 0.0
    unknown_calls: int = 0
    """Of `calls`: those whose energy nobody knows. They are in no interval."""
    unknown_tokens: int = 0
    ecologits_calls: int = 0
    """Of `calls`: those of which EcoLogits has the model."""
    ecologits_wh_low: float | None = None
    ecologits_wh_high: float | None = None
    ecologits_gco2e_low: float | None = None
    """Of use: to be compared with ours."""
    ecologits_gco2e_high: float | None = None
    ecologits_gco2e_total_low: float | None = None
    """With the making of the hardware, which ours leaves out."""
    ecologits_gco2e_total_high: float | None = None
    list_nusd: int = 0
    billed_nusd: int = 0


class Source(msgspec.Struct, frozen=True):
    """What the energy of a model is taken from."""

    model: str
    basis: str
    name: str
    source: str


class Missing(msgspec.Struct):
    """A model whose energy nobody knows."""

    model: str
    why: str
    calls: int = 0
    tokens: int = 0


class Energy(Row, kw_only=True):
    """All of it."""

    by: str
    rows: list[Row]
    """The most energy first; days and calls in their order."""
    grid: str
    grid_gco2e_per_kwh: tuple[float, ...]
    """At 5, 50 and 95 %."""
    grid_source: str
    models: list[Source]
    unknown: list[Missing]
    estimated: bool = True
    """Always: nobody measured a call."""
    embodied: bool = False
    """Making the hardware is not in ours."""
    ecologits: str | None
    """Its version; None = not installed."""


def energy(
    ledger: Path,
    *,
    by: By = "model",
    since_ms: int = 0,
    until_ms: int | None = None,
    key: str | None = None,
    run: str | None = None,
    request: str | None = None,
    in_grid: str = WORLD,
    own: tuple[Size, ...] = (),
    watts: Pair | None = None,
) -> Energy:
    """Of the calls that some upstream worked on.

    `run` with the runs that it started; `request` is a public id. `own`: the operator's sizes of models (`facts.stated`). `watts` of this machine,
    busy: 5 and 95 %; None = as data/energy.toml states. Raises LedgerError; UnknownFact for a grid that is not known, UnitCostError for too many
    calls one by one.
    """
    place = grid(in_grid)
    asked: dict[str, Any] = {
        "first": first_id_of_ms(since_ms),
        "after": first_id_of_ms(until_ms) if until_ms is not None else 2**62,
    }
    asked |= {"key": key, "runs": None}
    if run is not None:
        tree = runs.run(ledger, run, key)
        named = [tree["run_id"], *(below["run_id"] for below in tree["runs"])]
        asked |= {"key": tree["key"], "runs": msgspec.json.encode(named).decode()}
    if request is not None:
        first = parse_request_text(request)
        if first is None:
            raise Unknown(f"{request!r} is no request id; it looks like req_ and 15 digits or letters a to f.")
        asked |= {"first": first, "after": first + (1 << ATTEMPT_BITS)}
    with reading(ledger) as db:
        here = _shared(db.execute(_OPEN_HERE, asked))
        db.create_scalar_function("seconds_here", lambda *of: here.get(of[0], 0.0), 1)
        found: list[tuple[Any, ...]] = db.execute(_COUNTS.format(group=_GROUPS[by]), asked).fetchall()
    if by == "call" and len(found) > CALLS_MAX:
        raise UnitCostError(
            f"These are {len(found):,} calls; {CALLS_MAX:,} are listed one by one at most. Choose days, a key or a run."
        )
    if request is not None and not found:
        raise Unknown(f"There is no call {request} that an upstream worked on.")
    return _added_up(found, by, place, own, watts)


def _shared(calls: Iterable[Any]) -> dict[Any, float]:
    """Seconds of the machine that each call had, of calls as (entry, its end in ms): of every moment one in so many as were open."""
    spans = [(entry_id, admitted_ms(entry_id), settled_ms) for entry_id, settled_ms in calls]
    moments = sorted({at for _, begin, end in spans for at in (begin, end)})
    change = Counter(begin for _, begin, _ in spans)
    change.subtract(end for _, _, end in spans)
    until, had, opened, before = {}, 0.0, 0, 0
    for at in moments:
        had += (at - before) / opened if opened else 0.0
        until[at], opened, before = had, opened + change[at], at
    return {entry_id: (until[end] - until[begin]) / 1000 for entry_id, begin, end in spans}


def _added_up(found: list[tuple[Any, ...]], by: By, place: Grid, own: tuple[Size, ...], watts: Pair | None) -> Energy:
    known = _Known(own, watts)
    grams = place.draws
    everything = Energy(
        by=by, rows=[], grid=place.label, grid_gco2e_per_kwh=tuple(place.g_per_kwh), grid_source=place.source, models=[], unknown=[],
        ecologits=beside.version(),
    )  # fmt: skip
    whole = NOTHING
    for label, group in groupby(found, key=itemgetter(0)):
        row = Row(label=request_text(label) if by == "call" else str(label))
        drawn = NOTHING
        for _, upstream, target, provider, ours, *counts in group:
            work = _Work(upstream, target, provider or upstream, bool(ours), *counts)
            wh = known.watt_hours(work)
            seconds = work.seconds / work.calls if ours else None
            other = beside.estimate(work.provider, target, work.output / work.calls, seconds, place)
            _add(row, work, wh, other)
            _add(everything, work, wh, other)
            drawn = scenarios.total([drawn, wh]) if wh is not None else drawn
        whole = scenarios.total([whole, drawn])
        _say(row, drawn, grams)
        everything.rows.append(row)
    _say(everything, whole, grams)
    if by not in IN_ORDER:
        everything.rows.sort(key=lambda row: (-row.wh, row.label))
    everything.models, everything.unknown = known.sources(), list(known.missing.values())
    return everything


class _Work(msgspec.Struct, frozen=True):
    """Of one model in one part."""

    upstream: str
    target: str
    provider: str
    ours: bool
    """Metered here: its seconds are known."""
    calls: int
    input: int
    cached: int
    output: int
    looked: float
    """Pairs of a token that was made and one before it."""
    attended: float
    """Pairs of a new token of a prompt and one before it."""
    seconds: float
    here_s: float
    """Of this machine, shared with what else it did."""
    list_nusd: int
    billed_nusd: int

    @property
    def tokens(self) -> int:
        return self.input + self.cached + self.output


class _Known:
    """What is known of each model, asked once."""

    def __init__(self, own: tuple[Size, ...], watts: Pair | None) -> None:
        self._own = own
        local = assumed().local
        self._watts = lognormal("watts", *(watts or local.watts))
        self._here = lognormal("pue here", *local.pue)
        self._around = overhead()
        self._facts: dict[tuple[str, str], Facts | UnknownFact] = {}
        self._names: dict[str, Facts] = {}
        self.missing: dict[str, Missing] = {}

    def watt_hours(self, work: _Work) -> Draws | None:
        """One number per scenario; None where nobody knows, which is noted."""
        if not work.tokens and not work.seconds:
            return None
        try:
            about = self._of(work.provider, work.target)
            if about.basis == "this machine":
                return self._by_time(work)
            found = joules(about)
        except UnknownFact as error:
            self._note(work, str(error))
            return None
        self._names[f"{work.upstream}/{work.target}"] = about
        four = zip(found.made, found.read, found.looked, found.attended, self._around, strict=True)
        counts = (work.output, work.input, work.looked, work.attended)
        return [
            (counts[0] * made + counts[1] * read + counts[2] * looked + counts[3] * attended) * around / J_PER_WH
            for made, read, looked, attended, around in four
        ]

    def _by_time(self, work: _Work) -> Draws:
        if not work.ours:
            raise UnknownFact(f"{work.target} is a local model, and an import does not say how long it took.")
        self._names[f"{work.upstream}/{work.target}"] = self._of(work.provider, work.target)
        return [watts * around * work.here_s / J_PER_WH for watts, around in zip(self._watts, self._here, strict=True)]

    def _of(self, provider: str, model: str) -> Facts:
        if (provider, model) not in self._facts:
            try:
                self._facts[provider, model] = facts(provider, model, self._own)
            except UnknownFact as error:
                self._facts[provider, model] = error
        found = self._facts[provider, model]
        if isinstance(found, UnknownFact):
            raise found
        return found

    def _note(self, work: _Work, why: str) -> None:
        name = f"{work.upstream}/{work.target}"
        missing = self.missing.setdefault(name, Missing(name, why))
        missing.calls += work.calls
        missing.tokens += work.tokens

    def sources(self) -> list[Source]:
        return [Source(name, about.basis, about.name, about.source) for name, about in sorted(self._names.items())]


def _add(row: Row, work: _Work, wh: Draws | None, other: beside.Estimate | None) -> None:
    row.calls += work.calls
    row.input += work.input
    row.cached += work.cached
    row.output += work.output
    row.list_nusd += work.list_nusd
    row.billed_nusd += work.billed_nusd
    if wh is None:
        row.unknown_calls += work.calls
        row.unknown_tokens += work.tokens
    if other is not None:
        row.ecologits_calls += work.calls
        ends = {"wh": other.wh, "gco2e": other.used_g, "gco2e_total": other.total_g}
        for name, pair in ends.items():
            for end, value in zip(("low", "high"), pair, strict=True):
                field = f"ecologits_{name}_{end}"
                setattr(row, field, (getattr(row, field) or 0.0) + value * work.calls)


def _say(row: Row, wh: Draws, grams: Draws) -> None:
    row.wh_low, row.wh, row.wh_high = scenarios.interval(wh)
    carbon = [one * per_kwh / 1e3 for one, per_kwh in zip(wh, grams, strict=True)]
    row.gco2e_low, row.gco2e, row.gco2e_high = scenarios.interval(carbon)
