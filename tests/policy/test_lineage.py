"""Conversations that name no run keep one each, however they are mixed; forks are children; keys never meet; memory is bounded."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.core.chain import chain
from jevons.policy.lineage import Found, Lineage

SECRET = b"s" * 32
HOUR_MS = 3_600_000


def links(*messages: str) -> tuple[bytes, ...]:
    return chain(SECRET, [message.encode() for message in messages]).links


class Door:
    """What the gateway does with a request that names no run."""

    def __init__(self, **bounds: int) -> None:
        self.lineage = Lineage(**bounds)
        self.now_ms = 0
        self.runs = 0

    def ask(self, *messages: str, key: int = 1) -> tuple[str, str | None]:
        """(run, its parent if it is a new child) of a request."""
        found = self.lineage.find(key, links(*messages), self.now_ms)
        parent = None
        if found is not None and found.kind == "continues":
            run = found.run_id
        else:
            self.runs += 1
            run, parent = f"key{key}-{self.runs}", found.run_id if found is not None else None
        self.lineage.remember(key, run, links(*messages), self.now_ms, child=parent is not None)
        return run, parent


def test_each_request_repeats_the_one_before() -> None:
    door = Door()
    run, parent = door.ask("hi")
    assert parent is None
    assert door.ask("hi", "hello", "go on") == (run, None)
    assert door.ask("hi", "hello", "go on", "done", "thanks") == (run, None)


def test_a_request_that_is_sent_again_is_of_the_same_run() -> None:
    """A retry, or an agent that is stuck: neither may have a new budget for each try."""
    door = Door()
    run, _ = door.ask("hi")
    assert [door.ask("hi") for _ in range(3)] == [(run, None)] * 3
    door.ask("hi", "hello", "a")
    assert door.ask("hi", "hello", "a") == (run, None)
    assert door.ask("hi", "hello", "a", "b", "c") == (run, None)


def test_two_users_who_begin_with_the_same_words_do_not_share_a_run() -> None:
    door = Door()
    first, _ = door.ask("hi")
    assert door.ask("hi", "hello", "weather?") == (first, None)
    second, parent = door.ask("hi")
    assert (second != first, parent) == (True, None)
    assert door.ask("hi", "hello!", "news?") == (second, None)
    assert door.ask("hi", "hello", "weather?", "rain", "thanks") == (first, None)
    third, parent = door.ask("hi", "hey", "jokes?")
    assert (third in (first, second), parent) == (False, None)


def test_the_same_instructions_are_no_history() -> None:
    door = Door()
    one, _ = door.ask("tools", "system", "one")
    two, parent = door.ask("tools", "system", "two")
    assert (two != one, parent) == (True, None)


def test_a_branch_of_a_history_is_a_child() -> None:
    door = Door()
    run, _ = door.ask("hi")
    door.ask("hi", "hello", "a")
    door.ask("hi", "hello", "a", "b", "c")
    child, parent = door.ask("hi", "hello", "a", "other", "way")
    assert (child != run, parent) == (True, run)
    assert door.ask("hi", "hello", "a", "other", "way", "x", "y") == (child, None)
    assert door.ask("hi", "hello", "a", "b", "c", "d", "e") == (run, None)


def test_a_branch_of_a_childs_first_request_is_its_child() -> None:
    """An answer lies within it, which the run that it came from got."""
    door = Door()
    door.ask("hi")
    door.ask("hi", "hello", "a")
    door.ask("hi", "hello", "a", "b", "c")
    child, _ = door.ask("hi", "hello", "a", "other")
    door.ask("hi", "hello", "a", "other", "x")
    assert door.ask("hi", "hello", "a", "other", "y")[1] == child


def test_an_earlier_request_that_is_sent_again_is_a_branch() -> None:
    door = Door()
    run, _ = door.ask("hi")
    door.ask("hi", "hello", "a")
    door.ask("hi", "hello", "a", "b", "c")
    child, parent = door.ask("hi", "hello", "a")
    assert parent == run
    assert door.ask("hi", "hello", "a", "b2") == (child, None)
    assert door.ask("hi", "hello", "a", "b", "c", "d") == (run, None)


def test_the_longest_match_wins() -> None:
    lineage = Lineage()
    lineage.remember(1, "short", links("a"), 0)
    lineage.remember(1, "long", links("a", "b", "c"), 0)
    assert lineage.find(1, links("a", "b", "c", "d"), 0) == Found("long", "continues", 3, b"")
    assert lineage.find(1, links("a", "b", "x"), 0) == Found("short", "continues", 1, b"")


def test_another_key_with_the_same_words_is_somebody_else() -> None:
    door = Door()
    run, _ = door.ask("hi")
    other, parent = door.ask("hi", "hello", "a", key=2)
    assert (other != run, parent) == (True, None)
    assert door.ask("hi", "hello", "a") == (run, None)


def test_an_empty_request_is_nobodys() -> None:
    lineage = Lineage()
    lineage.remember(1, "r", (), 0)
    assert len(lineage) == 0
    assert lineage.find(1, (), 0) is None
    lineage.remember(1, "r", links("a"), 0)
    assert lineage.find(1, (), 0) is None


def test_an_identity_is_a_second_name() -> None:
    lineage = Lineage()
    lineage.remember(1, "r", links("a"), 0, identity=b"id-a")
    assert lineage.find(1, (b"id-a", b"id-b"), 0) == Found("r", "continues", 1, b"id-a")
    assert lineage.find(1, links("a", "b"), 0) == Found("r", "continues", 1, b"id-a")
    lineage.remember(1, "r", links("a", "b"), 0, identity=b"id-b")
    assert lineage.find(1, (b"id-a",), 0) is None
    assert lineage.find(1, (b"id-a", b"id-b", b"id-c"), 0) == Found("r", "continues", 2, b"id-b")


def test_an_opening_that_is_sent_again_in_another_spelling_is_still_the_opening() -> None:
    lineage = Lineage()
    lineage.remember(1, "r", links("hi"), 0, identity=b"id-hi")
    lineage.remember(1, "r", links("HI"), 0, identity=b"id-hi")
    for spelling in ("hi", "HI"):
        assert lineage.find(1, links(spelling), 0) == Found("r", "continues", 1, b"id-hi")
    lineage.remember(1, "r", links("HI", "hello", "a"), 0, identity=b"id-a")
    for opening in (links("hi", "x"), links("HI", "x"), (b"id-hi",)):
        assert lineage.find(1, opening, 0) is None


def test_a_conversation_that_rested_too_long_is_a_new_run() -> None:
    door = Door(ttl_ms=HOUR_MS)
    run, _ = door.ask("hi")
    door.now_ms = HOUR_MS
    assert door.ask("hi", "hello", "a") == (run, None)
    door.now_ms = 2 * HOUR_MS
    assert door.ask("hi", "hello", "a", "b", "c") == (run, None)
    door.now_ms = 3 * HOUR_MS + 1
    later, parent = door.ask("hi", "hello", "a", "b", "c", "d", "e")
    assert (later != run, parent) == (True, None)
    assert len(door.lineage) == 1


def test_a_shorter_match_counts_when_the_longer_one_rested_too_long() -> None:
    lineage = Lineage(ttl_ms=10)
    lineage.remember(1, "short", links("a"), 8)
    lineage.remember(1, "long", links("a", "b"), 0)
    assert lineage.find(1, links("a", "b", "c"), 12) == Found("short", "continues", 1, b"")


def test_a_clock_that_goes_back_forgets_nothing() -> None:
    door = Door(ttl_ms=10)
    door.now_ms = 100
    run, _ = door.ask("hi")
    door.now_ms = 50
    assert door.ask("hi", "hello", "a") == (run, None)


def test_of_a_run_the_latest_requests_are_remembered() -> None:
    door = Door(names_of_run_max=3)
    said = ["0"]
    run, _ = door.ask(*said)
    for turn in range(1, 9):
        said.append(str(turn))
        assert door.ask(*said) == (run, None)
    assert len(door.lineage) == 3
    assert door.ask(*said[:7], "branch")[1] == run
    assert door.ask(*said[:2], "branch")[1] is None


def test_the_run_that_was_used_longest_ago_goes_first() -> None:
    door = Door(names_max=3)
    runs = [door.ask(name)[0] for name in "abc"]
    assert door.ask("a", "1")[0] == runs[0]
    assert len(door.lineage) == 3  # its second name was one too many, and b was used longest ago
    assert door.ask("c", "1")[0] == runs[2]
    assert door.ask("b", "1")[0] not in runs


def test_the_key_that_has_the_most_lets_go_first() -> None:
    door = Door(names_max=20)
    quiet, _ = door.ask("quiet", key=2)
    for n in range(200):
        door.ask(f"loud {n}")
        assert len(door.lineage) <= 20
    assert door.ask("quiet", "still", "here", key=2) == (quiet, None)
    latest = door.runs
    assert door.ask("loud 199", "x")[0] == f"key1-{latest}"


def test_a_key_that_let_go_of_everything_begins_again() -> None:
    door = Door(names_max=1)
    door.ask("a")
    door.ask("b", key=2)
    assert len(door.lineage) == 1
    door.ask("c")
    assert door.ask("c", "d")[0] == f"key1-{door.runs}"


def test_a_head_that_another_run_took_over_outlives_its_first_owner() -> None:
    """Both began with the same words; when the first is let go, the second is still found by them."""
    lineage = Lineage(names_max=2)
    lineage.remember(1, "first", links("hi"), 0)
    lineage.remember(1, "second", links("hi"), 0)
    lineage.remember(1, "third", links("x"), 0)
    assert len(lineage) == 2
    assert lineage.find(1, links("hi", "a"), 0) == Found("second", "continues", 1, b"")


class Talk:
    """One conversation of the model: what it said, and how far each of its requests went."""

    def __init__(self, key: int, said: list[str], root: bool) -> None:
        self.key = key
        self.said = said
        self.root = root
        self.ends = [len(said)]
        self.run = ""


class Mixed(RuleBasedStateMachine):
    """Conversations of two keys in any order, with resends, branches and common openings: one run each, and no other's."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Door()
        self.talks: list[Talk] = []
        self.openers: dict[tuple[int, str], Talk] = {}
        """Who said these opening words last."""
        self.said = 0

    def words(self) -> str:
        self.said += 1
        return f"word {self.said}"

    def send(self, talk: Talk) -> str | None:
        """The parent, if it is a new run."""
        run, parent = self.door.ask(*talk.said, key=talk.key)
        if not talk.run:
            assert run not in {other.run for other in self.talks}, "a new conversation has a run of its own"
            talk.run = run
            self.talks.append(talk)
        assert run == talk.run
        return parent

    def pick(self, number: int) -> Talk | None:
        return self.talks[number % len(self.talks)] if self.talks else None

    @rule(key=st.integers(1, 2), opening=st.sampled_from(["hi", "hello", ""]))
    def begin(self, key: int, opening: str) -> None:
        opening = opening or self.words()
        before = self.openers.get((key, opening))
        if before is not None and len(before.ends) == 1:
            return  # until one of them goes on, nothing tells the two apart
        talk = self.openers[key, opening] = Talk(key, [opening], root=True)
        assert self.send(talk) is None

    @rule(number=st.integers(0, 99), turns=st.integers(1, 3))
    def go_on(self, number: int, turns: int) -> None:
        talk = self.pick(number)
        if talk is not None:
            talk.said = talk.said + [self.words() for _ in range(2 * turns)]
            talk.ends.append(len(talk.said))
            assert self.send(talk) is None

    @rule(number=st.integers(0, 99), times=st.integers(1, 3))
    def send_again(self, number: int, times: int) -> None:
        talk = self.pick(number)
        for _ in range(times if talk is not None else 0):
            assert talk is not None
            assert self.send(talk) is None

    @rule(number=st.integers(0, 99), turn=st.integers(0, 99))
    def branch(self, number: int, turn: int) -> None:
        talk = self.pick(number)
        if talk is None or len(talk.ends) == 1:
            return
        turn %= len(talk.ends) - 1
        opening = turn == 0 and talk.root
        if opening and len(self.openers[talk.key, talk.said[0]].ends) == 1:
            return  # it would go on from whoever said these words last
        said = [*talk.said[: talk.ends[turn]], self.words(), self.words()]
        parent = self.send(Talk(talk.key, said, root=opening))
        assert parent == (None if opening else talk.run)

    @invariant()
    def runs_are_of_their_keys(self) -> None:
        assert all(talk.run.startswith(f"key{talk.key}-") for talk in self.talks)


TestMixed = Mixed.TestCase
TestMixed.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    "bounds", [{"names_max": 7}, {"names_of_run_max": 2}, {"names_max": 9, "names_of_run_max": 3, "ttl_ms": 5}]
)
def test_no_bound_lets_keys_meet(bounds: dict[str, Any]) -> None:
    door = Door(**bounds)
    for turn in range(60):
        door.now_ms += turn % 4
        for key in (1, 2):
            run, parent = door.ask(*(str(n) for n in range(turn % 7)), str(turn % 5), key=key)
            assert run.startswith(f"key{key}-")
            assert parent is None or parent.startswith(f"key{key}-")
        assert len(door.lineage) <= bounds.get("names_max", 10**9)
