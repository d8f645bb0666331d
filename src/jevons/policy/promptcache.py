"""Where to mark a prompt for the provider's cache, and for how long: the marks that promise the lowest bill.

Comes in: the rules and rates of the model's cache, the prompt's path, what of it is warm, the odds that places on it are asked for again, and the marks
that the client set. Goes out: marks to add, why, and what they are expected to save. Does not know: clocks, requests, how marks are written.

What is warm is read, whatever follows: reading costs less than computing. What is new may be written for one of the model's lifetimes, or left
plain. A token written for lifetime k costs c_k = write_k - plain more now. If it is asked for again in time, which happens with probability P_k, it saves
a = plain - read then, and is warm for the next time. Let P'_k be the odds after a return, the same each time. Kept up for ever, a warm token is worth
a_k = (a - g) / (1 - P'_k) when it is asked for, where g is what a cold one is worth then, since it can be written anew:
g = max(0, max_k(P'_k · a - (1 - P'_k) · c_k)): each time it pays off or the premium is lost. So writing is worth P_k · a_k - c_k a token: the first line of
the optimality equation of a two-state renewal process [Ross, Applied Probability Models with Optimization Applications, 1970, ch. 6].

A prompt is cut where prompts have parted and at its end. What stands before a fork is asked for by all that pass there. The lifetime may only become
shorter along a prompt, and once plain it stays so; within that the best is found exactly, for each piece at its own odds.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from jevons.core.cache_rules import CacheRates, CacheRules, Style
from jevons.policy.arrivals import Place
from jevons.policy.provider_cache import Mark, Path, Warm, finds
from jevons.policy.returns import within

RETURNS_MAX = 0.98
"""Odds after a return are taken to be at most this: no conversation goes on for ever."""

KEPT = 0.9
"""A fork that is passed again within its lifetime with these odds is taken to be kept warm by those who pass."""


class Reason(enum.Enum):
    """Why a plan is as it is, for people."""

    PAYS = "likely enough to be sent again in time to pay for writing it"
    READS = "what is cached is read; to write the rest would cost more than it is likely to save"
    SELDOM = "too unlikely to be sent again in time to pay for writing it"
    SHORT = "shorter than the model caches"
    CLIENT = "the client's own marks leave nothing to add"
    PROVIDER = "the provider caches by itself"
    NONE = "the model has no prompt cache, or no price for it is known"


class Plan(msgspec.Struct, frozen=True):
    """What to add to a request."""

    marks: tuple[Mark, ...]
    """Ours, in order of position; the client's stand besides."""
    only_marks: bool
    """Say that nothing but what is marked is to be cached, where the provider would mark the end by itself. Where the end is worth a mark it
    may: nothing is said, and no mark of ours stands there."""
    ttl: int | None
    """A lifetime to ask for, where nothing can be marked; None = the default."""
    keyed: bool
    """Send a key that is common to requests that begin alike."""
    expected_nusd: int
    """What reads and writes are likely to save in the end, against a request of which nothing is cached."""
    reason: Reason


class _Piece(NamedTuple):
    """New tokens up to a place, and what writing them is worth a token, for each lifetime."""

    position: int
    tokens: int
    worth: tuple[float, ...]
    least: int
    """The client has them written at least for this lifetime; -1 = it has not."""
    most: int
    """No longer: here or before is a mark of the client's."""


def plan(
    rules: CacheRules,
    rates: CacheRates | None,
    path: Path,
    warm: Sequence[Warm],
    places: Sequence[Place],
    own: Sequence[Mark] = (),
) -> Plan:
    """`warm` as `ProviderCache.warm` gives it, `places` as `Arrivals.seen` does, `own` the client's marks."""
    if rules.style is Style.NONE or rates is None:
        return _without(Reason.NONE)
    if path.tokens < rules.min_tokens:
        return _without(Reason.SHORT)
    if rules.style is Style.AUTOMATIC:
        return _automatic(rules, rates, path, warm, places)
    read = warm[-1].position if warm else -1
    pieces = _pieces(rules, rates, path, read, places, own)
    lives, worth = _lives(pieces, _allowed(rules, warm, places))
    written = [(piece.position, life) for piece, life in zip(pieces, lives, strict=True) if life >= 0]
    marks = _marks(rules, path, warm, written, own)
    saved = (path.ends[read] if warm else 0) * (rates.plain - rates.read) + worth
    if own and not marks:
        reason = Reason.CLIENT
    elif written:
        reason = Reason.PAYS
    else:
        reason = Reason.READS if warm else Reason.SELDOM
    only_marks = rules.by_itself and not own
    end = Mark(len(path.links) - 1, 0)
    if only_marks and end in marks:
        marks, only_marks = tuple([mark for mark in marks if mark != end]), False
    return Plan(marks, only_marks, None, rules.keyed, round(saved / rates.den), reason)


def forfeited_nusd(rates: CacheRates, warm_tokens: int, odds: float = 1.0) -> int:
    """What another model costs more only because its cache is cold: `warm_tokens` would have been read here, with these odds (1 = by this
    very request), and are computed there."""
    return round(warm_tokens * (rates.plain - rates.read) * odds / rates.den)


def worths(rules: CacheRules, rates: CacheRates, place: Place) -> tuple[float, ...]:
    """For each lifetime: what writing a token before this place is worth, in numerators of the rates, less what it costs."""
    saves, cold = rates.plain - rates.read, 0.0
    ahead: list[tuple[float, float, int]] = []
    for ttl, write in zip(rules.ttls, rates.writes, strict=True):
        again, cost = min(within(place.later, ttl.seconds), RETURNS_MAX), write - rates.plain
        cold = max(cold, again * saves - (1.0 - again) * cost)
        ahead.append((within(place.odds, ttl.seconds), again, cost))
    return tuple([soon * (saves - cold) / (1.0 - again) - cost for soon, again, cost in ahead])


