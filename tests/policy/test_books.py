"""All accounts of a call: which lie on its path, what they know of the time before them, and what runs say of themselves."""

from typing import Any

import msgspec
import pytest

from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.policy.accounts import Account
from jevons.policy.amounts import bound
from jevons.policy.books import KEY_TOTAL, RUN_BUDGET, Books
from jevons.policy.rules import COUNTED, Limit, Measure, Rule, Scope, Who, rules_of, subject
from jevons.policy.runs import Record, Run, Runs
from jevons.policy.windows import FOREVER, window
from tests.policy.keeping import Kept, Post

NOON_MS = 1_795_176_000_000
"""2026-11-20, 12:00 UTC: 13:00 in Zurich, a Friday."""
HOUR_MS = 3_600_000
ALICE = Who("acme", "web", 1, "alice", "coder")
BOB = Who("acme", "web", 2, "bob", "coder")
LONER = Who("acme", "", 3, "loner", "")


def in_run(who: Who, run: Run) -> Who:
    return msgspec.structs.replace(who, run=run.label)


class Desk:
    """Books with everything around them."""

    def __init__(self, *limits: Limit, since_ms: int = NOON_MS, **records: Record) -> None:
        self.kept = Kept()
        self.totals = {who.key_id: Account(KEY_TOTAL, f"key:{who.key}", FOREVER, None) for who in (ALICE, BOB, LONER)}
        self.runs = Runs(lambda key_id, label: records.get(label) if key_id == 1 else None)
        self.books = Books([rule for limit in limits for rule in rules_of(limit)], self.kept, self.totals, since_ms)

    def spent(self, at_ms: int, nusd: int, who: Who = ALICE, *line: str, model: str = "gpt-5") -> None:
        """Something that was posted before this process began."""
        self.kept.posts.append(Post(at_ms, who, line, model, bound(nusd, nusd, nusd, 0, step=True, calls=0)))

    def path(self, who: Who = ALICE, run: Run | None = None, model: str = "gpt-5", at_ms: int = NOON_MS) -> dict[str, Account]:
        found = self.books.path(who if run is None else in_run(who, run), run, model, at_ms)
        assert len({account.label for account in found}) == len(found)
        return {account.label: account for account in found}

    def posted(self, name: str, who: Who = ALICE, run: Run | None = None, *, at_ms: int = NOON_MS, model: str = "gpt-5") -> int:
        return {account.rule.name: account for account in self.path(who, run, model, at_ms).values()}[name].posted


def limit(name: str = "cap", **members: Any) -> Limit:
    return Limit(**{"name": name, **({"usd": 100} if not members.keys() & {m.value for m in Measure} else {}), **members})


def test_the_path_from_the_outermost_to_the_innermost() -> None:
    limits = [limit(f"of-{scope}", scope=scope) for scope in ("child", "run", "agent", "key", "team", "org")]
    desk = Desk(*limits)
    desk.runs.enter(1, "b", "a", 1)
    grandchild = desk.runs.enter(1, "c", "b", 1)
    outer = ["of-org:usd org:acme", "of-team:usd team:acme/web", "of-key:usd key:alice", "of-agent:usd agent:alice/coder"]
    inner = ["of-run:usd run:alice/a", "of-child:usd run:alice/b", "of-child:usd run:alice/c"]
    budgets = [f"run-budget:usd run:alice/{label}" for label in "abc"]
    assert list(desk.path(ALICE, grandchild)) == [*outer, "key:usd key:alice", *inner, *budgets]
    assert list(desk.path(ALICE, grandchild.root)) == [*outer, "key:usd key:alice", inner[0], budgets[0]]
    assert list(desk.path(ALICE)) == [*outer, "key:usd key:alice"]
    assert list(desk.path(LONER)) == ["of-org:usd org:acme", "of-key:usd key:loner", "key:usd key:loner"]
    assert all(account.label.endswith(subject(account.rule.scope, ALICE)) for account in desk.path(ALICE).values())


def test_a_rule_has_an_account_for_each_subject_and_one_for_all_who_share_it() -> None:
    desk = Desk(limit("team", scope="team"), limit("keys"), limit("agent", scope="agent"))
    alice, bob = desk.books.path(ALICE, None, "m", NOON_MS), desk.books.path(BOB, None, "m", NOON_MS)
    assert [a is b for a, b in zip(alice, bob, strict=True)] == [True, False, False, False]
    assert desk.books.path(ALICE, None, "m", NOON_MS + 1) == desk.books.path(ALICE, None, "another", NOON_MS + 2) == alice
    assert alice[-1] is desk.totals[1]


