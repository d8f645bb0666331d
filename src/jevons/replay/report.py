"""What came of replays as one document: cost with its interval against the bill, who was stopped by what, and what cannot be told.

Comes in: policies that were gone through. Goes out: a document of plain values with stable keys, money in `*_nusd`. Does not know: how it is shown.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import apsw

from jevons.core.entry import first_id_of_ms
from jevons.core.limits import REPLAY_RUNS_SHOWN
from jevons.policy.windows import FOREVER
from jevons.replay.eras import Era, Policy
from jevons.replay.lengths import costs
from jevons.replay.refusals import Refusals, might_be_served, refusals
from jevons.replay.run import Passed, Recordings
from jevons.replay.tally import Tally

Record = dict[str, Any]


def document(recordings: Recordings, passed: Sequence[Passed]) -> Record:
    """{"since_ms", "until_ms", "recorded": {...}, "policies": [...]}"""
    since_ms, until_ms = recordings.since_ms, recordings.until_ms
    with recordings.reading() as db:
        then = refusals(db, since_ms, until_ms)
        bill = _bill(db, since_ms, until_ms)
        before = recordings.limits_at_end(Policy("recorded", recorded=True))
        return {
            "since_ms": since_ms,
            "until_ms": until_ms if until_ms < FOREVER.end_ms else None,
            "recorded": {**bill, "refused": sum(then.by_limit.values()), "refused_by": then.by_limit},
            "policies": [_policy(db, one, bill, then, before, recordings) for one in passed],
        }


def _bill(db: apsw.Connection, since_ms: int, until_ms: int) -> Record:
    span = (first_id_of_ms(since_ms), min(first_id_of_ms(until_ms), 2**63 - 1))
    calls, billed, listed, imported, without, hits = db.execute(
        "SELECT count(*), coalesce(sum(billed_nusd), 0), coalesce(sum(list_nusd), 0), coalesce(sum(source <> ''), 0),"
        " coalesce(sum(source = '' AND length(terms) = 0 AND outcome <> 'cached'), 0), coalesce(sum(outcome = 'cached'), 0)"
        " FROM entries WHERE id >= ? AND id < ?",
        span,
    ).fetchone()  # type: ignore[misc]
    return {
        "calls": calls,
        "billed_nusd": billed,
        "list_nusd": listed,
        "imported_calls": imported,
        "calls_without_terms": without,
        "cache_hits": hits,
    }


def _policy(db: apsw.Connection, passed: Passed, bill: Record, then: Refusals, before: Era, recordings: Recordings) -> Record:
    ends, goes_on = passed.ends, passed.goes_on
    moved = [_moved(db, tally, recordings.until_ms) for tally in (ends, goes_on)]
    low = min(tally.billed_nusd - _less(rows) for tally, rows in zip((ends, goes_on), moved, strict=True))
    high = max(tally.billed_nusd + _more(rows) + tally.longer_nusd for tally, rows in zip((ends, goes_on), moved, strict=True))
    after = before if passed.policy.recorded else recordings.limits_at_end(passed.policy)
    served, served_nusd = might_be_served(db, then, before.limits, after.limits, recordings.since_ms, recordings.until_ms)
    return {
        "name": passed.policy.name,
        "cost_nusd": ends.billed_nusd,
        "low_nusd": low,
        "high_nusd": high + served_nusd,
        "change_nusd": ends.billed_nusd - bill["billed_nusd"],
        "list_nusd": ends.list_nusd,
        "estimated_nusd": ends.estimated_nusd,
        "calls": ends.calls,
        "refused": ends.refused,
        "unmade": ends.ended,
        "refused_if_runs_go_on": goes_on.refused,
        "cost_if_runs_go_on_nusd": goes_on.billed_nusd,
        "limits": [_stopped(name, ends, goes_on) for name in sorted(ends.stopped, key=lambda name: -ends.stopped[name].nusd)],
        "moved": moved[0],
        "degraded": sum(row["degraded"] for row in moved[0]),
        "spared": ends.spared,
        "spared_nusd": ends.spared_nusd,
        "waits": ends.waits,
        "waited_ms": ends.waited_ms,
        "cut": ends.cut,
        "longer": ends.longer,
        "longer_nusd": ends.longer_nusd,
        "might_be_served": served,
        "might_be_served_nusd": served_nusd,
        "observed": dict(sorted(ends.observed.items())),
        "overruns": _overruns(ends),
        "not_replayed": _not_replayed(ends, passed, after),
    }


def _overruns(tally: Tally) -> dict[str, int]:
    found: Counter[str] = Counter()
    for (account, _, _), amount in tally.overruns.items():
        found[account] += amount
    return dict(sorted(found.items()))


def _stopped(name: str, ends: Tally, goes_on: Tally) -> Record:
    stopped, otherwise = ends.stopped[name], goes_on.stopped.get(name)
    assert stopped.first is not None
    at_ms, (key, run) = stopped.first
    return {
        "limit": name,
        "refused": stopped.requests,
        "unmade": stopped.unmade,
        "asked": stopped.asked,
        "avoided_nusd": stopped.nusd,
        "avoided_if_runs_go_on_nusd": otherwise.nusd if otherwise is not None else 0,
        "first_ms": at_ms,
        "first_key": key,
        "first_run": run,
        "runs": [
            {"key": key, "run": run, "avoided_nusd": nusd} for (key, run), nusd in stopped.runs.most_common(REPLAY_RUNS_SHOWN)
        ],
        "runs_stopped": len(stopped.runs),
    }


def _moved(db: apsw.Connection, tally: Tally, until_ms: int) -> list[Record]:
    rows = []
    for (agent, before, after), moved in sorted(tally.moved.items()):
        found = costs(db, agent, before, after, moved, until_ms)
        rows.append(
            {
                "agent": agent,
                "from": before,
                "to": after,
                "calls": moved.calls,
                "degraded": moved.degraded,
                "cost_nusd": moved.input_nusd + moved.output_nusd,
                "low_nusd": found.low_nusd,
                "high_nusd": found.high_nusd,
                "basis": found.basis,
            }
        )
    return rows


def _less(rows: Sequence[Record]) -> int:
    return sum(row["cost_nusd"] - row["low_nusd"] for row in rows)


def _more(rows: Sequence[Record]) -> int:
    return sum(row["high_nusd"] - row["cost_nusd"] for row in rows)


def _not_replayed(tally: Tally, passed: Passed, era: Era) -> Record:
    """What of the calls and of the policy could not be gone through, with numbers."""
    found: Record = {
        "imported_calls": tally.imported,
        "calls_without_terms": tally.fixed,
        "calls_without_repetition": tally.unjudged,
        "price_books_gone": len(passed.absent_books),
        "unknown_routes": tally.unknown_routes,
        "thresholds_with_hindsight": tally.hindsight,
        "tool_fences": sum(table.of_tools and table.mode != "off" for table in era.stated.access),
    }
    return {name: n for name, n in found.items() if n}
