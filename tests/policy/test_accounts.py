"""One account under any order of holds, posts, growth, corrections, limits and time: a list of dated movements says what it must hold."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from jevons.policy.accounts import Account
from jevons.policy.rules import Measure, Rule, Scope
from jevons.policy.windows import FOREVER, Window, window

NOON_MS = 1_795_176_000_000
"""2026-11-20, 12:00 UTC."""


def account(
    limit: int | None = 100, per: str = "total", *, enforced: bool = True, warn: int | None = None, approve: int | None = None
) -> Account:
    span = window(per)
    kind = Rule("cap", Scope.KEY, Measure.USD, limit or 0, span, enforced=enforced, warn=warn, approve=approve)
    made = Account(kind, "key:alice", span.period(NOON_MS), limit)
    made.roll(NOON_MS)
    return made


class Movement(msgspec.Struct):
    """What one call or correction did, as an accountant would write it down."""

    bucket: int
    posted: int = 0
    held: int = 0


amounts = st.integers(0, 1_000)
limits = st.none() | st.integers(0, 3_000)
spans_ms = st.sampled_from([1, 15, 16, 17, 900, 1_016, 59_999, 60_000, 90_000, 3_600_000]) | st.integers(0, 4_000_000)


class AccountMachine(RuleBasedStateMachine):
    """posted + held <= limit + recorded excess, whatever happens; no excess without one of its three causes."""

    holds = Bundle("holds")

    @initialize(limit=limits, per=st.sampled_from(["total", "day", "1s", "90s", "1h"]), enforced=st.booleans())
    def open(self, limit: int | None, per: str, enforced: bool) -> None:
        self.account = account(limit, per, enforced=enforced)
        self.span = window(per)
        self.now_ms = NOON_MS
        self.movements: list[Movement] = []
        self.recorded = 0
        self.caused = False
        self.pending: tuple[int | None, Movement, int] | None = None
        """A correction or lower limit whose commit is under way: (limit before, the correction, excess it recorded)."""

    def counts(self, movement: Movement, at_ms: int) -> bool:
        """Until its bucket's last instant is out of the window."""
        return not self.span.rolling_ms or at_ms < movement.bucket + self.span.bucket_ms + self.span.rolling_ms

    def sums(self, at_ms: int) -> tuple[int, int]:
        within = [movement for movement in self.movements if self.counts(movement, at_ms)]
        return sum(movement.posted for movement in within), sum(movement.held for movement in within)

    def bucket(self, before_ms: int) -> int:
        """Where what was admitted so long ago is pinned: nothing is pinned outside of the window."""
        found = self.account.bucket(self.now_ms - before_ms)
        if not self.span.rolling_ms:
            assert found == 0
        else:
            at_ms = self.now_ms - min(before_ms, self.span.rolling_ms)
            assert found <= at_ms < found + self.span.bucket_ms and found % self.span.bucket_ms == 0
        return found

    @rule(target=holds, amount=amounts, before_ms=st.just(0) | spans_ms)
    def take(self, amount: int, before_ms: int) -> Movement | None:
        bucket = self.bucket(before_ms)
        posted, held = self.sums(self.now_ms)
        limit = self.account.limit
        assert self.account.fits(amount) is (limit is None or posted + held + amount <= limit)
        if self.account.enforced and not self.account.fits(amount):
            with pytest.raises(AssertionError):
                self.account.reserve(bucket, amount)
            return None
        self.account.reserve(bucket, amount)
        self.movements.append(Movement(bucket, 0, amount))
        return self.movements[-1]

    @rule(hold=consumes(holds), billed=amounts | st.just(0), share=st.none() | st.just(1))
    def resolve(self, hold: Movement | None, billed: int, share: int | None) -> None:
        if hold is None:
            return
        billed = hold.held if share else billed
        self.caused |= billed > hold.held
        self.record(self.account.post(hold.bucket, hold.held, billed))
        hold.posted, hold.held = billed, 0

    @rule(hold=consumes(holds))
    def undo(self, hold: Movement | None) -> None:
        if hold is not None:
            self.account.release(hold.bucket, hold.held)
            hold.held = 0

    @rule(hold=holds, more=amounts)
    def grow(self, hold: Movement | None, more: int) -> None:
        if hold is None or hold not in self.movements:
            return
        if self.account.enforced and not self.account.fits(more):
            with pytest.raises(AssertionError):
                self.account.grow(hold.bucket, more)
            return
        self.account.grow(hold.bucket, more)
        hold.held += more

    @precondition(lambda self: self.pending is None)
    @rule(amount=st.integers(-1_000, 1_000), before_ms=spans_ms, fails=st.booleans())
    def correct(self, amount: int, before_ms: int, fails: bool) -> None:
        correction = Movement(self.bucket(before_ms), amount)
        excess = self.account.adjust(correction.bucket, amount)
        self.record(excess)
        self.movements.append(correction)
        if fails and amount >= 0:
            self.pending = (self.account.limit, correction, excess)
        self.caused = True

    @precondition(lambda self: self.pending is None)
    @rule(limit=limits, fails=st.booleans())
    def limit_to(self, limit: int | None, fails: bool) -> None:
        before = self.account.limit
        lowered = limit is not None and (before is None or limit < before)
        excess = self.account.set_limit(limit)
        assert lowered or not excess
        self.record(excess)
        if fails and lowered:
            self.pending = (before, Movement(0), excess)
        self.caused |= lowered

    @precondition(lambda self: self.pending is not None)
    @rule()
    def what_could_not_be_written_is_taken_back(self) -> None:
        assert self.pending is not None
        limit, correction, excess = self.pending
        self.account.take_back(limit, correction.bucket, correction.posted, excess)
        self.recorded -= excess
        correction.posted = 0
        self.pending = None

    @precondition(lambda self: self.pending is not None)
    @rule()
    def it_is_written(self) -> None:
        self.pending = None

    @rule(by_ms=spans_ms)
    def time_passes(self, by_ms: int) -> None:
        self.now_ms += by_ms
        excess = self.account.roll(self.now_ms)
        assert not excess or any(movement.posted < 0 for movement in self.movements)
        self.record(excess)
        assert self.account.roll(self.now_ms - 1) == 0  # a late call does not turn it back

    def record(self, excess: int) -> None:
        assert excess >= 0
        self.recorded += excess

    @invariant()
    def it_adds_up(self) -> None:
        assert (self.account.posted, self.account.held) == self.sums(self.now_ms)

    @invariant()
    def what_is_out_is_let_go(self) -> None:
        inside = {movement.bucket for movement in self.movements if self.counts(movement, self.now_ms)}
        assert not self.span.rolling_ms or set(self.account._buckets or ()) <= inside | {0}

    @invariant()
    def within_limit_and_recorded_excess(self) -> None:
        one = self.account
        assert one.overrun == self.recorded
        if one.enforced and one.limit is not None:
            assert one.posted + one.held <= one.limit + one.overrun
            assert one.excess <= one.overrun
        if not (self.caused and one.enforced):
            assert one.overrun == 0

    @invariant()
    def over_the_limit_nothing_is_admitted(self) -> None:
        one = self.account
        if one.limit is None:
            assert one.fits(10**15) and one.excess == 0 and one.available is None and one.unspent is None
        else:
            assert one.available is not None and one.unspent == one.limit - one.posted
            assert one.fits(one.available) is (one.excess == 0)
            assert not one.fits(one.available + 1)

    @rule(amount=amounts)
    def when_it_fits_again(self, amount: int) -> None:
        limit, when = self.account.limit, self.account.frees_ms(amount)
        if limit is None or amount > limit:
            assert when is None
        elif self.span.rolling_ms:
            assert when is not None and sum(self.sums(when)) + amount <= limit
            if when > self.now_ms:
                assert sum(self.sums(when - 1)) + amount > limit >= amount
                assert not self.account.fits(amount)
        else:
            assert when == (None if self.account.period == FOREVER else self.account.period.end_ms)


