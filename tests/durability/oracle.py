"""Our ledger against the stand-in's own journal: what must be equal, and what may only be more.

Comes in: a gateway's ledger, the attempts the provider received, what callers were told. Goes out: assertions. Prices are written
down here once more, from the vendors' pages, so that the book is no judge of itself.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from jevons.ledger.bill import accounts, check
from tests.durability.load import Told
from tests.provider import Attempt, Bill
from tests.running import Jevons

RATES = {
    "gpt-4o": {"input": 2_500, "cache_read": 1_250, "output": 10_000},
    "o3": {"input": 2_000, "cache_read": 500, "output": 8_000},
    "claude-sonnet-4-5": {"input": 3_000, "cache_read": 300, "cache_write_5m": 3_750, "cache_write_1h": 6_000, "output": 15_000},
}
"""nano-USD per token: openai.com/api/pricing, docs.anthropic.com/en/docs/about-claude/pricing (2025)."""


def cost(attempt: Attempt) -> int:
    """What the provider charges for it, in nano-USD."""
    bill = attempt.bill or Bill()
    rates = RATES[attempt.received["model"]]
    return sum(getattr(bill, kind) * rate for kind, rate in rates.items())


def reconcile(jevons: Jevons, attempts: Iterable[Attempt], told: Iterable[Told]) -> dict[str, dict[str, Any]]:
    """Every invariant that a start after a crash must restore; returns the entries by run. One attempt per run is assumed."""
    entries = jevons.entries()
    by_run = {str(entry["run_id"]): entry for entry in entries}
    assert check(jevons.ledger) == []
    assert jevons.holds() == []
    assert len({entry["id"] for entry in entries}) == len({entry["request"] for entry in entries}) == len(entries) == len(by_run)
    posted = Counter[int]()
    for entry in entries:
        assert sum(line["nusd"] for line in entry["lines"]) == entry["list_nusd"]
        posted[entry["key_id"]] += entry["billed_nusd"]
    assert {one["id"]: one["posted_nusd"] for one in accounts(jevons.ledger) if one["posted_nusd"]} == {
        k: n for k, n in posted.items() if n
    }
    bills = {str(attempt.marker): attempt for attempt in attempts}
    assert set(bills) <= set(by_run), "an attempt without an entry"
    for run, entry in by_run.items():
        if run not in bills:
            assert entry["outcome"] in ("killed", "void", "unreachable"), f"{run} was never received: {entry}"
    for run, attempt in bills.items():
        assert by_run[run]["billed_nusd"] >= cost(attempt), f"{run}: the provider billed {attempt.bill}, we have {by_run[run]}"
    _exact(by_run, bills, told)
    return by_run


def _exact(by_run: dict[str, dict[str, Any]], bills: dict[str, Attempt], told: Iterable[Told]) -> None:
    """Whoever saw the end of an answer has its exact entry."""
    requests = Counter[str]()
    for one in told:
        requests[one.request] += bool(one.request)
        if one.status == 200:
            assert by_run[one.call.name]["request"] == one.request
        if one.ended:
            entry, attempt = by_run[one.call.name], bills[one.call.name]
            assert (entry["outcome"], entry["estimate"], entry["status"]) == ("ok", "", 200)
            assert entry["billed_nusd"] == cost(attempt)
    assert all(n <= 1 for n in requests.values()), "one request id for two answers"
