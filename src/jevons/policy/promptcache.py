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
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from jevons.core.cache_rules import CacheRates, CacheRules, Style
from jevons.policy.arrivals import Place
from jevons.policy.provider_cache import Mark, Path, Warm
from jevons.policy.returns import within

RETURNS_MAX = 0.98
"""Odds after a return are taken to be at most this: no conversation goes on for ever."""


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
    """Say that nothing but what is marked is to be cached, where the provider would do so by itself."""
    ttl: int | None
    """A lifetime to ask for, where nothing can be marked; None = the default."""
    keyed: bool
    """Send a key that is common to the requests of this conversation."""
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
        return _without(rules, Reason.NONE)
    if path.tokens < rules.min_tokens:
        return _without(rules, Reason.SHORT)
    if rules.style is Style.AUTOMATIC:
        return _automatic(rules, rates, path, warm, places)
    read = warm[-1].position if warm else -1
    allowed = min((part.ttl for part in warm), default=len(rules.ttls) - 1)
    pieces = _pieces(rules, rates, path, read, places, own)
    lives, worth = _lives(pieces, allowed)
    marks = _marks(rules, path, warm, pieces, lives, own)
    saved = (path.ends[read] if warm else 0) * (rates.plain - rates.read) + worth
    ours = not own and rules.by_itself
    if own:
        reason = Reason.PAYS if marks else Reason.CLIENT
    elif any(life >= 0 for life in lives):
        reason = Reason.PAYS
    else:
        reason = Reason.READS if warm else Reason.SELDOM
    return Plan(marks, ours, None, rules.keyed, round(saved / rates.den), reason)


def forfeited_nusd(rates: CacheRates, warm_tokens: int, odds: float = 1.0) -> int:
    """What another model costs more only because its cache is cold: `warm_tokens` would have been read here, with these odds (1 = by this
    very request), and are computed there."""
    return round(warm_tokens * (rates.plain - rates.read) * odds / rates.den)


def worths(rules: CacheRules, rates: CacheRates, place: Place) -> tuple[float, ...]:
    """For each lifetime: what writing a token before this place is worth, in numerators of the rates, less what it costs."""
    saves = rates.plain - rates.read
    later = [min(within(place.later, ttl.seconds), RETURNS_MAX) for ttl in rules.ttls]
    costs = [write - rates.plain for write in rates.writes]
    cold = max(0.0, *(again * saves - (1.0 - again) * cost for again, cost in zip(later, costs, strict=True)))
    return tuple(
        within(place.odds, ttl.seconds) * (saves - cold) / (1.0 - again) - cost
        for ttl, again, cost in zip(rules.ttls, later, costs, strict=True)
    )


def _without(rules: CacheRules, reason: Reason) -> Plan:
    return Plan((), False, None, rules.keyed, 0, reason)


def _automatic(rules: CacheRules, rates: CacheRates, path: Path, warm: Sequence[Warm], places: Sequence[Place]) -> Plan:
    """Nothing to mark; a longer lifetime if that is worth more."""
    worth = worths(rules, rates, places[-1]) if places else (0.0,) * len(rules.ttls)
    best = max(range(len(worth)), key=worth.__getitem__)
    read = path.ends[warm[-1].position] if warm else 0
    saved = read * (rates.plain - rates.read) + (path.tokens - read) * worth[best]
    return Plan((), False, best or None, rules.keyed, round(saved / rates.den), Reason.PROVIDER)


def _pieces(
    rules: CacheRules, rates: CacheRates, path: Path, read: int, places: Sequence[Place], own: Sequence[Mark]
) -> list[_Piece]:
    """What is not warm, cut at the places that are long enough and at the client's marks."""
    last = len(path.ends) - 1
    by_position = {place.position: place for place in places}
    cuts = {place.position for place in places} | {mark.position for mark in own} | {last}
    pieces: list[_Piece] = []
    ahead: tuple[float, ...] = tuple(rates.plain - write for write in rates.writes)  # of what nothing is known of: never read
    for position in sorted((cut for cut in cuts if cut > read and path.ends[cut] >= rules.min_tokens), reverse=True):
        if position in by_position:
            ahead = worths(rules, rates, by_position[position])
        least = max((mark.ttl for mark in own if mark.position >= position), default=-1)
        pieces.append(_Piece(position, 0, ahead, least))
    pieces.reverse()
    before = path.ends[read] if read >= 0 else 0
    for number, piece in enumerate(pieces):
        pieces[number] = piece._replace(tokens=path.ends[piece.position] - before)
        before = path.ends[piece.position]
    return pieces


def _lives(pieces: Sequence[_Piece], allowed: int) -> tuple[list[int], float]:
    """For each piece the lifetime it is written for (-1 = none), never longer than the one before it, and what all that is worth. From the
    last piece backwards: for each lifetime that the one before may have, the best of what follows."""
    best: dict[int, tuple[float, list[int]]] = {life: (0.0, []) for life in range(-1, allowed + 1)}
    for piece in reversed(pieces):
        least = min(piece.least, allowed)
        choices: dict[int, tuple[float, list[int]]] = {}
        for life in range(-1, allowed + 1):
            worth, after = best[life]
            if life >= least:
                gain = piece.tokens * piece.worth[life] if life >= 0 else 0.0
                choices[life] = worth + gain, [life, *after]
        best = {}
        for limit in range(-1, allowed + 1):
            within_limit = [choices[life] for life in choices if life <= limit]
            best[limit] = max(within_limit, key=lambda choice: choice[0], default=(float("-inf"), []))
    worth, lives = best[allowed]
    return lives, worth


def _marks(
    rules: CacheRules,
    path: Path,
    warm: Sequence[Warm],
    pieces: Sequence[_Piece],
    lives: Sequence[int],
    own: Sequence[Mark],
) -> tuple[Mark, ...]:
    """Where lifetimes end, what finds the warm part, and with what is left over: forks, and halves of what is written (it costs nothing more)."""
    room = rules.breakpoints_max - len(own)
    taken = {mark.position for mark in own}
    marks: dict[int, Mark] = {}

    def add(position: int, life: int) -> None:
        if position not in taken and position not in marks and len(marks) < room:
            marks[position] = Mark(position, life)

    written = [(piece, life) for piece, life in zip(pieces, lives, strict=True) if life >= 0]
    for number, (piece, life) in enumerate(written):
        if number + 1 == len(written) or written[number + 1][1] != life:
            add(piece.position, life)
    if warm and not _is_found(rules, path, warm[-1].position, [*taken, *marks]):
        add(warm[-1].position, warm[-1].ttl)
    for piece, life in written:
        add(piece.position, life)
    if written and not own:
        for position in _halves(path, warm[-1].position if warm else -1, written[-1][0].position, rules.min_tokens):
            add(position, next(life for piece, life in written if piece.position >= position))
    return tuple(sorted(marks.values()))


def _is_found(rules: CacheRules, path: Path, position: int, marks: Sequence[int]) -> bool:
    far = rules.lookback_blocks
    return any(mark >= position and (not far or path.blocks_between(position, mark) <= far) for mark in marks)


def _halves(path: Path, first: int, last: int, min_tokens: int) -> list[int]:
    """Places half, a quarter and an eighth into what is written: beginnings are more often in common than ends."""
    start = path.ends[first] if first >= 0 else 0
    found = []
    for part in (2, 4, 8):
        tokens = start + (path.ends[last] - start) // part
        position = max((at for at in range(first + 1, last) if path.ends[at] <= tokens), default=-1)
        if position >= 0 and path.ends[position] >= min_tokens:
            found.append(position)
    return found
