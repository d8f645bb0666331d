"""jevons prices history, index, decline, breaks, alarms, story: for people and as JSON, with an empty ledger and with a full one."""

import re
import time
from pathlib import Path

import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold, make_key

ON = ("--to", "2026-11-22")


def fill(home: Path, model: str) -> None:
    """One call of a model, an hour ago."""
    home.mkdir()
    store = SqliteStore(home / "ledger.db")
    hold = make_hold(first_id_of_ms(int(time.time() * 1000) - 3_600_000), 10**12, target=model)
    entry = make_entry(hold, 2_000_000_000, usage=Usage(input=1_000_000), lines=(Line("input", 1_000_000, 2_000_000_000, 1),))
    store.apply([KeyCreated(make_key()), Opened(hold), Posted(entry)])
    store.close()


def test_history_as_a_table_and_as_json(jevons: Run) -> None:
    shown = jevons("prices", "history", "--lineage", "sonnet")
    assert shown.status == 0 and "claude-sonnet-5-5" in shown.out and "-33 %" in shown.out
    assert "pydantic/genai-prices git history" in shown.out
    rows = jevons("prices", "history", "gpt-4o", "--json").json["prices"]
    assert [(row["date"], row["input_nusd_per_mtok"], row["line"], row["tier"]) for row in rows] == [
        ("2024-05-13", 5_000_000_000, "gpt", "frontier"),
    ]  # fmt: skip
    assert rows[0]["follows"] == {
        "model": "gpt-4-turbo-2024-04-09", "date": "2024-04-09", "input_change": -0.5, "output_change": -0.5, "cached_change": None,
    }  # fmt: skip


def test_history_of_nothing(jevons: Run) -> None:
    unknown = jevons("prices", "history", "claude-opus-9")
    assert unknown.status == 1 and "did you mean claude-opus-5" in unknown.err
    assert jevons("prices", "history", "gpt-4o", "--from", "2030-01-01").out.strip() == "No price in this time."


def test_index_without_a_ledger_says_so(jevons: Run) -> None:
    shown = jevons("prices", "index", *ON)
    assert shown.status == 0 and "2026-11-22" in shown.out and "the ledger has no tokens yet" in shown.out
    found = jevons("prices", "index", *ON, "--kind", "output", "--json").json
    assert (found["kind"], found["paid"], len(found["list"]), len(found["quality"])) == ("output", [], 4, 6)


def test_index_as_a_picture(jevons: Run, tmp_path: Path) -> None:
    file = tmp_path / "prices.svg"
    assert f"Wrote {file}." in jevons("prices", "index", *ON, "--svg", str(file)).err
    assert "frontier" in file.read_text() and "GPQA, at least GPT-4" in file.read_text()
    early = jevons("prices", "index", "--to", "2023-04-30", "--svg", str(tmp_path / "none.svg"))
    assert early.status == 1 and "begin in May 2023" in early.err


def test_index_of_what_was_paid(jevons: Run, home: Path) -> None:
    fill(home, "gpt-5")
    (month,) = jevons("prices", "index", "--json").json["paid"]
    assert (month["tokens"], month["billed_nusd"], month["nusd_per_mtok"]) == (1_000_000, 2_000_000_000, 2_000_000_000)
    assert (month["index_by_model"], month["index_by_line"], month["unpriced_tokens"]) == (100, 100, 0)
    head, row = (re.split(r"\s{2,}", line.strip()) for line in _after(jevons("prices", "index").out, "Price paid")[:2])
    assert dict(zip(head, row[1:], strict=True)) == {
        "tokens": "1,000,000", "without price": "0", "billed": "$2.00", "a million": "$2.00",
        "same models": "100.0", "same lines": "100.0", "compared": "0 %",
    }  # fmt: skip


def _after(text: str, title: str) -> list[str]:
    """Lines below that of a title."""
    lines = text.splitlines()
    return lines[next(place for place, line in enumerate(lines) if line.startswith(title)) + 1 :]


