"""What routing leaves on disk: labels, what is learnt, students. Written with the batch they come in; read by connections of their own.

Does not know: what is made of them.
"""

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from jevons.core.features import Features
from jevons.core.label import Label
from jevons.ledger.bill import reading
from jevons.ledger.ops import Labelled, Learnt, StudentPut

_LABEL = (
    "INSERT OR IGNORE INTO labels (request_id, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_READ = (
    "SELECT request_id, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features FROM labels"
    " WHERE (:org IS NULL OR org = :org) AND (:route IS NULL OR route = :route) AND at_ms >= :since ORDER BY id"
)
_STUDENT = (
    "INSERT INTO students (name, version, org, state, card, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET state = excluded.state, card = excluded.card"
)
_EVENT = (
    "INSERT INTO student_events (name, version, at_ms, state, reason) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"  # it may be written again
    " (SELECT 1 FROM student_events WHERE name = ?1 AND version = ?2 AND at_ms = ?3 AND state = ?4)"
)
_encode = msgspec.json.Encoder().encode
_features = msgspec.json.Decoder(Features).decode


def write(db: apsw.Connection, op: Labelled | Learnt | StudentPut) -> None:
    if isinstance(op, Labelled):
        _write_label(db, op.label)
    elif isinstance(op, Learnt):
        db.execute(
            "INSERT OR REPLACE INTO learnt (kind, name, state, at_ms) VALUES (?, ?, ?, ?)", (op.kind, op.name, op.state, op.at_ms)
        )
    else:
        db.execute(_STUDENT, (op.name, op.version, op.org, op.state, op.card, op.at_ms))
        db.execute(_EVENT, (op.name, op.version, op.at_ms, op.state, op.reason))


def _write_label(db: apsw.Connection, label: Label) -> None:
    db.execute(
        _LABEL,
        (
            label.request, label.key_id, label.org, label.route, label.model, label.reference, label.good, label.harm, label.grader,
            label.weight, label.score, label.shown, label.at_ms, _encode(label.features).decode(),
        ),
    )  # fmt: skip


def labels(path: Path, *, org: str | None = None, route: str | None = None, since_ms: int = 0) -> Iterator[Label]:
    """Labels in the order in which they came. Raises LedgerError."""
    with reading(path) as db:
        for row in db.execute(_READ, {"org": org, "route": route, "since": since_ms}):
            request, key_id, whose, name, model, reference, good, harm, grader, weight, score, shown, at_ms, features = row
            yield Label(
                request, key_id, whose, name, model, reference, bool(good), bool(harm), grader, weight, score, bool(shown), at_ms,
                _features(features),
            )  # fmt: skip


def learnt(path: Path, kind: str) -> dict[str, str]:
    """Name -> state (JSON) of all that was learnt of one kind. Raises LedgerError."""
    with reading(path) as db:
        return {
            str(name): str(state)
            for name, state in db.execute("SELECT name, state FROM learnt WHERE kind = ? ORDER BY name", (kind,))
        }


def students(path: Path, *, org: str | None = None) -> list[StudentPut]:
    """Every version of every student as it stands, with the reason of its latest change. Raises LedgerError."""
    with reading(path) as db:
        rows = db.execute(
            "SELECT name, version, org, state, card, coalesce((SELECT reason FROM student_events e WHERE e.name = s.name"
            " AND e.version = s.version ORDER BY id DESC LIMIT 1), ''), created_ms FROM students s WHERE ?1 IS NULL OR org = ?1 ORDER BY 1, 2",
            (org,),
        )
        return [StudentPut(*row) for row in rows]
