"""Holds and entries: the two rows that every upstream attempt leaves, one after the other.

An id carries request and attempt: milliseconds since 1970 << 18 | counter << 4 | attempt. So ids are ordered by time, the
request id is a prefix, and (request, attempt) is unique without an index of its own.
"""

import enum
import re

import msgspec

from jevons.core.price import Line
from jevons.core.routed import Role, Routed
from jevons.core.saving import Break, Saving
from jevons.core.usage import Usage

ATTEMPT_BITS = 4
COUNTER_BITS = 14
"""16,384 requests a millisecond, and milliseconds until the year 3084 in a signed 64-bit id."""
ORDER_BITS = 20
"""Events of one millisecond that have a place of their own before the next one's begin."""

_REQUEST_TEXT = re.compile(r"(?:req_)?([0-7][0-9a-f]{14})")  # the first digit: an id fits 63 bits


def first_id_of_ms(unix_ms: int) -> int:
    """Smallest entry id of that millisecond: the border for a range scan over time."""
    return unix_ms << (COUNTER_BITS + ATTEMPT_BITS)


def request_text(entry_id: int) -> str:
    """Public id of the request an entry belongs to: 15 hex digits after "req_"."""
    return f"req_{entry_id >> ATTEMPT_BITS:015x}"


def parse_request_text(text: str) -> int | None:
    """First entry id (attempt 0) of a public request id, or None if it is not one."""
    match = _REQUEST_TEXT.fullmatch(text)
    return int(match[1], 16) << ATTEMPT_BITS if match else None


def attempt_of(entry_id: int) -> int:
    return entry_id & ((1 << ATTEMPT_BITS) - 1)


def admitted_ms(entry_id: int) -> int:
    """Unix milliseconds at which the request was admitted: its price instant."""
    return entry_id >> (COUNTER_BITS + ATTEMPT_BITS)


def first_order_of_ms(unix_ms: int) -> int:
    """Smallest place in the order of events that something of that millisecond can have."""
    return unix_ms << ORDER_BITS


class Outcome(enum.StrEnum):
    """How an attempt ended."""

    OK = "ok"
    ERROR = "error"
    """The provider answered with an error, or broke off."""
    UNREACHABLE = "unreachable"
    """Nothing was sent: no connection could be made, or the gateway's credential for it could not be had."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    """The client left."""
    KILLED = "killed"
    """Our process died; settled at the next start."""
    STOPPED = "stopped"
    """The operator's kill switch, while it was under way."""
    VOID = "void"
    """Held but never sent."""
    FREE = "free"
    """Answered without an upstream cost by definition (count_tokens)."""
    CACHED = "cached"
    """Answered from a cache of ours: no upstream has seen it."""


UNSENT = frozenset({Outcome.UNREACHABLE, Outcome.VOID})
"""Outcomes of attempts that no upstream has seen: the client's Idempotency-Key is free again."""


class Estimate(enum.StrEnum):
    """Why a charge is not the provider's own figure; empty = it is."""

    NONE = ""
    SEEN = "seen"
    """input + output seen + in-flight allowance."""
    HOLD = "hold"
    """The whole hold."""
    UNPRICED = "unpriced"
    """The provider billed a kind our price row does not know; the hold was charged."""


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Money set aside for one attempt before it is sent."""

    id: int
    key_id: int
    run_id: str | None
    dialect: str
    model: str
    """As the client asked."""
    target: str
    """As the upstream is asked."""
    upstream: str
    stream: bool
    held_nusd: int
    """Reserved on the account: the worst case of what will be billed (0 under a subscription)."""
    list_held_nusd: int
    """The worst case at list price."""
    input_tokens: int
    input_bound: str
    output_tokens: int
    price_book: str
    price_row: str
    chain: bytes
    """Head of the message chain (provider-prefix links)."""
    messages: int
    agent: str = ""
    """The client program, under its key; "" = not told."""
    parent_run_id: str | None = None
    run_source: str = ""
    """Which header or field named the run; "inferred" = found by its prefix."""
    body_digest: bytes = b""
    idempotency_key: bytes = b""
    terms: bytes = b""
    """What the call was decided by, for replay (`policy.terms`); b"" = not recorded."""
    order: int = 0
    """Place among all holds and posts of the ledger; 0 = not told."""
    tier: str = ""
    """frontier or commodity, as the model's line is (`meter.lineages`); "" = not told."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What one attempt did and cost. Never edited; corrections are adjustments."""

    hold: Hold
    outcome: Outcome
    status: int
    """HTTP status of the upstream, 0 if there was none."""
    usage: Usage
    lines: tuple[Line, ...]
    """Sum to list_nusd."""
    list_nusd: int
    billed_nusd: int
    estimate: Estimate
    settled_ms: int
    price_row: str = ""
    """The row that was charged; "" = the one the hold was taken under."""
    first_byte_ms: int | None = None
    """Milliseconds from admission to the upstream's first body byte."""
    finish: str = ""
    response_id: str = ""
    """Provider's id of a stored response, so that only its creator may fetch it."""
    tariff: str = ""
    """Which of the model's rates were charged (`core.price.tariff_of`)."""
    order: int = 0
    """Place of this post among all holds and posts of the ledger; 0 = not told."""
    source: str = ""
    """"" = metered here; else the kind of import that told it."""
    requests: int = 1
    """Calls that it stands for; 0 = an import does not say."""
    unknown: str = ""
    """What an import does not say, with commas between: requests, tokens, cache, time, price."""
    savings: tuple[Saving, ...] = ()
    """Lines against what the request asked for: list_nusd + their sum is its baseline."""
    broke: Break | None = None
    """Where it left the prefix of its conversation."""
    role: Role = Role.ANSWER
    """What the attempt was made for."""
    routed: Routed | None = None
    """How its request was routed; None = by its name alone."""

    @property
    def overrun_nusd(self) -> int:
        """By how much the bill exceeded the hold."""
        return max(0, self.billed_nusd - self.hold.held_nusd)
