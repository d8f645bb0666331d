"""Joules of a model's work, one number per scenario: for a token made, a token read, and a pair of tokens of which one looks at the other.

Comes in: `Facts` of a model. Goes out: `Joules` of accelerators alone; `overhead` is what stands around them. Does not know: calls.

Energy of a call = made x output + read x new input + looked x pairs while the answer is made + attended x pairs while the prompt is read. Tokens
that a cache kept are not computed again: they cost what looking at them costs, which is in the pairs. All of it is linear, so sums of calls are
sums of these counts.

Of an open model the four are slopes of the unit-cost model (`unitcost`), over a stated choice of parts, precisions and batches. Of another they
are laws of its size, fitted on measured rows (data/energy.toml says which), drawn over the range that its size may have.
"""

from functools import lru_cache
from itertools import product as combinations
from math import exp, log
from typing import NamedTuple

from jevons.economics.energy import scenarios
from jevons.economics.energy.facts import Facts, Pair, assumed
from jevons.economics.energy.scenarios import Draws, lognormal, product
from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.efficiency import Efficiencies, shipped
from jevons.economics.unitcost.errors import DoesNotFit, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.serving import capacity
from jevons.economics.unitcost.steps import Demand, System, demand, time
from jevons.economics.unitcost.weights import CachePrecision, Precision, cache_precision, precision

SHORT, LONG = 512, 16_384
"""Tokens of context between which the slope of looking back is taken."""
PROMPT = 2_048
"""Tokens of a prompt in which reading is timed."""
ROOM = 4_096
"""Tokens of every sequence for which there must be memory."""
DEVICES = (1, 2, 4, 8, 16)
"""That one engine may be made of."""
TERA, GIGA, KILO = 1e12, 1e9, 1e3


class Joules(NamedTuple):
    """Of accelerators, one number per scenario."""

    made: Draws
    """Of a token of an answer, at a short context."""
    read: Draws
    """Of a new token of a prompt."""
    looked: Draws
    """Of a token that is made looking at one before it."""
    attended: Draws
    """Of a new token of a prompt looking at one before it."""


def overhead() -> tuple[float, ...]:
    """What the building draws for a joule of accelerators: hosts and idle spares, and the power usage effectiveness."""
    fleet = assumed().fleet
    return product(lognormal("host", *fleet.host), lognormal("pue", *fleet.pue))


@lru_cache(maxsize=256)
def joules(facts: Facts) -> Joules:
    """Raises UnknownFact for a model of this machine, whose energy is its time."""
    if facts.architecture is not None:
        return _of_architecture(facts.architecture)
    if facts.active_b is None or facts.total_b is None:
        raise UnknownFact(f"{facts.name} has no joules a token: its energy is the time of this machine")
    return _of_size(facts.line, facts.active_b, facts.total_b)


def _of_size(line: str, active_b: Pair, total_b: Pair) -> Joules:
    law, fleet = assumed().law, assumed().fleet
    size = f"size {line}"  # one draw for both: who is large in one is so in the other
    active, total = lognormal(size, *active_b), lognormal(size, *total_b)
    batch = lognormal("batch", *fleet.batch)
    by_law = [
        exp(law.constant + law.active * log(a) + law.total * log(t) + law.batch * log(b))
        for a, t, b in zip(active, total, batch, strict=True)
    ]
    made = product(by_law, lognormal("hardware", *fleet.hardware), scenarios.scattered(f"law {line}", law.spread))
    efficiency = lognormal("prefill", *fleet.prefill_tflop_per_joule)
    read = [2 * a * GIGA / (e * TERA) for a, e in zip(active, efficiency, strict=True)]
    kept, reading = lognormal(f"cache {line}", *fleet.cache_kb), lognormal("reading", *fleet.joules_per_gb)
    looked = [kb * KILO * per_gb / GIGA for kb, per_gb in zip(kept, reading, strict=True)]
    heads = lognormal(f"attention {line}", *fleet.attention)
    attended = [share * a * GIGA / (e * TERA) for share, a, e in zip(heads, active, efficiency, strict=True)]
    return Joules(made, read, looked, attended)


