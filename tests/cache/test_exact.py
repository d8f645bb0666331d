"""Kept answers in memory: found by their organisation alone, bounded in bytes and age, the one used longest ago goes first."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.cache.exact import COMPRESSED_FROM_BYTES, ExactAnswers, Kept
from jevons.core.limits import ANSWER_ENTRY_BYTES
from jevons.core.usage import Usage

TTL_S = 100
USAGE = Usage(1, 2, 3, 4, 6, 5, (("web_searches", 7),))


def kept(body: bytes = b"{}", at_ms: int = 0, usage: Usage = USAGE) -> Kept:
    return Kept(body, usage, at_ms)


def key(number: int) -> bytes:
    return number.to_bytes(16)


def filled(room: int, *orgs: str, size: int = 200) -> ExactAnswers:
    """Room for so many answers of that size, and one for each of these organisations, in this order."""
    answers = ExactAnswers(room * (size + ANSWER_ENTRY_BYTES + 40), TTL_S)
    for number, org in enumerate(orgs):
        answers.keep(org, key(number), kept(b"x" * size))
    return answers


@pytest.mark.parametrize("size", [0, 2, COMPRESSED_FROM_BYTES - 1, COMPRESSED_FROM_BYTES, 100_000])
def test_an_answer_comes_back_as_it_was(size: int):
    answers = ExactAnswers(2**20, TTL_S)
    answer = kept(bytes(number * number % 251 for number in range(size)), 12_345)
    answers.keep("o", key(1), answer)
    assert answers.find("o", key(1), 12_345) == answer
    assert len(answers) == answers.orgs == answers.kept == 1


def test_compressing_makes_room():
    answers = ExactAnswers(2**20, TTL_S)
    answers.keep("o", key(1), kept(b"all work and no play " * 1000))
    assert answers.bytes < 2000


def test_one_organisation_finds_nothing_of_another():
    answers = filled(9, "o")
    assert answers.find("p", key(0), 0) is None and answers.find("", key(0), 0) is None
    assert answers.find("o", key(1), 0) is None and answers.find("o", key(0), 0) is not None


def test_too_old_is_gone_for_good():
    answers = filled(9, "o")
    assert answers.kept_ms("o", key(0), TTL_S * 1000 - 1) == 0 and answers.kept_ms("o", key(0), TTL_S * 1000) is None
    assert answers.kept_ms("o", key(1), 0) is answers.kept_ms("p", key(0), 0) is None
    assert answers.find("o", key(0), TTL_S * 1000 - 1) is not None
    assert answers.find("o", key(0), TTL_S * 1000) is None
    assert len(answers) == answers.orgs == answers.bytes == 0


def test_what_is_too_old_goes_without_being_asked_for():
    answers = filled(9, "o", "o", "o", "o", "p")
    answers.keep("o", key(9), kept(at_ms=TTL_S * 1000))
    assert len(answers) == 4, "two of the four old ones"
    assert answers.displaced == 0


def test_an_answer_takes_the_place_of_an_earlier_one():
    answers = filled(9, "o")
    before = answers.bytes
    answers.keep("o", key(0), kept(b"y" * 200))
    assert (len(answers), answers.bytes, answers.displaced) == (1, before, 0)
    found = answers.find("o", key(0), 0)
    assert found is not None and found.body == b"y" * 200


def test_the_one_used_longest_ago_goes():
    answers = filled(3, "o", "o", "o")
    assert answers.find("o", key(0), 0)
    answers.keep("o", key(3), kept(b"x" * 200))
    assert [number for number in range(4) if answers.find("o", key(number), 0)] == [0, 2, 3]
    assert answers.displaced == 1


def test_who_has_its_share_displaces_its_own():
    """A crowd of one organisation's answers takes nothing from another's few."""
    answers = filled(4, "small", "big", "big", "big")
    for number in range(10, 30):
        answers.keep("big", key(number), kept(b"x" * 200))
    assert answers.find("small", key(0), 0) and len(answers) == 4


def test_who_has_less_takes_from_whoever_has_most():
    answers = filled(4, "big", "big", "big", "some")
    answers.keep("new", key(9), kept(b"x" * 200))
    assert answers.find("new", key(9), 0) and answers.find("some", key(3), 0)
    assert answers.find("big", key(0), 0) is None and answers.find("big", key(2), 0)


def test_what_is_larger_than_all_of_it_is_not_kept():
    answers = filled(1, size=0)
    answers.keep("o", key(0), kept(b"x" * 300))
    assert len(answers) == answers.kept == answers.bytes == 0
    assert ExactAnswers(0, TTL_S).find("o", key(0), 0) is None


def test_erasing():
    answers = filled(9, "o", "o", "p", "q")
    assert answers.erase("o") == 2 and answers.erase("o") == 0 and answers.erase("nobody") == 0
    assert answers.find("o", key(0), 0) is None and answers.find("p", key(2), 0)
    assert answers.erase(None) == 2 and len(answers) == answers.bytes == answers.orgs == 0
    assert answers.erased == 4


ORGS, KEYS = st.sampled_from(["a", "b", "c"]), st.integers(0, 6)


class Store(RuleBasedStateMachine):
    """Whatever is kept, found, and erased: nobody's answer is another's, nothing is older than it may be, and the bytes add up."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_max = 2_500
        self.answers = ExactAnswers(self.bytes_max, TTL_S)
        self.told: dict[tuple[str, int], Kept] = {}
        self.now_ms = 0

    @rule(org=ORGS, number=KEYS, size=st.integers(0, 900), later_s=st.integers(0, 60))
    def keep(self, org: str, number: int, size: int, later_s: int) -> None:
        self.now_ms += later_s * 1000
        body = f"{org} {number} {self.now_ms} ".encode() + bytes(size)
        self.told[org, number] = kept(body, self.now_ms)
        self.answers.keep(org, key(number), self.told[org, number])

    @rule(org=ORGS, number=KEYS)
    def find(self, org: str, number: int) -> None:
        found = self.answers.find(org, key(number), self.now_ms)
        if found is not None:
            assert found == self.told[org, number] and self.now_ms - found.kept_ms < TTL_S * 1000

    @rule(org=ORGS | st.none())
    def erase(self, org: str | None) -> None:
        self.answers.erase(org)
        self.told = {place: answer for place, answer in self.told.items() if org is not None and place[0] != org}

    @rule()
    def latest_is_there(self) -> None:
        """Unless it is too large or too old, what was kept last is found."""
        latest: Any = max(self.told.items(), key=lambda one: one[1].kept_ms, default=None)
        if latest is not None and sum(one.kept_ms == latest[1].kept_ms for one in self.told.values()) == 1:
            (org, number), answer = latest
            fresh = self.now_ms - answer.kept_ms < TTL_S * 1000
            assert (self.answers.find(org, key(number), self.now_ms) is not None) is fresh

    @invariant()
    def adds_up(self) -> None:
        assert 0 <= self.answers.bytes <= self.bytes_max
        assert (self.answers.bytes == 0) is (len(self.answers) == 0)
        assert len(self.answers) * ANSWER_ENTRY_BYTES <= self.answers.bytes


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30)
