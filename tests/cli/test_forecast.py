"""jevons forecast: for people and as JSON, with limits in the ledger, and with nothing in it."""

import time
from pathlib import Path

from jevons.core.entry import first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.ledger.ops import Op, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold

DAY_MS = 86_400_000
CALL_NUSD = 1_000_000_000


def fill(home: Path, days: int) -> None:
    """A call of a dollar on each of the last days, and one today."""
    store = SqliteStore(home / "ledger.db")
    now = int(time.time() * 1000)
    ops: list[Op] = []
    for back in range(days + 1):
        hold = make_hold(first_id_of_ms(now - back * DAY_MS), 10**12, target="gpt-5", run_id=f"run-{back}", agent="bot")
        lines = (Line("input", 500_000, CALL_NUSD // 2, 1), Line("output", 50_000, CALL_NUSD // 2, 1))
        entry = make_entry(hold, CALL_NUSD, usage=Usage(input=500_000, output=50_000), lines=lines)
        ops += [Opened(hold), Posted(entry)]
    store.apply(ops)
    store.close()


def test_for_people_with_limits_and_budgets(jevons: Run, home: Path) -> None:
    assert not jevons("keys", "create", "ci", "--team", "platform", "--limit-usd", "100").status
    fill(home, 60)
    assert not jevons("limits", "set", "monthly", "--scope", "team", "--usd", "40", "--per", "month").status
    assert not jevons("limits", "set", "hourly", "--scope", "key", "--usd", "1", "--per", "hour").status
    shown = jevons("forecast", "--months", "3", "--lever", "steps=1", "--lever", "cache=+20", "--budget", "45")
    assert shown.status == 0, shown.err
    for said in (
        "History is short: there are 8 weeks",
        "platform bot openai/gpt",
        "team:default/platform",
        "key:ci",
        "gartner-2030",
        "rubin-10x",
        "10 ×",
        "steps=1",
    ):
        assert said in shown.out, said
    assert "hourly (usd per hour)" in shown.out
    document = jevons("forecast", "--months", "3", "--scenario", "none", "--budget", "45", "--json").json
    assert document["estimated"] and not document["scenarios"] and len(document["months"]) == 4
    found = {(one["name"], one["subject"], one["per"]): one for one in document["exhaustion"]}
    assert set(found) == {
        ("budget", "everything", "month"),
        ("monthly", "team:default/platform", "month"),
        ("key", "key:ci", "total"),
    }
    assert (
        found["key", "key:ci", "total"]["posted_nusd"] == 61 * CALL_NUSD
        and found["key", "key:ci", "total"]["limit_nusd"] == 100 * CALL_NUSD
    )
    assert found["key", "key:ci", "total"]["probability"] > 0.9  # 39 dollars are left, of about 30 a month


def test_pictures_are_written(jevons: Run, home: Path, tmp_path: Path) -> None:
    assert not jevons("keys", "create", "ci").status
    fill(home, 20)
    svg, levers = tmp_path / "fan.svg", tmp_path / "levers.svg"
    done = jevons("forecast", "--svg", str(svg), "--levers-svg", str(levers), "--per", "total", "--budget", "1000")
    assert done.status == 0 and f"Wrote {svg}." in done.err and f"Wrote {levers}." in done.err
    assert "The bill, where it goes" in svg.read_text() and "by one percentage point" in levers.read_text()


def test_nothing_to_continue_is_said(jevons: Run, home: Path) -> None:
    missing = jevons("forecast")
    assert missing.status == 1 and "There is no ledger" in missing.err
    assert not jevons("keys", "create", "ci").status
    assert "Nothing is on record before today" in jevons("forecast").out
    assert jevons("forecast", "--json").json["months"] == []


def test_what_cannot_be_read_is_one_line(jevons: Run, home: Path) -> None:
    assert not jevons("keys", "create", "ci").status
    fill(home, 20)
    for arguments, said in (
        (("--lever", "park=1"), "cache=+20"),
        (("--lever", "swap=gpt-5:nobody-made-this"), "no price of 'nobody-made-this'"),
        (("--scenario", "moore"), "there are: gartner-2030, rubin-10x"),
    ):
        done = jevons("forecast", *arguments)
        assert done.status == 1 and said in done.err and "Traceback" not in done.err
