"""What the lowest bill is that anyone could have who knows the future: a bound for any number of requests, and the exact figure for a few.

Comes in: requests, rules, rates. Goes out: money in numerators of the rates (`CacheRates.den`). It does not know how plans are made.

The bound. Cut all paths at the ends of their messages. In any plan, each time a request passes a piece its tokens are read, written for one of the
lifetimes, or plain; they can be read only if they were written, and since then were read again within their lifetime each time. So what
a plan does to one piece is a way to treat that piece alone, under rules that leave out what pieces have to do with each other (marks, their
number and order, the look-back, that what is before a piece must be warm too). The bill is a sum over pieces. So the sum of what each would cost alone, at
its best, is at most the bill of the best plan. The best for one piece is found going through its requests in order, with the least cost to
have it cold, or warm for each lifetime.
"""

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import combinations, combinations_with_replacement

from bench.promptcache.traces import Request
from jevons.core.cache_rules import CacheRates, CacheRules
from jevons.policy.provider_cache import Counted, Mark, Path, ProviderCache

NEVER = 10**30
"""More than anything costs."""


def cost(counted: Counted, rates: CacheRates, beyond: int = 0) -> int:
    """Of one request; `beyond`: tokens that no mark can reach."""
    written = sum(count * rate for count, rate in zip(counted.written, rates.writes, strict=True))
    return counted.read * rates.read + written + (counted.plain + beyond) * rates.plain


def bound(requests: Sequence[Request], rules: CacheRules, rates: CacheRates) -> int:
    """No plan costs less."""
    tokens: dict[bytes, int] = {}
    passed: dict[bytes, list[float]] = {}
    total = 0
    for request in requests:
        path = request.path
        if path.tokens < rules.min_tokens:
            total += request.tokens * rates.plain
            continue
        total += (request.tokens - path.tokens) * rates.plain
        begin = 0
        for link, end in zip(path.links, path.ends, strict=True):
            tokens[link] = end - begin
            passed.setdefault(link, []).append(request.at_s)
            begin = end
    lifetimes = [ttl.seconds for ttl in rules.ttls]
    return total + sum(tokens[link] * piece(times, lifetimes, rates) for link, times in passed.items())


def piece(times: Sequence[float], lifetimes: Sequence[int], rates: CacheRates) -> int:
    """A token's least cost, asked for at these times."""
    cold, warm, last_s = 0, [NEVER] * len(lifetimes), times[0]
    for at_s in times:
        for life, seconds in enumerate(lifetimes):
            if at_s - last_s > seconds:
                warm[life] = NEVER
        least = min(cold, *warm)
        warm = [min(kept + rates.read, least + write) for kept, write in zip(warm, rates.writes, strict=True)]
        cold = min(least + rates.plain, *warm)  # what is warm may run out
        last_s = at_s
    return cold


def exact(requests: Sequence[Request], rules: CacheRules, rates: CacheRates) -> int:
    """The best of all plans, by trying them: for a few requests of a few messages. What leads to the same cache is followed once."""
    reached: dict[object, tuple[int, ProviderCache]] = {(): (0, ProviderCache(rules, 1_000))}
    for number, request in enumerate(requests):
        begun = {request.path.links[:length] for request in requests[number:] for length in range(len(request.path.links) + 1)}
        beginnings = [Path(links, tuple(range(len(links)))) for links in sorted(begun)]
        then: dict[object, tuple[int, ProviderCache]] = {}
        for spent, cache in reached.values():
            for marks in plans(len(request.path.links), rules):
                after = deepcopy(cache)
                counted = after.apply(request.path, marks, request.at_s, only_marks=True)
                total = spent + cost(counted, rates, request.tokens - request.path.tokens)
                state = tuple(after.warm(beginning, request.at_s) for beginning in beginnings)
                if state not in then or total < then[state][0]:
                    then[state] = total, after
        reached = then
    return min(spent for spent, _ in reached.values())


def plans(messages: int, rules: CacheRules) -> Iterator[list[Mark]]:
    """All that a request can be marked with."""
    lives = range(len(rules.ttls) - 1, -1, -1)
    for count in range(min(messages, rules.breakpoints_max) + 1):
        for places in combinations(range(messages), count):
            for chosen in combinations_with_replacement(lives, count):
                yield [Mark(place, life) for place, life in zip(places, chosen, strict=True)]


def small(chance: random.Random) -> list[Request]:
    """Five requests whose paths part at random, with some tokens at the end of each that no mark can reach."""
    at_s, found = 0.0, []
    for _ in range(5):
        at_s += chance.choice((10.0, 200.0, 400.0, 2_000.0, 4_000.0))
        words = "".join(chance.choice("aab") for _ in range(chance.randint(1, 3)))
        links = tuple([words[: end + 1].encode() for end in range(len(words))])
        path = Path(links, (1_000, 1_500, 4_000)[: len(words)])
        found.append(Request(at_s, path, path.tokens + 7))
    return found
