"""What is a parked block of keys and values worth? Which is kept, which goes first.

Comes in: what happened to the paths of conversations (a path was asked for again at such an age; it grew so much older without), and
what recomputing a block would cost. Goes out: a block's worth, in seconds of prefill saved per second and byte that it is held, and
whether a newcomer is worth its place. The very same functions decide live and in bench/park_trace.
Does not know: which blocks there are, where they lie, clocks (ages are given).

Reuse is learnt, from nothing, by counting. A path belongs to a class (how often its conversation has gone on, how long it is) and grows
older through age bins; per class and bin stands how many paths were asked for in it, and how many left it unasked. That is a life table
(Kaplan and Meier 1958), and the worth of holding on is its Gittins index (Gittins 1979; for caches the hit density of Beckmann, Chen and
Cidon, NSDI 2018): over all moments to give up at, the best of P(asked for until then) ÷ E(seconds held until then). With nothing learnt
worth falls with age alone, which is LRU.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import msgspec

AGE_EDGES_S: tuple[float, ...] = (0.0, *(math.pow(2.0, half / 2) for half in range(36)))
"""Lower edges of the age bins: half octaves from a second to two days; the last bin is open."""
TURN_EDGES = (0, 1, 2, 3, 5)
"""Lower edges of the classes by turn: how often the conversation has gone on."""
LENGTH_EDGES = (0, 2_048, 8_192, 32_768)
"""Lower edges of the classes by length of the path, in tokens."""
PRIOR_P = 0.05
"""Of the paths that enter an age bin, the share asked for in it, before anything is learnt: a return is as likely in each half octave.
Its value matters little; that it is the same in every bin makes the beginning LRU."""
PRIOR_PATHS = 8.0
"""How many paths the prior counts for in a bin of all classes, and a bin of all classes in that of one."""
PATHS_MAX = 1_024.0
"""At so many paths the counts of a bin are halved: what they say follows a changed use within a thousand conversations."""
NEWS_PATHS = 16.0
"""After so many paths counted the rates are derived anew: it takes a millisecond."""
BRANCHES_SHARED = 3
"""A block with so many different successors is common to conversations (a system prompt, tools), and does not say how often one has gone
on. Two are a conversation and an answer asked for again."""

CLASSES = len(TURN_EDGES) * len(LENGTH_EDGES)
BINS = len(AGE_EDGES_S)


class Prefill(msgspec.Struct, frozen=True):
    """What computing a token's keys and values takes. A token at depth n (so many before it) costs `token_s` × (1 + n / `even_tokens`): the
    weights once, and attention over all before it. `even_tokens` is where both are equal: parameters ÷ (2 · layers · width)
    [2·parameters against 4·layers·width·n operations: Kaplan et al. 2020, table 1]."""

    token_s: float = 1e-3
    even_tokens: float = 4_096.0

    def saved_s(self, tokens: int, depth: int) -> float:
        """Seconds that `tokens` after `depth` others take."""
        return self.token_s * tokens * (1.0 + (depth + tokens / 2) / self.even_tokens)


class Policy(Protocol):
    """What a shelf asks. Ages in seconds; `kind` as `kind_of` gave it."""

    def kind_of(self, turn: int, tokens: int) -> int:
        """Class of a path of so many tokens whose conversation has gone on `turn` times."""

    def used(self, kind: int, bin_: int, share: float) -> None:
        """So much of a path (1 = all) was asked for while in an age bin."""

    def aged(self, kind: int, bin_: int, share: float) -> None:
        """So much of a path left an age bin unasked."""

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        """Of a block that saves so much when used; comparable with that of others, and with a price if it is in seconds per second and byte."""


class Lru:
    """The baseline: what was used last stays."""

    def kind_of(self, turn: int, tokens: int) -> int:
        return 0

    def used(self, kind: int, bin_: int, share: float) -> None:
        """Learns nothing."""

    def aged(self, kind: int, bin_: int, share: float) -> None:
        """Learns nothing."""

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        return 1.0 / (1.0 + age_s)


class Learnt:
    """Life tables per class, and the rates that follow from them."""

    def __init__(self) -> None:
        self.tables = tuple([Table() for _ in range(CLASSES)])
        self.common = Table()
        """Of all classes: what is taken for granted of one that is little known."""
        self._rates: list[tuple[float, ...]] = []
        self._news = 0.0

    def kind_of(self, turn: int, tokens: int) -> int:
        return (bisect_right(TURN_EDGES, turn) - 1) * len(LENGTH_EDGES) + bisect_right(LENGTH_EDGES, tokens) - 1

    def used(self, kind: int, bin_: int, share: float) -> None:
        self.tables[kind].count(bin_, share, 0.0)
        self.common.count(bin_, share, 0.0)
        self._news += share

    def aged(self, kind: int, bin_: int, share: float) -> None:
        self.tables[kind].count(bin_, 0.0, share)
        self.common.count(bin_, 0.0, share)
        self._news += share

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        return self.rate(kind, age_s) * saved_s / size_bytes

    def rate(self, kind: int, age_s: float) -> float:
        """Uses per second of holding on, at best."""
        if not self._rates or self._news >= NEWS_PATHS:
            common = self.common.shares((PRIOR_P,) * BINS)
            self._rates = [holding_rates(table.shares(common)) for table in self.tables]
            self._news = 0.0
        return self._rates[kind][bin_of(age_s)]


class Table:
    """A life table: per age bin, how many paths were used in it and how many left it unused."""

    def __init__(self) -> None:
        self.used = [0.0] * BINS
        self.aged = [0.0] * BINS

    def count(self, bin_: int, used: float, aged: float) -> None:
        self.used[bin_] += used
        self.aged[bin_] += aged
        if self.used[bin_] + self.aged[bin_] > PATHS_MAX:
            self.used[bin_] /= 2
            self.aged[bin_] /= 2

    def shares(self, prior: Sequence[float]) -> list[float]:
        """Per bin: of the paths that enter it, the share that is used in it; as in the prior, where little was counted."""
        return [
            (used + PRIOR_PATHS * before) / (used + aged + PRIOR_PATHS)
            for used, aged, before in zip(self.used, self.aged, prior, strict=True)
        ]


def bin_of(age_s: float) -> int:
    """The age bin."""
    return bisect_right(AGE_EDGES_S, age_s) - 1


def holding_rates(shares: Sequence[float]) -> tuple[float, ...]:
    """Per age bin the Gittins index in uses per second: the best, over all later bins to give up after, of P(used) ÷ E(seconds held).

    `shares`: of those that enter a bin, how many are used in it (at its middle, on average). From the last bin backwards: a bin joins
    with those after it as long as they promise more per second than it does itself."""
    rates: list[float] = []
    later: list[tuple[float, float, float]] = []  # of runs of bins, the next one last: P(used), E(seconds), P(not used)
    for bin_ in range(len(shares) - 1, -1, -1):
        share, width_s = shares[bin_], _width_s(bin_)
        use, held_s, left = share, width_s * (1.0 - share / 2), 1.0 - share
        while later and later[-1][0] * held_s > use * later[-1][1]:
            then_use, then_held_s, then_left = later.pop()
            use, held_s, left = use + left * then_use, held_s + left * then_held_s, left * then_left
        later.append((use, held_s, left))
        rates.append(use / held_s)
    return tuple(reversed(rates))


def holding_price(gib_hour_nusd: float, compute_hour_nusd: float) -> float:
    """Seconds of prefill that a byte must save per second to pay for its place: what a GiB costs an hour against what the computer that
    prefills costs an hour."""
    return gib_hour_nusd / compute_hour_nusd / 2**30


def break_even_s(saved_s: float, size_bytes: int, price: float) -> float:
    """How long a block may be held for one sure use. `price` as `holding_price` gives it."""
    return saved_s / (size_bytes * price)


def admits(worth: float, displaced: float, price: float) -> bool:
    """Is a newcomer worth its place? `displaced` is the worth of what would have to go, 0 where there is room; an equal goes: it is older."""
    return worth >= displaced and worth >= price


def _width_s(bin_: int) -> float:
    """The open last bin is taken to be as wide, relatively, as those before."""
    end_s = AGE_EDGES_S[bin_ + 1] if bin_ + 1 < BINS else AGE_EDGES_S[-1] * math.sqrt(2)
    return end_s - AGE_EDGES_S[bin_]
