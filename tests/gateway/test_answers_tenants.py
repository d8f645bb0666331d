"""An attack on the partition: whatever another organisation asks, spells, claims or heads its request with, it is never given this one's answer.

One door for the whole attack, so that everything kept in earlier tries is there to be found.
"""

import asyncio
import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jevons.cache.settings import AnswerCacheSettings
from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.chain import Chain
from jevons.core.usage import Usage
from jevons.gateway.answers import Answers, Hit, Wanted
from jevons.gateway.passage import Passage
from jevons.gateway.settings import UpstreamSettings
from jevons.policy.answers import Given
from jevons.policy.route import Target
from jevons.policy.rules import Who
from jevons.wire.parse import parse

ODD = [
    "",
    "default",
    "a",
    "A",
    "a ",
    " a",
    "a\x00",
    "\x00a",
    "a/b",
    "a|b",
    "b",
    "ab",
    "ä",
    "a\u0308",
    "ａ",
    "а",
    "a\u200b",
    "ﬁ",
    "fi",
    "None",
    "0",
]
"""Empty, alike to the eye, equal under some folding or normal form, and such as would run into their neighbour in a key without borders."""
ORGS = st.sampled_from(ODD) | st.text(alphabet=st.characters(codec="utf-8"), max_size=4)
NAMES = st.sampled_from(["k", "a", "b", "listed"])
MODELS = st.sampled_from(["m", "a", "b", "ab", "u/m", "m\u00e4"])
TEXTS = st.sampled_from(["Hi.", "a", "b", "ab", '","org":"a', "\\", "\u0000"])
CLAIMS = st.dictionaries(
    st.sampled_from(["user", "metadata", "org", "organization", "safety_identifier", "prompt_cache_key", "cache_control", "x"]),
    st.sampled_from(ODD) | st.dictionaries(st.just("org"), st.sampled_from(ODD), max_size=1),
    max_size=3,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"openai-organization", b"anthropic-beta", b"x-jevons-org", b"x-org", b"vary", b"cache-control"]),
        st.sampled_from([b"a", b"b", b"", b"max-age=99999", b"only-if-cached, max-stale=99999"]),
    ),
    max_size=2,
)
WORDS = st.sampled_from([b"on", b"exact", b"semantic"])
DOORS = st.sampled_from([Dialect.CHAT, Dialect.EMBEDDINGS])


UPSTREAM = UpstreamSettings("u", "openai")


class Try(tuple[Any, ...]):
    """(door, model, text, claims, headers, word, query) of one request."""


TRIES = st.tuples(DOORS, MODELS, TEXTS, CLAIMS, HEADERS, WORDS, st.sampled_from([b"", b"org=a", b"a"])).map(Try)


class Attack:
    """The door, and who knocks."""

    def __init__(self) -> None:
        self.answers = Answers(AnswerCacheSettings(orgs=("a",), keys=("listed",)))
        self.runner = asyncio.Runner()
        self.kept = 0

    def wanted(self, org: str, name: str, request: Try) -> Wanted | None:
        door, model, text, claims, headers, word, query = request
        said = {"input": text} if door is Dialect.EMBEDDINGS else {"messages": [{"role": "user", "content": text}]}
        ask: Ask = parse(door, json.dumps({**claims, "model": model, **said}).encode())
        passage = Passage(Caller(1, name, org), Who(org, "", 1, name, "", None), 1 << 40, Chain((), ()))
        target = Target("u", model, door)
        scope = {"headers": headers, "query_string": query}
        named = dict(headers) | {b"x-jevons-cache": word}
        named.pop(b"cache-control", None)
        return self.runner.run(self.answers.wanted(ask, passage, target, UPSTREAM, named, scope))

    def look(self, wanted: Wanted) -> Hit | None:
        return self.runner.run(self.answers.look(wanted))

    def keep(self, wanted: Wanted) -> None:
        """The answer says whose it is."""
        body = json.dumps({"org": wanted.org}).encode()
        finish = "stop" if wanted.ask.dialect is Dialect.CHAT else ""
        given_ = Given(wanted.ask.dialect, finish, len(body), metered=True, first=True, capped=False, noted=False)
        self.answers.keep(wanted, given_, body, Usage(1))
        self.kept += 1


ATTACK = Attack()


@settings(max_examples=150)
@given(org=ORGS, other=ORGS, names=st.tuples(NAMES, NAMES), request=TRIES, twist=TRIES, same=st.booleans())
def test_no_answer_crosses(org: str, other: str, names: tuple[str, str], request: Try, twist: Try, same: bool) -> None:
    assume(org != other)
    mine = ATTACK.wanted(org, names[0], request)
    assert mine is not None
    ATTACK.keep(mine)
    again = ATTACK.look(mine)
    assert again is not None and json.loads(again.answer.body)["org"] == org, "its own is found: the attack aims at something"
    theirs = ATTACK.wanted(other, names[1], request if same else twist)
    assert theirs is not None
    found = ATTACK.look(theirs)
    assert found is None or json.loads(found.answer.body)["org"] == other
    assert theirs.key != mine.key
    ATTACK.answers.erase(other)
    assert ATTACK.look(theirs) is None, "erased"
    left = ATTACK.look(mine)
    assert left is not None and json.loads(left.answer.body)["org"] == org, "an erasure is one organisation's too"
