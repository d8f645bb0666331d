"""From a segment of an explanation to the runs that it is made of.

Comes in: a ledger, a span of days, the labels of a segment. Goes out: the costliest runs that match. Does not know: effects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    where = [f"{_OF_KEYS[name]} = :{name}" for name in DIMENSIONS if name in labels]
    bindings: dict[str, Any] = {
        **{name: labels[name] for name in DIMENSIONS if name in labels},
        "from": first_id_of_ms(span.first * DAY_MS),
        "until": first_id_of_ms(span.after * DAY_MS),
        "from_ms": span.first * DAY_MS,
        "until_ms": span.after * DAY_MS,
        "limit": limit,
    }
    wanted = {name: set(labels[name].replace(" → ", ", ").split(", ")) for name in _OF_MODELS if name in labels}
    with reading(ledger) as db:
        if wanted:
            called: list[Any] = db.execute("SELECT DISTINCT upstream, target FROM rollup_day WHERE day >= ? AND day < ?", span).fetchall()
            models = [target for upstream, target in called if _matches(upstream, target, wanted)]
            where.append(f"entries.target IN ({', '.join(f':m{n}' for n in range(len(models)))})")
            bindings |= {f"m{n}": model for n, model in enumerate(models)}
        found = db.execute(
            f"SELECT keys.name, runs.run_id, runs.agent, sum(entries.requests), sum(entries.{column}) AS nusd FROM runs"
            " JOIN keys ON keys.id = runs.key_id"
            " JOIN entries ON entries.run_id = runs.run_id AND entries.key_id = runs.key_id"
            " WHERE runs.last_ms >= :from_ms AND runs.first_ms < :until_ms AND entries.id >= :from AND entries.id < :until"
            + "".join(f" AND {condition}" for condition in where)
            + " GROUP BY runs.key_id, runs.run_id ORDER BY nusd DESC LIMIT :limit",
            bindings,
        )
        return [dict(zip(("key", "run", "agent", "calls", "nusd"), row, strict=True)) for row in found]


def _matches(upstream: str, target: str, wanted: Mapping[str, set[str]]) -> bool:
    lineage = lineage_of(upstream, target)
    own = {"tier": lineage.tier, "line": f"{lineage.vendor}/{lineage.line}", "model": target}
    return all(own[name] in names for name, names in wanted.items())
