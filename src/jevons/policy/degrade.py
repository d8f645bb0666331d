"""When to go on with a cheaper model: at a share of a money limit, at the beginning of a turn, never within one.

Comes in: the accounts of a call's path, where its conversation stands. Goes out: the rule that asks for it, and which of its models.
Does not know: what models cost.
"""

import enum
from collections.abc import Sequence

from jevons.policy.accounts import Account
from jevons.policy.rules import Rule


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