def _without(reason: Reason) -> Plan:
    return Plan((), False, None, False, 0, reason)


def _automatic(rules: CacheRules, rates: CacheRates, path: Path, warm: Sequence[Warm], places: Sequence[Place]) -> Plan:
    """Nothing to mark; a longer lifetime if that is worth more."""
    worth = worths(rules, rates, places[-1]) if places else (0.0,) * len(rules.ttls)
    best = max(range(len(worth)), key=worth.__getitem__)
    read = path.ends[warm[-1].position] if warm else 0
    saved = read * (rates.plain - rates.read) + (path.tokens - read) * worth[best]
    return Plan((), False, best or None, rules.keyed, round(saved / rates.den), Reason.PROVIDER)


def _allowed(rules: CacheRules, warm: Sequence[Warm], places: Sequence[Place]) -> int:
    """The longest lifetime that is of use behind what is warm: that of its parts, but for those that others keep warm."""
    allowed = len(rules.ttls) - 1
    deepest = {part.ttl: part.position for part in warm if part.ttl < allowed}
    for ttl, position in deepest.items():
        seconds = rules.ttls[ttl].seconds
        if not any(place.position >= position and within(place.odds, seconds) >= KEPT for place in places[:-1]):
            allowed = min(allowed, ttl)
    return allowed


def _pieces(
    rules: CacheRules, rates: CacheRates, path: Path, read: int, places: Sequence[Place], own: Sequence[Mark]
) -> list[_Piece]:
    """What is not warm, cut at the places that are long enough and at the client's marks."""
    cuts: dict[int, Place | None] = {mark.position: None for mark in own}
    cuts.update([(place.position, place) for place in places])
    pieces: list[_Piece] = []
    begin = path.ends[read] if read >= 0 else 0
    for position in sorted(cuts):
        if position > read and path.ends[position] >= rules.min_tokens:
            place = cuts[position] or next((place for place in places if place.position > position), None)
            worth = worths(rules, rates, place) if place else tuple([rates.plain - write for write in rates.writes])
            most = min([mark.ttl for mark in own if mark.position <= position], default=len(rules.ttls) - 1)
            least = min(max([mark.ttl for mark in own if mark.position >= position], default=-1), most)
            pieces.append(_Piece(position, path.ends[position] - begin, worth, least, most))
            begin = path.ends[position]
    return pieces


def _lives(pieces: Sequence[_Piece], allowed: int) -> tuple[list[int], float]:
    """For each piece the lifetime it is written for (-1 = none), never longer than the one before it, and what all that is worth. From the
    last piece backwards: for each lifetime that the one before may have, the best of what follows."""
    best: list[tuple[float, list[int]]] = [(0.0, [])] * (allowed + 2)
    for piece in reversed(pieces):
        worth, lives = best[0]
        choice = (worth, [-1, *lives]) if piece.least < 0 else (-inf, [])
        row = [choice]
        for life in range(allowed + 1):
            worth, lives = best[life + 1]
            worth += piece.tokens * piece.worth[life]
            if min(piece.least, allowed) <= life <= piece.most and worth > choice[0]:
                choice = (worth, [life, *lives])
            row.append(choice)
        best = row
    return best[-1][1], best[-1][0]


def _marks(
    rules: CacheRules, path: Path, warm: Sequence[Warm], written: Sequence[tuple[int, int]], own: Sequence[Mark]
) -> tuple[Mark, ...]:
    """Where lifetimes end, what finds the warm part, and with what is left over: forks, and parts of what is written (it costs nothing more).
    `written`: (position, lifetime) of the pieces."""
    read = warm[-1].position if warm else -1
    wanted = [Mark(position, life) for life, position in {life: position for position, life in written}.items()]
    if warm and not finds(rules, path, [*own, *wanted], read):
        wanted.append(Mark(read, _life(read, warm[-1].ttl, [*own, *wanted])))
    wanted += [Mark(position, life) for position, life in written]
    if written and not own:
        wanted += _between(rules, path, read, written)
    marks: dict[int, Mark] = {}
    taken = {mark.position for mark in own}
    for mark in wanted:
        if len(marks) + len(own) < rules.breakpoints_max and mark.position not in taken:
            marks.setdefault(mark.position, mark)
    return tuple(sorted(marks.values()))


def _life(position: int, ttl: int, marks: Sequence[Mark]) -> int:
    """Of a mark among others: no shorter than a later one, no longer than an earlier one. (What is warm keeps its life; this is for order.)"""
    ttl = max([ttl, *[mark.ttl for mark in marks if mark.position > position]])
    return min([ttl, *[mark.ttl for mark in marks if mark.position < position]])


def _between(rules: CacheRules, path: Path, read: int, written: Sequence[tuple[int, int]]) -> Iterator[Mark]:
    """Half, a quarter and an eighth into what is written: beginnings are more often in common than ends."""
    ends, last = path.ends, written[-1][0]
    begin = ends[read] if read >= 0 else 0
    for part in (2, 4, 8):
        position = bisect_right(ends, begin + (ends[last] - begin) // part) - 1
        if position > read and ends[position] - begin >= rules.min_tokens:
            yield Mark(position, next(life for end, life in written if end >= position))
