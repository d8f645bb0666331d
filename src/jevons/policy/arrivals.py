"""When is the beginning of a prompt asked for again? Which beginnings recur, and how soon, learnt from the requests as they come.

Comes in: each request's path (links and lengths of its messages), who sent it, what it answers, when. Goes out: for the places on the path that matter, the
odds of being asked for again by each age. Does not know: what a cache holds, prices, clocks (every instant is given).

Two kinds of places recur, by different laws. The *end* of a request is asked for again by its conversation's next turn: by how often that
has gone on, how long it is, how much it grew, how long its last pause was, who sends it, and whether a tool or a person spoke. A *fork* is
where requests part that began alike (tools, a system prompt, a template, an edited message): asked for by many conversations, as often
as it lately was. Each such place is watched from one request that passes it to the next (`policy.returns`).
"""

import enum
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import NamedTuple

from jevons.policy.provider_cache import Path
from jevons.policy.returns import AGE_EDGES_S, BINS, Returns

TURN_EDGES = (1, 2, 3, 4, 5, 6, 8, 12, 20)
LENGTH_EDGES = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
GROWTH_EDGES = (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768)
"""Tokens added since the conversation's last request."""
PAUSE_EDGES_S = (2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0)
"""Pauses before the latest request: of the conversation, or on average between those that passed a fork."""
PAUSE_SHARE = 0.3
"""What the latest pause counts for in a fork's average."""
FORKS_COMMON = 3
"""Where requests parted so often something is common to conversations, and does not say how often one has gone on."""
CALM_TURNS = 200
"""The mean odds of those that have come back follow the last so many."""


class By(enum.Enum):
    """Who spoke last, before the model is asked."""

    PERSON = "person"
    TOOL = "tool"


class Place(NamedTuple):
    """A place on a path that may be asked for again."""

    position: int
    odds: tuple[float, ...]
    """Of a return, by the upper edge of each age bin (`policy.returns.within`)."""
    later: tuple[float, ...]
    """The same, on average, after it has come back."""


class _Watch:
    """One wait for a return, from one request to the next, or for ever."""

    __slots__ = ("came", "passed_s", "returns", "traits")

    def __init__(self, passed_s: float, returns: Returns, traits: tuple[Hashable, ...]) -> None:
        self.passed_s = passed_s
        self.returns = returns
        self.traits = traits
        self.came = -1
        """In which age bin."""


class _Stop:
    """What is known of the prompts that begin alike up to some message."""

    __slots__ = ("forks", "next", "passed_s", "passes", "pause_s", "turn", "watch")

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.passes = 0
        self.pause_s = -1.0
        """Between requests that passed, on average; -1 = one has."""
        self.turn = -1
        """How often the conversation had gone on when a request ended here; -1 = none did."""
        self.next: bytes | None = None
        """The link that came after it."""
        self.forks = 0
        """How often another message came after it than the time before."""
        self.watch: _Watch | None = None


