"""From examples to a student with its card: the kind that suits, what it is worth, and when there is none."""

from collections import Counter

import msgspec
import pytest

from jevons.distil.train import BUSY_SECOND_NUSD, EXAMPLES_LEAST, Trained, Untrainable, agrees, train
from jevons.learn.student_card import Scope, card_text, read_card
from jevons.ledger.capture import Example
from jevons.meter.pricebook import open_book
from tests.distil.made import examples
from tests.learn.asked import embed, intents, orders

SCOPE = Scope(("t1",))


def trained(made: list[Example], dropped: Counter[str] | None = None) -> Trained:
    ticks = iter((100.0, 102.0))
    return train(
        made, dropped or Counter(), embed, SCOPE, alpha=0.1, delta=0.1, teacher_nusd=500, parent=2, clock=lambda: next(ticks)
    )


def test_intents_become_a_classifier_with_a_card() -> None:
    made = examples(intents(400), first=11)
    found = trained(made, Counter(failed=3))
    card = found.card
    assert (card.kind, card.answers, card.parent, card.train_s, card.train_nusd) == (
        "classifier",
        5,
        2,
        2.0,
        2 * BUSY_SECOND_NUSD,
    )
    of, measured = card.provenance, card.measured
    assert (of.org, of.teachers, of.first_ms, of.last_ms) == ("default", ("gpt-4o",), made[0].at_ms, made[-1].at_ms)
    assert of.read == 403 and of.dropped["failed"] == 3 and of.teacher_nusd == 500 and of.train_rows <= 400
    assert (of.test_rows, measured.rows, measured.alpha) == (60, 60, 0.1)
    assert measured.threshold is not None and measured.coverage >= 0.9 and measured.disagreement <= 0.05
    assert len(found.trial) == 180 and card.holds(11) and not card.holds(10) and not card.holds(411)
    said = found.student.answer("Where is my beige card?", embed("Where is my beige card?"))
    assert said is not None and said.text == "card_arrival" and 0.8 < said.score < 1
    assert read_card(card_text(card)) == card


def test_orders_become_an_extractor() -> None:
    card = trained(examples(orders(300))).card
    assert (card.kind, card.answers) == ("extractor", 6) and card.measured.agreed >= 0.9 * card.measured.rows


def test_what_is_asked_again_and_again_becomes_a_table() -> None:
    """Answers that no classifier and no extractor could give."""
    pairs = [
        (f"Tell story {n % 20}", f"Once upon a time there were {(n % 20) * 7919} words {'so ' * (n % 20)}") for n in range(300)
    ]
    card = trained(examples(pairs)).card
    assert (card.kind, card.answers, card.measured.agreed) == ("table", 20, card.measured.rows)


def test_examples_that_a_student_declined_train_but_do_not_measure() -> None:
    made = [msgspec.structs.replace(one, even=one.id % 2 == 0) for one in examples(intents(400))]
    found = trained(made)
    assert len(found.trial) == 90 and found.card.provenance.train_rows > 300


def test_an_empty_class_and_answers_that_are_written_make_none() -> None:
    with pytest.raises(Untrainable, match=rf"0 examples can be used, and {EXAMPLES_LEAST} are the least \(left out: 7 failed\)"):
        trained([], Counter(failed=7))
    with pytest.raises(Untrainable, match="no student of ours writes such answers"):
        trained(examples([(f"Tell story {n}", f"Once {n}") for n in range(250)]))


def test_a_task_that_changes_its_shape_is_told() -> None:
    pairs = intents(220) + [(f"Tell story {n}", f"Once {n}") for n in range(180)]
    with pytest.raises(Untrainable, match="changed their shape"):
        trained(examples(pairs))


def test_same_answers() -> None:
    assert agrees(" a\n", "a") and agrees('{"a": 1, "b": 2}', '{"b":2,"a":1}')
    assert not agrees("a", "A") and not agrees('{"a": 1}', '{"a": 2}') and not agrees("[1]", "[1 ]")


def test_a_busy_second_costs_what_the_price_book_states(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The local model's prices are this second's, over tokens a second: 200 of input."""
    price = open_book(tmp_path_factory.mktemp("home")).price("local", "any", 1_790_000_000_000)
    assert price is not None
    input_nusd = price.tiers[0].nums["input"] / price.den
    assert pytest.approx(input_nusd * 200, rel=0.02) == BUSY_SECOND_NUSD
