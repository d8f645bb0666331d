"""What `jevons explain` is compared with: the sums of two spans of days straight from the entries, by GROUP BY. A program of its own.

    python -m bench.explain.baseline LEDGER FIRST_DAY DAY_AFTER …

Comes in: a ledger and spans. Goes out: one JSON line, what was billed in each span. It explains nothing: a frame at each end is the least that
an explanation from the entries themselves would have to read.
"""

import json
import sys

import apsw

from jevons.core.entry import first_id_of_ms
from jevons.ledger.rollup import DAY_MS

SUMS = (
    "SELECT key_id, agent, upstream, target, tariff, count(*), count(DISTINCT run_id), sum(input), sum(cache_read), sum(cache_write_5m),"
    " sum(cache_write_1h), sum(output), sum(list_nusd), sum(billed_nusd) FROM entries WHERE id >= ? AND id < ? GROUP BY 1, 2, 3, 4, 5"
)


def main(path: str, *days: str) -> None:
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    borders = [first_id_of_ms(int(day) * DAY_MS) for day in days]
    billed = [sum(row[-1] for row in db.execute(SUMS, span)) for span in zip(borders[::2], borders[1::2], strict=True)]
    print(json.dumps({"billed_nusd": billed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
