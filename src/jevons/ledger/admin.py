"""What an operator does to the ledger: keys, limits, kills, answers, corrections, backups. The same functions serve the admin API and the
command line.

Raises LedgerError with what to do; amounts are nano-USD.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from jevons.core.entry import admitted_ms
from jevons.ledger import keys
from jevons.ledger.audit import MAC_BYTES, Anchor
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError, LedgerUnavailable, Unknown
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, Key, KeySettings, Kill
from jevons.ledger.schema import backup_file
from jevons.policy.kills import hits, parse_subject
from jevons.policy.rules import Limit, matches, rules_of

AMOUNT_MAX_NUSD = 2**62
"""Half of what 64 bits hold: sums of an account and of what is done to it stay within them."""


class KeyChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New settings of a key; what is not set stays as it is."""

    default_output_tokens: int | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    denial_status: int | UnsetType | None = UNSET
    team: str | UnsetType = UNSET
    org: str | UnsetType = UNSET
    holds: Literal["", "strict", "packed"] | UnsetType = UNSET
    tiers: tuple[str, ...] | UnsetType = UNSET

    def applied(self, settings: KeySettings) -> KeySettings:
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(settings, **{name: value for name, value in named.items() if value is not UNSET})


async def create_key(ledger: Ledger, name: str, limit_nusd: int | None, settings: KeySettings, now_ms: int) -> tuple[Key, str]:
    """A new key and its record. The key is returned this once and kept nowhere."""
    _check_name("a key", name)
    _check_settings(settings)
    if settings.source:
        raise LedgerError("A key with a source is an import's, which no limit counts; `jevons import` makes it.")
    if any(key.name == name for key in ledger.keys.values()):
        raise LedgerError(f"There is a key {name!r} already (perhaps revoked); choose another name.")
    _check_limit(limit_nusd)
    secret = keys.new_key()
    number = max((key.id for key in ledger.keys.values()), default=0) + 1
    record = Key(number, name, keys.digest_of(secret), secret[: keys.SHOWN_CHARACTERS], now_ms, limit_nusd, settings)
    await ledger.add_key(record)
    return record, secret


async def change_key(ledger: Ledger, name: str, changes: KeyChanges, now_ms: int) -> KeySettings:
    """Other settings for a key. What it spent moves with it to another team. Returns all of them."""
    key = _named(ledger, name)
    settings = changes.applied(key.settings)
    _check_settings(settings)
    await ledger.change_key(key.id, settings, now_ms)
    return settings


async def revoke_key(ledger: Ledger, name: str, now_ms: int) -> None:
    """From now on the key is refused; calls under way are finished and settled."""
    try:
        await ledger.revoke_key(_named(ledger, name).id, now_ms)
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{error}. Key {name!r} is refused already; that is written when the disk is back, and lost if Jevons stops before."
        ) from None


async def set_limit(ledger: Ledger, name: str, limit_nusd: int | None, now_ms: int) -> None:
    """A new total limit, or none. Lowering it under what is spent and held is recorded as overrun."""
    _check_limit(limit_nusd)
    await ledger.set_limit(_named(ledger, name).id, limit_nusd, now_ms)


async def adjust(ledger: Ledger, name: str, nusd: int, reason: str, now_ms: int, entry_id: int | None = None) -> None:
    """A dated correction of what a key has spent."""
    if abs(nusd) > AMOUNT_MAX_NUSD:
        raise LedgerError("A correction of more than 4.6 billion dollars does not fit the ledger.")
    if not reason.strip():
        raise LedgerError("A correction needs a reason: the next reader will ask for it.")
    await ledger.adjust(_named(ledger, name).id, nusd, reason, now_ms, entry_id)


async def put_limit(ledger: Ledger, limit: Limit, now_ms: int) -> None:
    """Set a limit, or replace the one of its name. What was spent in its window counts already."""
    try:
        rules_of(msgspec.structs.replace(limit, mode="enforce"))  # one that is off must make sense too
    except ValueError as error:
        raise LedgerError(f"{error}.") from None
    await ledger.put_limit(limit, now_ms)


async def remove_limit(ledger: Ledger, name: str, now_ms: int) -> None:
    """One that stands in jevons.toml is only removed there."""
    where = {limit.name: where for limit, where in ledger.control.limits}
    check_there("limit", name, where)
    if where[name] == "built in":
        raise LedgerError(f"Limit {name!r} is built in. To be rid of it, set one of its name with mode off.")
    await ledger.remove_limit(name, now_ms)