def _of_architecture(arch: Architecture) -> Joules:
    """Every scenario takes one of the deployments that are possible; they stand in the order of what a token takes, so that the scenarios in which
    one model is served badly are those in which all are."""
    found = sorted(deployments(arch))
    efficiencies = shipped()
    known = [efficiencies.evidence(part(name), "") for name in assumed().open.parts]  # nobody says which engine serves it
    spread, power_spread = max(one.spread for one in known), max(one.power_spread for one in known)
    error = scenarios.scattered(f"model {arch.name}", (spread**2 + power_spread**2) ** 0.5)
    chosen = [found[min(len(found) - 1, int(u * len(found)))] for u in scenarios.uniform("deployment")]
    made, read, looked, attended = zip(*chosen, strict=True)
    return Joules(product(made, error), product(read, error), product(looked, error), product(attended, error))


Four = tuple[float, float, float, float]
"""As `Joules`, of one deployment."""


def deployments(arch: Architecture) -> list[Four]:
    """Of all parts, precisions and batches of data/energy.toml that are possible. Raises UnknownFact if none is."""
    options, found, said = assumed().open, list[Four](), ""
    for name, bits, batch in combinations(options.parts, options.precisions, options.batches):
        try:
            found.append(_deployed(arch, name, bits, batch))
        except (UnknownFact, DoesNotFit) as error:
            said = str(error)
    if not found:
        raise UnknownFact(f"{arch.name} fits on none of {', '.join(options.parts)} (up to {DEVICES[-1]} of them): {said}")
    return found


def _deployed(arch: Architecture, name: str, bits: str, batch: int) -> Four:
    on_part, form = part(name), precision(bits, arch)
    if bits != "bf16":
        on_part.flops(form.compute["experts"])  # what it cannot multiply in, nobody serves on it
    kv = cache_precision("bf16" if bits == "bf16" else "fp8")
    on = _fitting(arch, form, kv, name, batch)
    efficiencies = shipped()

    def made(context: int) -> float:
        return _energy(demand(arch, form, kv, on, batch=batch, contexts=(context,)), on, efficiencies) / batch

    def read(cached: int) -> float:
        step = demand(arch, form, kv, on, batch=0, contexts=(0,), prompts=on.data * 4, prompt=PROMPT, cached=cached)
        return _energy(step, on, efficiencies) / (on.data * 4 * PROMPT)

    looked = (made(LONG) - made(SHORT)) / (LONG - SHORT)
    attended = (read(LONG) - read(0)) / LONG
    return made(SHORT), max(0.0, read(0) - attended * PROMPT / 2), max(0.0, looked), max(0.0, attended)


def _energy(step: Demand, on: System, efficiencies: Efficiencies) -> float:
    """Joules of all devices in one step. Raises UnknownFact where rated power is not known."""
    seconds = float(time(step, efficiencies.rates()).total_s)
    return on.devices * on.part.figure("tdp_w") * efficiencies.power.share(step, seconds) * seconds


def _fitting(arch: Architecture, form: Precision, kv: CachePrecision, name: str, batch: int) -> System:
    """The fewest devices, 1, 2, 4, 8 or 16, that hold the weights and `batch` sequences. Raises DoesNotFit."""
    for devices in DEVICES:
        # What heads cannot divide, a compressed cache, is not read by every device: each keeps the caches of its own sequences.
        on = System(part(name), data=devices, spread=True) if arch.kv_heads == 1 else System(part(name), tensor=devices)
        try:
            if capacity(arch, form, kv, on, ROOM) >= batch:
                return on
        except DoesNotFit:
            continue
    raise DoesNotFit(f"{batch} sequences of {ROOM:,} tokens of {arch.name} in {form.name} need more than {DEVICES[-1]} x {name}")
