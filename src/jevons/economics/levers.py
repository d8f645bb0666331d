"""What each lever takes off the cost of a local token: a model of one turn's seconds, and each lever's fair share of the fall.

Comes in: measured rates, a workload, the price of a machine's second. Goes out: nano-dollars per million tokens for every set of levers, and
so, by `shapley`, each lever's share of the whole fall. Does not know: how rates are measured, what a lever is made of.

One turn reads `prompt` tokens, of which `repeated` were in the turn before, and writes `output` tokens:

    seconds = (prompt - found · repeated) / prefill rate  +  output / decode rate  +  found · repeated · seconds to put a token back

Quantised weights change both rates, batching the rate of decoding, a kept prefix what is computed, and compressed KV how often a prefix is
still there when it is asked for. So levers meet: a kept prefix is worth less on faster weights. How the fall is shared out: `shapley`.
"""

from fractions import Fraction
from typing import NamedTuple

from jevons.core.money import half_even
from jevons.economics.shapley import Set, subsets

QUANTISED, BATCHED, KEPT, COMPRESSED = LEVERS = ("quantised weights", "batched", "prefix kept", "KV compressed")
MILLION = 1_000_000
NUSD = 10**9


class Workload(NamedTuple):
    """Tokens of one turn."""

    prompt: int
    repeated: int
    """Of the prompt: tokens that the turn before had too."""
    output: int


class Rates(NamedTuple):
    """Measured on one machine, with as many threads on all sides."""

    prefill_tok_s: dict[bool, float]
    """By whether the weights are quantised."""
    decode_tok_s: dict[tuple[bool, bool], float]
    """By (quantised, batched); of all sequences together."""
    restore_token_s: dict[bool, float]
    """Seconds to put one parked token back, by whether it is compressed."""
    found: dict[bool, float]
    """Share of repeated tokens that are still there, in equal memory, by whether they are compressed."""


class Corner(NamedTuple):
    """One set of levers."""

    levers: Set
    seconds: float
    """Of one turn."""
    nusd_per_million: int
    """Per million tokens of the workload, read and written."""


def turn_seconds(rates: Rates, work: Workload, levers: Set) -> float:
    """Machine seconds of one turn."""
    quantised, compressed = QUANTISED in levers, COMPRESSED in levers
    found = rates.found[compressed] * work.repeated if KEPT in levers else 0.0
    reading = (work.prompt - found) / rates.prefill_tok_s[quantised]
    return reading + work.output / rates.decode_tok_s[quantised, BATCHED in levers] + found * rates.restore_token_s[compressed]


def corners(rates: Rates, work: Workload, usd_per_s: Fraction) -> dict[Set, Corner]:
    """Every set of levers, with its cost."""
    tokens = work.prompt + work.output
    found = {}
    for levers in subsets(LEVERS):
        seconds = turn_seconds(rates, work, levers)
        cost = Fraction(seconds) * usd_per_s * NUSD * MILLION / tokens
        found[levers] = Corner(levers, seconds, half_even(cost.numerator, cost.denominator))
    return found
