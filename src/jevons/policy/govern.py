"""May this attempt go, with which output cap, holding how much?

Comes in: the account and the terms of the attempt. Goes out: Admit, Wait (only open holds are in the way) or Deny.
Does not know: time, tokens' origin, the disk. SEMANTICS "Worst case of a hold" and "No cap sent".
"""

import msgspec

from jevons.core.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_FLOOR, THINKING_FLOOR_TOKENS
from jevons.core.price import Price, worst_case
from jevons.policy.accounts import Account, fits


class Terms(msgspec.Struct, frozen=True):
    """What fixes the worst case of one attempt."""

    price: Price
    input_tokens: int
    """Upper bound (or best estimate) of input tokens."""
    output_max: int
    """The model's own maximum per answer; 0 for a door without output (embeddings)."""
    output_cap: int | None = None
    """The largest cap the client sent."""
    choices: int = 1
    thinking_budget: int = 0
    default_output_tokens: int | None = None
    units: tuple[tuple[str, int], ...] = ()
    """(priced unit, at most) of provider-run tools."""
    billed: bool = True
    """False under a subscription or free tier: the account pays nothing, the list price is kept."""


class Admit(msgspec.Struct, frozen=True):
    output_cap: int | None
    """Per answer; what the upstream is told. None: what the client sent stays (an account without a limit is never cut)."""
    clamped: bool
    """The cap is lower than what the client sent, or was injected below the default, for lack of money."""
    held_nusd: int
    list_held_nusd: int


class Wait(msgspec.Struct, frozen=True):
    """It would fit if open holds were resolved."""

    needed_nusd: int


class Deny(msgspec.Struct, frozen=True):
    """It does not fit, whatever the open holds turn into."""

    needed_nusd: int
    """The least that would have to be available."""


Verdict = Admit | Wait | Deny


def decide(account: Account, terms: Terms) -> Verdict:
    """Admit with the largest cap that the account can afford, up to what was asked. Raises UnpricedKind."""
    if account.limit_nusd is None:
        outputs = terms.choices * (terms.output_cap or terms.output_max)
        whole = worst_case(terms.price, terms.input_tokens, outputs, terms.units)
        return Admit(None, False, whole if terms.billed else 0, whole)
    wanted = _wanted_output(terms)
    whole = worst_case(terms.price, terms.input_tokens, terms.choices * wanted, terms.units)
    held = whole if terms.billed else 0
    if fits(account, held):
        return Admit(wanted, False, held, whole)
    unspent = account.limit_nusd - account.posted_nusd
    if not terms.billed:
        return Deny(0) if unspent < 0 else Wait(0)
    # Money is short. The cap is cut to what could be had if no other call were in flight: a call is never cut because of its neighbours.
    least = min(wanted, _least_output(terms))
    cap = min(wanted, _affordable_output(terms, unspent))
    if cap < least:
        return Deny(worst_case(terms.price, terms.input_tokens, terms.choices * least, terms.units))
    held = worst_case(terms.price, terms.input_tokens, terms.choices * cap, terms.units)
    return Admit(cap, cap < wanted, held, held) if fits(account, held) else Wait(held)


def _wanted_output(terms: Terms) -> int:
    """The cap per answer if money were no matter: the client's own, else the default within the model's maximum."""
    if not terms.output_max:
        return 0
    if terms.output_cap is not None:
        return terms.output_cap
    default = terms.default_output_tokens or OUTPUT_TOKENS_DEFAULT
    return min(terms.output_max, max(default, _least_output(terms)))


def _least_output(terms: Terms) -> int:
    """The smallest cap worth sending; never below the thinking budget with room for an answer."""
    if terms.thinking_budget:
        return terms.thinking_budget + THINKING_FLOOR_TOKENS
    return OUTPUT_TOKENS_FLOOR


def _affordable_output(terms: Terms, budget_nusd: int) -> int:
    """Largest output cap per answer whose worst case is within `budget_nusd`; -1 if not even the input is."""
    base = worst_case(terms.price, terms.input_tokens, 0, terms.units)
    if base > budget_nusd:
        return -1
    low, high = 0, max(terms.output_max, terms.output_cap or 0)
    while low < high:  # worst_case grows with the cap, tiers make it piecewise linear: bisect instead of inverting it
        middle = (low + high + 1) // 2
        if worst_case(terms.price, terms.input_tokens, terms.choices * middle, terms.units) <= budget_nusd:
            low = middle
        else:
            high = middle - 1
    return low
