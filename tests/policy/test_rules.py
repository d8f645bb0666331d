"""Limits as they are written, and the rules they become: whom they hold for, in which unit, and what is said of one that makes no sense."""

import json
import re
import tomllib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.policy.books import KEY_TOTAL, RUN_BUDGET
from jevons.policy.rules import (
    BUILT_IN,
    COUNTED,
    MONEY,
    OF_A_RUN,
    RESERVED,
    SUMMED,
    Limit,
    Measure,
    Rule,
    Scope,
    Who,
    applies,
    matches,
    named_and_built_in,
    rules_of,
    subject,
)
from jevons.policy.windows import Window, window

ALICE = Who(org="acme", team="web", key_id=1, key="alice", agent="coder", run="r1")


def rules(**members: Any) -> tuple[Rule, ...]:
    return rules_of(Limit(**{"name": "cap", **members}))


def from_toml(text: str) -> Limit:
    return msgspec.convert(tomllib.loads(text), Limit)


def test_one_limit_becomes_a_rule_for_each_measure_in_the_order_of_measures() -> None:
    made = rules(scope="team", output_tokens=7, usd="0.25", per="day", timezone="Europe/Zurich", team="w*", model="gpt-*")
    span = window("day", "Europe/Zurich")
    both: dict[str, Any] = {"name": "cap", "scope": Scope.TEAM, "window": span, "team": "w*", "model": "gpt-*"}
    assert made == (Rule(measure=Measure.USD, limit=250_000_000, **both), Rule(measure=Measure.OUTPUT, limit=7, **both))
    assert [rule.index for rule in made] == [0, 6] and all(rule.counted and rule.enforced for rule in made)


def test_every_measure_can_be_limited_and_stands_in_its_place() -> None:
    for measure in Measure:
        (rule,) = rules(scope="child", **{measure.value: 3})
        assert (rule.measure, rule.counted) == (measure, measure in COUNTED)
        assert rule.limit == {**dict.fromkeys(MONEY, 3_000_000_000), Measure.GROWTH: 300}.get(measure, 3)
        if rule.counted:
            assert COUNTED[rule.index] is measure
    assert len(COUNTED) == 10 and not OF_A_RUN & set(COUNTED)


def test_modes() -> None:
    assert rules(usd=1, mode="off") == ()
    assert [rule.enforced for rule in rules(usd=1, mode="observe")] == [False]
    with pytest.raises(ValueError, match="is not an amount"):
        rules(usd="a lot", mode="off")  # what is off is still read


def test_a_limit_of_runs_counts_for_each_run_if_nothing_else_is_said() -> None:
    assert rules(scope="run", usd=1)[0].window == rules(scope="run", usd=1, per="run")[0].window == Window("run")
    assert rules(scope="child", usd=1, per="1h")[0].window == Window("1h")
    assert rules(usd=1)[0].window == Window()


def test_only_what_is_summed_has_a_window() -> None:
    made = rules(scope="run", per="day", usd=1, steps=9, concurrent=4, depth=2, output_cap=100)
    assert {rule.measure for rule in made if rule.window.name == "day"} == {Measure.USD, Measure.STEPS}
    assert {rule.measure for rule in made if rule.window.name == "total"} == {
        Measure.CONCURRENT,
        Measure.DEPTH,
        Measure.OUTPUT_CAP,
    }
    assert set(COUNTED) - {Measure.CONCURRENT} == SUMMED


def test_points_before_the_limit_are_in_its_unit() -> None:
    (rule,) = rules(usd=5, warn=0.1, approve="2.50")
    assert (rule.warn, rule.approve) == (100_000_000, 2_500_000_000)
    (rule,) = rules(scope="run", context_growth=4, warn=1.5, approve=2)
    assert (rule.warn, rule.approve, rule.limit) == (150, 200, 400)
    (rule,) = rules(tokens=5, warn=5, approve=5)
    assert (rule.warn, rule.approve) == (5, 5)
    (rule,) = rules(tokens=5, approve=0)
    assert (rule.warn, rule.approve) == (None, 0)


