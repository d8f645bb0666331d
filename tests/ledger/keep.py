"""Write a ledger file of this release for the releases to come: python -m tests.ledger.keep

A file under fixtures/ is never written again once its release is out: tests/ledger/test_schema.py opens every one of them.
"""

import random
import sys
from pathlib import Path

import jevons
from jevons.core.entry import Hold
from jevons.ledger.ops import KeyCreated, Opened
from jevons.ledger.recovery import settle_open_holds
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import NOON_MS, SETTINGS, batches, make_hold, make_key

FIXTURES = Path(__file__).parent / "fixtures"
STILL_OPEN: Hold = make_hold((NOON_MS + 86_400_000) << 18, 77, run_id="crashed")


def keep(path: Path) -> None:
    """Two keys with a few dozen entries of every kind, one key with settings, and a call that a crash left open."""
    store = SqliteStore(path)
    for batch in batches(random.Random(1), 12):
        store.apply(batch)
    settle_open_holds(store, NOON_MS)
    store.apply([KeyCreated(make_key(3, 5_000, settings=SETTINGS)), Opened(STILL_OPEN)])
    store.db.pragma("journal_mode", "delete")  # one file
    store.db.execute("VACUUM")
    store.close()


if __name__ == "__main__":
    target = FIXTURES / f"ledger-{jevons.__version__}.db"
    if target.exists():
        sys.exit(f"{target} is there already. A release's ledger is never rewritten.")
    FIXTURES.mkdir(exist_ok=True)
    keep(target)
    print(f"{target}: {target.stat().st_size:,} bytes")
