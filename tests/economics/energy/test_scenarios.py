"""Intervals become scenarios and scenarios intervals, and what has one name varies as one."""

import pytest

from jevons.economics.energy.scenarios import SCENARIOS, interval, lognormal, normal, product, scattered, total, uniform


def test_an_interval_comes_back() -> None:
    drawn = interval(lognormal("anything", 20, 500))
    assert drawn == pytest.approx((20, 100, 500), rel=0.02)
    assert interval(scattered("anything", 0.5)) == pytest.approx((0.44, 1, 2.28), rel=0.02)
    assert interval(lognormal("certain", 3, 3)) == pytest.approx((3, 3, 3))
    assert sorted(uniform("chance")) == pytest.approx([(n + 0.5) / SCENARIOS for n in range(SCENARIOS)])


def test_one_name_is_one_draw_and_another_is_independent() -> None:
    assert normal("a") is normal("a")
    together = sum(x * y for x, y in zip(normal("a"), normal("b"), strict=True)) / SCENARIOS
    assert abs(together) < 0.15
    assert normal("a") != normal("b") and sorted(normal("a")) == sorted(normal("b"))


def test_sums_of_the_same_are_as_uncertain_as_one_and_sums_of_others_less() -> None:
    one, other = lognormal("a", 1, 100), lognormal("b", 1, 100)
    same = interval(total([one, one]))
    assert same == pytest.approx(tuple(2 * end for end in interval(one)))
    mixed = interval(total([one, other]))
    assert mixed.high / mixed.low < same.high / same.low
    assert interval(product(one, one)).high == pytest.approx(100**2, rel=0.05)
    assert interval(total([])) == (0, 0, 0)
