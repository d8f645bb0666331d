"""Break-even by hand, and scenarios of one's own."""

from datetime import date

import pytest

from jevons.economics.forecast.priors import PassThrough, priors
from jevons.economics.forecast.scenarios import break_even, middle, scenario
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from tests.economics.forecast.using import TODAY


def test_a_tenth_of_the_unit_cost_carries_ten_times_the_tokens() -> None:
    known = priors()
    for name in ("gartner-2030", "rubin-10x"):
        found = break_even(scenario(name, known, TODAY), known.pass_through, TODAY)
        assert found.all_passed_on == pytest.approx(10)
        assert found.passed_on == pytest.approx(1 / (1 - 0.9 * middle(known.pass_through))) and 1 < found.passed_on < 10
        assert 1 < found.to_come < 10  # a part of the time is over
    gartner = break_even(scenario("gartner-2030", known, TODAY), known.pass_through, TODAY)
    assert gartner.bill == pytest.approx((0.5, 3.0))  # 0.1 x (5 to 30), before tasks grow


def test_one_of_your_own() -> None:
    found = scenario("cost=50%, by=2027-12-31, depth=2:6, pass=0.5", priors(), TODAY)
    assert (found.unit_cost, found.since, found.by, found.tokens_per_task, found.pass_through) == (
        0.5,
        TODAY,
        date(2027, 12, 31),
        (2, 6),
        0.5,
    )
    even = break_even(found, priors().pass_through, TODAY)
    assert (even.all_passed_on, even.passed_on, even.to_come) == (pytest.approx(2), pytest.approx(4 / 3), pytest.approx(2))
    assert scenario("cost=2,by=2027-12-31,depth=3", priors(), TODAY).tokens_per_task == (3, 3)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "cost=0.5",
            "by=2027-01-01",
            "cost=nan,by=2027-01-01",
            "cost=0,by=2027-01-01",
            "cost=0.5,by=2020-01-01",
            "cost=0.5,by=soon",
        ),
        *(f"cost=0.5,by=2027-01-01,{more}" for more in ("pass=2", "depth=6:2", "luck=1", "depth=1:inf", "from=2028-01-01")),
    ],
)
def test_what_cannot_be_read_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(UnitCostError, match=r"cost=0\.5,by=2027-12-31"):
        scenario(text, priors(), TODAY)


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(UnknownFact, match="gartner-2030, rubin-10x"):
        scenario("moore", priors(), TODAY)


@pytest.mark.parametrize(("low", "mode", "high"), [(0.2, 0.6, 1.0), (0.0, 0.9, 1.0), (0.0, 0.1, 1.0)])
def test_the_middle_has_half_below_it(low: float, mode: float, high: float) -> None:
    at = middle(PassThrough(low=low, mode=mode, high=high, source="", reading=""))
    below = (
        (at - low) ** 2 / ((high - low) * (mode - low)) if at <= mode else 1 - (high - at) ** 2 / ((high - low) * (high - mode))
    )
    assert below == pytest.approx(0.5)