def test_degrading_is_of_money() -> None:
    money, steps = rules(usd=5, steps=10, degrade_at=0.8, degrade_to=("mini", "nano"))
    assert (money.degrade_pct, money.degrade_to) == (80, ("mini", "nano"))
    assert (steps.degrade_pct, steps.degrade_to) == (None, ())
    assert [rules(list_usd=5, degrade_at=share, degrade_to=("m",))[0].degrade_pct for share in (0, 1)] == [0, 100]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"name": ""}, "limit '': a name has 1 to 64 letters, digits, dots, dashes or underscores"),
        ({"name": "a b"}, "limit 'a b': a name has 1 to 64"),
        ({"name": "-a"}, "a name has 1 to 64"),
        ({"name": "a\n"}, "a name has 1 to 64"),
        ({"name": "a" * 65}, "a name has 1 to 64"),
        ({"name": "key"}, "limit 'key': this name is taken by the accounts that every key and run has"),
        ({"name": "run-budget"}, "this name is taken"),
        ({"per": "run"}, """limit 'cap': per = "run" needs scope = "run" or "child", not 'key'"""),
        ({"per": "noon"}, "limit 'cap': per = 'noon' is not a window"),
        ({"per": "day", "timezone": "Mars"}, "limit 'cap': timezone 'Mars' is not known"),
        ({"usd": None}, "limit 'cap': it limits nothing; state one of usd, list_usd, tokens, input_tokens"),
        ({"depth": 3}, """limit 'cap': depth is of a run; use scope = "run" or "child\""""),
        ({"scope": "org", "identical_calls": 3}, "identical_calls is of a run"),
        ({"steps": 3, "warn": 1}, "warn and approve are in the unit of the measure; limit one measure where they are used"),
        ({"steps": 3, "approve": 1}, "limit one measure where they are used"),
        (
            {"usd": None, "steps": 3, "degrade_at": 0.5, "degrade_to": ("m",)},
            "degrade_at needs a limit in usd and the cheaper models",
        ),
        ({"degrade_at": 0.5}, "degrade_at needs a limit in usd and the cheaper models in degrade_to"),
        ({"degrade_to": ("m",)}, "degrade_to needs degrade_at, the share of the limit"),
        ({"degrade_at": 1.5, "degrade_to": ("m",)}, "degrade_at is a share of the limit: 0 to 1"),
        ({"degrade_at": -0.1, "degrade_to": ("m",)}, "degrade_at is a share of the limit: 0 to 1"),
        ({"degrade_at": float("nan"), "degrade_to": ("m",)}, "degrade_at is a share of the limit: 0 to 1"),
        ({"warn": 7}, "warn, approve and the limit ascend"),
        ({"approve": 7}, "warn, approve and the limit ascend"),
        ({"warn": 3, "approve": 2}, "warn, approve and the limit ascend"),
        ({"warn": 3, "approve": 0}, "warn, approve and the limit ascend"),
        ({"usd": -1}, "usd is -1; it must be 0 or more, and fit 62 bits"),
        ({"usd": "5 dollars"}, "'5 dollars' is not an amount in dollars"),
        ({"usd": float("inf")}, "'inf' is not an amount in dollars"),
        ({"usd": float("nan")}, "'nan' is not an amount in dollars"),
        ({"usd": 1e-10}, "'1e-10' is finer than a nano-dollar"),
        ({"usd": 5_000_000_000}, "usd is 5000000000; it must be 0 or more, and fit 62 bits"),
        ({"usd": 1e12}, "is beyond what the ledger can hold"),
        ({"usd": None, "steps": -1}, "steps is -1; it must be 0 or more"),
        ({"usd": None, "tokens": 2**62}, "it must be 0 or more, and fit 62 bits"),
        ({"usd": None, "tokens": 9, "warn": 1.5}, "tokens is a whole number, not 1.5"),
        ({"usd": None, "tokens": 9, "approve": "5"}, "tokens is a whole number, not '5'"),
        ({"usd": None, "scope": "run", "context_growth": float("inf")}, "context_growth is a number such as 2.5, not inf"),
        ({"usd": None, "scope": "run", "context_growth": float("nan")}, "context_growth is a number such as 2.5, not nan"),
        (
            {"usd": None, "scope": "run", "context_growth": 3.0, "warn": "twice"},
            "context_growth is a number such as 2.5, not 'twice'",
        ),
        ({"usd": None, "scope": "run", "context_growth": -1.0}, "context_growth is -1.0; it must be 0 or more"),
    ],
)
def test_what_makes_no_sense_is_named(members: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        rules_of(Limit(**{"name": "cap", "usd": 5, **members}))


def test_names_that_every_key_and_run_has_an_account_under_are_reserved() -> None:
    assert {KEY_TOTAL.name, RUN_BUDGET.name} == RESERVED


def test_the_built_in_limits_make_sense() -> None:
    assert all(rules_of(limit) for limit in BUILT_IN)


def test_a_limit_of_its_name_stands_for_a_built_in_one() -> None:
    own = Limit("loops", scope="run", steps=5)
    assert named_and_built_in([Limit("a", usd=1)]) == [Limit("a", usd=1), *BUILT_IN]
    assert named_and_built_in([own]) == [own]


def test_a_limit_of_toml_is_taken_exactly() -> None:
    (rule,) = rules_of(from_toml('name = "a"\nusd = 0.1'))
    assert rule.limit == 100_000_000
    (rule,) = rules_of(from_toml('name = "a"\nusd = 0.000000001'))
    assert rule.limit == 1
    (rule,) = rules_of(from_toml('name = "a"\nusd = 1_000'))
    assert rule.limit == 1_000_000_000_000
    (rule,) = rules_of(from_toml('name = "a"\nusd = 4611686018.427387'))
    assert rule.limit == 4_611_686_018_427_387_000
    limit = from_toml(
        'name = "recipe"\nscope = "run"\nusd = "$1,000.50"\nper = "24h"\nkey = "team-*"\ncontext_growth = 3\n'
        'degrade_at = 0.75\ndegrade_to = ["mini"]'
    )
    assert [rule.limit for rule in rules_of(limit)] == [1_000_500_000_000, 300]
    assert limit.degrade_to == ("mini",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nuds = 5', "Object contains unknown field `uds`"),
        ("usd = 5", "missing required field `name`"),
        ('name = "a"\nscope = "user"', "Invalid enum value 'user' - at `$.scope`"),
        ('name = "a"\nmode = "on"', "Invalid enum value 'on' - at `$.mode`"),
        ('name = "a"\nsteps = 1.5', "Expected `int | null`, got `float` - at `$.steps`"),
        ('name = "a"\nsteps = "9"', "Expected `int | null`, got `str` - at `$.steps`"),
        ('name = "a"\nusd = true', "Expected `int | float | str | null`, got `bool` - at `$.usd`"),
    ],
)
def test_a_table_of_another_shape_is_refused_where_it_is_read(text: str, said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(said)):
        from_toml(text)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(lambda name: name not in RESERVED)
