"""The book-keeping of one tier of the park: which blocks it holds, which come in, which go.

Comes in: blocks by key, size and place in their conversation, keys that are asked for, seconds of a clock that never goes back (it is
given). Goes out: how many leading keys are held, what was admitted, what had to go. Nothing is held whose predecessor is not, so what goes
first is always the end of a path. Decisions are those of `policy.park`.
Does not know: what is in a block, memory, disks, tenants (a key is a tenant's own: equal keys never are of two).

The blocks that one call touched are one path: they age together, and the deepest of them is the next to go. A class of the policy has a heap
of its paths, the oldest on top, so that a decision looks at one path per class: O(classes + log paths).
What went, or was never let in, is remembered for a while by its key alone, else one could only learn from what was kept.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from jevons.policy.park import AGE_EDGES_S, BINS, BRANCHES_SHARED, Learnt, Policy, Prefill, admits

REMEMBERED_PER_HELD = 4
REMEMBERED_MIN = 4_096
"""Keys remembered of blocks that are not held: so many for each that is, and at least so many. A key with its entry takes 300 bytes, a
block a thousand times as much."""
STALE_MAX = 64
"""So many stale paths may stand in a heap besides two for each block that is known."""
STATE_S = 2.0
"""The blocks of one state are offered within so many seconds, and so are those that a request has just looked up; a person's next turn
takes longer to write."""


class Block(msgspec.Struct, frozen=True):
    """A piece of a conversation's state."""

    key: bytes
    parent: bytes | None
    """Key of the block before it; None for the first."""
    size_bytes: int
    tokens: int
    depth: int
    """Tokens before it."""
    state_tokens: int = 0
    """Tokens of the whole state it is offered with, as far as they are known."""


class Offered(NamedTuple):
    """What became of an offer."""

    admitted: bool
    evicted: list[bytes]
    """Keys that had to go, children before parents; also if the offer was refused in the end."""


class _Path:
    """Blocks that one call touched, from the first of a conversation to the deepest."""

    __slots__ = (
        "before",
        "bin",
        "held",
        "joined",
        "kind",
        "known",
        "last",
        "looked_up",
        "number",
        "queued",
        "tokens",
        "touched_s",
        "turn",
    )

    def __init__(self, touched_s: float, number: int, looked_up: bool) -> None:
        self.touched_s = touched_s
        self.number = number
        self.turn = 0
        """How often the conversation had gone on."""
        self.looked_up = looked_up
        self.tokens = 0
        self.before = 0
        """Tokens of what was known of the conversation; 0 = nothing that is its own."""
        self.kind = 0
        self.bin = 0
        self.known = 0
        """Blocks that are still of this path, held or not."""
        self.joined = 0
        """Blocks that ever were."""
        self.last: _Entry | None = None
        self.held: list[_Entry] = []
        """By depth; with some that left meanwhile."""
        self.queued = -1
        """The class in whose heap it is."""

    def end(self) -> "_Entry | None":
        """The deepest block that is held."""
        held = self.held
        while held and not (held[-1].held and held[-1].path is self):
            held.pop()
        return held[-1] if held else None


NOWHERE = _Path(0.0, -1, False)
"""Where a block is before its first path. What it counts means nothing."""


class _Entry:
    """What is known of a block."""

    __slots__ = ("block", "branches", "children", "children_held", "held", "parent", "path")

    def __init__(self, block: Block, parent: "_Entry | None") -> None:
        self.block = block
        self.parent = parent
        self.path = NOWHERE
        self.held = False
        self.children: dict[bytes, _Entry] = {}
        self.children_held = 0
        self.branches = 0
        """Successors it ever had."""

    @property
    def end(self) -> int:
        """Tokens up to its last."""
        return self.block.depth + self.block.tokens


def _chain(entry: _Entry) -> list[_Entry]:
    """From the first of the conversation to it."""
    chain = [entry]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    return chain[::-1]


