"""Lines, Student's t and the bootstrap against known values."""

import math
from datetime import date
from random import Random

import pytest

from jevons.economics.fits import bootstrap, halving_months, least_squares, quantile, student_t, years


def test_a_line_without_noise_is_found() -> None:
    fit = least_squares([(x, 3 - 2 * x) for x in (0.0, 1.0, 4.0)])
    assert fit.slope == pytest.approx(-2) and fit.intercept == pytest.approx(3)
    assert fit.factor_a_year == pytest.approx(math.exp(2))
    assert fit.r2 == pytest.approx(1) and fit.stderr == pytest.approx(0, abs=1e-12)
    assert fit.interval() == pytest.approx((math.exp(2), math.exp(2)))


def test_a_line_with_noise_has_the_textbook_error() -> None:
    """x = 1..5, y = 2, 4, 5, 4, 5: slope 0.6, intercept 2.2, standard error 0.2828."""
    fit = least_squares(list(zip(range(1, 6), (2, 4, 5, 4, 5), strict=True)))
    assert (fit.slope, fit.intercept) == pytest.approx((0.6, 2.2))
    assert fit.stderr == pytest.approx(0.282842712)
    assert fit.r2 == pytest.approx(0.6)


def test_two_points_have_a_line_and_no_interval_one_has_none() -> None:
    assert least_squares([(0, 0), (1, 1)]).interval() == (0.0, math.inf)
    with pytest.raises(ValueError, match="two different times"):
        least_squares([(1, 0), (1, 1)])
    with pytest.raises(ValueError, match="two different times"):
        least_squares([])


def test_prices_that_stand_still_are_a_perfect_line() -> None:
    fit = least_squares([(0, 1), (1, 1), (2, 1)])
    assert fit.r2 == 1 and fit.factor_a_year == 1


@pytest.mark.parametrize(("p", "dof", "t"), [
    (0.95, 1, 6.3138), (0.95, 2, 2.9200), (0.95, 3, 2.3534), (0.95, 4, 2.1318), (0.95, 7, 1.8946), (0.975, 10, 2.2281), (0.95, 120, 1.6577),
    (0.995, 5, 4.0321),
])  # fmt: skip
def test_students_t_is_that_of_the_tables(p: float, dof: int, t: float) -> None:
    assert student_t(p, dof) == pytest.approx(t, abs=5e-5)


def test_halving() -> None:
    assert halving_months(2) == pytest.approx(12)
    assert halving_months(4) == pytest.approx(6)
    assert halving_months(1) is None and halving_months(0.5) is None


def test_quantiles_lie_between_neighbours() -> None:
    assert [quantile([1, 2, 3, 4], p) for p in (0, 0.5, 1)] == [1, 2.5, 4]
    assert quantile([7.0], 0.05) == 7


def test_the_bootstrap_of_a_mean_knows_its_spread_and_repeats_itself() -> None:
    """Of 200 draws from a normal, the 90 % interval of the mean is about 1.645 standard errors on either side."""
    rng = Random(7)
    sample = [rng.gauss(5, 2) for _ in range(200)]
    low, high, share = bootstrap(sample, lambda drawn: sum(drawn) / len(drawn), Random(1), 2_000)
    assert share == 1
    assert high - low == pytest.approx(2 * 1.645 * 2 / math.sqrt(200), rel=0.15)
    assert (low, high, share) == bootstrap(sample, lambda drawn: sum(drawn) / len(drawn), Random(1), 2_000)


def test_draws_without_the_statistic_are_counted_out() -> None:
    low, high, share = bootstrap([0, 1], lambda drawn: None if sum(drawn) else 9.0, Random(1), 400)
    assert (low, high) == (9, 9) and 0.15 < share < 0.35
    low, high, share = bootstrap([], lambda drawn: None, Random(1), 10)
    assert math.isnan(low) and math.isnan(high) and share == 0


def test_years_are_years() -> None:
    assert years(date(2024, 1, 1)) - years(date(2020, 1, 1)) == 4
