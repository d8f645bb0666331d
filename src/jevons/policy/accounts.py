"""The arithmetic of one account: reserve, release, post, adjust, expire, and what exceeds the limit.

An account is one limit for one subject in one window. Its unit is that of what it measures: nano-USD, tokens, requests.
Invariant of an enforced account, at all times: posted + held <= limit + overrun, where `overrun` is the sum of recorded excess. No
reservation can create excess; only a post above its hold, a lowered limit or an adjustment can, and each adds what it caused.
Does not know: clocks (every instant is given), where it is stored.
"""

from heapq import heappop, heappush

from jevons.policy.rules import Rule
from jevons.policy.windows import Period


class Account:
    """One balance. `limit` None = metered, not limited. In a rolling window amounts stand in buckets that expire."""

    __slots__ = (
        "_buckets",
        "_length_ms",
        "_now_ms",
        "_starts",
        "_width_ms",
        "enforced",
        "granted",
        "held",
        "index",
        "limit",
        "overrun",
        "period",
        "posted",
        "rule",
        "subject",
    )

    def __init__(self, rule: Rule, subject: str, period: Period, limit: int | None, overrun: int = 0) -> None:
        self.rule = rule
        self.subject = subject
        self.period = period
        self.limit = limit
        self.enforced = rule.enforced
        self.index = rule.index
        """Place of what it measures in an `Amounts`."""
        self.posted = 0
        self.held = 0
        self.overrun = overrun
        """Excess recorded so far; it only grows."""
        self.granted = 0
        """By how much approvals have raised the threshold from which a person is asked."""
        self._length_ms = rule.window.rolling_ms
        self._width_ms = rule.window.bucket_ms
        self._buckets: dict[int, list[int]] | None = {} if self._length_ms else None
        """Start of a bucket -> [posted, held] of what is pinned to it."""
        self._starts: list[int] = []
        """Those starts as a heap: a window of a month has 44,640."""
        self._now_ms = 0

    @property
    def label(self) -> str:
        """What it is called in the ledger and to people."""
        return f"{self.rule.name}:{self.rule.measure} {self.subject}"

    @property
    def available(self) -> int | None:
        """What a new hold may take now; None = anything."""
        return None if self.limit is None else max(0, self.limit - self.posted - self.held)

    @property
    def unspent(self) -> int | None:
        """What is not posted; None = anything. May be negative."""
        return None if self.limit is None else self.limit - self.posted

    @property
    def excess(self) -> int:
        """How far it is over its limit now."""
        return 0 if self.limit is None else max(0, self.posted + self.held - self.limit)

    def fits(self, amount: int) -> bool:
        """May a hold of `amount` be granted? An account that is over its limit admits nothing, not even a hold of zero."""
        return self.limit is None or self.posted + self.held + amount <= self.limit

    @property
    def asks(self) -> bool:
        """Has it come to the point from which a person is asked?"""
        approve = self.rule.approve
        return approve is not None and self.posted + self.held >= approve + self.granted

    @property
    def warns(self) -> bool:
        """Has it come to the point from which the agent is warned?"""
        return self.rule.warn is not None and self.posted + self.held >= self.rule.warn

    def roll(self, now_ms: int) -> int:
        """Let go what is out of a rolling window. Time does not go back.

        Returns the excess this recorded: a correction downwards may leave the window before what was spent thanks to it.
        """
        if self._buckets is None or now_ms <= self._now_ms:
            return 0
        self._now_ms = now_ms
        if not self._starts or not self._is_out(self._starts[0]):
            return 0
        before = self.excess
        while self._starts and self._is_out(self._starts[0]):
            posted, held = self._buckets.pop(heappop(self._starts))
            self.posted -= posted
            self.held -= held
        return self._record(before)

    def bucket(self, at_ms: int) -> int:
        """The bucket that a new hold admitted at this instant belongs to: pinned now, given back at its post. 0 where nothing expires."""
        if self._buckets is None:
            return 0
        return self.pinned(max(at_ms, self._now_ms - self._length_ms))  # too old to count: as old as counts

    def pinned(self, at_ms: int) -> int:
        """The bucket of what was admitted at this instant before the account was made, be it out of the window by now."""
        return 0 if self._buckets is None else at_ms // self._width_ms * self._width_ms

    def reserve(self, bucket: int, amount: int) -> None:
        """Hold `amount`. Where the rule is enforced, the caller has asked `fits` in the same step."""
        assert amount >= 0 and (not self.enforced or self.fits(amount))
        if self._buckets is None:
            self.held += amount
        else:
            self._move(bucket, 0, amount)

    def restore(self, bucket: int, posted: int, held: int = 0) -> None:
        """Add what stood in the account before: its posts when it is built, a hold that was granted earlier."""
        self._move(bucket, posted, held)

    def release(self, bucket: int, held: int) -> None:
        """Undo a hold that never became durable."""
        self._move(bucket, 0, -held)

    def post(self, bucket: int, held: int, spent: int) -> int:
        """Resolve a hold at `spent`, which may be above it: the provider billed it. Returns the excess this recorded."""
        assert spent >= 0
        if spent <= held:  # most posts: no excess can come of it
            self._move(bucket, spent, -held)
            return 0
        return self._recording(bucket, spent, -held)

    def grow(self, bucket: int, held: int) -> None:
        """Hold more for a call under way; the caller has asked `fits` in the same step, where the rule is enforced."""
        assert not self.enforced or self.fits(held)
        self._move(bucket, 0, held)

    def adjust(self, bucket: int, amount: int) -> int:
        """A dated correction of what is posted, up or down. Returns the excess this recorded."""
        return self._recording(bucket, amount, 0)

    def set_limit(self, limit: int | None) -> int:
        """A new limit. Lowering it below what is posted and held is recorded as excess, which is returned."""
        before = self.excess
        self.limit = limit
        return self._record(before)

    def take_back(self, limit: int | None, bucket: int, amount: int, excess: int) -> None:
        """Undo a correction upwards by `amount`, or a limit lowered from `limit`, that never became durable.

        `excess` was recorded for it. What came in between keeps its own record, and the invariant stands: either raises
        posted - limit by at least as much as the record.
        """
        assert 0 <= excess <= self.overrun and amount >= 0
        self.limit = limit
        self._move(bucket, -amount, 0)
        self.overrun -= excess

    def cover(self) -> int:
        """Record what is over the limit and not on record yet (a limit was lowered meanwhile). Returns it."""
        missing = max(0, self.excess - self.overrun) if self.enforced else 0
        self.overrun += missing
        return missing

    def frees_ms(self, amount: int) -> int | None:
        """When a hold of `amount` would fit if nothing more were spent: Unix milliseconds; None = never by itself.

        Open holds count as spent: they may turn out so."""
        if self.limit is None or amount > self.limit:
            return None
        if self._buckets is None:
            return None if self.period.start_ms == 0 else self.period.end_ms
        over, at_ms = self.posted + self.held + amount - self.limit, self._now_ms
        for start in sorted(self._buckets):
            if over <= 0:
                break
            over -= sum(self._buckets[start])
            at_ms = start + self._length_ms + self._width_ms
        return at_ms

    def _recording(self, bucket: int, posted: int, held: int) -> int:
        before = self.excess
        self._move(bucket, posted, held)
        return self._record(before)

    def _record(self, before: int) -> int:
        if not self.enforced:
            return 0
        grown = max(0, self.excess - before)
        self.overrun += grown
        return grown

    def _move(self, bucket: int, posted: int, held: int) -> None:
        if self._buckets is not None:
            if self._is_out(bucket):
                return  # its hold went out of the window with it, and its post belongs there too
            cell = self._buckets.get(bucket)
            if cell is None:
                cell = self._buckets[bucket] = [0, 0]
                heappush(self._starts, bucket)
            cell[0] += posted
            cell[1] += held
        self.posted += posted
        self.held += held
        assert self.held >= 0, "a hold resolves once"

    def _is_out(self, bucket: int) -> bool:
        """Is its last instant out of the window?"""
        return bucket + self._width_ms <= self._now_ms - self._length_ms