TestAccounts = AccountMachine.TestCase


def test_a_post_above_its_hold_is_recorded_only_where_it_passes_the_limit() -> None:
    one = account(100)
    one.reserve(0, 50)
    assert one.post(0, 50, 70) == 0
    assert (one.posted, one.overrun) == (70, 0)
    one.reserve(0, 30)
    assert one.post(0, 30, 45) == 15
    assert (one.posted, one.overrun, one.excess) == (115, 15, 15)
    assert not one.fits(0)


def test_a_lowered_limit_is_recorded_once_although_the_holds_resolve_later() -> None:
    one = account(100)
    for _ in range(2):
        one.reserve(0, 40)
    assert one.set_limit(50) == 30
    assert [one.post(0, 40, 40) for _ in range(2)] == [0, 0]
    assert (one.posted, one.overrun) == (80, 30)
    assert one.set_limit(100) == 0
    assert one.fits(20) and one.overrun == 30  # a record only grows


def test_what_is_observed_is_counted_and_never_recorded() -> None:
    one = account(100, enforced=False)
    one.reserve(0, 500)
    assert one.post(0, 500, 600) == one.adjust(0, 50) == one.set_limit(10) == one.cover() == 0
    assert (one.posted, one.excess, one.overrun) == (650, 640, 0)
    assert not one.fits(0)  # so that it can be told what would have been refused


def test_a_hold_resolves_once() -> None:
    one = account(100)
    one.reserve(0, 40)
    one.post(0, 40, 40)
    with pytest.raises(AssertionError, match="resolves once"):
        one.post(0, 40, 0)
    other = account(100)
    other.reserve(0, 40)
    with pytest.raises(AssertionError, match="resolves once"):
        other.release(0, 41)
    with pytest.raises(AssertionError):
        account(100).post(0, 0, -1)
    with pytest.raises(AssertionError):
        account(100).reserve(0, -1)


