"""The park: states of conversations that hold no slot, cut into blocks, encoded, and put together again.

Comes in: a tenant's tag, a message chain, and a state file of llama.cpp's in the transit folder. Goes out: the same kind of file, with the
longest prefix that is still there. Called from worker threads; `depth`, `learn` and `stats` from anywhere.

A block's key is keyed BLAKE2b over the tenant, the model file, the library, the codec (which holds the type of keys and values) and every
token up to the block's end: equal keys are equal content, two tenants never have one in common, and a block of another model, library or
codec is never found.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from jevons.core.chain import DIGEST_BYTES
from jevons.core.limits import PARK_BLOCK_TOKENS, PARK_ODD_STATES_MAX
from jevons.engine.park.codec import HEAD, Codec, Corrupt, unseal
from jevons.engine.park.sealing import NAME_BYTES
from jevons.engine.park.shelf import Block
from jevons.engine.park.states import Layout, State, Unparkable, blank_state, read_state, state_bytes
from jevons.engine.park.store import Store

log = logging.getLogger("jevons.engine")

BACKGROUND_NICE = 10
"""Encoding waits for tokens that somebody reads."""


class Stats(msgspec.Struct, frozen=True):
    """What the park did since the engine started."""

    states_kept: int
    states_filled: int
    tokens_filled: int
    blocks_refused: int
    """Damaged or foreign: thrown away, their tokens computed again."""
    codec: str
    bytes_per_token: float
    """Of a parked token, as encoded; 0 before the first."""
    store: object
    """The store's own figures."""


class Filled(NamedTuple):
    """What a state file was made of."""

    tokens: int
    links: int
    """So many links of the request led to it, from the first."""


