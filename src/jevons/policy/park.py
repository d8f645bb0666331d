"""What is a parked block of keys and values worth? Which is kept, which goes first.

Comes in: what happened to the paths of conversations (a path was asked for again at such an age; it grew so much older without), and
what recomputing a block would cost. Goes out: a block's worth, in seconds of prefill saved per second and byte that it is held, and
whether a newcomer is worth its place. The very same functions decide live and in bench/park_trace.
Does not know: which blocks there are, where they lie, clocks (ages are given).

Reuse is learnt, from nothing, by counting. A path has a class (by turn: how often its conversation has gone on; by its length; by how much it grew
last) and grows older through age bins; per bin stands how many paths were asked for in it, and how many left it unasked: a life table, for
all, and for each turn, length and growth. A class takes the odds of all, times what each of its three changes in them (proportional odds:
Cox 1972). The worth of holding on is the Gittins index of that life (Gittins 1979; in caches: the hit density of Beckmann, Chen and Cidon, NSDI 2018): over all
moments to give up at, the best of P(asked for until then) ÷ E(seconds held until then). With nothing learnt worth falls with age alone: LRU.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Protocol

import msgspec

AGE_EDGES_S: tuple[float, ...] = (0.0, *(math.pow(2.0, quarter / 4) for quarter in range(72)))
"""Lower edges of the age bins: quarters of an octave from a second to two and a half days; the last bin is open."""
TURN_EDGES = (0, 1, 2, 3, 5)
"""Lower edges of the classes by turn: how often the conversation has gone on."""
LENGTH_EDGES = (0, 2_048, 8_192, 16_384, 32_768, 65_536)
"""Lower edges of the classes by length of the path, in tokens."""
GROWTH_EDGES = (0, 1, 1_024, 4_096, 16_384)
"""Lower edges of the classes by growth: tokens added to what was known of the conversation; none = its first turn. A long piece put behind
a known beginning is more often something else that begins alike (a template, a document with another question) than one's next turn."""
PRIOR_P = 0.025
"""Of the paths that enter an age bin, the share asked for in it, before anything is learnt: a return is as likely in each. Its value matters
little; that it is the same in every bin makes the beginning LRU."""
PRIOR_PATHS = 8.0
"""How many paths the prior counts for in a bin; and how many expected uses, in what a turn, a length or a growth changes."""
RATIO_BINS = 8
"""What these change in the odds is counted over so many bins before and after: four times as young to four times as old."""
PATHS_MAX = 1_024.0
"""At so many paths the counts of a bin are halved: what they say follows a changed use within a thousand conversations."""
NEWS_PATHS = 16.0
"""After so many paths counted the rates are derived anew: it takes some milliseconds."""
BRANCHES_SHARED = 3
"""A block with so many different successors is common to conversations (a system prompt, tools), and does not say how often one has gone
on. Two are a conversation and an answer asked for again."""

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

    def token_saved_s(self, end: int) -> float:
        """Seconds per token, on average over a path of `end` tokens. This is what giving up any of them is weighed by: a path is kept, or
        given up from its end, as a whole. Its last block alone saves most, yet only while the cheap first ones are there too."""
        return self.saved_s(end, 0) / end


class Policy(Protocol):
    """What a shelf asks. Ages in seconds; `kind` as `kind_of` gave it."""

    def kind_of(self, turn: int, tokens: int, grown: int) -> int:
        """Class of a path of so many tokens whose conversation has gone on `turn` times, the last time by `grown` tokens."""

    def used(self, kind: int, bin_: int, share: float) -> None:
        """So much of a path (1 = all) was asked for while in an age bin."""

    def aged(self, kind: int, bin_: int, share: float) -> None:
        """So much of a path left an age bin unasked."""

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        """Of a block that saves so much when used; comparable with that of others, and with a price if it is in seconds per second and byte."""


