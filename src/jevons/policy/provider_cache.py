"""What a provider's prompt cache holds, as far as it can be believed from what was sent.

Comes in: the rules of a model's cache, prompts as links with their lengths, the marks each carried, when it was sent. Goes out: what is warm, and how
many tokens of a request are read, written and plain. The planner, the bench and the gateway believe the same.
Does not know: prices, why marks stand where they stand, clocks (every instant is given), what the provider really did.

Two beliefs, both the careful ones where the documentation leaves it open. A token stays for as long as was last paid for it: what is written
for an hour behind five minutes' worth is lost with it. Reading a prefix begins the lifetime of all of it anew, each part for its own.
(A provider that keeps whole prefixes for the longest lifetime in them does more than is counted on.)
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from jevons.core.cache_rules import CacheRules, Style


class Path(msgspec.Struct, frozen=True):
    """A prompt: for each message, tools and system first, what stands for all up to its end."""

    links: tuple[bytes, ...]
    """Equal links = equal beginnings (core/chain.py)."""
    ends: tuple[int, ...]
    """Tokens up to its end."""
    blocks: tuple[int, ...] = ()
    """Content blocks up to its end, which a look-back counts; () = each message is one."""

    def __post_init__(self) -> None:
        assert len(self.links) == len(self.ends) and len(self.blocks) in (0, len(self.links))

    @property
    def tokens(self) -> int:
        return self.ends[-1] if self.ends else 0

    def blocks_between(self, first: int, last: int) -> int:
        """From the end of one message to the end of another."""
        return self.blocks[last] - self.blocks[first] if self.blocks else last - first


class Mark(NamedTuple):
    """Cache up to the end of this message, for that lifetime."""

    position: int
    ttl: int
    """Which of the model's lifetimes."""


class Warm(NamedTuple):
    """A part of a path that is cached, up to the end of this message."""

    position: int
    ttl: int
    expires_s: float


class Counted(NamedTuple):
    """Tokens of one request, by what the cache did with them; they sum to the request's."""

    read: int
    written: tuple[int, ...]
    """For each of the model's lifetimes."""
    plain: int


class _Part:
    """What one mark had cached: the tokens from the end of the part before it."""

    __slots__ = ("before", "expires_s", "position", "ttl")

    def __init__(self, position: int, ttl: int, before: "_Part | None") -> None:
        self.position = position
        self.ttl = ttl
        self.before = before
        """It is of no use without."""
        self.expires_s = 0.0

    def chain(self) -> "list[_Part]":
        """It and those that it continues, itself first."""
        found = [self]
        while found[-1].before is not None:
            found.append(found[-1].before)
        return found


class ProviderCache:
    """One model's cache. Bounded: the parts that were read or written longest ago are forgotten. Not thread-safe."""

    def __init__(self, rules: CacheRules, parts_max: int) -> None:
        self.rules = rules
        self._parts_max = parts_max
        self._parts: OrderedDict[bytes, _Part] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parts)

    def warm(self, path: Path, now_s: float) -> tuple[Warm, ...]:
        """What is cached of a path, shortest first."""
        parts = self._deepest(path, len(path.links) - 1, now_s)
        return tuple([Warm(part.position, part.ttl, part.expires_s) for part in reversed(parts)])

    def apply(self, path: Path, marks: Sequence[Mark], now_s: float, *, only_marks: bool = False) -> Counted:
        """A request was sent. `only_marks`: it said that nothing else is to be cached. Marks as the provider takes them: a lifetime is at least
        that of any later mark."""
        marks = self._taken(path, marks, now_s, only_marks)
        parts = self._found(path, marks, now_s)
        part = parts[0] if parts else None
        read = end = self._matched(path.ends[part.position]) if part else 0
        if part is not None:
            self._parts.move_to_end(path.links[part.position])
        for each in parts:
            self._live(each, now_s)
        written = [0] * len(self.rules.ttls)
        for mark in marks:
            if part is None or mark.position > part.position:
                part = self._parts[path.links[mark.position]] = _Part(mark.position, mark.ttl, part)
                self._parts.move_to_end(path.links[mark.position])
                self._live(part, now_s)
                written[mark.ttl] += path.ends[mark.position] - end
                end = path.ends[mark.position]
        while len(self._parts) > self._parts_max:
            self._parts.popitem(last=False)
        return Counted(read, tuple(written), path.tokens - end)

    def forget(self, path: Path) -> None:
        """Nothing of a path was read although it was believed warm: it is not."""
        for link in path.links:
            self._parts.pop(link, None)

    def _deepest(self, path: Path, last: int, now_s: float) -> list[_Part]:
        """The longest part up to some message that is warm, and those that it continues; [] = none is."""
        links, get = path.links, self._parts.get
        for position in range(last, -1, -1):
            part = get(links[position])
            if part is not None and part.expires_s >= now_s:
                parts = part.chain()
                if all(each.expires_s >= now_s for each in parts):
                    return parts
        return []

    def _found(self, path: Path, marks: Sequence[Mark], now_s: float) -> list[_Part]:
        """The longest part that one of the marks finds, and those that it continues."""
        if not marks:
            return []
        last = marks[-1].position
        parts = self._deepest(path, last, now_s)
        while parts and not finds(self.rules, path, marks, parts[0].position):
            parts = self._deepest(path, parts[0].position - 1, now_s)
        return parts

    def _taken(self, path: Path, marks: Iterable[Mark], now_s: float, only_marks: bool) -> list[Mark]:
        """In order, long enough, as the provider reads them."""
        rules = self.rules
        if rules.style is Style.NONE or not path.links:
            return []
        if rules.style is Style.AUTOMATIC:
            return self._all(path, max((mark.ttl for mark in marks), default=0), now_s)
        if rules.by_itself and not only_marks:
            marks = [*marks, Mark(len(path.links) - 1, 0)]
        longest = 0
        taken: dict[int, Mark] = {}
        for mark in sorted(marks, reverse=True):
            longest = max(longest, mark.ttl)
            if path.ends[mark.position] >= rules.min_tokens:
                taken.setdefault(mark.position, Mark(mark.position, longest))
        return sorted(taken.values())

    def _all(self, path: Path, ttl: int, now_s: float) -> list[Mark]:
        """Every message behind what is warm."""
        warm = self._deepest(path, len(path.links) - 1, now_s)
        first = warm[0].position if warm else bisect_left(path.ends, self.rules.min_tokens)
        return [Mark(position, ttl) for position in range(first, len(path.links))]

    def _matched(self, end: int) -> int:
        """A provider that finds beginnings by itself does so in steps."""
        return end - end % self.rules.step_tokens if self.rules.style is Style.AUTOMATIC else end

    def _live(self, part: _Part, now_s: float) -> None:
        if self.rules.refreshes or not part.expires_s:
            part.expires_s = now_s + self.rules.ttls[part.ttl].seconds


def finds(rules: CacheRules, path: Path, marks: Sequence[Mark], position: int) -> bool:
    """Does one of the marks find what is cached up to this message?"""
    far = rules.lookback_blocks
    return any(mark.position >= position and (not far or path.blocks_between(position, mark.position) <= far) for mark in marks)
