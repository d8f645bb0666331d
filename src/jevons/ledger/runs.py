"""Reading runs: who started whom, how far each went, what it cost. Own read-only connections; sums come from the rows of runs.

A run's own figures are those of its own calls; `tree_…` counts the runs that it started, and theirs, too. Of a tree with more runs than
are shown, `tree_…` of the root is still that of all, and of the others that of those shown.
"""

from pathlib import Path
from typing import Any

import apsw

from jevons.core.entry import ATTEMPT_BITS, admitted_ms, request_text
from jevons.core.limits import RUN_DEPTH_MAX
from jevons.ledger.bill import reading
from jevons.ledger.errors import LedgerError, Unknown

TREE_RUNS_MAX = 1_000
"""Runs of one tree that are shown."""
CALLS_SHOWN_MAX = 1_000
"""Latest calls of one run that are shown."""

_BELOW = (
    "WITH RECURSIVE tree(run, depth) AS (VALUES(:root, 1) UNION SELECT run_id, depth + 1 FROM runs JOIN tree ON parent_run_id = run"
    f" WHERE key_id = :key AND depth <= {RUN_DEPTH_MAX})"
)
_INPUT = "input + cache_read + cache_write_5m + cache_write_1h"
_OPEN = "(SELECT count(*) FROM holds WHERE holds.key_id = runs.key_id AND holds.run_id = runs.run_id)"
_TREE = (
    f"{_BELOW} SELECT run_id, parent_run_id, agent, source, depth, first_ms, last_ms, entries, steps, {_INPUT} AS input_tokens,"
    f" output AS output_tokens, list_nusd, billed_nusd, estimated_nusd, {_OPEN} AS open_calls,"
    " (SELECT count(*) FROM runs c WHERE c.key_id = runs.key_id AND c.parent_run_id = runs.run_id) AS children"
    " FROM tree JOIN runs ON run_id = run AND key_id = :key ORDER BY depth, first_ms LIMIT :most"
)
_SUMS = (
    f"{_BELOW} SELECT sum(steps), sum({_INPUT}), sum(output), sum(list_nusd), sum(billed_nusd), sum({_OPEN})"
    " FROM tree JOIN runs ON run_id = run AND key_id = :key"
)
_ROOT = (
    "WITH RECURSIVE above(run, up) AS (VALUES(:run, 1) UNION SELECT p.run_id, up + 1 FROM above"
    " JOIN runs c ON c.key_id = :key AND c.run_id = run JOIN runs p ON p.key_id = :key AND p.run_id = c.parent_run_id"
    f" WHERE up <= {RUN_DEPTH_MAX}) SELECT run FROM above ORDER BY up DESC LIMIT 1"
)
_SUMMED = ("steps", "input_tokens", "output_tokens", "list_nusd", "billed_nusd", "open_calls")

Record = dict[str, Any]


def runs(path: Path, *, key: str | None = None, agent: str | None = None, since_ms: int = 0, limit: int = 50) -> list[Record]:
    """The latest runs and the trees they belong to: root first, each followed by what it started; the tree used last comes first."""
    with reading(path) as db:
        latest: list[Any] = db.execute(
            "SELECT key_id, name, run_id FROM runs JOIN keys ON keys.id = key_id WHERE last_ms >= :since"
            " AND (:key IS NULL OR name = :key) AND (:agent IS NULL OR agent = :agent) ORDER BY last_ms DESC LIMIT :limit",
            {"since": since_ms, "key": key, "agent": agent, "limit": limit},
        ).fetchall()
        roots = dict.fromkeys((key_id, name, _root(db, key_id, run_id)) for key_id, name, run_id in latest)
        return [record for key_id, name, root in roots for record in _tree(db, key_id, name, root)]


def run(path: Path, run_id: str, key: str | None = None) -> Record:
    """One run with the runs it started ("runs", depth counted from it) and its latest calls ("calls").

    Raises Unknown for one that is not there, LedgerError for one that several keys have.
    """
    with reading(path) as db:
        found: list[Any] = db.execute(
            "SELECT key_id, name FROM runs JOIN keys ON keys.id = key_id WHERE run_id = :run AND (:key IS NULL OR name = :key)",
            {"run": run_id, "key": key},
        ).fetchall()
        if not found:
            raise Unknown(f"There is no run {run_id!r}{f' of key {key!r}' if key else ''}. `jevons runs` lists the latest.")
        if len(found) > 1:
            raise LedgerError(
                f"Several keys have a run {run_id!r}: {', '.join(name for _, name in found)}. Say which with --key."
            )
        key_id, name = found[0]
        first, *below = _tree(db, key_id, name, run_id)
        calls: list[Any] = db.execute(
            "SELECT id, upstream, target, outcome, input + cache_read + cache_write_5m + cache_write_1h, output, billed_nusd, estimate"
            f" FROM entries WHERE key_id = ? AND run_id = ? ORDER BY id DESC LIMIT {CALLS_SHOWN_MAX}",
            (key_id, run_id),
        ).fetchall()
    return first | {"runs": below, "calls": [_call(row) for row in reversed(calls)]}


def _root(db: apsw.Connection, key_id: int, run_id: str) -> str:
    return str(db.execute(_ROOT, {"key": key_id, "run": run_id}).get)


def _tree(db: apsw.Connection, key_id: int, key: str, root: str) -> list[Record]:
    found = db.execute(_TREE, {"root": root, "key": key_id, "most": TREE_RUNS_MAX})
    names = [column[0] for column in found.get_description()]
    records = [{"key": key, **dict(zip(names, row, strict=True))} for row in found]
    below: dict[str, list[Record]] = {}
    for record in records:
        below.setdefault(record["parent_run_id"] or "", []).append(record)
    ordered = _in_order(records[0], below)
    if len(records) == TREE_RUNS_MAX:  # there may be more than are shown
        (sums,) = db.execute(_SUMS, {"root": root, "key": key_id})
        records[0] |= {f"tree_{name}": total for name, total in zip(_SUMMED, sums, strict=True)}
    return ordered


def _in_order(record: Record, below: dict[str, list[Record]]) -> list[Record]:
    """The run and all it started, depth first, with the sums of its tree."""
    children = [child for child in below.get(record["run_id"], []) if child["depth"] == record["depth"] + 1]
    rows = [row for child in children for row in _in_order(child, below)]
    record["inferred"] = record["source"] == "inferred"
    record |= {f"tree_{name}": record[name] + sum(row[name] for row in rows) for name in _SUMMED}
    return [record, *rows]


def _call(row: tuple[Any, ...]) -> Record:
    names = ("id", "upstream", "model", "outcome", "input_tokens", "output_tokens", "billed_nusd", "estimate")
    call = dict(zip(names, row, strict=True))
    entry_id = call.pop("id")
    attempt = entry_id & ((1 << ATTEMPT_BITS) - 1)
    return {"request": request_text(entry_id), "attempt": attempt, "admitted_ms": admitted_ms(entry_id), **call}
