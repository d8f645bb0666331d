"""Who serves, who follows whom, one step back, and who holds an example."""

import pytest

from jevons.distil import registry
from jevons.learn.student_card import Card, Measured, Provenance, Scope, card_text, read_card
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import StudentPut

NOW_MS = 1_790_000_000_000


def card(parent: int | None = None, *examples: tuple[int, int]) -> Card:
    provenance = Provenance("acme", ("gpt-4o",), examples or ((1, 9),), 0, 1, 10, {}, 9, 3, 500)
    return Card("table", Scope(("t1",)), provenance, Measured(3, 3, 3, 0.1, 0.1, None, 0.0, 0.0), 2, 1.5, 49_440, parent)


def version(number: int, state: str, parent: int | None = None, *examples: tuple[int, int], name: str = "intents") -> StudentPut:
    return StudentPut(name, number, "acme", state, card_text(card(parent, *examples)), "made", NOW_MS)


def states(puts: list[StudentPut]) -> list[tuple[int, str]]:
    return [(put.version, put.state) for put in puts]


def test_a_new_version_follows_the_one_that_serves() -> None:
    assert registry.following([], "intents", "acme") == (1, None)
    rows = [version(1, "trained"), version(2, "serving"), version(3, "demoted"), version(9, "serving", name="other")]
    assert registry.following(rows, "intents", "acme") == (4, 2)
    assert registry.following(rows[:1], "intents", "acme") == (2, 1)
    with pytest.raises(LedgerError, match="another organisation"):
        registry.following(rows, "intents", "globex")


def test_one_version_serves_at_most() -> None:
    rows = [version(1, "serving"), version(2, "shadow"), version(3, "withdrawn"), version(1, "serving", name="other")]
    assert states(registry.serve(rows, "intents", None, NOW_MS)) == [(2, "serving"), (1, "trained")]
    assert states(registry.serve(rows, "intents", 1, NOW_MS)) == [(1, "serving")]
    assert states(registry.serve(rows, "intents", 2, NOW_MS, shadow=True)) == [(2, "shadow")]
    for name, number, said in (("intents", 3, "no intents@3 that could serve"), ("none", None, "Students: intents, other")):
        with pytest.raises(LedgerError, match=said):
            registry.serve(rows, name, number, NOW_MS)


def test_one_step_back_is_to_the_parent() -> None:
    rows = [version(1, "trained"), version(2, "trained", 1), version(3, "withdrawn"), version(4, "serving", 1)]
    assert states(registry.rollback(rows, "intents", NOW_MS)) == [(4, "trained"), (1, "serving")]
    assert states(registry.rollback([*rows[:3], version(4, "demoted", 3)], "intents", NOW_MS)) == [(4, "trained"), (2, "serving")]
    back = registry.rollback(rows, "intents", NOW_MS)
    assert back[1].reason == "rolled back from version 4" and back[0].at_ms == NOW_MS
    with pytest.raises(LedgerError, match="no version before it"):
        registry.rollback([version(1, "serving")], "intents", NOW_MS)
    with pytest.raises(LedgerError, match="no version before it"):
        registry.rollback([version(1, "withdrawn")], "intents", NOW_MS)


def test_withdrawn_is_for_good() -> None:
    rows = [version(1, "withdrawn"), version(2, "serving"), version(3, "shadow")]
    assert states(registry.withdraw(rows, "intents", None, "enough", NOW_MS)) == [(2, "withdrawn"), (3, "withdrawn")]
    assert states(registry.withdraw(rows, "intents", 3, "enough", NOW_MS)) == [(3, "withdrawn")]
    with pytest.raises(LedgerError, match="There is no intents@7"):
        registry.withdraw(rows, "intents", 7, "enough", NOW_MS)


def test_students_that_hold_an_example_are_found() -> None:
    rows = [version(1, "trained", None, (1, 4)), version(2, "serving", 1, (1, 4), (8, 9)), version(3, "withdrawn", None, (1, 99))]
    assert states(registry.holding(rows, [8, 50])) == [(2, "serving")]
    assert states(registry.holding(rows, [4])) == [(1, "trained"), (2, "serving")]
    assert registry.holding(rows, [5]) == registry.holding(rows, []) == []
    marked = registry.marked(rows[1], "1 captured example erased", NOW_MS + 1)
    assert marked.state == "serving" and read_card(marked.card).retrain == "1 captured example erased"
