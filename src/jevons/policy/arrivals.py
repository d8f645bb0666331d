"""When is the beginning of a prompt asked for again? Which beginnings recur, and how soon, learnt from the requests as they come.

Comes in: each request's path (links and lengths of its messages), who sent it, who spoke last, when. Goes out: the places on the path that matter,
with the odds of being asked for again by each age. Does not know: what a cache holds, prices, clocks (every instant is given).

Two kinds of places recur, by different laws. The *end* of a request is asked for again by its conversation's next turn: by how often that
has gone on, how long it is, how much it grew, how long its last pause was, who sends it, and whether a tool or a person spoke. A *fork* is
where requests part that began alike (tools, a system prompt, a template, an edited message): asked for by many conversations, as often
as it lately was. A place is watched from one request that passes it to the next; `policy.returns` counts what became of it.
"""

import enum
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from jevons.core.limits import ARRIVALS_WATCHED_MAX
from jevons.policy.provider_cache import Path
from jevons.policy.returns import AGE_EDGES_S, BINS, Returns, bin_of

TURN_EDGES = (1, 2, 3, 4, 5, 6, 8, 12, 20)
"""Lower edges of the classes by turn: how often the conversation has gone on."""
LENGTH_EDGES = (2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
"""Lower edges of the classes by length, in tokens."""
GROWTH_EDGES = (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768)
"""Lower edges of the classes by tokens added since the conversation's last request."""
PASSES_EDGES = (2, 3, 4, 5, 6, 7, 8)
"""Lower edges of the classes of a fork by how many requests passed it."""
PAUSE_SHARE = 0.3
"""What the latest pause counts for in the average of those between requests that pass a fork."""
FORKS_COMMON = 3
"""Where requests parted so often something is common to conversations, and does not say how often one has gone on. (Two are a conversation and
an answer asked for again.)"""
MEAN_OF = 200
"""The mean odds of conversations in their n-th turn follow the latest so many."""


class By(enum.StrEnum):
    """Who spoke last, before the model is asked."""

    PERSON = "person"
    TOOL = "tool"


class Place(NamedTuple):
    """A place on a path that may be asked for again."""

    position: int
    odds: tuple[float, ...]
    """Of a return, by the upper edge of each age bin (`policy.returns.within`)."""
    later: tuple[float, ...]
    """The same, on average, once it has come back."""


class _Watch:
    """One wait for a return, from one request to the next, or for ever."""

    __slots__ = ("came", "law", "passed_s", "traits")

    def __init__(self, passed_s: float, law: Returns, traits: tuple[Hashable, ...]) -> None:
        self.passed_s = passed_s
        self.law = law
        self.traits = traits
        self.came = -1
        """In which age bin."""


class _Stop:
    """What is known of the prompts that begin alike up to some message."""

    __slots__ = ("forks", "next", "passed_s", "passes", "pause_s", "position", "turn", "watch")

    def __init__(self, position: int) -> None:
        self.position = position
        self.next: bytes | None = None
        """The link that came after it."""
        self.forks = 0
        """How often it was another one than the time before."""
        self.turn = -1
        """How often the conversation had gone on when a request ended here; -1 = none did."""
        self.passes = 0
        self.passed_s = 0.0
        self.pause_s = -1.0
        """Between requests that passed, on average; -1 = only one has."""
        self.watch: _Watch | None = None

    @property
    def is_end(self) -> bool:
        """Of a conversation's request."""
        return self.turn >= 0 and self.forks < FORKS_COMMON


class _Mean:
    """Of odds."""

    __slots__ = ("count", "odds")

    def __init__(self) -> None:
        self.count = 0
        self.odds: tuple[float, ...] = ()

    def add(self, odds: tuple[float, ...]) -> None:
        self.count = min(self.count + 1, MEAN_OF)
        if self.count == 1:
            self.odds = odds
        else:
            share = 1.0 / self.count
            self.odds = tuple([mean + share * (each - mean) for mean, each in zip(self.odds, odds, strict=True)])


class Arrivals:
    """Of one gateway. Bounded: the places passed longest ago are forgotten. Not thread-safe."""

    def __init__(self, stops_max: int) -> None:
        self._ends = Returns()
        self._forks = Returns()
        self._stops_max = stops_max
        self._stops: OrderedDict[bytes, _Stop] = OrderedDict()
        self._ages: list[deque[_Watch]] = [deque() for _ in range(BINS)]
        """Per age bin, those in it, oldest first. What came back is counted when its bin is over, with those that did not: else at first only
        returns would be known. Whoever finds its bin full is not watched, whatever becomes of it: so those that are tell the odds of all."""
        self._means = [_Mean() for _ in range(len(TURN_EDGES) + 1)]
        """By class of turn."""

    def __len__(self) -> int:
        return len(self._stops)

    def afresh(self) -> "Arrivals":
        """One that knows the odds learnt here, and goes on learning them, but no place."""
        other = Arrivals(self._stops_max)
        other._ends, other._forks, other._means = self._ends, self._forks, self._means
        return other

    def seen(self, path: Path, now_s: float, caller: Hashable = None, by: By = By.PERSON, opening: int = 0) -> tuple[Place, ...]:
        """A request came. Its places in order of position, the last its end, with odds by what was learnt until now. `opening`: how many
        messages tools and system are."""
        self._grow_older(now_s)
        if not path.links:
            return ()
        end = self._walk(path.links, opening)
        known = [end, *self._before(path.links)]
        ended = next((stop for stop in known if stop.is_end), None)
        turn = 0 if ended is None else ended.turn + 1
        traits = _end_traits(path, ended, turn, now_s, caller, by)
        end.turn = turn
        places: list[Place] = []
        for stop in reversed([stop for stop in known if stop is end or stop.forks or stop.watch is not None]):
            self._pass(path.links[stop.position], stop, now_s)
            if stop is end and stop.is_end:
                odds = self._watched(stop, self._ends, traits, now_s)
                places.append(Place(stop.position, odds, self._later(turn, odds)))
            elif stop.forks:
                odds = self._watched(stop, self._forks, _fork_traits(stop), now_s)
                places.append(Place(stop.position, odds, odds))
        while len(self._stops) > self._stops_max:
            self._stops.popitem(last=False)
        return tuple(places)

    def _walk(self, links: Sequence[bytes], opening: int) -> _Stop:
        """From the last message that is known to the end, which is returned."""
        stops, known = self._stops, len(links) - 1
        while known > 0 and links[known] not in stops:
            known -= 1
        stop = stops.get(links[known])
        if stop is None:
            stop = self._stop(links, 0, opening)
        elif known + 1 < len(links) and stop.next not in (None, links[known + 1]):
            stop.forks += 1
        if 0 < opening <= known and links[opening - 1] not in stops:
            self._stop(links, opening - 1, opening)  # forgotten, while what stands behind it was not
        for position in range(known + 1, len(links)):
            stop.next = links[position]
            stop = self._stop(links, position, opening)
        return stop

    def _before(self, links: Sequence[bytes]) -> list[_Stop]:
        """What is still known of the messages before the last, from there on. (A stop does not hold the one before it: each would keep its whole
        conversation in memory.)"""
        return [stop for link in reversed(links[:-1]) if (stop := self._stops.get(link)) is not None]

    def _stop(self, links: Sequence[bytes], position: int, opening: int) -> _Stop:
        stop = self._stops[links[position]] = _Stop(position)
        if position + 1 == opening and opening < len(links):
            stop.forks = FORKS_COMMON
        return stop

    def _pass(self, link: bytes, stop: _Stop, now_s: float) -> None:
        self._stops[link] = stop
        self._stops.move_to_end(link)
        if stop.passes:
            pause_s = now_s - stop.passed_s
            stop.pause_s = pause_s if stop.passes == 1 else stop.pause_s + PAUSE_SHARE * (pause_s - stop.pause_s)
        stop.passes += 1
        stop.passed_s = now_s
        if stop.watch is not None:
            stop.watch.came = bin_of(now_s - stop.watch.passed_s)
            stop.watch = None

    def _watched(self, stop: _Stop, law: Returns, traits: tuple[Hashable, ...], now_s: float) -> tuple[float, ...]:
        if len(self._ages[0]) < ARRIVALS_WATCHED_MAX:
            stop.watch = _Watch(now_s, law, traits)
            self._ages[0].append(stop.watch)
        return law.odds(traits)

    def _later(self, turn: int, odds: tuple[float, ...]) -> tuple[float, ...]:
        """Counts the odds in this turn, and gives what those in the next one have on average."""
        class_ = bisect_right(TURN_EDGES, turn)
        self._means[class_].add(odds)
        return self._means[min(class_ + 1, len(TURN_EDGES))].odds or odds

    def _grow_older(self, now_s: float) -> None:
        for bin_ in range(BINS - 1, -1, -1):
            queue, edge_s = self._ages[bin_], AGE_EDGES_S[bin_]
            while queue and now_s - queue[0].passed_s >= edge_s:
                watch = queue.popleft()
                watch.law.learn(watch.traits, bin_, watch.came == bin_)
                if watch.came != bin_ and bin_ + 1 < BINS and len(self._ages[bin_ + 1]) < ARRIVALS_WATCHED_MAX:
                    self._ages[bin_ + 1].append(watch)


def _end_traits(path: Path, ended: _Stop | None, turn: int, now_s: float, caller: Hashable, by: By) -> tuple[Hashable, ...]:
    """`ended`: where the conversation's last request did; here, if this is the same one again."""
    grown = path.tokens - (0 if ended is None else path.ends[ended.position])
    pause = -1 if ended is None else bin_of(now_s - ended.passed_s)
    return (
        ("turn", bisect_right(TURN_EDGES, turn)),
        ("length", bisect_right(LENGTH_EDGES, path.tokens)),
        ("grown", turn > 0, bisect_right(GROWTH_EDGES, grown)),
        ("paused", pause),
        by,
        ("caller", caller),
    )


def _fork_traits(stop: _Stop) -> tuple[Hashable, ...]:
    pause = -1 if stop.pause_s < 0 else bin_of(stop.pause_s)
    return ("paused", pause), ("passed", bisect_right(PASSES_EDGES, stop.passes))
