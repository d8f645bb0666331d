"""Paths: what is known of their distribution, that draws are shared, that prices step and stop at their floors."""

from datetime import date
from itertools import pairwise
from math import exp, log
from pathlib import Path

import msgspec
import numpy as np
import pytest

from jevons.economics.forecast.formula import Rates
from jevons.economics.forecast.formula import bill as bill_a_day
from jevons.economics.forecast.price_paths import Announced, Pace
from jevons.economics.forecast.priors import Priors, Scenario, priors
from jevons.economics.forecast.segments import History, history
from jevons.economics.forecast.simulate import Paths, bill, calendar, draw, history_weight, tokens, under
from tests.economics.forecast.using import NOW, SONNET, TODAY, company, runs
from tests.economics.planting import write

STILL = Pace("still", 1.0, (), (), 0.0, 0.0, "")
FREE: dict[str, Rates] = {}
YEAR = NOW + 364
GOOGLE = (
    (date(2024, 5, 15), 9.7e12),
    (date(2025, 5, 20), 4.8e14),
    (date(2025, 7, 23), 9.8e14),
    (date(2025, 10, 29), 1.3e15),
    (date(2026, 5, 19), 3.2e15),
)
"""Tokens a month over all surfaces, as Alphabet said at I/O and on calls."""


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> History:
    found = history(company(tmp_path_factory.mktemp("paths") / "ledger.db"), TODAY)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def usual(past: History) -> Paths:
    return drawn(past)


def drawn(
    past: History,
    known: Priors | None = None,
    until: int = YEAR,
    changes: tuple[Announced, ...] = (),
    pace: Pace = STILL,
    **more: int,
) -> Paths:
    return draw(
        past,
        known or priors(),
        {"frontier": pace, "commodity": pace},
        dict.fromkeys(past.parts, changes),
        calendar(past, until),
        **more,
    )


def test_the_weight_of_history_is_a_half_where_it_is_as_long_as_the_way_ahead() -> None:
    assert (history_weight(52, 52), history_weight(0, 1)) == (0.5, 0)
    assert history_weight(12, 1) > 0.9 > history_weight(12, 12) > history_weight(12, 52)


def test_without_any_history_the_prior_is_what_is_drawn(tmp_path: Path) -> None:
    write(tmp_path / "ledger.db", runs(range(NOW - 2, NOW), "a", "x", SONNET))
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None
    paths = drawn(found, paths=20_000)
    last = np.log(paths.volume[0, :, -1])
    growth = priors().tasks
    years = paths.calendar.middle_weeks()[-1] * 7 / 365.25
    assert float(np.median(last)) == pytest.approx(growth.mean_log * years, abs=0.03)
    scatter = priors().scatter.week ** 2 / (2 / 7) + (growth.sd_log * years) ** 2  # two days are two sevenths of a week
    assert float(last.std()) == pytest.approx(scatter**0.5, rel=0.03)


def test_use_that_stood_still_for_long_is_held_for_longer(tmp_path: Path) -> None:
    write(tmp_path / "ledger.db", runs(range(NOW - 7 * 60, NOW), "a", "x", SONNET, a_day=1))
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None
    volume = drawn(found).volume[0]
    assert float(np.median(volume[:, 4])) == pytest.approx(1, abs=0.05)
    assert float(np.median(volume[:, 51])) == pytest.approx(exp(log(1.5) * 52 / 112), rel=0.1)  # the prior has 52 parts of 112


def test_what_grew_for_a_year_goes_on_to_grow(tmp_path: Path) -> None:
    weeks = [range(NOW - 7 * (52 - week), NOW - 7 * (51 - week)) for week in range(52)]
    write(tmp_path / "ledger.db", [work for n, days in enumerate(weeks, 10) for work in runs(days, "a", "x", SONNET, a_day=n)])
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None
    pace = log(61 / 10) * 364 / 357  # a year
    expected = (pace + log(1.5)) / 2  # at 52 weeks of 52, its own pace and the prior's have halves
    assert float(np.median(np.log(drawn(found).volume[0, :, 51]))) == pytest.approx(expected, rel=0.25)


def test_the_same_seed_draws_the_same_and_another_does_not(past: History, usual: Paths) -> None:
    one, same, other = usual, drawn(past), drawn(past, seed=7)
    assert np.array_equal(one.volume, same.volume) and not np.array_equal(one.volume, other.volume)


def test_a_line_more_changes_no_other_lines_prices(past: History) -> None:
    moving = Pace("moving", 1.0, (-0.5,), (-0.2, 0.1), 0.0, 1.0, "")
    alone = drawn(past, pace=moving)
    guest = past.parts[0]._replace(line="x/guest", model="guest")
    more = draw(
        past, priors(), {"frontier": moving, "commodity": moving}, dict.fromkeys((guest, *past.parts), ()), alone.calendar
    )
    assert all(np.array_equal(alone.prices[line], more.prices[line]) for line in alone.prices) and "x/guest" in more.prices


def test_prices_step_at_the_pace(past: History) -> None:
    steps = drawn(past, pace=Pace("moving", 2.0, (-0.5, 0.3, -0.4), (), 0.0, 1.0, ""), paths=8_000).prices["anthropic/sonnet"]
    changed = np.abs(np.diff(np.log(steps), axis=1, prepend=0)) > 1e-9
    assert float(changed.sum(axis=1).mean()) == pytest.approx(1.5 * 364 / 365.25, rel=0.04)  # three in two line-years
    assert float(np.log(steps[:, -1]).mean()) == pytest.approx(-0.3, abs=0.03)


