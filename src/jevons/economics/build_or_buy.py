"""Build or buy: what a month of a workload costs at an API, at a host of an open model, on rented, owned and this machine.

Comes in: a `Workload` of the ledger, an open model and a part, prices. Goes out: a `Comparison`: for each way dollars a month and for a million
tokens, speed, and from how many tokens a month on building is cheaper (`break_even`). What was spent are sums of the ledger's rows; a month of it,
and all that was not spent, are projections. Does not know: how it is shown, the clock.

A replica is the model on as many devices as divide it well; of the kinds that fit one server the cheapest for the volume is taken. It makes

    tokens a month = its tokens/s, busy PEAK_BUSY of the busiest hour / (busiest hour over the mean hour) x a month / share that reaches it

Volumes are of tokens that were asked for: what is bought as billed, at a host or built stands behind the same caches of ours, so that only
a share of them reaches it (`Workload.sums` of `Workload.asked`).
All volumes are of this workload's mix: as many input, cached and output tokens for each other, as uneven over the day. The open model is another
model than those that did the work: that it would do as well, or need as many tokens, is not said here.
"""

from dataclasses import replace
from math import ceil
from typing import Any, NamedTuple

from jevons.core.money import short_usd
from jevons.economics.break_even import HOURS_A_MONTH, BreakEven, break_even
from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.cost import Electricity, Hourly, Interval, Owning, electricity
from jevons.economics.unitcost.efficiency import Efficiencies
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.known import find, known
from jevons.economics.unitcost.local import LocalModel
from jevons.economics.unitcost.local_price import Turn, speed
from jevons.economics.unitcost.local_saved import Calibration
from jevons.economics.unitcost.machine import Machine, Stated
from jevons.economics.unitcost.part import Part
from jevons.economics.unitcost.placing import DEVICES, Model, Placed, place
from jevons.economics.unitcost.positions import within
from jevons.economics.unitcost.serving import Load, serve
from jevons.economics.unitcost.weights import cache_precision, precision
from jevons.economics.ways import PEAK_BUSY, Here, Way, building, buying, hosted, standing_here
from jevons.economics.workload import Tokens, Workload
from jevons.meter.pricebook import PriceBook

MEAN_CALL = "the mean call of this work"
LOCAL_BATCHES = (8, 4, 2, 1)
"""Conversations that the local engine answers together; the most that leave each the floor."""
LOCAL_OFF = 1.15
"""Predicted speeds of the local engine are held to 15 % (docs/local-cost.md)."""
PUBLISHED = {"gpt_oss": "mxfp4", "deepseek_v3": "fp8", "deepseek_v32": "fp8", "minimax_m2": "fp8"}
"""Families whose makers publish fewer bits than 16: quantization_config in the config.json of openai/gpt-oss-120b, deepseek-ai/DeepSeek-V3,
deepseek-ai/DeepSeek-V3.2, MiniMaxAI/MiniMax-M2."""


class Comparison(NamedTuple):
    """All ways, and where they cross."""

    work: Workload
    placed: Placed
    ways: list[Way]
    crossings: list[BreakEven]
    electricity: Electricity | None
    """Alone, per million tokens of the mix; None where the part's power is not known."""
    notes: list[str]

    def way(self, name: str) -> Way:
        return next(way for way in self.ways if way.name == name)

    def document(self) -> dict[str, Any]:
        """For --json: stable keys."""
        load, on = self.placed.load, self.placed.on
        return {
            "workload": self.work.document(),
            "model": self.placed.model.arch.name,
            "precision": self.placed.model.precision.name,
            "part": on.part.name,
            "replica": {
                "devices": on.devices,
                "divided": self.placed.divided,
                "batch": self.placed.speed.batch,
                "prompt": load.prompt + load.cached,
                "cached": load.cached,
                "output": load.output,
                "tok_s_user": float(self.placed.speed.user_tok_s),
                "output_tok_s_device": float(self.placed.speed.device_tok_s),
            },
            "ways": [way.document(self.work.tokens_a_month) for way in self.ways],
            "break_even": [crossing.document() for crossing in self.crossings],
            "electricity_nusd_per_million": self.electricity and self.electricity.nusd,
            "electricity_of": self.electricity and self.electricity.of,
            "notes": self.notes,
        }


