"""What a crash left is charged: once, whole, and no more than was held."""

from pathlib import Path

from jevons.core.entry import Outcome
from jevons.ledger.bill import check
from jevons.ledger.ops import KeyCreated, Opened
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.rows import ENTRY_COLUMNS
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, dump_file, make_hold, make_key


def test_open_holds_of_a_crash_are_charged_whole_in_batches(path: Path) -> None:
    store = SqliteStore(path, synchronous="OFF")
    holds = [make_hold((NOON_MS << 18) + 16 * i, i % 7, key_id=1 + i % 2) for i in range(1_100)]
    store.apply([KeyCreated(make_key(1, 10)), KeyCreated(make_key(2)), *map(Opened, holds)])
    assert settle_open_holds(store, NOON_MS) == 1_100
    assert settle_open_holds(store, NOON_MS) == 0
    snapshot = store.load()
    sums = [sum(hold.held_nusd for hold in holds if hold.key_id == key) for key in (1, 2)]
    assert [snapshot.posted[key] for key in (1, 2)] == [(sums[0], 0), (sums[1], 0)]  # what is charged was held, and nothing more
    store.close()
    estimate = ENTRY_COLUMNS.index("estimate")
    assert {(row[8], row[estimate]) for row in dump_file(path)["entries"]} == {(Outcome.KILLED, "hold")}
    assert check(path) == []
