"""The bill as a product, one and the same as the explanation of why it changed (economics/nest.py), and what follows from that.

    bill a day = Σ tasks · steps a task · ( context · (uncached · p_input + cached · p_cached + written · p_written)
                                          + output · p_output + fees a step )

over parts: who (organisation, team, agent) × model. `tasks` holds the mix already: tasks of the group times the part's share of its steps.
Comes in: sums of a frame, or `Terms`. Goes out: `Terms`, amounts in nano-USD as floats (rounded where they are shown). Does not know: time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jevons.economics.frames import BILLED_NUSD, CALLS, INPUT, INPUT_NUSD, LIST_NUSD, OUTPUT, OUTPUT_NUSD, Cost

CACHED, WRITTEN_5M, WRITTEN_1H = INPUT + 1, INPUT + 2, INPUT + 3
PRICED = ("input", "cached", "written", "output", "fees")
"""What a step is charged for, in the order of `step`."""


class Rates(NamedTuple):
    """Nano-USD for a token; None = never seen and not known."""

    input: float | None
    cached: float | None
    written: float | None
    output: float | None
    fees: float = 0.0
    """For a step."""


class Terms(NamedTuple):
    """Today's point of one part."""

    tasks: float
    """A day."""
    depth: float
    """Steps a task."""
    context: float
    """Input tokens of a step, of all kinds."""
    output: float
    """Output tokens of a step."""
    cached: float
    """Share of the input that is read from the provider's cache."""
    written: float
    """Share of it that is written there."""
    rates: Rates

    @property
    def steps(self) -> float:
        """A day."""
        return self.tasks * self.depth

    @property
    def tokens(self) -> float:
        """A day."""
        return self.steps * (self.context + self.output)


def step(terms: Terms) -> tuple[float, ...]:
    """What one step costs by `PRICED`. Raises ValueError where tokens of a kind have no rate."""
    rates = terms.rates
    shares = (1 - terms.cached - terms.written, terms.cached, terms.written)
    sizes = (*(terms.context * share for share in shares), terms.output)
    return (*(_at(size, rate) for size, rate in zip(sizes, rates[:4], strict=True)), rates.fees)


def bill(terms: Terms) -> float:
    """Nano-USD a day."""
    return terms.steps * sum(step(terms))


def terms_of(sums: Sequence[int], tasks: float, days: int, cost: Cost) -> Terms:
    """Of a frame's sums over `days`, of which `tasks` are counted. What was billed is shared out over kinds as the list cost is."""
    calls = sums[CALLS]
    read = sum(sums[INPUT:OUTPUT])
    written = sums[WRITTEN_5M] + sums[WRITTEN_1H]
    paid = 1.0 if cost == "list" else sums[BILLED_NUSD] / sums[LIST_NUSD] if sums[LIST_NUSD] else 0.0
    listed = sums[INPUT_NUSD : OUTPUT_NUSD + 1]
    fees = (sums[LIST_NUSD] - sum(listed)) * paid / calls if calls else 0.0
    rates = Rates(
        _rate(listed[0] * paid, sums[INPUT]),
        _rate(listed[1] * paid, sums[CACHED]),
        _rate((listed[2] + listed[3]) * paid, written),
        _rate(listed[4] * paid, sums[OUTPUT]),
        fees,
    )
    return Terms(
        tasks / days,
        calls / tasks if tasks else 0.0,
        read / calls if calls else 0.0,
        sums[OUTPUT] / calls if calls else 0.0,
        sums[CACHED] / read if read else 0.0,
        written / read if read else 0.0,
        rates,
    )


def _at(tokens: float, rate: float | None) -> float:
    if rate is None:
        if tokens > 1e-9:  # floats: a share of what is left over may be a hair above nothing
            raise ValueError("tokens of a kind that has no rate")
        return 0.0
    return tokens * rate


def _rate(nusd: float, tokens: int) -> float | None:
    return nusd / tokens if tokens else None
