"""Days on which budgets are used up, worked out by hand on paths that are known."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from jevons.economics.forecast.exhaustion import Budget, budgets, exhaustion
from jevons.economics.forecast.segments import days_since_1970, history
from jevons.economics.forecast.simulate import Array
from tests.economics.forecast.using import NOW, SONNET, TODAY, runs
from tests.economics.planting import write

UNTIL = days_since_1970(date(2027, 3, 1))
BORDERS = tuple(range(NOW, UNTIL + 7, 7))


def paths(*a_day: float) -> Array:
    """One segment; each path spends the same every day."""
    return np.broadcast_to(np.array(a_day)[None, :, None], (1, len(a_day), len(BORDERS) - 1))


def total(limit: int, posted: int = 0, share: float = 1.0) -> Budget:
    return Budget("b", "everything", "total", limit, posted, (share,))


def test_a_total_is_used_up_on_the_day_on_which_the_sum_gets_there() -> None:
    found = exhaustion(total(1_000, posted=900), paths(10.0), 0.0, BORDERS, UNTIL)
    assert found.dates == ("2026-12-01",) * 3  # ten days from the 22nd: the 1st is the tenth
    assert (found.probability, found.exhausted, found.windows[0].probability) == (1.0, False, 1.0)


def test_dates_are_quantiles_over_paths_and_none_is_later_than_is_forecast() -> None:
    found = exhaustion(total(1_000), paths(100.0, 50.0, 25.0, 1.0), 0.0, BORDERS, UNTIL)
    assert found.dates == ("2026-12-01", "2026-12-31", None) and found.probability == 0.75


def test_what_is_fixed_counts_and_shares_divide() -> None:
    found = exhaustion(Budget("b", "x", "total", 100, 0, (0.5,), 1.0), paths(10.0), 5.0, BORDERS, UNTIL)
    assert found.dates[1] == "2026-12-01"  # 10 x 0.5 + 5 a day
    assert exhaustion(total(100, share=0.0), paths(10.0), 5.0, BORDERS, UNTIL).probability == 0


def test_months_begin_anew() -> None:
    # Nine days are left of November, of which 100 is spent; December has 31.
    found = exhaustion(Budget("b", "x", "month", 300, 100, (1.0,)), paths(10.0, 22.5), 0.0, BORDERS, UNTIL)
    november, december = found.windows
    assert (november.start, november.probability, november.median_day) == ("2026-11-01", 0.5, "2026-11-30")
    assert (december.start, december.probability, december.median_day) == ("2026-12-01", 1.0, "2026-12-22")
    assert found.dates == ("2026-11-30", "2026-12-30", "2026-12-30")


@pytest.mark.parametrize(("per", "starts"), [("week", ["2026-11-16", "2026-11-23"]), ("year", ["2026-01-01"])])
def test_weeks_begin_on_mondays_and_a_year_that_is_cut_off_is_left_out(per: str, starts: list[str]) -> None:
    found = exhaustion(Budget("b", "x", per, 10**6, 0, (1.0,)), paths(1.0), 0.0, BORDERS, UNTIL)  # type: ignore[arg-type]
    assert [window.start for window in found.windows] == starts and found.probability == 0


def test_what_is_used_up_already_is_so_today() -> None:
    found = exhaustion(total(100, posted=100), paths(0.0), 0.0, BORDERS, UNTIL)
    assert found.exhausted and found.dates[0] == "2026-11-22"


def test_today_counts_once() -> None:
    # 50 of today's 100 are posted: 950 and a whole day are 1050, a day before they are not.
    account = Budget("b", "x", "total", 1_051, 1_000, (1.0,), today_nusd=50)
    assert exhaustion(account, paths(100.0), 0.0, BORDERS, UNTIL).dates[0] == "2026-11-23"
    # A day that had more than was expected of it has had it.
    already = account._replace(limit_nusd=1_000)
    assert exhaustion(already, paths(10.0), 0.0, BORDERS, UNTIL).dates[0] == "2026-11-22"


def test_of_an_account_todays_calls_are_known_and_a_keys_total_is_billed_money(tmp_path: Path) -> None:
    works = runs(range(NOW - 28, NOW + 1), "s", "agent", SONNET)
    write(tmp_path / "ledger.db", works)
    a_day = sum(work.nusd for work in works) // 29
    key = {"subject": "key:s", "limit_nusd": 10**12, "posted_nusd": 29 * a_day, "mode": "enforce"}
    standing = {"limits": [], "keys": [key]}
    billed, listed = (history(tmp_path / "ledger.db", TODAY, cost) for cost in ("billed", "list"))
    assert billed is not None and listed is not None
    [account], notes = budgets(standing, tmp_path / "ledger.db", billed)
    assert (account.today_nusd, account.shares, notes) == (a_day, (1.0,), [])
    none, [note] = budgets(standing, tmp_path / "ledger.db", listed)
    assert none == [] and "key:s (usd in total)" in note
