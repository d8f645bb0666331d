"""Charges are exact and their lines sum; no usage within the bounds of a hold costs more than it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.price import Line, Price, PriceTier, UnpricedKind, charge, worst_case
from jevons.core.usage import INPUT_KINDS, INPUT_MODALITIES, OUTPUT, OUTPUT_PARTS, REASONING, Usage

INPUTS = (*INPUT_KINDS, *sorted(INPUT_MODALITIES))
OUTPUTS = (OUTPUT, REASONING, *sorted(OUTPUT_PARTS))
UNITS = ("requests", "web_searches")


def flat(den: int = 1, **nums: int) -> Price:
    return Price("test/row", "book", den, (PriceTier(-1, nums),))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Every kind has a rate in every tier; tiers rise and fall."""
    above = draw(st.lists(st.integers(0, 5_000), unique=True, max_size=3).map(sorted))
    kinds = (*INPUTS, OUTPUT, *sorted(OUTPUT_PARTS), *UNITS)
    rates = st.fixed_dictionaries({kind: st.integers(0, 10**9) for kind in kinds}, optional={REASONING: st.integers(0, 10**9)})
    tiers = tuple(PriceTier(border, draw(rates)) for border in (-1, *above))
    return Price("test/row", "book", draw(st.integers(1, 10**9)), tiers)


def split(draw: st.DrawFn, total: int, kinds: tuple[str, ...]) -> dict[str, int]:
    """At most `total` units over some of the kinds."""
    counts = {}
    for kind in draw(st.permutations(kinds))[:3]:
        counts[kind] = draw(st.integers(0, total))
        total -= counts[kind]
    return counts


@st.composite
def usages(draw: st.DrawFn, input_tokens: int, output_tokens: int, units: tuple[tuple[str, int], ...]) -> Usage:
    """Any usage within the bounds."""
    counts = split(draw, input_tokens, INPUTS) | split(draw, output_tokens, (OUTPUT, *sorted(OUTPUT_PARTS)))
    counts |= {kind: draw(st.integers(0, most)) for kind, most in units}
    plain = {kind: counts.pop(kind, 0) for kind in (*INPUT_KINDS, OUTPUT)}
    return Usage(**plain, reasoning=draw(st.integers(0, plain[OUTPUT])), other=tuple(counts.items()))


@st.composite
def bounded(draw: st.DrawFn) -> tuple[Price, int, int, tuple[tuple[str, int], ...], Usage]:
    price, inputs, outputs = draw(prices()), draw(st.integers(0, 10_000)), draw(st.integers(0, 10_000))
    units = tuple((kind, draw(st.integers(0, 20))) for kind in UNITS)
    return price, inputs, outputs, units, draw(usages(inputs, outputs, units))


@given(bounded())
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    case: tuple[Price, int, int, tuple[tuple[str, int], ...], Usage],
) -> None:
    price, inputs, outputs, units, usage = case
    assert charge(usage, price).nusd <= worst_case(price, inputs, outputs, units)


@given(bounded())
def test_a_charge_is_the_exact_sum_rounded_once_and_its_lines_sum_to_it(
    case: tuple[Price, int, int, tuple[tuple[str, int], ...], Usage],
) -> None:
    price, *_, usage = case
    charged = charge(usage, price)
    nums = price.tier(usage.input_total).nums
    exact = Fraction(0)
    for kind, count in usage.counts():
        if kind == OUTPUT and REASONING in nums:
            exact += Fraction((count - usage.reasoning) * nums[OUTPUT] + usage.reasoning * nums[REASONING], price.den)
        else:
            exact += Fraction(count * nums[kind], price.den)
    assert charged.nusd == round(exact) == sum(line.nusd for line in charged.lines)
    assert all(line.count > 0 for line in charged.lines)
    by_kind = {line.kind: line.count for line in charged.lines}
    assert sum(by_kind.values()) == sum(count for _, count in usage.counts())


