"""In which order who may answer is tried."""

from collections import Counter

from jevons.policy.accounts import Account
from jevons.policy.breaker import Standing
from jevons.policy.order import Candidate, ordered, runs_short, stays
from jevons.policy.rules import Measure, Rule
from jevons.policy.windows import Period

READY, TRYING, OPEN, COOLING = Standing.READY, Standing.TRYING, Standing.OPEN, Standing.COOLING


def one(
    name: str, standing: Standing = READY, until_ms: int = 0, weight: float = 0, spread: str = "", model: str = "m"
) -> Candidate:
    return Candidate(name, spread or name, model, weight, standing, until_ms)


def test_the_operators_order_holds_while_all_are_well() -> None:
    assert ordered([one("a"), one("b"), one("c", TRYING)], b"seed") == [0, 1, 2]


def test_who_is_not_to_be_called_comes_last_the_least_bad_first() -> None:
    candidates = [one("a", COOLING, 10), one("b", OPEN, 30), one("c", OPEN, 20), one("d", COOLING, 5), one("e"), one("f", TRYING)]
    assert ordered(candidates, b"seed") == [4, 5, 2, 1, 3, 0]


def test_weights_share_the_calls_and_who_has_none_waits() -> None:
    candidates = [one("a", weight=3, spread="s"), one("spare", spread="s"), one("b", weight=1, spread="s")]
    first = Counter(ordered(candidates, n.to_bytes(4))[0] for n in range(4_000))
    assert first[1] == 0 and 2_850 < first[0] < 3_150
    assert all(ordered(candidates, n.to_bytes(4))[2] == 1 for n in range(50))


def test_one_seed_always_goes_the_same_way_whoever_else_is_there() -> None:
    all_three = [one(name, weight=1, spread="s") for name in "abc"]
    for n in range(200):
        seed = n.to_bytes(4)
        first = all_three[ordered(all_three, seed)[0]].name
        less = [candidate for candidate in all_three if candidate.name == first or candidate.name == "c"]
        assert less[ordered(less, seed)[0]].name == first


def test_only_those_share_who_follow_each_other_under_one_name() -> None:
    """What a route chose is never exchanged for its reference by a weight."""
    candidates = [one("a", weight=1, spread="small"), one("b", weight=1, spread="small"), one("c", weight=99, spread="large")]
    assert all(ordered(candidates, n.to_bytes(4))[2] == 2 for n in range(100))


def test_who_answered_last_goes_on_while_it_is_well_and_stands_for_the_same_name() -> None:
    assert ordered([one("a"), one("b")], b"seed", "b") == [1, 0]
    assert ordered([one("a"), one("b", TRYING)], b"seed", "b") == [0, 1]
    assert ordered([one("a"), one("b", model="other")], b"seed", "b") == [0, 1]


def test_it_goes_on_while_that_is_worth_more() -> None:
    assert stays(10, 9) and not stays(10, 10) and stays(1, -50) and not stays(0, -50)


def account(posted: int, limit: int | None, measure: Measure = Measure.USD, *, enforced: bool = True) -> Account:
    made = Account(Rule("x", "key", measure, limit or 0, enforced=enforced), "key:k", Period(0, 0), limit)
    made.posted = posted
    return made


def test_nothing_is_spent_for_speed_where_little_is_left() -> None:
    assert runs_short([account(5, 10), account(9, 10)])
    assert not runs_short([account(8, 10), account(99, None), account(99, 100, Measure.STEPS), account(99, 100, enforced=False)])
    assert not runs_short([])
