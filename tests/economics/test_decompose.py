"""LMDI-I and Shapley of one product: as published, as an independent implementation has them, and at the edges of what floats can say."""

import random
from fractions import Fraction
from math import isfinite, prod

import pytest

from jevons.economics.decompose import FACTORS_MAX, Cell, log_mean, share_out
from tests.economics import oracle

# The example of section S3 in the supplement to M. K. Heun and P. E. Brockway, "Meeting 2030 primary energy and economic growth goals",
# Applied Energy 251 (2019), doi 10.1016/j.apenergy.2019.01.255, as their package publishes it: github.com/MatthewHeun/LMDIR,
# vignettes/LMDIR.Rmd, "Simple example"; the figures are those of its tests/testthat/test_lmdi.R @ 01ff841 (MIT). Two subcategories, three
# factors, four years; the method is that of Ang (2005).
FACTORS = {
    1971: ((1, 10, 2), (4, 5, 3)),
    1972: ((4, 5, 3), (5, 6, 4)),
    1973: ((8, 2, 4), (5, 7, 5)),
    1974: ((10, 1, 5), (6, 8, 6)),
}
Z = {
    1972: ((50.47438029, -25.23719014, 14.76280986), (19.31568569, 15.78206435, 24.90224996)),
    1973: ((42.96021467, -56.79031473, 17.83010006), (0.0, 22.47128816, 32.52871184)),
    1974: ((12.6549815, -39.30996299, 12.6549815), (41.35566084, 30.28867832, 41.35566084)),
}
EFFECTS = {
    1972: (69.79006598, -9.455125793, 39.66505981),
    1973: (42.96021467, -34.31902656, 50.3588119),
    1974: (54.01064234, -9.021284671, 54.01064234),
}
CHANGES = {1972: 100, 1973: 59, 1974: 99}
AS_PRINTED = {"rel": 1.5e-8, "abs": 1e-8}
"""R compares them to 1.5e-8; they are printed with eight to ten digits."""


def lmdi(before: float, after: float, ratios: list[float]) -> list[float]:
    """The first column for one product."""
    return [effect.lmdi for effect in share_out(ratios, [Cell(before, after, ())])[0]]


def shapley(before: float, ratios: list[float]) -> list[float]:
    """The second one."""
    return [effect.shapley for effect in share_out((), [Cell(before, before * prod(ratios), ratios)])[1][0]]


def ratios(before: tuple[float, ...], after: tuple[float, ...]) -> list[float]:
    return [x1 / x0 for x0, x1 in zip(before, after, strict=True)]


@pytest.mark.parametrize("year", Z)
def test_a_published_example(year: int) -> None:
    found = []
    for before, after in zip(FACTORS[year - 1], FACTORS[year], strict=True):
        found.append(lmdi(prod(before), prod(after), ratios(before, after)))
        assert oracle.lmdi(before, after) == pytest.approx(found[-1], rel=1e-12, abs=1e-12)
    assert found[0] == pytest.approx(Z[year][0], **AS_PRINTED)
    assert found[1] == pytest.approx(Z[year][1], **AS_PRINTED)
    totals = [sum(column) for column in zip(*found, strict=True)]
    assert totals == pytest.approx(EFFECTS[year], **AS_PRINTED)
    assert sum(totals) == pytest.approx(CHANGES[year])


def test_the_judge_follows_the_published_zeros() -> None:
    """The same tests, with a factor of 1971 and one of 1972 set to nothing: the factor that becomes zero takes all."""
    assert oracle.lmdi((0, 10, 2), (4, 5, 3)) == [60, 0, 0]
    assert oracle.lmdi((4, 5, 3), (5, 6, 0)) == [0, 0, -60]
    assert oracle.lmdi((0, 5), (0, 6)) == [0, 0]
    assert oracle.lmdi((0, 5, 0), (3, 5, 2)) == [30, 0, 0]


def test_two_ways_to_the_same_shapley_value() -> None:
    rng = random.Random(1)
    for _ in range(20):
        n = rng.randint(1, 5)
        before, after = ([Fraction(rng.randint(0, 9), rng.randint(1, 5)) for _ in range(n)] for _ in range(2))
        assert oracle.shapley_by_orders(before, after) == oracle.shapley_by_subsets(before, after)


def test_two_factors_share_what_they_did_together() -> None:
    """20 x 5 becomes 40 x 15: doubling alone adds 100, or 300 when it comes last; tripling 200, or 400."""
    assert shapley(100, [2, 3]) == pytest.approx([(100 + 300) / 2, (200 + 400) / 2])
    assert lmdi(100, 600, [2, 3]) == pytest.approx([193.4264, 306.5736], abs=0.0001)  # 500 ln 2 / ln 6, 500 ln 3 / ln 6


