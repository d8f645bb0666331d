"""What can be written to the ledger: each operation is one value, applied whole in one transaction with its neighbours."""

from typing import Literal

import msgspec

from jevons.core.entry import Entry, Hold
from jevons.core.label import Label
from jevons.policy.rules import Limit


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A hold is taken."""

    hold: Hold


class Withdrawn(msgspec.Struct, frozen=True):
    """Holds whose commit reported failure and that were refused: they must not be found open at the next start."""

    hold_ids: tuple[int, ...]


class Grown(msgspec.Struct, frozen=True):
    """A hold holds more: the call under way is to go on for longer."""

    hold: Hold
    """As it is from now on."""


class Overrun(msgspec.Struct, frozen=True):
    """An account came over its limit by `amount`, in the unit of its measure."""

    account: str
    window_ms: int
    amount: int
    cause: str
    """post, limit, adjustment"""
    at_ms: int
    entry_id: int | None = None


class Posted(msgspec.Struct, frozen=True, gc=False):
    """A hold is resolved into its entry."""

    entry: Entry
    excess_nusd: int = 0
    """What this post added to the recorded overrun of the key's total."""
    overruns: tuple[Overrun, ...] = ()
    """The same for every account of its path."""


class Overran(msgspec.Struct, frozen=True):
    """Accounts that were found over their limits: a limit was lowered, or a new one is passed already."""

    overruns: tuple[Overrun, ...]


class Adjusted(msgspec.Struct, frozen=True):
    """A dated correction of an account."""

    key_id: int
    nusd: int
    reason: str
    created_ms: int
    entry_id: int | None = None
    excess_nusd: int = 0
    overruns: tuple[Overrun, ...] = ()


class KeySettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key may do, beyond its limit."""

    default_output_tokens: int | None = None
    models: tuple[str, ...] = ()
    denial_status: int | None = None
    team: str = ""
    org: str = "default"
    holds: Literal["", "strict", "packed"] = ""
    """"" = as the configuration says."""
    source: str = ""
    """"" = a client's key. Else what was imported under this name: no call can use it, and no limit counts it."""
    tiers: tuple[str, ...] = ()
    """Service tiers (flex) that its calls can wait for, where the price book lists them as cheaper."""


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


class KeyChanged(msgspec.Struct, frozen=True):
    """A key's settings, whole and new."""

    key_id: int
    settings: KeySettings
    at_ms: int


class LimitSet(msgspec.Struct, frozen=True):
    """A key's total limit."""

    key_id: int
    limit_nusd: int | None
    at_ms: int
    excess_nusd: int = 0
    overruns: tuple[Overrun, ...] = ()


class LimitPut(msgspec.Struct, frozen=True):
    """A limit is set, or replaced under its name."""

    limit: Limit
    at_ms: int


class LimitRemoved(msgspec.Struct, frozen=True):
    name: str
    at_ms: int


class Began(msgspec.Struct, frozen=True):
    """A run is about to call for the first time, or one that it started: who started whom is on record before anything is spent."""

    key_id: int
    run_id: str
    parent_run_id: str | None
    agent: str
    """"" = it has not called itself."""
    source: str
    at_ms: int


class RunTightened(msgspec.Struct, frozen=True):
    """A run's own call lowered its budget."""

    key_id: int
    run_id: str
    budget_nusd: int
    at_ms: int


class Kill(msgspec.Struct, frozen=True):
    """Whoever this names is stopped until it is lifted."""

    id: int
    subject: str
    reason: str
    created_ms: int


class Lifted(msgspec.Struct, frozen=True):
    kill_id: int
    at_ms: int


class Approval(msgspec.Struct, frozen=True):
    """A question to a person."""

    id: str
    account: str
    window_ms: int
    question: str
    grants: int
    """By how much a yes raises the asking point, in the unit of the measure."""
    asked_ms: int
    expires_ms: int
    state: Literal["pending", "approved", "denied"] = "pending"
    decided_ms: int | None = None

    def open(self, now_ms: int) -> bool:
        """Is it still to be decided?"""
        return self.state == "pending" and now_ms < self.expires_ms


class Decided(msgspec.Struct, frozen=True):
    """The answer to a question; it may come late, and may be changed."""

    approval: Approval
    """As decided."""


class Noted(msgspec.Struct, frozen=True):
    """Something for the audit log alone, such as a denial."""

    at_ms: int
    action: str
    subject: str
    detail: dict[str, object]


class ImportRow(msgspec.Struct, frozen=True, gc=False):
    """A row of another's log."""

    digest: bytes
    """16 bytes that are the same whenever the row is read, and no other row has."""
    entry: Entry
    """Its hold has its key and run; of its id only the millisecond counts."""


class FileMark(msgspec.Struct, frozen=True):
    """How far a file is read."""

    kind: str
    path: str
    size: int
    mtime_ns: int
    offset: int
    rows: int
    set_aside: int
    at_ms: int


class Imported(msgspec.Struct):
    """Rows of another's log, with how far the file is read then. Those that are in the ledger already are passed over."""

    rows: tuple[ImportRow, ...]
    mark: FileMark | None = None
    fresh: int = 0
    """Set as it is applied: how many rows were new."""
    fresh_nusd: dict[int, int] = {}
    """Set as it is applied: key id -> billed cost of these."""


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """An answer was judged; a second label of its kind for the same answer is passed over."""

    label: Label


class Learnt(msgspec.Struct, frozen=True):
    """What is learnt of something, whole and new."""

    kind: str
    """promise, breaker"""
    name: str
    state: str
    """JSON."""
    at_ms: int


class StudentPut(msgspec.Struct, frozen=True):
    """A student is made, or its state changes."""

    name: str
    version: int
    org: str
    state: str
    """trained, shadow, serving, demoted, withdrawn"""
    card: str
    """JSON: task, teacher, data, provenance, measured quality, cost."""
    reason: str
    at_ms: int


Op = (
    Opened | Withdrawn | Grown | Posted | Imported | Overran | Adjusted | KeyCreated | KeyRevoked | KeyChanged | LimitSet | LimitPut | LimitRemoved
    | Began | RunTightened | Kill | Lifted | Approval | Decided | Noted | Labelled | Learnt | StudentPut
)  # fmt: skip
Lasting = Posted | KeyRevoked | Kill | Began | RunTightened | Labelled | Learnt | StudentPut
"""What happened for good, and is written later if it cannot be written now."""
