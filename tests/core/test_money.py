"""Rounding once, parts that sum, and amounts as people write them, against exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jevons.core.money import NUSD_PER_USD, allot, format_usd, half_even, parse_usd, round_up, short_usd

numerators = st.integers(0, 2**80)
denominators = st.integers(1, 2**60)
ledger_amounts = st.integers(-(2**63) + 1, 2**63 - 1)


@given(numerators, denominators)
@example(1, 2)
@example(3, 2)
@example(5, 2)
def test_half_even_is_the_nearest_integer_and_ties_go_to_the_even_one(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(numerators, denominators)
def test_round_up_is_the_ceiling(numerator: int, denominator: int) -> None:
    rounded = round_up(numerator, denominator)
    assert rounded - 1 < Fraction(numerator, denominator) <= rounded


@given(st.lists(numerators, max_size=9), denominators)
def test_parts_sum_to_the_total_and_each_is_its_share_rounded_down_or_up(parts: list[int], denominator: int) -> None:
    total, allotted = allot(parts, denominator)
    assert total == sum(allotted) == round(Fraction(sum(parts), denominator))
    for numerator, nusd in zip(parts, allotted, strict=True):
        assert abs(nusd - Fraction(numerator, denominator)) < 1


def test_the_largest_fraction_gets_the_remainder_and_earlier_parts_come_first_among_equals() -> None:
    assert allot([10, 19, 11], 10) == (4, [1, 2, 1])
    assert allot([5, 5, 5], 10) == (2, [1, 1, 0])  # 1.5 to the even 2
    assert allot([4, 4, 4], 10) == (1, [1, 0, 0])
    assert allot([], 7) == (0, [])


@given(ledger_amounts)
@example(0)
@example(-1)
@example(1_234_567 * NUSD_PER_USD + 1)
def test_what_is_shown_can_be_typed(nusd: int) -> None:
    assert parse_usd(format_usd(nusd)) == nusd


@given(st.decimals(min_value=-9_000_000_000, max_value=9_000_000_000, allow_nan=False, places=9))
def test_nine_decimals_are_exact(amount: object) -> None:
    assert parse_usd(f"{amount:f}") == Fraction(str(amount)) * NUSD_PER_USD


@pytest.mark.parametrize(
    ("text", "nusd"),
    [
        ("5", 5_000_000_000),
        (" $0.25 ", 250_000_000),
        ("100.", 100_000_000_000),
        (".5", 500_000_000),
        ("1e-9", 1),
        ("1E3", 1_000_000_000_000),
        ("-2.50", -2_500_000_000),
        ("-$2.50", -2_500_000_000),
        ("+3", 3_000_000_000),
        ("1,234,567.8", 1_234_567_800_000_000),
        ("1_000", 1_000_000_000_000),
        ("9223372036.854775807", 2**63 - 1),
    ],
)
def test_amounts_as_people_write_them(text: str, nusd: int) -> None:
    assert parse_usd(text) == nusd


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an amount"),
        ("$", "not an amount"),
        (".", "not an amount"),
        ("e5", "not an amount"),
        ("five", "not an amount"),
        ("0,25", "not an amount"),  # a decimal comma: a quarter, not 25 dollars
        ("1,50", "not an amount"),
        ("12,34,567", "not an amount"),
        ("5 $", "not an amount"),
        ("--5", "not an amount"),
        ("nan", "not an amount"),
        ("inf", "not an amount"),
        ("٥", "not an amount"),
        ("1" * 5_000, "not an amount"),
        ("1e-10", "finer than a nano-dollar"),
        ("1e-999", "finer than a nano-dollar"),
        ("0.0000000010000000000000000000000000001", "finer than a nano-dollar"),  # 28 digits are not enough to see it
        ("9223372036.854775808", "beyond what the ledger can hold"),
        ("-1e999", "beyond what the ledger can hold"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_usd(text)


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (124_000_000, "$0.124"),
        (-500_000_000, "-$0.50"),
        (12_345_678_900_000_000, "$12,345,678.90"),
    ],
)
def test_amounts_are_shown_with_every_digit_that_counts(nusd: int, text: str) -> None:
    assert format_usd(nusd) == text


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (999, "$0.000000999"),
        (12_345_678, "$0.0123"),
        (12_350_000, "$0.0124"),
        (999_500_000, "$1.00"),
        (1_234_567_890, "$1.23"),
        (-1_235_000_000, "-$1.24"),
        (1_480_901_123_456_789, "$1,480,901.12"),
    ],
)
def test_an_amount_at_a_glance_is_the_amount_rounded(nusd: int, text: str) -> None:
    assert short_usd(nusd) == text
