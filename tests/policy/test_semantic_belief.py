"""The curve of all entries: what it says before it saw anything, what it learns, and what an entry's own record does."""

from random import Random

import pytest

from jevons.policy.semantic_belief import LEAST, NEIGHBOURS, Belief, Neighbour, Proof, spoken


def near(*similarities_and_answers: tuple[float, int]) -> list[Neighbour]:
    return [Neighbour(similarity, answer, Proof()) for similarity, answer in similarities_and_answers]


def test_the_nearest_speaks_when_all_differ() -> None:
    assert spoken(near((0.9, 1), (0.8, 2), (0.7, 3)))[0] == 0


def test_several_that_agree_outvote_one_that_is_a_little_nearer() -> None:
    assert spoken(near((0.82, 1), (0.81, 2), (0.8, 2), (0.8, 2)))[0] == 1


def test_one_that_is_much_nearer_outvotes_several() -> None:
    assert spoken(near((0.99, 1), (0.7, 2), (0.7, 2), (0.7, 2)))[0] == 0


def test_features_grow_with_what_speaks_for_an_answer() -> None:
    _, lone = spoken(near((0.7, 1), (0.69, 2)))
    _, agreed = spoken(near(*[(0.9, 1)] * NEIGHBOURS))
    assert all(more > less for more, less in zip(agreed[1:], lone[1:], strict=True))


def test_an_equal_text_has_features_within_range() -> None:
    """Rounding can bring a cosine above 1."""
    _, features = spoken(near((1.0000001, 1)))
    assert all(abs(feature) < 4 for feature in features)


def test_nothing_is_sure_before_anything_was_seen() -> None:
    _, features = spoken(near(*[(0.95, 1)] * NEIGHBOURS))
    assert Belief().wrong_at_most(features, Proof(), 2.0) > 0.3


def test_what_is_learnt_is_what_was_seen() -> None:
    """Answers right as often as a logistic curve says: the weights find it, and the band narrows around it."""
    chance, belief = Random(1), Belief()
    rows = [(1.0, chance.uniform(-1, 2), chance.uniform(-1, 2), chance.choice((-1.0, 0.0, 1.0))) for _ in range(1_500)]
    truth = Belief(weights=[0.5, 1.5, 1.0, 0.0])
    for row in rows:
        belief.learn(row, Proof(), chance.random() < truth.right(row, Proof()), 0)
    misses = [abs(belief.right(row, Proof()) - truth.right(row, Proof())) for row in rows]
    assert sum(misses) / len(misses) < 0.03
    held = [belief.wrong_at_most(row, Proof(), 1.64) >= 1 - truth.right(row, Proof()) for row in rows]
    assert sum(held) > 0.8 * len(rows)
    assert all(belief.wrong_at_most(row, Proof(), 1.64) - (1 - belief.right(row, Proof())) < 0.15 for row in rows)


def test_an_entry_that_was_wrong_is_believed_less_than_the_others() -> None:
    belief, features = Belief(), (1.0, 1.0, 1.0, 1.0)
    proof = belief.learn(features, Proof(), False, 0)
    assert proof.shift < 0
    assert belief.right(features, proof) < belief.right(features, Proof())


def test_a_record_counts_more_the_longer_it_is() -> None:
    belief, features = Belief(), (1.0, 0.0, 0.0, 0.0)
    once = belief.learn(features, Proof(), True, 0)
    often = once
    for _ in range(5):
        often = Belief().learn(features, often, True, 0)
    assert often.shift > once.shift > 0


def test_only_being_right_brings_an_entry_into_a_new_generation() -> None:
    assert Belief().learn((1.0, 0.0, 0.0, 0.0), Proof(), True, 3).generation == 3
    assert Belief().learn((1.0, 0.0, 0.0, 0.0), Proof(), False, 3).generation == 0


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_probabilities_stay_off_the_ends(size: float) -> None:
    belief = Belief(weights=[size, 0.0, 0.0, 0.0])
    assert LEAST <= belief.wrong_at_most((1.0, 0.0, 0.0, 0.0), Proof(), 0.0) <= 1 - LEAST
    assert 0 <= belief.right((1.0, 0.0, 0.0, 0.0), Proof()) <= 1
