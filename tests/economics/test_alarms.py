"""Alarms: prices of the real book and of overrides that rise, lately or soon, and nothing else."""

from datetime import date
from pathlib import Path

import pytest

from jevons.economics.alarms import AHEAD_DAYS, BEHIND_DAYS, of_history, of_models
from jevons.meter.pricebook import PriceBook, open_book
from tests.economics.pricing import TODAY

OVERRIDES = """
[[price]]
provider = "acme"
model = "trial"
until = 2026-12-15
free = true

[[price]]
provider = "acme"
model = "trial"
from = 2026-12-15
input = "1"
output = "4"

[[price]]
provider = "acme"
model = "steady"
input = "1"
output = "4"

[[price]]
provider = "acme"
model = "cheaper"
until = 2026-11-01
input = "2"
output = "8"

[[price]]
provider = "acme"
model = "cheaper"
from = 2026-11-01
input = "1"
output = "4"

[[price]]
provider = "acme"
model = "night"
input = "2"
output = "8"

[[price]]
provider = "acme"
model = "night"
hours = "22:00-06:00"
input = "1"
output = "4"
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    home: Path = tmp_path_factory.mktemp("home")
    (home / "prices.toml").write_text(OVERRIDES)
    return open_book(home)


def test_what_vendors_have_announced_is_an_alarm_for_who_uses_it(book: PriceBook) -> None:
    watched = of_models(book, [("google", "gemini-4-argon"), ("somewhere", "gemini-3.8-flash")], TODAY)
    argon, flash = watched.alarms
    assert (argon.day, argon.what, argon.announced) == (date(2026, 12, 1), "introduction ends", True)
    assert (argon.before, argon.after) == (
        {"input": 2_000_000_000, "output": 10_000_000_000, "cached": 100_000_000},
        {"input": 4_000_000_000, "output": 20_000_000_000, "cached": 200_000_000},
    )
    assert argon.rises == {"input": 1.0, "output": 1.0, "cached": 1.0}
    assert (flash.day, flash.provider) == (date(2027, 1, 1), "google")


def test_a_rise_is_an_alarm_for_a_quarter(book: PriceBook) -> None:
    used = [("mistral", "mistral-large-4")]
    (rise,) = of_models(book, used, TODAY).alarms  # the cut nine days later is none
    assert (rise.day, rise.what, rise.announced) == (date(2026, 10, 20), "rise", False)
    assert of_models(book, used, date(2026, 10, 1)).alarms[0].announced
    assert of_models(book, used, date(2027, 2, 1)).alarms == []


def test_a_free_price_that_ends_is_said_to_be_one(book: PriceBook) -> None:
    (alarm,) = of_models(book, [("acme", "trial")], TODAY).alarms
    assert (alarm.day, alarm.what, alarm.before, alarm.rises["input"]) == (
        date(2026, 12, 15), "free price ends", {"input": 0, "output": 0, "cached": 0}, float("inf"),
    )  # fmt: skip


def test_a_cut_a_steady_price_and_a_nightly_tariff_are_none(book: PriceBook) -> None:
    watched = of_models(book, [("acme", "steady"), ("acme", "cheaper"), ("acme", "night"), ("openai", "gpt-4o")], TODAY)
    assert (watched.alarms, watched.models, watched.unpriced) == ([], 4, ())


def test_a_model_is_looked_at_once_and_an_unknown_one_is_said(book: PriceBook) -> None:
    watched = of_models(book, [("google", "gemini-4-argon"), (None, "gemini-4-argon"), ("acme", "nobody-knows-this")], TODAY)
    assert (len(watched.alarms), watched.models, watched.unpriced) == (1, 1, ("nobody-knows-this",))


def test_the_price_history_knows_the_announced_rises_and_the_latest() -> None:
    watched = of_history(TODAY)
    announced = [(a.day.isoformat(), a.model) for a in watched.alarms if a.announced]
    assert announced == [
        ("2026-12-01", "gemini-4-argon"), ("2027-01-01", "gemini-3.6-flash"), ("2027-01-01", "gemini-3.7-flash"),
        ("2027-01-01", "gemini-3.8-flash"),
    ]  # fmt: skip
    since = [(a.day.isoformat(), a.what, a.model) for a in watched.alarms if not a.announced]
    assert since == [("2026-11-21", "rise", "gpt-oss-120b"), ("2026-10-20", "dearer successor", "mistral-large-4")]
    assert all((TODAY - a.day).days <= BEHIND_DAYS and (a.day - TODAY).days <= AHEAD_DAYS for a in watched.alarms)


def test_there_was_a_time_without_alarms() -> None:
    assert of_history(date(2022, 3, 1)).alarms == []
