"""All accounts: which of them lie on the path of a call, outermost first.

An account is made when the first call needs it. What was posted to it before this process began is read then (`History`).
Does not know: the disk behind `History`, clocks.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.policy.accounts import Account
from jevons.policy.rules import Measure, Rule, Scope, Who, applies, subject
from jevons.policy.runs import Run
from jevons.policy.windows import FOREVER, Period

KEY_TOTAL = Rule("key", Scope.KEY, Measure.USD, 0)
"""Every key has this account, with the limit of `jevons keys limit`, or none."""
RUN_BUDGET = Rule("run-budget", Scope.RUN, Measure.USD, 0)
"""What a run's own calls have tightened its budget to (x-jevons-run-budget-usd). Every run has this account, so that a budget that comes
late finds what was spent and held before."""
SCOPES = tuple(Scope)
OF_RUNS = frozenset({Scope.RUN, Scope.CHILD})


class History(Protocol):
    """What the ledger says of an account."""

    def posted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterable[tuple[int, int]]:
        """(instant in Unix ms, amount) of all that was posted since; to the minute."""

    def overrun(self, label: str, window_ms: int) -> int: ...

    def granted(self, label: str, window_ms: int) -> int: ...


class _Way(msgspec.Struct, frozen=True):
    """The accounts of one run, or of calls without a run, as long as their periods last."""

    accounts: tuple[Account, ...]
    rolling: tuple[Account, ...]
    """Those of them whose window moves with every call."""
    start_ms: int
    end_ms: int


class _Plan(msgspec.Struct):
    """The rules that hold for one kind of caller and model, and the ways of its calls."""

    fixed: list[tuple[Rule, str]]
    """With the subject."""
    of_runs: list[Rule]
    of_children: list[Rule]
    bounds: tuple[Rule, ...]
    """Without a run, in a run, in a run that another started."""
    bounds_of_runs: tuple[Rule, ...]
    bounds_of_children: tuple[Rule, ...]
    ways: dict[Run | None, _Way]


class Books:
    """The accounts in memory under one set of rules."""

    def __init__(self, rules: Sequence[Rule], history: History, totals: dict[int, Account], since_ms: int) -> None:
        """`totals`: key id -> its total account, which is there under any rules. `since_ms`: nothing was admitted later so far."""
        self.rules = tuple(sorted(rules, key=lambda rule: SCOPES.index(rule.scope)))
        self.accounts: dict[tuple[str, Measure, str, int], Account] = {}
        self._totals = totals
        self._history = history
        self._since_ms = since_ms
        self._plans: dict[tuple[str, str, str, str, str], _Plan] = {}
        self._periods: dict[int, Period] = {}
        self.fresh_excess: list[tuple[Account, int]] = []
        """Excess found while accounts were made (a limit was lowered, a new one is passed already); whoever keeps the record takes it."""

    def path(self, who: Who, run: Run | None, model: str, at_ms: int) -> tuple[Account, ...]:
        """Every account that a call counts in, outermost first."""
        way = self._way(self._plan(who, model), who, run, at_ms)
        for account in way.rolling:
            if excess := account.roll(at_ms):
                self.fresh_excess.append((account, excess))
        return way.accounts

    def bounds(self, who: Who, run: Run | None, model: str) -> tuple[Rule, ...]:
        """The rules that are not counted in accounts."""
        plan = self._plan(who, model)
        if run is None:
            return plan.bounds
        return plan.bounds_of_children if run.depth > 1 else plan.bounds_of_runs

    def tighten(self, run: Run, who: Who, budget_nusd: int) -> int:
        """A run's own call lowers its budget. Returns the excess this recorded."""
        if run.budget_nusd is not None and run.budget_nusd <= budget_nusd:
            return 0
        run.budget_nusd = budget_nusd
        return self.budget(run, who).set_limit(budget_nusd)

    def budget(self, run: Run, who: Who) -> Account:
        """The account of what the run's own calls allow it."""
        label = f"run:{who.key}/{run.label}"
        key = (RUN_BUDGET.name, RUN_BUDGET.measure, label, 0)
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(RUN_BUDGET, label, FOREVER, run.budget_nusd)
            self._recall(account, who, run, 0)
        return account

    def _plan(self, who: Who, model: str) -> _Plan:
        key = (who.org, who.team, who.key, who.agent, model)
        plan = self._plans.get(key)
        if plan is None:
            of_run = msgspec.structs.replace(who, run="")
            holding = [rule for rule in self.rules if applies(rule, of_run, model)]
            rules = [rule for rule in holding if rule.counted]
            bounds = [rule for rule in holding if not rule.counted]
            if len(self._plans) >= ROUTE_MEMO_ENTRIES_MAX:
                self._plans.clear()
            plan = self._plans[key] = _Plan(
                fixed=[(rule, subject(rule.scope, who)) for rule in rules if rule.scope not in OF_RUNS],
                of_runs=[rule for rule in rules if rule.scope is Scope.RUN],
                of_children=[rule for rule in rules if rule.scope is Scope.CHILD],
                bounds=tuple(rule for rule in bounds if rule.scope not in OF_RUNS),
                bounds_of_runs=tuple(rule for rule in bounds if rule.scope is not Scope.CHILD),
                bounds_of_children=tuple(bounds),
                ways={},
            )
        return plan

    def _way(self, plan: _Plan, who: Who, run: Run | None, at_ms: int) -> _Way:
        way = plan.ways.get(run)
        if way is None or not way.start_ms <= at_ms < way.end_ms:
            way = plan.ways[run] = self._new_way(plan, who, run, at_ms)
        return way

    def _new_way(self, plan: _Plan, who: Who, run: Run | None, at_ms: int) -> _Way:
        if run is None:
            fixed = [self._account(rule, label, who, None, at_ms) for rule, label in plan.fixed]
            return _way_of([*fixed, self._totals[who.key_id]])
        found = [self._account(rule, f"run:{who.key}/{run.root.label}", who, run.root, at_ms) for rule in plan.of_runs]
        for rule in plan.of_children:
            found += [self._account(rule, f"run:{who.key}/{child.label}", who, child, at_ms) for child in run.lineage[1:]]
        found += [self.budget(node, who) for node in run.lineage]
        return _way_of(found, self._way(plan, who, None, at_ms))

    def _account(self, rule: Rule, label: str, who: Who, run: Run | None, at_ms: int) -> Account:
        period = self._periods.get(id(rule))
        if period is None or not period.start_ms <= at_ms < period.end_ms:
            period = self._periods[id(rule)] = rule.window.period(at_ms)
        key = (rule.name, rule.measure, label, period.start_ms)
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(rule, label, period, rule.limit)
            self._recall(account, who, run, at_ms)
        return account

    def _recall(self, account: Account, who: Who, run: Run | None, at_ms: int) -> None:
        """Put into a new account what was posted before it was made. Whoever is new to this process has no posts under way."""
        if (run is not None and not run.known) or account.period.start_ms > self._since_ms:
            return
        now_ms = max(at_ms, self._since_ms)  # one made for a call of before is as old as all: what is out by now stays out
        since_ms = (
            now_ms - account.rule.window.rolling_ms - account.rule.window.bucket_ms
            if account.rule.window.rolling_ms
            else account.period.start_ms
        )
        for posted_ms, amount in self._history.posted(account.rule, who, run.label if run is not None else None, since_ms):
            if posted_ms < account.period.end_ms:
                account.restore(account.pinned(posted_ms), amount)
        account.roll(now_ms)
        account.overrun = self._history.overrun(account.label, account.period.start_ms)
        account.granted = self._history.granted(account.label, account.period.start_ms)
        if excess := account.cover():
            self.fresh_excess.append((account, excess))


def _way_of(accounts: list[Account], outer: _Way | None = None) -> _Way:
    """The accounts of both."""
    rolling = tuple([account for account in accounts if account.rule.window.rolling_ms])
    start_ms = max([account.period.start_ms for account in accounts])
    end_ms = min([account.period.end_ms for account in accounts])
    if outer is None:
        return _Way(tuple(accounts), rolling, start_ms, end_ms)
    return _Way(
        (*outer.accounts, *accounts), (*outer.rolling, *rolling), max(start_ms, outer.start_ms), min(end_ms, outer.end_ms)
    )
