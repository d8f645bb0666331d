"""`jevons runs`: sessions as trees, told from the ledger file alone."""

import re
from pathlib import Path

import pytest

from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold, make_key, request_ids

SESSION = "5d1f2c3a-77aa-4b8e-9c1d-0123456789ab"
HELPER = f"{SESSION}/a1b2c3"


@pytest.fixture
def worked(home: Path) -> None:
    """A session that started another run and has a call open, one that nobody named, and a run "r" of either key."""
    home.mkdir(mode=0o700)
    following = request_ids()
    store = SqliteStore(home / "ledger.db")
    store.apply([KeyCreated(make_key(1)), KeyCreated(make_key(2))])
    for key_id, label, nusd, more in (
        (1, SESSION, 100_000_000, {"agent": "claude-code", "run_source": "x-claude-code-session-id"}),
        (1, HELPER, 10_000_000, {"agent": "claude-code", "parent_run_id": SESSION}),
        (1, "auto-0649d1d0a4b8c01", 20, {"run_source": "inferred"}),
        (1, "r", 5, {"agent": "codex"}),
        (2, "r", 7, {"agent": "aider"}),
    ):
        hold = make_hold(following(), 500, key_id=key_id, run_id=label, **more)
        store.apply([Opened(hold), Posted(make_entry(hold, nusd))])
    store.apply([Opened(make_hold(following(), 500, run_id=SESSION))])
    store.close()


def test_trees(jevons: Run, worked: None) -> None:
    """What a run started stands below it, and counts in it. Nothing is cut short: labels are there to be copied."""
    shown = jevons("runs").out
    assert re.search(rf"^{SESSION} +key-1 +claude-code +2 +32 +10 +\$0\.11 +.* 1 call open *$", shown, re.MULTILINE), shown
    assert re.search(rf"^  {HELPER} +key-1 +claude-code +1 +16 +5 +\$0\.01 ", shown, re.MULTILINE), shown
    assert re.search(r"^auto-0649d1d0a4b8c01 \? +key-1 +- ", shown, re.MULTILINE), shown
    assert "? = the client named no run" in shown


def test_some_of_them(jevons: Run, worked: None) -> None:
    found = jevons("runs", "--json").json["runs"]
    assert [(one["key"], one["run_id"]) for one in found[-2:]] == [("key-1", SESSION), ("key-1", HELPER)]
    session = found[-2]
    assert (session["depth"], session["tree_steps"], session["billed_nusd"], session["tree_billed_nusd"]) == (
        1,
        2,
        10**8,
        11 * 10**7,
    )
    assert (session["open_calls"], session["inferred"], session["agent"]) == (1, False, "claude-code")
    assert {one["run_id"] for one in jevons("runs", "--agent", "codex", "--json").json["runs"]} == {"r"}
    assert [one["billed_nusd"] for one in jevons("runs", "--key", "key-2", "--json").json["runs"]] == [7]
    assert len(jevons("runs", "--limit", "1", "--json").json["runs"]) == 1
    assert jevons("runs", "--key", "nobody", "--json").json == {"runs": []}
    assert "No run yet" in jevons("runs", "--key", "nobody").out


@pytest.mark.parametrize(
    "arguments", [[SESSION], [f"key-1/{SESSION}"], [SESSION, "--key", "key-1"]], ids=["RUN", "KEY/RUN", "--key"]
)
def test_one_run_call_by_call(jevons: Run, worked: None, arguments: list[str]) -> None:
    one = jevons("runs", *arguments, "--json").json
    assert (one["run_id"], [below["run_id"] for below in one["runs"]]) == (SESSION, [HELPER])
    [call] = one["calls"]
    assert (call["billed_nusd"], call["outcome"], call["upstream"], call["model"]) == (10**8, "ok", "openai", "sent")
    shown = jevons("runs", *arguments).out
    assert f"Latest calls of {SESSION}:\n" in shown
    assert re.search(r"^\d\d:\d\d:\d\d +openai/sent +16 +5 +\$0\.10 +ok *$", shown, re.MULTILINE), shown


def test_a_label_with_a_slash_of_its_own(jevons: Run, worked: None) -> None:
    assert jevons("runs", HELPER, "--json").json["billed_nusd"] == 10_000_000
    assert jevons("runs", f"key-1/{HELPER}", "--json").json["billed_nusd"] == 10_000_000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["r"], "--key"),
        (["none"], "There is no run 'none'. `jevons runs` lists the latest."),
        (["key-2/none"], "There is no run 'key-2/none'."),
        (["r", "--key", "nobody"], "of key 'nobody'"),
        (["--limit", "0"], "0"),
    ],
)
def test_mistakes(jevons: Run, worked: None, arguments: list[str], word: str) -> None:
    told = jevons("runs", *arguments)
    assert told.status in (1, 2)
    assert told.out == ""
    assert word in told.err
    assert len(told.err.strip().splitlines()) <= (5 if told.status == 2 else 1)


def test_without_a_ledger(jevons: Run) -> None:
    told = jevons("runs")
    assert (told.status, "There is no ledger" in told.err) == (1, True)
    assert "Example: jevons runs" in jevons("runs", "--help").out
