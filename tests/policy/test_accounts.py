"""Account arithmetic under any order of holds, posts, corrections and limits."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from jevons.policy.accounts import Account, adjust, excess, fits, post, release, reserve, set_limit, take_back

amounts = st.integers(0, 1_000)
limits = st.none() | st.integers(0, 3_000)


class AccountMachine(RuleBasedStateMachine):
    """posted + held <= limit + recorded excess, whatever happens; no excess without one of its three causes."""

    holds = Bundle("holds")

    @initialize(limit=limits)
    def open(self, limit: int | None) -> None:
        self.account = Account(limit)
        self.posted = 0
        self.open_holds: list[int] = []
        self.may_exceed = False

    @rule(target=holds, nusd=amounts)
    def take(self, nusd: int) -> int:
        if not fits(self.account, nusd):
            with pytest.raises(AssertionError):
                reserve(self.account, nusd)
            return -1
        self.account = reserve(self.account, nusd)
        self.open_holds.append(nusd)
        return nusd

    @rule(held=consumes(holds), billed=amounts)
    def resolve(self, held: int, billed: int) -> None:
        if held < 0:
            return
        self.may_exceed |= billed > held
        self.account = post(self.account, held, billed)
        self.open_holds.remove(held)
        self.posted += billed

    @rule(held=consumes(holds))
    def undo(self, held: int) -> None:
        if held >= 0:
            self.account = release(self.account, held)
            self.open_holds.remove(held)

    @rule(nusd=st.integers(-1_000, 1_000))
    def correct(self, nusd: int) -> None:
        self.account = adjust(self.account, nusd)
        self.posted += nusd
        self.may_exceed = True

    @rule(nusd=amounts, between=amounts)
    def correct_and_take_back(self, nusd: int, between: int) -> None:
        """A correction upwards whose commit fails after a neighbour's hold came in."""
        before, limit = self.account, self.account.limit_nusd
        self.account = adjust(before, nusd)
        recorded = self.account.overrun_nusd - before.overrun_nusd
        self.neighbour(between)
        self.account = take_back(self.account, limit, nusd, recorded)

    @rule(by=amounts, between=amounts)
    def lower_and_take_back(self, by: int, between: int) -> None:
        """A lowered limit whose commit fails after a neighbour's hold came in."""
        before, limit = self.account, self.account.limit_nusd
        self.account = set_limit(before, 0 if limit is None else max(0, limit - by))
        recorded = self.account.overrun_nusd - before.overrun_nusd
        self.neighbour(between)
        self.account = take_back(self.account, limit, 0, recorded)

    def neighbour(self, nusd: int) -> None:
        if fits(self.account, nusd):
            self.account = reserve(self.account, nusd)
            self.open_holds.append(nusd)

    @rule(limit=limits)
    def limit_to(self, limit: int | None) -> None:
        lowered = limit is not None and (self.account.limit_nusd is None or limit < self.account.limit_nusd)
        self.may_exceed |= lowered
        self.account = set_limit(self.account, limit)

    @precondition(lambda self: self.open_holds)
    @rule(more=st.integers(1, 10))
    def what_was_not_held_cannot_be_resolved(self, more: int) -> None:
        with pytest.raises(AssertionError):
            release(self.account, sum(self.open_holds) + more)
        with pytest.raises(AssertionError):
            post(self.account, sum(self.open_holds) + more, 0)

    @invariant()
    def it_adds_up(self) -> None:
        assert (self.account.posted_nusd, self.account.held_nusd) == (self.posted, sum(self.open_holds))

    @invariant()
    def within_limit_and_recorded_excess(self) -> None:
        account = self.account
        if account.limit_nusd is not None:
            assert account.posted_nusd + account.held_nusd <= account.limit_nusd + account.overrun_nusd
            assert excess(account) <= account.overrun_nusd
        if not self.may_exceed:
            assert account.overrun_nusd == 0

    @invariant()
    def over_the_limit_nothing_is_admitted(self) -> None:
        available = self.account.available_nusd
        if available is None:
            assert fits(self.account, 10**15) and excess(self.account) == 0
        else:
            assert fits(self.account, available) is (excess(self.account) == 0)
            assert not fits(self.account, available + 1)


TestAccounts = AccountMachine.TestCase


def test_a_post_above_its_hold_is_recorded_only_where_it_passes_the_limit() -> None:
    account = post(reserve(Account(100), 50), 50, 70)
    assert (account.posted_nusd, account.overrun_nusd) == (70, 0)
    account = post(reserve(account, 30), 30, 45)
    assert (account.posted_nusd, account.overrun_nusd, excess(account)) == (115, 15, 15)
    assert not fits(account, 0)


def test_a_lowered_limit_is_recorded_once_although_the_holds_resolve_later() -> None:
    account = set_limit(reserve(reserve(Account(100), 40), 40), 50)
    assert account.overrun_nusd == 30
    account = post(post(account, 40, 40), 40, 40)
    assert (account.posted_nusd, account.overrun_nusd) == (80, 30)
    account = set_limit(account, 100)
    assert fits(account, 20) and account.overrun_nusd == 30  # a record only grows
