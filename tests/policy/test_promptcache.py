"""Where marks are set, and where they would cost more than they save."""

import random

import pytest

from bench.promptcache import optimum, ways
from jevons.core.cache_rules import CacheRates, CacheRules, Style, Ttl
from jevons.policy.arrivals import Arrivals, Place
from jevons.policy.promptcache import RETURNS_MAX, Reason, forfeited_nusd, plan, worths
from jevons.policy.provider_cache import Mark, Path, ProviderCache, Warm
from jevons.policy.returns import AGE_EDGES_S

TTLS = (Ttl("5m", 300, "cache_write_5m"), Ttl("1h", 3_600, "cache_write_1h"))
CLAUDE = CacheRules(Style.EXPLICIT, TTLS, min_tokens=1_000, breakpoints_max=4, lookback_blocks=20)
GPT = CacheRules(
    Style.EXPLICIT, (Ttl("30m", 1_800, "cache_write_5m"),), min_tokens=1_000, breakpoints_max=4, by_itself=True, keyed=True
)
FREE = CacheRules(
    Style.AUTOMATIC, (Ttl("", 300, "input"), Ttl("24h", 86_400, "input")), min_tokens=1_000, by_itself=True, keyed=True
)
RATES = CacheRates(1, 1_000, 100, (1_250, 2_000))
"""nano-USD a token: a tenth for reading, a quarter more or twice as much for writing."""


def path(messages: int, tokens: int = 1_000) -> Path:
    return Path(tuple([bytes(end + 1) for end in range(messages)]), tuple([tokens * (end + 1) for end in range(messages)]))


def place(position: int, in_5m: float, in_1h: float | None = None) -> Place:
    """As likely to come back each time."""
    odds = tuple([in_5m if edge_s <= 1_000 else in_5m if in_1h is None else in_1h for edge_s in AGE_EDGES_S])
    return Place(position, odds, odds)


@pytest.mark.parametrize(("odds", "pays"), [(0.2, False), (0.21, False), (0.22, True), (1.0, True)])
def test_break_even(odds: float, pays: bool):
    """A conversation as likely to go on each time: premium 0.25 against 0.9 saved at each of odds ÷ (1 - odds) returns: from 0.2174 on."""
    planned = plan(CLAUDE, RATES, path(1), (), [place(0, odds)])
    assert planned.marks == ((Mark(0, 0),) if pays else ())
    assert planned.reason is (Reason.PAYS if pays else Reason.SELDOM)
    assert (planned.expected_nusd > 0) is pays


def test_worth_is_that_of_going_on_for_ever():
    """Against the definition: a warm token is read, and then as before, with these odds; a cold one is written anew if that pays."""
    for soon, again in ((0.9, 0.9), (0.5, 0.1), (0.3, 0.95)):
        odds = tuple([soon] * len(AGE_EDGES_S)), tuple([again] * len(AGE_EDGES_S))
        warm = cold = 0.0
        for _ in range(10_000):
            after = again * warm + (1 - again) * cold
            warm, cold = -100 + after, max(-1_000 + cold, -1_250 + after)
            warm, cold = warm - cold, 0.0  # what counts is how much better it is to be warm
        expected = soon * warm - 250
        assert worths(CLAUDE, CacheRates(1, 1_000, 100, (1_250, 9_999)), Place(0, *odds))[0] == pytest.approx(expected, rel=1e-6)


def test_nothing_goes_on_for_ever():
    certain = place(0, 1.0)
    assert worths(CLAUDE, RATES, certain)[0] == worths(CLAUDE, RATES, certain._replace(later=(RETURNS_MAX,) * 10))[0]


def test_the_longer_life_where_people_are_slow():
    """Half are back within five minutes, nearly all within the hour."""
    planned = plan(CLAUDE, RATES, path(1), (), [place(0, 0.5, 0.95)])
    assert planned.marks == (Mark(0, 1),)
    assert plan(CLAUDE, RATES, path(1), (), [place(0, 0.9, 0.92)]).marks == (Mark(0, 0),)


def test_what_is_in_common_may_pay_where_the_end_does_not():
    planned = plan(CLAUDE, RATES, path(2), (), [place(0, 0.9), place(1, 0.0)])
    assert planned.marks == (Mark(0, 0),) and planned.reason is Reason.PAYS


