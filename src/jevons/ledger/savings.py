"""What entries saved, and where prefixes broke: written in the transaction of the entries, so that no page ever counts entries for it.

A saving belongs to the (UTC) day of its entry's admission. Does not know: why something was saved.
"""

from collections.abc import Sequence

import apsw

from jevons.core.entry import Entry, admitted_ms
from jevons.ledger.rollup import DAY_MS

_ADD = (
    "INSERT INTO savings_day (day, key_id, agent, upstream, target, kind, entries, tokens, nusd, estimated_nusd)"
    " VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET entries = entries + 1, tokens = tokens + excluded.tokens,"
    " nusd = nusd + excluded.nusd, estimated_nusd = estimated_nusd + excluded.estimated_nusd"
)
_BREAK = "INSERT INTO prefix_breaks (entry_id, position, role, cause, lost_tokens, lost_nusd) VALUES (?, ?, ?, ?, ?, ?)"


def write(db: apsw.Connection, entries: Sequence[Entry]) -> None:
    """The savings and the breaks of entries that are being written."""
    saved = [
        (admitted_ms(hold.id) // DAY_MS, hold.key_id, hold.agent, hold.upstream, hold.target, one.kind, one.tokens, one.nusd,
         one.nusd if one.estimated else 0)
        for entry in entries if entry.savings for hold in (entry.hold,) for one in entry.savings
    ]  # fmt: skip
    if saved:
        db.executemany(_ADD, saved)
    broken = [
        (entry.hold.id, one.position, one.role, one.cause, one.lost_tokens, one.lost_nusd)
        for entry in entries if (one := entry.broke) is not None
    ]  # fmt: skip
    if broken:
        db.executemany(_BREAK, broken)
