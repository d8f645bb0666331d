"""The cascade as the gateway runs it: a route with a promise in force, the judged rows of one task through it, and what stands in the ledger afterwards.

Comes in: rows with what each model said of them alone, a threshold from calibration rows. Goes out: share accepted, quality, cost by the ledger, beside what
was computed from the models alone.
"""

import argparse
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from bench.everyday.asking import Door
from bench.everyday.large import says, script
from bench.everyday.points import Answered, point, shares
from bench.everyday.tasks import Row, quality
from jevons.core.routed import Stage
from jevons.embed import Embedder
from jevons.gateway.promises import Model, State, name_of
from jevons.policy.promise import Certificate
from tests.running import Jevons

TASK, ACCEPTED = "intents_8", 0.5
ALPHA, DELTA = 0.2, 0.1
ROUTE = "everyday"


def run_live(
    home: Path,
    table: dict[str, Any],
    engine: dict[str, Any],
    large: str,
    answered: dict[str, tuple[list[Row], list[Answered], list[Answered]]],
    given: argparse.Namespace,
    embedder: Embedder,
) -> dict[str, Any]:
    if TASK not in answered:
        return {}
    rows, calibration, judged = answered[TASK]
    [threshold] = shares(calibration, [ACCEPTED])
    computed = point("computed", threshold, calibration, judged)
    route = {"name": ROUTE, "to": ["local", large], "choose": "cascade", "stage": "full", "sample": 0.0, "grader": "exact"}
    nothing_warm = {"prompt": {"mode": "off"}}  # the stand-in has no prompt cache: none is to be counted on
    gateway = Jevons(home, table, engine=engine, cache=nothing_warm, routes=[route | {"alpha": ALPHA, "delta": DELTA}])
    with gateway:
        key = gateway.key("bench")
        gateway.stop()
        promise(gateway.ledger, threshold, large)
        gateway.start()
        door = Door(gateway.url, key)
        labels = sorted({row.right for row in rows})
        door.warm("local", rows[0].body)
        asked = [door.ask("auto", row.body, script(row, says(row, labels, given.seed, given.errs))) for row in rows]
        entries = [entry for entry in gateway.settled(len(rows) + 1) if entry["model"] == "auto"]
    with closing(sqlite3.connect(gateway.ledger)) as db:
        roles = dict(db.execute("SELECT role, count(*) FROM entries GROUP BY role").fetchall())
    shown = [answer.headers["x-jevons-model"] == "local" for answer in asked]
    nusd = sum(entry["billed_nusd"] for entry in entries) / len(rows)
    score = fmean(quality(row, answer.text, embedder) for row, answer in zip(rows, asked, strict=True))
    print(f"\nthe cascade itself, {TASK}, threshold {threshold:.3f}: {len(rows)} requests for `auto`")
    print(f"{'':<22}{'$ / 1,000':>11}{'quality':>9}{'accepted %':>12}{'s, median':>11}")
    print(f"{'by the ledger':<22}{nusd / 1e6:>11.4f}{score:>9.3f}{100 * fmean(shown):>12.1f}{_median(asked):>11.2f}")
    print(f"{'computed from alone':<22}{computed.nusd / 1e6:>11.4f}{computed.quality:>9.3f}{100 * computed.accepted:>12.1f}")
    return {
        "task": TASK,
        "threshold": round(threshold, 4),
        "usd_per_1000": round(nusd / 1e6, 5),
        "computed_usd_per_1000": round(computed.nusd / 1e6, 5),
        "quality": round(score, 4),
        "computed_quality": round(computed.quality, 4),
        "accepted_pct": round(100 * fmean(shown), 1),
        "entries": len(entries),
        "cascade_entries": roles.get("cascade", 0),
    }


def promise(ledger: Path, threshold: float, large: str) -> None:
    """Stands as if so many labels had shown it: the bench has them already, and the gateway would need days."""
    certificate = Certificate(threshold, ACCEPTED, 1_000, 0, ALPHA)
    now = int(time.time() * 1000)
    state = State(
        Stage.FULL, changed_ms=now, models={"local": Model(ALPHA, DELTA, large, "exact", certificate=certificate, since_ms=now)}
    )
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute(
            "INSERT OR REPLACE INTO learnt (kind, name, state, at_ms) VALUES ('promise', ?, ?, ?)",
            (name_of("default", ROUTE), msgspec.json.encode(state).decode(), now),
        )


def _median(asked: Sequence[Any]) -> float:
    return float(sorted(answer.seconds for answer in asked)[len(asked) // 2])
