"""When calls go on with a cheaper model, and with which."""

import pytest

from jevons.core.limits import DEGRADED_TURNS_MAX
from jevons.core.price import Price, PriceTier
from jevons.policy.accounts import Account
from jevons.policy.degrade import Turn, choice, due, is_cheaper, keep, models
from jevons.policy.rules import Measure, Rule, Scope
from jevons.policy.windows import FOREVER


def account(limit: int, used: int, *, pct: int | None = 80, enforced: bool = True, held: int = 0) -> Account:
    rule = Rule("thrift", Scope.KEY, Measure.USD, limit, enforced=enforced, degrade_pct=pct, degrade_to=("mini", "nano"))
    made = Account(rule, "key:alice", FOREVER, limit)
    made.restore(0, used, held)
    return made


@pytest.mark.parametrize(
    ("one", "is_due"),
    [
        (account(1_000, 799), False),
        (account(1_000, 800), True),
        (account(1_000, 0, held=800), True),  # what is held may be spent
        (account(3, 2), False),  # 67 %
        (account(1_000, 5_000), True),
        (account(1_000, 0, pct=0), True),
        (account(1_000, 999, pct=100), False),
        (account(1_000, 900, enforced=False), False),
        (account(1_000, 900, pct=None), False),
        (account(0, 0, pct=0), False),  # nothing can be bought there, by any model
    ],
)
def test_a_share_of_the_limit(one: Account, is_due: bool) -> None:
    assert due([one]) == (one.rule if is_due else None)


def test_the_outermost_says() -> None:
    outer, inner = account(10, 9), account(10, 10)
    assert due([account(10, 0), outer, inner]) is outer.rule
    assert due([]) is None


@pytest.mark.parametrize(
    ("asked", "turn", "current", "found"),
    [
        (True, Turn.FRESH, "", ("mini", "nano")),
        (True, Turn.FRESH, "nano", ("mini", "nano")),
        (True, Turn.OPEN, "nano", ("nano",)),  # a turn keeps the model it was begun with
        (True, Turn.OPEN, "", ()),
        (False, Turn.OPEN, "nano", ("nano",)),  # also when there is money again
        (True, Turn.BOUND, "", ()),
        (True, Turn.BOUND, "nano", ()),
        (False, Turn.FRESH, "", ()),
        (False, Turn.FRESH, "nano", ()),
    ],
)
def test_which_models_are_tried(asked: bool, turn: Turn, current: str, found: tuple[str, ...]) -> None:
    assert models(account(10, 9).rule if asked else None, turn, current) == found


def test_the_first_that_fits_takes_the_call() -> None:
    """One that is asked for already is reached first: then it goes on."""
    assert choice(("a", "b", "c"), "dear", lambda name: name != "a") == "b"
    assert choice(("a", "b"), "dear", lambda _: False) == ""
    assert choice(("a", "asked", "b"), "asked", lambda name: name == "b") == ""


def test_cheaper_by_the_dearest_that_each_may_cost() -> None:
    """With the default output where no cap is sent. What has no price, or none for output, is not cheaper."""

    def price(**rates: int) -> Price:
        return Price("row", "book", 1, (PriceTier(-1, rates),))

    small, large = price(input=1, output=4), price(input=3, output=3)
    assert is_cheaper(small, large, 1000, 10) and not is_cheaper(large, small, 1000, 10)
    assert not is_cheaper(small, large, 1000, None) and is_cheaper(large, small, 1000, None)
    assert not is_cheaper(small, small, 1000, 10)
    assert not is_cheaper(None, large, 1000, 10) and not is_cheaper(small, None, 1000, 10)
    assert not is_cheaper(price(input=1), large, 1000, 10)


def test_a_switch_pays_for_the_prefix_that_it_forfeits() -> None:
    """One that is little cheaper does not, where much of a long prompt is warm; one that is far cheaper does."""

    def price(read: int | None, **rates: int) -> Price:
        return Price("row", "book", 1, (PriceTier(-1, rates | ({} if read is None else {"cache_read": read})),))

    large, small, tiny = price(5, input=50, output=250), price(4, input=40, output=240), price(1, input=10, output=50)
    assert is_cheaper(small, large, 10_000, 8_000)
    assert not is_cheaper(small, large, 10_000, 8_000, 9_000), "10 calls save 241,000, the first computes 9,000 for 324,000"
    assert is_cheaper(small, large, 10_000, 8_000, 6_000), "more is saved, less is forfeited"
    assert is_cheaper(tiny, large, 10_000, 8_000, 9_000)
    assert not is_cheaper(small, large, 9_000, 8_000, 90_000), "no more is warm than is asked"
    assert is_cheaper(small, large, 10_000, 8_000, -5), "the other has more of it"
    assert is_cheaper(price(None, input=40, output=240), large, 10_000, 8_000, 9_000), "reading is not known to be cheaper there"


def test_so_many_turns_are_kept() -> None:
    turns: dict[int | str, str] = {}
    for turn in range(DEGRADED_TURNS_MAX + 2):
        keep(turns, turn, "a")
    keep(turns, 5, "b")
    assert (len(turns), next(iter(turns)), list(turns)[-1], turns[5]) == (DEGRADED_TURNS_MAX, 2, 5, "b")
