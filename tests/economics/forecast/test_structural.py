"""The structural models against a Gaussian process written out plainly, and the prior that is shipped."""

import msgspec
import numpy as np
import pytest
from scipy.stats import multivariate_t, t

from jevons.economics.forecast.intervals import of_mixture
from jevons.economics.forecast.structural import Level, Power, Prior, Season, Trend, fit, log_shares, models, prior

PAST = np.array([10.0, 12, 9, 13, 15, 12, 16, 18])
ONE = msgspec.structs.replace(
    prior(),
    power=(Power(1.0, 1.0),),
    level=(Level(0.3, 1.0),),
    trend=(Trend(0.1, 0.8, 1.0),),
    season=(Season(0.0, 0.4), Season(2.0, 0.6)),
)


def plainly(known: Prior, count: int, season: int, variance: float) -> "np.typing.NDArray[np.float64]":
    """The covariance of level, slope, season and noise, from their definitions, element by element."""
    level, trend = known.level[0], known.trend[0]

    def slope(a: int, b: int) -> float:
        return trend.variance / (1 - trend.damping**2) * trend.damping ** abs(a - b)

    rows = np.empty((count, count))
    for a in range(count):
        for b in range(count):
            slopes = sum(slope(i, j) for i in range(a) for j in range(b))
            cycle = ((a - b) % season == 0) - 1 / season
            walk = level.stays * (min(a, b) + 1) + (1 - level.stays) * (a == b)
            rows[a, b] = 1e3 + walk + slopes + variance * cycle * known.persistence ** (abs(a - b) / season)
    return rows


@pytest.mark.parametrize("place", [0, 1])
def test_a_model_is_the_gaussian_process_it_says(place: int) -> None:
    found = fit(PAST, 3, 4, ONE)
    both = plainly(ONE, 11, 4, ONE.season[place].variance)
    values = PAST / PAST.mean() - 1
    inside, across = both[:8, :8], both[8:, :8]
    assert found.centre[0, place] == pytest.approx(across @ np.linalg.solve(inside, values), rel=1e-6)
    square = ONE.degrees * ONE.spread**2 + values @ np.linalg.solve(inside, values)
    ahead = np.diag(both[8:, 8:] - across @ np.linalg.solve(inside, across.T))
    assert found.spread[0, place] == pytest.approx(np.sqrt(square / (ONE.degrees + 8) * ahead), rel=1e-6)


def test_the_evidence_is_student_t() -> None:
    found = fit(PAST, 1, 4, ONE)
    values = PAST / PAST.mean() - 1
    of = [
        multivariate_t(shape=ONE.spread**2 * plainly(ONE, 8, 4, season.variance), df=ONE.degrees).logpdf(values)
        for season in ONE.season
    ]
    assert found.log_evidence[0, 1] - found.log_evidence[0, 0] == pytest.approx(of[1] - of[0], rel=1e-6)


def test_evidence_is_comparable_between_scales() -> None:
    """Growth by a ratio is told best on logarithms, growth by a difference as it is."""
    known = prior()
    for past, power in ((100 * 1.5 ** np.arange(12.0), 0), (100 + 30 * np.arange(12.0), 2)):
        total = np.logaddexp.reduce(fit(past, 1, None, known).log_evidence + log_shares(known, None), axis=1)
        assert int(np.argmax(total)) == power


def test_quantiles_of_one_model_are_those_of_its_t() -> None:
    known = msgspec.structs.replace(ONE, season=(Season(0.0, 1.0),))
    found = fit(PAST, 2, None, known)
    rows = of_mixture(found, log_shares(known, None), known, (0.1, 0.5, 0.9), width=1.5)
    spread = found.spread[0, 0, 0] * 1.5
    exact = (1 + found.centre[0, 0, 0] + spread * t(found.degrees).ppf([0.1, 0.5, 0.9])) * PAST.mean()
    assert rows[0] == pytest.approx(exact, rel=2e-3)


def test_zeros_rule_out_logarithms_and_less_than_zero_roots() -> None:
    known = prior()
    assert [power.power for power in known.power] == [0, 0.5, 1]
    for past, out in ((np.array([0.0, 2, 1, 3]), [True, False, False]), (np.array([-1.0, 2, 1, 3]), [True, True, False])):
        assert (np.isneginf(fit(past, 1, None, known).log_evidence).all(1) == out).all()


def test_what_is_shipped_is_a_prior() -> None:
    known = prior()
    for parts in (known.power, known.level, known.trend, known.season):
        assert sum(part.share for part in parts) == pytest.approx(1, abs=0.005) and all(part.share > 0 for part in parts)
    assert known.season[0].variance == 0, "the first is what a series without a season takes"
    assert len(models(known, None)) * len(known.season) == len(models(known, 7))
