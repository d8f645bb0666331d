"""When to go on with a cheaper model: at a share of a money limit, at the beginning of a turn, never within one.

Comes in: the accounts of a call's path, where its conversation stands, what models would cost. Goes out: the rule that asks for it, and
which of its models. Does not know: where prices come from, how a request is read.
"""

import enum
from collections.abc import Callable, Sequence

from jevons.core.cache_rules import CacheRates
from jevons.core.limits import DEGRADED_TURNS_MAX, OUTPUT_TOKENS_DEFAULT
from jevons.core.price import Price, UnpricedKind, charge, worst_case
from jevons.core.usage import CACHE_READ, INPUT, Usage
from jevons.policy.accounts import Account
from jevons.policy.promptcache import forfeited_nusd
from jevons.policy.rules import Rule

DEGRADED_CALLS = 10
"""So many calls a conversation is taken to go on for: agents in recorded traffic make about ten to a task."""
DEGRADED_OUTPUT_TOKENS = 512
"""What an answer is taken to be long, if its cap allows more: most caps are far above what is written."""


class Turn(enum.Enum):
    """Where a conversation stands when a request comes."""

    FRESH = "fresh"
    """A person (or a program in their place) has spoken: any model may answer."""
    OPEN = "open"
    """A tool's result, a begun answer: whoever called the tool goes on."""
    BOUND = "bound"
    """The history carries reasoning that only the model which made it can read."""


def due(path: Sequence[Account]) -> Rule | None:
    """The outermost rule whose share of money is used up, held money included."""
    for account in path:
        pct = account.rule.degrade_pct
        if (
            pct is not None
            and account.enforced
            and account.limit
            and (account.posted + account.held) * 100 >= pct * account.limit
        ):
            return account.rule
    return None


def models(rule: Rule | None, turn: Turn, current: str) -> tuple[str, ...]:
    """The models to try in order; () = the one that was asked for. `current`: what the run was degraded to in this turn, or ""."""
    if turn is Turn.OPEN:
        return (current,) if current else ()
    if rule is None or turn is Turn.BOUND:
        return ()
    return rule.degrade_to


def choice(names: Sequence[str], asked: str, fits: Callable[[str], bool]) -> str:
    """The first of the models that can take the call; "" = the one that was asked for goes on."""
    for name in names:
        if name == asked:
            break
        if fits(name):
            return name
    return ""


def is_cheaper(price: Price | None, than: Price | None, input_tokens: int, output_cap: int | None, warm_tokens: int = 0) -> bool:
    """By the dearest that each may cost for a request of about this size. What has no price is not cheaper.

    `warm_tokens`: so many of its beginning are in the prompt cache of the model that is left (`than`), and not in the other's.
    """
    if price is None or than is None:
        return False
    output = output_cap or OUTPUT_TOKENS_DEFAULT
    try:
        if worst_case(price, input_tokens, output) >= worst_case(than, input_tokens, output):
            return False
        return warm_tokens <= 0 or _makes_up(price, than, input_tokens, min(output, DEGRADED_OUTPUT_TOKENS), warm_tokens)
    except UnpricedKind:
        return False


def _makes_up(price: Price, than: Price, input_tokens: int, output_tokens: int, warm_tokens: int) -> bool:
    """Does it save more in the calls to be expected than computing once what the other would have read?"""
    warm = min(warm_tokens, input_tokens)
    usage = Usage(input=input_tokens - warm, cache_read=warm, output=output_tokens)
    nums = price.tier(input_tokens).nums
    if CACHE_READ not in nums or CACHE_READ not in than.tier(input_tokens).nums:
        return True  # nothing is known to be cheaper to read
    forfeited = forfeited_nusd(CacheRates(price.den, nums[INPUT], nums[CACHE_READ], ()), warm)
    return DEGRADED_CALLS * (charge(usage, than).nusd - charge(usage, price).nusd) > forfeited


def keep(turns: dict[int | str, str], turn: int | str, model: str) -> None:
    """The turn goes on with this model; the latest DEGRADED_TURNS_MAX are remembered."""
    turns.pop(turn, None)
    turns[turn] = model
    while len(turns) > DEGRADED_TURNS_MAX:
        del turns[next(iter(turns))]
