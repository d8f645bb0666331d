"""`jevons import` as a person uses it: what it says, what it refuses, and "your last 30 days"."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jevons.ledger.bill import latest_entries
from tests.cli.conftest import Run
from tests.imports.doing import CANARY, SAMPLES, spend_rows, write_lines
from tests.provider import Provider
from tests.running import Jevons, upstream


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with session logs of today, as the agents write them."""
    user = tmp_path / "user"
    monkeypatch.setenv("HOME", str(user))
    for name in ("CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    for source, target in (("claude", ".claude/projects"), ("codex", ".codex/sessions")):
        for file in (SAMPLES / source).rglob("*.jsonl"):
            copy = user / target / file.relative_to(SAMPLES / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            yesterday = datetime.now(UTC) - timedelta(days=1)
            text = file.read_text()
            for day in ("2026-10-01", "2026-10-02"):
                text = text.replace(day, f"{yesterday:%Y-%m-%d}")
            copy.write_text(text)
    return user


def test_a_file_with_bad_rows(jevons: Run, home: Path) -> None:
    done = jevons("import", "litellm", str(SAMPLES / "litellm.jsonl"))
    assert done.status == 0
    assert "litellm: 1 file, 9 rows: 9 came in, 5 set aside." in done.out
    assert f"{SAMPLES}/litellm.jsonl:11: startTime is not a time" in done.out
    [aside] = (home / "imports").iterdir()
    assert aside.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["line"] for line in aside.read_text().splitlines()] == [10, 11, 12, 13, 14]
    assert CANARY not in done.out + done.err + aside.read_text()
    again = jevons("import", "litellm", str(SAMPLES / "litellm.jsonl"), "--json").json
    assert (again["fresh"], again["unchanged_files"]) == (0, 1)


def test_what_has_no_price_is_said_with_the_lines_to_paste(jevons: Run, tmp_path: Path) -> None:
    rows = [{**row, "model": "frobnicate-1", "spend": None, "custom_llm_provider": "acme"} for row in spend_rows(3)]
    file = write_lines(tmp_path / "spend.jsonl", rows)
    out = jevons("import", "litellm", str(file), "--dry-run").out
    assert "3 would come in" in out and "No price is known for 3 rows: cost 0, marked unknown." in out
    assert '    [[price]]\n    provider = "acme"\n    model = "frobnicate-1"' in out
    card = tmp_path / "card.toml"
    card.write_text('[[price]]\nprovider = "acme"\nmodel = "frobnicate-1"\ninput = "1"\noutput = "2"\n')
    done = jevons("import", "litellm", str(file), "--rate-card", str(card), "--json").json
    assert (done["unpriced"], done["list_nusd"]) == ([], 3 * 101_000 + 3 * 2_000)
    card.write_text("[[price]]\ninput = 'x'")
    broken = jevons("import", "litellm", str(file), "--rate-card", str(card))
    assert broken.status == 1 and "card.toml, [[price]] number 1" in broken.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a kind (claude-code, codex, litellm"),
        (("litellm",), "Name the file: jevons import litellm PATH."),
        (("--local", "codex"), "--local finds the session logs by itself"),
        (("frobnicate", "x"), "is not one of"),
        (("litellm", "/nowhere/spend.jsonl"), "/nowhere/spend.jsonl is not there."),
        (("litellm", str(SAMPLES / "focus.csv")), "has no column request_id"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(jevons: Run, arguments: tuple[str, ...], said: str) -> None:
    done = jevons("import", *arguments)
    assert done.status in (1, 2) and said in done.err and "Traceback" not in done.err


def test_usage_and_costs_of_the_same_days(jevons: Run) -> None:
    assert jevons("import", "openai", str(SAMPLES / "openai_usage.json")).status == 0
    done = jevons("import", "openai", str(SAMPLES / "openai_costs.json"))
    assert done.status == 1 and "would count twice" in done.err


def test_your_last_30_days(jevons: Run, sessions: Path, home: Path) -> None:
    out = jevons("import", "--local").out
    assert "claude-code: 3 files, 9 rows: 6 came in, 2 were there, 3 set aside." in out
    assert "codex: 3 files" in out
    assert "Your last 30 days, at list prices: $0.29" in out
    assert "anthropic/claude-opus-4-6" in out and "openai/gpt-5.1-codex" in out
    assert f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}" in out
    assert "limits set sessions --scope run --usd 1 " in out and " explain" in out
    document = jevons("import", "--local", "--json").json
    assert document["summary"]["list_nusd"] == sum(model["list_nusd"] for model in document["summary"]["models"])
    assert sum(day["list_nusd"] for day in document["summary"]["days"]) == document["summary"]["list_nusd"]
    assert document["summary"]["runs"][0]["run"].startswith("1111aaaa")
    assert [one["fresh"] for one in document["imports"]] == [0, 0]
    assert {entry["billed_nusd"] > 0 for entry in latest_entries(home / "ledger.db", 100) if entry["unknown"] == ""} == {True}


def test_your_last_30_days_under_a_subscription(jevons: Run, sessions: Path) -> None:
    document = jevons("import", "--local", "--subscription", "--json").json
    assert document["summary"]["billed_nusd"] == 0 < document["summary"]["list_nusd"]


def test_a_dry_run_of_the_last_30_days(jevons: Run, sessions: Path, home: Path) -> None:
    out = jevons("import", "--local", "--dry-run").out
    assert "5 would come in" in out and "No session logs" not in out
    assert not (home / "ledger.db").exists()


def test_nobody_s_last_30_days(jevons: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name in ("CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert "No session logs of Claude Code or Codex" in jevons("import", "--local").out


def test_where_agents_keep_their_logs(jevons: Run, sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sessions / ".claude").rename(tmp_path / "moved")
    assert jevons("import", "claude-code", "--json").json["files"] == 0
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "moved"))
    assert jevons("import", "claude-code", "--json").json["files"] == 3


def test_while_it_serves(sessions: Path, tmp_path: Path) -> None:
    """Rows go through the serving process; the start tells of the logs until they are imported, and makes a key all the same."""
    environ = {"HOME": str(sessions)}
    file = write_lines(tmp_path / "spend.jsonl", spend_rows(2_000))
    with (
        Provider() as provider,
        Jevons(tmp_path / "home", upstream("openai", provider.openai_url), environ=environ) as serving,
    ):
        assert "Found 2 Claude Code and 3 Codex sessions: `" in serving.log()
        assert "import --local` shows your last 30 days." in serving.log()
        report = json.loads(serving.run("import", "litellm", str(file), "--json"))
        assert (report["fresh"], report["set_aside"]) == (2_000, 0)
        assert json.loads(serving.run("import", "--local", "--json"))["summary"]["list_nusd"] > 0
        assert json.loads(serving.run("bill", "--json"))["entries"] > 2_000
        names = {key["name"] for key in json.loads(serving.run("keys", "list", "--json"))["keys"]}
        assert names == {"default", "litellm:hash-0", "litellm:hash-1", "litellm:hash-2", "claude-code", "codex"}
        serving.kill()
        serving.start()
        assert "sound" in serving.run("doctor")
        assert serving.log().count("Found 2 Claude Code") == 1


def test_a_first_key_after_a_first_import(tmp_path: Path) -> None:
    serving = Jevons(tmp_path / "home", environ={"HOME": str(tmp_path)})
    serving.home.mkdir()
    serving.run("import", "litellm", str(SAMPLES / "litellm.jsonl"))
    with serving:
        assert "Your first key, named default" in serving.log()


def test_session_logs_that_are_fresh_wait(jevons: Run, sessions: Path) -> None:
    text = (SAMPLES / "claude/-home-ann-shop/1111aaaa-0000-4000-8000-000000000002.jsonl").read_text()
    now = datetime.now(UTC) - timedelta(seconds=60)
    file = sessions / "fresh.jsonl"
    file.write_text(text.splitlines()[0].replace("2026-10-01T08:00:01.000Z", now.isoformat()) + "\n")
    os.utime(file, (time.time(), time.time()))
    assert "1 too fresh, for the next time" in jevons("import", "claude-code", str(file)).out
