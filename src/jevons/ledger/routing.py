"""What routing leaves on disk: labels, what is learnt, students. Written with the batch they come in; read by connections of their own.

Does not know: what is made of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from jevons.core.entry import ATTEMPT_BITS, first_id_of_ms
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.routed import Role, Routed
from jevons.ledger.bill import reading
from jevons.ledger.ops import Labelled, Learnt, StudentPut

_LABEL = (
    "INSERT OR IGNORE INTO labels (request_id, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = "request_id, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features"
_READ = (
    f"SELECT {_COLUMNS} FROM labels"
    " WHERE (:org IS NULL OR org = :org) AND (:route IS NULL OR route = :route) AND at_ms >= :since ORDER BY id"
)
_READ_LATEST = (
    f"SELECT {_COLUMNS} FROM labels JOIN (SELECT DISTINCT org AS o, route AS r, model AS m FROM labels WHERE route = :route)"
    " ON org = o AND route = r AND model = m WHERE at_ms >= coalesce((SELECT at_ms FROM labels WHERE org = o AND route = r AND model = m"
    " ORDER BY at_ms DESC LIMIT 1 OFFSET :most - 1), 0) ORDER BY id"
)
_STUDENT = (
    "INSERT INTO students (name, version, org, state, card, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET state = excluded.state, card = excluded.card"
)
_EVENT = (
    "INSERT INTO student_events (name, version, at_ms, state, reason) SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"  # it may be written again
    " (SELECT 1 FROM student_events WHERE name = ?1 AND version = ?2 AND at_ms = ?3 AND state = ?4)"
)
_SHOWN = (Role.ANSWER, Role.RETRY, Role.FAILOVER, Role.HEDGE)
"""What attempts are made for whose answer a client may be given."""
_ANSWERS = (
    "SELECT max(id) >> ? << ?, key_id, run_id, model, upstream, target, routed FROM entries"
    f" WHERE role IN ({', '.join(repr(str(role)) for role in _SHOWN)}) AND outcome = 'ok' AND source = ''"
)
_encode = msgspec.json.Encoder().encode
_features = msgspec.json.Decoder(Features).decode
_routed = msgspec.json.Decoder(Routed).decode


class Answered(NamedTuple):
    """The answer that a client was given."""

    request: int
    """First entry id."""
    key_id: int
    run: str | None
    asked: str
    """The model that the client asked for."""
    upstream: str
    target: str
    routed: Routed | None

    @property
    def model(self) -> str:
        """Who answered, as the route names it, at whichever upstream; without a route, as the client does."""
        options = self.routed.options if self.routed is not None else ()
        here = [one for one in options if one.target == self.target]
        return next((one.model for one in sorted(here, key=lambda one: one.upstream != self.upstream)), self.asked)


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
            yield _label(row)


def latest_labels(path: Path, route: str, most: int) -> Iterator[Label]:
    """Of each model of each organisation, in the order in which they came: `most`, and those of the same millisecond. Raises LedgerError."""
    with reading(path) as db:
        for row in db.execute(_READ_LATEST, {"route": route, "most": most}):
            yield _label(row)


def label_of(path: Path, request: int, model: str, grader: str) -> Label | None:
    """What a grader said of a model's answer to one request, by itself. Raises LedgerError."""
    with reading(path) as db:
        row = db.execute(
            f"SELECT {_COLUMNS} FROM labels WHERE request_id = ? AND model = ? AND reference = '' AND grader = ?",
            (request, model, grader),
        ).fetchone()
        return None if row is None else _label(row)


def answered(path: Path, request: int) -> Answered | None:
    """Who answered the client of a request (first entry id); None = nobody: there is none, it failed, or a kept answer was given. Raises LedgerError."""
    found = _answers(path, f"id >= ? AND id < ? + {1 << ATTEMPT_BITS}", (request, request), 1)
    return found[0] if found else None


def answered_in_run(path: Path, key_id: int, run: str, most: int) -> list[Answered]:
    """The same of a run's latest requests, the latest first. Raises LedgerError."""
    return _answers(path, "run_id = ? AND key_id = ?", (run, key_id), most)


def sampled_nusd(path: Path, since_ms: int) -> dict[str, int]:
    """Route -> what its shadows and judges have cost since, at list price. Raises LedgerError."""
    with reading(path) as db:
        rows = db.execute(
            "SELECT json_extract(nullif(routed, ''), '$[0]'), sum(list_nusd) FROM entries"
            f" WHERE id >= ? AND role IN ('{Role.SHADOW}', '{Role.JUDGE}') GROUP BY 1",
            (first_id_of_ms(since_ms),),
        )
        return {str(route): int(nusd) for route, nusd in rows if route is not None}


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


def _label(row: tuple[Any, ...]) -> Label:
    request, key_id, org, route, model, reference, good, harm, grader, weight, score, shown, at_ms, features = row
    return Label(
        request, key_id, org, route, model, reference, bool(good), bool(harm), grader, weight, score, bool(shown), at_ms,
        _features(features),
    )  # fmt: skip


def _answers(path: Path, where: str, values: tuple[object, ...], most: int) -> list[Answered]:
    """Of each request the last attempt that was answered."""
    asked = f"{_ANSWERS} AND {where} GROUP BY id >> ? ORDER BY 1 DESC LIMIT ?"
    with reading(path) as db:
        rows = db.execute(asked, (ATTEMPT_BITS, ATTEMPT_BITS, *values, ATTEMPT_BITS, most))
        return [
            Answered(request, key_id, run, model, upstream, target, _routed(routed) if routed else None)
            for request, key_id, run, model, upstream, target, routed in rows
        ]
