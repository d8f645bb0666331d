"""What a provider's prompt cache holds, as far as it can be believed from what was sent.

Comes in: the rules of a model's cache, prompts as links with their lengths, the marks each carried, when it was sent. Goes out: what is warm, and how
many tokens of a request are read, written and plain. The planner, the bench and the gateway believe the same.
Does not know: prices, why marks stand where they stand, clocks (every instant is given), what the provider really did.

Two beliefs, both the careful ones where the documentation leaves it open. A token stays for as long as was last paid for it: what is written
for an hour behind five minutes' worth is lost with it. Reading a prefix begins the lifetime of all of it anew, each part for its own.
(A provider that keeps whole prefixes for the longest lifetime in them does more than is counted on.)
"""

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
    __slots__ = ("before", "expires_s", "ttl")

    def __init__(self, ttl: int, expires_s: float, before: bytes | None) -> None:
        self.ttl = ttl
        self.expires_s = expires_s
        self.before = before
        """The part that it continues; it is of no use without."""


class ProviderCache:
    """One model's cache. Bounded: the parts that were touched longest ago are forgotten. Not thread-safe."""

    def __init__(self, rules: CacheRules, parts_max: int) -> None:
        self.rules = rules
        self._parts_max = parts_max
        self._parts: OrderedDict[bytes, _Part] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parts)

    def warm(self, path: Path, now_s: float) -> tuple[Warm, ...]:
        """What is cached of a path, shortest first."""
        parts, found = self._parts, []
        whole: set[bytes | None] = {None}
        for position, link in enumerate(path.links):
            part = parts.get(link)
            if part is not None and part.expires_s >= now_s and part.before in whole:
                whole.add(link)
                found.append(Warm(position, part.ttl, part.expires_s))
        return tuple(found)

    def apply(self, path: Path, marks: Sequence[Mark], now_s: float, *, only_marks: bool = False) -> Counted:
        """A request was sent. `only_marks`: it said that nothing else is to be cached. Marks as the provider takes them: a lifetime is at least
        that of any later mark."""
        marks = self._taken(path, marks, only_marks)
        warm = [each for each in self.warm(path, now_s) if self._found(path, marks, each.position)]
        for part in warm:
            self._touch(path.links[part.position], now_s)
        position = warm[-1].position if warm else -1
        read = end = self._matched(path.ends[position]) if warm else 0
        before = path.links[position] if warm else None
        written = [0] * len(self.rules.ttls)
        for mark in marks:
            if mark.position > position:
                link = path.links[mark.position]
                self._parts[link] = _Part(mark.ttl, 0.0, before)
                self._touch(link, now_s)
                written[mark.ttl] += path.ends[mark.position] - end
                end, before = path.ends[mark.position], link
        while len(self._parts) > self._parts_max:
            self._parts.popitem(last=False)
        return Counted(read, tuple(written), path.tokens - end)

    def forget(self, path: Path) -> None:
        """Nothing of a path was read although it was believed warm: it is not."""
        for link in path.links:
            self._parts.pop(link, None)

    def _taken(self, path: Path, marks: Iterable[Mark], only_marks: bool) -> list[Mark]:
        """In order, long enough, as the provider reads them."""
        rules = self.rules
        if rules.style is Style.NONE or not path.links:
            return []
        if rules.style is Style.AUTOMATIC:
            longest = max((mark.ttl for mark in marks), default=0)
            marks = [Mark(position, longest) for position in range(len(path.links))]
        elif rules.by_itself and not only_marks:
            marks = [*marks, Mark(len(path.links) - 1, 0)]
        longest = 0
        taken: dict[int, Mark] = {}
        for mark in sorted(marks, reverse=True):
            longest = max(longest, mark.ttl)
            if path.ends[mark.position] >= rules.min_tokens:
                taken.setdefault(mark.position, Mark(mark.position, longest))
        return sorted(taken.values())

    def _found(self, path: Path, marks: Sequence[Mark], position: int) -> bool:
        """Is what ends here found from a mark?"""
        far = self.rules.lookback_blocks
        if not far:
            return bool(marks) and marks[-1].position >= position
        return any(0 <= path.blocks_between(position, mark.position) <= far for mark in marks)

    def _matched(self, end: int) -> int:
        """A provider that finds beginnings by itself does so in steps."""
        return end - end % self.rules.step_tokens if self.rules.style is Style.AUTOMATIC else end

    def _touch(self, link: bytes, now_s: float) -> None:
        part = self._parts[link]
        if self.rules.refreshes or not part.expires_s:
            part.expires_s = now_s + self.rules.ttls[part.ttl].seconds
        self._parts.move_to_end(link)