def test_decline_has_moore_beside_it_and_epochs_figure(jevons: Run) -> None:
    shown = jevons("prices", "decline", *ON)
    assert shown.status == 0 and "Moore's law" in shown.out and "24 months" in shown.out and "÷ 11.77" in shown.out
    found = jevons("prices", "decline", *ON, "--json").json
    assert found["moore_months"] == 24
    ours = {one["choice"]: one for one in found["epoch"]["ours"]}
    assert 8.3 <= ours["our files, to the last price"]["factor_a_year"] <= 16.7
    assert {one["what"] for one in found["tiers"]} == {"frontier tier, list prices", "commodity tier, list prices"}


def test_breaks_at_a_day_that_divides_and_at_one_that_does_not(jevons: Run) -> None:
    found = jevons("prices", "breaks", *ON, "--json").json["breaks"]
    assert [(b["tier"], b["searched"]) for b in found][:3] == [("frontier", False), ("frontier", True), ("commodity", False)]
    assert "cannot be tested" in jevons("prices", "breaks", "--at", "2019-01-01", *ON).out


def test_alarms_of_the_models_in_use_end_with_status_1(jevons: Run, home: Path) -> None:
    fill(home, "mistral-large-4-0")
    (home / "prices.toml").write_text('[[price]]\nprovider = "*"\nmodel = "*"\nfrom = 2026-01-01\ninput = "1"\noutput = "2"\n')
    quiet = jevons("prices", "alarms")
    assert quiet.status == 0 and "No list price has risen or is about to." in quiet.out and "your last 30 days" in quiet.out
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86_400))
    with (home / "prices.toml").open("a") as file:
        file.write(f'[[price]]\nprovider = "*"\nmodel = "*"\nfrom = {tomorrow}\ninput = "3"\noutput = "2"\n')
    loud = jevons("prices", "alarms", "--json")
    assert loud.status == 1
    (alarm,) = loud.json["alarms"]
    assert (alarm["date"], alarm["what"], alarm["announced"]) == (tomorrow, "rise", True)
    assert (alarm["before"]["input_nusd_per_mtok"], alarm["after"]["input_nusd_per_mtok"]) == (1_000_000_000, 3_000_000_000)


def test_alarms_without_a_ledger_are_those_of_the_history(jevons: Run) -> None:
    shown = jevons("prices", "alarms")
    assert "the price history" in shown.out and shown.status == ("No list price" not in shown.out)


def test_story_has_a_verdict_and_sources(jevons: Run) -> None:
    shown = jevons("prices", "story", *ON)
    assert shown.status == 0 and shown.out.count("corrected") == 5 and "litellm 1.0.0 wheel" in shown.out
    lines = jevons("prices", "story", *ON, "--json").json["lines"]
    assert [line["verdict"] for line in lines] == ["corrected"] * 5
    assert lines[0]["checks"][0]["rows"][0]["output_nusd_per_mtok"] == 60_000_000_000


@pytest.mark.parametrize("command", ["index", "decline", "breaks", "story"])
def test_a_day_that_is_none_is_refused(jevons: Run, command: str) -> None:
    refused = jevons("prices", command, "--to", "soon")
    assert refused.status == 2 and "2026-11-21" in refused.err


@pytest.mark.parametrize("day", ["2019-01-01", "2022-10-01", "2023-06-01"])
@pytest.mark.parametrize("command", ["index", "decline", "breaks", "story"])
def test_a_day_with_few_prices_before_it_is_no_error(jevons: Run, command: str, day: str) -> None:
    assert jevons("prices", command, "--to", day).status == 0
    assert jevons("prices", command, "--to", day, "--json").json


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("index", "--to", "9999-12-31"), "lies outside the years 1970 to 2199"),
        (("index", "--to", "yesterday"), "is not a day"),
        (("index", "--svg", "no/such/folder/prices.svg"), "There is no folder 'no/such/folder'"),
        (("index", "--svg", "."), "is a directory"),
    ],
)
def test_a_bad_day_or_file_is_said_in_a_line(jevons: Run, arguments: tuple[str, ...], said: str) -> None:
    shown = jevons("prices", *arguments)
    assert shown.status == 2 and said in shown.err and "Traceback" not in shown.err
