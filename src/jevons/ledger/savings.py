"""What entries saved, and where prefixes broke: written in the transaction of the entries, so that no page ever counts entries for it.

A saving belongs to the (UTC) day of its entry's admission. `problems` adds all of it up again. Does not know: why something was saved.
"""

from collections.abc import Iterator, Sequence

import apsw

from jevons.core.entry import Entry, admitted_ms, first_id_of_ms
from jevons.core.saving import SavingKind
from jevons.ledger.rollup import DAY_MS

_ADD = (
    "INSERT INTO savings_day (day, key_id, agent, upstream, target, kind, entries, tokens, nusd, estimated_nusd)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET entries = entries + excluded.entries, tokens = tokens + excluded.tokens,"
    " nusd = nusd + excluded.nusd, estimated_nusd = estimated_nusd + excluded.estimated_nusd"
)
_KEPT = "SELECT day, key_id, agent, upstream, target, kind, entries, tokens, nusd, estimated_nusd FROM savings_day"
_COUNTED = (
    f"SELECT entries.id / {first_id_of_ms(DAY_MS)} AS day, key_id, agent, upstream, target, value ->> 0 AS kind, count(*), sum(value ->> 2),"
    " sum(value ->> 1), sum(iif(value ->> 3, value ->> 1, 0)) FROM entries, json_each(entries.savings)"
    " WHERE savings <> '[]' GROUP BY 1, 2, 3, 4, 5, 6"
)
_GROUP = "day, key_id, agent, upstream, target, kind"
_UNLIKE = (
    f"WITH kept AS ({_KEPT}), counted AS MATERIALIZED ({_COUNTED}) SELECT count(*) FROM ("
    f"SELECT {_GROUP} FROM (SELECT * FROM kept EXCEPT SELECT * FROM counted) UNION"
    f" SELECT {_GROUP} FROM (SELECT * FROM counted EXCEPT SELECT * FROM kept))"
)
_KINDS = ", ".join(f"'{kind}'" for kind in SavingKind)
_MISSHAPEN = (
    f"SELECT count(DISTINCT entries.id) FROM entries, json_each(entries.savings) WHERE savings <> '[]' AND (value ->> 0 NOT IN ({_KINDS})"
    " OR typeof(value ->> 1) <> 'integer' OR typeof(value ->> 2) <> 'integer'"
    " OR (value ->> 0 = 'check' AND (json_array_length(savings) <> 1 OR list_nusd + (value ->> 1) <> 0)))"
)
"""A line of no kind that there is, or a check that is not all of what its call cost."""
_BREAK = "INSERT INTO prefix_breaks (entry_id, position, role, cause, lost_tokens, lost_nusd) VALUES (?, ?, ?, ?, ?, ?)"


def write(db: apsw.Connection, entries: Sequence[Entry]) -> None:
    """The savings and the breaks of entries that are being written."""
    days: dict[tuple[int, int, str, str, str, str], tuple[int, ...]] = {}
    for entry in entries:
        hold = entry.hold
        for saving in entry.savings:
            day = (admitted_ms(hold.id) // DAY_MS, hold.key_id, hold.agent, hold.upstream, hold.target, saving.kind)
            added = (1, saving.tokens, saving.nusd, saving.nusd if saving.estimated else 0)
            days[day] = tuple(map(sum, zip(days[day], added, strict=True))) if day in days else added
    if days:
        db.executemany(_ADD, [(*day, *sums) for day, sums in days.items()])
    broken = [
        (entry.hold.id, one.position, one.role, one.cause, one.lost_tokens, one.lost_nusd)
        for entry in entries if (one := entry.broke) is not None
    ]  # fmt: skip
    if broken:
        db.executemany(_BREAK, broken)


def problems(db: apsw.Connection) -> Iterator[str]:
    """What is wrong with what was saved, in words."""
    if misshapen := db.execute(_MISSHAPEN).get:
        yield f"{misshapen} entries whose savings are not as savings are written"
    if wrong := db.execute(_UNLIKE).get:
        yield f"savings_day: {wrong} sums are not those of the entries"
