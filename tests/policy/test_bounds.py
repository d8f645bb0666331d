"""Limits that are looked at when a call comes: at the limit, beyond it, and which of several is said first."""

import msgspec
import pytest

from jevons.core.limits import THINKING_FLOOR_TOKENS
from jevons.policy.bounds import DONE, Facts, Passed, judge, output_cap, value_of
from jevons.policy.rules import COUNTED, Measure, Rule, Scope

QUIET = Facts(context_tokens=0)


def rule(
    measure: Measure = Measure.DEPTH, limit: int = 10, *, scope: Scope = Scope.RUN, name: str = "r", **changes: object
) -> Rule:
    return msgspec.structs.replace(Rule(name, scope, measure, limit), **changes)


def steps(rules: list[Rule], facts: Facts, granted: int = 0) -> list[tuple[str, str, int]]:
    return [(passed.rule.name, passed.step, passed.value) for passed in judge(rules, facts, lambda _: granted)]


@pytest.mark.parametrize(
    ("measure", "scope", "fact"),
    [
        (Measure.SECONDS, Scope.RUN, "seconds"),
        (Measure.SECONDS, Scope.CHILD, "own_seconds"),
        (Measure.DEPTH, Scope.RUN, "depth"),
        (Measure.CHILDREN, Scope.RUN, "ordinal"),
        (Measure.CONTEXT, Scope.KEY, "context_tokens"),
        (Measure.GROWTH, Scope.RUN, "growth_pct"),
        (Measure.REPEATS, Scope.RUN, "repeats"),
        (Measure.IDENTICAL, Scope.RUN, "identical"),
        (Measure.STALLED, Scope.RUN, "stalled_tokens"),
    ],
)
def test_each_measure_at_its_limit_and_beyond(measure: Measure, scope: Scope, fact: str) -> None:
    rules = [rule(measure, 10, scope=scope)]
    at, below, beyond = (msgspec.structs.replace(QUIET, **{fact: value}) for value in (10, 9, 11))
    assert value_of(rules[0], at) == 10
    assert steps(rules, below) == []
    assert steps(rules, at) == ([("r", "deny", 10)] if measure in DONE else [])
    assert steps(rules, beyond) == [("r", "deny", 11)]
    others = {name: 10**9 for name in QUIET.__struct_fields__ if name not in (fact, "why")}
    assert value_of(rules[0], msgspec.structs.replace(at, **others)) == 10  # nothing else is held against it


def test_every_measure_without_an_account_is_judged() -> None:
    everything = Facts(9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
    for measure in Measure:
        if measure not in COUNTED:
            assert value_of(rule(measure), everything) > 0
            assert len(judge([rule(measure, 0)], everything, lambda _: 0)) == 1


def test_a_limit_of_zero_on_what_was_done_is_no_ban() -> None:
    for measure in DONE:
        assert steps([rule(measure, 0)], QUIET) == []
    assert steps([rule(Measure.CHILDREN, 0)], QUIET) == []
    assert steps([rule(Measure.CHILDREN, 0)], Facts(0, ordinal=1)) == [("r", "deny", 1)]
    assert steps([rule(Measure.CONTEXT, 0)], Facts(1)) == [("r", "deny", 1)]


def test_the_ladder() -> None:
    rules = [rule(Measure.REPEATS, 9, warn=3, approve=6)]
    said = {value: steps(rules, Facts(0, repeats=value)) for value in range(11)}
    assert [said[value][0][1] if said[value] else "" for value in range(11)] == [
        *[""] * 3,
        *["warn"] * 3,
        *["ask"] * 3,
        *["deny"] * 2,
    ]
    for value, granted, step in ((6, 1, "warn"), (7, 1, "ask"), (8, 3, "warn"), (9, 100, "deny")):
        assert steps(rules, Facts(0, repeats=value), granted)[0][1] == step  # an approval raises the question, never the limit


def test_what_was_granted_is_asked_of_each_rule() -> None:
    a, b = rule(name="a", approve=1), rule(name="b", approve=1)
    found = judge([a, b], Facts(0, depth=2), lambda rule: 5 if rule is a else 0)
    assert found == [Passed(b, 2, "ask")]


def test_the_worst_comes_first_and_the_enforced_before_the_observed() -> None:
    rules = [
        rule(name="watched", limit=1, enforced=False),
        rule(name="warned", warn=1),
        rule(name="quiet", limit=5),
        rule(name="asked", approve=2),
        rule(name="watched too", warn=1, enforced=False),
        rule(name="denied", limit=2),
        rule(name="denied too", limit=2),
    ]
    assert [(name, step) for name, step, _ in steps(rules, Facts(0, depth=3))] == [
        ("denied", "deny"),
        ("denied too", "deny"),
        ("asked", "ask"),
        ("warned", "warn"),
        ("watched", "deny"),
        ("watched too", "warn"),
    ]


def test_an_output_cap_cuts_and_denies_only_a_thinking_budget_that_has_no_room() -> None:
    capped = [rule(Measure.OUTPUT_CAP, 4_000, scope=Scope.KEY), rule(Measure.OUTPUT_CAP, 5_000), rule(Measure.DEPTH, 1)]
    watched = [rule(Measure.OUTPUT_CAP, 10, enforced=False)]
    assert (output_cap(capped), output_cap(watched), output_cap([])) == (4_000, None, None)
    assert steps(capped, Facts(10**9)) == []
    most = 4_000 - THINKING_FLOOR_TOKENS
    assert steps(capped, Facts(0, thinking_budget=most)) == []
    assert steps(capped, Facts(0, thinking_budget=most + 1)) == [("r", "deny", 4_001)]
