"""From how much work on a fixed price is less than a price by the piece.

Comes in: replicas, each with what an hour of its devices costs and how many tokens it makes in a month; a price per token. Goes out: volumes a month.
Prices and rates are spreads, independent of each other. Does not know: models, APIs, the ledger.

Paid by the piece, a month is a line through nothing. Replicas are steps: the first stands whether it works or not, and where it is full the next
begins. The line meets a replica's first step at its dollars a month / dollars per token, if that is no more than it makes; if it is more, the line
stays below every further step too. Of several kinds of replica the cheapest holds at each volume.
"""

from collections.abc import Iterator, Sequence
from math import ceil, inf
from typing import Any, NamedTuple

from jevons.economics.unitcost.cost import HOURS_A_YEAR, LEVELS, NUSD, Interval, Quantiles

HOURS_A_MONTH = HOURS_A_YEAR / 12
POINTS = 33
"""Equally likely values of each spread."""


class Replica(NamedTuple):
    """The least that can be built: one copy of a model."""

    devices: int
    hourly: Interval
    """Dollars of one device."""
    month: Interval
    """Tokens that it makes in a month of the work, as uneven as it comes."""

    @property
    def monthly_nusd(self) -> float:
        """At the middle."""
        return self.devices * self.hourly.mid * HOURS_A_MONTH * NUSD

    def needed(self, tokens: float) -> int:
        """Replicas for so many tokens a month, at the middle."""
        return max(1, ceil(tokens / self.month.mid))

    def monthly(self, tokens: float) -> Quantiles:
        """Nano-dollars for so many tokens a month, with as many replicas as they need."""
        drawn = sorted(nusd * max(1, ceil(tokens / month)) for nusd, month in self._drawn())
        low, high = _ends(drawn)
        return Quantiles(round(low), round(self.needed(tokens) * self.monthly_nusd), round(high))

    def crossings(self, nusd_per_token: float) -> list[float]:
        """Where a line meets the first step, in each draw; infinity: never."""
        return [_crossing(nusd, month, nusd_per_token) for nusd, month in self._drawn()]

    def for_good(self, nusd_per_token: float) -> float:
        """From here on the line is above every step, at the middle: at the end of step k - 1 it is above step k."""
        step, full = self.monthly_nusd / nusd_per_token, self.month.mid
        return inf if step >= full else (max(2, ceil(full / (full - step) - 1e-9)) - 1) * step

    def _drawn(self) -> Iterator[tuple[float, float]]:
        """Nano-dollars a month, tokens a month."""
        for usd in _values(self.hourly):
            for month in _values(self.month):
                yield self.devices * usd * HOURS_A_MONTH * NUSD, month


class BreakEven(NamedTuple):
    """Tokens a month from which on building is cheaper than buying."""

    build: str
    buy: str
    tokens: Interval | None
    """None: at the middle, never. The upper end may be infinity."""
    never: float
    """Share of draws in which it never is."""
    for_good: float | None
    """From here on it stays cheaper, whatever the next replica costs."""

    @property
    def stays(self) -> bool:
        """Building is cheaper from the first crossing on, whatever the next replica costs."""
        return self.tokens is not None and self.for_good is not None and self.for_good <= self.tokens.mid * (1 + 1e-9)

    def document(self) -> dict[str, Any]:
        """For --json; a volume that is never reached is null."""
        low, mid, high = self.tokens or (inf, inf, inf)
        return {
            "build": self.build,
            "against": self.buy,
            "tokens_a_month": {"p5": _whole(low), "mid": _whole(mid), "p95": _whole(high)},
            "never_share": self.never,
            "for_good_tokens_a_month": None if self.for_good is None else _whole(self.for_good),
        }


def break_even(build: str, replicas: Sequence[Replica], buy: str, nusd_per_token: float) -> BreakEven:
    """By the kind of replica that is cheaper first. `nusd_per_token` > 0."""
    first = min(replicas, key=lambda one: _crossing(one.monthly_nusd, one.month.mid, nusd_per_token))
    middle = _crossing(first.monthly_nusd, first.month.mid, nusd_per_token)
    found = sorted(first.crossings(nusd_per_token))
    never = sum(volume == inf for volume in found) / len(found)
    if middle == inf:
        return BreakEven(build, buy, None, never, None)
    low, high = _ends(found)
    good = min(one.for_good(nusd_per_token) for one in replicas)
    return BreakEven(build, buy, Interval(low, middle, high), never, None if good == inf else good)


def _crossing(monthly_nusd: float, full: float, nusd_per_token: float) -> float:
    volume = monthly_nusd / nusd_per_token
    return volume if volume <= full else inf


def _values(of: Interval) -> list[float]:
    return [of.mid] if of.low == of.high else [of.at((place + 0.5) / POINTS) for place in range(POINTS)]


def _ends(ordered: Sequence[float]) -> tuple[float, float]:
    return ordered[round(LEVELS[0] * (len(ordered) - 1))], ordered[round(LEVELS[-1] * (len(ordered) - 1))]


def _whole(volume: float) -> int | None:
    return None if volume == inf else round(volume)
