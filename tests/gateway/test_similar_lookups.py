"""One lookup after the other, without sockets: what is dropped, erased or contradicted is given no more, and what was never fit is not stored."""

import json
import time
from typing import Any

import pytest

from jevons.cache.exact import ExactAnswers, Kept
from jevons.cache.settings import SemanticCacheSettings
from jevons.core.ask import Caller, Dialect
from jevons.core.chain import Chain
from jevons.core.limits import SIMILAR_ANSWER_BYTES_MAX, SIMILAR_SEARCHES_MAX, SIMILAR_TIDIED
from jevons.core.usage import Usage
from jevons.embed import Embedder
from jevons.gateway.answers import Found, Wanted
from jevons.gateway.passage import Passage
from jevons.gateway.similar import SimilarRequests
from jevons.policy.answers import Wish
from jevons.policy.route import Target
from jevons.policy.rules import Who
from jevons.policy.semantic import NEIGHBOURS
from jevons.wire.parse import parse

TTL_S = 1_000
WISH = Wish(chosen=True, similar=True)
WAYS = ("How do I get", "How can I get", "Where do I get", "How would one get", "Tell me how to get", "How to get")
THINGS = (
    "a new card",
    "another card",
    "a second card",
    "a new bank card",
    "a card again",
    "a card",
    "my new card",
    "the new card",
    "cards",
    "a fresh card",
)
ENDS = ("", " please", " here")
TEXTS = [f"{way} {thing}{end}?" for thing in THINGS for end in ENDS for way in WAYS]


class Lookups:
    """A caller of one organisation, the answers, and what is near."""

    def __init__(self, **settings: Any) -> None:
        self.similar = SimilarRequests(SemanticCacheSettings(enabled=True, delta=0.3, **settings), TTL_S, Embedder())
        self.exact = ExactAnswers(1 << 24, TTL_S)
        self.number = 0

    def wanted(self, text: str, wish: Wish = WISH) -> Wanted:
        self.number += 1
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        passage = Passage(Caller(1, "k", "org"), Who("org", "", 1, "k", ""), self.number << 8, Chain((), ()))
        target = Target("u", "m", Dialect.CHAT)
        return Wanted(parse(Dialect.CHAT, body), passage, target, wish, self.number.to_bytes(16), 0, (), b"")

    def ask(self, text: str, says: str = "In a week.", wish: Wish = WISH, **message: Any) -> Found | None:
        """What is given; else the provider says so."""
        wanted = self.wanted(text, wish)
        found = self.similar.look(wanted, self.exact)
        if found is None:
            whole = {"choices": [{"message": {"content": says, **message}, "finish_reason": "stop"}]}
            answer = Kept(json.dumps(whole).encode(), Usage(10, output=5), int(time.time() * 1000))
            self.exact.keep("org", wanted.key, answer)
            self.similar.keep(wanted, answer, self.exact)
        return found

    def taught(self) -> "Lookups":
        assert any(self.ask(text) for text in TEXTS)
        return self

    def entries(self) -> object:
        return self.similar.status()["entries"]

    def __len__(self) -> int:
        return int(str(self.entries()))


@pytest.fixture
def lookups() -> Lookups:
    return Lookups()


def test_what_the_answer_cache_dropped_is_not_given_and_forgotten(lookups: Lookups) -> None:
    lookups.taught()
    known = lookups.entries()
    assert isinstance(known, int) and known > 20
    lookups.exact.erase("org")
    assert lookups.ask("How do I get a new card?") is None
    assert lookups.entries() == 1, "the new one; all that were near had nothing to give"


def test_one_request_clears_away_a_few_of_many_that_have_nothing_to_give(lookups: Lookups) -> None:
    """Nothing else is served meanwhile. The next ones go on with it, until all are gone."""
    for number, text in enumerate(TEXTS + [f"Well, {text}" for text in TEXTS]):
        lookups.ask(text, f"Never say {number} again.")
    known = len(lookups)
    assert known > 300
    lookups.exact.erase("org")
    asked = 0
    while len(lookups) > asked:
        before = len(lookups)
        assert lookups.ask(TEXTS[asked]) is None
        asked += 1
        assert before - len(lookups) < SIMILAR_TIDIED + SIMILAR_SEARCHES_MAX * NEIGHBOURS
    assert known / (SIMILAR_TIDIED + SIMILAR_SEARCHES_MAX * NEIGHBOURS) < asked <= known / SIMILAR_TIDIED + 1


def test_an_answer_that_is_too_old_for_the_request_is_not_given(lookups: Lookups) -> None:
    lookups.taught()
    young = Wish(chosen=True, similar=True, min_fresh_s=TTL_S + 1)
    assert all(lookups.ask(text, wish=young) is None for text in TEXTS[:3])
    assert any(lookups.ask(text) is not None for text in TEXTS)


def test_the_later_answer_to_the_same_words_takes_the_place_of_the_first(lookups: Lookups) -> None:
    lookups.ask("How do I get a new card?", "In a week.")
    lookups.ask("How do I get a new card?", "Never.")
    assert lookups.entries() == 1 and lookups.similar.status()["wrong"] == 1
    lookups.ask("How do I get a new card?", "Never.")
    assert lookups.entries() == 2 and lookups.similar.status()["right"] == 1


def test_what_is_not_given_after_all_teaches_like_any_other(lookups: Lookups) -> None:
    lookups.taught()
    before = lookups.similar.status()
    for text in TEXTS:
        wanted = lookups.wanted(text)
        if lookups.similar.look(wanted, lookups.exact) is not None:
            break
    lookups.similar.explore(wanted)
    assert lookups.similar.status()["served"] == before["served"]
    answer = Kept(b'{"choices":[{"message":{"content":"In a week."}}]}', Usage(), int(time.time() * 1000))
    lookups.similar.keep(wanted, answer, lookups.exact)
    after = lookups.similar.status()
    assert after["right"] == int(str(before["right"])) + 1 and after["checked"] == before["checked"]


def test_what_calls_a_tool_or_is_very_long_is_not_stored(lookups: Lookups) -> None:
    lookups.ask("How do I get a new card?", tool_calls=[{"id": "t", "function": {"name": "f", "arguments": "{}"}}])
    lookups.ask("How do I get another card?", "long " * 2_000)
    lookups.ask("How can I get another card?", logprobs="of a short answer" * (SIMILAR_ANSWER_BYTES_MAX // 16))
    assert lookups.entries() == 0


def test_the_operator_may_force_what_depends_on_the_time() -> None:
    for force in (False, True):
        lookups = Lookups(force=force)
        lookups.ask("What is the weather like today?")
        assert (lookups.entries(), lookups.similar.status()["unfit"]) == ((1, 0) if force else (0, 1))


def test_long_answers_are_compared_by_what_they_mean(lookups: Lookups) -> None:
    said = "Your new card is sent by post and takes about a week to arrive at the address that we know of you."
    lookups.ask("How do I get a new card?", said)
    lookups.ask("How can I get a new card?", said.replace("Your new card is", "The new card is"))
    lookups.ask(
        "How would one get a new card?", "Cards are not made any more, for the bank has closed and everybody there went home."
    )
    assert (lookups.similar.status()["right"], lookups.similar.status()["wrong"]) == (1, 1)


def test_an_organisation_is_forgotten_with_what_was_learnt(lookups: Lookups) -> None:
    lookups.taught()
    assert lookups.similar.erase("other") == 0 and lookups.similar.erase("org") > 20
    assert all(lookups.ask(text) is None for text in TEXTS[:10])
