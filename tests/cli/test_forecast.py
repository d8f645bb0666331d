"""jevons forecast: for people and as JSON, with limits in the ledger, and with nothing in it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jevons.core.entry import first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.economics.forecast.document import Forecast
from jevons.ledger.ops import Op, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold

DAY_MS = 86_400_000
CALL_NUSD = 1_000_000_000
QUICK = ("--paths", "200")


def fill(home: Path, days: int, model: str = "gpt-5") -> None:
    """A call of a dollar on each of the last days, and one today."""
    store = SqliteStore(home / "ledger.db")
    now = int(time.time() * 1000)
    ops: list[Op] = []
    for back in range(days + 1):
        hold = make_hold(first_id_of_ms(now - back * DAY_MS), 10**12, target=model, run_id=f"run-{back}", agent="bot")
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
    shown = jevons("forecast", *QUICK, "--months", "3", "--lever", "steps=1", "--lever", "cache=+20", "--budget", "45")
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
    document = jevons("forecast", *QUICK, "--months", "3", "--scenario", "none", "--budget", "45", "--json").json
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
    done = jevons("forecast", *QUICK, "--svg", str(svg), "--levers-svg", str(levers), "--per", "total", "--budget", "1000")
    assert done.status == 0 and f"Wrote {svg}." in done.err and f"Wrote {levers}." in done.err
    assert "The bill, where it goes" in svg.read_text() and "by one percentage point" in levers.read_text()


def test_nothing_to_continue_is_said(jevons: Run, home: Path) -> None:
    missing = jevons("forecast")
    assert missing.status == 1 and "There is no ledger" in missing.err
    assert not jevons("keys", "create", "ci").status
    assert "Nothing is on record before today" in jevons("forecast").out
    document = jevons("forecast", *QUICK, "--json").json
    assert document["months"] == [] and set(Forecast.__struct_fields__) == set(document) and document["total_nusd"] is None


def test_what_cannot_be_read_is_one_line(jevons: Run, home: Path) -> None:
    assert not jevons("keys", "create", "ci").status
    fill(home, 20)
    for arguments, said in (
        (("--lever", "park=1"), "cache=+20"),
        (("--lever", "swap=gpt-5:nobody-made-this"), "no price of 'nobody-made-this'"),
        (("--scenario", "moore"), "there are: gartner-2030, rubin-10x"),
    ):
        done = jevons("forecast", *QUICK, *arguments)
        assert done.status == 1 and said in done.err and "Traceback" not in done.err
    for arguments, said in (
        (("--budget", "0"), "more than nothing"),
        (("--budget", "-5"), "more than nothing"),
        (("--per", "week"), "--budget 500"),
    ):
        done = jevons("forecast", *QUICK, *arguments)
        assert done.status == 2 and said in done.err


def test_what_is_announced_and_what_a_model_costs_to_make_is_said(jevons: Run, home: Path) -> None:
    assert not jevons("keys", "create", "ci").status
    fill(home, 20, model="gpt-oss-120b")
    rise = datetime.now(UTC).date() + timedelta(40)
    price = '[[price]]\nprovider = "openai"\nmodel = "gpt-oss-120b"\ninput = 1\noutput = 10\n'
    (home / "prices.toml").write_text(
        f'{price}\n[[price]]\nprovider = "openai"\nmodel = "gpt-oss-120b"\nfrom = {rise}\ninput = 2\n'
    )
    shown = jevons("forecast", *QUICK, "--months", "3", "--budget", "1", "--per", "total")
    assert f"Announced for {rise}: gpt-oss-120b × 2 in, × 1 out (price book" in shown.out
    assert "Floor of gpt-oss-120b: $0.0" in shown.out and "worked out" in shown.out
    assert "used up" in shown.out and "100 %" in shown.out


def test_what_costs_nothing_is_a_bill_of_nothing(jevons: Run, home: Path, tmp_path: Path) -> None:
    assert not jevons("keys", "create", "ci").status
    store = SqliteStore(home / "ledger.db")
    for back in range(1, 15):
        hold = make_hold(first_id_of_ms(int(time.time() * 1000) - back * DAY_MS), 0, target="local")
        store.apply([Opened(hold), Posted(make_entry(hold, 0, usage=Usage(input=100, output=10), lines=()))])
    store.close()
    document = jevons(
        "forecast", *QUICK, "--json", "--svg", str(tmp_path / "fan.svg"), "--levers-svg", str(tmp_path / "levers.svg")
    ).json
    assert document["cost"] == "list" and document["total_nusd"]["p97_5"] == 0 < document["total_tokens"]["p50"]
    assert "<svg" in (tmp_path / "fan.svg").read_text()
