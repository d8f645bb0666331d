"""Scores as probabilities: as often right as they say, in the student's own order."""

import random

import numpy as np
import pytest

from jevons.learn.student import Tried
from jevons.learn.student_calibrated import Calibrated
from jevons.learn.student_table import Table

TABLE = Table.made([("a", "b")])


def tries(count: int, *, ceiling: float, seed: int) -> list[Tried]:
    """A student that is too sure of itself: right in ceiling x score^2."""
    chance = random.Random(seed)
    return [Tried(score, chance.random() > ceiling * score**2) for score in (chance.random() for _ in range(count))]


@pytest.mark.parametrize("ceiling", [1.0, 0.9])
def test_of_what_is_scored_alike_as_many_are_right(ceiling: float) -> None:
    fitted = Calibrated.fitted(TABLE, tries(4_000, ceiling=ceiling, seed=1))
    later = tries(4_000, ceiling=ceiling, seed=2)
    scores = np.array([fitted.score(one.score) for one in later])
    right = np.array([not one.harm for one in later])
    for part in np.array_split(np.argsort(scores), 8):
        assert abs(scores[part].mean() - right[part].mean()) < 0.07
    assert scores.max() < ceiling


def test_the_order_stays() -> None:
    fitted = Calibrated.fitted(TABLE, tries(300, ceiling=0.8, seed=3))
    scores = [fitted.score(place / 200) for place in range(201)]
    assert scores == sorted(scores) and len(set(scores)) == len(scores) and scores[0] > 0 and scores[-1] < 1


def test_few_trials_are_no_certainty() -> None:
    assert Calibrated.fitted(TABLE, []).score(0.9) == pytest.approx(0.5, abs=0.01)
    assert Calibrated.fitted(TABLE, [Tried(0.9, False)] * 3).score(0.9) == pytest.approx(0.8, abs=0.01)
    assert Calibrated.fitted(TABLE, [Tried(0.9, True)] * 8).score(0.9) == pytest.approx(0.1, abs=0.01)


def test_what_the_student_does_not_know_stays_unknown() -> None:
    fitted = Calibrated.fitted(TABLE, [])
    assert fitted.answer("c", None) is None and not fitted.embeds
    told = fitted.answer("a", None)
    assert told is not None and told.text == "b"
