"""What stands on the page *Now*: the rate, calls under way, live runs, budgets, kills, questions.

Comes in: the running ledger and an instant. Goes out: plain values for the templates, each from the function that the command line and
the admin API use too. Disk is read in a thread; limits are read from memory. Does not know: who looks, how it is drawn.
"""

import asyncio
from pathlib import Path
from typing import Any

from jevons.core.limits import LIVE_MINUTES, LIVE_RUN_S, LIVE_RUNS_MAX
from jevons.core.money import format_usd, half_even
from jevons.dashboard.aside import aside
from jevons.dashboard.rows import anything
from jevons.ledger import runs, standing
from jevons.ledger.bill import bill, open_holds, reading
from jevons.ledger.ledger import Ledger
from jevons.ledger.rollup import DAY_MS, MINUTE_MS
from jevons.policy.rules import MONEY, Measure

Record = dict[str, Any]
RATE_MINUTES = 5
"""The rate is that of the latest minutes, the one under way included: calls pause, and one minute alone jumps."""
ACCOUNTS_SHOWN = 5
"""Fullest accounts of a limit."""
QUESTIONS_SHOWN = 5
BUDGETS_SHOWN = 30

_TOKENS = "input + cache_read + cache_write_5m + cache_write_1h + output"
_MINUTES = (
    f"SELECT minute, sum(billed_nusd), sum({_TOKENS}) FROM keys CROSS JOIN rollup_minute ON key_id = keys.id AND minute >= ?"
    " WHERE coalesce(settings ->> 'source', '') = '' GROUP BY minute"
)


async def picture(ledger: Ledger, now_ms: int) -> Record:
    """All of the page's figures."""
    spending, budgets = await asyncio.gather(aside(flowing, ledger.path, now_ms), accounts(ledger, now_ms))
    return spending | budgets


def flowing(path: Path, now_ms: int) -> Record:
    """What the disk says: the rate, today, calls under way, live runs."""
    found = runs.runs(path, since_ms=now_ms - LIVE_RUN_S * 1000, limit=LIVE_RUNS_MAX)
    holds = open_holds(path)
    return {
        "rate": rate(path, now_ms),
        "today": bill(path, since_ms=now_ms // DAY_MS * DAY_MS),
        "any": bool(holds) or anything(path),
        "runs": _newest_first(found),
        "holds": {"calls": len(holds), "held_nusd": sum(hold["held_nusd"] for hold in holds)},
    }


def rate(path: Path, now_ms: int) -> Record:
    """Money and tokens of each of the latest minutes, and of the last few together. Imported rows flow through nothing here."""
    first = now_ms // MINUTE_MS - LIVE_MINUTES + 1
    with reading(path) as db:
        found = {minute: (nusd, tokens) for minute, nusd, tokens in db.execute(_MINUTES, (first,))}
    minutes = [(minute, *found.get(minute, (0, 0))) for minute in range(first, first + LIVE_MINUTES)]
    latest = minutes[-RATE_MINUTES:]
    nusd, tokens = sum(minute[1] for minute in latest), sum(minute[2] for minute in latest)
    return {
        "minutes": [(minute * 60, nusd, tokens, format_usd(nusd)) for minute, nusd, tokens in minutes],
        "latest": RATE_MINUTES,
        "nusd": nusd,
        "tokens": tokens,
        "nusd_per_minute": half_even(nusd, RATE_MINUTES),
        "tokens_per_minute": half_even(tokens, RATE_MINUTES),
    }


def _newest_first(found: list[Record]) -> list[Record]:
    """Trees by their beginning: an order that stands still while they call."""
    trees: list[list[Record]] = []
    for run in found:
        if run["depth"] == 1:
            trees.append([])
        trees[-1].append(run)
    return [run for tree in sorted(trees, key=lambda tree: -tree[0]["first_ms"]) for run in tree]


async def accounts(ledger: Ledger, now_ms: int) -> Record:
    """What memory says: every account that has a limit, the fullest first, keys, kills in force, questions."""
    found = await standing.limits(ledger, now_ms, ACCOUNTS_SHOWN)
    limited = [_budget(account, account["account"].partition(":")[0]) for one in found["limits"] for account in one["accounts"]]
    limited += [_budget(account, "total of the key") for account in found["keys"]]
    limited += [_budget(account, "budget of the run") for account in found["run_budgets"]]
    budgets = sorted((one for one in limited if one["limit"] is not None), key=lambda one: -one["used_permille"])
    open_questions = [one for one in standing.approvals(ledger, now_ms, QUESTIONS_SHOWN) if one["state"] == "pending"]
    return {
        "budgets": budgets[:BUDGETS_SHOWN],
        "more_budgets": len(budgets[BUDGETS_SHOWN:]),
        "keys": sorted(key.name for key in ledger.by_id.values() if key.revoked_ms is None and not key.settings.source),
        "kills": standing.kills(ledger),
        "questions": open_questions,
    }


def _budget(account: Record, name: str) -> Record:
    """An account's amounts under names that do not depend on its measure."""
    measure = Measure(account["measure"])
    unit = "_nusd" if measure in MONEY else ""
    amounts = {part: account[f"{part}{unit}"] for part in ("limit", "posted", "held", "available", "over")}
    used = amounts["posted"] + amounts["held"]
    return {
        **amounts,
        "account": account["account"],
        "name": name,
        "subject": account["subject"],
        "measure": measure,
        "money": measure in MONEY,
        "enforced": account["mode"] == "enforce",
        "ends_ms": account["window_end_ms"],
        "used_permille": used * 1000 // amounts["limit"] if amounts["limit"] else 1000 * (used > 0),
    }
