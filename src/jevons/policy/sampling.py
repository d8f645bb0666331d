"""May a request be asked of another model too, for comparison: of any kind, of its caller's limits, of what its route may spend on it in a day.

Comes in: a request, accounts, the most that the call may come to. Goes out: yes or no; an `Allowance` keeps what is spent of a day and what calls
under way may still come to. Does not know: clocks, who is asked, which requests were drawn.
"""

from collections.abc import Sequence

from jevons.core.ask import Ask, Dialect
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts

SPARE_PCT = 80
"""Of every limit of its caller, so much may be taken when a sample is done: the rest is for what was asked for. Of a limit of one call at once that is none."""

_ANSWERED = frozenset({Dialect.CHAT, Dialect.MESSAGES, Dialect.RESPONSES})


def comparable(ask: Ask) -> bool:
    """Can another model be asked the same, and nothing comes of it but an answer?

    Not where the provider keeps the answer or goes on from one that it keeps, runs tools of its own (they act, or are billed by use), or gives
    several answers at once. Of such requests no harm is ever measured, so none may be routed by what was learnt.
    """
    if ask.dialect not in _ANSWERED or ask.choices != 1 or ask.stored or ask.previous_response_id is not None:
        return False
    return not ask.remote_context and not ask.server_tools and b'"mcp"' not in bytes(ask.fields.get("tools", b""))


def has_room(path: Sequence[Account], amounts: Amounts) -> bool:
    """Does every limit on the path, enforced or observed, have more left than `SPARE_PCT` keeps, and is nobody asked because of it?"""
    for account in path:
        after = account.posted + account.held + amounts[account.index]
        if account.limit is not None and after * 100 > SPARE_PCT * account.limit:
            return False
        if account.rule.approve is not None and after >= account.rule.approve + account.granted:
            return False
    return True


class Allowance:
    """What one route may spend on samples in a day. At all times spent + held <= limit, unless a call came to more than it was to come to."""

    def __init__(self, limit_nusd: int) -> None:
        self.limit_nusd = limit_nusd
        self.day = 0
        self.spent_nusd = 0
        self.held_nusd = 0
        """By all calls under way, of whatever day."""

    def restore(self, day: int, spent_nusd: int) -> None:
        """What was spent of a day before."""
        self.day, self.spent_nusd = day, spent_nusd

    def left_nusd(self, day: int) -> int:
        """`day`: since 1970, UTC. Days do not go back."""
        if day > self.day:
            self.day, self.spent_nusd = day, 0
        return max(0, self.limit_nusd - self.spent_nusd - self.held_nusd)

    def hold(self, day: int, nusd: int) -> bool:
        """Set aside what a call may come to. False: so much is not left, or nothing is."""
        left = self.left_nusd(day)
        if nusd > left or not left:
            return False
        self.held_nusd += nusd
        return True

    def settle(self, held_nusd: int, cost_nusd: int) -> None:
        """A call that was held came to this; it counts in the day that it ends in."""
        self.held_nusd -= held_nusd
        self.spent_nusd += cost_nusd
