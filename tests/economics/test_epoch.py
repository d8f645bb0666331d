"""Epoch's regression: to the digit from its own points, and within its interval from ours, whichever choice is made."""

from datetime import date

import pytest

from jevons.economics.epoch import PUBLISHED, Choice, choices, own_points, recovered
from tests.economics.pricing import TODAY


def test_our_arithmetic_gives_epochs_digits_from_epochs_points() -> None:
    own = own_points()
    assert (own.fit.factor_a_year, *own.fit.interval()) == pytest.approx(PUBLISHED, rel=1e-9)
    assert own.fit.n == 9 and round(own.fit.r2, 2) == 0.96


def test_our_files_give_a_figure_within_epochs_interval() -> None:
    ours = recovered(TODAY)
    assert ours is not None
    assert 8.3 <= ours.fit.factor_a_year <= 16.7
    assert ours.fit.factor_a_year == pytest.approx(11.2, abs=0.05)
    assert [(r.date.isoformat(), r.model) for r in ours.rows][:3] == [
        ("2021-11-20", "davinci"), ("2022-09-01", "davinci"), ("2023-03-01", "gpt-3.5-turbo"),
    ]  # fmt: skip


@pytest.mark.parametrize("choice", choices(TODAY), ids=lambda c: c.words)
def test_so_does_each_other_choice(choice: Choice) -> None:
    assert choice.agrees


def test_the_minima_do_not_depend_on_the_reporter() -> None:
    ours, _, maximum, minimum, *_ = choices(TODAY)
    assert ours.rows == maximum.rows == minimum.rows


def test_an_early_end_leaves_fewer_points_and_then_none() -> None:
    early = recovered(date(2023, 12, 31))
    assert early is not None and early.fit.n == 6
    assert recovered(date(2023, 3, 31)) is None and choices(date(2023, 3, 31)) == ()
