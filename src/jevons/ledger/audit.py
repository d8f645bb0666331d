"""The audit log: every change and every denial, each row's code over the row before it.

The code is a keyed BLAKE2b: who lacks the key (JEVONS_HOME/audit.secret) cannot change, insert or take out a row unseen. Rows cut off at
the end are seen only against an anchor: a (number, code) that was kept elsewhere. So the log is tamper-evident up to the last anchor.
"""

import re
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from jevons.ledger.bill import reading
from jevons.ledger.ops import (
    Adjusted,
    Approval,
    Decided,
    KeyChanged,
    KeyCreated,
    KeyRevoked,
    Kill,
    Lifted,
    LimitPut,
    LimitRemoved,
    LimitSet,
    Noted,
    Op,
    Overran,
    Overrun,
    Posted,
    RunTightened,
)

MAC_BYTES = 32
_ANCHOR = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_FIRST = bytes(MAC_BYTES)


class Record(NamedTuple):
    """One row to be."""

    at_ms: int
    action: str
    subject: str
    detail: dict[str, object]


class Anchor(NamedTuple):
    """The log's last row, as it is kept elsewhere: "12:9f86…"."""

    seq: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.hex()}"


class Verdict(NamedTuple):
    """What a check of the log found. `broken` "" = nothing."""

    rows: int
    anchor: Anchor
    broken: str


def append(db: apsw.Connection, key: bytes, record: Record) -> None:
    """Add a row within the transaction under way."""
    seq, mac = db.execute("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1").fetchone() or (0, _FIRST)
    detail = msgspec.json.encode(record.detail, order="sorted").decode()
    row = (seq + 1, record.at_ms, record.action, record.subject, detail)
    db.execute(
        "INSERT INTO audit (seq, at_ms, action, subject, detail, mac) VALUES (?, ?, ?, ?, ?, ?)", (*row, _mac(key, mac, row))
    )


def parse_anchor(text: str) -> Anchor:
    """Raises ValueError."""
    match = _ANCHOR.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not an anchor; it looks like 12:9f86…, a number and 64 hex digits, as `jevons audit anchor` prints it"
        )
    return Anchor(int(match[1]), bytes.fromhex(match[2]))


def verify(path: Path, key: bytes, anchor: Anchor | None = None) -> Verdict:
    """Check every row, and that the anchored one is there. Reads the whole log."""
    mac, seq, broken, met = _FIRST, 0, "", anchor is None or anchor.seq == 0
    with reading(path) as db:
        for number, at_ms, action, subject, detail, stored in db.execute(
            "SELECT seq, at_ms, action, subject, detail, mac FROM audit ORDER BY seq"
        ):
            if not broken and number != seq + 1:
                broken = f"row {seq + 1} is missing"
            mac = _mac(key, mac, (number, at_ms, action, subject, detail))
            if not broken and mac != stored:
                broken = f"row {number} is not what was written"
            if anchor is not None and number == anchor.seq:
                met = True
                if not broken and stored != anchor.mac:
                    broken = f"row {number} is not the anchored one"
            seq, mac = number, stored
    if not broken and not met:
        broken = f"rows after {seq} are missing: the anchor names row {anchor.seq if anchor else 0}"
    return Verdict(seq, Anchor(seq, mac), broken)


def rows(path: Path, limit: int, action: str | None = None) -> list[dict[str, object]]:
    """The latest rows, newest first."""
    with reading(path) as db:
        found = db.execute(
            "SELECT seq, at_ms, action, subject, detail FROM audit WHERE ? IS NULL OR action = ? ORDER BY seq DESC LIMIT ?",
            (action, action, limit),
        )
        return [
            {"seq": seq, "at_ms": at_ms, "action": action, "subject": subject, "detail": msgspec.json.decode(detail)}
            for seq, at_ms, action, subject, detail in found
        ]


def records_of(op: Op, key_name: str = "") -> list[Record]:
    """What an operation leaves in the log; nothing for the calls that go their way. `key_name`: of the key it concerns."""
    match op:
        case Posted(_, _, overruns) | Overran(overruns):
            return [_overrun(overrun) for overrun in overruns]
        case Adjusted():
            detail: dict[str, object] = {"nusd": op.nusd, "reason": op.reason, "entry_id": op.entry_id}
            return [Record(op.created_ms, "adjust", f"key:{key_name}", detail), *map(_overrun, op.overruns)]
        case KeyCreated(key):
            detail = {"limit_nusd": key.limit_nusd, "settings": msgspec.to_builtins(key.settings)}
            return [Record(key.created_ms, "key-create", f"key:{key.name}", detail)]
        case KeyRevoked(_, at_ms):
            return [Record(at_ms, "key-revoke", f"key:{key_name}", {})]
        case KeyChanged(_, settings, at_ms):
            return [Record(at_ms, "key-change", f"key:{key_name}", {"settings": msgspec.to_builtins(settings)})]
        case LimitSet():
            return [Record(op.at_ms, "key-limit", f"key:{key_name}", {"limit_nusd": op.limit_nusd}), *map(_overrun, op.overruns)]
        case LimitPut(limit, at_ms):
            return [Record(at_ms, "limit-set", f"limit:{limit.name}", {"limit": msgspec.to_builtins(limit)})]
        case LimitRemoved(name, at_ms):
            return [Record(at_ms, "limit-remove", f"limit:{name}", {})]
        case RunTightened():
            return [Record(op.at_ms, "run-budget", f"run:{key_name}/{op.run_id}", {"budget_nusd": op.budget_nusd})]
        case Kill():
            return [Record(op.created_ms, "kill", op.subject, {"kill": op.id, "reason": op.reason})]
        case Lifted(kill_id, at_ms):
            return [Record(at_ms, "lift", f"kill:{kill_id}", {})]
        case Approval():
            return [Record(op.asked_ms, "ask", op.account, {"approval": op.id, "question": op.question})]
        case Decided(approval):
            detail = {"approval": approval.id, "grants": approval.grants}
            return [Record(approval.decided_ms or 0, f"answer-{approval.state}", approval.account, detail)]
        case Noted(at_ms, action, subject, detail):
            return [Record(at_ms, action, subject, detail)]
    return []


def _overrun(overrun: Overrun) -> Record:
    detail: dict[str, object] = {"amount": overrun.amount, "cause": overrun.cause, "entry_id": overrun.entry_id}
    return Record(overrun.at_ms, "overrun", overrun.account, detail)


def _mac(key: bytes, before: bytes, row: tuple[int, int, str, str, str]) -> bytes:
    return blake2b(before + msgspec.json.encode(row), digest_size=MAC_BYTES, key=key, person=b"audit").digest()
