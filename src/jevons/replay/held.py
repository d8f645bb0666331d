"""One call under way in a replay: what it holds, and what it comes to.

Comes in: a recorded call, the price and terms that it was decided by here. Goes out: its charge, by `policy.settle`. Does not know: accounts' limits,
why it was admitted.
"""

import msgspec

from jevons.core.entry import Hold, attempt_of
from jevons.core.price import Price, PriceTier, UnpricedKind, charge
from jevons.core.usage import INPUT, OUTPUT, OUTPUT_PARTS, REASONING, REQUESTS, Usage
from jevons.meter.pricebook import billing, with_request_unit
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts, came_to
from jevons.policy.govern import CUTS, Admit, Terms, more_output
from jevons.policy.rules import COUNTED, Measure, Who
from jevons.policy.runs import Run
from jevons.policy.settle import NOTHING, Ending, Settled, settle
from jevons.policy.terms import Asked, Sort, terms_of
from jevons.replay.rates import Rates
from jevons.replay.rows import Call
from jevons.replay.tally import Tally

_AS_RECORDED = "recorded"
RECORDED = Price(_AS_RECORDED, "", 1, (PriceTier(-1, {INPUT: 0, OUTPUT: 0, _AS_RECORDED: 1}),))
"""Of a call of which only its cost is known: that, and nothing for each token."""
FREE = Price("free", "", 1, (PriceTier(-1, {}),))
_OUTPUT, _STEPS = COUNTED.index(Measure.OUTPUT), COUNTED.index(Measure.STEPS)
_OUTPUTS = frozenset({OUTPUT, REASONING, *OUTPUT_PARTS})
_UNKNOWN = Ending(sent=True)


class Goes(msgspec.Struct, frozen=True):
    """Where a call goes here."""

    upstream: str
    target: str
    provider: str
    billed: bool
    moved: bool
    """To another model than it went to."""
    degraded: bool = False


class Held:
    """A call that is decided, or waits to be."""

    __slots__ = (
        "amounts",
        "call",
        "claims",
        "delay",
        "goes",
        "in_the_way",
        "more_nusd",
        "output_max",
        "path",
        "price",
        "run",
        "since_ms",
        "terms",
        "told_cap",
        "who",
    )

    def __init__(self, call: Call, who: Who, run: Run | None, goes: Goes, price: Price, terms: Terms) -> None:
        self.call = call
        self.who = who
        self.run = run
        self.goes = goes
        self.price = price
        self.terms = terms
        self.path: tuple[Account, ...] = ()
        self.claims: list[tuple[Account, int]] = []
        self.amounts: Amounts = (0,) * 10
        self.output_max: int | None = None
        """Output tokens at which the answer ends here, though it went on; None = where it ended."""
        self.since_ms = 0
        """When it began to wait; 0 = it does not."""
        self.in_the_way = ""
        """The limit under which open calls hold what it waits for."""
        self.told_cap: int | None = None
        """Output cap that the upstream is told here."""
        self.more_nusd = 0
        """What its answer might cost more: it was cut at the time, and has more room here."""
        self.delay = 0
        """By how much later its money is given back, in the order of events."""

    @property
    def output_tokens(self) -> int:
        """Held."""
        return self.amounts[_OUTPUT]

    def expecting(self, output: int | None) -> Terms:
        """Its terms, with a packed hold for so much output; None = strict."""
        if self.terms.expected_output != output:
            self.terms = msgspec.structs.replace(self.terms, expected_output=output)
        return self.terms

    def is_short(self, admitted: Admit) -> bool:
        """Of a call that is taken as it stands: it would have had to be shorter."""
        cap = admitted.output_cap
        return self.call.asked is None and cap is not None and cap < self.call.usage.output

    def shortest(self) -> Account:
        """Of the accounts that limit tokens, the one with the least left."""
        return min(
            (account for account in self.path if account.enforced and account.limit is not None and account.index in CUTS),
            key=lambda account: account.available or 0,
        )

    def told(self, asked: Asked, cap: int | None) -> None:
        """The upstream is told this cap. A shorter one than at the time may end its answer, under a longer one it might have gone on."""
        self.told_cap, before, output = cap, asked.told_cap, self.call.usage.output
        if cap is not None and (before is None or cap < before):
            if output > cap * asked.choices:
                self.output_max = cap * asked.choices
        elif self.call.was_cut and before is not None and cap != before and asked.choices == 1:
            more = max(0, (self.terms.output_max if cap is None else cap) - before)
            self.more_nusd = more_output(self.terms, before, more)[0]

    def tell(self, settled: Settled, tally: Tally) -> None:
        """What is to be said of it beside its cost."""
        if self.output_max is not None:
            tally.cut += 1
        if self.more_nusd:
            tally.longer += 1
            tally.longer_nusd += self.more_nusd
        if self.goes.moved and settled.billed_nusd:
            output = sum([line.nusd for line in settled.lines if line.kind in _OUTPUTS])
            route = (self.call.agent, self.call.target, self.goes.target)
            tally.move(route, settled.billed_nusd - output, output, degraded=self.goes.degraded)

    def usage(self) -> Usage:
        """What it used, here."""
        call, usage = self.call, self.call.usage
        if self.output_max is not None and usage.output > self.output_max:
            usage = msgspec.structs.replace(usage, output=self.output_max, reasoning=min(usage.reasoning, self.output_max))
        if call.request_billed or (self.goes.moved and usage.output):
            usage = with_request_unit(usage, self.price)
        return usage

    def settle(self, rates: Rates) -> Settled:
        """What it is charged."""
        call, asked = self.call, self.call.asked
        if not call.sent:
            return NOTHING
        if asked is None:
            return Settled(call.usage, (), call.list_nusd, call.billed_nusd, NOTHING.estimate)
        price = self.price if asked.sort != Sort.CALL else charged(call, asked, self.goes, rates) or self.price
        ending = Ending(sent=True, status=200, usage=self.usage()) if call.usage_known else _UNKNOWN
        return settle(self._hold(), price, ending, billed=self.goes.billed)

    def spent(self, settled: Settled) -> Amounts:
        """What it counts for."""
        call = self.call
        amounts = came_to(settled.usage, settled.billed_nusd, settled.list_nusd, step=call.step)
        if call.imported and call.step and call.requests != 1:  # a sum of many
            return (*amounts[:_STEPS], call.requests, *amounts[_STEPS + 1 :])
        return amounts

    def _hold(self) -> Hold:
        call, amounts = self.call, self.amounts
        return Hold(
            call.id, call.key_id, call.run_id, call.dialect, call.model, self.goes.target, self.goes.upstream, False, amounts[0], amounts[1],
            self.terms.input_tokens, "exact", amounts[_OUTPUT], call.book, self.price.row, b"", 0,
        )  # fmt: skip


