"""Others' logs in the ledger: the keys that their rows belong to, which rows are in it already, how far files are read, what came of it.

Comes in: names as sources tell them, digests, rows. Goes out: keys, operations for the store, figures. Rows are written by
`ledger.imported`, in the store's transaction. Does not know: files, formats, prices.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from jevons.core.entry import first_id_of_ms
from jevons.core.limits import IMPORT_CACHE_KIB, IMPORT_CHECKPOINT_PAGES
from jevons.ledger import keys
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import FileMark, Imported, ImportRow, Key, KeyCreated, KeyRevoked, KeySettings, Op
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from jevons.ledger.store import Store

NAME_CHARACTERS_MAX = 64
NAME_DIGITS = 8
"""Of the digest at the end of a name that had to be cut."""
_ASKED_AT_ONCE = 500
_DEFAULT_ORG = KeySettings().org


class Whose(msgspec.Struct, frozen=True):
    """Whom a source says that a row belongs to. Each is a key of its own."""

    source: str
    account: str = ""
    team: str = ""
    org: str = ""


class Known(NamedTuple):
    """What the ledger has of a row already, all growths of it together."""

    tokens: tuple[int, int, int, int, int]
    """input, cache_read, cache_write_5m, cache_write_1h, output"""
    reasoning: int
    requests: int
    billed_nusd: int
    list_nusd: int


class Refused(LedgerError):
    """Rows that the ledger does not take, with what to do."""


def keys_for(known: Iterable[Key], wanted: Sequence[Whose], now_ms: int) -> tuple[list[int], list[Key]]:
    """(key id of each wanted, the keys that are to be made first). No call can use such a key: nobody ever sees what its digest is of."""
    named = {key.name: key for key in known}
    last_id = max((key.id for key in named.values()), default=0)
    ids: list[int] = []
    made: list[Key] = []
    for whose in wanted:
        if not whose.source or _cleaned(whose.source) != whose.source:
            raise Refused(f"The name of a source has 1 to {NAME_CHARACTERS_MAX} printable characters, and no slash.")
        name = _name_of(whose, named)
        if name not in named:
            last_id += 1
            settings = KeySettings(team=_cleaned(whose.team), org=_cleaned(whose.org) or _DEFAULT_ORG, source=whose.source)
            named[name] = Key(last_id, name, keys.digest_of(secrets.token_hex(32)), "", now_ms, None, settings)
            made.append(named[name])
        ids.append(named[name].id)
    return ids, made


async def ensure_keys(ledger: Ledger, wanted: Sequence[Whose], now_ms: int) -> list[int]:
    """Key ids for these, in the serving process; those that are not there are made, and revoked at once."""
    ids, made = keys_for(list(ledger.by_id.values()), wanted, now_ms)
    for key in made:
        await ledger.add_key(key)
        await ledger.revoke_key(key.id, now_ms)
    return ids


def ensure_keys_directly(store: Store, wanted: Sequence[Whose], now_ms: int) -> list[int]:
    """The same where nobody serves, under the home's lock."""
    ids, made = keys_for(store.load().keys, wanted, now_ms)
    ops: list[Op] = []
    for key in made:
        ops += [KeyCreated(key), KeyRevoked(key.id, now_ms)]
    if ops:
        store.apply(ops)
    return ids


async def take_in(ledger: Ledger, batch: Imported, now_ms: int) -> int:
    """Write rows in the serving process. Returns how many were new. Raises Refused, LedgerUnavailable; then nothing was written."""
    check(batch.rows, {key.id: key for key in ledger.by_id.values()}, now_ms)
    await ledger.writer.submit(batch)
    for key_id, nusd in batch.fresh_nusd.items():
        ledger.accounts[key_id].adjust(0, nusd)
    return batch.fresh


def make_ready(store: SqliteStore) -> None:
    """For a connection that will write many rows and nothing else."""
    store.db.pragma("cache_size", -IMPORT_CACHE_KIB)
    store.db.pragma("wal_autocheckpoint", IMPORT_CHECKPOINT_PAGES)


def take_in_directly(store: Store, batch: Imported) -> int:
    """The same where nobody serves, under the home's lock."""
    store.apply([batch])
    return batch.fresh


def check(rows: Iterable[ImportRow], by_id: dict[int, Key], now_ms: int) -> None:
    """Raises Refused for rows that would not leave a ledger right: their keys are no keys of imports, their lines do not sum, they are to come."""
    for row in rows:
        entry = row.entry
        key = by_id.get(entry.hold.key_id)
        if key is None or not key.settings.source or key.settings.source != entry.source:
            raise Refused("An imported row belongs to a key that was made for its source (POST /imports/keys).")
        if len(row.digest) != 16:
            raise Refused("An imported row needs a digest of 16 bytes.")
        if (
            sum(line.nusd for line in entry.lines) != entry.list_nusd
            or min(entry.list_nusd, entry.billed_nusd, entry.requests) < 0
        ):
            raise Refused("The lines of an imported row must sum to its list cost; costs and calls are at least 0.")
        if not 0 < entry.hold.id < first_id_of_ms(now_ms + 1):
            raise Refused("An imported row lies in the past.")


