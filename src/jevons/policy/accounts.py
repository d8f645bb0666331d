"""The arithmetic of one account: reserve, release, post, adjust, and what exceeds the limit.

Invariant, at all times: posted + held <= limit + overrun, where `overrun` is the sum of recorded excess. No reservation can
create excess; only a post above its hold, a lowered limit or an adjustment can, and each adds what it caused.
Does not know: who owns the account, where it is stored.
"""

import msgspec


class Account(msgspec.Struct, frozen=True, gc=False):
    """Money of one account in nano-USD. `limit_nusd` None = metered, not limited."""

    limit_nusd: int | None = None
    posted_nusd: int = 0
    held_nusd: int = 0
    overrun_nusd: int = 0
    """Excess recorded so far; it only grows."""

    @property
    def available_nusd(self) -> int | None:
        """What a new hold may take now; None = anything."""
        return None if self.limit_nusd is None else max(0, self.limit_nusd - self.posted_nusd - self.held_nusd)


def fits(account: Account, nusd: int) -> bool:
    """May a hold of `nusd` be granted? An account that is over its limit admits nothing, not even a hold of zero."""
    if account.limit_nusd is None:
        return True
    return account.posted_nusd + account.held_nusd + nusd <= account.limit_nusd


def reserve(account: Account, nusd: int) -> Account:
    """The account with `nusd` more held. The caller has asked `fits` in the same step."""
    assert nusd >= 0 and fits(account, nusd)
    return Account(account.limit_nusd, account.posted_nusd, account.held_nusd + nusd, account.overrun_nusd)


def restore(account: Account, held_nusd: int) -> Account:
    """The account with a hold that was granted before a restart; it fitted then."""
    return Account(account.limit_nusd, account.posted_nusd, account.held_nusd + held_nusd, account.overrun_nusd)


def release(account: Account, held_nusd: int) -> Account:
    """The account after a hold that never became durable is undone."""
    assert 0 <= held_nusd <= account.held_nusd
    return Account(account.limit_nusd, account.posted_nusd, account.held_nusd - held_nusd, account.overrun_nusd)


def post(account: Account, held_nusd: int, billed_nusd: int) -> Account:
    """The account after a hold is resolved at `billed_nusd`, which may be above the hold: the provider billed it."""
    assert 0 <= held_nusd <= account.held_nusd and billed_nusd >= 0
    return _with_excess(account, account.limit_nusd, account.posted_nusd + billed_nusd, account.held_nusd - held_nusd)


def adjust(account: Account, nusd: int) -> Account:
    """The account after a dated correction of its posted sum, up or down."""
    return _with_excess(account, account.limit_nusd, account.posted_nusd + nusd, account.held_nusd)


def set_limit(account: Account, limit_nusd: int | None) -> Account:
    """The account under a new limit; lowering it below what is posted and held is recorded as excess."""
    return _with_excess(account, limit_nusd, account.posted_nusd, account.held_nusd)


def take_back(account: Account, limit_nusd: int | None, nusd: int, excess_nusd: int) -> Account:
    """The account after a correction upwards by `nusd`, or a limit lowered from `limit_nusd`, that never became durable is undone.

    `excess_nusd` was recorded for it. What came in between keeps its own record, and the invariant stands: either raises
    posted - limit by at least as much as the record.
    """
    assert 0 <= excess_nusd <= account.overrun_nusd and nusd >= 0
    return Account(limit_nusd, account.posted_nusd - nusd, account.held_nusd, account.overrun_nusd - excess_nusd)


def _with_excess(before: Account, limit_nusd: int | None, posted_nusd: int, held_nusd: int) -> Account:
    after = Account(limit_nusd, posted_nusd, held_nusd, before.overrun_nusd)
    grown = excess(after) - excess(before)
    return Account(limit_nusd, posted_nusd, held_nusd, before.overrun_nusd + grown) if grown > 0 else after


def excess(account: Account) -> int:
    """How far the account is over its limit now."""
    if account.limit_nusd is None:
        return 0
    return max(0, account.posted_nusd + account.held_nusd - account.limit_nusd)
