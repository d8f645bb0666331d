"""One row of another's log, in our terms: who used which model when, how much of it, and what that source says it cost.

Comes in: nothing; every kind of import makes these. Goes out: values for `imports.rating`. What a source does not say stays unknown here.
Does not know: files, formats, prices, the ledger.
"""

import hashlib
from typing import NamedTuple

import msgspec

from jevons.core.entry import Outcome
from jevons.core.usage import Usage

UNTOLD = "unknown"
"""The model of a row that names none."""


class BadRow(Exception):
    """A row cannot be used. The message says why and quotes nothing of it: such logs hold prompts."""


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A call, or a bucket of calls."""

    identity: str
    """What the row is called where it comes from: the same whenever it is read. A bucket is its time and its labels, not its sums."""
    at_ms: int
    """Of a bucket: its start."""
    model: str
    provider: str | None = None
    """As the source spells it; None = whoever makes the model."""
    asked: str = ""
    """The model as the client asked for it; "" = the same."""
    usage: Usage | None = None
    """None = the source does not say."""
    requests: int = 1
    """0 = the source does not say."""
    span_ms: int = 0
    """How long a bucket is; 0 = one call."""
    size: int | None = None
    """Input tokens of one call, where the row is a bucket and the source says it: decides the context tier."""
    account: str = ""
    """Whose key it was, as the source names it."""
    team: str = ""
    org: str = ""
    agent: str = ""
    run: str | None = None
    parent_run: str | None = None
    billed_nusd: int | None = None
    """What the source says it cost; None = it does not say."""
    list_nusd: int | None = None
    """The same at list price."""
    rates: tuple[tuple[str, str], ...] = ()
    """(kind, USD per million tokens) where the source names its own prices."""
    context: tuple[tuple[str, str], ...] = ()
    """What the price depends on besides the model: ("service_tier", "flex"), ("speed", "fast")."""
    outcome: Outcome = Outcome.OK
    unknown: tuple[str, ...] = ()
    """What the source does not say: requests, tokens, cache, time."""


class Row(NamedTuple):
    """What one row of a file came to."""

    line: int
    """Where it begins, counted from 1."""
    offset: int
    """Bytes of the (unpacked) file up to its end."""
    records: tuple[Record, ...] = ()
    problem: str = ""
    """Why it cannot be used."""


def digest_of(source: str, identity: str, change: int = 0) -> bytes:
    """16 bytes that name a row for ever. `change`: the how-manieth growth of it since it was first read."""
    text = f"{source}\0{identity}\0{change}" if change else f"{source}\0{identity}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def content_identity(*parts: object) -> str:
    """Identity of a row that has no id: a digest of what tells it from others. Nothing of it can be read back."""
    text = "\0".join("" if part is None else str(part) for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
