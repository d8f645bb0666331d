"""Which beginnings of prompts recur, and how soon."""

import gc

import pytest

from jevons.core import limits
from jevons.policy import arrivals as module
from jevons.policy.arrivals import FORKS_COMMON, Arrivals, By, Place
from jevons.policy.provider_cache import Path
from jevons.policy.returns import within


def path(*words: str, tokens: int = 1_000) -> Path:
    links = tuple(["/".join(words[: end + 1]).encode() for end in range(len(words))])
    return Path(links, tuple([tokens * (end + 1) for end in range(len(words))]))


def arrivals() -> Arrivals:
    return Arrivals(10_000)


def positions(places: tuple[Place, ...]) -> list[int]:
    return [place.position for place in places]


def talk(known: Arrivals, name: str, start_s: float, turns: int, gap_s: float, caller: str = "") -> None:
    """A conversation behind a system prompt."""
    said = ["system", name]
    for turn in range(turns):
        known.seen(path(*said), start_s + turn * gap_s, caller, By.PERSON, 1)
        said += [f"answer {turn}", f"question {turn}"]


def test_places_of_a_request():
    """Tools and system are a fork from the first request on, the end is the last."""
    known = arrivals()
    assert known.seen(Path((), ()), 0.0) == ()
    assert positions(known.seen(path("system", "hello"), 0.0, opening=1)) == [0, 1]
    assert positions(known.seen(path("alone"), 0.0)) == [0]
    assert positions(known.seen(path("all", "opening"), 0.0, opening=2)) == [1]


def test_a_fork_is_found_where_requests_part():
    """An answer asked for again is none yet: it is the same request."""
    known = arrivals()
    known.seen(path("a", "b", "c"), 0.0)
    assert positions(known.seen(path("a", "b", "c"), 1.0)) == [2]
    assert positions(known.seen(path("a", "b", "x"), 2.0)) == [1, 2]
    assert positions(known.seen(path("a", "b", "c", "d"), 3.0)) == [1, 3]


def test_a_fork_is_as_likely_as_it_lately_was():
    """One is passed every ten seconds, one every twenty minutes."""
    known = arrivals()
    often = seldom = ()
    for number in range(400):
        often = known.seen(path("busy", str(number)), 10.0 * number, opening=1)
        if number % 120 == 0:
            seldom = known.seen(path("idle", str(number)), 10.0 * number, opening=1)
    for number in range(10):
        seldom = known.seen(path("idle", f"late {number}"), 4_000.0 + 1_200 * number, opening=1)
    assert within(often[0].odds, 60) > 0.9
    assert within(seldom[0].odds, 300) < 0.5
    assert often[0].later == often[0].odds


def test_conversations_that_go_on_are_told_from_those_that_do_not():
    """By who sends them: one's go on for ten turns, a minute apart, the other's never."""
    known = arrivals()
    for number in range(60):
        talk(known, f"long {number}", 700.0 * number, 10, 60.0, "alice")
        talk(known, f"short {number}", 700.0 * number, 1, 60.0, "bob")
    *_, alice = known.seen(path("system", "more"), 50_000.0, "alice", By.PERSON, 1)
    *_, bob = known.seen(path("system", "most"), 50_000.0, "bob", By.PERSON, 1)
    assert within(alice.odds, 300) > 0.7 and within(bob.odds, 300) < 0.2
    assert within(alice.later, 300) > 0.7


def test_odds_without_places():
    known = arrivals()
    for number in range(60):
        talk(known, str(number), 700.0 * number, 10, 60.0)
    fresh = known.afresh()
    assert len(fresh) == 0
    asked = path("system", "new"), 50_000.0
    *_, learnt = fresh.seen(*asked, opening=1)
    *_, unlearnt = arrivals().seen(*asked, opening=1)
    assert within(learnt.odds, 300) > 0.7 > within(unlearnt.odds, 300)


def test_only_returns_in_time_count():
    """All come back after ten minutes: within an hour that is certain, within five minutes it never happens."""
    known = arrivals()
    for number in range(60):
        talk(known, f"{number}", 4_000.0 * number, 5, 500.0)
    *_, end = known.seen(path("system", "more"), 250_000.0, opening=1)
    assert within(end.odds, 300) < 0.1 and within(end.odds, 600) > 0.6


def test_what_came_back_is_counted_when_its_age_is_over():
    """Else the first to be known would be those who came back, and all would seem to."""
    known = arrivals()
    *_, before = known.seen(path("0"), 0.0)
    for number in range(1, 40):
        known.seen(path(f"{number}"), 0.0)
    for number in range(1, 40):
        known.seen(path(f"{number}", "answer", "more"), 10.0)
    *_, after = known.seen(path("new"), 14.0)
    assert after.odds[0] < before.odds[0], "all have waited for five seconds"
    assert after.odds[1] - after.odds[0] < before.odds[1] - before.odds[0], "and of fifteen nothing is known yet"
    *_, after = known.seen(path("newer"), 15.0)
    assert after.odds[1] > 0.5


def test_a_beginning_in_common_says_nothing_of_a_conversation():
    """So many requests went on in so many ways from one: the next is nobody's second turn."""
    known = arrivals()
    known.seen(path("hi"), 0.0)
    for number in range(FORKS_COMMON + 1):
        known.seen(path("hi", str(number)), 1.0 + number)
    assert positions(known.seen(path("hi"), 50.0)) == [0]
    assert positions(known.seen(path("hi", "you"), 60.0)) == [0, 1]


def test_memory_is_bounded():
    """Places passed longest ago are forgotten; what many pass stays."""
    known = Arrivals(6)
    for number in range(50):
        known.seen(path("system", str(number)), float(number), opening=1)
    assert len(known) == 6
    assert positions(known.seen(path("system", "again"), 50.0, opening=1)) == [0, 1]


def test_what_is_forgotten_is_in_memory_no_more():
    """A long conversation's messages do not live on by its last."""
    known = Arrivals(6)
    for number in range(20):
        known.seen(path(*[f"{number}/{turn}" for turn in range(50)]), float(number))
    gc.collect()
    held = [thing for thing in gc.get_referrers(module._Stop) if isinstance(thing, module._Stop)]
    assert len(held) == len(known) == 6


def test_of_too_many_that_wait_some_are_not_counted(monkeypatch: pytest.MonkeyPatch):
    """All fifty have waited: the fewer are counted, the less is learnt of it."""
    asked, odds = path("new", tokens=3_000), []
    for counted in (limits.ARRIVALS_WATCHED_MAX, 3, 0):
        monkeypatch.setattr(module, "ARRIVALS_WATCHED_MAX", counted)
        known = arrivals()
        for number in range(50):
            known.seen(path(str(number)), 0.0)
        known.seen(path("one more"), 1.0)
        *_, end = known.seen(asked, 10.0)
        odds.append(end.odds[0])
    assert odds[0] < odds[1] < odds[2]


def test_a_place_that_was_forgotten_is_found_again_by_those_behind_it():
    known = Arrivals(3)
    known.seen(path("system", "one"), 0.0, opening=1)
    known.seen(path("system", "one", "two"), 1.0, opening=1)
    known.seen(path("other"), 2.0)
    assert len(known) == 3
    assert positions(known.seen(path("system", "one", "two", "three"), 3.0, opening=1)) == [0, 3]
