"""Tool output as it came, beside what was sent in its place: in memory, for a while, each organisation by itself.

Comes in: pairs of bytes under a reference that was made with the organisation's name. Goes out: the same. The one that has the most lets go
first, of what it used longest ago. Nothing is written to disk. Does not know: what is in them.
"""

from collections import OrderedDict

import msgspec

from jevons.core.limits import ORIGINAL_OVERHEAD_BYTES


class Original(msgspec.Struct, frozen=True):
    """One text."""

    raw: bytes
    """The JSON string as the client sent it."""
    small: bytes
    """The JSON string that was sent instead."""
    until_s: float

    @property
    def size(self) -> int:
        return len(self.raw) + len(self.small) + ORIGINAL_OVERHEAD_BYTES


class Originals:
    """Bounded by bytes. `now_s` from a clock that does not go back."""

    def __init__(self, bytes_max: int, ttl_s: float) -> None:
        self._max = bytes_max
        self._ttl_s = ttl_s
        self._of: dict[str, OrderedDict[str, Original]] = {}
        self._bytes: dict[str, int] = {}

    @property
    def bytes_held(self) -> int:
        return sum(self._bytes.values())

    def fits(self, raw: bytes) -> bool:
        """Can a text of this length be kept at all, with what is sent instead?"""
        return 2 * len(raw) + ORIGINAL_OVERHEAD_BYTES <= self._max

    def put(self, org: str, ref: str, raw: bytes, small: bytes, now_s: float) -> None:
        """Keep it from now on for the whole time, also one that was kept before."""
        mine = self._of.setdefault(org, OrderedDict())
        if (before := mine.pop(ref, None)) is not None:
            self._bytes[org] -= before.size
        mine[ref] = found = Original(raw, small, now_s + self._ttl_s)
        self._bytes[org] = self._bytes.get(org, 0) + found.size
        while next(iter(mine.values())).until_s <= now_s:
            self._drop(org)
        while self.bytes_held > self._max:
            self._drop(max(self._bytes, key=self._bytes.__getitem__))

    def get(self, org: str, ref: str, now_s: float) -> Original | None:
        """None: never kept for this organisation, or no longer."""
        mine = self._of.get(org)
        found = mine.get(ref) if mine is not None else None
        return found if found is not None and found.until_s > now_s else None

    def _drop(self, org: str) -> None:
        _, gone = self._of[org].popitem(last=False)
        self._bytes[org] -= gone.size
        if not self._of[org]:
            del self._of[org], self._bytes[org]
