"""In which order those who may answer are tried: by the operator's order or weights, by how they stand, and where the prompt is warm.

Comes in: candidates with weight and standing, a number that spreads them, who answered last. Goes out: their order. Pure: the spreading number is
the caller's, so that one run is always spread the same way. Does not know: upstreams, prices, clocks.
"""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from jevons.core.limits import HEDGE_BUDGET_PCT
from jevons.policy.accounts import Account
from jevons.policy.breaker import Standing
from jevons.policy.rules import MONEY


class Candidate(NamedTuple):
    """Who may be tried."""

    name: str
    """What its place in the spread is drawn by: the same for the same upstream, credential and model."""
    spread: str
    """Candidates that follow each other with one of these share calls by their weights."""
    model: str
    """Whom it stands for. Among those who stand for the first one's, the one that is kept may go before it."""
    weight: float
    """Its share; 0 = it waits in its place, behind those that have a weight."""
    standing: Standing
    until_ms: int
    """When that may be better."""


def ordered(candidates: Sequence[Candidate], seed: bytes, kept: str = "") -> list[int]:
    """Places of the candidates, in the order in which they are to be tried. `kept`: the name of the one that is to go on, if it may be called."""
    weighted = any(candidate.weight for candidate in candidates)
    places = _spread(candidates, seed) if weighted else list(range(len(candidates)))
    first = candidates[0].model

    def rank(place: int) -> tuple[int, int, int]:
        candidate = candidates[place]
        standing = candidate.standing
        if standing <= Standing.TRYING:  # whoever may be tried again is tried in its turn: nothing else shows whether it answers
            goes_on = candidate.name == kept and candidate.model == first and standing is Standing.READY
            return (0, 0 if goes_on else 1, 0)
        return (standing, 0, candidate.until_ms)

    return sorted(places, key=rank)


def stays(forfeited_nusd: int, dearer_nusd: int) -> bool:
    """Is it worth to go on with whom a run was answered by? `forfeited_nusd`: what another would compute that this one reads from its prompt cache;
    `dearer_nusd`: by how much this one costs more than the other otherwise."""
    return forfeited_nusd > max(0, dearer_nusd)


def runs_short(path: Sequence[Account]) -> bool:
    """Is so little left of any limit on money that nothing is to be spent for speed?"""
    return any(
        account.enforced
        and account.rule.measure in MONEY
        and account.limit is not None
        and (account.posted + account.held) * 100 >= HEDGE_BUDGET_PCT * account.limit
        for account in path
    )


def _spread(candidates: Sequence[Candidate], seed: bytes) -> list[int]:
    """Those who share are drawn without replacement in proportion to its weights, by exponential keys -ln(u)/w [Efraimidis and Spirakis, Information Processing
    Letters 97, 2006]; u comes of the seed and the candidate's own name, so that who is added or lost moves nobody else [rendezvous hashing:
    Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6, 1998]."""
    spread: list[int] = []
    begin = 0
    while begin < len(candidates):
        end = begin
        while end < len(candidates) and candidates[end].spread == candidates[begin].spread:
            end += 1
        group = range(begin, end)
        drawn = sorted(
            (-math.log(_chance(seed, candidates[p].name)) / candidates[p].weight, p) for p in group if candidates[p].weight
        )
        spread += [place for _, place in drawn] + [place for place in group if not candidates[place].weight]
        begin = end
    return spread


def _chance(seed: bytes, name: str) -> float:
    """In (0, 1]."""
    drawn = int.from_bytes(blake2b(name.encode(), digest_size=7, key=seed[:64]).digest())
    return (drawn + 1) / 2**56
