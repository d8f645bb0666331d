"""Holds and entries as rows: however many there are, all are written, and read as they were."""

from pathlib import Path

import pytest

from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import make_entry, make_hold, make_key


@pytest.mark.parametrize(("opened", "posted"), [(0, 0), (1, 1), (3, 2), (4, 4), (15, 9), (64, 63), (85, 85), (200, 151)])
def test_any_number_of_rows_is_written_whole(path: Path, opened: int, posted: int) -> None:
    store = SqliteStore(path)
    holds = [make_hold(16 * number, 2) for number in range(1, opened + 1)]
    store.apply([KeyCreated(make_key()), *map(Opened, holds), *(Posted(make_entry(hold, 3)) for hold in holds[:posted])])
    assert store.load().holds == holds[posted:]
    assert store.db.execute("SELECT count(*), coalesce(sum(billed_nusd), 0) FROM entries").fetchall() == [(posted, 3 * posted)]
    assert store.load().posted[1] == (3 * posted, 0)
    store.close()
