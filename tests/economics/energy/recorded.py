"""Ledgers with a few calls, for the tests of energy."""

from pathlib import Path
from typing import Any

from jevons.core.entry import first_id_of_ms
from jevons.core.usage import Usage
from jevons.ledger.ops import KeyCreated, KeySettings, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

DAY_MS = 86_400_000


def record(path: Path, *calls: tuple[str, Usage, dict[str, Any]]) -> list[int]:
    """(provider/model, usage, fields of the hold or the entry) each a second after the one before; gives their ids."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    store, ids = SqliteStore(path), []
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2, settings=KeySettings(org="acme", team="search")))])
    for number, (model, usage, fields) in enumerate(calls):
        provider, _, target = model.partition("/")
        at_ms = NOON_MS + fields.get("after_ms", 1000 * number)
        of_hold = {name: fields[name] for name in ("run_id", "parent_run_id", "key_id", "agent") if name in fields}
        hold = make_hold(first_id_of_ms(at_ms), target=target, upstream=provider, price_row=f"{provider}/{target}@1", **of_hold)
        of_entry = {name: fields[name] for name in ("outcome", "source", "requests", "billed_nusd") if name in fields}
        entry = make_entry(hold, 1_000, usage=usage, settled_ms=at_ms + fields.get("ms", 4_000), **of_entry)
        store.apply([Opened(hold), Posted(entry)])
        ids.append(hold.id)
    store.close()
    return ids
