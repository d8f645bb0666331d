"""Conversations that name no run, followed by what they repeat: by their bytes, else by what people would call the same messages.

Comes in: a request's raw messages with their chain. Goes out: a `Trace`: what the request comes from (policy/lineage.py decides), and
its two heads. Raw links mostly match; then only what is new is decoded. A client that moves its `cache_control` or wraps strings into blocks
is found by identity links. Keeps digests only. Does not know: headers, how runs are called.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jevons.core.chain import Chain, identity, links_after
from jevons.core.limits import IDENTITY_BYTES_MAX, IDENTITY_MEMO_ENTRIES_MAX, IDENTITY_NEW_BYTES_MAX
from jevons.policy.lineage import Found, Lineage


class Trace(NamedTuple):
    """Where a request comes from, and what the next one will be found by."""

    found: Found | None
    """None: it begins a run."""
    head: bytes
    """Its last raw link."""
    identity: bytes
    """Its last identity link."""


class Conversations:
    """All conversations of an installation, each under its key.

    The memory of identities has two generations: what is found in the older one moves to the younger, and when that is full the older is
    dropped.
    """

    def __init__(self, secret: bytes, lineage: Lineage | None = None, memo_entries_max: int = IDENTITY_MEMO_ENTRIES_MAX) -> None:
        self._secret = secret
        self._lineage = Lineage() if lineage is None else lineage
        self._half = max(1, memo_entries_max // 2)
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        """Messages whose identity is remembered; one in both generations counts twice."""
        return len(self._young) + len(self._old)

    def trace(self, key_id: int, messages: Sequence[bytes], chain: Chain, now_ms: int) -> Trace:
        """What a request with at least one message comes from. 10 us, and 3 us per KB of new messages, if its bytes go on from a run."""
        found = self._lineage.find(key_id, chain.links, now_ms)
        if found is not None and found.kind == "continues" and found.identity:
            new = slice(found.length, None)
            added = self.identity_links(messages[new], chain.digests[new], found.identity)
            return Trace(found, chain.head, added[-1] if added else found.identity)
        links = self.identity_links(messages, chain.digests)
        if found is None or found.kind != "continues":  # of an earlier process' requests only the raw heads are known
            found = self._lineage.find(key_id, links, now_ms) or found
        return Trace(found, chain.head, links[-1])

    def remember(self, key_id: int, run_id: str, trace: Trace, now_ms: int) -> None:
        """The traced request was of that run. For a new run: after `trace` says None or "child"."""
        child = trace.found is not None and trace.found.kind == "child"
        self._lineage.remember(key_id, run_id, (trace.head,), now_ms, identity=trace.identity, child=child)

    def recall(self, key_id: int, run_id: str, head: bytes, at_ms: int) -> None:
        """A request of an earlier process was of that run: it is known by its raw head alone."""
        self._lineage.remember(key_id, run_id, (head,), at_ms)

    def identity_links(
        self, messages: Sequence[bytes], digests: Sequence[bytes], after: bytes | None = None
    ) -> tuple[bytes, ...]:
        """As core.chain's, with the memory of this object. `after`: the identity link of what comes before these messages.

        A message that is too long, or unknown and beyond IDENTITY_NEW_BYTES_MAX of unknown ones, stands for its own bytes; the latest
        come first, since these are what clients change.
        """
        left, found = IDENTITY_NEW_BYTES_MAX, []
        for digest, message in zip(reversed(digests), reversed(messages), strict=True):
            known = self._young.get(digest)
            if known is None:
                known = self._old.get(digest)
                if known is None and len(message) <= min(left, IDENTITY_BYTES_MAX):
                    known = identity(self._secret, message)
                    left -= len(message)
                known = self._keep(digest, known or digest)
            found.append(known)
        found.reverse()
        return links_after(self._secret, found) if after is None else links_after(self._secret, found, after)

    def _keep(self, digest: bytes, known: bytes) -> bytes:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[digest] = known
        return known
