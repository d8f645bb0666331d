"""The document: fans in order, months as the calendar has them, levers by the same draws, and what is said of a short history."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from jevons.economics.forecast.document import Fan, Forecast
from jevons.economics.forecast.fan import bars, fan
from jevons.economics.forecast.report import Own, forecast
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.ledger.bill import bill
from jevons.ledger.ops import Imported, ImportRow, Key, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.economics.forecast.using import FLASH, NOW, SONNET, TODAY, company, runs
from tests.economics.planting import row, write

DAY_MS = 86_400_000
LEVERS = ("cache=+10", "route=30%", "route=0%", "steps=5", "swap=claude-sonnet-4-5:gemini-2.5-flash")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return company(tmp_path_factory.mktemp("report") / "ledger.db")


@pytest.fixture(scope="module")
def found(ledger: Path) -> Forecast:
    made = forecast(
        ledger,
        6,
        today=TODAY,
        levers=LEVERS,
        scenarios=("gartner-2030", "cost=0.5,by=2027-06-01,pass=1"),
        budget=Own(200 * 10**9, "month"),
    )
    assert made is not None
    return made


def fans(found: Forecast) -> list[Fan]:
    several = [found.months, *found.levers, *found.scenarios]
    return [
        found.total_nusd,
        found.total_tokens,
        *(month.bill_nusd for month in found.months),
        *(month for one in several[1:] for month in one.months),
    ]  # type: ignore[union-attr]


def test_every_fan_opens_and_is_of_whole_nano_dollars(found: Forecast) -> None:
    for one in fans(found):
        values = msgspec.structs.astuple(one)
        assert list(values) == sorted(values) and all(isinstance(value, int) and value >= 0 for value in values)
    widths = [month.bill_nusd.p90 / month.bill_nusd.p10 for month in found.months]
    assert widths[0] < widths[1] < widths[-1]


def test_the_running_month_has_what_was_spent_and_is_in_no_sum(found: Forecast, ledger: Path) -> None:
    assert [month.month for month in found.months] == ["2026-11", "2026-12", *(f"2027-0{n}" for n in range(1, 6))]
    first = found.months[0]
    assert first.spent_nusd == bill(ledger, since_ms=(NOW - 21) * DAY_MS)["total_nusd"]
    assert first.spent_nusd < first.bill_nusd.p2_5 and first.bill_nusd.p50 == pytest.approx(first.spent_nusd * 30 / 21, rel=0.05)
    assert [month.spent_nusd for month in found.months[1:]] == [0] * 6
    assert found.total_nusd.p50 == pytest.approx(sum(month.bill_nusd.p50 for month in found.months[1:]), rel=0.1)


def test_a_lever_is_laid_over_the_same_draws(found: Forecast) -> None:
    by_name = {one.lever: one for one in found.levers}
    nothing = by_name["route=0%"]
    assert (
        nothing.total_nusd == found.total_nusd
        and set(msgspec.structs.astuple(nothing.change_nusd)) == {0}
        and nothing.today_nusd == 0
    )
    assert all(by_name[name].change_nusd.p90 < 0 and by_name[name].today_nusd < 0 for name in ("cache=+10", "steps=5"))
    # Ten points of cache are ten times one point, as the formula is linear in it.
    slopes = {one.lever: one.nusd_per_point for one in found.slopes}
    assert by_name["cache=+10"].today_nusd == pytest.approx(10 * slopes["cache"], rel=1e-6)
    assert by_name["route=30%"].today_nusd == pytest.approx(30 * slopes["route"], rel=1e-6)
    assert by_name["steps=5"].today_nusd == pytest.approx(-50 * slopes["steps"] * _agents(found), rel=0.02)
    assert by_name[LEVERS[-1]].today_nusd == pytest.approx(100 * slopes["swap"], rel=1e-6)


def _agents(found: Forecast) -> float:
    """The agent's share of the bill: its runs have ten calls, the reader's one."""
    amounts = [one.nusd_a_month for one in found.segments]
    return amounts[0] / sum(amounts)


def test_a_short_history_says_how_long_it_is_and_what_is_prior(found: Forecast) -> None:
    assert (found.weeks, found.per, found.cost, found.estimated) == (12, "week", "billed", True)
    weights = [month.history_weight for month in found.months]
    assert weights == sorted(weights, reverse=True) and weights[0] > 0.9 and 0.3 < weights[-1] < 0.4
    assert found.notes[0].startswith("History is short: there are 12 weeks, a forecast so far ahead wants 27 weeks.")
    assert all(basis.source and basis.reading for basis in found.priors)
    assert {price.tier for price in found.prices} == {"frontier", "commodity"} and all(
        price.floor_source for price in found.prices
    )


def test_scenarios_have_their_break_even(found: Forecast) -> None:
    gartner, own = found.scenarios
    assert (gartner.break_even, gartner.tokens_per_task, gartner.bill_factor) == (10, (5, 30), pytest.approx((0.5, 3)))
    assert (own.break_even, own.break_even_passed_on, own.begins) == (2, 2, "2026-11-22")


def test_a_budget_is_looked_at(found: Forecast) -> None:
    [one] = found.exhaustion
    assert (one.name, one.per, one.posted_nusd) == ("budget", "month", found.months[0].spent_nusd)
    assert len(one.windows) == 2 and one.windows[0].probability <= one.probability


def test_long_history_needs_no_excuse(tmp_path: Path) -> None:
    write(tmp_path / "ledger.db", runs(range(NOW - 7 * 30, NOW), "a", "x", SONNET, a_day=1))
    made = forecast(tmp_path / "ledger.db", 3, today=TODAY)
    assert made is not None and not made.notes[0].startswith("History is short")


def test_two_days_are_continued_by_priors_alone(tmp_path: Path) -> None:
    write(tmp_path / "ledger.db", runs(range(NOW - 2, NOW), "a", "x", SONNET))
    made = forecast(tmp_path / "ledger.db", 12, today=TODAY)
    assert made is not None and {month.history_weight for month in made.months} == {0}
    assert "there are 2 days" in made.notes[0] and "continued by priors alone: a x anthropic/sonnet" in made.notes[1]
    assert made.total_nusd.p90 > 5 * made.total_nusd.p10  # and it looks like it
    assert fan(made).startswith("<svg") and bars(made).startswith("<svg")


def test_nothing_before_today_is_no_forecast(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "ledger.db").close()
    assert forecast(tmp_path / "ledger.db", today=TODAY) is None


def test_levers_and_scenarios_that_make_no_sense_are_refused(ledger: Path) -> None:
    with pytest.raises(UnitCostError, match="no lever"):
        forecast(ledger, today=TODAY, levers=("park=3",))
    with pytest.raises(UnknownFact, match="no price of 'gpt-9'"):
        forecast(ledger, today=TODAY, levers=("route=10%:gpt-9",))
    with pytest.raises(UnknownFact, match="no scenario 'moore'"):
        forecast(ledger, today=TODAY, scenarios=("moore",))


def test_what_a_free_tier_serves_has_its_list_price_for_what_comes_more(tmp_path: Path) -> None:
    days = range(NOW - 28, NOW)
    paid = [row(place, work, 1) for place, work in enumerate(runs(days, "s", "agent", SONNET))]
    free = [row(10**6 + place, work, 1) for place, work in enumerate(runs(days, "s", "reader", FLASH, a_day=1, calls=1))]
    settings = KeySettings(team="s", source="litellm")
    told = tuple(ImportRow(one.digest, msgspec.structs.replace(one.entry, billed_nusd=0, tariff="billed=no")) for one in free)
    store = SqliteStore(tmp_path / "ledger.db", synchronous="OFF")
    store.apply([KeyCreated(Key(1, "s", bytes(32), "", 0, settings=settings)), Imported((*paid, *told))])
    store.close()
    swap = f"swap=claude*:{FLASH.name}"
    made = forecast(tmp_path / "ledger.db", 1, today=TODAY, levers=(swap, "route=100%"), paths=50)
    assert made is not None and made.cost == "billed"
    now = sum(one.nusd_a_month for one in made.segments)
    at_list = sum(count * rate for count, rate in zip((20_000, 60_000, 0, 4_000), FLASH.rates, strict=True))
    a_run = sum(count * rate for count, rate in zip((20_000, 60_000, 0, 4_000), SONNET.rates, strict=True))
    for lever in made.levers:
        assert (now + lever.today_nusd) / now == pytest.approx(at_list / a_run, rel=1e-6)
    assert f"Not billed (a free tier, a subscription): {FLASH.name}." in " ".join(made.notes)


def test_pictures_stand_by_themselves(found: Forecast) -> None:
    picture = fan(found)
    root = ET.fromstring(picture)
    drawn = [part.get("class") for part in root.iter() if part.tag.endswith("path")]
    assert {"b95", "b80", "b50", "line past", "line median", "line s0", "line s1", "budget line"} <= set(drawn)
    texts = [part.text or "" for part in root.iter() if part.tag.endswith("text")]
    assert any(text.startswith("gartner-2030 $") for text in texts) and any("12 weeks of history" in text for text in texts)
    assert "2027-05" in picture and "in eight of ten paths" in picture
    rows = [part.text for part in ET.fromstring(bars(found)).iter() if part.tag.endswith("text")]
    assert "cache=+10" in rows and "What levers change" in rows


def test_where_autoets_would_have_joined_and_cannot_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than three years, read by the month: three whole seasons."""
    years = company(tmp_path / "years.db", weeks=170, every=30)
    whole = forecast(years, 2, today=TODAY, paths=200)
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    light, young = forecast(years, 2, today=TODAY, paths=200), forecast(company(tmp_path / "weeks.db"), 2, today=TODAY, paths=200)
    assert whole is not None and light is not None and young is not None
    assert (whole.per, whole.without, light.without, young.without) == ("month", (), ("statsforecast",), ())
    [note] = [note for note in light.notes if "AutoETS" in note]
    assert note.endswith(f"It comes with: `{sys.executable} -m pip install 'statsforecast>=2'`")
    assert not any("AutoETS" in note for note in (*whole.notes, *young.notes))