def test_a_shorter_life_stands_behind_a_longer_one():
    planned = plan(CLAUDE, RATES, path(2), (), [place(0, 0.3, 0.98), place(1, 0.9)])
    assert planned.marks == (Mark(0, 1), Mark(1, 0))
    assert planned.expected_nusd == pytest.approx(
        1_000 * (worths(CLAUDE, RATES, place(0, 0.3, 0.98))[1] + worths(CLAUDE, RATES, place(1, 0.9))[0]), abs=1
    )


def test_a_beginning_that_does_not_pay_is_written_for_what_stands_behind_it():
    """And not where it costs more than that saves."""
    assert plan(CLAUDE, RATES, path(2), (), [place(0, 0.15), place(1, 0.9)]).marks == (Mark(0, 0), Mark(1, 0))
    assert plan(CLAUDE, RATES, path(2), (), [place(0, 0.0), place(1, 0.25)]).marks == ()


def test_what_is_warm_is_read_whatever_follows():
    planned = plan(CLAUDE, RATES, path(2), (Warm(0, 0, 9.0),), [place(1, 0.0)])
    assert planned.marks == (Mark(0, 0),) and planned.reason is Reason.READS and planned.expected_nusd == 900_000
    assert plan(CLAUDE, RATES, path(2), (Warm(0, 0, 9.0),), ()).marks == (Mark(0, 0),)


def test_a_mark_too_far_from_what_is_warm_gets_company():
    near = plan(CLAUDE, RATES, path(21), (Warm(0, 0, 9.0),), [place(20, 0.9)])
    far = plan(CLAUDE, RATES, path(22), (Warm(0, 0, 9.0),), [place(21, 0.9)])
    assert Mark(0, 0) not in near.marks and Mark(0, 0) in far.marks


def test_behind_a_shorter_life_a_longer_one_is_of_no_use():
    """Unless others keep it warm."""
    slow = place(1, 0.5, 0.95)
    alone = plan(CLAUDE, RATES, path(2), (Warm(0, 0, 9.0),), [place(0, 0.5), slow])
    common = plan(CLAUDE, RATES, path(2), (Warm(0, 0, 9.0),), [place(0, 0.95), slow])
    assert Mark(1, 1) not in alone.marks and Mark(1, 1) in common.marks


def test_marks_that_are_left_over():
    """Half, a quarter and an eighth into what is written; no piece is shorter than what is cached at all."""
    assert plan(CLAUDE, RATES, path(16), (), [place(15, 0.9)]).marks == (Mark(1, 0), Mark(3, 0), Mark(7, 0), Mark(15, 0))
    assert plan(CLAUDE, RATES, path(4), (), [place(3, 0.9)]).marks == (Mark(0, 0), Mark(1, 0), Mark(3, 0))
    warm = (Warm(13, 0, 9.0),)
    assert plan(CLAUDE, RATES, path(16), warm, [place(15, 0.9)]).marks == (Mark(14, 0), Mark(15, 0))


def test_what_is_not_planned():
    end = [place(0, 0.9)]
    for rules, rates, reason in (
        (CacheRules(Style.NONE), RATES, Reason.NONE),
        (CLAUDE, None, Reason.NONE),
        (CacheRules(Style.EXPLICIT, TTLS, min_tokens=1_001, breakpoints_max=4, keyed=True), RATES, Reason.SHORT),
    ):
        planned = plan(rules, rates, path(1), (), end)
        assert planned.marks == () and not planned.keyed and planned.reason is reason and planned.expected_nusd == 0


def test_a_provider_that_marks_the_end_by_itself():
    """It is left to do so where that pays, and told not to where it does not; what else is worth a mark gets one."""
    dear = CacheRates(1, 1_000, 100, (1_250,))
    never = plan(GPT, dear, path(2), (), [place(0, 0.1), place(1, 0.1)])
    assert never.only_marks and never.marks == ()
    common = plan(GPT, dear, path(2), (), [place(0, 0.9), place(1, 0.0)])
    assert common.only_marks and common.marks == (Mark(0, 0),)
    both = plan(GPT, dear, path(2), (), [place(0, 0.9), place(1, 0.9)])
    assert not both.only_marks and both.marks == (Mark(0, 0),) and both.keyed and both.reason is Reason.PAYS
    theirs = plan(GPT, dear, path(2), (), [place(1, 0.9)], [Mark(0, 0)])
    assert not theirs.only_marks and theirs.marks == (Mark(1, 0),)


