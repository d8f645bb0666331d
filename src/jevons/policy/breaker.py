"""Whether one model of an upstream, under one credential, is to be called now: from how its calls ended, and what the provider asked for.

Comes in: how each attempt ended and when. Goes out: a standing, and until when it holds. A breaker opens after failures, lets one call through when
its time is over, closes when that is answered, and else stays open twice as long. A cool-down is the provider's own word (Retry-After), and ends when it
said. Does not know: clocks, upstreams, what is called instead.
"""

import enum

import msgspec

from jevons.core.entry import Outcome
from jevons.core.limits import (
    BREAKER_CLAIM_S,
    BREAKER_FAILURES,
    BREAKER_OPEN_FIRST_S,
    BREAKER_OPEN_MAX_S,
    BREAKER_WINDOW_S,
    COOL_DOWN_DEFAULT_S,
    COOL_DOWN_MAX_S,
)


class Sign(enum.Enum):
    """What an attempt says of whom it was sent to."""

    GOOD = "good"
    """It answers; also when it found fault with the request."""
    BAD = "bad"
    """It failed, broke off, answered with something that is no answer, or was too slow."""
    LIMITED = "limited"
    """It has had enough for now."""
    REFUSED = "refused"
    """It does not take our credential."""
    NOTHING = "nothing"
    """The call ended by our own doing, or by that of the client's own credential."""


class Standing(enum.IntEnum):
    """Better ones are smaller."""

    READY = 0
    TRYING = 1
    """Its time is over: one call may show whether it answers again."""
    OPEN = 2
    """It failed; it may be called if there is nobody else."""
    COOLING = 3
    """It asked not to be called yet."""


_LIMITED = frozenset({429, 503, 529})
"""Statuses whose Retry-After says when to come back."""
_OF_CREDENTIAL = frozenset({401, 402, 403, 429})
"""Statuses that speak of whoever is asking."""
_OURS = frozenset({Outcome.CANCELLED, Outcome.STOPPED, Outcome.VOID, Outcome.KILLED})


def sign_of(outcome: Outcome, status: int, after_s: float, *, own_credential: bool) -> Sign:
    """`after_s`: its Retry-After, 0 = it named none. `own_credential`: the gateway's, not the client's. What became of a client's own, whether it is refused
    or has had enough, says nothing to those who send another."""
    if outcome in _OURS:
        return Sign.NOTHING
    if outcome is not Outcome.ERROR:
        return Sign.BAD if outcome in (Outcome.UNREACHABLE, Outcome.TIMEOUT) else Sign.GOOD
    if not own_credential and status in _OF_CREDENTIAL:
        return Sign.NOTHING
    if status == 429 or (after_s and status in _LIMITED):
        return Sign.LIMITED
    if status in (401, 403):
        return Sign.REFUSED
    return Sign.BAD if status < 400 or status >= 500 or status == 408 else Sign.GOOD


