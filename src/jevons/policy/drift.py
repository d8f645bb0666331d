"""Whether a promise that was made still holds: each answer that is judged afterwards is a bet against it.

Comes in: judged answers whose score reaches the threshold, one after the other, whatever their number; each counts alike. Goes out: hold, tighten or withdraw.

Withdraw. Each bet multiplies 1 by 1 + lambda (harm - alpha): while harm is at most alpha its expectation is at most 1, whenever one looks (Waudby-Smith
and Ramdas, arXiv 2010.09686). Whatever was lost below 1 is forgotten, so that a good year delays no alarm; such a bet reaches ODDS once in ODDS
answers at most, on average, while harm is at alpha (Lorden 1971), and far more seldom while it is below. Two are made: on harm that is a little
more than alpha, and on much more.

Tighten. Harm may also become more than it was when the promise was made, and not yet be sure to exceed alpha. Each WINDOW answers are held, once,
against those that the promise was made from: if they differ by more than chance in SELDOM of all windows, and harm more than was promised at
most, the old ones are no evidence any more.

Does not know: models, scores, clocks, what is done about it.
"""

import enum
from math import sqrt

import msgspec

from jevons.policy.promise import Certificate, at_most

WORSE = (2.0, 5.0)
"""Two bets: that harm is so many times alpha."""
ODDS = 10_000.0
"""A promise that holds at its very limit is withdrawn by chance once in so many judged answers, or less. In simulated lives of 6,000 labels at nine tenths
of alpha, 0 to 7 in a hundred fell; where harm is twice an alpha of 10 %, that is found after 155 labels, of four times after 25 (medians)."""
WINDOW = 100
"""Judged answers that are held against the earlier ones at a time."""
SELDOM = 0.005


class Verdict(enum.Enum):
    HOLD = "hold"
    TIGHTEN = "tighten"
    """The threshold must be found anew, from recent answers."""
    WITHDRAW = "withdraw"
    """Harm is above alpha."""


class Watch(msgspec.Struct):
    """Over one promise since it was made. Five numbers; msgspec writes and reads it."""

    won: list[float] = msgspec.field(default_factory=lambda: [1.0 for _ in WORSE])
    """What each bet has made of 1 of late."""
    n: int = 0
    """Judged answers that reached the threshold, since the promise was made."""
    harms: int = 0
    """Of these."""
    window_n: int = 0
    window_harms: int = 0

    def see(self, harm: bool, promised: Certificate, alpha: float) -> Verdict:
        """One judged answer."""
        self.n += 1
        self.harms += harm
        for i, times in enumerate(WORSE):
            self.won[i] = max(1.0, self.won[i] * (1 + stake(alpha, times) * (harm - alpha)))
        if max(self.won) >= ODDS:
            return Verdict.WITHDRAW
        self.window_n += 1
        self.window_harms += harm
        if self.window_n < WINDOW:
            return Verdict.HOLD
        seen, self.window_n, self.window_harms = self.window_harms, 0, 0
        if seen > promised.bound * WINDOW and more_than(seen, WINDOW, promised.harms, promised.n) < SELDOM:
            return Verdict.TIGHTEN
        return Verdict.HOLD


def stake(alpha: float, times: float) -> float:
    """Of what one has, by which wealth grows fastest if harm is `times` alpha (Kelly 1956), at most half of what may be staked."""
    rate = min(times * alpha, (1 + alpha) / 2)
    return (rate - alpha) / (alpha * (1 - alpha))


def more_than(harms: int, n: int, before: int, before_n: int) -> float:
    """How likely so many harms or more are among n, at the earlier rate, taken a standard error higher: few earlier answers accuse nobody."""
    if not harms:
        return 1.0
    rate = (before + 0.5) / (before_n + 1)
    return 1 - at_most(harms - 1, n, min(rate + sqrt(rate * (1 - rate) / (before_n + 1)), 0.999))