def test_only_what_was_recorded_can_be_taken_back() -> None:
    with pytest.raises(AssertionError):
        account(100).take_back(100, 0, 0, 1)
    with pytest.raises(AssertionError):
        account(100).take_back(100, 0, -1, 0)


def test_what_is_over_and_not_on_record_is_covered() -> None:
    one = account(100)
    one.restore(0, 130, 20)
    one.overrun = 10  # as the ledger remembers
    assert (one.cover(), one.overrun) == (40, 50)
    assert (one.cover(), one.overrun) == (0, 50)
    fresh = account(100)
    fresh.restore(0, 100)
    assert fresh.cover() == 0


@given(
    st.sampled_from(["1s", "7s", "5m", "1h", "24h"]), st.integers(0, 3_600_000), st.integers(-3_600_000, 3_600_000), st.booleans()
)
def test_nothing_is_let_go_early_and_nothing_later_than_a_bucket(per: str, after_ms: int, around_ms: int, held: bool) -> None:
    span, at_ms = window(per), NOON_MS + after_ms
    one = account(100, per)
    one.roll(at_ms)
    one.restore(one.bucket(at_ms), 0 if held else 60, 60 if held else 0)
    now_ms = max(at_ms, at_ms + span.rolling_ms + around_ms)
    one.roll(now_ms)
    if now_ms <= at_ms + span.rolling_ms:
        assert one.posted + one.held == 60
    if now_ms >= at_ms + span.rolling_ms + span.bucket_ms:
        assert one.posted + one.held == 0


def test_a_call_that_outlives_its_window_leaves_nothing_behind() -> None:
    one = account(100, "1m")
    bucket = one.bucket(NOON_MS)
    one.reserve(bucket, 60)
    one.roll(NOON_MS + 61_000)
    assert (one.posted, one.held) == (0, 0)
    one.grow(bucket, 10)  # it goes on, in a window that is over
    assert (one.posted, one.held, one.available) == (0, 0, 100)
    assert one.post(bucket, 70, 900) == 0
    assert (one.posted, one.held, one.available) == (0, 0, 100)  # neither more room than the limit, nor less


def test_a_credit_that_leaves_the_window_before_what_was_spent_thanks_to_it() -> None:
    one = account(100, "1m")
    one.adjust(one.bucket(NOON_MS), -50)
    later_ms = NOON_MS + 30_000
    one.roll(later_ms)
    one.reserve(one.bucket(later_ms), 150)
    assert one.excess == 0
    assert one.roll(NOON_MS + 61_000) == 50
    assert (one.excess, one.overrun, one.fits(0)) == (50, 50, False)
    watched = account(100, "1m", enforced=False)
    watched.adjust(watched.bucket(NOON_MS), -50)
    watched.reserve(watched.bucket(later_ms), 150)
    assert watched.roll(NOON_MS + 61_000) == 0


def test_points_from_which_a_person_is_asked_and_the_agent_warned() -> None:
    one = account(100, warn=50, approve=80)
    said = []
    for _ in range(5):
        one.reserve(0, 20)
        said.append((one.warns, one.asks))
    assert said == [(False, False), (False, False), (True, False), (True, True), (True, True)]
    one.granted = 20
    assert one.asks
    one.granted = 21
    assert not one.asks
    silent = account(100)
    silent.reserve(0, 100)
    assert not silent.warns and not silent.asks
    assert account(100, approve=0).asks and account(100, warn=0).warns


def test_its_name_and_when_it_is_free_again() -> None:
    one = account(100, "day")
    assert (one.label, one.index) == ("cap:usd key:alice", 0)
    assert one.frees_ms(100) == one.period.end_ms and one.frees_ms(101) is None
    assert account(100).frees_ms(1) is None and account(None, "1h").frees_ms(1) is None


def test_a_rolling_account_is_free_when_enough_is_out() -> None:
    one = account(100, "1h")
    minute_ms = 60_000
    for minute, amount in enumerate((30, 30, 40)):
        one.roll(NOON_MS + minute * minute_ms)
        one.reserve(one.bucket(NOON_MS + minute * minute_ms), amount)
    hour_ms = 60 * minute_ms
    free = [one.frees_ms(amount) for amount in (0, 1, 30, 31, 60, 61, 100, 101)]
    first = NOON_MS + hour_ms + minute_ms
    assert free == [NOON_MS + 2 * minute_ms, first, first, *[first + minute_ms] * 2, *[first + 2 * minute_ms] * 2, None]


def test_a_window_of_a_month_is_walked_once_a_minute_only() -> None:
    one = Account(Rule("cap", Scope.KEY, Measure.TOKENS, 10**9, Window("31d")), "key:alice", FOREVER, 10**9)
    for minute in range(32 * 24 * 60):
        at_ms = NOON_MS + minute * 60_000
        one.roll(at_ms)
        one.restore(one.bucket(at_ms), 1)
    assert one.posted == 31 * 24 * 60 + 1 == len(one._buckets or ())
