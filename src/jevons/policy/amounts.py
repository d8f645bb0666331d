"""What one call weighs in each counted measure: before it is sent (at most), and after (as billed).

An `Amounts` has one whole number for each measure of `policy.rules.COUNTED`, in that order; money in nano-USD.
"""

from jevons.core.entry import Entry, Outcome, attempt_of
from jevons.core.usage import Usage

Amounts = tuple[int, int, int, int, int, int, int, int, int, int]

_NO_STEP = frozenset({Outcome.VOID, Outcome.FREE, Outcome.CACHED})


def bound(money_nusd: int, list_nusd: int, input_tokens: int, output_tokens: int, *, step: bool, calls: int = 1) -> Amounts:
    """The most that a call may come to. Any of its input may turn out cached or written to a cache, any output reasoning.

    `calls`: how many of the calls at once it is; 0 for those that no model answers.
    """
    return (
        money_nusd,
        list_nusd,
        input_tokens + output_tokens,
        input_tokens,
        input_tokens,
        input_tokens,
        output_tokens,
        output_tokens,
        int(step),
        calls,
    )


def is_step(entry: Entry) -> bool:
    """Is this entry a model request of its own? Our own retries are none, nor what was never sent, nor answers that cost nothing."""
    return attempt_of(entry.hold.id) == 0 and entry.outcome not in _NO_STEP


def spent(entry: Entry) -> Amounts:
    """What a call came to."""
    return came_to(entry.usage, entry.billed_nusd, entry.list_nusd, step=is_step(entry))


def came_to(usage: Usage, billed_nusd: int, list_nusd: int, *, step: bool) -> Amounts:
    """The same from its parts."""
    cache_write = usage.cache_write_5m + usage.cache_write_1h
    tokens = usage.input + usage.cache_read + cache_write + usage.output
    return (
        billed_nusd,
        list_nusd,
        tokens,
        usage.input,
        usage.cache_read,
        cache_write,
        usage.output,
        usage.reasoning,
        int(step),
        0,
    )


def plus(a: Amounts, b: Amounts) -> Amounts:
    """Measure by measure; written out, which takes a quarter of the time of a loop."""
    return (
        a[0] + b[0],
        a[1] + b[1],
        a[2] + b[2],
        a[3] + b[3],
        a[4] + b[4],
        a[5] + b[5],
        a[6] + b[6],
        a[7] + b[7],
        a[8] + b[8],
        a[9] + b[9],
    )
