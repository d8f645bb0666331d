"""`jevons demo`: a ledger of its own that says of every row that it is demo, the same on every machine, and never somebody's own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import date
from pathlib import Path

import apsw
import pytest

from jevons.imports import demo
from jevons.ledger.bill import check, reading
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold, make_key, request_ids
from tests.running import ROOT, START_TIMEOUT_S, STOP_TIMEOUT_S

LAST = date(2026, 11, 21)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    environ = {**os.environ, "JEVONS_HOME": str(folder.parent / "own"), "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-m", "jevons", "demo", str(folder)], env=environ, check=True, capture_output=True)
    assert not (folder.parent / "own").exists()
    return folder


def asked(jevons: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, object]:
    monkeypatch.setenv("JEVONS_HOME", str(folder))
    found: dict[str, object] = jevons(*arguments, "--json").json
    return found


def test_every_row_is_marked(filled: Path) -> None:
    with reading(filled / "ledger.db") as db:
        assert db.execute("SELECT DISTINCT source FROM entries").fetchall() == [("demo",)]
        assert (
            db.execute("SELECT count(*) FROM keys WHERE coalesce(settings ->> 'source', '') <> 'demo' OR revoked_ms IS NULL").get
            == 0
        )
        assert db.execute("SELECT count(*) FROM keys WHERE name NOT LIKE 'demo:%' OR settings ->> 'org' <> 'demo'").get == 0
        assert db.execute("SELECT count(*) FROM rollup_minute").get == 0
    assert check(filled / "ledger.db") == []


@pytest.mark.parametrize("command", ["bill", "explain", "rerate", "runs", "paradox", "savings", "top --once"])
def test_every_command_says_so(filled: Path, jevons: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("JEVONS_HOME", str(filled))
    done = jevons(*command.split(), "--json")
    assert done.status == 0 and done.json and done.err.startswith("DEMO FIGURES: ")


def test_its_story_is_the_same_everywhere() -> None:
    first, second = (list(demo.records(LAST)) for _ in range(2))
    assert first == second and len({one.identity for one in first}) == len(first)
    assert [one.at_ms for one in first] == sorted(one.at_ms for one in first)
    shifted = list(demo.records(date(2026, 11, 14)))
    assert len(shifted) == len(first) and first[0].at_ms - shifted[0].at_ms == 7 * demo.DAY_MS
    days = {one.at_ms // demo.DAY_MS for one in first}
    assert len(days) == demo.DAYS and max(days) == (LAST - date(1970, 1, 1)).days


def test_what_is_told_of_it_happens(filled: Path, jevons: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices fall, depth rises, the paradox holds; a migration, a broken cache and a new team are in its month."""
    found = asked(jevons, filled, monkeypatch, "paradox")
    assert (found["verdict"], found["driver"], found["demo"], found["sources"]) == ("holds", "depth", True, ["demo"])
    assert "demo figures" in str(found["sentences"])
    with reading(filled / "ledger.db") as db:
        teams = db.execute(
            "SELECT settings ->> 'team', max(day) - min(day) FROM rollup_day JOIN keys ON id = key_id GROUP BY 1 ORDER BY 2"
        ).fetchall()
        models = {model for (model,) in db.execute("SELECT DISTINCT target FROM rollup_day")}
    assert teams[0] == ("operations", demo.DAYS - demo.JOINED - 1) and {days for _, days in teams[1:]} == {demo.DAYS - 1}
    assert {"gpt-4o", "gpt-5-mini", "claude-sonnet-4-0", "claude-sonnet-4-5"} <= models


def test_one_of_today_is_kept_an_older_one_made_anew(filled: Path, jevons: Run, tmp_path: Path) -> None:
    before = (filled / "ledger.db").stat().st_mtime_ns
    assert jevons("demo", str(filled), "--json").json["rows"] > 30_000
    assert (filled / "ledger.db").stat().st_mtime_ns == before
    mark = json.loads((filled / "demo.json").read_text())
    (filled / "demo.json").write_text(json.dumps(mark | {"last": "2026-01-01"}))
    assert jevons("demo", str(filled), "--json").json["last"] == mark["last"]
    assert (filled / "ledger.db").stat().st_mtime_ns != before


def test_what_it_tells_fits_a_terminal(filled: Path, jevons: Run) -> None:
    """But for commands, which are pasted whole."""
    told = jevons("demo", str(filled)).out
    assert "every row says that it is demo" in " ".join(told.split()) and "  - the airline agent begins" in told
    assert all(len(line) <= 80 for line in told.replace(str(filled), "demo").splitlines() if "jevons" not in line)


def test_never_a_home_of_ones_own(jevons: Run, home: Path, tmp_path: Path) -> None:
    done = jevons("demo", str(home))
    assert done.status == 1 and "is your own JEVONS_HOME" in done.err and not home.exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    done = jevons("demo", str(other))
    assert done.status == 1 and "is no demo's" in done.err and [file.name for file in other.iterdir()] == ["letter.txt"]


def test_real_calls_are_never_taken_away(jevons: Run, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "used"
    folder.mkdir(mode=0o700)
    (folder / "demo.json").write_text('{"last": ""}')
    store, following = SqliteStore(folder / "ledger.db"), request_ids()
    hold = make_hold(following())
    store.apply([KeyCreated(make_key()), Opened(hold), Posted(make_entry(hold, 5))])
    store.close()
    done = jevons("demo", str(folder))
    assert done.status == 1 and "calls that are no demo" in done.err
    db = apsw.Connection(str(folder / "ledger.db"))
    assert db.execute("SELECT count(*) FROM entries").get == 1
    db.close()


def test_served_its_link_opens(filled: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-m", "jevons", "demo", str(filled), "--serve", "--json"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            assert process.poll() is None and time.monotonic() < deadline
            with suppress(urllib.error.URLError), urllib.request.urlopen(url.partition("#")[0], timeout=START_TIMEOUT_S) as page:
                assert page.status == 200
                break
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()


def test_the_excerpt_is_small_and_says_whose_it_is() -> None:
    file = ROOT / "src/jevons/imports/data/demo_traffic.json"
    assert file.stat().st_size < 10**6
    about = json.loads(file.read_text())["about"]
    assert "CC BY 4.0" in about["azure_conv"] and "Apache-2.0" in about["mooncake"] and "MIT" in about["tau_airline"]
