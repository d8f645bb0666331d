"""A row that was read before: is it the same, and what has it grown by?

Comes in: a record, and what the ledger has of it. Goes out: sums and their differences. Does not know: files, the ledger's tables.
"""

import msgspec

from jevons.core.usage import Usage
from jevons.imports.record import Record
from jevons.ledger.importing import Known


def figures(record: Record, had: Known) -> Known:
    """A record's sums as the ledger keeps them; what its source does not say is as it was. A cost counts where it is all that is told."""
    usage = record.usage
    tokens = (
        (usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output)
        if usage is not None
        else had.tokens
    )
    reasoning = usage.reasoning if usage is not None else had.reasoning
    same = usage is not None and (tokens, reasoning, record.requests) == (had.tokens, had.reasoning, had.requests)
    billed = had.billed_nusd if record.billed_nusd is None or same else record.billed_nusd
    listed = had.list_nusd if record.list_nusd is None or same else record.list_nusd
    return Known(tokens, reasoning, record.requests, billed, listed)


def added(one: Known, other: Known) -> Known:
    given, read, write_5m, write_1h, made = (a + b for a, b in zip(one.tokens, other.tokens, strict=True))
    return Known((given, read, write_5m, write_1h, made), *(a + b for a, b in zip(one[1:], other[1:], strict=True)))


def less(now: Known, had: Known) -> Known | None:
    """What came since; None where anything fell."""
    given, read, write_5m, write_1h, made = (a - b for a, b in zip(now.tokens, had.tokens, strict=True))
    rest = [a - b for a, b in zip(now[1:], had[1:], strict=True)]
    return (
        None if min(given, read, write_5m, write_1h, made, *rest) < 0 else Known((given, read, write_5m, write_1h, made), *rest)
    )


def larger(one: Record, other: Record) -> Record:
    """Of two readings of the same row the one that says more; the first where they are alike, and its time."""
    return msgspec.structs.replace(other, at_ms=one.at_ms) if _weight(other) > _weight(one) else one


def _weight(record: Record) -> tuple[int, int, int]:
    usage = record.usage if record.usage is not None else Usage()
    return usage.output, usage.input_total, record.billed_nusd or 0
