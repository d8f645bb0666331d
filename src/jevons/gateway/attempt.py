"""One attempt: its hold, what was seen of its answer, and its one resolution.

Whatever happens between `hold` and `resolve` (cancellation included), `resolve` runs once, and its charge follows policy.settle.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from jevons.core.ask import Dialect
from jevons.core.entry import Entry, Hold, Outcome, admitted_ms
from jevons.core.limits import SEEN_BYTES_MAX
from jevons.core.price import HELD, Price
from jevons.core.routed import Role, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.gateway.breaking import Watch
from jevons.gateway.passage import Passage
from jevons.ledger.ledger import Ledger
from jevons.meter.tokens import count_text
from jevons.policy.savings import Markers, check_saving, marked_by, savings_of
from jevons.policy.settle import Ending, Settled, settle
from jevons.policy.terms import with_answered, with_warm
from jevons.wire.sse import Cutter
from jevons.wire.visible import visible_text

if TYPE_CHECKING:
    from jevons.gateway.growing import Growing

_OWN_LINES = {
    Role.CHECK: SavingKind.CHECK,
    Role.SHADOW: SavingKind.SHADOW,
    Role.JUDGE: SavingKind.SHADOW,
    Role.CASCADE: SavingKind.ROUTE,
}
"""Roles of attempts that no client asked for: their whole cost is one line, negative. The same (ROUTE) is the line of whoever was beaten in a race."""


class Attempt:
    """Created with its hold reserved; the journey fills in what it sees."""

    output_cap: int | None = None
    """The cap per answer that we set, if it is not the client's own."""
    sent = False
    sent_s = 0.0
    """When it was sent, on a clock of its own."""
    waited_ms: int | None = None
    """From then to its first byte."""
    on_show: Callable[[], None] | None = None
    """Told before its answer is shown: another attempt may be on its way."""
    is_beaten: Callable[[], bool] | None = None
    """Was the answer of that other shown in its place?"""
    shown = False
    """The client was given something of it."""
    outcome: Outcome | None = None
    """How it ended."""
    status = 0
    usage: Usage | None = None
    input_usage: Usage | None = None
    charge_price: Price | None = None
    """The row that applies, where the answer shows that it is not the dearest that might have (service tier)."""
    answered: dict[str, str] | None = None
    """Under what context the answer says that it was made, where that is not the one it was asked in."""
    complete = False
    behind = False
    """The upstream may have said much that was not read: what was seen says nothing of what was made."""
    finish = ""
    response_id = ""
    first_byte_ms: int | None = None
    settled: Settled | None = None
    """The charge, once resolved."""
    durable: "asyncio.Future[None] | None" = None
    """Done when the entry is on disk; set once resolved."""
    growing: "Growing | None" = None
    """Set while its hold is packed."""
    passage: Passage | None = None
    """Its request under the governor."""
    before: tuple[tuple[SavingKind, Price], ...] = ()
    """Prices of the models that stood before this one, and the kind of each step from one to the next."""
    trimmed_tokens = 0
    """Tokens of the request that were not sent, because its tool output was made shorter."""
    trimmed_new_tokens = 0
    """How many of these belong to output that this request is the first to send."""
    watch: Watch | None = None
    """Says whether it went on from its conversation's prefix, once it is answered; None = no prompt cache is concerned."""
    role = Role.ANSWER
    """What it is made for."""
    stands_in = False
    """Another of its request's models was chosen, and this one asked."""
    routed: Routed | None = None
    """How its request was routed; None = by its name alone."""
    warm_tokens = 0
    """What its model is believed to have in its prompt cache; 0 also where that was not looked at."""
    cache_plan = ""
    """What our plan for the provider's prompt cache is, in words."""
    markers: Markers | None = None
    """Who said what the provider's prompt cache is to keep of this request; None = not we (`policy.savings.marked_by`)."""

    def __init__(
        self,
        ledger: Ledger,
        hold: Hold,
        price: Price,
        *,
        provider: str,
        dialect: Dialect,
        billed: bool,
        visible: bool,
        encoding: str,
        on_entry: Callable[[Entry], None],
    ) -> None:
        self._ledger = ledger
        self._on_entry = on_entry
        self._seen: list[bytes] = []
        self._seen_bytes = 0
        self._seen_output = 0
        self._dialect = dialect
        self._billed = billed
        self._visible = visible
        self._encoding = encoding
        self.hold = hold
        self.price = price
        """The dearest row that may apply: what the hold was taken under."""
        self.provider = provider
        self.streamed = hold.stream
        """What arrives is counted as it comes; False when the upstream answers whole although a stream was asked for."""

    def saw(self, whole: bytes) -> None:
        """Keep streamed events until final usage makes counting them needless."""
        self._seen.append(whole)
        self._seen_bytes += len(whole)
        if self._seen_bytes > SEEN_BYTES_MAX:
            self._seen_output += self._count_seen()

    def mark_first_byte(self) -> None:
        if self.first_byte_ms is None:
            self.waited_ms = int((time.monotonic() - self.sent_s) * 1000)
            self.first_byte_ms = max(0, int(time.time() * 1000) - admitted_ms(self.hold.id))

    def resolve(self, outcome: Outcome) -> "asyncio.Future[None]":
        """Post the entry; the future is done when it is on disk. Call once."""
        assert self.settled is None
        self.outcome = outcome
        visible = self._visible and not self.behind
        needs_count = self.usage is None and visible and self.sent and self.streamed
        seen = self._seen_output + self._count_seen() if needs_count else None
        ending = Ending(self.sent, self.status, self.usage, self.input_usage, self.complete, seen, visible)
        price = self.charge_price or self.price
        if self.answered is not None:
            self.hold = msgspec.structs.replace(self.hold, terms=with_answered(self.hold.terms, self.answered))
        if self.warm_tokens:
            self.hold = msgspec.structs.replace(self.hold, terms=with_warm(self.hold.terms, self.warm_tokens))
        settled = self.settled = settle(self.hold, price, ending, billed=self._billed)
        settled_ms = int(time.time() * 1000)
        broke = None
        if self.watch is not None and self.usage is not None and self.status < 300:
            broke = self.watch(settled_ms, self.usage, price)
        entry = Entry(
            hold=self.hold,
            outcome=outcome,
            status=self.status,
            usage=settled.usage,
            lines=settled.lines,
            list_nusd=settled.list_nusd,
            billed_nusd=settled.billed_nusd,
            estimate=settled.estimate,
            settled_ms=settled_ms,
            first_byte_ms=self.first_byte_ms,
            finish=self.finish,
            response_id=self.response_id,
            price_row=price.row,
            tariff=settled.tariff,
            savings=self._savings(settled, price),
            broke=broke,
            role=self.role,
            routed=self.routed,
        )
        self._on_entry(entry)
        self.durable = self._ledger.post(entry)
        return self.durable

    def abandon(self) -> None:
        """Resolve an attempt that was held and never sent: the client left, or we are stopping."""
        if self.settled is None:
            self.resolve(Outcome.VOID)

    def _savings(self, settled: Settled, price: Price) -> tuple[Saving, ...]:
        beaten = self.is_beaten is not None and self.is_beaten()
        if (kind := SavingKind.ROUTE if beaten else _OWN_LINES.get(self.role)) is not None:
            return (check_saving(settled.usage, settled.list_nusd, kind),) if settled.list_nusd else ()
        if not settled.lines or settled.tariff == HELD:
            return ()  # of a whole hold nobody can say what it would have been
        markers = self.markers or marked_by(self.hold.target)
        return savings_of(
            settled.usage,
            price,
            settled.list_nusd,
            before=self.before if self.shown or self.outcome is Outcome.OK else (),  # the others answer once, whoever failed here
            markers=markers,
            trimmed_tokens=self._as_billed(self.trimmed_tokens, settled.usage),
            trimmed_new_tokens=self._as_billed(self.trimmed_new_tokens, settled.usage),
        )

    def _as_billed(self, tokens: int, usage: Usage) -> int:
        """Tokens that were not sent, by the provider's measure of what was: our own count may be a bound, and twice as high."""
        counted = self.hold.input_tokens
        return tokens * usage.input_total // counted if counted else tokens

    def _count_seen(self) -> int:
        whole = Cutter().feed(b"".join(self._seen))
        self._seen.clear()
        self._seen_bytes = 0
        return count_text(visible_text(self._dialect, whole), self._encoding) if whole else 0
