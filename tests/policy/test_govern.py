"""Admission over a path of accounts, against a reference that tries every cap, and the scenes that docs/governor.md promises."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jevons.core.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_FLOOR, THINKING_FLOOR_TOKENS
from jevons.core.price import Price, PriceTier, UnpricedKind, worst_case
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts, bound
from jevons.policy.books import KEY_TOTAL, Books
from jevons.policy.govern import CUTS, Admit, AskPerson, Deny, Terms, Verdict, Wait, decide, is_cut, more_output
from jevons.policy.rules import COUNTED, Limit, Measure, Rule, Scope, Who, rules_of
from jevons.policy.runs import Run, Runs
from jevons.policy.windows import FOREVER
from tests.policy.keeping import Kept

FLAT = Price("p/m", "b", 1, (PriceTier(-1, {"input": 1, "output": 10}),))
GIVEN_AWAY = Price("free", "b", 1, (PriceTier(-1, {"input": 0, "output": 0}),))
CUTTING = {Measure.USD, Measure.LIST_USD, Measure.TOKENS, Measure.OUTPUT, Measure.REASONING}


def terms(**changes: Any) -> Terms:
    return Terms(**{"price": FLAT, "input_tokens": 100, "output_max": 10_000, **changes})


def account(
    limit: int | None,
    posted: int = 0,
    held: int = 0,
    measure: Measure = Measure.USD,
    *,
    enforced: bool = True,
    approve: int | None = None,
    granted: int = 0,
) -> Account:
    rule = Rule("cap", Scope.KEY, measure, limit or 0, enforced=enforced, approve=approve)
    made = Account(rule, "key:alice", FOREVER, limit)
    made.restore(0, posted, held)
    made.granted = granted
    return made


def without_holds(path: list[Account]) -> list[Account]:
    for one in path:
        one.release(0, one.held)
    return path


def admitted(*path: Account, **changes: Any) -> Admit:
    verdict = decide(path, terms(**changes))
    assert isinstance(verdict, Admit)
    return verdict


def weight(asked: Terms, cap: int) -> Amounts:
    outputs = asked.choices * cap
    whole = worst_case(asked.price, asked.input_tokens, outputs, asked.units)
    money = whole if asked.billed else 0
    return bound(money, whole, asked.input_tokens, outputs, step=asked.step, calls=asked.calls)


def limited(path: list[Account]) -> list[tuple[Account, int]]:
    return [(one, one.limit) for one in path if one.enforced and one.limit is not None]


def wishes(path: list[Account], asked: Terms) -> tuple[int, int]:
    """(the cap that would be had if money were no matter, the same within what a rule allows)"""
    least = asked.thinking_budget + THINKING_FLOOR_TOKENS if asked.thinking_budget else OUTPUT_TOKENS_FLOOR
    if not asked.output_max:
        wish = 0
    elif asked.output_cap is not None:
        wish = asked.output_cap
    elif any(one.rule.measure in CUTTING for one, _ in limited(path)):
        wish = min(asked.output_max, max(asked.default_output_tokens or OUTPUT_TOKENS_DEFAULT, least))
    else:
        wish = asked.output_max
    return wish, wish if asked.cap_max is None else min(wish, asked.cap_max)


def reference(path: list[Account], asked: Terms) -> Verdict:
    """The same rules, said by trying: the largest cap from the wanted one down."""
    wish, wanted = wishes(path, asked)
    least = min(wanted, asked.thinking_budget + THINKING_FLOOR_TOKENS if asked.thinking_budget else OUTPUT_TOKENS_FLOOR)

    def short(cap: int) -> list[tuple[Account, int]]:
        """Who has not got as much left, even if no other call were open."""
        needed = weight(asked, cap)
        return [(one, needed[one.index]) for one, limit in limited(path) if needed[one.index] > limit - one.posted]

    if short(least):
        return Deny(*short(least)[0])
    cap = next(cap for cap in range(wanted, least - 1, -1) if not short(cap))
    held = weight(asked, cap if asked.expected_output is None else min(cap, asked.expected_output))
    for one, limit in limited(path):
        if one.posted + one.held + held[one.index] > limit:
            return Wait(one, held[one.index])
    for one in path:
        if one.enforced and one.rule.approve is not None and one.posted + one.held >= one.rule.approve + one.granted:
            return AskPerson(one)
    told = cap if cap < wish or any(one.rule.measure in CUTTING for one, _ in limited(path)) else None
    over = [
        one for one in path if not one.enforced and one.limit is not None and one.posted + one.held + held[one.index] > one.limit
    ]
    return Admit(told, cap < wish, held, tuple(over))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    rates = st.fixed_dictionaries(
        {"input": st.integers(0, 20), "output": st.integers(0, 50), "requests": st.integers(0, 500)},
        optional={"cache_write_1h": st.integers(0, 40), "reasoning": st.integers(0, 80)},
    )
    borders = draw(st.lists(st.integers(0, 400), unique=True, max_size=2).map(sorted))
    return Price("p/m", "b", draw(st.integers(1, 9)), tuple(PriceTier(above, draw(rates)) for above in (-1, *borders)))


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    return Terms(
        price=draw(prices()),
        input_tokens=draw(st.integers(0, 500)),
        output_max=draw(st.just(0) | st.integers(1, 2_000)),
        output_cap=draw(st.none() | st.integers(1, 2_000)),
        choices=draw(st.integers(1, 4)),
        thinking_budget=draw(st.just(0) | st.integers(1, 900)),
        default_output_tokens=draw(st.none() | st.integers(1, 2_000)),
        units=draw(st.just(()) | st.just((("requests", 2),))),
        billed=draw(st.booleans()),
        step=draw(st.booleans()),
        calls=draw(st.integers(0, 1)),
        cap_max=draw(st.none() | st.integers(1, 2_000)),
        expected_output=draw(st.none() | st.integers(1, 2_000)),
    )


@st.composite
def any_account(draw: st.DrawFn) -> Account:
    measure = draw(st.sampled_from(COUNTED))
    most = {Measure.STEPS: 4, Measure.CONCURRENT: 4, Measure.USD: 60_000, Measure.LIST_USD: 60_000}.get(measure, 6_000)
    limit = draw(st.none() | st.integers(0, most) | st.just(most))
    approve = draw(st.none() | st.none() | st.integers(0, limit if limit is not None else most))
    return account(
        limit,
        draw(st.just(0) | st.integers(0, most + most // 9)),
        draw(st.just(0) | st.integers(0, most // 2)),
        measure,
        enforced=draw(st.sampled_from([True, True, True, False])),
        approve=approve,
        granted=draw(st.just(0) | st.integers(0, most)),
    )


paths = st.lists(any_account(), max_size=6)


@given(paths, any_terms())
@example([account(0)], terms(price=GIVEN_AWAY))
@example([account(10, 10, 5)], terms(price=GIVEN_AWAY))
def test_the_verdict_is_that_of_trying_every_cap(path: list[Account], asked: Terms) -> None:
    assert decide(path, asked) == reference(path, asked)


@settings(max_examples=60)
@given(paths, any_terms())
def test_what_is_admitted_fits_everywhere_and_is_the_most_that_does(path: list[Account], asked: Terms) -> None:
    verdict = decide(path, asked)
    if not isinstance(verdict, Admit):
        return
    wish, wanted = wishes(path, asked)
    cap = verdict.output_cap if verdict.output_cap is not None else wish
    assert cap <= wanted and verdict.clamped is (cap < wish)
    assert asked.output_cap is None or not asked.output_max or cap <= asked.output_cap
    assert (verdict.held_nusd, verdict.list_held_nusd) == verdict.amounts[:2]
    if cap < wanted:  # one more token, and somebody would be short of it
        assert any(weight(asked, cap + 1)[one.index] > limit - one.posted for one, limit in limited(path))
        assert is_cut(path)
    for one in path:
        refused = not one.fits(verdict.amounts[one.index])
        assert not (refused and one.enforced)
        assert (one in verdict.observed) is refused
        one.reserve(0, verdict.amounts[one.index])


@settings(max_examples=60)
@given(paths, any_terms())
def test_a_wait_ends_when_the_open_holds_do_and_a_denial_does_not(path: list[Account], asked: Terms) -> None:
    verdict = decide(path, asked)
    if isinstance(verdict, Wait):
        assert verdict.account.enforced and verdict.account.held and not verdict.account.fits(verdict.needed)
        assert isinstance(decide(without_holds(path), asked), Admit | AskPerson)
    elif isinstance(verdict, Deny):
        left = verdict.account.unspent
        assert verdict.account.enforced and left is not None and left < verdict.needed
        assert decide(without_holds(path), asked) == verdict


@settings(max_examples=60)
@given(paths, any_terms())
def test_what_is_observed_changes_no_verdict(path: list[Account], asked: Terms) -> None:
    verdict, without = decide(path, asked), decide([one for one in path if one.enforced], asked)
    if isinstance(verdict, Admit):
        verdict = msgspec.structs.replace(verdict, observed=())
    assert verdict == without


@settings(max_examples=40)
@given(any_terms())
def test_a_path_without_limits_is_never_cut(asked: Terms) -> None:
    metered = [account(None, 10**12, 10**12, measure) for measure in COUNTED]
    verdict = decide([*metered, account(0, 5, enforced=False)], msgspec.structs.replace(asked, cap_max=None))
    assert isinstance(verdict, Admit) and (verdict.output_cap, verdict.clamped) == (None, False)


def test_sixteen_uncapped_calls_with_money_for_sixteen_at_the_default_cap_are_all_admitted() -> None:
    one = worst_case(FLAT, 100, OUTPUT_TOKENS_DEFAULT)
    path = [account(20 * one), account(16 * one), account(None), account(16, measure=Measure.CONCURRENT)]
    for _ in range(16):
        verdict = admitted(*path, output_max=128_000)
        assert (verdict.output_cap, verdict.clamped, verdict.held_nusd) == (OUTPUT_TOKENS_DEFAULT, False, one)
        for level in path:
            level.reserve(0, verdict.amounts[level.index])
    assert decide(path, terms(output_max=128_000)) == Wait(path[1], one)


def test_when_the_sixteenth_does_not_fit_it_waits_and_is_not_cut() -> None:
    one = worst_case(FLAT, 100, OUTPUT_TOKENS_DEFAULT)
    path = [account(16 * one - 1), account(None)]
    for _ in range(15):
        held = admitted(*path, output_max=128_000).held_nusd
        assert held == one
        path[0].reserve(0, held)
    assert decide(path, terms(output_max=128_000)) == Wait(path[0], one)
    path[0].post(0, one, one)
    assert decide(path, terms(output_max=128_000)) == Wait(path[0], one)  # fourteen are open, and may yet leave something
    for _ in range(14):
        path[0].post(0, one, one)
    verdict = admitted(*path, output_max=128_000)  # now nobody will: it gets what is left
    assert (verdict.output_cap, verdict.clamped) == (OUTPUT_TOKENS_DEFAULT - 1, True)


LEVELS = ("of-org", "of-team", "of-key", "of-agent", "of-run", "of-child")
CALLS = 256


class Fleet:
    """256 calls of one cost, at so many levels, with money for `k` at one of them and plenty at the others."""

    def __init__(self, levels: tuple[str, ...], short: str, k: int, one: int) -> None:
        limits = [Limit(level, scope=level.removeprefix("of-"), list_usd=1) for level in levels]  # type: ignore[arg-type]
        rules = [rule for limit in limits for rule in rules_of(limit)]
        enough = dict.fromkeys(levels, CALLS * one) | {short: k * one + one - 1}
        self.who = Who("acme", "web", 1, "alice", "coder", "child")
        self.run: Run = Runs(lambda *_: None).enter(1, "child", "root", 1)
        total = Account(KEY_TOTAL, "key:alice", FOREVER, None)
        self.books = Books([msgspec.structs.replace(rule, limit=enough[rule.name]) for rule in rules], Kept(), {1: total}, 1)

    def path(self) -> tuple[Account, ...]:
        return self.books.path(self.who, self.run, "m", 1)


@pytest.mark.parametrize(
    ("levels", "short"),
    [(("of-key",), "of-key"), *[(LEVELS[:4], level) for level in LEVELS[:4]], *[(LEVELS, level) for level in LEVELS]],
    ids=lambda part: part if isinstance(part, str) else str(len(part)),
)
@pytest.mark.parametrize("k", [0, 1, 17, 255, 256])
def test_of_256_calls_at_once_exactly_as_many_are_admitted_as_there_is_money_for(
    levels: tuple[str, ...], short: str, k: int
) -> None:
    asked = terms(output_cap=OUTPUT_TOKENS_FLOOR)  # none can be cut: they cost the same
    one = worst_case(FLAT, 100, OUTPUT_TOKENS_FLOOR)
    fleet = Fleet(levels, short, k, one)
    served = 0
    for _ in range(CALLS):
        path = fleet.path()
        assert [level.rule.name for level in path] == [*levels[:4], "key", *levels[4:], "run-budget", "run-budget"]
        verdict = decide(path, asked)
        if isinstance(verdict, Admit):
            served += 1
            for level in path:
                level.reserve(0, verdict.amounts[level.index])
        else:
            assert isinstance(verdict, Wait if k else Deny)
            assert (verdict.account.rule.name, verdict.needed) == (short, one)
    assert served == k
    assert all(level.held == k * one for level in fleet.path())
    for level in fleet.path():
        for _ in range(k):
            assert level.post(0, one, one) == 0
    if k < CALLS:
        assert decide(fleet.path(), asked) == Deny(next(level for level in fleet.path() if level.rule.name == short), one)
    assert all((level.posted, level.held, level.overrun) == (k * one, 0, 0) for level in fleet.path())


def test_what_is_left_is_given_to_the_last_call_once_the_others_are_posted() -> None:
    one = worst_case(FLAT, 100, 1_000)
    path = [account(2 * one)]
    asked = terms(output_cap=1_000)
    for _ in range(2):
        path[0].reserve(0, one)
    assert decide(path, asked) == Wait(path[0], one)
    path[0].post(0, one, one)
    assert decide(path, asked) == Wait(path[0], one)
    path[0].post(0, one, one // 2)
    left = path[0].available or 0
    verdict = admitted(*path, output_cap=1_000)
    assert (verdict.output_cap, verdict.clamped, verdict.held_nusd) == ((left - 100) // 10, True, 100 + (left - 100) // 10 * 10)


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ({}, 8_192),
        ({"output_max": 4_096}, 4_096),
        ({"default_output_tokens": 300}, 300),
        ({"thinking_budget": 9_000, "output_max": 64_000}, 9_000 + THINKING_FLOOR_TOKENS),
        ({"thinking_budget": 9_900}, 10_000),  # never above the model's maximum
        ({"output_cap": 77}, 77),
        ({"output_cap": 20_000}, 20_000),  # the client's own word stands; the provider judges it
        ({"output_max": 0}, 0),
        ({"output_max": 0, "output_cap": 9}, 0),  # embeddings make no output, whatever is said
    ],
)
@pytest.mark.parametrize("measure", sorted(CUTTING))
def test_the_cap_when_money_is_no_matter(changes: dict[str, Any], cap: int, measure: Measure) -> None:
    verdict = admitted(account(10**9, measure=measure), **changes)
    assert (verdict.output_cap, verdict.clamped) == (cap, False)


@pytest.mark.parametrize("measure", sorted(set(COUNTED) - CUTTING))
def test_a_limit_that_no_cap_can_help_to_keep_is_no_reason_to_set_one(measure: Measure) -> None:
    assert admitted(account(10**9, measure=measure)).output_cap is None
    assert {COUNTED.index(cutting) for cutting in CUTTING} == CUTS


@pytest.mark.parametrize(
    ("changes", "cap", "clamped"),
    [
        ({}, 3_000, True),
        ({"output_cap": 4_000}, 3_000, True),
        ({"output_cap": 3_000}, None, False),
        ({"output_cap": 10}, None, False),
        ({"output_max": 2_000}, None, False),  # the model cannot do more
        ({"cap_max": 9_000}, 9_000, True),  # not the default: the rule alone says how much
        ({"output_max": 0}, None, False),
    ],
)
def test_a_rule_of_output_alone_cuts_to_what_it_says(changes: dict[str, Any], cap: int | None, clamped: bool) -> None:
    verdict = admitted(account(None), **{"cap_max": 3_000, **changes})
    assert (verdict.output_cap, verdict.clamped) == (cap, clamped)


def test_a_rule_of_output_and_a_limit_of_money_cut_to_the_lower() -> None:
    rich, poor = account(10**9), account(100 + 10 * 500)
    assert [admitted(rich, cap_max=limit).output_cap for limit in (3_000, 9_000)] == [3_000, OUTPUT_TOKENS_DEFAULT]
    assert [admitted(poor, cap_max=limit).output_cap for limit in (400, 3_000)] == [400, 500]


def test_an_account_without_a_limit_holds_the_worst_case() -> None:
    verdict = admitted(account(None, 10**12), choices=3)
    assert (verdict.output_cap, verdict.held_nusd) == (None, 100 + 3 * 100_000)
    assert admitted(account(None), output_cap=5).held_nusd == 150
    assert admitted().amounts == weight(terms(), 10_000)


def test_a_cap_is_never_cut_below_the_thinking_budget_and_room_for_an_answer() -> None:
    least = 1_000 + THINKING_FLOOR_TOKENS
    asked = {"thinking_budget": 1_000, "output_cap": 5_000}
    verdict = admitted(account(100 + 10 * least), **asked)
    assert (verdict.output_cap, verdict.clamped, verdict.held_nusd) == (least, True, 100 + 10 * least)
    poor = account(100 + 10 * least - 1)
    assert decide([poor], terms(**asked)) == Deny(poor, 100 + 10 * least)


def test_a_small_cap_of_the_clients_own_may_be_below_the_floor() -> None:
    assert admitted(account(130), output_cap=3).output_cap == 3
    short, shorter = account(129), account(100 + 10 * OUTPUT_TOKENS_FLOOR - 1)
    assert decide([short], terms(output_cap=3)) == Deny(short, 130)
    assert decide([shorter], terms()) == Deny(shorter, 100 + 10 * OUTPUT_TOKENS_FLOOR)


def test_embeddings_hold_their_input() -> None:
    fits, short = account(100), account(99)
    assert admitted(fits, output_max=0).amounts == bound(100, 100, 100, 0, step=True)
    assert decide([short], terms(output_max=0)) == Deny(short, 100)


def test_a_subscription_reserves_nothing_and_is_stopped_by_an_account_over_its_limit() -> None:
    covered = terms(billed=False, output_cap=10)
    verdict = admitted(account(100, 100), billed=False, output_cap=10)
    assert (verdict.output_cap, verdict.held_nusd, verdict.list_held_nusd) == (10, 0, 200)
    over, held = account(100, 101), account(100, 60, 50)
    assert decide([over], covered) == Deny(over, 0)
    assert decide([held], covered) == Wait(held, 0)


def test_a_subscription_can_be_limited_by_its_list_price() -> None:
    usd, listed = account(100), account(100 + 10 * 500, measure=Measure.LIST_USD)
    verdict = admitted(usd, listed, billed=False)
    assert (verdict.output_cap, verdict.held_nusd, verdict.list_held_nusd) == (500, 0, 5_100)
    poor = account(100, measure=Measure.LIST_USD)
    assert decide([usd, poor], terms(billed=False)) == Deny(poor, 100 + 10 * OUTPUT_TOKENS_FLOOR)


@pytest.mark.parametrize(
    ("measure", "limit", "cap"),
    [
        (Measure.TOKENS, 400, 300),
        (Measure.OUTPUT, 400, 400),
        (Measure.REASONING, 400, 400),
        (Measure.LIST_USD, 4_100, 400),
    ],
)
def test_limits_on_output_cut_the_cap(measure: Measure, limit: int, cap: int) -> None:
    verdict = admitted(account(limit, measure=measure))
    assert (verdict.output_cap, verdict.clamped) == (cap, True)
    assert verdict.amounts[COUNTED.index(measure)] == limit


@pytest.mark.parametrize("measure", [Measure.INPUT, Measure.CACHE_READ, Measure.CACHE_WRITE])
def test_limits_on_input_take_the_whole_prompt(measure: Measure) -> None:
    assert admitted(account(100, measure=measure)).output_cap is None
    short, held = account(99, measure=measure), account(100, 0, 1, measure)
    assert decide([short], terms()) == Deny(short, 100)
    assert decide([held], terms()) == Wait(held, 100)


@pytest.mark.parametrize("measure", [Measure.STEPS, Measure.CONCURRENT])
def test_limits_on_calls(measure: Measure) -> None:
    none, last, busy = account(0, measure=measure), account(3, 2, 0, measure), account(3, 0, 3, measure)
    assert decide([none], terms()) == Deny(none, 1)
    assert admitted(last).amounts[last.index] == 1
    assert decide([busy], terms()) == Wait(busy, 1)


def test_our_own_retry_is_no_step_and_counting_tokens_no_call() -> None:
    steps, calls = account(3, 3, 0, Measure.STEPS), account(1, 0, 1, Measure.CONCURRENT)
    assert decide([steps], terms()) == Deny(steps, 1)
    assert admitted(steps, step=False).amounts[steps.index] == 0
    assert admitted(calls, calls=0).amounts[calls.index] == 0


def test_the_outermost_account_that_is_short_is_named() -> None:
    path = [account(10**9), account(50), account(10)]
    assert decide(path, terms()) == Deny(path[1], 100 + 10 * OUTPUT_TOKENS_FLOOR)
    open_calls = [account(10**9, 0, 10**9), account(10**6, 0, 10**6)]
    assert decide(open_calls, terms(output_cap=20)) == Wait(open_calls[0], 300)


def test_a_person_is_asked_at_the_point_its_owner_set_and_not_before() -> None:
    below, at, held = (
        account(10**6, 499, 0, approve=500),
        account(10**6, 500, 0, approve=500),
        account(10**6, 0, 500, approve=500),
    )
    assert isinstance(decide([below], terms()), Admit)
    assert decide([account(None), at], terms()) == AskPerson(at) and decide([held], terms()) == AskPerson(held)
    at.granted = 1
    assert isinstance(decide([at], terms()), Admit)
    assert isinstance(decide([account(10**6, 500, approve=500, enforced=False)], terms()), Admit)
    over = account(10**6, 10**6 + 1, approve=500)
    assert isinstance(decide([over], terms()), Deny)  # nobody is asked what nobody may grant


def test_what_is_observed_is_told_of() -> None:
    watched, empty = account(10, enforced=False), account(10**9, enforced=False)
    assert admitted(watched, account(10**9), empty).observed == (watched,)
    assert admitted(watched, account(5_000)).observed == (watched,)  # also where another one cuts
    assert not is_cut([watched, empty, account(None)])


def test_a_packed_hold_begins_with_what_is_expected_and_waits_for_no_more() -> None:
    path = [account(100_000, 0, 90_000)]
    verdict = admitted(*path, output_cap=5_000, expected_output=200)
    assert (verdict.output_cap, verdict.held_nusd) == (5_000, 100 + 10 * 200)
    assert isinstance(decide(path, terms(output_cap=5_000)), Wait)  # a strict one would
    assert admitted(*path, output_cap=150, expected_output=200).held_nusd == 100 + 10 * 150
    busy = account(100_000, 0, 99_000)
    assert decide([busy], terms(output_cap=5_000, expected_output=200)) == Wait(busy, 2_100)


def test_a_packed_hold_is_capped_by_what_the_account_has_at_all() -> None:
    verdict = admitted(account(20_100), output_cap=5_000, expected_output=200)
    assert (verdict.output_cap, verdict.clamped, verdict.held_nusd) == (2_000, True, 2_100)
    poor = account(100)
    assert decide([poor], terms(expected_output=2)) == Deny(poor, 100 + 10 * OUTPUT_TOKENS_FLOOR)


@settings(max_examples=40)
@given(any_terms(), st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_hold_that_grew_is_the_hold_of_the_longer_answer(asked: Terms, held: int, more: int) -> None:
    single = msgspec.structs.replace(asked, choices=1)
    before, after = weight(single, held), weight(single, held + more)
    assert tuple(a + b for a, b in zip(before, more_output(single, held, more), strict=True)) == after


def test_a_model_without_a_price_is_not_decided() -> None:
    with pytest.raises(UnpricedKind):
        decide([account(100)], terms(price=Price("p/m", "b", 1, (PriceTier(-1, {}),))))