def compare(
    work: Workload,
    model: Model,
    part: Part,
    efficiencies: Efficiencies,
    *,
    rented: Hourly | UnknownFact,
    owned: Hourly | UnknownFact,
    here: Here | str,
    book: PriceBook | None = None,
    names: tuple[str, ...] = (),
    floor_tok_s: float = 20.0,
    uneven: float | None = None,
    terms: Owning | None = None,
) -> Comparison:
    """`here`: measured, or how to measure. `names`: what hosts in the price book call the model. `uneven`: the busiest hour over the mean one.
    `terms`: what electricity is priced by; what is owned has them in `owned`.

    Raises DoesNotFit, TooLong, UnknownFact, UnitCostError.
    """
    load = load_of(work)
    within(model.arch, load.prompt + load.cached, load.output, MEAN_CALL)
    places = _places(model, part, load, efficiencies, floor_tok_s)
    peak = _uneven(work, places[0], uneven)
    months = {placed.on.devices: _month(work, placed, peak) for placed in places}
    needed = {number: number * max(1, ceil(work.tokens_a_month / month.mid)) for number, month in months.items()}
    places.sort(key=lambda placed: needed[placed.on.devices])
    best = places[0]
    kinds = [(placed.on.devices, months[placed.on.devices]) for placed in places]
    fast = _user_tok_s(work, best, efficiencies, peak, needed[best.on.devices])
    ways = [*buying(work), *hosted(work, book, names or (model.arch.name,), model.arch.name)]
    built = [
        building(*one, work, kinds, fast, peak)
        for one in (("rented", f"{part.name}, rented", rented), ("owned", f"{part.name}, owned", owned))
    ]
    built.append(standing_here(work, here, peak))
    crossings = [
        break_even(build.name, build.replicas, buy.name, buy.per_token_nusd)
        for build in built
        for buy in ways
        if build.replicas and buy.per_token_nusd
    ]
    power = _electricity(work, best, terms or Owning())
    return Comparison(work, best, [*ways, *built], crossings, power, _notes(work, model.arch, part, uneven))


def model_of(name: str, numbers: str | None = None) -> tuple[Model, tuple[str, ...]]:
    """An open model and what hosts call it; `numbers` None: those of its maker's checkpoint (`PUBLISHED`). Raises UnknownFact."""
    arch = known(name)
    numbers = numbers or PUBLISHED.get(arch.family, "bf16")
    return Model(arch, precision(numbers, arch), cache_precision("bf16")), _called(arch.name, find(name).hub)


def _called(name: str, hub: str) -> tuple[str, ...]:
    """A model at hosts, by its own name and its maker's. Its configuration may stand at the hub under a kin's, which is another model."""
    plain = [name, f"{name}-instruct"]
    maker = hub.partition("/")[0]
    return (*plain, *(f"{maker}/{one}" for one in plain), *([hub] if name.lower() in hub.lower() else []))


def on_this_machine(
    name: str, model: LocalModel, saved: Calibration, machine: Machine | None, work: Workload, floor_tok_s: float = 20.0
) -> Here:
    """A file of the local engine under this work, as calibrated. `machine` None: what it costs is assumed. Raises UnitCostError."""
    asked = load_of(work)
    within(model.architecture, asked.prompt + asked.cached, asked.output, MEAN_CALL)
    turns = [Turn(asked.prompt + asked.cached, asked.cached, asked.output, batch) for batch in LOCAL_BATCHES]
    speeds = [(turn.batch, speed(model, turn, saved.restore_element_s)) for turn in turns]
    batch, found = next((one for one in speeds if one[1].decode_tok_s / one[0] >= floor_tok_s), speeds[-1])
    stated = machine.stated if machine is not None else Stated()
    slow = "" if found.decode_tok_s / batch >= floor_tok_s else f"; under {floor_tok_s:g} tokens/s for each user"
    says = f"another model again, as calibrated {saved.measured}{slow}; {stated}{'' if machine else ', assumed'}"
    return Here(
        *(name, found.prefill_tok_s, found.cached_tok_s, found.decode_tok_s, found.decode_tok_s / batch),
        *(LOCAL_OFF, stated.usd_per_hour, says),
    )


