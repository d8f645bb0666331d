"""Admission against a reference that tries every cap, and the scenes that SEMANTICS promises."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jevons.core.limits import OUTPUT_TOKENS_DEFAULT, OUTPUT_TOKENS_FLOOR, THINKING_FLOOR_TOKENS
from jevons.core.price import Price, PriceTier, UnpricedKind, worst_case
from jevons.policy.accounts import Account, fits, post, reserve
from jevons.policy.govern import Admit, Deny, Terms, Verdict, Wait, decide

FLAT = Price("p/m", "b", 1, (PriceTier(-1, {"input": 1, "output": 10}),))


def terms(**changes: object) -> Terms:
    return Terms(**{"price": FLAT, "input_tokens": 100, "output_max": 10_000, **changes})  # type: ignore[arg-type]


def reference(account: Account, asked: Terms) -> Verdict:
    """The same rules, said by trying: the largest cap from the wanted one down."""

    def cost(cap: int) -> int:
        return worst_case(asked.price, asked.input_tokens, asked.choices * cap, asked.units)

    if account.limit_nusd is None:
        whole = cost(asked.output_cap or asked.output_max)
        return Admit(None, False, whole if asked.billed else 0, whole)
    least = asked.thinking_budget + THINKING_FLOOR_TOKENS if asked.thinking_budget else OUTPUT_TOKENS_FLOOR
    if not asked.output_max:
        wanted = 0
    elif asked.output_cap is not None:
        wanted = asked.output_cap
    else:
        wanted = min(asked.output_max, max(asked.default_output_tokens or OUTPUT_TOKENS_DEFAULT, least))
    least = min(least, wanted)
    unspent = account.limit_nusd - account.posted_nusd
    room = unspent - account.held_nusd
    if not asked.billed:
        return Admit(wanted, False, 0, cost(wanted)) if room >= 0 else Wait(0) if unspent >= 0 else Deny(0)
    for cap in range(wanted, least - 1, -1):
        if cost(cap) <= unspent:  # what could be had if no other call were open
            return Admit(cap, cap < wanted, cost(cap), cost(cap)) if cost(cap) <= room else Wait(cost(cap))
    return Deny(cost(least))


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
        output_max=draw(st.just(0) | st.integers(1, 3_000)),
        output_cap=draw(st.none() | st.integers(1, 3_000)),
        choices=draw(st.integers(1, 4)),
        thinking_budget=draw(st.just(0) | st.integers(1, 1_500)),
        default_output_tokens=draw(st.none() | st.integers(1, 2_000)),
        units=draw(st.just(()) | st.just((("requests", 2),))),
        billed=draw(st.booleans()),
    )


@given(st.none() | st.integers(0, 60_000), st.integers(0, 70_000), st.integers(0, 30_000), any_terms())
@example(0, 0, 0, terms(price=Price("free", "b", 1, (PriceTier(-1, {"input": 0, "output": 0}),))))
@example(10, 10, 5, terms(price=Price("free", "b", 1, (PriceTier(-1, {"input": 0, "output": 0}),))))
def test_the_verdict_is_that_of_trying_every_cap(limit: int | None, posted: int, held: int, asked: Terms) -> None:
    account = Account(limit, posted, held)
    verdict = decide(account, asked)
    assert verdict == reference(account, asked)
    if isinstance(verdict, Admit):
        assert fits(account, verdict.held_nusd)
        reserve(account, verdict.held_nusd)


@given(st.integers(0, 60_000), st.integers(0, 40_000), st.integers(1, 30_000), any_terms())
def test_a_wait_ends_when_the_open_holds_do(limit: int, posted: int, held: int, asked: Terms) -> None:
    verdict = decide(Account(limit, posted, held), asked)
    if isinstance(verdict, Wait):
        assert isinstance(decide(Account(limit, posted, 0), asked), Admit)
    elif isinstance(verdict, Deny):
        assert isinstance(decide(Account(limit, posted, 0), asked), Deny)


def test_sixteen_uncapped_calls_with_money_for_sixteen_at_the_default_cap_are_all_served() -> None:
    one = worst_case(FLAT, 100, OUTPUT_TOKENS_DEFAULT)
    account = Account(16 * one)
    for _ in range(16):
        verdict = decide(account, terms(output_max=128_000))
        assert verdict == Admit(OUTPUT_TOKENS_DEFAULT, False, one, one)
        account = reserve(account, one)
    assert decide(account, terms(output_max=128_000)) == Wait(one)


@given(st.integers(0, 60), st.integers(1, 400))
def test_of_256_calls_at_once_as_many_are_served_as_there_is_money_for(k: int, cap: int) -> None:
    asked = terms(output_cap=cap, output_max=400)
    one = worst_case(FLAT, 100, cap)
    account = Account(k * one + one - 1)
    admitted, caps = 0, set()
    for _ in range(256):
        verdict = decide(account, asked)
        if isinstance(verdict, Admit):
            account = reserve(account, verdict.held_nusd)
            admitted += 1
            caps.add(verdict.output_cap)
    if k:
        assert (admitted, caps) == (k, {cap})  # none is cut because of its neighbours
    else:
        assert admitted <= 1


def test_what_is_left_is_given_to_the_last_call_once_the_others_are_posted() -> None:
    one = worst_case(FLAT, 100, 1_000)
    account = Account(2 * one)
    asked = terms(output_cap=1_000)
    for _ in range(2):
        account = reserve(account, one)
    assert decide(account, asked) == Wait(one)
    account = post(account, one, one)
    assert decide(account, asked) == Wait(one)
    account = post(account, one, one // 2)
    left = account.limit_nusd - account.posted_nusd if account.limit_nusd is not None else 0
    verdict = decide(account, asked)
    assert verdict == Admit((left - 100) // 10, True, 100 + (left - 100) // 10 * 10, 100 + (left - 100) // 10 * 10)


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
    ],
)
def test_the_cap_when_money_is_no_matter(changes: dict[str, object], cap: int) -> None:
    verdict = decide(Account(10**9), terms(**changes))
    assert isinstance(verdict, Admit)
    assert (verdict.output_cap, verdict.clamped) == (cap, False)


def test_an_account_without_a_limit_is_never_cut_but_holds_the_worst_case() -> None:
    assert decide(Account(None, 10**12), terms(choices=3)) == Admit(None, False, 100 + 3 * 100_000, 100 + 3 * 100_000)
    assert decide(Account(None), terms(output_cap=5)) == Admit(None, False, 150, 150)


def test_a_cap_is_never_cut_below_the_thinking_budget_and_room_for_an_answer() -> None:
    asked = terms(thinking_budget=1_000, output_cap=5_000)
    least = 1_000 + THINKING_FLOOR_TOKENS
    assert decide(Account(100 + 10 * least), asked) == Admit(least, True, 100 + 10 * least, 100 + 10 * least)
    assert decide(Account(100 + 10 * least - 1), asked) == Deny(100 + 10 * least)


def test_a_small_cap_of_the_clients_own_may_be_below_the_floor() -> None:
    assert decide(Account(130), terms(output_cap=3)) == Admit(3, False, 130, 130)
    assert decide(Account(129), terms(output_cap=3)) == Deny(130)
    assert decide(Account(100 + 10 * OUTPUT_TOKENS_FLOOR - 1), terms()) == Deny(100 + 10 * OUTPUT_TOKENS_FLOOR)


def test_a_subscription_reserves_nothing_and_is_stopped_by_an_account_over_its_limit() -> None:
    covered = terms(billed=False, output_cap=10)
    assert decide(Account(100, 100), covered) == Admit(10, False, 0, 200)
    assert decide(Account(100, 101), covered) == Deny(0)
    assert decide(Account(100, 60, 50), covered) == Wait(0)
    assert decide(Account(None), covered) == Admit(None, False, 0, 200)


def test_a_model_without_a_price_is_not_decided() -> None:
    with pytest.raises(UnpricedKind):
        decide(Account(100), terms(price=Price("p/m", "b", 1, (PriceTier(-1, {}),))))