class Arrivals:
    """Of one gateway. Bounded: the places passed longest ago are forgotten. Not thread-safe."""

    def __init__(self, stops_max: int) -> None:
        self._ends = Returns()
        self._forks = Returns()
        self._stops_max = stops_max
        self._stops: OrderedDict[bytes, _Stop] = OrderedDict()
        self._ages: list[deque[_Watch]] = [deque() for _ in range(BINS)]
        """Per age bin, those in it, oldest first. What came back is counted when its bin is over, with those that did not: else at first only
        returns would be known."""
        self._later: dict[int, list[float]] = {}
        self._laters: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._stops)

    def seen(self, path: Path, now_s: float, caller: Hashable = None, by: By = By.PERSON, opening: int = 0) -> tuple[Place, ...]:
        """A request came: what was learnt before it says how likely it is to be followed; and it is learnt from. `opening`: how many messages tools and
        system are. Places in order of position; the last is the request's end."""
        self._grow_older(now_s)
        if not path.links:
            return ()
        stops = [self._passed(link, now_s) for link in path.links]
        known = max((place for place, stop in enumerate(stops) if stop.passes), default=-1)
        ended = max(
            (place for place, stop in enumerate(stops[: known + 1]) if stop.turn >= 0 and stop.forks < FORKS_COMMON), default=-1
        )
        last = len(stops) - 1
        if 0 <= known < last and stops[known].next not in (None, path.links[known + 1]):
            stops[known].forks += 1
        for place in range(max(known, 0), last):
            stops[place].next = path.links[place + 1]
        if 0 < opening <= last:
            stops[opening - 1].forks = max(stops[opening - 1].forks, FORKS_COMMON)
        end, turn = stops[last], stops[ended].turn + 1 if ended >= 0 else 0
        end_traits = self._end_traits(path, stops, ended, known, turn, now_s, caller, by)
        found = []
        for place, stop in enumerate(stops):
            if stop.passes:
                pause_s = now_s - stop.passed_s
                stop.pause_s = pause_s if stop.pause_s < 0 else (1 - PAUSE_SHARE) * stop.pause_s + PAUSE_SHARE * pause_s
            stop.passes += 1
            stop.passed_s = now_s
            if stop.forks and (place < last or stop.forks >= FORKS_COMMON):
                traits = ("fork", ("pause", bisect_right(PAUSE_EDGES_S, stop.pause_s)), ("passes", min(stop.passes, 8)))
                odds = self._watch(stop, self._forks, traits, now_s)
                found.append(Place(place, odds, odds))
        end.turn = turn
        if end.forks >= FORKS_COMMON:
            return tuple(found)
        odds = self._watch(end, self._ends, end_traits, now_s)
        self._follow(turn, odds)
        found.append(Place(last, odds, tuple(self._later.get(min(turn + 1, 20), odds))))
        while len(self._stops) > self._stops_max:
            self._stops.popitem(last=False)
        return tuple(found)

    def _end_traits(
        self, path: Path, stops: list[_Stop], ended: int, known: int, turn: int, now_s: float, caller: Hashable, by: By
    ) -> tuple[Hashable, ...]:
        grown = path.tokens - (path.ends[ended] if ended >= 0 else 0)
        pause_s = now_s - stops[ended].passed_s if ended >= 0 else -1.0
        return (
            ("turn", bisect_right(TURN_EDGES, turn)),
            ("length", bisect_right(LENGTH_EDGES, path.tokens)),
            ("grown", turn > 0, bisect_right(GROWTH_EDGES, grown)),
            ("paused", bisect_right(PAUSE_EDGES_S, pause_s)),
            ("known", turn > 0, known > ended and not stops[known].forks >= FORKS_COMMON),
            ("by", by),
            ("caller", caller),
        )

    def _passed(self, link: bytes, now_s: float) -> _Stop:
        stop = self._stops.get(link)
        if stop is None:
            stop = self._stops[link] = _Stop()
            return stop
        self._stops.move_to_end(link)
        if stop.watch is not None:
            stop.watch.came = bisect_right(AGE_EDGES_S, now_s - stop.watch.passed_s) - 1
            stop.watch = None
        return stop

    def _watch(self, stop: _Stop, returns: Returns, traits: tuple[Hashable, ...], now_s: float) -> tuple[float, ...]:
        stop.watch = _Watch(now_s, returns, traits)
        self._ages[0].append(stop.watch)
        return returns.odds(traits)

    def _follow(self, turn: int, odds: tuple[float, ...]) -> None:
        turn = min(turn, 20)
        n = self._laters[turn] = min(self._laters.get(turn, 0) + 1, CALM_TURNS)
        mean = self._later.setdefault(turn, [0.0] * BINS)
        for k, p in enumerate(odds):
            mean[k] += (p - mean[k]) / n

    def _grow_older(self, now_s: float) -> None:
        for bin_ in range(BINS - 1, -1, -1):
            queue, edge_s = self._ages[bin_], AGE_EDGES_S[bin_ + 1]
            while queue and now_s - queue[0].passed_s >= edge_s:
                watch = queue.popleft()
                if watch.came == bin_:
                    watch.returns.came(watch.traits, bin_)
                    continue
                watch.returns.waited(watch.traits, bin_)
                if bin_ + 1 < BINS:
                    self._ages[bin_ + 1].append(watch)