@given(prices(), st.integers(0, 8_000), st.integers(0, 8_000), st.integers(0, 100), st.integers(0, 100))
def test_the_worst_case_grows_with_every_bound(price: Price, inputs: int, outputs: int, more: int, units: int) -> None:
    least = worst_case(price, inputs, outputs, (("requests", units),))
    assert least <= worst_case(price, inputs + more, outputs, (("requests", units),))
    assert least <= worst_case(price, inputs, outputs + more, (("requests", units),))
    assert least <= worst_case(price, inputs, outputs, (("requests", units + more),))


def test_a_context_tier_is_a_cliff_for_the_whole_request() -> None:
    price = Price("g/m", "b", 1, (PriceTier(-1, {"input": 2, "output": 12}), PriceTier(200_000, {"input": 4, "output": 18})))
    assert charge(Usage(input=200_000, output=1), price).nusd == 400_012
    assert charge(Usage(input=200_001, output=1), price).nusd == 800_022
    assert charge(Usage(input=199_999, other=(("input_audio", 0),), output=1), price).nusd == 400_010
    assert worst_case(price, 200_000, 1) == 400_012
    assert worst_case(price, 200_001, 1) == 800_022


def test_reasoning_is_output_unless_it_has_a_rate_of_its_own() -> None:
    usage = Usage(output=10, reasoning=4)
    assert charge(usage, flat(output=3)).lines == (Line("output", 10, 30, 3),)
    assert charge(usage, flat(output=3, reasoning=5)).lines == (Line("output", 6, 18, 3), Line("reasoning", 4, 20, 5))
    assert charge(Usage(output=4, reasoning=4), flat(output=3, reasoning=5)).lines == (Line("reasoning", 4, 20, 5),)
    assert worst_case(flat(output=3, reasoning=5), 0, 10) == 50


def test_unused_kinds_need_no_rate_and_used_ones_are_named() -> None:
    assert charge(Usage(), flat()).lines == ()
    with pytest.raises(UnpricedKind, match=r"test/row has no rate for cache_read, web_searches") as caught:
        charge(Usage(input=1, cache_read=1, other=(("web_searches", 1),)), flat(input=1))
    assert caught.value.kinds == ["cache_read", "web_searches"]


@pytest.mark.parametrize(
    ("bounds", "kinds"),
    [((1, 0, ()), ["input"]), ((0, 1, ()), ["output"]), ((0, 0, (("requests", 1), ("pages", 1))), ["requests", "pages"])],
)
def test_a_worst_case_without_a_rate_is_unknown_not_zero(
    bounds: tuple[int, int, tuple[tuple[str, int], ...]], kinds: list[str]
) -> None:
    with pytest.raises(UnpricedKind) as caught:
        worst_case(flat(), *bounds)
    assert caught.value.kinds == kinds


def test_tiers_below_what_the_input_reaches_count_and_those_above_do_not() -> None:
    falling = Price("x/y", "b", 1, (PriceTier(-1, {"input": 9}), PriceTier(10, {"input": 1})))
    assert worst_case(falling, 11, 0) == 99  # fewer tokens may come, at the dearer rate
    assert worst_case(falling, 10, 0) == 90
    assert worst_case(falling, 0, 0) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"den": 0},
        {"tiers": ()},
        {"tiers": (PriceTier(0, {}),)},
        {"tiers": (PriceTier(-1, {}), PriceTier(5, {}), PriceTier(5, {}))},
    ],
)
def test_a_row_that_makes_no_sense_is_not_made(wrong: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Price(**{"row": "x/y", "book": "b", "den": 1, "tiers": (PriceTier(-1, {}),), **wrong})  # type: ignore[arg-type]


def test_below_every_border_the_first_tier_holds() -> None:
    price = flat(input=1)
    assert price.tier(-1) is price.tiers[0]  # cannot be counted, still answered
