"""What every account should say: plain sums over the calls, as a person would add them up.

Comes in: what was called, corrected and set. Goes out: the accounts that a call counts in, and what stands in each. Knows nothing of
buckets but their width, nothing of rollups, nothing of the order in which things came.
"""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from jevons.core.entry import admitted_ms
from jevons.ledger.ops import KeySettings
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts
from jevons.policy.books import KEY_TOTAL, RUN_BUDGET
from jevons.policy.rules import Limit, Measure, Rule, Scope, rules_of

RUN_SCOPES = (Scope.RUN, Scope.CHILD)


@dataclass
class Call:
    """A hold, or the entry that it became."""

    id: int
    key_id: int
    agent: str
    run: str | None
    target: str
    amounts: Amounts
    """Held; once resolved, spent."""

    @property
    def at_ms(self) -> int:
        return admitted_ms(self.id)


@dataclass
class Correction:
    key_id: int
    nusd: int
    at_ms: int
    call: Call | None


@dataclass
class Oracle:
    keys: dict[int, KeySettings] = field(default_factory=dict)
    open: dict[int, Call] = field(default_factory=dict)
    resolved: dict[int, Call] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)
    parents: dict[tuple[int, str], str | None] = field(default_factory=dict)
    """(key, run) -> the run that started it."""
    budgets: dict[tuple[int, str], int] = field(default_factory=dict)
    limits: dict[str, Limit] = field(default_factory=dict)

    def rules(self) -> list[Rule]:
        return [rule for limit in self.limits.values() for rule in rules_of(limit)]

    def lineage(self, key_id: int, run: str | None) -> list[str]:
        """From the root to the run."""
        found: list[str] = []
        while run is not None:
            found.insert(0, run)
            run = self.parents.get((key_id, run))
        return found

    def path(self, call: Call) -> set[tuple[str, str, str]]:
        """(limit, measure, subject) of every account that the call counts in."""
        key = self.keys[call.key_id]
        lineage = self.lineage(call.key_id, call.run)
        found = {(KEY_TOTAL.name, "usd", f"key:key-{call.key_id}")}
        found |= {(RUN_BUDGET.name, "usd", f"run:key-{call.key_id}/{run}") for run in lineage}
        for rule in self.rules():
            if not self._patterns(rule, call.key_id, call.agent, call.target):
                continue
            subjects = {
                Scope.ORG: [f"org:{key.org}"],
                Scope.TEAM: [f"team:{key.org}/{key.team}"] if key.team else [],
                Scope.KEY: [f"key:key-{call.key_id}"],
                Scope.AGENT: [f"agent:key-{call.key_id}/{call.agent}"] if call.agent else [],
                Scope.RUN: [f"run:key-{call.key_id}/{run}" for run in lineage[:1]],
                Scope.CHILD: [f"run:key-{call.key_id}/{run}" for run in lineage[1:]],
            }
            found |= {(rule.name, rule.measure, subject) for subject in subjects[rule.scope]}
        return found

    def posted(self, account: Account) -> int:
        rule = account.rule
        found = [call.amounts[account.index] for call in self.resolved.values() if self._counts(account, call)]
        if rule.measure is Measure.USD:
            found += [one.nusd for one in self.corrections if self._corrects(account, one)]
        return sum(found)

    def held(self, account: Account) -> int:
        return sum(call.amounts[account.index] for call in self.open.values() if self._counts(account, call))

    def _counts(self, account: Account, call: Call) -> bool:
        if not self._within(account, call.at_ms) or not self._patterns(account.rule, call.key_id, call.agent, call.target):
            return False
        kind, _, name = account.subject.partition(":")
        key = self.keys[call.key_id]
        match kind:
            case "org":
                return key.org == name
            case "team":
                return f"{key.org}/{key.team}" == name
            case "key":
                return f"key-{call.key_id}" == name
            case "agent":
                return f"key-{call.key_id}/{call.agent}" == name
        return name in [f"key-{call.key_id}/{run}" for run in self.lineage(call.key_id, call.run)]

    def _corrects(self, account: Account, one: Correction) -> bool:
        if one.call is not None:
            return self._counts(account, one.call)
        rule = account.rule
        if rule.scope is Scope.AGENT or rule.scope in RUN_SCOPES or (rule.agent, rule.model) != ("*", "*"):
            return False
        return self._counts(account, Call(one.at_ms << 18, one.key_id, "", None, "", ()))  # type: ignore[arg-type]

    def _within(self, account: Account, at_ms: int) -> bool:
        """A rolling window is as of when it was last looked at, and counts a bucket until its last instant is out."""
        window, now_ms = account.rule.window, account._now_ms
        if not window.rolling_ms:
            return account.period.start_ms <= at_ms < account.period.end_ms
        last_of_bucket_ms = at_ms // window.bucket_ms * window.bucket_ms + window.bucket_ms - 1
        return last_of_bucket_ms >= now_ms - window.rolling_ms

    def _patterns(self, rule: Rule, key_id: int, agent: str, target: str) -> bool:
        key = self.keys[key_id]
        pairs = (
            (key.org, rule.org),
            (key.team, rule.team),
            (f"key-{key_id}", rule.key),
            (agent, rule.agent),
            (target, rule.model),
        )
        return all(fnmatchcase(name, pattern) for name, pattern in pairs)