@pytest.mark.parametrize("seed", range(40))
def test_any_product_as_an_independent_implementation_has_it(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randint(1, 8)
    scale = rng.choice((0.01, 0.5, 3.0))
    before = [Fraction(rng.lognormvariate(0, 2)) for _ in range(n)]
    after = [x * Fraction(rng.lognormvariate(0, scale)) for x in before]
    changes = [float(x1 / x0) for x0, x1 in zip(before, after, strict=True)]
    v0, v1 = float(prod(before)), float(prod(after))
    close = {"rel": 1e-9, "abs": 1e-12 * max(v0, v1)}
    assert lmdi(v0, v1, changes) == pytest.approx(oracle.lmdi([float(x) for x in before], [float(x) for x in after]), **close)
    assert shapley(v0, changes) == pytest.approx([float(x) for x in oracle.shapley_by_subsets(before, after)], **close)


@pytest.mark.parametrize("seed", range(20))
def test_what_cells_share_is_the_sum_over_them(seed: int) -> None:
    rng = random.Random(seed)
    shared = [rng.lognormvariate(0, 1) for _ in range(rng.randint(0, 6))]
    cells = []
    for _ in range(rng.randint(1, 4)):
        before, own = rng.lognormvariate(5, 3), [rng.lognormvariate(0, 1) for _ in range(rng.randint(0, 4))]
        cells.append(Cell(before, before * prod(shared) * prod(own), own))
    effects, own_effects = share_out(shared, cells)
    by_lmdi = [lmdi(cell.before, cell.after, [*shared, *cell.ratios]) for cell in cells]
    by_shapley = [shapley(cell.before, [*shared, *cell.ratios]) for cell in cells]
    for column, alone in (("lmdi", by_lmdi), ("shapley", by_shapley)):
        assert [getattr(effect, column) for effect in effects] == pytest.approx(
            [sum(of) for of in zip(*alone, strict=False)][: len(shared)]
        )
        for of_cell, of_all in zip(own_effects, alone, strict=True):
            assert [getattr(effect, column) for effect in of_cell] == pytest.approx(of_all[len(shared) :])


def test_shapley_is_exact_for_as_many_factors_as_it_takes() -> None:
    rng = random.Random(3)
    before = [Fraction(rng.randint(1, 9)) for _ in range(FACTORS_MAX)]
    after = [Fraction(rng.randint(1, 9)) for _ in range(FACTORS_MAX)]
    expected = [float(x) for x in oracle.shapley_by_subsets(before, after)]
    found = shapley(float(prod(before)), [float(x1 / x0) for x0, x1 in zip(before, after, strict=True)])
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * max(map(abs, expected)))


def test_the_logarithmic_mean_and_its_limits() -> None:
    assert log_mean(7, 7) == 7
    assert log_mean(0, 0) == log_mean(0, 5) == log_mean(5, 0) == 0
    assert log_mean(2.718281828459045, 1) == pytest.approx(1.718281828459045)
    assert log_mean(1 + 1e-13, 1) == pytest.approx(1 + 5e-14, rel=1e-15)  # where (a - b) / ln(a / b) is noise over noise
    rng = random.Random(5)
    for _ in range(1000):
        a, b = 10 ** rng.uniform(-9, 18), 10 ** rng.uniform(-9, 18)
        mean = log_mean(a, b)
        assert min(a, b) * (1 - 1e-9) <= (a * b) ** 0.5 * (1 - 1e-9) <= mean <= (a + b) / 2 * (1 + 1e-9)
        assert mean == pytest.approx(log_mean(b, a), rel=1e-12)


def test_both_sum_to_the_change_and_stay_finite() -> None:
    rng = random.Random(7)
    for _ in range(2000):
        n = rng.randint(1, FACTORS_MAX)
        before = 10 ** rng.uniform(0, 18)
        changes = [10 ** rng.uniform(-1, 1) * 10 ** rng.choice((0, 0, 0, rng.uniform(-4, 4))) for _ in range(n)]
        after = before * prod(changes)
        gross = prod(max(1.0, ratio) for ratio in changes) * before
        for effects in (lmdi(before, after, changes), shapley(before, changes)):
            assert all(map(isfinite, effects))
            assert sum(effects) == pytest.approx(after - before, rel=1e-9, abs=1e-9 * gross)
