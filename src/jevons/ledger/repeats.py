"""Which Idempotency-Keys were used in the last day, and by which call: so that a repeat is refused before it costs anything.

In memory; the disk has the same (`SqliteStore`). Does not know: headers, bodies, what a repeat is answered with.
"""

from jevons.core.entry import Hold, admitted_ms, first_id_of_ms
from jevons.core.limits import IDEMPOTENCY_TTL_S

Used = dict[tuple[int, bytes], tuple[bytes, int]]
"""(key id, digest of the Idempotency-Key) -> (digest of the body, entry id), in the order of entry ids."""


class Repeats:
    """What was used; the oldest is let go as new ones come."""

    def __init__(self, used: Used) -> None:
        self._used = used

    def find(self, key_id: int, idempotency_key: bytes) -> tuple[bytes, int] | None:
        """(digest of the earlier body, its entry id) if this key of a client's was used before."""
        return self._used.get((key_id, idempotency_key))

    def remember(self, hold: Hold) -> None:
        """Its Idempotency-Key, if it has one, is used now."""
        if not hold.idempotency_key:
            return
        oldest = first_id_of_ms(admitted_ms(hold.id) - IDEMPOTENCY_TTL_S * 1000)
        while self._used:
            first = next(iter(self._used))
            if self._used[first][1] >= oldest:
                break
            del self._used[first]
        self._used.pop((hold.key_id, hold.idempotency_key), None)
        self._used[hold.key_id, hold.idempotency_key] = (hold.body_digest, hold.id)

    def forget(self, hold: Hold) -> None:
        """It may be used again: nothing was done under it."""
        used = self._used.get((hold.key_id, hold.idempotency_key))
        if used is not None and used[1] == hold.id:
            del self._used[hold.key_id, hold.idempotency_key]
