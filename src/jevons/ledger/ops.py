"""What can be written to the ledger: each operation is one value, applied whole in one transaction with its neighbours."""

import msgspec

from jevons.core.entry import Entry, Hold


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A hold is taken."""

    hold: Hold


class Withdrawn(msgspec.Struct, frozen=True):
    """Holds whose commit reported failure and that were refused: they must not be found open at the next start."""

    hold_ids: tuple[int, ...]


class Posted(msgspec.Struct, frozen=True, gc=False):
    """A hold is resolved into its entry."""

    entry: Entry
    excess_nusd: int = 0
    """What this post added to the account's recorded overrun."""


class Adjusted(msgspec.Struct, frozen=True):
    """A dated correction of an account."""

    key_id: int
    nusd: int
    reason: str
    created_ms: int
    entry_id: int | None = None
    excess_nusd: int = 0


class KeySettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key may do, beyond its limit."""

    default_output_tokens: int | None = None
    models: tuple[str, ...] = ()
    denial_status: int | None = None


class Key(msgspec.Struct, frozen=True):
    """A client's key as it is kept: never the key itself."""

    id: int
    name: str
    digest: bytes
    prefix: str
    created_ms: int
    limit_nusd: int | None = None
    settings: KeySettings = KeySettings()
    revoked_ms: int | None = None


class KeyCreated(msgspec.Struct, frozen=True):
    key: Key


class KeyRevoked(msgspec.Struct, frozen=True):
    key_id: int
    revoked_ms: int


class LimitSet(msgspec.Struct, frozen=True):
    key_id: int
    limit_nusd: int | None
    excess_nusd: int = 0


Op = Opened | Withdrawn | Posted | Adjusted | KeyCreated | KeyRevoked | LimitSet