class Park:
    """One engine's park. `codec_for` is asked once, when the first state shows its layout."""

    def __init__(
        self, store: Store, transit: Path, secret: bytes, scope: Sequence[bytes], codec_for: Callable[[Layout], Codec]
    ) -> None:
        """`scope`: what every block depends on: the model file, the library, how states are encoded."""
        self.transit = transit
        self._store = store
        self._trails = store.trails
        self._scope = blake2b(
            b"".join(len(part).to_bytes(2) + part for part in scope), key=secret[:64], digest_size=NAME_BYTES
        ).digest()
        self._codec_for = codec_for
        self._codec: Codec | None = None
        self._lock = threading.Lock()
        self._odd = 0
        """States in a row that could not be taken apart."""
        self._kept = self._filled = self._tokens = self._refused = 0

    @property
    def able(self) -> bool:
        """Whether states of this model can be taken apart at all."""
        return self._odd < PARK_ODD_STATES_MAX

    @property
    def outlives(self) -> bool:
        """Whether parked states survive this process."""
        return self._store.outlives

    def depth(self, tag: bytes, links: Sequence[bytes]) -> int:
        """Links of this chain, from the first, of which a parked state has at least a beginning."""
        match = self._trails.find(tag, self._scoped(links))
        return match.links if match is not None and match.trail.keys[0] in self._store else 0

    def fill(self, tag: bytes, links: Sequence[bytes], path: Path) -> Filled | None:
        """Write the longest parked prefix as a state file. None: there is none, and no file. Raises OSError."""
        match = self._trails.find(tag, self._scoped(links))
        if match is None:
            return None
        wanted = match.trail.keys if match.tokens is None else match.trail.keys[: -(-match.tokens // PARK_BLOCK_TOKENS)]
        while payloads := list(self._payloads(wanted)):
            try:
                tokens = self._write(payloads, path)
            except _Damaged as damaged:
                self._refused += 1
                self._store.drop(wanted[damaged.place])
                log.warning("a parked block was refused, its tokens are computed again: %s", damaged)
                continue
            self._filled += 1
            self._tokens += tokens
            return Filled(tokens, match.links)
        return None

    def keep(self, tag: bytes, links: Sequence[bytes], path: Path) -> None:
        """Park the state in this file, and remove the file. Logs what is in the way; raises nothing."""
        try:
            if links:
                self._keep(tag, links, read_state(np.memmap(path, np.uint8, "r")))
                self._odd = 0
        except Unparkable as error:
            self._odd += 1
            log.warning(
                "a conversation could not be parked: %s%s", error, "" if self.able else " No more is tried for this model."
            )
        except (OSError, ValueError) as error:
            log.warning("a conversation could not be parked: %s", error)
        finally:
            path.unlink(missing_ok=True)

    def learn(self, tag: bytes, link: bytes, tokens: int) -> None:
        """The messages up to this link are so many tokens: what shares only them need not be given more."""
        self._trails.learn(tag, self._scoped([link])[0], tokens)

    def stats(self) -> Stats:
        codec = self._codec
        return Stats(
            self._kept,
            self._filled,
            self._tokens,
            self._refused,
            type(codec).__name__.lower() if codec else "",
            codec.bytes_per_token if codec else 0.0,
            self._store.stats(),
        )

    def forget(self, tag: bytes | None) -> None:
        """All of a tenant's conversations, or everybody's."""
        self._store.forget(tag)

    def close(self) -> None:
        self._store.close()

    def _scoped(self, links: Sequence[bytes]) -> list[bytes]:
        """The same conversation is another one to another model, library or codec."""
        return [blake2b(link, key=self._scope, digest_size=DIGEST_BYTES).digest() for link in links]

    def _payloads(self, keys: Sequence[bytes]) -> Iterator[bytes]:
        """As many as are there without a gap."""
        self._store.lookup(keys, time.time())
        for key in keys:
            payload = self._store.get(key)
            if payload is None:
                return
            yield payload

    def _write(self, payloads: list[bytes], path: Path) -> int:
        """Raises _Damaged naming the block."""
        try:
            layout = unseal(payloads[0]).layout
            codec = self._codec_of(layout)
        except Corrupt as error:
            raise _Damaged(0, str(error)) from None
        counts = [HEAD.unpack_from(payload)[3] if len(payload) >= HEAD.size else 0 for payload in payloads]
        short = next((place for place, count in enumerate(counts[:-1]) if count != PARK_BLOCK_TOKENS), None)
        if short is not None:
            raise _Damaged(short, "it has not the tokens of a whole block")
        total = sum(counts)
        size = state_bytes(layout, total)
        with path.open("w+b") as file:
            os.posix_fallocate(
                file.fileno(), 0, size
            )  # a full memory file system says so here; in the middle of a write it is a SIGBUS
        self._decode(codec, payloads, counts, np.memmap(path, np.uint8, "r+", shape=(size,)), total)
        return total

    @staticmethod
    def _decode(codec: Codec, payloads: list[bytes], counts: list[int], data: NDArray[np.uint8], total: int) -> None:
        state = blank_state(data, codec.layout, total)
        at = 0
        for place, (payload, count) in enumerate(zip(payloads, counts, strict=True)):
            try:
                state.tokens[at : at + count] = codec.decode_into(payload, [rows[at : at + count] for rows in state.rows])
            except Corrupt as error:
                raise _Damaged(place, str(error)) from None
            at += count

    def _keep(self, tag: bytes, links: Sequence[bytes], state: State) -> None:
        codec = self._codec_of(state.layout)
        keys = list(self._keys(tag, codec, state.tokens))
        links = self._scoped(links)
        before = self._trails.find(tag, links)
        now_s = time.time()  # one for all: the blocks of a state are one path
        for number, key in enumerate(keys):
            if key in self._store:
                continue
            start = number * PARK_BLOCK_TOKENS
            part = slice(start, min(start + PARK_BLOCK_TOKENS, len(state.tokens)))
            payload = codec.encode(state.tokens[part], [rows[part] for rows in state.rows], start)
            block = Block(key, keys[number - 1] if number else None, len(payload), part.stop - start, start, len(state.tokens))
            if not self._store.put(tag, block, payload, now_s):
                keys = keys[:number]
                break
        if keys:
            self._kept += 1
            self._trails.remember(tag, links, keys, min(len(state.tokens), len(keys) * PARK_BLOCK_TOKENS))
        if before is not None and self._superseded(before.trail.keys, keys, state.tokens):
            self._store.drop(before.trail.keys[-1])

    def _superseded(self, before: Sequence[bytes], keys: Sequence[bytes], tokens: NDArray[np.int32]) -> bool:
        """Whether the last block of an earlier state, cut short then, is now the beginning of a longer one."""
        whole = len(before) - 1
        if before[-1] in keys or tuple(before[:-1]) != tuple(keys[:whole]) or (payload := self._store.get(before[-1])) is None:
            return False
        try:
            cut = unseal(payload).tokens
        except Corrupt:
            return True
        start = whole * PARK_BLOCK_TOKENS
        return len(cut) < len(tokens) - start and np.array_equal(cut, tokens[start : start + len(cut)])

    def _keys(self, tag: bytes, codec: Codec, tokens: NDArray[np.int32]) -> Iterator[bytes]:
        """One key per block, each chained to the one before."""
        scope = blake2b(self._scope + codec.id, key=tag, digest_size=NAME_BYTES).digest()
        key = bytes(NAME_BYTES)
        for start in range(0, len(tokens), PARK_BLOCK_TOKENS):
            part = tokens[start : start + PARK_BLOCK_TOKENS].tobytes()
            key = blake2b(key + part, key=scope, digest_size=NAME_BYTES).digest()
            yield key

    def _codec_of(self, layout: Layout) -> Codec:
        with self._lock:
            if self._codec is None or self._codec.layout != layout:
                self._codec = self._codec_for(layout)
            return self._codec


class _Damaged(Exception):
    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place = place


def begin_background_thread() -> None:
    """Linux: this thread alone gets a lower priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICE)