def test_a_provider_that_caches_by_itself():
    """A longer life where it costs nothing; the shorter one where it does, and nobody is slow."""
    free = plan(FREE, CacheRates(1, 1_000, 100, (1_000, 1_000)), path(2), (Warm(0, 0, 9.0),), [place(1, 0.5, 0.95)])
    assert free.ttl == 1 and free.keyed and free.reason is Reason.PROVIDER and free.expected_nusd > 900_000
    assert plan(FREE, CacheRates(1, 1_000, 100, (1_000, 1_500)), path(2), (), [place(1, 0.9)]).ttl is None
    assert plan(FREE, CacheRates(1, 1_000, 100, (1_000, 1_500)), path(2), (), ()).expected_nusd == 0


def test_the_clients_marks_stand():
    """Ours come behind them or before, with a life that fits; what they hold is not changed."""
    end = [place(0, 0.9), place(2, 0.9)]
    assert plan(CLAUDE, RATES, path(3), (), end, [Mark(1, 0)]).marks == (Mark(0, 0), Mark(2, 0))
    behind = plan(CLAUDE, RATES, path(2), (), [place(1, 0.9, 0.98)], [Mark(0, 0)])
    assert behind.marks == (Mark(1, 0),), "an hour behind five minutes would be refused"
    before = plan(CLAUDE, RATES, path(2), (), [place(0, 0.3, 0.98), place(1, 0.9)], [Mark(1, 0)])
    assert before.marks == (Mark(0, 1),)
    hour = plan(CLAUDE, RATES, path(2), (), [place(0, 0.0), place(1, 0.0)], [Mark(1, 1)])
    assert all(mark == Mark(0, 1) for mark in hour.marks), "their hour begins at the beginning"
    assert plan(CLAUDE, RATES, path(2), (), [place(1, 0.0)], [Mark(0, 0)]) == plan(CLAUDE, RATES, path(2), (), (), [Mark(0, 0)])


def test_no_room_beside_the_clients_marks():
    own = [Mark(position, 0) for position in range(4)]
    planned = plan(CLAUDE, RATES, path(6), (), [place(5, 0.9)], own)
    assert planned.marks == () and planned.reason is Reason.CLIENT
    assert len(plan(CLAUDE, RATES, path(6), (), [place(4, 0.9), place(5, 0.9)], own[:3]).marks) == 1


def test_what_a_switch_forfeits():
    assert forfeited_nusd(RATES, 10_000) == 9_000_000
    assert forfeited_nusd(CacheRates(7, 1_000, 100, (1_250,)), 10, 0.5) == 643


@pytest.mark.parametrize("seed", range(1865, 1871))
def test_nobody_beats_the_bound(seed: int):
    """The best of all plans, tried one by one, costs no less than the sum of what each piece would cost alone; and no rule beats the best plan."""
    requests = optimum.small(random.Random(seed))
    best = optimum.exact(requests, CLAUDE, RATES)
    assert optimum.bound(requests, CLAUDE, RATES) <= best
    assert best <= min(ways.simple(requests, CLAUDE, RATES).values())
    assert best <= ways.ours(requests, CLAUDE, RATES).cost


def test_plans_are_such_as_a_provider_takes():
    """Random conversations with random marks of clients: never more marks than it takes, no longer life behind a shorter one, theirs untouched."""
    chance = random.Random(7)
    arrivals, cache = Arrivals(1_000), ProviderCache(CLAUDE, 1_000)
    for number in range(400):
        words = [chance.choice("ab")] + [chance.choice("abc") for _ in range(chance.randint(0, 30))]
        asked = Path(
            tuple(["".join(words[: end + 1]).encode() for end in range(len(words))]),
            tuple([700 * (end + 1) for end in range(len(words))]),
        )
        own = []
        if number % 3 == 0:
            at = sorted(chance.sample(range(len(words)), min(len(words), chance.randint(1, 4))))
            hours = chance.randint(0, len(at))
            own = [Mark(position, 1 if nth < hours else 0) for nth, position in enumerate(at)]
        now_s = 40.0 * number
        planned = plan(CLAUDE, RATES, asked, cache.warm(asked, now_s), arrivals.seen(asked, now_s, opening=1), own)
        marks = sorted([*own, *planned.marks])
        assert len({mark.position for mark in marks}) == len(marks) <= 4
        assert all(asked.ends[mark.position] >= CLAUDE.min_tokens for mark in planned.marks)
        lives = [mark.ttl for mark in marks]
        assert lives == sorted(lives, reverse=True), (own, planned)
        cache.apply(asked, marks, now_s, only_marks=planned.only_marks)
