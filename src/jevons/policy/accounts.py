"""The arithmetic of one account: reserve, release, post, adjust, expire, and what exceeds the limit.

An account is one limit for one subject in one window. Its unit is that of what it measures: nano-USD, tokens, requests.
Invariant of an enforced account, at all times: posted + held <= limit + overrun, where `overrun` is the sum of recorded excess. No
reservation can create excess; only a post above its hold, a lowered limit or an adjustment can, and each adds what it caused.
Does not know: clocks (every instant is given), where it is stored.
"""

from jevons.policy.rules import Rule
from jevons.policy.windows import Period


class Account:
    """One balance. `limit` None = metered, not limited. In a rolling window amounts stand in buckets that expire."""

    __slots__ = (
        "_buckets",
        "_now_ms",
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
        self._buckets: dict[int, list[int]] | None = {} if rule.window.rolling_ms else None
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

    def roll(self, now_ms: int) -> None:
        """Let go what is out of a rolling window. Time does not go back."""
        if self._buckets is None or now_ms <= self._now_ms:
            return
        self._now_ms = now_ms
        keep_from = now_ms - self.rule.window.rolling_ms - self.rule.window.bucket_ms
        for start in [start for start in self._buckets if start <= keep_from]:
            posted, held = self._buckets.pop(start)
            self.posted -= posted
            self.held -= held

    def bucket(self, at_ms: int) -> int:
        """The bucket that what is admitted at this instant belongs to: pinned now, given back at its post. 0 where nothing expires."""
        if self._buckets is None:
            return 0
        width = self.rule.window.bucket_ms
        return max(at_ms, self._now_ms - self.rule.window.rolling_ms) // width * width  # too old to count: as old as counts

    def reserve(self, bucket: int, amount: int) -> None:
        """Hold `amount`. Where the rule is enforced, the caller has asked `fits` in the same step."""
        assert amount >= 0 and (not self.enforced or self.fits(amount))
        self.restore(bucket, 0, amount)

    def restore(self, bucket: int, posted: int, held: int = 0) -> None:
        """Add what stood in the account before: its posts when it is built, a hold that was granted earlier."""
        self.posted += posted
        self.held += held
        if self._buckets is not None:
            cell = self._buckets.setdefault(bucket, [0, 0])
            cell[0] += posted
            cell[1] += held

    def release(self, bucket: int, held: int) -> None:
        """Undo a hold that never became durable."""
        self._move(bucket, 0, -held)

    def post(self, bucket: int, held: int, spent: int) -> int:
        """Resolve a hold at `spent`, which may be above it: the provider billed it. Returns the excess this recorded."""
        assert spent >= 0
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
        over = self.posted + self.held + amount - self.limit
        for start in sorted(self._buckets):
            over -= sum(self._buckets[start])
            if over <= 0:
                return start + self.rule.window.rolling_ms + self.rule.window.bucket_ms
        return self._now_ms

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
            cell = self._buckets.get(bucket)
            if cell is None:
                if posted <= 0 and held <= 0 and bucket <= self._now_ms - self.rule.window.rolling_ms:
                    return  # what it belongs to is out of the window, and went out whole
                cell = self._buckets[bucket] = [0, 0]
            cell[0] += posted
            cell[1] += held
        self.posted += posted
        self.held += held