class Breaker(msgspec.Struct, omit_defaults=True):
    """Of one upstream, credential and model. Instants are Unix milliseconds."""

    row: int = 0
    """Failures since the last answer."""
    begun_ms: int = 0
    """Of the window; counts of the one before it are beside."""
    good: int = 0
    bad: int = 0
    good_before: int = 0
    bad_before: int = 0
    opened: int = 0
    """How often it was opened since it was last closed; 0 = it is closed."""
    open_until_ms: int = 0
    cool_until_ms: int = 0
    limits: int = 0
    """Cool-downs in a row, since it last answered."""
    claimed_ms: int = 0
    """When the call was let through that is to show whether it answers again; 0 = none is under way."""

    def standing(self, now_ms: int) -> Standing:
        if self.cool_until_ms > now_ms:
            return Standing.COOLING
        if not self.opened:
            return Standing.READY
        if self.open_until_ms > now_ms or now_ms - self.claimed_ms < BREAKER_CLAIM_S * 1000:
            return Standing.OPEN
        return Standing.TRYING

    def until_ms(self, now_ms: int) -> int:
        """When its standing may be better; 0 = it is ready or may be tried."""
        standing = self.standing(now_ms)
        if standing < Standing.OPEN:
            return 0
        if standing is Standing.COOLING:
            return self.cool_until_ms
        return max(self.open_until_ms, self.claimed_ms + int(BREAKER_CLAIM_S * 1000) if self.claimed_ms else 0)

    def claim(self, now_ms: int) -> None:
        """A call is sent although it is not closed: others keep away until that has ended, or long enough."""
        if self.opened:
            self.claimed_ms = now_ms

    def hear(self, sign: Sign, now_ms: int, after_s: float = 0.0) -> bool:
        """An attempt has ended. True: its standing has changed."""
        match sign:
            case Sign.GOOD:
                return self._answered(now_ms)
            case Sign.BAD:
                return self._failed(now_ms)
            case Sign.LIMITED:
                return self._limited(now_ms, after_s)
            case Sign.REFUSED:
                self._open(now_ms)
                return True
        self.claimed_ms = 0
        return False

    def probed(self, now_ms: int, *, answers: bool) -> bool:
        """Somebody asked, at no charge, whether it is there. True: its standing has changed. It is taken at its word only once: one that is there and
        fails all the same waits its time."""
        if not self.opened:
            return False
        if answers:
            early = self.opened == 1 and self.open_until_ms > now_ms
            self.open_until_ms = now_ms if early else self.open_until_ms
            return early
        later = now_ms + int(BREAKER_OPEN_FIRST_S * 1000)
        if self.open_until_ms >= later:
            return False
        self.open_until_ms = later  # no client is to find out
        return True

    def _answered(self, now_ms: int) -> bool:
        changed = bool(self.opened or self.limits)
        if changed:
            self._turn(now_ms)
            self.opened = self.open_until_ms = self.cool_until_ms = self.limits = self.claimed_ms = 0
            self.bad = self.bad_before = 0
        elif now_ms - self.begun_ms >= BREAKER_WINDOW_S * 1000:
            self._turn(now_ms)
        self.row = 0
        self.good += 1
        return changed

    def _failed(self, now_ms: int) -> bool:
        if now_ms - self.begun_ms >= BREAKER_WINDOW_S * 1000:
            self._turn(now_ms)
        self.row += 1
        self.bad += 1
        bad, good = self.bad + self.bad_before, self.good + self.good_before
        if self.opened or self.row >= BREAKER_FAILURES or (bad >= BREAKER_FAILURES and bad >= good):
            self._open(now_ms)
            return True
        return False

    def _open(self, now_ms: int) -> None:
        """Again, and twice as long, if it was open and its time was over; a call that was under way when it opened changes nothing."""
        if self.opened and self.open_until_ms > now_ms:
            return
        wait_s = min(BREAKER_OPEN_MAX_S, BREAKER_OPEN_FIRST_S * float(2**self.opened))
        self.opened = min(self.opened + 1, 16)
        self.open_until_ms = now_ms + int(wait_s * 1000)
        self.claimed_ms = 0

    def _limited(self, now_ms: int, after_s: float) -> bool:
        wait_s = after_s or COOL_DOWN_DEFAULT_S * float(2**self.limits)
        self.limits = min(self.limits + 1, 16)
        self.claimed_ms = 0
        self.cool_until_ms = max(self.cool_until_ms, now_ms + int(min(wait_s, COOL_DOWN_MAX_S) * 1000))
        return True

    def _turn(self, now_ms: int) -> None:
        """A new window begins; the last one counts on if it has just ended."""
        just = now_ms - self.begun_ms < 2 * BREAKER_WINDOW_S * 1000
        self.good_before, self.bad_before = (self.good, self.bad) if just else (0, 0)
        self.begun_ms, self.good, self.bad = now_ms, 0, 0
