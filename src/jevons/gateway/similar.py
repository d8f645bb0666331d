"""Answers to similar requests: which are near, whether one is given, and what the provider's own answer teaches.

Comes in: requests that take part in the answer cache and wish it, with the cache of exact answers, where the answers lie. Goes out: an
answer to give, or nothing; then `keep` is told what the provider said. The decision and its bound are policy/semantic.py's, which
requests may take part policy/similar.py's, what is near cache/similar.py's. Loaded only where `[cache.semantic]` is enabled: it needs numpy and numba.
"""

import random
import time
from collections.abc import Iterator
from hashlib import blake2b
from itertools import count
from secrets import token_bytes
from typing import NamedTuple

import msgspec

from jevons.cache.exact import ExactAnswers, Kept
from jevons.cache.settings import SemanticCacheSettings
from jevons.cache.similar import Near, Place, SimilarAnswers
from jevons.core.ask import Caller
from jevons.core.chain import DIGEST_BYTES
from jevons.core.limits import COUNT_INLINE_BYTES_MAX, SIMILAR_ANSWER_BYTES_MAX, SIMILAR_ANSWER_CHARS_MAX, SIMILAR_SEARCHES_MAX
from jevons.embed import Embedder
from jevons.gateway.answers import Found, Wanted
from jevons.policy.answers import is_fresh, key_of
from jevons.policy.same_answer import needs_similarity, same_answer
from jevons.policy.semantic import Act, Decision, Neighbour, Partition, Proof
from jevons.policy.similar import Features, ineligible, literals
from jevons.quant.scan import Code, Coder
from jevons.wire.question import Question, answer_text, question_of

SAME_TEXT = 1 - 2**-10
"""Cosine from which two questions are one, as far as codes tell (their lengths are off by 2⁻¹¹): the later answer takes the place of the one that it
contradicts."""


class Looked(NamedTuple):
    """What was found for a request, for when its answer comes."""

    place: Place
    code: Code
    near: list[Near]
    known: Partition
    decision: Decision


