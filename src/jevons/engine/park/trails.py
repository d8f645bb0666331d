"""Which parked state a conversation had: from the links of a message chain to block keys, before a single token is counted.

Comes in: a tenant's tag, the links of a request (core.chain: 16 bytes per message), and the keys of the blocks its state was cut into.
Goes out: for the links of a later request, the state of the deepest link that is known. A trail is a guess: whoever follows it compares
tokens, so a lost or stale one costs time and never a wrong answer. May be used from many threads.
Does not know: whether the blocks are still there, what a link was made of.
"""

from collections import OrderedDict
from collections.abc import Container, Sequence
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

import msgspec

from jevons.core.limits import PARK_TRAIL_KEYS_MAX, PARK_TRAIL_LINKS_MAX
from jevons.engine.park.sealing import NAME_BYTES

FILE = b"trails".ljust(NAME_BYTES, b"\0")
"""The name under which a tenant's trails stand beside its blocks."""


class Trail(NamedTuple):
    """A state: the keys of its blocks from the first token on, and how many tokens it had (its last block may be cut short)."""

    keys: tuple[bytes, ...]
    tokens: int


class Match(NamedTuple):
    """The state of the deepest known link."""

    trail: Trail
    links: int
    """How many of the asked links lead to it, from the first."""
    tokens: int | None
    """Tokens of the state that these links stand for: all of them if it was left at the last link; else as learnt; None = not known."""


class _Held(msgspec.Struct, eq=False):
    """A trail, and the links that lead to it now."""

    tag: bytes
    trail: Trail
    last: bytes
    links: set[bytes]


class _Filed(msgspec.Struct, array_like=True):
    """A trail in a tenant's file: keys end to end, then link and depth (-1 = not known) of each link."""

    keys: bytes
    tokens: int
    last: bytes
    links: list[tuple[bytes, int]]


_filed = msgspec.msgpack.Decoder(list[_Filed])


class Trails:
    """Bounded by links and by keys in all; what was used longest ago is let go."""

    def __init__(self, links_max: int = PARK_TRAIL_LINKS_MAX, keys_max: int = PARK_TRAIL_KEYS_MAX) -> None:
        self._links_max = links_max
        self._keys_max = keys_max
        self._lock = Lock()
        self._of: dict[tuple[bytes, bytes], _Held] = {}
        self._depths: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()
        self._order: OrderedDict[_Held, None] = OrderedDict()
        self._keys = 0
        self._changed: set[bytes] = set()

    def __len__(self) -> int:
        """Links that lead somewhere."""
        return len(self._of)

    def remember(self, tag: bytes, links: Sequence[bytes], keys: Sequence[bytes], tokens: int) -> None:
        """Every link leads to this state from now on; the last stands for all of its tokens, the answer that followed included."""
        if not links or not keys:
            return
        with self._lock:
            self._hold(tag, Trail(tuple(keys), tokens), links[-1], links[-self._links_max :])
            self._changed.add(tag)

    def learn(self, tag: bytes, link: bytes, tokens: int) -> None:
        """The messages up to this link are so many tokens: what has only them in common with a state needs no more of it."""
        with self._lock:
            self._learn(tag, link, tokens)

    def find(self, tag: bytes, links: Sequence[bytes]) -> Match | None:
        """The deepest first."""
        with self._lock:
            for count in range(len(links), 0, -1):
                link = links[count - 1]
                held = self._of.get((tag, link))
                if held is not None:
                    self._order.move_to_end(held)
                    tokens = held.trail.tokens if link == held.last else self._depths.get((tag, link))
                    return Match(held.trail, count, tokens)
        return None

    def forget(self, tag: bytes) -> None:
        """Everything of a tenant."""
        with self._lock:
            for held in [held for held in self._order if held.tag == tag]:
                self._drop(held)
            for known in [known for known in self._depths if known[0] == tag]:
                del self._depths[known]
            self._changed.discard(tag)

    def changed(self) -> dict[bytes, bytes]:
        """Everything of each tenant of whom something was remembered since this was asked last, for `restore`."""
        with self._lock:
            changed, self._changed = self._changed, set()
            rows: dict[bytes, list[_Filed]] = {tag: [] for tag in changed}
            for held in self._order:
                if held.tag in changed:
                    links = [(link, self._depths.get((held.tag, link), -1)) for link in held.links]
                    rows[held.tag].append(_Filed(b"".join(held.trail.keys), held.trail.tokens, held.last, links))
        return {tag: msgspec.msgpack.encode(filed) for tag, filed in rows.items()}

    def restore(self, tag: bytes, filed: bytes, present: Container[bytes]) -> list[Trail]:
        """Take back what `changed` gave, but nothing that is known newer, and no state whose first block is not `present`.

        Returns the states, the one used last at the end. Bytes of another kind are passed over: what is lost costs time."""
        restored = []
        with suppress(msgspec.DecodeError), self._lock:
            for row in _filed.decode(filed):
                keys = tuple(row.keys[at : at + NAME_BYTES] for at in range(0, len(row.keys), NAME_BYTES))
                links = [link for link, _ in row.links if (tag, link) not in self._of]
                if keys and keys[0] in present and links:
                    self._hold(tag, Trail(keys, row.tokens), row.last, links)
                    restored.append(Trail(keys, row.tokens))
                    for link, depth in row.links:
                        if depth >= 0:
                            self._learn(tag, link, depth)
        return restored

    def _learn(self, tag: bytes, link: bytes, tokens: int) -> None:
        self._depths[tag, link] = tokens
        self._depths.move_to_end((tag, link))
        if len(self._depths) > self._links_max:
            self._depths.popitem(last=False)

    def _hold(self, tag: bytes, trail: Trail, last: bytes, links: Sequence[bytes]) -> None:
        held = _Held(tag, trail, last, set(links))
        for link in held.links:
            before = self._of.get((tag, link))
            if before is not None:
                before.links.discard(link)
                if not before.links:
                    self._drop(before)
            self._of[tag, link] = held
        self._order[held] = None
        self._keys += len(trail.keys)
        while len(self._of) > self._links_max or self._keys > self._keys_max:
            self._drop(next(iter(self._order)))

    def _drop(self, held: _Held) -> None:
        del self._order[held]
        self._keys -= len(held.trail.keys)
        for link in held.links:
            del self._of[held.tag, link]
