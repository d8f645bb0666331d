"""An import may be repeated, shuffled, cut anywhere and killed: what is in the ledger afterwards is the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jevons.imports.intake import CountedTwice
from jevons.imports.reading import Unreadable
from jevons.imports.traces import Added
from jevons.ledger.bill import check, reading
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.ledger.importing import marks
from jevons.meter.genai import ensure_book
from jevons.meter.pricebook import PriceBook
from tests.imports.doing import CANARY, NOW_S, SAMPLES, bring, entries, spend_rows, sums, write_lines
from tests.running import ROOT

ALL = (
    ("claude-code", "claude"),
    ("codex", "codex"),
    ("litellm", "litellm.jsonl"),
    ("litellm", "litellm.csv"),
    ("openrouter", "openrouter_generations.csv"),
    ("openrouter", "openrouter_days.csv"),
    ("openai", "openai_usage.json"),
    ("anthropic", "anthropic_usage.csv"),
    ("focus", "focus.csv"),
)
SEVERAL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_second_time_brings_nothing(home: Home, book: PriceBook, tmp_path: Path) -> None:
    for kind, name in ALL:
        bring(home, book, kind, SAMPLES / name)
    before = sums(home)
    for kind, name in ALL:
        again = bring(home, book, kind, SAMPLES / name)
        assert (again.fresh, again.rows, again.unchanged_files) == (0, 0, again.files)
        if (SAMPLES / name).is_file():  # under another name it is read, and known row by row
            copy = tmp_path / name
            copy.write_bytes((SAMPLES / name).read_bytes())
            read = bring(home, book, kind, copy)
            assert (read.fresh, read.grown) == (0, 0) and read.known > 0
    assert sums(home) == before


@SEVERAL
@given(seed=st.integers(0, 2**32))
def test_the_order_of_files_does_not_matter(book: PriceBook, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    files = [*(SAMPLES / "claude").rglob("*.jsonl")]
    straight, shuffled = (Home(tmp_path_factory.mktemp("order")) for _ in range(2))
    for file in files:
        bring(straight, book, "claude-code", file)
    random.Random(seed).shuffle(files)
    for file in files:
        bring(shuffled, book, "claude-code", file)
    without_run = [[row[:2] + row[3:] for row in sums(home)] for home in (straight, shuffled)]  # a copied call is in two sessions
    assert sorted(without_run[0]) == sorted(without_run[1])


@SEVERAL
@given(cut=st.integers(0, 5_200))
def test_a_file_may_be_cut_at_any_byte(book: PriceBook, tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """What is there first is brought, and then what has come; a row that was cut comes whole, or not yet."""
    folder = tmp_path_factory.mktemp("cut")
    whole, parts = Home(folder / "whole"), Home(folder / "parts")
    rows = spend_rows(12)
    file = write_lines(folder / "spend.jsonl", rows)
    bring(whole, book, "litellm", file)
    data = file.read_bytes()
    cut = 1 + cut % (len(data) - 1)
    file.write_bytes(data[:cut])
    bring(parts, book, "litellm", file)
    file.write_bytes(data)
    bring(parts, book, "litellm", file)
    assert sums(parts) == sums(whole)
    assert len(sums(whole)) == 12


def test_an_unfinished_day_comes_in_as_what_it_grew_by(home: Home, book: PriceBook) -> None:
    """And a sum that fell is set aside: entries are never edited."""
    bring(home, book, "openai", SAMPLES / "openai_usage.json")
    later = bring(home, book, "openai", SAMPLES / "openai_usage_later.json")
    assert (later.fresh, later.grown, later.known, later.set_aside) == (1, 1, 0, 1)
    assert later.set_aside_shown[0].reason == "it is in the ledger with larger sums"
    first, growth = (one for one in entries(home) if one["target"] == "gpt-4o-2024-08-06" and one["tariff"] == "")
    assert (first["input"] + growth["input"], growth["output"], growth["requests"]) == (3000, 500, 3)
    again = json.loads((SAMPLES / "openai_usage_later.json").read_text())
    again["data"][0]["results"] = again["data"][0]["results"][:1]
    again["data"][0]["results"][0]["output_tokens"] = 1_501
    file = home.path / "third.json"
    for known, grown in ((0, 1), (1, 0)):
        file.write_text(json.dumps(again))
        os.utime(file, ns=(time.time_ns(), time.time_ns()))
        third = bring(home, book, "openai", file)
        assert (third.known, third.grown) == (known, grown)
    assert sum(one["output"] for one in entries(home) if one["target"] == "gpt-4o-2024-08-06" and one["tariff"] == "") == 1_501


def test_pages_that_overlap_are_the_same_buckets(home: Home, book: PriceBook, tmp_path: Path) -> None:
    """Also where they have grown from one page to the next; and buckets that differ in a label which we do not know are two."""
    page = json.loads((SAMPLES / "openai_usage.json").read_text())
    first = page["data"][0]["results"][0]
    page["data"][0]["results"].append({**first, "some_new_group": "x", "output_tokens": 1})
    file = tmp_path / "pages.json"
    later = json.loads(json.dumps(page).replace('"output_tokens": 1000', '"output_tokens": 1001'))
    file.write_text(json.dumps(page) + "\n" + json.dumps(later))
    report = bring(home, book, "openai", file)
    assert (report.fresh, report.known) == (4, 4)
    assert sorted(one["output"] for one in entries(home)) == [1, 1001, 1001, 1001]
    [only] = tmp_path.glob("*.json")
    only.rename(tmp_path / "again.json")
    assert bring(home, book, "openai", tmp_path / "again.json").fresh == 0


def test_a_cost_that_grew(home: Home, book: PriceBook, tmp_path: Path) -> None:
    text = (SAMPLES / "openai_costs.csv").read_text()
    for number, amount in enumerate(("0.8958740000000000", "1.25", "1.25")):
        file = tmp_path / f"{number}.csv"
        file.write_text(text.replace("0.8958740000000000", amount))
        bring(home, book, "openai", file)
    assert [one["billed_nusd"] for one in entries(home)] == [895_874_000, 354_126_000]


def test_usage_and_costs_of_one_day_would_count_twice(home: Home, book: PriceBook) -> None:
    bring(home, book, "openai", SAMPLES / "openai_usage.json")
    with pytest.raises(CountedTwice, match=r"openai-usage of 2026-11-03 already.*either usage.*or costs"):
        bring(home, book, "openai", SAMPLES / "openai_costs.json")
    bring(home, book, "openai", SAMPLES / "openai_costs.csv")  # of another day
    assert {one["source"] for one in entries(home)} == {"openai-usage", "openai-costs"}


def test_a_dry_run_changes_nothing(home: Home, book: PriceBook) -> None:
    report = bring(home, book, "litellm", SAMPLES / "litellm.jsonl", dry_run=True)
    assert (report.fresh, report.set_aside, report.set_aside_file) == (9, 5, "")
    assert entries(home) == []
    assert bring(home, book, "litellm", SAMPLES / "litellm.jsonl").fresh == 9


def test_since(home: Home, book: PriceBook) -> None:
    """Earlier rows are passed over, and come when they are asked for."""
    day = int(datetime(2026, 10, 2, tzinfo=UTC).timestamp() * 1000)
    part = bring(home, book, "claude-code", SAMPLES / "claude", since_ms=day)
    assert (part.fresh, part.earlier) == (1, 7)
    assert bring(home, book, "claude-code", SAMPLES / "claude").fresh == 5


def test_what_was_not_written_to_since_is_not_opened(home: Home, book: PriceBook, tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    file.write_text((SAMPLES / "claude/-home-ann-shop/1111aaaa-0000-4000-8000-000000000001.jsonl").read_text())
    os.utime(file, (1, 1))
    assert bring(home, book, "claude-code", file, since_ms=10**12).rows == 0


def test_calls_that_may_still_be_written_to_wait(home: Home, book: PriceBook) -> None:
    at_s = datetime(2026, 10, 1, 8, 5, tzinfo=UTC).timestamp()
    fresh = bring(home, book, "claude-code", SAMPLES / "claude", now_s=at_s)
    assert (fresh.fresh, fresh.unsettled) == (1, 6)  # of 2025
    assert bring(home, book, "claude-code", SAMPLES / "claude", now_s=NOW_S).fresh == 5


def test_the_names_of_session_logs_are_not_kept(home: Home, book: PriceBook) -> None:
    bring(home, book, "claude-code", SAMPLES / "claude")
    bring(home, book, "litellm", SAMPLES / "litellm.jsonl")
    assert [len(name) for name in marks(home.ledger, "claude-code")] == [32] * 3
    assert list(marks(home.ledger, "litellm")) == [str((SAMPLES / "litellm.jsonl").absolute())]


def test_one_key_for_each_whose(home: Home, book: PriceBook, tmp_path: Path) -> None:
    rows = spend_rows(4)
    rows[3] = {**rows[3], "team_id": "search"}
    bring(home, book, "litellm", write_lines(tmp_path / "spend.jsonl", rows))
    assert len({one["key_id"] for one in entries(home)}) == 4


def test_a_prompt_in_the_place_of_a_name(home: Home, book: PriceBook, tmp_path: Path) -> None:
    rows = spend_rows(2)
    rows[0] = {**rows[0], "model": CANARY * 100}
    report = bring(home, book, "litellm", write_lines(tmp_path / "spend.jsonl", rows))
    assert (report.fresh, [one.reason for one in report.set_aside_shown]) == (1, ["one of its names is too long for a name"])
    session = {"type": "assistant", "timestamp": "2026-10-01T08:00:01Z", "sessionId": "s"}
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": CANARY * 100}
    message = {"id": "m", "model": "claude-opus-4-6", "usage": usage}
    report = bring(home, book, "claude-code", write_lines(tmp_path / "session.jsonl", [{**session, "message": message}]))
    assert (report.fresh, [one.reason for one in report.set_aside_shown]) == (0, ["one of its names is too long for a name"])


def test_files_that_are_not_there_or_are_something_else(home: Home, book: PriceBook, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="nowhere is not there"):
        bring(home, book, "litellm", tmp_path / "nowhere")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(Unreadable, match=r"has no column request_id, startTime, model\. It begins with: a, b"):
        bring(home, book, "litellm", other)
    with pytest.raises(Unreadable, match="no export of OpenRouter"):
        bring(home, book, "openrouter", other)
    for kind, missing in (("openai", "start_time"), ("anthropic", "usage_date_utc"), ("focus", "BilledCost")):
        with pytest.raises(Unreadable, match=f"has no column {missing}"):
            bring(home, book, kind, other)
    with pytest.raises(Unreadable, match="names no model: add --model"):
        bring(home, book, "trace", SAMPLES / "azure.csv")
    with pytest.raises(Unreadable, match="add --start DAY"):
        bring(home, book, "trace", SAMPLES / "mooncake.jsonl", trace=Added("gpt-4o"))


def test_a_killed_import_goes_on_where_it_stood(book: PriceBook, tmp_path: Path) -> None:
    """A real process, SIGKILL at several moments, then once to the end: no row is there twice, and none is missing."""
    home, whole = Home(tmp_path / "killed"), Home(tmp_path / "whole")
    file = write_lines(tmp_path / "spend.jsonl", spend_rows(60_000))
    ensure_book(home.path)
    command = [sys.executable, "-m", "jevons", "import", "litellm", str(file), "--json"]
    environ = {**os.environ, "JEVONS_HOME": str(home.path), "PYTHONPATH": str(ROOT / "src")}
    seen = [0]
    for _ in range(3):
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            while running.poll() is None and _rows(home) <= seen[-1]:
                time.sleep(0.01)
            running.send_signal(signal.SIGKILL)
        seen.append(_rows(home))
    assert 0 < seen[1] < seen[2] < 60_000  # it got on, and not from the beginning
    assert next(iter(marks(home.ledger, "litellm").values())).offset > 0
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["rows"], report["fresh"], report["known"]) == (60_000 - seen[-1], 60_000 - seen[-1], 0)
    bring(whole, book, "litellm", file)
    assert check(home.ledger) == []
    assert sums(home) == sums(whole)
    assert CANARY.encode() not in home.ledger.read_bytes()


def _rows(home: Home) -> int:
    """Rows that are in the ledger; 0 while it is being made. Only counted: to read them takes so long that an import may end meanwhile."""
    try:
        with reading(home.ledger) as db:
            return int(db.execute("SELECT count(*) FROM entries").fetchone()[0])
    except LedgerError:
        return 0