def test_only_calls_that_a_limit_is_for_count() -> None:
    desk = Desk(
        limit("gpt", scope="org", model="gpt-*"),
        limit("bobs", scope="team", key="bob"),
        limit("off", mode="off"),
        limit("two", steps=5, usd=1),
    )
    named = {account.rule.name for account in desk.path(ALICE, model="gpt-5").values()}
    assert named == {"gpt", "two", "key"}
    assert {account.rule.name for account in desk.path(ALICE, model="claude").values()} == {"two", "key"}
    assert {account.rule.name for account in desk.path(BOB, model="claude").values()} == {"bobs", "two", "key"}
    assert [account.rule.measure for account in desk.path(ALICE, model="claude").values()][:2] == [Measure.USD, Measure.STEPS]


def test_an_account_made_late_has_what_was_posted_before() -> None:
    desk = Desk(
        limit("all", scope="org"),
        limit("day", per="day", timezone="Europe/Zurich"),
        limit("hour", per="1h"),
        limit("mine", scope="agent"),
    )
    midnight_ms = NOON_MS - 13 * HOUR_MS
    for at_ms, nusd in ((midnight_ms - 1, 1), (midnight_ms, 20), (NOON_MS - HOUR_MS - 60_000, 300), (NOON_MS - HOUR_MS, 4_000)):
        desk.spent(at_ms, nusd)
    desk.spent(NOON_MS, 50_000, BOB)
    assert [desk.posted(name) for name in ("all", "day", "hour", "mine")] == [54_321, 4_320, 4_000, 4_321]
    assert [desk.posted(name, BOB) for name in ("all", "day", "hour", "mine")] == [54_321, 50_000, 50_000, 50_000]
    assert desk.kept.asked[:3] == [("all", None, 0), ("day", None, midnight_ms), ("hour", None, NOON_MS - HOUR_MS - 60_000)]
    assert len(desk.kept.asked) == 7  # each account asks once