def load_of(work: Workload) -> Load:
    """The mean request."""
    calls = work.sums.requests
    cached = work.sums.cached // calls
    return Load(prompt=max(1, work.sums.computed // calls), output=max(1, work.sums.output // calls), cached=cached)


def _places(model: Model, part: Part, load: Load, efficiencies: Efficiencies, floor_tok_s: float) -> list[Placed]:
    """The cheapest on each number of devices of one server. Raises what `place` does if there is none."""
    found = []
    for number in DEVICES:
        try:
            found.append(place(model, part, load, efficiencies, floor_tok_s, (number,)))
        except UnitCostError:
            continue
    return found or [place(model, part, load, efficiencies, floor_tok_s)]


def _month(work: Workload, placed: Placed, peak: float) -> Interval:
    """Tokens asked for in a month that one replica serves."""
    low, high = placed.speed.interval(placed.speed.device_tok_s)
    all_tokens = placed.on.devices * work.asked / work.sums.requests / placed.load.output
    output_s = Interval(float(low), float(placed.speed.device_tok_s), float(high))
    return output_s.times(all_tokens * PEAK_BUSY / peak * HOURS_A_MONTH * 3600)


def _electricity(work: Workload, placed: Placed, terms: Owning) -> Electricity | None:
    """Of a million tokens of the mix."""
    joules = placed.speed.joules_per_token
    return (
        None
        if joules is None
        else electricity(joules * placed.load.output * work.sums.requests / work.asked, placed.on.part, terms)
    )


def _user_tok_s(work: Workload, placed: Placed, efficiencies: Efficiencies, peak: float, devices: int) -> float:
    """In the busiest hour, with as many requests at once as there then are: Little's law, L = rate x time, until it holds."""
    output_s = placed.load.output * work.sums.requests / (work.days * 86_400) * peak * placed.on.devices / devices
    batch, most = 1.0, float(placed.speed.batch)
    for _ in range(8):
        speed = serve(*placed.model, placed.on, replace(placed.load, batch=batch), efficiencies)
        batch = min(most, max(1.0, output_s / float(speed.user_tok_s)))
    return float(speed.user_tok_s)


def _uneven(work: Workload, placed: Placed, stated: float | None) -> float:
    """The busiest hour's work over the mean hour's, by what its tokens take."""
    if stated is not None:
        if stated < 1:
            raise UnitCostError(f"the busiest hour has at least the mean hour's work; {stated:g} is less than 1")
        return stated
    if work.busiest is None:
        raise UnknownFact(
            "most of these rows are sums of whole days, so the busiest hour is not known: state how many times the mean hour's work it has "
            "with --busiest-over-mean (people at work in one time zone: about 4)"
        )

    def seconds(of: Tokens) -> float:
        return of.computed / float(placed.speed.prefill_tok_s) + of.output / float(placed.speed.decode_tok_s)

    return max(1.0, seconds(work.busiest) / (seconds(work.sums) / (work.days * 24)))


def _notes(work: Workload, arch: Architecture, part: Part, uneven: float | None) -> list[str]:
    models = "the models that did this work"
    notes = [
        f"{arch.name} is not {models}. Whether it does the work as well, in as many tokens, is not said here: shadow it first (docs/routing.md).",
        f"A month is projected from {work.days:.1f} days; devices are rented by the whole month, and busy at most {PEAK_BUSY:.0%} of the busiest hour.",
        "Without the people who run it.",
    ]
    if arch.positions and work.longest_tokens and not arch.takes(work.longest_tokens):
        notes.append(
            f"{arch.name} takes {arch.positions:,} tokens in a sequence, and the longest call had {work.longest_tokens:,}: calls beyond it stay "
            "where they are, and are counted here all the same."
        )
    if part.status == "announced":
        notes.append(f"{part.name} is announced ({part.announced}) and cannot be had yet: its figures are its vendor's.")
    if not work.money.ours_nusd:
        notes.append(
            "No saving of ours is on record in this time: `jevons savings` says what can be turned on before anything is built."
        )
    if work.spared:
        notes.append(
            f"Of {work.asked:,} tokens asked for, {work.spared:,} reached nobody: our caches answered, or they were cut from prompts. The first two "
            "ways pay for them; all others stand behind the same caches."
        )
    if work.own_entries:
        notes.append(
            f"{work.own_entries:,} calls of our own (shadows, judges, checks, first tries of cascades) are in no token here; "
            f"{short_usd(work.own_billed_nusd)} for them is part of the bill."
        )
    if work.prefix_lost_nusd:
        notes.append(
            f"Of it, {short_usd(round(work.prefix_lost_nusd / work.months))} a month was lost to broken prefixes, an estimate: "
            "`jevons cache doctor` says what to mend."
        )
    if not work.money.billed_nusd:
        notes.append("Nothing was billed (a subscription, or free calls): break-even is against list prices alone.")
    if work.open_most is None:
        notes.append("How many calls were open at once is not known of imported rows; devices are counted by the busiest hour.")
    if uneven is not None:
        notes.append(f"The busiest hour is stated: {uneven:g} times the mean one.")
    return notes
