"""From a segment of an explanation to the runs that it is made of.

Comes in: a ledger, a span of days, the labels of a segment. Goes out: the costliest runs that match. Does not know: effects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from jevons.core.entry import first_id_of_ms
from jevons.economics.frames import DIMENSIONS, Cost, Span
from jevons.ledger.bill import reading
from jevons.ledger.rollup import DAY_MS
from jevons.meter.lineages import lineage_of

_OF_KEYS = {
    "org": "coalesce(json_extract(keys.settings, '$.org'), 'default')",
    "team": "coalesce(json_extract(keys.settings, '$.team'), '')",
    "key": "keys.name",
    "agent": "runs.agent",
    "source": "coalesce(json_extract(keys.settings, '$.source'), '')",
}
_OF_MODELS = ("tier", "line", "model")


def costliest_runs(
    ledger: Path, span: Span, labels: Mapping[str, str], *, cost: Cost = "billed", limit: int = 10
) -> list[dict[str, Any]]:
    """Runs that called in the span, with what matching calls of theirs cost in it: [{"key", "run", "agent", "calls", "nusd"}], dearest first.

    Labels of models narrow the calls; an arrow between two names means either. Other labels (kind, tariff) do not narrow. Raises LedgerError.
    """
    column = "billed_nusd" if cost == "billed" else "list_nusd"
    whose = {name: labels[name] for name in DIMENSIONS if name in labels}
    wanted = {name: set(labels[name].replace(" → ", ", ").split(", ")) for name in _OF_MODELS if name in labels}
    with reading(ledger) as db:
        dearest = db.execute(
            f"SELECT runs.key_id, keys.name, runs.run_id, runs.agent, runs.{column} AS nusd FROM runs JOIN keys ON keys.id = runs.key_id"
            " WHERE runs.last_ms >= :from_ms AND runs.first_ms < :until_ms AND runs.entries > 0"
            + "".join(f" AND {_OF_KEYS[name]} = :{name}" for name in whose)
            + " ORDER BY nusd DESC",
            {**whose, "from_ms": span.first * DAY_MS, "until_ms": span.after * DAY_MS},
        )
        found: list[dict[str, Any]] = []
        row: Any
        for row in dearest:
            key_id, key, run, agent, whole = row
            if len(found) == limit and whole <= found[-1]["nusd"]:
                break  # no run costs more in the span than in all
            calls, nusd = _within(db, key_id, run, span, column, wanted)
            if calls:
                found.append({"key": key, "run": run, "agent": agent, "calls": calls, "nusd": nusd})
                found = sorted(found, key=lambda one: -one["nusd"])[:limit]
        return found


def _within(
    db: apsw.Connection, key_id: int, run: str, span: Span, column: str, wanted: Mapping[str, set[str]]
) -> tuple[int, int]:
    """(calls, cost) of one run in the span, by the models that are wanted."""
    sums = db.execute(
        f"SELECT upstream, target, sum(requests), sum({column}) FROM entries INDEXED BY entries_of_run"
        " WHERE run_id = ? AND key_id = ? AND id >= ? AND id < ? GROUP BY 1, 2",
        (run, key_id, first_id_of_ms(span.first * DAY_MS), first_id_of_ms(span.after * DAY_MS)),
    )
    matching = [(calls, nusd) for upstream, target, calls, nusd in sums if _matches(upstream, target, wanted)]
    return sum(calls for calls, _ in matching), sum(nusd for _, nusd in matching)


def _matches(upstream: str, target: str, wanted: Mapping[str, set[str]]) -> bool:
    lineage = lineage_of(upstream, target)
    own = {"tier": lineage.tier, "line": f"{lineage.vendor}/{lineage.line}", "model": target}
    return all(own[name] in names for name, names in wanted.items())