class Shelf:
    """One tier. Not thread-safe."""

    def __init__(
        self, capacity_bytes: int, policy: Policy | None = None, prefill: Prefill | None = None, price: float = 0.0
    ) -> None:
        """`price`: seconds of prefill that a byte must save per second to be let in (`policy.park.holding_price`); 0 = the room is there
        anyway."""
        self.capacity_bytes = capacity_bytes
        self.bytes_held = 0
        self._policy = policy or Learnt()
        self._prefill = prefill or Prefill()
        self._price = price
        self._known: dict[bytes, _Entry] = {}
        self._gone: OrderedDict[bytes, None] = OrderedDict()
        """Known and not held, in the order in which they went."""
        self._heaps: dict[int, list[tuple[float, int, _Path]]] = {}
        """Per class: the paths whose end may go, oldest first. What is stale is found when it comes to the top."""
        self._ages: list[deque[_Path]] = [deque() for _ in range(BINS - 1)]
        """Per age bin, but the last, which none leaves: the paths in it, oldest first."""
        self._now_s = 0.0
        self._paths = 0
        self._going: _Path | None = None
        self._going_s = 0.0

    def __contains__(self, key: bytes) -> bool:
        entry = self._known.get(key)
        return entry is not None and entry.held

    def __len__(self) -> int:
        return len(self._known) - len(self._gone)

    def leading(self, keys: Sequence[bytes]) -> int:
        """How many of the keys, from the first on, are held. Only looks."""
        return next((count for count, key in enumerate(keys) if key not in self), len(keys))

    def lookup(self, keys: Sequence[bytes], now_s: float) -> int:
        """As `leading`, for a request that takes up what is found: marks it as used, and teaches the policy also what of the rest was held
        once."""
        self._advance(now_s)
        asked: list[_Entry] = []
        for key in keys:
            entry = self._known.get(key)
            if entry is None:
                break
            asked.append(entry)
        if asked:
            self._learn(asked)
            self._open(asked, True)
        return self.leading(keys)

    def offer(self, block: Block, now_s: float) -> Offered:
        """A block to be held; those of one state within `STATE_S`, each after its parent. Refused if its parent is not held, or if it is worth
        less than what would have to go."""
        self._advance(now_s)
        entry = self._enter(block)
        if entry is None:
            return Offered(False, [])
        if entry.held:
            return Offered(True, [])
        evicted: list[bytes] = []
        admitted = (entry.parent is None or entry.parent.held) and self._make_room(entry, evicted)
        if admitted:
            self._hold(entry)
        self._forget_oldest()
        return Offered(admitted, evicted)

    def drop(self, key: bytes) -> list[bytes]:
        """Forgets a block that cannot be read, or may not be kept, and all that build on it. Returns those that were held, children first."""
        entry = self._known.get(key)
        return [] if entry is None else self._forget(entry)

    def _advance(self, now_s: float) -> None:
        """Paths grow older; those that leave an age bin unused teach."""
        if now_s <= self._now_s:
            return
        self._now_s = now_s
        for bin_, edge_s in enumerate(AGE_EDGES_S[1:]):
            paths = self._ages[bin_]
            while paths and paths[0].touched_s + edge_s <= now_s:
                path = paths.popleft()
                if path.known:
                    self._policy.aged(path.kind, bin_, path.known / path.joined)
                    path.bin = bin_ + 1
                    if path.bin < len(self._ages):
                        self._ages[path.bin].append(path)

    def _learn(self, asked: list[_Entry]) -> None:
        """A block common to many conversations says nothing of how one goes on."""
        for entry in asked:
            if entry.branches < BRANCHES_SHARED:
                self._policy.used(entry.path.kind, entry.path.bin, 1 / entry.path.joined)

    def _enter(self, block: Block) -> _Entry | None:
        """The block's entry, in the path of its state; None if nothing is known of its parent."""
        entry = self._known.get(block.key)
        if entry is not None and entry.held:
            return entry
        parent = None if block.parent is None else self._known.get(block.parent)
        if block.parent is not None and parent is None:
            return None
        if entry is None:
            entry = self._known[block.key] = _Entry(block, parent)
            self._gone[block.key] = None
            if parent is not None:
                parent.children[block.key] = entry
                parent.branches += 1
        entry.block = block  # another time it may take more or less room
        if not self._is_young(entry.path):
            if parent is not None and parent.path.last is parent and self._is_young(parent.path):
                self._join(parent.path, entry)
            else:
                self._open(_chain(entry), False)
        self._lengthen(entry.path, block.state_tokens)
        return entry

    def _is_young(self, path: _Path) -> bool:
        return path is not NOWHERE and self._now_s - path.touched_s <= STATE_S

    def _open(self, entries: list[_Entry], looked_up: bool) -> None:
        """A new path, from the first block of a conversation on; its blocks leave the paths they were in."""
        deepest = next((entry for entry in reversed(entries) if entry.path is not NOWHERE), None)
        path = _Path(self._now_s, self._paths, looked_up)
        if deepest is not None and deepest.branches < BRANCHES_SHARED:
            # A turn that was looked up, and then grows, is one turn.
            path.turn = deepest.path.turn + (looked_up or not deepest.path.looked_up)
            path.before = deepest.end
        self._paths += 1
        self._ages[0].append(path)
        for entry in entries:
            self._join(path, entry)

    def _join(self, path: _Path, entry: _Entry) -> None:
        entry.path.known -= 1
        entry.path = path
        path.last = entry
        path.known += 1
        path.joined += 1
        if entry.held:
            path.held.append(entry)
        self._lengthen(path, entry.end)

    def _lengthen(self, path: _Path, tokens: int) -> None:
        path.tokens = max(path.tokens, tokens)
        grown = max(1, path.tokens - path.before) if path.before else 0
        path.kind = self._policy.kind_of(path.turn, path.tokens, grown)
        if path.held:
            self._queue(path)

    def _hold(self, entry: _Entry) -> None:
        del self._gone[entry.block.key]
        entry.held = True
        entry.path.held.append(entry)
        self.bytes_held += entry.block.size_bytes
        if entry.parent is not None:
            entry.parent.children_held += 1
        self._queue(entry.path)

    def _let_go(self, entry: _Entry) -> None:
        """A held block without held children is held no more."""
        self._gone[entry.block.key] = None
        entry.held = False
        self.bytes_held -= entry.block.size_bytes
        if entry.parent is not None:
            entry.parent.children_held -= 1
            self._queue(entry.parent.path)
        self._queue(entry.path)

    def _make_room(self, entry: _Entry, evicted: list[bytes]) -> bool:
        """Lets go, the least worth first, until the block fits; False if it is not worth that."""
        worth = self._worth(entry)
        size_bytes = entry.block.size_bytes
        if size_bytes > self.capacity_bytes or not admits(worth, 0.0, self._price):
            return False
        while self.bytes_held + size_bytes > self.capacity_bytes:
            least = self._least(entry.path)
            if least is None or not admits(worth, self._worth(least), self._price):
                return False
            self._let_go(least)
            evicted.append(least.block.key)
        return entry.parent is None or entry.parent.held

    def _worth(self, entry: _Entry) -> float:
        block, path = entry.block, entry.path
        saved_s = block.tokens * self._prefill.token_saved_s(entry.end if entry.held else path.tokens)
        return self._policy.worth(path.kind, self._now_s - path.touched_s, saved_s, block.size_bytes)

    def _least(self, newest: _Path) -> _Entry | None:
        """The end of least worth among the oldest path of each class, but that of a newcomer itself. Then the same path goes on going: what
        is before its end saves less."""
        if self._going is not None and self._going is not newest and self._going_s == self._now_s:
            end = self._going.end()
            if end is not None and not end.children_held:
                return end
        ends = [self._oldest(kind) for kind in self._heaps]
        least = min((end for end in ends if end is not None and end.path is not newest), key=self._rank, default=None)
        self._going, self._going_s = None if least is None else least.path, self._now_s
        return least

    def _rank(self, entry: _Entry) -> tuple[float, float, int]:
        return self._worth(entry), entry.path.touched_s, entry.path.number

    def _oldest(self, kind: int) -> _Entry | None:
        heap = self._heaps[kind]
        while heap:
            path = heap[0][2]
            end = path.end()
            if path.kind == kind and end is not None and not end.children_held:
                return end
            heappop(heap)
            if path.queued == kind:
                path.queued = -1
        return None

    def _queue(self, path: _Path) -> None:
        """The path may be one whose end may go. Whether it is, is seen when it comes to the top of its heap."""
        if path.queued != path.kind:
            path.queued = path.kind
            heap = self._heaps.setdefault(path.kind, [])
            heappush(heap, (path.touched_s, path.number, path))
            if len(heap) > 2 * len(self._known) + STALE_MAX:
                self._tidy(heap, path.kind)

    @staticmethod
    def _tidy(heap: list[tuple[float, int, _Path]], kind: int) -> None:
        """Where nothing has to go nothing comes to the top, and what is stale would pile up."""
        for _, _, path in heap:
            if path.queued == kind and path.end() is None:
                path.queued = -1
        heap[:] = [item for item in heap if item[2].queued == kind]
        heapify(heap)

    def _forget_oldest(self) -> None:
        keep = max(REMEMBERED_MIN, REMEMBERED_PER_HELD * len(self))
        while len(self._gone) > keep:
            entry = self._known[next(iter(self._gone))]
            self._policy.aged(entry.path.kind, entry.path.bin, 1 / entry.path.joined)  # it was not asked for all this time
            self._forget(entry)

    def _forget(self, entry: _Entry) -> list[bytes]:
        """Of the block and all that build on it, children first; the keys that were held."""
        found = [entry]
        for each in found:
            found += each.children.values()
        held = []
        for each in reversed(found):
            if each.held:
                self._let_go(each)
                held.append(each.block.key)
            each.path.known -= 1
            del self._known[each.block.key], self._gone[each.block.key]
        if entry.parent is not None:
            del entry.parent.children[entry.block.key]
        return held
