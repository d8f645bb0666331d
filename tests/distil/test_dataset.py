"""What of captured examples is trained on: whole, uncontradicted, each question once."""

import random

import msgspec

from jevons.core.features import Features
from jevons.core.label import Label
from jevons.distil.dataset import complaints, prepare, usable
from tests.distil.made import examples
from tests.learn.asked import INTENTS, embed, intents


def label(request: int, model: str, *, good: bool) -> Label:
    return Label(
        request, 1, "default", "easy", model, "", good, not good, "feedback", 1.0, None, shown=True, at_ms=0, features=Features()
    )


def test_what_failed_or_was_complained_of_is_left_out() -> None:
    made = examples(intents(5))
    made[0] = msgspec.structs.replace(made[0], ok=False)
    made[1] = msgspec.structs.replace(made[1], answer="")
    bad = complaints([label(made[2].request, "gpt-4o", good=False), label(made[3].request, "gpt-4o", good=True)])
    kept, dropped = usable([*reversed(made)], bad)
    assert [one.id for one in kept] == [4, 5] and dropped == {"failed": 2, "complaint": 1}
    assert usable(made, complaints([label(made[4].request, "another", good=False)]))[0][-1].id == 5  # the answer of another model


def test_each_question_is_there_once_and_stands_for_all_its_examples() -> None:
    data = prepare(examples([("Where is it?", "a"), ("B", "b"), ("where is IT", "a")]), embed)
    assert [(row.question, row.answer, row.ids, row.times) for row in data.rows] == [
        ("B", "b", (2,), 1),
        ("where is IT", "a", (1, 3), 2),
    ]
    assert data.read == 3 and data.dropped == {} and sorted(data.ids) == [1, 2, 3]


def test_one_question_with_two_answers_is_a_conflict() -> None:
    """Two thirds are a majority."""
    data = prepare(examples([("q", "a"), ("q", "b"), ("q", "a"), ("r", "a"), ("r", "b")]), embed)
    assert [(row.answer, row.ids) for row in data.rows] == [("a", (1, 3))]
    assert data.dropped == {"conflict": 3} and data.read == 5


def test_poisoned_labels_are_found_and_named() -> None:
    """One label in twenty is turned into another: most are found, and hardly a right one is taken for wrong."""
    chance, pairs = random.Random(4), intents(600, seed=2)
    wrong = set(chance.sample(range(600), 30))
    turned = [(q, chance.choice([one for one in INTENTS if one != a]) if n in wrong else a) for n, (q, a) in enumerate(pairs)]
    data = prepare(examples(turned), embed)
    found = {number - 1 for number in data.poisoned}
    kept = {number - 1 for number in data.ids}
    assert len(wrong - kept) >= 20 and len(found - wrong) <= 2
    assert data.dropped["poisoned"] == len(data.poisoned) and not found & kept


def test_where_every_answer_is_its_own_nothing_is_poison() -> None:
    data = prepare(
        examples([(f"Write a line on {question}", f"{answer} {n}") for n, (question, answer) in enumerate(intents(60))]), embed
    )
    assert data.poisoned == () and not prepare([], embed).rows