def held_price(call: Call, goes: Goes, rates: Rates) -> Price | None:
    """The dearest row that may apply, as a hold takes it; None = its price is unknown."""
    asked = call.asked
    assert asked is not None, "of a call that is taken as it stands there is no price"
    if asked.sort == Sort.DOOR:
        return Price("door", "", 1, (PriceTier(-1, {REQUESTS: asked.fixed_nusd}),))
    if asked.sort == Sort.COUNT:
        return FREE
    return rates.of(call.book).dearest(goes.provider, goes.target, call.at_ms, billing(dict(asked.context), goes.billed))


def charged(call: Call, asked: Asked, goes: Goes, rates: Rates) -> Price | None:
    """The row that applied, under the tier that the answer named."""
    named = asked.context if asked.answered is None else asked.answered
    return rates.of(call.book).price(goes.provider, goes.target, call.at_ms, billing(dict(named), goes.billed))


def terms_here(call: Call, goes: Goes, price: Price, output_max: int, cap_max: int | None) -> Terms:
    """What fixes its worst case. What is known by its cost alone weighs what it came to."""
    asked = call.asked
    if asked is None:
        usage = call.usage
        return Terms(
            price,
            usage.input_total,
            usage.output,
            output_cap=usage.output or None,
            units=((_AS_RECORDED, call.list_nusd),),
            billed=call.billed_nusd > 0,
            step=call.step,
        )
    if asked.billed != goes.billed or asked.output_max != output_max:
        asked = msgspec.structs.replace(asked, billed=goes.billed, output_max=output_max)
    return terms_of(asked, price, step=attempt_of(call.id) == 0, cap_max=cap_max)


def worth(call: Call, rates: Rates) -> int:
    """What a call would have been billed where it went: what is saved if it does not come. Nothing for one of which nobody knows its usage."""
    asked = call.asked
    if asked is None:
        return int(call.billed_nusd)
    goes = Goes(call.upstream, call.target, asked.provider, asked.billed, moved=False)
    if not call.usage_known or not call.sent or not asked.billed or asked.sort != Sort.CALL:
        return 0
    price = charged(call, asked, goes, rates)
    try:
        return charge(call.usage, price).nusd if price is not None else 0
    except UnpricedKind:
        return 0
