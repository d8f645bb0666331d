"""The ledger of the loop: what a student cost to make and to compare, what it saved, and the day on which it has paid for itself.

Comes in: the ledger file and the student's versions. Goes out: sums to the nano-dollar, from entries that can be named, and a date. Savings are the
STUDENT lines of the student's own entries (its teacher's cost less its own); comparing is the whole cost of shadows, judges and checks of requests that
weighed it. Training is seconds of this machine at its stated rate (`distil.train`). Does not know: promises.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from jevons.core.entry import first_id_of_ms
from jevons.core.saving import SavingKind
from jevons.learn.student_card import read_card
from jevons.ledger.bill import reading
from jevons.ledger.ops import StudentPut
from jevons.ledger.rollup import DAY_MS

UPSTREAM = "student"
PRICED_MAX = 500
RATE_DAYS = 7
"""Days from which it is foreseen when a student will have paid for itself."""
_SAVED = (
    f"SELECT entries.id / {first_id_of_ms(DAY_MS)} AS day, count(DISTINCT entries.id), sum(value ->> 1) FROM entries, json_each(entries.savings)"
    f" WHERE upstream = '{UPSTREAM}' AND (target = :name OR target GLOB :name || '@*') AND value ->> 0 = '{SavingKind.STUDENT}' GROUP BY 1"
)
_SHADOWED = (
    f"SELECT entries.id / {first_id_of_ms(DAY_MS)} AS day, count(*), sum(list_nusd) FROM entries"
    " WHERE role IN ('shadow', 'judge', 'check') AND routed <> '' AND EXISTS (SELECT 1 FROM json_each(routed, '$[5]')"
    " WHERE value ->> 0 = 'student/' || :name OR value ->> 0 GLOB 'student/' || :name || '@*') GROUP BY 1"
)


Amount = tuple[int, int]
"""(day since 1970, nusd)"""


class Loop(msgspec.Struct, frozen=True):
    """Of one student, all of its versions."""

    name: str
    org: str
    versions: int
    training_nusd: int
    training_s: float
    shadow_nusd: int
    shadows: int
    saved_nusd: int
    answers: int
    """That it gave in its teacher's place."""
    net_nusd: int
    first_ms: int
    """When its first version was made."""
    break_even_ms: int | None
    """The (UTC) day on which savings reach costs; None = at its rate never, or nothing is known of its rate yet."""
    reached: bool
    """That day has come."""


class _Day(NamedTuple):
    day: int
    times: int
    nusd: int


def loop(path: Path, rows: Sequence[StudentPut], name: str, now_ms: int) -> Loop:
    """`rows`: versions of this student. Raises LedgerError."""
    mine = [row for row in rows if row.name == name]
    cards = [(row.at_ms, read_card(row.card)) for row in mine]
    with reading(path) as db:
        saved, shadowed = _days(db, _SAVED, name), _days(db, _SHADOWED, name)
    training = sum(card.train_nusd for _, card in cards)
    trained = [(made_ms // DAY_MS, card.train_nusd) for made_ms, card in cards]
    shadow, gain = sum(one.nusd for one in shadowed), sum(one.nusd for one in saved)
    day, reached = break_even(trained, _amounts(shadowed), _amounts(saved), now_ms // DAY_MS)
    return Loop(
        name=name,
        org=mine[0].org,
        versions=len(mine),
        training_nusd=training,
        training_s=sum(card.train_s for _, card in cards),
        shadow_nusd=shadow,
        shadows=sum(one.times for one in shadowed),
        saved_nusd=gain,
        answers=sum(one.times for one in saved),
        net_nusd=gain - training - shadow,
        first_ms=min(made_ms for made_ms, _ in cards),
        break_even_ms=None if day is None else day * DAY_MS,
        reached=reached,
    )


def break_even(once: Sequence[Amount], running: Sequence[Amount], saved: Sequence[Amount], today: int) -> tuple[int | None, bool]:
    """(the day, whether it has come) on which what was saved makes good what was spent. If it has not, it is foreseen by what was saved less
    what is spent all the time, in the latest RATE_DAYS days or since it first saved: None where that is nothing."""
    balance: dict[int, int] = {}
    for day, nusd in [*((day, -nusd) for day, nusd in (*once, *running)), *saved]:
        balance[day] = balance.get(day, 0) + nusd
    net, since = 0, None
    for day in sorted(balance):
        net += balance[day]
        since = (day if since is None else since) if net >= 0 else None
    if not saved or since is not None:
        return since if saved else None, bool(saved)
    first = max(today - RATE_DAYS + 1, min(day for day, _ in saved))
    rate = sum(nusd for day, nusd in saved if day >= first) - sum(nusd for day, nusd in running if day >= first)
    return (today - net * (today - first + 1) // rate, False) if rate > 0 else (None, False)


def _amounts(days: Sequence[_Day]) -> list[Amount]:
    return [(one.day, one.nusd) for one in days]


def _days(db: apsw.Connection, query: str, name: str) -> list[_Day]:
    return [_Day(*row) for row in db.execute(query, {"name": name})]


def teacher_nusd(path: Path, requests: Sequence[int]) -> int:
    """Mean list cost of answering these requests (first entry ids), of those that the ledger has; 0 = of none. The latest PRICED_MAX are looked at."""
    with reading(path) as db:
        costs = [
            db.execute(
                "SELECT sum(list_nusd) FROM entries WHERE id >= ? AND id < ? AND role <> 'shadow'", (first, first + 16)
            ).get
            for first in requests[-PRICED_MAX:]
        ]
    known = [cost for cost in costs if cost is not None]
    return round(sum(known) / len(known)) if known else 0
