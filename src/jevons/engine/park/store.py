"""Where parked blocks are: in RAM, and on disk for tenants who opted in. Two shelves decide what stays; this carries it out.

Comes in: blocks with their payloads, keys that are asked for, Unix seconds. Goes out: payloads. Nothing raises for want of room or a broken
disk: what cannot be kept is not there when it is asked for. May be used from many threads.
What RAM admits is also written behind by a thread of the store's own, so that it survives the process; what leaves RAM is offered again.
That thread also files the trails, lets go what is past its retention, and forgets tenants whom `jevons park erase` removed.
Does not know: what is in a payload, what a key was made of.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from jevons.core.limits import (
    PARK_BLOCK_TOKENS,
    PARK_CLOSE_S,
    PARK_EXPIRE_S,
    PARK_TIDY_S,
    PARK_WRITES_BYTES_MAX,
)
from jevons.engine.park.disk import Disk, Filed
from jevons.engine.park.shelf import Block, Shelf
from jevons.engine.park.trails import FILE, Trail, Trails
from jevons.ledger.sealing import OVERHEAD_BYTES
from jevons.policy.park import Prefill


class StoreStats(msgspec.Struct, frozen=True):
    """What the store holds, and what it did since the process began."""

    ram_bytes: int
    ram_blocks: int
    disk_bytes: int
    disk_blocks: int
    """Written or waiting to be."""
    hits_ram: int
    hits_disk: int
    misses: int
    refused: int
    """Blocks that were worth less than what RAM holds."""
    unwritten: int
    """Blocks for the disk that it could not take, or not soon enough."""
    damaged: int
    """Files that were removed because they are not what was written, or could not be read."""
    disk_off: str | None
    """What keeps blocks from being written; None while they are, or if no disk is to be used."""


class Store:
    """`ram_bytes` and `disk_bytes` bound the payloads. `trails` come from the disk, and are filed there."""

    def __init__(
        self, ram_bytes: int, disk: Disk | None = None, disk_bytes: int = 0, prefill: Prefill | None = None, price: float = 0.0
    ) -> None:
        """`prefill`: what computing anew takes; `price` of a byte in RAM (`policy.park.holding_price`). A byte on disk costs nothing worth counting."""
        self.trails = Trails()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._now_s = 0.0
        self._ram = Shelf(ram_bytes, None, prefill, price)
        self._payloads: dict[bytes, bytes] = {}
        """Of what RAM holds."""
        self._blocks: dict[bytes, tuple[bytes, Block]] = {}
        """Tenant and facts of every block on either shelf."""
        self._disk = disk
        self._filed = Shelf(disk_bytes, None, prefill)
        self._waiting: OrderedDict[bytes, bytes] = OrderedDict()
        """Payloads to be written. One stays until its file is there, so that it is found all the time."""
        self._leaving: list[tuple[bytes, bytes]] = []
        """Tenant and key of files to be removed."""
        self._hits_ram = self._hits_disk = self._misses = self._refused = self._unwritten = 0
        self._closing = False
        self._writer: threading.Thread | None = None
        if disk is not None:
            self._restore(disk, time.time())
            self._writer = threading.Thread(target=self._write_behind, args=(disk,), name="park-write", daemon=True)
            self._writer.start()

    @property
    def outlives(self) -> bool:
        """Whether something of it survives this process."""
        return self._disk is not None

    def __contains__(self, key: bytes) -> bool:
        with self._lock:
            return key in self._ram or key in self._filed

    def holds(self, keys: Sequence[bytes]) -> int:
        """How many of the keys, from the first on, are there. Only looks."""
        with self._lock:
            return max(self._ram.leading(keys), self._filed.leading(keys))

    def lookup(self, keys: Sequence[bytes], now_s: float) -> int:
        """The same, for a request that takes up what is found: it is young again, and both shelves learn from it."""
        with self._lock:
            now_s = self._clock(now_s)
            found = max(self._ram.lookup(keys, now_s), self._filed.lookup(keys, now_s))
            self._misses += len(keys) - found
            return found

    def put(self, tag: bytes, block: Block, payload: bytes, now_s: float) -> bool:
        """Whether the block is kept, in RAM or on disk. A conversation's blocks come in the order of their depth."""
        with self._lock:
            now_s = self._clock(now_s)
            kept = self._keep(tag, block, payload, now_s)
            self._refused += not kept
            return self._file(tag, block, payload, now_s) or kept

    def get(self, key: bytes) -> bytes | None:
        """A block's payload. From disk it comes back into RAM, if it is worth its place there."""
        with self._lock:
            payload = self._payloads.get(key) or self._waiting.get(key)
            if payload is not None:
                self._hits_ram += 1
                return payload
            if self._disk is None or key not in self._filed:
                return None
            tag, block = self._blocks[key]
        payload = self._disk.read(tag, key)
        with self._lock:
            if payload is not None and key in self._filed:
                self._hits_disk += 1
                self._keep(tag, block, payload, self._now_s)
            elif payload is None and key not in self._waiting:  # it may have been put anew while we read
                self._drop(self._filed, key)
        return payload

    def drop(self, key: bytes) -> None:
        """Forget a block that is of no use, and what builds on it."""
        with self._lock:
            self._drop(self._ram, key)
            self._drop(self._filed, key)

    def forget(self, tag: bytes | None) -> None:
        """All of a tenant, or of everybody, here and on disk."""
        with self._lock:
            for owner in {owner for owner, _ in self._blocks.values()} if tag is None else {tag}:
                self._forget(owner)

    def stats(self) -> StoreStats:
        with self._lock:
            return StoreStats(
                self._ram.bytes_held, len(self._ram), self._filed.bytes_held, len(self._filed),
                self._hits_ram, self._hits_disk, self._misses, self._refused, self._unwritten,
                self._disk.refused if self._disk else 0, self._disk.why_off if self._disk else None,
            )  # fmt: skip

    def close(self) -> None:
        """Write what waits, for PARK_CLOSE_S at most."""
        with self._work:
            self._closing = True
            self._work.notify()
        if self._writer is not None:
            self._writer.join(PARK_CLOSE_S)

    # What follows up to `_restore` is called with the lock held.

    def _clock(self, now_s: float) -> float:
        """A clock that never goes back, though the machine's may."""
        self._now_s = max(self._now_s, now_s)
        return self._now_s

    def _keep(self, tag: bytes, block: Block, payload: bytes, now_s: float) -> bool:
        """In RAM."""
        offered = self._ram.offer(block, now_s)
        if offered.admitted:
            self._payloads[block.key] = payload
            self._blocks[block.key] = (tag, block)
        leaving = [(*self._blocks[key], self._payloads.pop(key)) for key in offered.evicted]
        for owner, evicted, left in leaving:
            self._file(owner, evicted, left, now_s)
        self._let_go(offered.evicted)
        return offered.admitted

    def _file(self, tag: bytes, block: Block, payload: bytes, now_s: float) -> bool:
        """On disk, a little later. Whether it is there or will be."""
        if self._disk is None or not self._disk.takes(tag):
            return False
        if block.key in self._filed and block.key not in self._waiting:
            return True
        if self._beside_ram(block.key, payload) > PARK_WRITES_BYTES_MAX:
            self._unwritten += 1
            self._drop(self._filed, block.key)
            return False
        if block.key in self._waiting:
            return True
        offered = self._filed.offer(block, now_s)
        self._unfile(offered.evicted)
        if offered.admitted:
            self._waiting[block.key] = payload
            self._blocks[block.key] = (tag, block)
            self._work.notify()
        return offered.admitted

    def _beside_ram(self, key: bytes, payload: bytes) -> int:
        """Bytes that wait to be written and that RAM does not hold anyway, with this payload."""
        waiting = {**self._waiting, key: payload}
        return sum(len(waiting[name]) for name in waiting.keys() - self._payloads.keys())

    def _unfile(self, keys: Sequence[bytes]) -> None:
        """The disk's shelf holds these no more."""
        for key in keys:
            self._waiting.pop(key, None)
            self._leaving.append((self._blocks[key][0], key))
        self._let_go(keys)
        self._work.notify()

    def _drop(self, shelf: Shelf, key: bytes) -> None:
        dropped = shelf.drop(key)
        if shelf is self._filed:
            self._unfile(dropped)
        else:
            for gone in dropped:
                del self._payloads[gone]
            self._let_go(dropped)

    def _let_go(self, keys: Iterable[bytes]) -> None:
        """The facts of what neither shelf holds any more."""
        for key in keys:
            if key not in self._ram and key not in self._filed:
                self._blocks.pop(key, None)

    def _forget(self, tag: bytes) -> None:
        """Everything of a tenant whose files were taken away."""
        for key in [key for key, (owner, _) in self._blocks.items() if owner == tag]:
            self._drop(self._ram, key)
            self._drop(self._filed, key)
        self.trails.forget(tag)

    def _restore(self, disk: Disk, now_s: float) -> None:
        """What is on disk comes back onto its shelf, in the order of use: a conversation's blocks together, as the trails have them."""
        found = disk.start(now_s)
        files = {file.name: file for file in found if file.name != FILE}
        trails = []
        for file in found:
            if file.name == FILE:
                trails += self.trails.restore(file.tag, disk.read(file.tag, FILE) or b"", files)
        known = {key for trail in trails for key in trail.keys}
        trails += [Trail((name,), PARK_BLOCK_TOKENS) for name in files if name not in known]
        ages = [max(files[key].written_s for key in trail.keys if key in files) for trail in trails]
        with self._lock:
            for written_s, trail in sorted(zip(ages, trails, strict=True), key=lambda pair: pair[0]):
                self._refile(trail, files, self._clock(min(written_s, now_s)))
            self._leaving += [(file.tag, name) for name, file in files.items() if name not in self._filed]

    def _refile(self, trail: Trail, files: Mapping[bytes, Filed], now_s: float) -> None:
        before: bytes | None = None
        for depth, key in zip(range(0, len(trail.keys) * PARK_BLOCK_TOKENS, PARK_BLOCK_TOKENS), trail.keys, strict=True):
            if (file := files.get(key)) is None:
                return  # what comes after it is of no use
            tokens = min(PARK_BLOCK_TOKENS, trail.tokens - depth)
            block = Block(key, before, file.size_bytes - OVERHEAD_BYTES, tokens, depth)
            offered = self._filed.offer(block, now_s)
            self._unfile(offered.evicted)
            if offered.admitted:
                self._blocks[key] = (file.tag, block)
            before = key

    def _write_behind(self, disk: Disk) -> None:
        """The writer's life: one file at a time; in between, whatever falls due."""
        tidied_s = expired_s = time.monotonic()
        end_s = float("inf")
        while time.monotonic() < end_s:
            with self._work:
                if not (self._waiting or self._leaving or self._closing):
                    self._work.wait(PARK_TIDY_S)
                leaving, self._leaving = self._leaving, []
                key, payload = next(iter(self._waiting.items()), (b"", b""))
                tag = self._blocks[key][0] if key else b""
                closing = self._closing
            for owner, name in leaving:
                disk.remove(owner, name)
            if time.monotonic() - tidied_s >= PARK_TIDY_S or (closing and end_s == float("inf")):
                self._tidy(disk)
                tidied_s = time.monotonic()
            if time.monotonic() - expired_s >= PARK_EXPIRE_S:
                self._expire(disk)
                expired_s = time.monotonic()
            if key:
                self._written(key, payload, disk.write(tag, key, payload, time.time()))
            elif closing:
                return
            if closing:
                end_s = min(end_s, time.monotonic() + PARK_CLOSE_S)

    def _written(self, key: bytes, payload: bytes, done: bool) -> None:
        with self._lock:
            if self._waiting.get(key) is payload:  # else it was dropped meanwhile, and its file leaves next
                del self._waiting[key]
                if not done:
                    self._unwritten += 1
                    self._drop(self._filed, key)

    def _tidy(self, disk: Disk) -> None:
        for tag in disk.erased():
            with self._lock:
                self._forget(tag)
        for tag, trails in self.trails.changed().items():
            if disk.takes(tag):
                disk.write(tag, FILE, trails, time.time())

    def _expire(self, disk: Disk) -> None:
        """Out of RAM as well, or it would be written anew when it leaves there."""
        for file in disk.expired(time.time()):
            self.drop(file.name)
            disk.remove(file.tag, file.name)
