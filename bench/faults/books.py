"""Our ledger against the providers' own books: every attempt that an upstream has seen, to the nano-dollar.

Comes in: what clients asked, our entries, both journals. Goes out: two sums of each, of attempts whose usage was told and of those that were cut off.
"""

import re
import time
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from jevons.core.entry import parse_request_text
from jevons.core.price import charge
from jevons.core.usage import Usage
from jevons.meter.pricebook import PriceBook, with_request_unit
from tests.provider import Attempt

from .scenes import MODEL

MARK = re.compile(rb"\b[0-9a-f]{32}\b")
UNSENT = ("unreachable", "void")


class Sums(NamedTuple):
    """Nano-dollars."""

    metered: int = 0
    """Ours, where the provider told the usage."""
    metered_billed: int = 0
    """What the provider's books say of these."""
    cut: int = 0
    """Ours, where an attempt was cut off or broke, and its usage was never told: charged as docs/ledger.md says under "Estimates"."""
    cut_billed: int = 0
    attempts: int = 0
    cut_attempts: int = 0
    unmatched: int = 0
    """Attempts in one book and not in the other."""

    @property
    def difference(self) -> int:
        return self.metered - self.metered_billed

    def plus(self, other: "Sums") -> "Sums":
        return Sums(*[mine + theirs for mine, theirs in zip(self, other, strict=True)])


def compared(
    book: PriceBook, entries: Iterable[dict[str, Any]], marks: Mapping[str, str], journals: Mapping[str, list[Attempt]]
) -> Sums:
    """`marks`: request id -> the mark in its prompt; `journals`: upstream -> its provider's attempts. Attempts of one request at one upstream are matched in
    their order."""
    seen: dict[tuple[str, str], list[Attempt]] = {}
    for upstream, attempts in journals.items():
        for attempt in attempts:
            found = MARK.search(b64decode(attempt.received["body"] or ""))
            if found is not None:
                seen.setdefault((found[0].decode(), upstream), []).append(attempt)
    by_request = {parse_request_text(request): mark for request, mark in marks.items() if request}
    sums = Sums()
    for entry in sorted(entries, key=lambda one: int(one["id"])):
        mark = by_request.get(entry["id"] >> 4 << 4)
        if mark is None or entry["outcome"] in UNSENT:
            continue
        upstream = "first" if entry["upstream"] == "alone" else entry["upstream"]
        queue = seen.get((mark, upstream))
        if not queue and not entry["estimate"]:
            sums = sums.plus(Sums(unmatched=1))
            continue
        billed = (
            cost_nusd(book, queue.pop(0)) if queue else 0
        )  # cut off before it arrived: nobody can know that, so it is charged
        if entry["estimate"]:
            sums = sums.plus(Sums(cut=entry["list_nusd"], cut_billed=billed, attempts=1, cut_attempts=1))
        else:
            sums = sums.plus(Sums(metered=entry["list_nusd"], metered_billed=billed, attempts=1))
    return sums.plus(Sums(unmatched=sum(len(queue) for queue in seen.values())))


def cost_nusd(book: PriceBook, attempt: Attempt) -> int:
    """What a provider's bill comes to at list price."""
    bill = attempt.bill
    price = book.price("openai", MODEL, int(time.time() * 1000))
    assert price is not None
    if bill is None:
        return 0
    usage = Usage(bill.input, bill.cache_read, bill.cache_write_5m, bill.cache_write_1h, bill.output, bill.reasoning)
    return charge(with_request_unit(usage, price), price).nusd
