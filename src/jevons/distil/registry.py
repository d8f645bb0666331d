"""What becomes of students: who serves, who follows whom, one step back, and which of them hold an example.

Comes in: every version as the ledger has it (`ledger.routing.students`). Goes out: the changes to be written. A version is trained, shadow (it is
asked beside its teacher, and shown to nobody), serving, demoted (its promise broke) or withdrawn (for good: its file goes). Of one name one version
serves at most. Does not know: files, the clock.
"""

from collections.abc import Sequence

import msgspec

from jevons.learn.student_card import card_text, read_card
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import StudentPut

TRAINED, SHADOW, SERVING, DEMOTED, WITHDRAWN = "trained", "shadow", "serving", "demoted", "withdrawn"
Puts = list[StudentPut]


def versions(rows: Sequence[StudentPut], name: str) -> Puts:
    """Of one student, oldest first. Raises LedgerError."""
    found = sorted((row for row in rows if row.name == name), key=lambda row: row.version)
    if not found:
        known = ", ".join(sorted({row.name for row in rows})) or "none"
        raise LedgerError(f"There is no student {name!r}. Students: {known}.")
    return found


def following(rows: Sequence[StudentPut], name: str, org: str) -> tuple[int, int | None]:
    """The number of a new version, and the one that it follows: what serves, else the newest. Raises LedgerError if another organisation has the name."""
    mine = [row for row in rows if row.name == name]
    if not mine:
        return 1, None
    if mine[0].org != org:
        raise LedgerError(f"The name {name!r} is taken by a student of another organisation. Choose another.")
    newest = max(row.version for row in mine)
    serving = [row.version for row in mine if row.state == SERVING]
    return newest + 1, serving[0] if serving else newest


def serve(rows: Sequence[StudentPut], name: str, version: int | None, at_ms: int, *, shadow: bool = False) -> Puts:
    """Let a version serve (none = the newest that may), or be asked in the shadow. Whoever served before is trained, and can come back."""
    one = _one(rows, name, version)
    state = SHADOW if shadow else SERVING
    puts = [changed(one, state, "put there by the operator", at_ms)]
    if not shadow:
        puts += _others(rows, one, f"version {one.version} serves in its place", at_ms)
    return puts


def rollback(rows: Sequence[StudentPut], name: str, at_ms: int) -> Puts:
    """The version before the one that serves, or served last, serves again: its parent, else the latest before it. Raises LedgerError."""
    mine = versions(rows, name)
    current = next((row for row in mine if row.state == SERVING), None) or max(
        (row for row in mine if row.state != WITHDRAWN), key=lambda row: row.version, default=mine[-1]
    )
    before = [row for row in mine if row.version < current.version and row.state != WITHDRAWN]
    if not before:
        raise LedgerError(
            f"{name}@{current.version} has no version before it that could serve. `jevons students withdraw {name}` leaves all to its teacher."
        )
    parent = read_card(current.card).parent
    back = next((row for row in before if row.version == parent), before[-1])
    reason = f"rolled back from version {current.version}"
    return [
        changed(current, TRAINED, f"rolled back to version {back.version}", at_ms),
        changed(back, SERVING, reason, at_ms),
    ]


def withdraw(rows: Sequence[StudentPut], name: str, version: int | None, reason: str, at_ms: int) -> Puts:
    """A version, or all of them, for good."""
    mine = [row for row in versions(rows, name) if version in (None, row.version)]
    if not mine:
        raise LedgerError(f"There is no {name}@{version}. `jevons students show {name}` has its versions.")
    return [changed(row, WITHDRAWN, reason, at_ms) for row in mine if row.state != WITHDRAWN]


def holding(rows: Sequence[StudentPut], examples: Sequence[int]) -> Puts:
    """Versions that were made of any of these examples, and are not withdrawn."""
    found = []
    for row in rows:
        card = read_card(row.card)
        if row.state != WITHDRAWN and any(card.holds(number) for number in examples):
            found.append(row)
    return found


def marked(row: StudentPut, why: str, at_ms: int) -> StudentPut:
    """It goes on, and its card says that it is to be made anew."""
    card = card_text(msgspec.structs.replace(read_card(row.card), retrain=why))
    return msgspec.structs.replace(row, card=card, reason=f"to be made anew: {why}", at_ms=at_ms)


def changed(row: StudentPut, state: str, reason: str, at_ms: int) -> StudentPut:
    return msgspec.structs.replace(row, state=state, reason=reason, at_ms=at_ms)


def _one(rows: Sequence[StudentPut], name: str, version: int | None) -> StudentPut:
    mine = [row for row in versions(rows, name) if row.state != WITHDRAWN and version in (None, row.version)]
    if not mine:
        which = f"{name}@{version}" if version is not None else f"version of {name}"
        raise LedgerError(
            f"There is no {which} that could serve: it was withdrawn, or never made. Train it: jevons students train {name}"
        )
    return mine[-1]


def _others(rows: Sequence[StudentPut], one: StudentPut, reason: str, at_ms: int) -> Puts:
    mine = (row for row in rows if row.name == one.name and row.version != one.version)
    return [changed(row, TRAINED, reason, at_ms) for row in mine if row.state == SERVING]
