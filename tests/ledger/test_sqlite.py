"""The embedded store: batches whole or not at all, what a start reads, what is forgotten in time."""

from pathlib import Path

import apsw
import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.limits import IDEMPOTENCY_TTL_S, RESPONSE_OWNER_TTL_S
from jevons.ledger.bill import check, response_owner
from jevons.ledger.ops import Adjusted, KeyCreated, KeyRevoked, LimitSet, Opened, Posted, Withdrawn
from jevons.ledger.schema import migrations
from jevons.ledger.sqlite import SqliteStore
from jevons.ledger.store import Snapshot
from tests.ledger.making import NOON_MS, SETTINGS, dump, make_entry, make_hold, make_key, overruns


def test_a_new_ledger_is_empty(path: Path) -> None:
    store = SqliteStore(path)
    assert store.load() == Snapshot([], {}, [], {}, 0, 0, [], {}, [], 0, [])
    assert store.migrated == [version for version, _ in migrations()]
    assert store.db.pragma("synchronous") == 2  # FULL
    store.close()


def test_what_was_written_is_what_a_start_reads(path: Path) -> None:
    store = SqliteStore(path)
    key = make_key(1, 1_000, settings=SETTINGS)
    holds = [make_hold(16, 100, run_id="run", idempotency_key=b"k" * 32, body_digest=b"b" * 32), make_hold(32, 50, stream=False)]
    store.apply([KeyCreated(key), *map(Opened, holds)])
    store.apply(
        [
            Posted(make_entry(holds[0], 130), 9, overruns(1, 9, 16)),
            Adjusted(1, -7, "refund", NOON_MS, 16, 2, overruns(1, 2)),
            LimitSet(1, 500, NOON_MS, 3, overruns(1, 3)),
        ]
    )
    store.apply([KeyRevoked(1, NOON_MS + 1)])
    store.apply([])
    store.close()
    store = SqliteStore(path)
    snapshot = store.load()
    (found,) = snapshot.keys
    assert (found.digest, found.limit_nusd, found.settings, found.revoked_ms) == (key.digest, 500, SETTINGS, NOON_MS + 1)
    assert snapshot.posted == {1: (123, 14)}
    assert snapshot.holds == holds[1:]
    assert snapshot.idempotency == {(1, b"k" * 32): (b"b" * 32, 16)}
    assert snapshot.last_id == 32
    assert store.has_entry(16) and not store.has_entry(32)
    store.close()
    assert check(path) == []


def test_a_batch_with_one_bad_operation_leaves_nothing(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key())])
    before = dump(store.db)
    hold = make_hold(16)
    for bad in (Opened(make_hold(32, 2**64)), KeyCreated(make_key()), Adjusted(1, None, "no amount", NOON_MS)):  # type: ignore[arg-type]
        with pytest.raises((apsw.ConstraintError, OverflowError)):
            store.apply([Opened(hold), Posted(make_entry(hold, 5)), LimitSet(1, 5, NOON_MS), bad])
        assert dump(store.db) == before
    store.close()


def test_a_commit_that_fails_without_its_own_rollback_is_rolled_back(path: Path) -> None:
    store = SqliteStore(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    store.db.set_busy_timeout(0)
    with pytest.raises(apsw.BusyError):
        store.apply([KeyCreated(make_key())])
    other.execute("ROLLBACK")
    other.close()
    store.apply([KeyCreated(make_key())])
    store.close()


def test_withdrawing_forgets_holds_and_their_idempotency_keys_and_nothing_else(path: Path) -> None:
    store = SqliteStore(path)
    holds = [make_hold(16 * number, idempotency_key=bytes([number])) for number in range(1, 5)]
    store.apply([KeyCreated(make_key()), *map(Opened, holds), Posted(make_entry(holds[3], 5))])
    store.apply([Withdrawn((32, 48, 999))])
    snapshot = store.load()
    assert [hold.id for hold in snapshot.holds] == [16]
    assert [entry_id for _, entry_id in snapshot.idempotency.values()] == [16, 64]
    store.close()


def test_a_probe_writes_and_changes_nothing(path: Path) -> None:
    store = SqliteStore(path)
    before, changes = dump(store.db), Path(f"{path}-wal").stat().st_size
    store.probe()
    assert dump(store.db) == before
    assert Path(f"{path}-wal").stat().st_size > changes
    store.close()


def test_idempotency_keys_and_stored_responses_are_forgotten_in_time(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key())])

    def at(ms: int, name: str) -> None:
        hold = make_hold(first_id_of_ms(ms), idempotency_key=name.encode())
        store.apply([Opened(hold), Posted(make_entry(hold, 1, response_id=name))])

    def remembered() -> set[bytes]:
        return {digest for _, digest in store.load().idempotency}

    at(NOON_MS, "first")
    at(NOON_MS + IDEMPOTENCY_TTL_S * 1000, "second")
    assert remembered() == {b"first", b"second"}
    at(NOON_MS + IDEMPOTENCY_TTL_S * 1000 + 1, "third")
    assert remembered() == {b"second", b"third"}
    assert response_owner(path, "first") == (1, "openai")
    at(NOON_MS + RESPONSE_OWNER_TTL_S * 1000 + 1, "last")
    assert response_owner(path, "first") is None
    assert response_owner(path, "second") == (1, "openai")
    store.close()


def test_the_newest_owner_of_a_response_id_counts(path: Path) -> None:
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2))])
    for number in (1, 2):
        hold = make_hold(16 * number, key_id=number)
        store.apply([Opened(hold), Posted(make_entry(hold, 1, response_id="resp"))])
    assert response_owner(path, "resp") == (2, "openai")
    store.close()