class Lru:
    """The baseline: what was used last stays."""

    def kind_of(self, turn: int, tokens: int, grown: int) -> int:
        return 0

    def used(self, kind: int, bin_: int, share: float) -> None:
        """Learns nothing."""

    def aged(self, kind: int, bin_: int, share: float) -> None:
        """Learns nothing."""

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        return 1.0 / (1.0 + age_s)


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

    def shares(self) -> list[float]:
        """Per bin: of the paths that enter it, the share that is used in it."""
        return [
            (used + PRIOR_PATHS * PRIOR_P) / (used + aged + PRIOR_PATHS) for used, aged in zip(self.used, self.aged, strict=True)
        ]

    def ratios(self, common: Sequence[float]) -> list[float]:
        """Per bin: how many times the uses that the common shares let expect there were, around it (indirect standardisation)."""
        uses = [0.0, *accumulate(self.used)]
        expected = [0.0, *accumulate(map(lambda used, aged, share: (used + aged) * share, self.used, self.aged, common))]
        around = [(max(0, bin_ - RATIO_BINS), min(BINS, bin_ + RATIO_BINS + 1)) for bin_ in range(BINS)]
        return [
            (uses[end] - uses[start] + PRIOR_PATHS) / (expected[end] - expected[start] + PRIOR_PATHS) for start, end in around
        ]


class Learnt:
    """Life tables, and the rates that follow from them. Deterministic: what it was told is all it knows."""

    def __init__(self) -> None:
        self.common = Table()
        self.by_turn = tuple([Table() for _ in TURN_EDGES])
        self.by_length = tuple([Table() for _ in LENGTH_EDGES])
        self.by_growth = tuple([Table() for _ in GROWTH_EDGES])
        self._rates: dict[int, tuple[float, ...]] = {}
        self._news = 0.0

    def kind_of(self, turn: int, tokens: int, grown: int) -> int:
        kind = bisect_right(TURN_EDGES, turn) - 1
        kind = kind * len(LENGTH_EDGES) + bisect_right(LENGTH_EDGES, tokens) - 1
        return kind * len(GROWTH_EDGES) + bisect_right(GROWTH_EDGES, grown) - 1

    def used(self, kind: int, bin_: int, share: float) -> None:
        self._count(kind, bin_, share, 0.0)

    def aged(self, kind: int, bin_: int, share: float) -> None:
        self._count(kind, bin_, 0.0, share)

    def worth(self, kind: int, age_s: float, saved_s: float, size_bytes: int) -> float:
        return self.rate(kind, age_s) * saved_s / size_bytes

    def rate(self, kind: int, age_s: float) -> float:
        """Uses per second of holding on, at best."""
        if self._news >= NEWS_PATHS:
            self._rates = {}
            self._news = 0.0
        if kind not in self._rates:
            self._rates[kind] = holding_rates(self._shares(kind))
        return self._rates[kind][bin_of(age_s)]

    def _count(self, kind: int, bin_: int, used: float, aged: float) -> None:
        for table in (self.common, *self._tables(kind)):
            table.count(bin_, used, aged)
        self._news += used + aged

    def _shares(self, kind: int) -> list[float]:
        """Per bin: of the paths of a class that enter it, the share that is used in it."""
        common = self.common.shares()
        odds = [share / (1.0 - share) for share in common]
        for table in self._tables(kind):
            odds = list(map(mul, odds, table.ratios(common)))
        return [each / (1.0 + each) for each in odds]

    def _tables(self, kind: int) -> tuple[Table, Table, Table]:
        kind, growth = divmod(kind, len(GROWTH_EDGES))
        turn, length = divmod(kind, len(LENGTH_EDGES))
        return self.by_turn[turn], self.by_length[length], self.by_growth[growth]


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


def admits(worth: float, displaced: float, price: float) -> bool:
    """Is a newcomer worth its place? `displaced` is the worth of what would have to go, 0 where there is room; an equal goes: it is older."""
    return worth >= displaced and worth >= price


def _width_s(bin_: int) -> float:
    """As wide, relatively, as all others are also the first, in which nobody comes back, and the last, which is open."""
    end_s = AGE_EDGES_S[bin_ + 1] if bin_ + 1 < BINS else AGE_EDGES_S[-1] * math.pow(2.0, 1 / 4)
    return end_s * (1.0 - math.pow(2.0, -1 / 4))
