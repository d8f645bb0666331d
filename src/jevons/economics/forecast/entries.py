"""What was not there yet: how much of a later week was by uses (who on which line) that nobody had in the four weeks before a day.

A forecast continues what is there. History says what that leaves out: for every past day o and every week h after it,

    y(o, h) = ln( all of the week / what of it is by uses of the four weeks before o )        least squares: y = a · damped(h)

through the origin, the rest a random walk of a variance that grows with h. Nobody came, nothing is added. It is history's word, so that it
has history's weight, and it fades as the trends of `blend` do. Comes in: amounts of each use in each period. Goes out: `Entry`. Does not
know: who will come.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

DAMPING = 0.95
"""A week: that of the slow trends of data/series_prior.toml. What came at one pace for a while will not do so for ever."""
RECENT_WEEKS = 4


class Entry(NamedTuple):
    """Growth by what is new."""

    a_week: float
    """ln of the factor, of the first week."""
    scatter: float
    """Standard deviation of that logarithm about it after a week, times the root of weeks after more."""


NONE = Entry(0.0, 0.0)


def damped(weeks: float) -> float:
    """So many weeks, each counting less than the one before."""
    return math.expm1(weeks * math.log(DAMPING)) / math.log(DAMPING)


def entry(periods: Sequence[Mapping[Hashable, float]], weeks_each: float) -> Entry:
    """`periods`: use -> amount, oldest first; the first origin has four weeks behind it. `NONE` where there are no more than these."""
    behind = max(1, round(RECENT_WEEKS / weeks_each))
    ahead: list[float] = []
    grown: list[float] = []
    for origin in range(behind, len(periods)):
        seen = set().union(*(period.keys() for period in periods[origin - behind : origin]))
        for number, period in enumerate(periods[origin:], 1):
            known = sum(amount for use, amount in period.items() if use in seen)
            if known > 0:
                ahead.append(number * weeks_each)
                grown.append(math.log(sum(period.values()) / known))
    if not ahead:
        return NONE
    ways = [damped(weeks) for weeks in ahead]
    pace = sum(way * y for way, y in zip(ways, grown, strict=True)) / sum(way * way for way in ways)
    rest = [(y - pace * way) ** 2 / weeks for way, y, weeks in zip(ways, grown, ahead, strict=True)]
    return Entry(pace, math.sqrt(sum(rest) / len(rest)))