def test_an_announced_rise_is_in_every_path(past: History) -> None:
    rise = Announced(date(2027, 1, 1), SONNET.name, 2, 2, 2, 2, "")
    paths = drawn(past, changes=(rise,))
    factors = paths.announced[SONNET.upstream, SONNET.name]
    day = date(2027, 1, 1).toordinal() - TODAY.toordinal()
    assert np.all(factors[:, : day // 7] == 1) and np.all(factors[:, day // 7 + 1 :] == 2)
    assert np.all((factors[:, day // 7] > 1) & (factors[:, day // 7] < 2))  # the week in which it comes, by its days


def test_no_price_falls_below_its_floor_and_one_that_is_below_stays(past: History) -> None:
    falling = drawn(past, pace=Pace("falling", 1.0, (-3.0,) * 5, (), 0.0, 1.0, ""))
    part = past.parts[0]
    flat = falling._replace(volume=np.ones_like(falling.volume), tokens_per_task=np.ones_like(falling.volume))
    half = {part.model: Rates(*(rate / 2 if rate else 0.0 for rate in part.terms.rates[:4]))}  # type: ignore[arg-type]
    assert float(bill([part], flat, half)[part.segment].min()) == pytest.approx(bill_a_day(part.terms) / 2)
    above = {part.model: Rates(1e9, 1e9, 1e9, 1e9)}
    assert float(bill([part], flat, above)[part.segment].max()) == pytest.approx(bill_a_day(part.terms))
    assert float(bill([part], flat, FREE)[part.segment, :, -1].min()) < 1e-3 * bill_a_day(part.terms)


def test_today_is_todays_point(past: History, usual: Paths) -> None:
    now = usual._replace(**{name: np.ones_like(usual.volume) for name in ("volume", "tokens_per_task", "depth")})
    assert bill(past.parts, now, FREE).sum(axis=0)[0, 0] == pytest.approx(sum(bill_a_day(part.terms) for part in past.parts))
    assert tokens(past.parts, now)[0, 0] == pytest.approx(sum(part.terms.tokens for part in past.parts))


def test_a_scenario_takes_the_place_of_prices_and_depth(usual: Paths) -> None:
    ends = date.fromordinal(TODAY.toordinal() + 182)
    scenario = Scenario(
        unit_cost=0.1, since=TODAY, by=ends, tokens_per_task=(10.0, 10.0), pass_through=1.0, source="", reading=""
    )
    paths = under(scenario, usual, priors())
    assert np.allclose(paths.prices["anthropic/sonnet"][:, -1], 0.1) and np.allclose(paths.tokens_per_task[..., -1], 10)
    assert np.allclose(paths.prices["anthropic/sonnet"] * paths.tokens_per_task[0], 1)  # what breaks even does so all the way
    assert np.array_equal(paths.volume, usual.volume)
    half = under(msgspec.structs.replace(scenario, pass_through=0.5), usual, priors())
    assert np.allclose(half.prices["anthropic/sonnet"][:, -1], 0.55)
    drawn_share = under(msgspec.structs.replace(scenario, pass_through=None, tokens_per_task=None), usual, priors())
    assert (
        0.1 <= drawn_share.prices["anthropic/sonnet"][:, -1].min() < drawn_share.prices["anthropic/sonnet"][:, -1].max() <= 0.82
    )
    assert np.array_equal(drawn_share.tokens_per_task, usual.tokens_per_task)


def test_segments_move_together_as_they_did(tmp_path: Path) -> None:
    rhythm = [1 + (week % 3) for week in range(40)]
    days = [(NOW - 7 * (40 - week), n) for week, n in enumerate(rhythm)]
    works = [work for first, n in days for work in runs(range(first, first + 7), "a", "x", SONNET, a_day=n)]
    write(tmp_path / "ledger.db", [*works, *(work._replace(team="b", agent="y") for work in works)])
    found = history(tmp_path / "ledger.db", TODAY)
    assert found is not None and [len(segment.tasks) for segment in found.segments] == [40, 40]
    paths = drawn(found, paths=5_000)
    assert paths.correlation == pytest.approx((39 * 1.0 + 26 * 0.3) / (39 + 26), abs=0.01)  # theirs is 1, the prior's 0.3
    ranks = np.argsort(np.argsort(paths.volume[:, :, 20], axis=1), axis=1)
    assert float(np.corrcoef(ranks)[0, 1]) == pytest.approx(paths.correlation, abs=0.05)


def test_the_prior_of_growth_against_googles_tokens() -> None:
    """Back-test of the structural prior: tokens of a whole provider, from each telling to the next. docs/forecast.md has the figures."""
    known = priors()
    mean = sum(growth.mean_log for growth in (known.tasks, known.depth, known.size))
    sd = sum(growth.sd_log**2 for growth in (known.tasks, known.depth, known.size)) ** 0.5
    z = []
    for (before, was), (day, now) in pairwise(GOOGLE):
        years = (day - before).days / 365.25
        z.append((log(now / was) / years - mean) / sd)
    assert [round(one, 1) for one in z] == [3.9, 4.2, 0.0, 0.8]
