"""What an operator does to the ledger: keys, limits, corrections, backups. The same functions serve the admin API and the command line.

Raises LedgerError with what to do; amounts are nano-USD.
"""

import asyncio
from pathlib import Path

from jevons.ledger import keys
from jevons.ledger.errors import LedgerError, LedgerUnavailable
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Key, KeySettings
from jevons.ledger.schema import backup_file

AMOUNT_MAX_NUSD = 2**62
"""Half of what 64 bits hold: sums of an account and of what is done to it stay within them."""


async def create_key(ledger: Ledger, name: str, limit_nusd: int | None, settings: KeySettings, now_ms: int) -> tuple[Key, str]:
    """A new key and its record. The key is returned this once and kept nowhere."""
    if not name or len(name) > 64 or not name.isprintable() or "/" in name:
        raise LedgerError(f"{name!r} cannot name a key: 1 to 64 printable characters without '/'.")
    if any(key.name == name for key in ledger.keys.values()):
        raise LedgerError(f"There is a key {name!r} already (perhaps revoked); choose another name.")
    _check_limit(limit_nusd)
    secret = keys.new_key()
    number = max((key.id for key in ledger.keys.values()), default=0) + 1
    record = Key(number, name, keys.digest_of(secret), secret[: keys.SHOWN_CHARACTERS], now_ms, limit_nusd, settings)
    await ledger.add_key(record)
    return record, secret


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


async def back_up(ledger: Ledger, target: Path) -> None:
    """A consistent copy of the live ledger."""
    await asyncio.to_thread(backup_file, ledger.path, target)


def _check_limit(limit_nusd: int | None) -> None:
    if limit_nusd is not None and not 0 <= limit_nusd <= AMOUNT_MAX_NUSD:
        raise LedgerError("A limit is at least 0 and at most 4.6 billion dollars.")


def _named(ledger: Ledger, name: str) -> Key:
    for key in ledger.keys.values():
        if key.name == name:
            return key
    known = ", ".join(sorted(key.name for key in ledger.keys.values()))
    raise LedgerError(f"There is no key {name!r}. Keys: {known or 'none yet'}.")
