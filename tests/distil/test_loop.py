"""The ledger of the loop: costs and savings to the nano-dollar, and the day on which a student has paid for itself."""

from pathlib import Path

import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.routed import Option, Role, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.distil.loop import break_even, loop, teacher_nusd
from jevons.ledger.ops import KeyCreated, Opened, Posted, StudentPut
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.distil.test_registry import version
from tests.ledger.making import NOON_MS, make_entry, make_hold, make_key

DAY0 = NOON_MS // DAY_MS
Amounts = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("once", "running", "saved", "today", "found"),
    [
        ([(0, 100)], [], [], 5, (None, False)),
        ([(0, 100)], [], [(1, 40), (2, 70)], 5, (2, True)),
        ([(0, 100)], [(3, 50)], [(1, 200)], 5, (1, True)),
        ([(0, 100), (3, 150)], [], [(1, 200), (4, 60)], 5, (4, True)),  # a second version: it was in the black, and fell back
        ([(0, 100)], [], [(0, 10), (1, 10)], 1, (9, False)),  # 80 are missing, at 10 a day
        ([(0, 100)], [(0, 5), (1, 5)], [(0, 10), (1, 10)], 1, (19, False)),
        ([(0, 100)], [(1, 30)], [(1, 20)], 1, (None, False)),  # shadows cost more than it saves
        ([(0, 900)], [], [(0, 800), (20, 7)], 20, (113, False)),  # at the rate of the latest days
        ([(0, 0)], [], [(0, 5)], 0, (0, True)),
    ],
)
def test_the_day_of_break_even(
    once: Amounts, running: Amounts, saved: Amounts, today: int, found: tuple[int | None, bool]
) -> None:
    assert break_even(once, running, saved, today) == found


def entered(path: Path) -> None:
    """A student's two answers, a shadow that weighed it and one that did not, and a call of its teacher."""
    weighed = Routed(
        "easy", "cheapest", options=(Option("student/intents@2", "student", "intents@2"), Option("big", "openai", "big"))
    )
    other = Routed("easy", "cheapest", options=(Option("student/intents-too@1", "student", "intents-too@1"),))
    store = SqliteStore(path)
    store.apply([KeyCreated(make_key(1))])
    calls = [
        (
            1,
            4,
            {"upstream": "student", "target": "intents@1"},
            {"savings": (Saving(SavingKind.STUDENT, 90_000, 5),), "routed": weighed},
        ),
        (
            2,
            4,
            {"upstream": "student", "target": "intents@2"},
            {"savings": (Saving(SavingKind.STUDENT, 80_000, 5),), "routed": weighed},
        ),
        (
            2,
            4,
            {"upstream": "student", "target": "other@1"},
            {"savings": (Saving(SavingKind.STUDENT, 70_000, 5),), "routed": weighed},
        ),
        (
            2,
            30_000,
            {"target": "big"},
            {"savings": (Saving(SavingKind.SHADOW, -30_000, 0),), "routed": weighed, "role": Role.SHADOW},
        ),
        (
            2,
            31_000,
            {"target": "big"},
            {"savings": (Saving(SavingKind.SHADOW, -31_000, 0),), "routed": other, "role": Role.SHADOW},
        ),
        (3, 1_000, {"target": "big"}, {"routed": weighed}),
    ]
    for place, (day, nusd, holds, entries) in enumerate(calls):
        hold = make_hold(first_id_of_ms(NOON_MS + day * DAY_MS + place), nusd, **holds)
        store.apply([Opened(hold), Posted(make_entry(hold, nusd, **entries))])
    store.close()


def test_what_a_student_cost_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    entered(path)
    rows: list[StudentPut] = [version(1, "trained"), version(2, "serving", 1), version(1, "serving", name="other")]
    found = loop(path, rows, "intents", NOON_MS + 4 * DAY_MS)
    assert (found.versions, found.training_nusd, found.training_s) == (2, 98_880, 3.0)
    assert (found.shadows, found.shadow_nusd) == (1, 30_000)
    assert (found.answers, found.saved_nusd, found.net_nusd) == (2, 170_000, 170_000 - 98_880 - 30_000)
    assert found.reached and found.break_even_ms == (DAY0 + 2) * DAY_MS


def test_what_a_request_costs_at_the_teacher(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    entered(path)
    asked = [first_id_of_ms(NOON_MS + 3 * DAY_MS + 5), first_id_of_ms(NOON_MS + 2 * DAY_MS + 1), first_id_of_ms(1)]
    assert teacher_nusd(path, asked) == 502
    assert teacher_nusd(path, []) == teacher_nusd(path, asked[2:]) == 0