def test_a_rolling_account_lets_go_what_it_found_as_it_ages() -> None:
    desk = Desk(limit("hour", per="1h"))
    desk.spent(NOON_MS - HOUR_MS, 1)
    desk.spent(NOON_MS - HOUR_MS // 2, 20)
    assert desk.posted("hour") == 21
    assert desk.posted("hour", at_ms=NOON_MS + 60_000) == 20
    assert desk.posted("hour", at_ms=NOON_MS + HOUR_MS) == 0


def test_a_new_period_begins_at_zero_without_a_question() -> None:
    desk = Desk(limit("day", per="day"), limit("hour", scope="org", per="hour"))
    desk.spent(NOON_MS, 7)
    today = desk.path()
    assert [account.posted for account in today.values()] == [7, 7, 0]
    asked = len(desk.kept.asked)
    desk.spent(NOON_MS + HOUR_MS, 5)  # posted by this very process: it would be found if it asked
    later = desk.path(at_ms=NOON_MS + HOUR_MS)
    assert [account.posted for account in later.values()] == [0, 7, 0] and len(desk.kept.asked) == asked
    assert [a is b for a, b in zip(later.values(), today.values(), strict=True)] == [False, True, True]
    tomorrow = desk.path(at_ms=NOON_MS + 12 * HOUR_MS)
    assert [account.posted for account in tomorrow.values()] == [0, 0, 0] and len(desk.kept.asked) == asked
    again = desk.path()  # a retry of a call that was admitted before the hour struck
    assert list(again.values()) == list(today.values())


def test_what_comes_after_a_period_is_none_of_it() -> None:
    desk = Desk(limit("hour", per="hour"), since_ms=NOON_MS + HOUR_MS)
    desk.spent(NOON_MS - 1, 1)
    desk.spent(NOON_MS, 20)
    desk.spent(NOON_MS + HOUR_MS, 300)
    assert desk.posted("hour", at_ms=NOON_MS + 5) == 20  # a period of the past, made anew
    assert desk.posted("hour", at_ms=NOON_MS + HOUR_MS) == 300


def test_a_run_counts_with_all_that_it_started() -> None:
    desk = Desk(
        limit("tree", scope="run"),
        limit("each", scope="child"),
        b=Record("a", 5, 1, None),
        a=Record(None, 5, 1, None),
        c=Record("b", 5, 0, None),
    )
    for nusd, line in ((1, "a"), (20, "ab"), (300, "abc"), (4_000, "x")):
        desk.spent(NOON_MS - 5, nusd, ALICE, *line)
    grandchild = desk.runs.enter(1, "c", None, NOON_MS)
    found = {label: account.posted for label, account in desk.path(ALICE, grandchild).items() if "run:" in label}
    assert found == {
        "tree:usd run:alice/a": 321,
        "each:usd run:alice/b": 320,
        "each:usd run:alice/c": 300,
        "run-budget:usd run:alice/a": 321,
        "run-budget:usd run:alice/b": 320,
        "run-budget:usd run:alice/c": 300,
    }
    assert {run for _, run, _ in desk.kept.asked} == {"a", "b", "c"}


def test_nobody_is_asked_about_a_new_run() -> None:
    desk = Desk(limit("tree", scope="run"), limit("each", scope="child"))
    desk.spent(NOON_MS - 5, 7, ALICE, "a")
    assert desk.posted("tree", run=desk.runs.enter(1, "b", "a", NOON_MS)) == 0
    assert desk.kept.asked == []


def test_a_limit_of_runs_may_have_a_window() -> None:
    desk = Desk(limit("tree", scope="run", per="1h"), a=Record(None, 5, 0, None))
    desk.spent(NOON_MS - 2 * HOUR_MS, 1, ALICE, "a")
    desk.spent(NOON_MS - HOUR_MS // 2, 20, ALICE, "a")
    assert desk.posted("tree", run=desk.runs.enter(1, "a", None, NOON_MS)) == 20


def test_limits_that_were_passed_before_they_were_set_are_on_record_once() -> None:
    desk = Desk(limit("tight", usd="0.000000005"), limit("watched", usd=0, mode="observe"), limit("wide", usd=1))
    desk.spent(NOON_MS, 12)
    desk.kept.overruns["tight:usd key:alice", 0] = 4
    path = desk.path()
    tight = path["tight:usd key:alice"]
    assert (tight.posted, tight.overrun) == (12, 7)
    assert desk.books.fresh_excess == [(tight, 3)]
    assert path["watched:usd key:alice"].overrun == 0


def test_what_approvals_granted_is_taken_up() -> None:
    desk = Desk(limit("ask", approve=1, per="day"))
    midnight_ms = NOON_MS - 12 * HOUR_MS
    desk.kept.grants = {("ask:usd key:alice", midnight_ms): 5, ("ask:usd key:alice", 0): 100}
    assert desk.path()["ask:usd key:alice"].granted == 5


def test_a_credit_that_leaves_its_window_first_is_put_on_record() -> None:
    desk = Desk(limit("hour", per="1h", usd="0.0000001"))
    desk.spent(NOON_MS - HOUR_MS, -50)
    desk.spent(NOON_MS - HOUR_MS // 2, 150)
    hour = desk.path()["hour:usd key:alice"]
    assert (hour.posted, desk.books.fresh_excess) == (100, [])
    desk.path(at_ms=NOON_MS + 60_000)
    assert (hour.posted, desk.books.fresh_excess) == (150, [(hour, 50)])


def test_what_left_the_window_before_an_account_was_made_anew_is_not_recorded_twice() -> None:
    later_ms = NOON_MS + 60_000
    desk = Desk(limit("hour", per="1h", usd="0.0000001"), since_ms=later_ms)
    desk.spent(NOON_MS - HOUR_MS, -50)
    desk.spent(NOON_MS - HOUR_MS // 2, 150)
    desk.kept.overruns["hour:usd key:alice", 0] = 50  # when the credit left the window
    hour = desk.path(at_ms=NOON_MS)["hour:usd key:alice"]  # for a call that was admitted before, and is still open
    assert (hour.posted, hour.overrun) == (150, 50)
    desk.path(at_ms=later_ms)
    assert (hour.posted, hour.overrun, desk.books.fresh_excess) == (150, 50, [])


def test_the_budget_of_a_run_only_goes_down() -> None:
    desk = Desk()
    run = desk.runs.enter(1, "a", None, NOON_MS)
    account = desk.path(ALICE, run)["run-budget:usd run:alice/a"]
    assert account.limit is None and account.rule is RUN_BUDGET
    assert desk.books.tighten(run, ALICE, 100) == 0
    assert desk.books.tighten(run, ALICE, 200) == desk.books.tighten(run, ALICE, 100) == 0
    assert (run.budget_nusd, account.limit) == (100, 100)
    account.reserve(0, 60)
    assert desk.books.tighten(run, ALICE, 50) == 10
    assert (run.budget_nusd, account.limit, account.overrun) == (50, 50, 10)


def test_a_budget_that_comes_late_finds_what_was_spent_and_held_before() -> None:
    desk = Desk()
    run = desk.runs.enter(1, "child", "root", NOON_MS)
    for account in desk.books.path(in_run(ALICE, run), run, "m", NOON_MS):
        account.restore(0, 30, 40)
    for late in run.lineage:
        assert desk.books.tighten(late, ALICE, 50) == 20
        budget = desk.books.budget(late, ALICE)
        assert (budget.posted, budget.held, budget.limit, budget.fits(0)) == (30, 40, 50, False)


def test_a_budget_is_taken_up_again() -> None:
    desk = Desk(a=Record(None, 5, 0, 100))
    desk.spent(NOON_MS, 130, ALICE, "a")
    run = desk.runs.enter(1, "a", None, NOON_MS)
    account = desk.path(ALICE, run)["run-budget:usd run:alice/a"]
    assert (account.limit, account.posted, desk.books.fresh_excess) == (100, 130, [(account, 30)])
    assert desk.books.tighten(run, ALICE, 90) == 10


def test_a_budget_holds_before_the_first_call() -> None:
    desk = Desk()
    run = desk.runs.enter(1, "a", None, NOON_MS)
    assert desk.books.tighten(run, ALICE, 100) == 0
    assert desk.path(ALICE, run)["run-budget:usd run:alice/a"].limit == 100


def test_bounds_are_those_of_the_caller_and_of_the_run() -> None:
    desk = Desk(
        limit("keys", context_tokens=1),
        limit("gpt", output_cap=1, model="gpt-*"),
        limit("runs", scope="run", depth=1, usd=5),
        limit("children", scope="child", seconds=1),
    )
    child = desk.runs.enter(1, "b", "a", 1)

    def names(run: Run | None, model: str = "gpt-5") -> list[str]:
        return [rule.name for rule in desk.books.bounds(ALICE, run, model)]

    assert names(None) == ["keys", "gpt"]
    assert names(child.root) == ["keys", "gpt", "runs"]
    assert names(child) == ["keys", "gpt", "runs", "children"]
    assert names(child, "claude") == ["keys", "runs", "children"]


def test_more_models_than_anyone_has_change_nothing() -> None:
    desk = Desk(limit("cap"))
    first = desk.path()["cap:usd key:alice"]
    for number in range(ROUTE_MEMO_ENTRIES_MAX + 1):
        assert desk.path(model=f"m{number}")["cap:usd key:alice"] is first
    assert len(desk.books._plans) <= ROUTE_MEMO_ENTRIES_MAX


@pytest.mark.parametrize("measure", COUNTED)
def test_every_counted_measure_is_kept_apart(measure: Measure) -> None:
    desk = Desk(limit("cap", **{measure.value: 10**6}))
    desk.kept.posts.append(Post(NOON_MS, ALICE, (), "m", (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)))
    assert desk.posted("cap") == (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)[COUNTED.index(measure)]


def test_windows_are_the_rules_own() -> None:
    rule = Rule("r", Scope.KEY, Measure.USD, 1, window("month", "Asia/Kolkata"))
    books = Books([rule], Kept(), {1: Account(KEY_TOTAL, "key:alice", FOREVER, None)}, NOON_MS)
    first = books.path(ALICE, None, "m", NOON_MS)[0]
    assert first.period == rule.window.period(NOON_MS)
    assert books.path(ALICE, None, "m", first.period.end_ms - 1)[0] is first
    assert books.path(ALICE, None, "m", first.period.end_ms)[0].period.start_ms == first.period.end_ms
