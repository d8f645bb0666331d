"""What is being spent right now, read from the ledger file: open holds, the latest entries, today's sum."""

import time
from pathlib import Path
from typing import Any

from rich.live import Live

from jevons.ledger.bill import accounts, bill, latest_entries, open_holds
from jevons.ledger.rollup import DAY_MS

LATEST_SHOWN = 15
REFRESH_S = 1.0


def now(ledger: Path) -> dict[str, Any]:
    """{"today_nusd", "today_entries", "held_nusd", "holds", "entries"}"""
    today = int(time.time() * 1000) // DAY_MS * DAY_MS
    spent = bill(ledger, since_ms=today)
    names = {key["id"]: key["name"] for key in accounts(ledger)}
    holds = open_holds(ledger)
    return {
        "today_nusd": spent["total_nusd"],
        "today_entries": spent["entries"],
        "held_nusd": sum(hold["held_nusd"] for hold in holds),
        "holds": holds,
        "entries": [{**entry, "key_name": names[entry["key_id"]]} for entry in latest_entries(ledger, LATEST_SHOWN)],
    }


def watch(ledger: Path) -> None:
    """Redraw every second until Ctrl-C."""
    from jevons.cli.tables import console, top_table

    with Live(top_table(now(ledger)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_S)
            live.update(top_table(now(ledger)), refresh=True)
