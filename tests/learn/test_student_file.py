"""Students on disk: sealed, the same after a restart, refused when they are not what was written."""

import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from jevons.learn import student_file
from jevons.learn.student import Student, Tried
from jevons.learn.student_calibrated import Calibrated
from jevons.learn.student_card import stretches
from jevons.learn.student_classifier import Classifier, row
from jevons.learn.student_extractor import Extractor
from jevons.learn.student_file import load, pack, path_of, remove, save, trial, unpack
from jevons.learn.student_table import Table
from jevons.ledger.capture import Captured
from jevons.ledger.errors import LedgerError
from tests.learn.asked import embed, intents, orders

PAIRS, ORDERS = intents(120), orders(120)
TRIAL = [Tried(0.75, False), Tried(0.0, True)]


def rows(pairs: list[tuple[str, str]]) -> np.ndarray:
    return np.stack([row(question, embed(question)) for question, _ in pairs])


@cache
def students() -> list[Student]:
    extractor = Extractor.made([question for question, _ in ORDERS], rows(ORDERS), [answer for _, answer in ORDERS])
    assert extractor is not None
    closed = [(question, '{"urgent": true}' if place % 2 else '{"urgent": false}') for place, (question, _) in enumerate(ORDERS)]
    only_closed = Extractor.made([question for question, _ in closed], rows(closed), [answer for _, answer in closed])
    assert only_closed is not None
    table = Table.made(PAIRS)
    trials = [Tried(place / 100, place < 40) for place in range(100)]
    return [
        table,
        Classifier.made(rows(PAIRS), [answer for _, answer in PAIRS]),
        extractor,
        only_closed,
        Calibrated.fitted(table, trials),
    ]


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    made = Captured(tmp_path / "captured.db", bytes(32))
    yield made
    made.close()


@pytest.mark.parametrize("place", range(5))
def test_a_student_answers_the_same_after_a_restart(place: int, tmp_path: Path, captured: Captured) -> None:
    student, sealer = students()[place], captured.sealer("acme", make=True)
    folder = tmp_path / student_file.FOLDER
    path = save(folder, "intents", 3, student, sealer, TRIAL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert b"card_arrival" not in path.read_bytes()
    again = load(folder, "intents", 3, sealer)
    assert trial(folder, "intents", 3, sealer) == TRIAL and again.embeds == student.embeds
    for question, _ in PAIRS[:20] + ORDERS[:20]:
        assert again.answer(question, embed(question)) == student.answer(question, embed(question))


def test_another_name_version_or_organisation_is_refused(tmp_path: Path, captured: Captured) -> None:
    acme, globex = captured.sealer("acme", make=True), captured.sealer("globex", make=True)
    path = save(tmp_path, "intents", 1, Table.made(PAIRS), acme)
    sealed = path.read_bytes()
    for name, version in (("intents", 2), ("others", 1)):
        path_of(tmp_path, name, version).write_bytes(sealed)
        with pytest.raises(LedgerError, match="cannot be opened"):
            load(tmp_path, name, version, acme)
    with pytest.raises(LedgerError, match="Train the student anew"):
        load(tmp_path, "intents", 1, globex)
    path.write_bytes(sealed[:-1])
    with pytest.raises(LedgerError, match="cannot be opened"):
        load(tmp_path, "intents", 1, acme)


def test_an_erased_organisation_s_students_are_gone_for_good(tmp_path: Path, captured: Captured) -> None:
    save(tmp_path, "intents", 1, Table.made(PAIRS), captured.sealer("acme", make=True))
    captured.erase(org="acme")
    with pytest.raises(LedgerError, match="cannot be opened"):
        load(tmp_path, "intents", 1, captured.sealer("acme", make=True))


def test_a_removed_one_is_told_as_gone(tmp_path: Path, captured: Captured) -> None:
    sealer = captured.sealer("acme", make=True)
    save(tmp_path, "intents", 1, Table.made(PAIRS), sealer)
    remove(tmp_path, "intents", 1)
    remove(tmp_path, "intents", 1)
    with pytest.raises(LedgerError, match=r"is gone.*jevons students withdraw intents"):
        load(tmp_path, "intents", 1, sealer)


def test_what_is_no_student_is_refused() -> None:
    whole = pack(Table.made(PAIRS))
    assert unpack(whole).answer(PAIRS[0][0], None) is not None
    other = whole.replace(b'"table"', b'"tablo"'), whole.replace(b'"|u1"', b'"|O8"'), whole.replace(b'"digests"', b'"digestz"')
    for changed in (b"", whole[:40], whole[: len(whole) // 2], *other):
        with pytest.raises(ValueError, match=r"."):
            unpack(changed)


def test_numbers_as_stretches() -> None:
    assert stretches([5, 1, 2, 3, 9, 5]) == ((1, 3), (5, 5), (9, 9)) and stretches([]) == ()