class SimilarRequests:
    """Implements gateway.answers.Similar."""

    def __init__(self, settings: SemanticCacheSettings, ttl_s: int, embedder: Embedder) -> None:
        """`ttl_s`: of the answers. Takes some tenths of a second, and seconds where the loops are not compiled yet."""
        self._settings = settings
        self._orgs = frozenset(settings.orgs)
        self._keys = frozenset(settings.keys)
        self._ttl_s = ttl_s
        self._secret = token_bytes(32)
        self._embedder = embedder
        self._coder = Coder(self._embedder.dimensions)
        self._store = SimilarAnswers(self._coder, settings.max_entries, settings.ram_mib * 2**20)
        self._numbers = count(1)
        self._counts = dict.fromkeys(("looked", "unfit", "served", "checked", "checked_wrong", "right", "wrong"), 0)
        self._warm_up()

    def lists(self, caller: Caller) -> bool:
        return caller.org in self._orgs or caller.key_name in self._keys

    def look(self, wanted: Wanted, exact: ExactAnswers) -> Found | None:
        """An answer that will do. None: the provider is asked, and `keep` told."""
        question = self._fit(wanted)
        vector = self._embedder.vector(question.text) if question is not None else None
        if question is None or vector is None or not vector.any():
            self._counts["unfit"] += 1
            return None
        self._counts["looked"] += 1
        place, code, now_ms = self._place(wanted, question), self._coder.encode(vector), int(time.time() * 1000)
        if place is None:
            return None
        near = list(self._young(wanted, place, code, exact, now_ms))
        known = self._store.learnt(place)
        decision = known.decide([_neighbour(one) for one in near], random.random(), self._settings.delta)
        wanted.similar = Looked(place, code, near, known, decision)
        if decision.act is Act.EXPLORE:
            return None
        chosen = near[decision.index]
        answer = exact.find(place.org, chosen.entry.key, now_ms)
        assert answer is not None  # it was there a moment ago
        self._store.used(chosen.entry)
        self._counts["served"] += 1
        # Who forbids to ask the provider is not made to pay for that either.
        return Found(answer, chosen.similarity, check=decision.act is Act.CHECK and not wanted.wish.only_kept)

    def explore(self, wanted: Wanted) -> None:
        """What `look` found is not given after all: the provider is asked in its place."""
        looked = wanted.similar
        assert isinstance(looked, Looked)
        looked.known.undo(looked.decision)
        self._counts["served"] -= 1
        wanted.similar = looked._replace(decision=msgspec.structs.replace(looked.decision, act=Act.EXPLORE))

    def keep(self, wanted: Wanted, answer: Kept, exact: ExactAnswers) -> None:
        """What the provider said: right or wrong is what would have been given, and the question is one more that is answered."""
        looked, wanted.similar = wanted.similar, None
        text = answer_text(wanted.ask.dialect, answer.body) if len(answer.body) <= SIMILAR_ANSWER_BYTES_MAX else None
        if not isinstance(looked, Looked) or text is None or len(text) > SIMILAR_ANSWER_CHARS_MAX:
            return
        place, code, near, known, decision = looked
        said = [self._said(wanted, one, exact, answer.kept_ms) for one in near]
        same = [self._same(before, text) for before in said]
        if decision.index >= 0 and said[decision.index] is not None:
            chosen, right = near[decision.index], same[decision.index]
            chosen.entry.proof = known.observe(decision, _neighbour(chosen), right)
            self._counts["checked"] += decision.act is Act.CHECK
            self._counts["checked_wrong"] += decision.act is Act.CHECK and not right
            self._counts["right" if right else "wrong"] += 1
        for one, agrees in zip(near, same, strict=True):
            if one.similarity > SAME_TEXT and not agrees:
                self._store.remove(one.entry)
        number = next((one.entry.answer for one, agrees in zip(near, same, strict=True) if agrees), 0) or next(self._numbers)
        self._store.add(place, code, wanted.key, number, Proof(generation=known.generation))

    def erase(self, org: str | None) -> int:
        return self._store.erase(org)

    def status(self) -> dict[str, object]:
        store = self._store
        return {
            "entries": len(store),
            "orgs": store.orgs,
            "bytes": store.bytes,
            "bytes_max": self._settings.ram_mib * 2**20,
            "delta": self._settings.delta,
            "displaced": store.displaced,
            **self._counts,
        }

    def _fit(self, wanted: Wanted) -> Question | None:
        """The question, if it may be answered by similarity."""
        ask = wanted.ask
        question = question_of(ask) if len(ask.body) <= COUNT_INLINE_BYTES_MAX else None
        if question is None:
            return None
        features = Features(
            question.text, question.tools, question.tool_results, question.other_parts, ask.remote_context, ask.choices
        )
        if self._settings.force:  # neither its words count nor its tools
            features = features._replace(text="x" * len(question.text.strip()), tools=False, tool_results=False)
        return question if ineligible(features) is None else None

    def _place(self, wanted: Wanted, question: Question) -> Place | None:
        """All that must be the same to the letter: the request without its question, and what in the question has no meaning but its own."""
        rest = msgspec.structs.replace(wanted.ask, body=question.rest)
        context = key_of(self._secret, wanted.org, wanted.target, rest, wanted.sent, wanted.query)
        if context is None:
            return None
        letters = msgspec.msgpack.encode((context, literals(question.text)))
        return Place(wanted.org, wanted.ask.model, blake2b(letters, digest_size=DIGEST_BYTES, key=self._secret).digest())

    def _young(self, wanted: Wanted, place: Place, code: Code, exact: ExactAnswers, now_ms: int) -> Iterator[Near]:
        """The nearest whose answers may be given to this request. Of those whose answers are gone some go, for others wait meanwhile."""
        self._store.tidy(place.org, lambda key: exact.kept_ms(place.org, key, now_ms) is not None)
        for _ in range(SIMILAR_SEARCHES_MAX):
            near = self._store.nearest(place, code)
            kept = [exact.kept_ms(place.org, one.entry.key, now_ms) for one in near]
            gone = [one for one, at_ms in zip(near, kept, strict=True) if at_ms is None]
            for one in gone:
                self._store.remove(one.entry)
            if not gone:
                break
        for one, at_ms in zip(near, kept, strict=True):
            if at_ms is not None and is_fresh(wanted.wish, at_ms, now_ms, self._ttl_s):
                yield one

    def _said(self, wanted: Wanted, near: Near, exact: ExactAnswers, now_ms: int) -> str | None:
        """The text of a kept answer; it is in the dialect of this request, for that is part of the place."""
        answer = exact.find(wanted.org, near.entry.key, now_ms)
        return None if answer is None else answer_text(wanted.ask.dialect, answer.body)

    def _same(self, before: str | None, text: str) -> bool:
        """Do two answers say the same?"""
        if before is None:
            return False
        if not needs_similarity(before, text):
            return same_answer(before, text)
        return same_answer(before, text, float(self._embedder.vector(before) @ self._embedder.vector(text)))

    def _warm_up(self) -> None:
        """Compile every loop: the first request would wait for it, and all others with it."""
        code = self._coder.encode(self._embedder.vector("anything"))
        store, place = SimilarAnswers(self._coder, 1, 1 << 20), Place("", "", b"")
        store.add(place, code, b"", 0, Proof())
        store.nearest(place, code)


def _neighbour(near: Near) -> Neighbour:
    return Neighbour(near.similarity, near.entry.answer, near.entry.proof)
