"""Requests through a shelf of the park, and through two ends of the scale: a plain LRU of blocks, and one that knows the future.

Comes in: requests and a capacity in blocks. Goes out: what was found. It knows nothing of bytes, models and money."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from bench.park_trace.traces import Request
from jevons.engine.park.shelf import Block, Shelf
from jevons.policy.park import Policy, Prefill

EVEN = Prefill(1.0, 1e12)
"""Every token takes the same: what counts is blocks found, as in the references."""


@dataclass
class Found:
    """Of one walk."""

    blocks: int = 0
    found: int = 0
    halves: tuple[float, float] = (0.0, 0.0)
    """Hit rate of the first and of the second half of the requests."""
    asked_s: float = 0.0
    """Prefill of all prompts without a park, by the costs stated."""
    saved_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        return self.found / self.blocks

    @property
    def saved(self) -> float:
        return self.saved_s / self.asked_s


def walk(requests: Sequence[Request], capacity: int, policy: Policy, prefill: Prefill = EVEN, counted: Prefill = EVEN) -> Found:
    """`prefill` is what the shelf goes by, `counted` what seconds saved are counted with. A last block that is not full is not offered: only
    the very same request would find it again (it counts as asked for, as in the references)."""
    shelf = Shelf(capacity, policy, prefill)
    total, middle = Found(), len(requests) // 2
    first = 0.0
    started_s = time.process_time()
    for number, request in enumerate(requests):
        if number == middle and total.blocks:
            first = total.rate
            first_found, first_blocks = total.found, total.blocks
        found = shelf.lookup(request.keys, request.at_s)
        _count(total, request, found, counted)
        whole = request.tokens // request.block_tokens
        parent = None
        for place, key in enumerate(request.keys[:whole]):
            block = Block(key, parent, 1, request.block_tokens, place * request.block_tokens, whole * request.block_tokens)
            shelf.offer(block, request.at_s)
            parent = key
    total.cpu_s = time.process_time() - started_s
    total.halves = first, (total.found - first_found) / (total.blocks - first_blocks)
    return total


def lru(requests: Sequence[Request], capacity: int, counted: Prefill = EVEN) -> Found:
    """The reference, in ten lines of its own: every block is let in, short ones too; the least recently used goes, deepest first."""
    held: OrderedDict[bytes, None] = OrderedDict()
    total = Found()
    for request in requests:
        found = next((place for place, key in enumerate(request.keys) if key not in held), len(request.keys))
        _count(total, request, found, counted)
        for key in reversed(request.keys):
            held[key] = None
            held.move_to_end(key)
        while len(held) > capacity:
            held.popitem(last=False)
    return total


def clairvoyant(requests: Sequence[Request], capacity: int) -> Found:
    """Belady's: what is asked for latest goes, deepest first. Nobody can do better."""
    next_use: list[list[int]] = []
    later: dict[bytes, int] = {}
    for number in range(len(requests) - 1, -1, -1):
        next_use.append([later.get(key, len(requests)) for key in requests[number].keys])
        later.update(dict.fromkeys(requests[number].keys, number))
    next_use.reverse()
    held: dict[bytes, int] = {}
    heap: list[tuple[int, int, bytes]] = []
    total = Found()
    for request, uses in zip(requests, next_use, strict=True):
        found = next((place for place, key in enumerate(request.keys) if key not in held), len(request.keys))
        _count(total, request, found, EVEN)
        for place, (key, use) in enumerate(zip(request.keys, uses, strict=True)):
            held[key] = use
            heappush(heap, (-use, -place, key))
        while len(held) > capacity:
            use, _, key = heappop(heap)
            if held.get(key) == -use:
                del held[key]
    return total


def _count(total: Found, request: Request, found: int, counted: Prefill) -> None:
    total.blocks += len(request.keys)
    total.found += found
    total.asked_s += counted.saved_s(request.tokens, 0)
    total.saved_s += counted.saved_s(min(found * request.block_tokens, request.tokens), 0)
