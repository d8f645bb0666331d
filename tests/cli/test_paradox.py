"""`jevons paradox` and `jevons rerate` as commands: what they print, and what they say to whoever asks wrongly."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jevons.core.usage import Usage
from jevons.imports.rating import Rater
from jevons.imports.record import Record
from jevons.ledger.ops import Imported, ImportRow, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.pricebook import open_book
from tests.cli.conftest import Run
from tests.ledger.making import make_key

FIRST = datetime(2026, 9, 7, 9, tzinfo=UTC)
DAYS = 28


@pytest.fixture
def worked(home: Path) -> None:
    """Four weeks of an agent that goes from gpt-4o to gpt-5-mini, and then works five times as long; and a row without a price."""
    home.mkdir(mode=0o700)
    rater = Rater(open_book(home))
    rows = []
    for day in range(DAYS):
        late = day >= DAYS // 2
        for step in range(50 if late else 10):
            at_ms = int((FIRST + timedelta(day, step)).timestamp() * 1000)
            usage = Usage(input=20_000 if late else 2_000, output=300)
            model = "gpt-5-mini" if late else "gpt-4o"
            record = Record(
                identity=f"{day} {step}",
                at_ms=at_ms,
                model=model,
                provider="openai",
                usage=usage,
                run=f"run-{day}",
                agent="codex",
            )
            rows.append(ImportRow(f"{day:08}{step:08}".encode(), rater.entry(record, "test", 1)))
    odd = Record(
        identity="odd", at_ms=int(FIRST.timestamp() * 1000), model="nobody-knows-it", provider="openai", usage=Usage(input=7)
    )
    rows.append(ImportRow(b"o" * 16, rater.entry(odd, "test", 1)))
    store = SqliteStore(home / "ledger.db")
    store.apply([KeyCreated(make_key(1, settings=KeySettings(source="test", team="search"))), Imported(tuple(rows))])
    store.close()


def test_the_paradox_in_words_and_figures(jevons: Run, worked: None, tmp_path: Path) -> None:
    done = jevons("paradox", "--svg", str(tmp_path / "chart.svg"))
    assert "The paradox holds here, driven by depth" in done.out and "frontier" in done.out
    assert "tokens without a price" in done.out
    lines = done.out.splitlines()
    assert lines[-4].split()[:3] == ["2026-09-07", "100", "100"] and lines[-1].startswith("2026-09-28")
    ElementTree.parse(tmp_path / "chart.svg")
    found = jevons("paradox", "--json").json
    assert found["verdict"] == "holds" and found["rows"][0]["tiers"]["frontier"]["of_tokens"] == 1.0
    assert found["rows"][-1]["billed_nusd"] == 7 * 50 * (20_000 * 250 + 300 * 2_000) and found["sentences"]
    assert jevons("paradox", "--per", "day", "--json").json["per"] == "day"
    assert len(jevons("paradox", "--from", "2026-09-14", "--to", "2026-09-28", "--json").json["rows"]) == 14
    assert jevons("paradox", "--team", "nobody", "--json").json["rows"] == []


def test_nothing_to_see_yet(jevons: Run, home: Path) -> None:
    done = jevons("paradox")
    assert done.status == 1 and "There is no ledger" in done.err
    home.mkdir(mode=0o700, exist_ok=True)
    SqliteStore(home / "ledger.db").close()
    assert "`jevons demo` shows what this looks like" in " ".join(jevons("paradox").out.split())
    assert "No calls in this time" in jevons("rerate").out
    assert jevons("paradox", "--from", "2026-10-02", "--to", "2026-10-02").status == 2


def test_rerate_in_words_and_figures(jevons: Run, worked: None, tmp_path: Path) -> None:
    done = jevons("rerate")
    assert "840 calls charged again" in done.out and "as on record" in done.out
    assert "Not in it: 1 call, $0.00 on record: had no price when they were recorded." in done.out
    found: dict[str, Any] = jevons(
        "rerate", "--model", "gpt-5-mini=gpt-4o", "--by", "tier", "--rows", str(tmp_path / "rows.csv"), "--json"
    ).json
    assert found["total"]["rerated_nusd"] - found["total"]["list_nusd"] == found["total"]["difference_nusd"] > 0
    assert found["under"]["models"] == [["gpt-5-mini", "gpt-4o"]] and found["under"]["book"] == "recorded"
    with (tmp_path / "rows.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert sum(int(row["rerated_nusd"]) for row in written) == found["total"]["rerated_nusd"] and len(written) == 840
    shown = jevons("rerate", "--tier", "batch", "--from", "2026-09-07", "--to", "2026-09-08").out
    assert "openai/gpt-4o has no price for batch: 10 calls at its plain price." in shown
    assert "largest differences" in jevons("rerate", "--model", "gpt-5*=gpt-4o").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--book", "0123"), "has no price book '0123'"),
        (("--provider", "nobody"), "has no provider 'nobody'"),
        (("--model", "gpt-4o"), "names no replacement"),
        (("--by", "colour"), "it may be: model, upstream"),
    ],
)
def test_terms_that_there_are_not(jevons: Run, worked: None, arguments: tuple[str, ...], words: str) -> None:
    done = jevons("rerate", *arguments)
    assert done.status == 2 and words in " ".join(done.err.split())


def test_a_model_that_nobody_knows(jevons: Run, worked: None) -> None:
    done = jevons("rerate", "--model", "gpt-4o=gpt-5-mimi")
    assert done.status == 1 and "near to it: gpt-5-mini" in done.err
