"""What is stored of similar questions: by organisation, model and context, apart for ever; bounded; forgotten when told."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.cache.similar import Near, Place, SimilarAnswers
from jevons.core.limits import SIMILAR_ENTRY_BYTES, SIMILAR_MODELS_MAX, SIMILAR_PLACE_BYTES
from jevons.policy.semantic import Proof
from jevons.quant.scan import Code, Coder

CODER = Coder(64)
ODD = ("", "a", "A", "a ", "a\x00", "ab", "b", "default", "None")
"""Names that some folding or joining would take for each other."""
MODELS = ("m", "b", "")
CONTEXTS = (b"", b"b", b"mb")


def codes(count: int, seed: int = 0) -> list[Code]:
    vectors = np.random.default_rng(seed).standard_normal((count, 64))
    return [CODER.encode(x / np.linalg.norm(x)) for x in vectors]


CODES = codes(6)


def keys(near: list[Near]) -> list[bytes]:
    return [one.entry.key for one in near]


class Attack(RuleBasedStateMachine):
    """Organisations that ask the very same questions of the same models: whatever is stored, moved, displaced and erased, what one of them finds it
    stored itself, in that place."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SimilarAnswers(CODER, entries_max=12, bytes_max=1 << 30)
        self.stored: dict[bytes, tuple[Place, int]] = {}
        self.number = 0

    @rule(org=st.sampled_from(ODD), model=st.sampled_from(MODELS), context=st.sampled_from(CONTEXTS), code=st.integers(0, 5))
    def add(self, org: str, model: str, context: bytes, code: int) -> None:
        self.number += 1
        key = self.number.to_bytes(2)
        self.stored[key] = Place(org, model, context), code
        self.store.add(Place(org, model, context), CODES[code], key, self.number, Proof())

    @rule(org=st.sampled_from(ODD), model=st.sampled_from(MODELS), context=st.sampled_from(CONTEXTS), code=st.integers(0, 5))
    def ask(self, org: str, model: str, context: bytes, code: int) -> None:
        place = Place(org, model, context)
        for near in self.store.nearest(place, CODES[code]):
            stored, with_code = self.stored[near.entry.key]
            assert stored == place == near.entry.place
            assert (near.similarity > 0.99) == (with_code == code)

    @rule(org=st.sampled_from(ODD), data=st.data())
    def forget(self, org: str, data: st.DataObject) -> None:
        near = self.store.nearest(Place(org, "m", b""), CODES[0])
        if near:
            entry = data.draw(st.sampled_from([one.entry for one in near]))
            self.store.remove(entry)
            self.store.remove(entry)
            assert entry.key not in keys(self.store.nearest(Place(org, "m", b""), CODES[0]))

    @rule(org=st.sampled_from(ODD))
    def erase(self, org: str) -> None:
        self.store.erase(org)
        places = [Place(org, model, context) for model in MODELS for context in CONTEXTS]
        assert all(not self.store.nearest(place, CODES[0]) for place in places)

    @invariant()
    def bounded(self) -> None:
        found = {
            key
            for org in ODD
            for model in MODELS
            for context in CONTEXTS
            for code in CODES
            for key in self.of(org, model, context, code)
        }
        assert len(found) == len(self.store) <= 12

    def of(self, org: str, model: str, context: bytes, code: Code) -> list[bytes]:
        return keys(self.store.nearest(Place(org, model, context), code))


TestAttack = Attack.TestCase
TestAttack.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def place(**other: Any) -> Place:
    return Place(**({"org": "o", "model": "m", "context": b"c"} | other))


def test_an_entry_is_found_with_what_it_proved() -> None:
    store = SimilarAnswers(CODER, 100, 1 << 20)
    for number, code in enumerate(CODES):
        store.add(place(), code, bytes([number]), number, Proof())
    [nearest, *_] = found = store.nearest(place(), CODES[3])
    assert nearest.entry.key == b"\3" and nearest.entry.answer == 3 and nearest.similarity == pytest.approx(1, abs=0.02)
    assert [one.similarity for one in found] == sorted([one.similarity for one in found], reverse=True)
    nearest.entry.proof = Proof(1.0, 0.5, 2)
    assert store.nearest(place(), CODES[3])[0].entry.proof == Proof(1.0, 0.5, 2)
    store.add(place(), CODES[4], b"\3", 9, Proof())
    assert len(store) == 6 and {one.entry.answer for one in store.nearest(place(), CODES[3])} == {0, 1, 2, 4, 5, 9}


def test_what_was_not_used_for_longest_goes_first() -> None:
    store = SimilarAnswers(CODER, 4, 1 << 20)
    for number in range(4):
        store.add(place(), CODES[number], bytes([number]), number, Proof())
    store.used(store.nearest(place(), CODES[0])[0].entry)
    store.add(place(), CODES[4], b"\4", 4, Proof())
    assert sorted(keys(store.nearest(place(), CODES[0]))) == [b"\0", b"\2", b"\3", b"\4"] and store.displaced == 1


def test_who_has_more_than_a_share_makes_room() -> None:
    store = SimilarAnswers(CODER, 10, 1 << 20)
    store.add(place(org="small"), CODES[0], b"s", 1, Proof())
    for number in range(30):
        store.add(place(org="large"), CODES[number % 6], bytes([number]), number, Proof())
    assert keys(store.nearest(place(org="small"), CODES[0])) == [b"s"] and len(store) == 10


def test_bytes_are_counted_and_bounded() -> None:
    own = SIMILAR_ENTRY_BYTES + SIMILAR_PLACE_BYTES
    store = SimilarAnswers(CODER, 1_000, 40 * own)
    for number in range(200):
        store.add(place(context=bytes([number])), CODES[0], bytes([number]), number, Proof())
        assert store.bytes <= 40 * own
    assert 10 < len(store) < 40
    assert store.erase(None) > 10 and store.bytes == len(store) == store.orgs == 0


def test_what_was_learnt_is_of_one_organisation_and_model() -> None:
    store = SimilarAnswers(CODER, 10, 1 << 20)
    known = store.learnt(place())
    assert store.learnt(place(context=b"other")) is known
    assert store.learnt(place(org="other")) is not known and store.learnt(place(model="other")) is not known
    for number in range(SIMILAR_MODELS_MAX):
        store.learnt(place(model=str(number)))
    assert store.learnt(place()) is not known, "the model that was asked longest ago is learnt anew"
    store.erase("o")
    assert store.orgs == 1
