"""What an attempt is charged, however it ended (docs/ledger.md, "Estimates").

Comes in: the hold, its price, how the attempt ended and what was seen. Goes out: usage, lines, list and billed cost, and why
it is an estimate if it is one. Never zero for work that a provider may have billed.
"""

import msgspec

from jevons.core.entry import Estimate, Hold
from jevons.core.limits import IN_FLIGHT_OUTPUT_TOKENS
from jevons.core.price import HELD, Line, Price, UnpricedKind, charge, tariff_of
from jevons.core.usage import REQUESTS, Usage


class Ending(msgspec.Struct, frozen=True):
    """How an attempt ended, as the journey saw it."""

    sent: bool
    """Bytes of the request may have reached the upstream."""
    status: int = 0
    """Upstream's HTTP status, 0 if no headers came."""
    usage: Usage | None = None
    """Final usage, if the upstream gave it."""
    input_usage: Usage | None = None
    """What the upstream said of the input alone, before the answer was whole (Anthropic's message_start)."""
    complete: bool = False
    """The answer came to its own end."""
    seen_output: int | None = None
    """Output tokens counted in what arrived; None if nothing can be said (non-streamed, unfinished)."""
    visible: bool = False
    """The model shows all it generates, so that seen output is all output."""


class Settled(msgspec.Struct, frozen=True):
    usage: Usage
    lines: tuple[Line, ...]
    list_nusd: int
    billed_nusd: int
    estimate: Estimate
    tariff: str = ""


NOTHING = Settled(Usage(), (), 0, 0, Estimate.NONE)


def settle(hold: Hold, price: Price, ending: Ending, *, billed: bool = True) -> Settled:
    """The charge of one attempt. `billed` False: list price is kept, the account pays nothing."""
    if not ending.sent:
        return NOTHING
    if ending.usage is not None:
        return _charged(hold, price, ending.usage, Estimate.NONE, billed)
    if ending.status >= 300:
        return NOTHING  # an error (or a redirect) without usage is not billed by any provider we know
    if ending.visible and ending.seen_output is not None:
        in_flight = 0 if ending.complete else IN_FLIGHT_OUTPUT_TOKENS
        output = min(ending.seen_output + in_flight, max(hold.output_tokens, ending.seen_output))
        known = ending.input_usage or Usage(input=hold.input_tokens)
        other = (*known.other, (REQUESTS, 1)) if REQUESTS in price.tiers[0].nums else known.other
        return _charged(
            hold, price, msgspec.structs.replace(known, output=output, reasoning=0, other=other), Estimate.SEEN, billed
        )
    return _whole_hold(hold, _all_held(hold), Estimate.HOLD, billed)


def _charged(hold: Hold, price: Price, usage: Usage, estimate: Estimate, billed: bool) -> Settled:
    try:
        cost = charge(usage, price)
    except UnpricedKind:
        return _whole_hold(hold, usage, Estimate.UNPRICED, billed)
    tariff = tariff_of(price, usage.input_total)
    return Settled(usage, cost.lines, cost.nusd, cost.nusd if billed else 0, estimate, tariff)


def _whole_hold(hold: Hold, usage: Usage, estimate: Estimate, billed: bool) -> Settled:
    line = Line("hold", 1, hold.list_held_nusd, 0)
    return Settled(usage, (line,), hold.list_held_nusd, hold.list_held_nusd if billed else 0, estimate, HELD)


def settle_killed(hold: Hold) -> Settled:
    """The charge of a hold found open at start: our process died and nobody can say what the provider did."""
    return _whole_hold(hold, _all_held(hold), Estimate.HOLD, hold.held_nusd > 0)


def _all_held(hold: Hold) -> Usage:
    """The tokens that go with the money of a whole hold: as many as it was for, so that limits on tokens cannot be dodged by leaving."""
    return Usage(input=hold.input_tokens, output=hold.output_tokens)
