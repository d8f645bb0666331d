"""Ways to use a provider's prompt cache, from never to ours, and what each costs for the same requests.

Comes in: requests, rules, rates. Goes out: money in numerators of the rates. All ways are counted by the same cache (`policy.provider_cache`); a
request is known only once it comes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from bench.promptcache.optimum import cost
from bench.promptcache.traces import Request
from jevons.core.cache_rules import CacheRates, CacheRules, Style
from jevons.policy.arrivals import Arrivals
from jevons.policy.promptcache import plan
from jevons.policy.provider_cache import Mark, ProviderCache

UNBOUNDED = 10**9
Rule = Callable[[Request], Sequence[Mark]]


@dataclass
class Ours:
    """What the planner came to."""

    cost: int
    cpu_us: float
    """A request, with learning and counting."""


def never(requests: Sequence[Request], rates: CacheRates) -> int:
    return sum(request.tokens for request in requests) * rates.plain


def by(requests: Sequence[Request], rules: CacheRules, rates: CacheRates, rule: Rule) -> int:
    """Every request marked by a rule that looks at nothing else."""
    cache = ProviderCache(rules, UNBOUNDED)
    total = 0
    for request in requests:
        counted = cache.apply(request.path, rule(request), request.at_s)
        total += cost(counted, rates, request.tokens - request.path.tokens)
    return total


def simple(requests: Sequence[Request], rules: CacheRules, rates: CacheRates) -> dict[str, int]:
    """What people do. `automatic`: what the provider does when told nothing, or told only to cache (one mark, at the end). `always`: a mark behind
    tools and system, and one at the end."""
    found = {"never": never(requests, rates), "automatic": by(requests, rules, rates, at_end(0))}
    if rules.style is Style.EXPLICIT:
        for life, ttl in enumerate(rules.ttls):
            found[f"always {ttl.name}"] = by(requests, rules, rates, opening_and_end(life))
    return found


def at_end(life: int) -> Rule:
    return lambda request: [Mark(len(request.path.links) - 1, life)] if request.path.links else []


def opening_and_end(life: int) -> Rule:
    def marks(request: Request) -> Sequence[Mark]:
        return [Mark(request.opening - 1, life)] * (request.opening > 0) + list(at_end(life)(request))

    return marks


def ours(requests: Sequence[Request], rules: CacheRules, rates: CacheRates, arrivals: Arrivals | None = None) -> Ours:
    """The planner, as the gateway asks it; from nothing, unless `arrivals` knows something."""
    if arrivals is None:
        arrivals = Arrivals(UNBOUNDED)
    cache = ProviderCache(rules, UNBOUNDED)
    total, started_s = 0, time.process_time()
    for request in requests:
        path, now_s = request.path, request.at_s
        places = arrivals.seen(path, now_s, None, request.by, request.opening)
        planned = plan(rules, rates, path, cache.warm(path, now_s), places)
        marks = planned.marks if planned.ttl is None else [Mark(0, planned.ttl)]
        counted = cache.apply(path, marks, now_s, only_marks=planned.only_marks)
        total += cost(counted, rates, request.tokens - path.tokens)
    return Ours(total, 1e6 * (time.process_time() - started_s) / len(requests))


def informed(requests: Sequence[Request], rules: CacheRules, rates: CacheRates) -> int:
    """The planner when the same requests come once more: it knows all the odds from the first time, and still not who comes back."""
    arrivals = Arrivals(UNBOUNDED)
    ours(requests, rules, rates, arrivals)
    return ours(requests, rules, rates, arrivals.afresh()).cost


def told(requests: Sequence[Request], rules: CacheRules, rates: CacheRates) -> int:
    """One who is told when each request's end is asked for again, and nothing else: writes it for the shortest lifetime that lasts, or not."""
    gaps: list[float] = []
    passed_s: dict[bytes, float] = {}
    for request in reversed(requests):
        links = request.path.links
        gaps.append(passed_s.get(links[-1], inf) - request.at_s if links else inf)
        passed_s.update(dict.fromkeys(links, request.at_s))
    cache = ProviderCache(rules, UNBOUNDED)
    total = 0
    for request, gap_s in zip(requests, reversed(gaps), strict=True):
        path = request.path
        lasting = [life for life, ttl in enumerate(rules.ttls) if gap_s <= ttl.seconds]
        warm = [Mark(part.position, part.ttl) for part in cache.warm(path, request.at_s)[-1:]]
        marks = [*warm, Mark(len(path.links) - 1, lasting[0])] if lasting else warm
        counted = cache.apply(path, marks, request.at_s, only_marks=True)
        total += cost(counted, rates, request.tokens - path.tokens)
    return total
