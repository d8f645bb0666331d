"""What a ledger needs of a disk, whichever engine is behind it.

Comes in: batches of operations. Goes out: a `Snapshot`, all that a start needs to know. Does not know: SQL, files, threads.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from jevons.core.entry import Hold
from jevons.ledger.ops import Approval, Key, Kill, Op
from jevons.policy.rules import Limit


class Snapshot(NamedTuple):
    """All that a start needs to know."""

    keys: list[Key]
    posted: dict[int, tuple[int, int]]
    """Key id -> (posted, recorded overrun) of its total account."""
    holds: list[Hold]
    idempotency: dict[tuple[int, bytes], tuple[bytes, int]]
    """(key id, digest of the Idempotency-Key) -> (digest of the body, entry id)"""
    last_id: int
    last_adjusted_ms: int
    limits: list[Limit]
    """Those set while serving."""
    overruns: dict[tuple[str, int], int]
    """(account, start of its window) -> all that was recorded."""
    kills: list[Kill]
    """Those in force."""
    last_kill: int
    approvals: list[Approval]
    last_order: int = 0
    """The latest place in the order of events, as far as the newest rows tell."""


class Store(Protocol):
    """What a ledger needs of a disk. SQLite is one (`ledger.sqlite`); another engine has the same calls."""

    def load(self) -> Snapshot: ...

    def apply(self, batch: Sequence[Op]) -> None:
        """All of the batch, durably, or none of it."""

    def has_entry(self, entry_id: int) -> bool: ...

    def probe(self) -> None:
        """One durable write that changes nothing: raises while the disk does not work."""

    def close(self) -> None: ...
