"""Where a line meets steps: by hand, and by looking at every volume."""

from math import inf

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jevons.economics.break_even import HOURS_A_MONTH, Replica, break_even
from jevons.economics.unitcost.cost import Interval, exactly

ONE = Replica(2, exactly(5.0 / HOURS_A_MONTH), exactly(1_000.0))
"""Two devices at $5 a month each make 1,000 tokens."""


def steps(replica: Replica, tokens: float) -> float:
    return replica.needed(tokens) * replica.monthly_nusd


def test_a_replica_stands_whether_it_works_or_not() -> None:
    assert ONE.monthly_nusd == pytest.approx(10e9)
    assert [ONE.needed(tokens) for tokens in (0, 1, 1_000, 1_001, 5_000)] == [1, 1, 1, 2, 5]
    found = ONE.monthly(1_001)
    assert found.low == found.mid == found.high == pytest.approx(20e9)


def test_a_line_meets_the_first_step_or_none() -> None:
    cheap = break_even("rented", [ONE], "api", 40e6)  # $0.04 a token: 250 tokens cost what a replica does
    assert cheap.tokens is not None and cheap.tokens == pytest.approx((250, 250, 250)) and cheap.never == 0
    assert cheap.for_good == pytest.approx(250)  # at 1,000 tokens $40, and two replicas are $20
    nearly = break_even("rented", [ONE], "api", 11e6)
    assert nearly.tokens is not None and nearly.tokens.mid == pytest.approx(10e9 / 11e6)
    assert nearly.for_good == pytest.approx(10 * 10e9 / 11e6)  # each step but the tenth begins dearer than the line
    never = break_even("rented", [ONE], "api", 9e6)
    assert (never.tokens, never.never, never.for_good) == (None, 1.0, None)
    assert never.document()["tokens_a_month"] == {"p5": None, "mid": None, "p95": None}


def test_of_several_kinds_the_one_that_is_cheaper_first() -> None:
    large = Replica(8, ONE.hourly, exactly(20_000.0))
    found = break_even("rented", [ONE, large], "api", 9e6)
    assert found.tokens is not None and found.tokens.mid == pytest.approx(40e9 / 9e6)


def test_what_is_not_sure_widens_the_volume_up_to_never() -> None:
    spread = Replica(2, Interval(3.0, 5.0, 9.0).times(1 / HOURS_A_MONTH), Interval(500.0, 1_000.0, 1_500.0))
    found = break_even("rented", [spread], "api", 12e6)
    assert found.tokens is not None and found.tokens.low < found.tokens.mid < found.tokens.high == inf
    assert 0.2 < found.never < 0.8
    document = found.document()
    assert document["tokens_a_month"]["p95"] is None and document["tokens_a_month"]["mid"] == round(10e9 / 12e6)
    monthly = spread.monthly(900)
    assert monthly.low < monthly.mid < monthly.high


@given(st.floats(10.5e6, 200e6))
def test_for_good_is_where_no_step_is_dearer_any_more(price: float) -> None:
    found = break_even("rented", [ONE], "api", price)
    assert found.tokens is not None and found.for_good is not None
    edges = [k * 1_000 + 1e-3 for k in range(40)]  # just beyond the end of each step, where it is dearest
    assert all(steps(ONE, at) <= price * at * (1 + 1e-6) for at in edges if at >= found.for_good)
    edge = found.for_good // 1_000 * 1_000
    assume(found.for_good - edge > 1e-3)
    just_before = (edge + found.for_good) / 2  # on the same step
    assert steps(ONE, just_before) > price * just_before
