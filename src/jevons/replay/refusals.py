"""What was refused at the time: no entry tells of it, only lines of the audit log, one for each kind and minute with their number.

Comes in: the log, two policies. Goes out: how many requests were refused by what; which of them another policy might serve, and what that might cost
at most. They may have been one call sent again and again, or an agent's whole further work: so the least is nothing.
"""

from collections import Counter
from collections.abc import Mapping

import apsw
import msgspec

from jevons.core.entry import first_id_of_ms
from jevons.policy.rules import Limit

REQUESTS_WITHOUT_NAME = "other"
"""Kills, fences, questions: what refused is not a limit of this name."""


class Refusals(msgspec.Struct, frozen=True):
    """Of a time."""

    by_limit: dict[str, int]
    """Limit (or fence) -> requests."""
    by_limit_and_key: dict[tuple[str, str], int]


def refusals(db: apsw.Connection, since_ms: int, until_ms: int) -> Refusals:
    by_limit: Counter[str] = Counter()
    by_key: Counter[tuple[str, str]] = Counter()
    for subject, text in db.execute(
        "SELECT subject, detail FROM audit WHERE action = 'denied' AND at_ms >= ? AND at_ms < ?", (since_ms, until_ms)
    ):
        detail = msgspec.json.decode(text)
        times = detail["times"] if "times" in detail else 1 + detail.get("unlogged_before", 0)
        name = detail.get("limit_name") or detail.get("access") or REQUESTS_WITHOUT_NAME
        by_limit[name] += times
        by_key[name, subject.partition(":")[2].partition("/")[0]] += times
    return Refusals(dict(by_limit), dict(by_key))


def might_be_served(
    db: apsw.Connection, found: Refusals, before: Mapping[str, Limit], after: Mapping[str, Limit], since_ms: int, until_ms: int
) -> tuple[int, int]:
    """(requests that were refused by a limit that is another one or gone, what they might cost at most: as much as a call of their key)"""
    requests = nusd = 0
    for (name, key), times in found.by_limit_and_key.items():
        if name in before and before[name] != after.get(name):
            requests += times
            nusd += times * _mean_nusd(db, key, since_ms, until_ms)
    return requests, nusd


def _mean_nusd(db: apsw.Connection, key: str, since_ms: int, until_ms: int) -> int:
    """Of a key's calls in the time, rounded up."""
    calls, billed = db.execute(
        "SELECT count(*), coalesce(sum(billed_nusd), 0) FROM entries WHERE id >= ? AND id < ? AND key_id = (SELECT id FROM keys WHERE name = ?)",
        (first_id_of_ms(since_ms), min(first_id_of_ms(until_ms), 2**63 - 1), key),
    ).fetchone() or (0, 0)
    return -(-billed // calls) if calls else 0
