"""How things stand, for the operator: limits with their accounts, kills in force, questions. Plain values, ready for JSON.

Comes in: the running ledger and an instant (Unix milliseconds). Amounts are in the unit of their measure; money is nano-USD, and its
members' names say so (`posted_nusd`). Does not know: who asks, how it is shown.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from jevons.core.limits import STANDING_CALLERS_MAX
from jevons.ledger.admin import check_there
from jevons.ledger.bill import reading
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, Kill
from jevons.policy.accounts import Account
from jevons.policy.books import RUN_BUDGET
from jevons.policy.rules import MONEY, Limit, Measure, Rule, rules_of
from jevons.policy.windows import FOREVER

Record = dict[str, Any]


async def limits(ledger: Ledger, now_ms: int, accounts_max: int) -> Record:
    """{"limits", "keys", "run_budgets"}: every limit with its fullest accounts of now; the keys' totals; budgets that runs set themselves.

    The account of a run is there once the run has called this process, any other one as soon as it has something to count.
    """
    await _call_up(ledger, now_ms)
    of_limits: dict[str, list[Account]] = {}
    budgets: list[Account] = []
    for account in ledger.books.accounts.values():
        if not account.period.start_ms <= now_ms < account.period.end_ms:
            continue
        if excess := account.roll(now_ms):
            ledger.books.fresh_excess.append((account, excess))
        if account.rule is not RUN_BUDGET:
            of_limits.setdefault(account.rule.name, []).append(account)
        elif account.limit is not None:
            budgets.append(account)
    totals = [ledger.accounts[key.id] for key in ledger.by_id.values() if key.revoked_ms is None]
    return {
        "limits": [_limit(one, where, of_limits.get(one.name, []), accounts_max) for one, where in ledger.control.limits],
        "keys": [_account(account) for account in totals],
        "run_budgets": [_account(account) for account in _fullest(budgets, accounts_max)],
    }


async def limit(ledger: Ledger, name: str, now_ms: int, accounts_max: int) -> Record:
    """One of them. Raises Unknown."""
    check_there("limit", name, [one.name for one, _ in ledger.control.limits])
    found = await limits(ledger, now_ms, accounts_max)
    return next(one for one in found["limits"] if one["name"] == name)


def kills(ledger: Ledger) -> list[Record]:
    """Those in force, oldest first."""
    return [msgspec.to_builtins(kill) for kill in ledger.control.kills.values()]


def approvals(ledger: Ledger, now_ms: int, count_max: int) -> list[Record]:
    """The latest questions, newest first; one that waits for its answer is never left out."""
    newest = reversed(ledger.control.approvals.values())
    return [approval(one, now_ms) for place, one in enumerate(newest) if place < count_max or one.open(now_ms)]


def approval(asked: Approval, now_ms: int) -> Record:
    """One question. Its state is "expired" if nobody answered in time: that counts as a no, and can still be answered."""
    limit, _, subject = asked.account.partition(" ")
    name, _, measure = limit.partition(":")
    late = asked.state == "pending" and not asked.open(now_ms)
    return {
        "id": asked.id,
        "state": "expired" if late else asked.state,
        "question": asked.question,
        "limit_name": name,
        "measure": measure,
        "subject": subject,
        _named("grants", Measure(measure)): asked.grants,
        "asked_ms": asked.asked_ms,
        "expires_ms": asked.expires_ms,
        "decided_ms": asked.decided_ms,
    }


def kill(made: Kill, open_calls: int) -> Record:
    """A new kill, with how many calls were under way that it stops."""
    return {**msgspec.to_builtins(made), "open_calls": open_calls}


async def _call_up(ledger: Ledger, now_ms: int) -> None:
    """Let the accounts be made of all who have called before this process did: after a restart they wait for their first call.

    One caller at a time, with the loop in between: calls under way are not held up.
    """
    if ledger.control.rules:
        for key_id, agent, target in await asyncio.to_thread(_callers, ledger.path):
            ledger.path_of(ledger.who(ledger.by_id[key_id], agent), None, target, now_ms)
            await asyncio.sleep(0)


def _callers(path: Path) -> list[tuple[int, str, str]]:
    """(key, agent, model) of the latest callers that may call. Imported rows belong to keys that never could, and crowd nobody out."""
    query = (
        "SELECT key_id, agent, target FROM rollup_day JOIN keys ON keys.id = key_id WHERE revoked_ms IS NULL"
        " GROUP BY 1, 2, 3 ORDER BY max(day) DESC LIMIT ?"
    )
    with reading(path) as db:
        return [(key_id, agent, target) for key_id, agent, target in db.execute(query, (STANDING_CALLERS_MAX,))]


def _limit(one: Limit, where: str, accounts: list[Account], accounts_max: int) -> Record:
    stated = rules_of(msgspec.structs.replace(one, mode="enforce"))  # also of one that is off
    return {
        "name": one.name,
        "where": where or "ledger",
        "scope": one.scope,
        "mode": one.mode,
        "per": one.per,
        "settings": msgspec.to_builtins(one),
        "rules": [_rule(rule) for rule in stated],
        "accounts_known": len(accounts),
        "accounts": [_account(account) for account in _fullest(accounts, accounts_max)],
    }


def _rule(rule: Rule) -> Record:
    amounts = {"limit": rule.limit, "warn": rule.warn, "approve": rule.approve}
    return {"measure": rule.measure, **{_named(name, rule.measure): amount for name, amount in amounts.items()}}


def _account(account: Account) -> Record:
    amounts = {
        "limit": account.limit,
        "posted": account.posted,
        "held": account.held,
        "available": account.available,
        "over": account.excess,
        "overrun": account.overrun,
        "granted": account.granted,
    }
    measure, ends = account.rule.measure, account.period != FOREVER
    return {
        "account": account.label,
        "subject": account.subject,
        "measure": measure,
        **{_named(name, measure): amount for name, amount in amounts.items()},
        "mode": "enforce" if account.enforced else "observe",
        "window_start_ms": account.period.start_ms if ends else None,
        "window_end_ms": account.period.end_ms if ends else None,
    }


def _fullest(accounts: Iterable[Account], count_max: int) -> list[Account]:
    def use(account: Account) -> float:
        return (account.posted + account.held) / max(1, account.limit or 0)

    return sorted(accounts, key=use, reverse=True)[:count_max]


def _named(name: str, measure: Measure) -> str:
    return f"{name}_nusd" if measure in MONEY else name
