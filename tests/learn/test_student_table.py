"""The table: the same question, up to how it is spelt, gets the answer that was always given to it."""

from jevons.learn.student import Answered
from jevons.learn.student_table import Table, normalised


def test_two_spellings_of_one_question() -> None:
    assert normalised("  Where is\tmy CARD ?!") == normalised("where is my card") == "where is my card"
    assert normalised("ﬁle") == normalised("FILE") and normalised("a. b.") == "a. b"
    assert normalised("is it 5?") != normalised("is it 6?")


def test_only_what_was_always_answered_alike_is_answered() -> None:
    table = Table.made([("A?", "yes"), ("a", "yes"), ("B?", "no"), ("C?", "yes"), ("c", "no")])
    assert (len(table), table.answers) == (2, 2)
    assert table.answer("a", None) == Answered("yes", 0.75)
    assert table.answer("b!", None) == Answered("no", 2 / 3)
    assert table.answer("C?", None) is table.answer("D?", None) is None
    assert table.answer("\ud800", None) is None  # half a character, as JSON may hold it


def test_an_empty_one_knows_nothing() -> None:
    table = Table.of(*Table.made([]).state())
    assert len(table) == 0 and table.answer("A?", None) is None
