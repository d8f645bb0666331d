"""May this attempt go, with which output cap, holding how much? All accounts on its path at once, or none.

Comes in: the accounts of the path and the terms of the attempt. Goes out: Admit, Wait (only open holds are in the way), AskPerson (a person
decides) or Deny. Does not know: time, tokens' origin, the disk. What is promised of it: docs/governor.md, "Holds".
"""

from collections.abc import Sequence

import msgspec

from jevons.core.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_FLOOR, THINKING_FLOOR_TOKENS
from jevons.core.price import Price, worst_case
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts, bound
from jevons.policy.rules import COUNTED, Measure

CUTS = frozenset({COUNTED.index(m) for m in (Measure.USD, Measure.LIST_USD, Measure.TOKENS, Measure.OUTPUT, Measure.REASONING)})
"""Measures in which a lower output cap makes a call smaller: a limit in one of them is a reason to set or lower the cap."""


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
    step: bool = True
    """False for a retry of our own: it is no request of the client's."""
    calls: int = 1
    """0 for a call that no model answers (count_tokens): it is none of the calls at once."""
    cap_max: int | None = None
    """A rule's largest output cap."""
    expected_output: int | None = None
    """Packed: output tokens to begin with; more is held as the answer grows. None = strict."""


class Admit(msgspec.Struct, frozen=True):
    output_cap: int | None
    """Per answer; what the upstream is told. None: what the client sent stays (an account without a limit is never cut)."""
    clamped: bool
    """The cap is lower than what the client sent, or than what it gets if it sends none: for lack of money, or by a rule."""
    amounts: Amounts
    """What is held on every account of the path."""
    observed: tuple[Account, ...] = ()
    """Observed accounts that would have refused it."""

    @property
    def held_nusd(self) -> int:
        return self.amounts[0]

    @property
    def list_held_nusd(self) -> int:
        return self.amounts[1]


class Wait(msgspec.Struct, frozen=True):
    """It would fit if open holds were resolved."""

    account: Account
    needed: int


class AskPerson(msgspec.Struct, frozen=True):
    """A person is asked first: the account has come to the point from which its owner wants to be."""

    account: Account


class Deny(msgspec.Struct, frozen=True):
    """It does not fit, whatever the open holds turn into."""

    account: Account
    needed: int
    """The least that would have to be available there."""


Verdict = Admit | Wait | AskPerson | Deny


def is_cut(path: Sequence[Account]) -> bool:
    """Is there a limit on the path for which an output cap is set or lowered?"""
    return any(account.limit is not None and account.enforced and account.index in CUTS for account in path)


def decide(path: Sequence[Account], terms: Terms) -> Verdict:
    """Admit with the largest cap that every account on the path can afford, up to what was asked. Raises UnpricedKind."""
    cut = is_cut(path)
    asked = _asked_output(terms, cut=cut)
    cap = asked if terms.cap_max is None else min(asked, terms.cap_max)
    amounts = _amounts(terms, _held_output(terms, cap))
    short = _not_fitting(path, amounts)
    if terms.expected_output is not None or any(account.enforced for account in short):
        found = _largest_that_fits(path, terms, cap)
        if not isinstance(found, int):
            return found
        cap, amounts = found, _amounts(terms, _held_output(terms, found))
        short = _not_fitting(path, amounts)
    for account in path:
        if account.rule.approve is not None and account.enforced and account.asks:
            return AskPerson(account)
    return Admit(cap if cut or cap < asked else None, cap < asked, amounts, observed=tuple(short))


def _largest_that_fits(path: Sequence[Account], terms: Terms, wanted: int) -> int | Wait | Deny:
    """The cap is cut to what could be had if no other call were in flight: a call is never cut because of its neighbours.

    A packed hold is smaller than its cap: it is cut later, should there be no more by then.
    """
    limits = [account for account in path if account.enforced and account.limit is not None]
    least = min(wanted, _least_output(terms))
    if (short := _short_of(limits, _amounts(terms, least))) is not None:
        return Deny(short, _amounts(terms, least)[short.index])
    low, high = (wanted, wanted) if _short_of(limits, _amounts(terms, wanted)) is None else (least, wanted)
    while low < high:  # worst_case grows with the cap, tiers make it piecewise linear: bisect instead of inverting it
        middle = (low + high + 1) // 2
        if _short_of(limits, _amounts(terms, middle)) is None:
            low = middle
        else:
            high = middle - 1
    amounts = _amounts(terms, _held_output(terms, low))
    for account in limits:
        if not account.fits(amounts[account.index]):
            return Wait(account, amounts[account.index])
    return low


def _not_fitting(path: Sequence[Account], amounts: Amounts) -> list[Account]:
    """Accounts without room for so much as they are now; observed ones too."""
    return [account for account in path if not account.fits(amounts[account.index])]


def _short_of(limits: Sequence[Account], amounts: Amounts) -> Account | None:
    """The outermost account that has not got so much left, even if all open holds came to nothing."""
    for account in limits:
        unspent = account.unspent
        if unspent is not None and amounts[account.index] > unspent:
            return account
    return None


def _amounts(terms: Terms, output_cap: int) -> Amounts:
    outputs = terms.choices * output_cap
    whole = worst_case(terms.price, terms.input_tokens, outputs, terms.units)
    return bound(whole if terms.billed else 0, whole, terms.input_tokens, outputs, step=terms.step, calls=terms.calls)


def _held_output(terms: Terms, cap: int) -> int:
    """Output tokens per answer that the hold is for."""
    return cap if terms.expected_output is None else min(cap, terms.expected_output)


def more_output(terms: Terms, held_output: int, more: int) -> Amounts:
    """What `more` output tokens add to a hold for `held_output` ones."""
    before = worst_case(terms.price, terms.input_tokens, held_output, terms.units)
    after = worst_case(terms.price, terms.input_tokens, held_output + more, terms.units)
    grown = after - before
    return (grown if terms.billed else 0, grown, more, 0, 0, 0, more, more, 0, 0)


def _asked_output(terms: Terms, *, cut: bool) -> int:
    """The cap per answer if money were no matter: the client's own, else the default where a limit is a reason to set one."""
    if not terms.output_max:
        return 0
    if terms.output_cap is not None:
        return terms.output_cap
    if not cut:
        return terms.output_max
    return min(terms.output_max, max(terms.default_output_tokens or OUTPUT_TOKENS_DEFAULT, _least_output(terms)))


def _least_output(terms: Terms) -> int:
    """The smallest cap worth sending; never below the thinking budget with room for an answer."""
    if terms.thinking_budget:
        return terms.thinking_budget + THINKING_FLOOR_TOKENS
    return OUTPUT_TOKENS_FLOOR
