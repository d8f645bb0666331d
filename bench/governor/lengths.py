"""How long answers are: drawn from a recorded trace of a chat service where it is at hand, else from a lognormal like it.

Comes in: a seed. Goes out: output tokens of one answer after the other. Heavy-tailed either way: the mean is well above the median.
"""

import csv
import random
from collections.abc import Callable, Iterator
from pathlib import Path

TRACE = Path(__file__).parents[3] / "shared" / "data" / "traces" / "azure_llm_2023_conv.csv"
"""Azure's LLM inference trace of November 2023, conversations; column GeneratedTokens."""
LOGNORMAL = (4.9, 1.0)
"""Mean and deviation of the logarithm: median 134, mean 221 tokens; the trace has 129 and 211."""
TOKENS_MAX = 4_000
"""Of one answer, so that a single one does not decide a run; the trace ends at 1,000."""


def recorded() -> list[int] | None:
    """The trace's answers; None if it is not here."""
    if not TRACE.exists():
        return None
    with TRACE.open(newline="") as file:
        return [int(row["GeneratedTokens"]) for row in csv.DictReader(file)]


def drawn(seed: int) -> tuple[str, float, Iterator[int]]:
    """(what they are drawn from, their mean, lengths without end)."""
    chance, trace = random.Random(seed), recorded()
    if trace is not None:
        return TRACE.name, sum(trace) / len(trace), _each(lambda: chance.choice(trace))
    sample = random.Random(0)
    mean = sum(_lognormal(sample) for _ in range(100_000)) / 100_000
    return f"lognormal{LOGNORMAL}", mean, _each(lambda: _lognormal(chance))


def _lognormal(chance: random.Random) -> int:
    return min(TOKENS_MAX, max(1, round(chance.lognormvariate(*LOGNORMAL))))


def _each(draw: Callable[[], int]) -> Iterator[int]:
    while True:
        yield draw()