def known_of(path: Path, digests: Sequence[bytes]) -> dict[bytes, Known]:
    """What is in the ledger already of these digests."""
    found: dict[bytes, Known] = {}
    if not path.exists():
        return found
    with reading(path) as db:
        for start in range(0, len(digests), _ASKED_AT_ONCE):
            part = digests[start : start + _ASKED_AT_ONCE]
            rows = db.execute(
                "SELECT digest, input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, requests, billed_nusd, list_nusd"
                f" FROM imported JOIN entries ON id = entry_id WHERE digest IN ({', '.join('?' * len(part))})",
                part,
            )
            for digest, given, read, write_5m, write_1h, made, reasoning, requests, billed, listed in rows:
                found[digest] = Known((given, read, write_5m, write_1h, made), reasoning, requests, billed, listed)
    return found


def marks(path: Path, kind: str) -> dict[str, FileMark]:
    """How far the files of a kind are read, by the name they are known by."""
    if not path.exists():
        return {}
    with reading(path) as db:
        rows = db.execute(
            "SELECT kind, path, size, mtime_ns, offset, rows, set_aside, at_ms FROM import_files WHERE kind = ?", (kind,)
        )
        return {row[1]: FileMark(*row) for row in rows}


def days_with(path: Path, source: str) -> set[int]:
    """Days since 1970 (UTC) of which the ledger has rows of this source."""
    if not path.exists():
        return set()
    with reading(path) as db:
        rows = db.execute(
            "SELECT DISTINCT day FROM rollup_day JOIN keys ON id = key_id WHERE settings ->> 'source' = ?", (source,)
        )
        return {day for (day,) in rows}


def anything_of(path: Path, sources: Sequence[str]) -> bool:
    """Was anything imported under one of these names?"""
    if not path.exists():
        return False
    with reading(path) as db:
        places = ", ".join("?" * len(sources))
        return db.execute(f"SELECT 1 FROM keys WHERE settings ->> 'source' IN ({places}) LIMIT 1", tuple(sources)).get is not None


def summary(path: Path, sources: Sequence[str], since_ms: int, runs_max: int) -> dict[str, Any]:
    """What these sources say was used since then: by model, by day (UTC), and the dearest runs with all that they started."""
    places = ", ".join("?" * len(sources))
    ours = f"key_id IN (SELECT id FROM keys WHERE settings ->> 'source' IN ({places}))"
    sums = (
        "sum(steps) AS requests, sum(input + cache_read + cache_write_5m + cache_write_1h) AS input_tokens, sum(cache_read) AS cached_tokens,"
        " sum(output) AS output_tokens, sum(list_nusd) AS list_nusd, sum(billed_nusd) AS billed_nusd"
    )
    since = (*sources, since_ms // DAY_MS)
    with reading(path) as db:

        def rows(sql: str, bindings: tuple[Any, ...]) -> list[dict[str, Any]]:
            cursor = db.execute(sql, bindings)
            return [dict(zip([name for name, _ in cursor.get_description()], row, strict=True)) for row in cursor]

        by_day = f"FROM rollup_day WHERE {ours} AND day >= ? GROUP BY 1"
        total = rows(f"SELECT count(*) AS groups, {sums} FROM rollup_day WHERE {ours} AND day >= ?", since)[0]
        return {
            **{name: value or 0 for name, value in total.items() if name != "groups"},
            "models": rows(f"SELECT upstream || '/' || target AS model, {sums} {by_day} ORDER BY list_nusd DESC, 1", since),
            "days": rows(f"SELECT date(day * 86400, 'unixepoch') AS day, {sums} {by_day} ORDER BY 1", since),
            "runs": rows(
                f"SELECT coalesce(parent_run_id, run_id) AS run, max(agent) AS agent, min(first_ms) AS first_ms, max(last_ms) AS last_ms, {sums}"
                f" FROM runs WHERE {ours} AND last_ms >= ? GROUP BY key_id, 1 ORDER BY list_nusd DESC LIMIT ?",
                (*sources, since_ms, runs_max),
            ),
        }


def _name_of(whose: Whose, named: Mapping[str, Key]) -> str:
    """ "litellm:alice@search": what the source tells is in the name, so that the key is found again when its settings have been changed.

    Where a client's key has that name: "litellm:alice@search-2".
    """
    whole = f"{whose.source}:{whose.account}" if whose.account else whose.source
    for label in (whose.team, whose.org):
        whole += f"@{label}" if label else ""
    wanted, number = whole, 2
    while True:
        key = named.get(name := _cleaned(wanted))
        if key is None or key.settings.source == whose.source:
            return name
        wanted = f"{whole}-{number}"
        number += 1


def _cleaned(name: str) -> str:
    """A name that may stand in paths and subjects; a long one is cut, and ends with a digest of the whole."""
    plain = "".join("_" if character == "/" or not character.isprintable() else character for character in name.strip())
    if len(plain) <= NAME_CHARACTERS_MAX:
        return plain
    return plain[: NAME_CHARACTERS_MAX - NAME_DIGITS - 1] + "-" + hashlib.sha256(name.encode()).hexdigest()[:NAME_DIGITS]