usd = (
    st.integers(0, 10**18).map(lambda nusd: f"{nusd // 10**9}.{nusd % 10**9:09d}")
    | st.integers(0, 4 * 10**9)
    | st.floats(0, 10**6).map(lambda dollars: round(dollars, 6))
)
counts = st.integers(0, 2**62 - 1)
written = st.fixed_dictionaries(
    {"name": names, "scope": st.sampled_from(["run", "child"]), "usd": usd},
    optional={
        "per": st.sampled_from(["run", "hour", "day", "week", "month", "year", "5m", "24h"]),
        "timezone": st.sampled_from(["UTC", "Europe/Zurich"]),
        "mode": st.sampled_from(["off", "observe", "enforce"]),
        "key": st.text(max_size=5),
        "list_usd": usd,
        "context_growth": st.floats(0, 100),
        "degrade_at": st.floats(0, 1),
        **{m.value: counts for m in Measure if m not in MONEY and m is not Measure.GROWTH},
    },
).map(lambda members: members | ({"degrade_to": ("m",)} if "degrade_at" in members else {}))


@given(written)
def test_a_limit_survives_json(members: dict[str, Any]) -> None:
    limit = Limit(**members)
    assert msgspec.json.decode(msgspec.json.encode(limit), type=Limit) == limit
    plain = json.loads(msgspec.json.encode(limit))
    assert plain.keys() <= members.keys()  # what was not said is not written
    again = msgspec.convert(plain, Limit)
    assert again == limit and rules_of(again) == rules_of(limit)


@given(st.integers(0, 2**53 // 10**3))
def test_a_float_of_toml_is_the_decimal_that_was_written(microdollars: int) -> None:
    text = f"{microdollars // 10**6}.{microdollars % 10**6:06d}"
    assert rules_of(from_toml(f'name = "a"\nusd = {text}'))[0].limit == microdollars * 1_000


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"org": "acme", "team": "w?b", "key": "al*", "agent": "[a-c]oder", "model": "gpt-*"}, True),
        ({"org": "other"}, False),
        ({"team": "api"}, False),
        ({"key": "bob"}, False),
        ({"agent": "Coder"}, False),
        ({"model": "claude-*"}, False),
        ({"model": "gpt"}, False),
    ],
)
def test_a_rule_holds_for_callers_that_match_all_of_its_patterns(changes: dict[str, str], holds: bool) -> None:
    assert applies(Rule("r", Scope.ORG, Measure.USD, 1, **changes), ALICE, "gpt-5") is holds


def test_a_name_with_brackets_is_found_by_itself() -> None:
    assert matches("claude-opus[1m]", "claude-opus[1m]") and matches("claude-opus[1m]", "claude-*")
    assert not matches("claude-opus1", "claude-opus[2]") and matches("claude-opus1", "claude-opus[1m]")
    assert matches("", "*") and not matches("", "?*")


@pytest.mark.parametrize(
    ("scope", "lacking", "label"),
    [
        (Scope.ORG, None, "org:acme"),
        (Scope.TEAM, {"team": ""}, "team:acme/web"),
        (Scope.KEY, None, "key:alice"),
        (Scope.AGENT, {"agent": ""}, "agent:alice/coder"),
        (Scope.RUN, {"run": None}, "run:alice/r1"),
        (Scope.CHILD, {"run": None}, "run:alice/r1"),
    ],
)
def test_whom_an_account_belongs_to(scope: Scope, lacking: dict[str, Any] | None, label: str) -> None:
    rule = Rule("r", scope, Measure.USD, 1)
    assert applies(rule, ALICE, "m") and subject(scope, ALICE) == label
    if lacking is not None:
        assert not applies(rule, msgspec.structs.replace(ALICE, **lacking), "m")


def test_the_run_of_a_level_may_be_another_than_that_of_the_call() -> None:
    assert subject(Scope.RUN, ALICE, "root") == "run:alice/root"
    assert subject(Scope.CHILD, ALICE, "") == "run:alice/"
