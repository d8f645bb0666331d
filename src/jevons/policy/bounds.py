"""Limits that are not counted in accounts: what a run has become by now is held against them when a call comes.

Comes in: the rules that hold, and the facts of the call. Goes out: what is passed, the worst first. Does not know: how facts are found.
"""

from collections.abc import Callable, Iterable

import msgspec

from jevons.core.limits import THINKING_FLOOR_TOKENS
from jevons.policy.rules import Measure, Rule

DONE = (Measure.REPEATS, Measure.IDENTICAL)
"""These count what has been done already: at the limit the next call is refused. Of the others the limit itself is allowed."""


class Facts(msgspec.Struct, frozen=True):
    """What a call and its run have become."""

    context_tokens: int
    thinking_budget: int = 0
    seconds: int = 0
    """Since the first call of the root run."""
    own_seconds: int = 0
    """Since the first call of the run itself."""
    depth: int = 1
    ordinal: int = 0
    """Which child of its parent the run is."""
    growth_pct: int = 0
    repeats: int = 0
    identical: int = 0
    stalled_tokens: int = 0
    why: str = ""
    """The repetition, in words."""


class Passed(msgspec.Struct, frozen=True):
    """A rule whose warning, asking or last point is reached."""

    rule: Rule
    value: int
    step: str
    """deny, ask or warn"""


_ORDER = ("deny", "ask", "warn")


def judge(rules: Iterable[Rule], facts: Facts, granted: Callable[[Rule], int]) -> list[Passed]:
    """Every rule that is passed, denials first, then questions, then warnings. `granted`: by how much approvals raised its asking point."""
    found = []
    for rule in rules:
        value = value_of(rule, facts)
        if _reached(rule, value):
            found.append(Passed(rule, value, "deny"))
        elif rule.approve is not None and value >= rule.approve and value >= rule.approve + granted(rule):
            found.append(Passed(rule, value, "ask"))
        elif rule.warn is not None and value >= rule.warn:
            found.append(Passed(rule, value, "warn"))
    if len(found) > 1:
        found.sort(key=lambda passed: (not passed.rule.enforced, _ORDER.index(passed.step)))
    return found


def output_cap(rules: Iterable[Rule]) -> int | None:
    """The largest output cap that all of them allow; None = any."""
    return min((rule.limit for rule in rules if rule.measure is Measure.OUTPUT_CAP and rule.enforced), default=None)


def value_of(rule: Rule, facts: Facts) -> int:
    """What is held against the rule."""
    match rule.measure:
        case Measure.SECONDS:
            return facts.own_seconds if rule.scope == "child" else facts.seconds
        case Measure.DEPTH:
            return facts.depth
        case Measure.CHILDREN:
            return facts.ordinal
        case Measure.CONTEXT:
            return facts.context_tokens
        case Measure.GROWTH:
            return facts.growth_pct
        case Measure.REPEATS:
            return facts.repeats
        case Measure.IDENTICAL:
            return facts.identical
        case Measure.STALLED:
            return facts.stalled_tokens
    return facts.thinking_budget + THINKING_FLOOR_TOKENS if facts.thinking_budget else 0


def _reached(rule: Rule, value: int) -> bool:
    return value >= max(1, rule.limit) if rule.measure in DONE else value > rule.limit