async def kill(ledger: Ledger, subject: str, reason: str, now_ms: int) -> tuple[Kill, int]:
    """Stop whoever the subject names, at once and until it is lifted. Returns the kill, and how many calls were under way that it stops.

    A subject that names no key, team or organisation there is would stop nobody, and is refused: it is a slip of the pen.
    """
    try:
        checked = parse_subject(subject)
    except ValueError as error:
        raise LedgerError(f"{error}.") from None
    _check_reaches(ledger, checked)
    open_calls = _open_calls(ledger, checked)
    try:
        return await ledger.control.kill(checked, reason, now_ms), open_calls
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{error}. It is stopped already ({checked}); that is written when the disk is back, and lost if Jevons stops before."
        ) from None


async def lift(ledger: Ledger, kill_id: int, now_ms: int) -> None:
    if kill_id not in ledger.control.kills:
        raise Unknown(f"No kill {kill_id} is in force. In force: {', '.join(map(str, ledger.control.kills)) or 'none'}.")
    await ledger.control.lift(kill_id, now_ms)


async def decide(ledger: Ledger, approval_id: str, approved: bool, now_ms: int) -> Approval:
    """Answer a question, in time or late, or change the answer."""
    if approval_id not in ledger.control.approvals:
        raise Unknown(f"There is no question {approval_id!r}. `jevons approve` lists them.")
    return await ledger.control.decide(approval_id, approved, now_ms)


def audit_head(path: Path) -> Anchor:
    """The audit log's last row, to be kept elsewhere. 0 and zeros for an empty log."""
    with reading(path) as db:
        return Anchor(*(db.execute("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1").fetchone() or (0, bytes(MAC_BYTES))))


async def back_up(ledger: Ledger, target: Path) -> None:
    """A consistent copy of the live ledger."""
    await asyncio.to_thread(backup_file, ledger.path, target)


def check_there(what: str, name: str, known: Collection[str]) -> None:
    """Raises Unknown, with what is there."""
    if name not in known:
        raise Unknown(f"There is no {what} {name!r}. {_listed(what, known)}")


def _check_limit(limit_nusd: int | None) -> None:
    if limit_nusd is not None and not 0 <= limit_nusd <= AMOUNT_MAX_NUSD:
        raise LedgerError("A limit is at least 0 and at most 4.6 billion dollars.")


def _check_name(what: str, name: str) -> None:
    """Names stand in paths, and in subjects such as team:ORG/TEAM."""
    if not name or len(name) > 64 or not name.isprintable() or "/" in name:
        raise LedgerError(f"{name!r} cannot name {what}: 1 to 64 printable characters without '/'.")


def _check_settings(settings: KeySettings) -> None:
    _check_name("an organisation", settings.org)
    if settings.team:
        _check_name("a team", settings.team)
    if settings.default_output_tokens is not None and settings.default_output_tokens < 1:
        raise LedgerError("An output cap is at least one token; leave it out for the default.")
    if settings.denial_status is not None and not 400 <= settings.denial_status < 500:
        raise LedgerError(f"{settings.denial_status} is no status of a denial; it is one from 400 to 499.")


def _check_reaches(ledger: Ledger, subject: str) -> None:
    kind, _, pattern = subject.partition(":")
    keys = ledger.by_id.values()
    match kind:
        case "everything" | "model":
            return
        case "org":
            what, known = "organisation", {key.settings.org for key in keys}
        case "team":
            what, known = "team", {f"{key.settings.org}/{key.settings.team}" for key in keys if key.settings.team}
        case _:
            what, known = "key", {key.name for key in keys}
            pattern = pattern.partition("/")[0]
    if not any(matches(name, pattern) for name in known):
        raise LedgerError(f"{subject!r} would stop nobody: there is no {what} {pattern!r}. {_listed(what, known)}")


def _open_calls(ledger: Ledger, subject: str) -> int:
    found = 0
    for call in ledger.open_holds.values():
        hold = call.hold
        runs: tuple[str, ...] = ()
        who = ledger.who(ledger.by_id[hold.key_id], hold.agent, hold.run_id)
        if hold.run_id is not None:
            run = ledger.runs.enter(hold.key_id, hold.run_id, hold.parent_run_id, admitted_ms(hold.id))
            runs = tuple(node.label for node in run.lineage)
        found += hits(subject, who, runs, hold.target)
    return found


def _named(ledger: Ledger, name: str) -> Key:
    named = {key.name: key for key in ledger.keys.values()}
    check_there("key", name, named)
    return named[name]


def _listed(what: str, names: Collection[str]) -> str:
    return f"{what.capitalize()}s: {', '.join(sorted(names)) or 'none yet'}."
