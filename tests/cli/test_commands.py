"""Every command: one JSON document with --json, one line for a mistake, never a traceback."""

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers

from jevons.ledger.bill import check
from tests.cli.conftest import Run
from tests.meter.test_genai import as_json, published


def test_keys_from_making_to_revoking(jevons: Run, home: Path) -> None:
    made = jevons("keys", "create", "agent", "--limit-usd", "12.50", "--model", "gpt-*", "--output-tokens", "99", "--json").json
    assert set(made) == {"id", "key"}
    assert re.fullmatch(r"jv-[\w-]{43}", made["key"])
    [listed] = jevons("keys", "list", "--json").json["keys"]
    assert (listed["name"], listed["limit_nusd"], listed["posted_nusd"]) == ("agent", 12_500_000_000, 0)
    assert listed["settings"] == {"default_output_tokens": 99, "models": ["gpt-*"]}
    assert made["key"] not in (home / "ledger.db").read_bytes().decode("latin-1")
    assert "none" in jevons("keys", "limit", "agent", "none").out
    assert jevons("keys", "list", "--json").json["keys"][0]["limit_nusd"] is None
    assert jevons("keys", "limit", "agent", "$3").status == 0
    assert jevons("keys", "revoke", "agent").status == 0
    [listed] = jevons("keys", "list", "--json").json["keys"]
    assert listed["limit_nusd"] == 3 * 10**9
    assert listed["revoked_ms"] > 0
    shown = jevons("keys", "list")
    assert "agent" in shown.out
    assert "revoked" in shown.out


def test_a_key_is_shown_once_to_people(jevons: Run) -> None:
    made = jevons("keys", "create", "agent")
    assert made.out.startswith("jv-")
    assert "only time" in made.out


READING: list[tuple[list[str], set[str]]] = [
    (["keys", "list"], {"keys"}),
    (["bill"], {"total_nusd", "entries", "rows"}),
    (["bill", "--by", "model"], {"total_nusd", "entries", "rows"}),
    (["bill", "--by", "key", "--key", "agent"], {"total_nusd", "entries", "rows"}),
    (["bill", "--by", "run", "--from", "2026-01-01", "--to", "2026-12-31"], {"total_nusd", "entries", "rows"}),
    (["top"], {"today_nusd", "today_entries", "held_nusd", "holds", "entries"}),
    (["doctor"], {"findings"}),
    (["tokens", "unbelievable!"], {"tokens", "pieces", "encoding"}),
    (["cost", "--model", "gpt-4o", "--input", "10"], {"cost_nusd", "lines", "row"}),
    (["prices", "show", "gpt-4o"], {"prices"}),
]


@pytest.mark.parametrize(("arguments", "members"), READING, ids=[" ".join(one[0]) for one in READING])
def test_reading_commands(jevons: Run, arguments: list[str], members: set[str]) -> None:
    jevons("keys", "create", "agent")
    told = jevons(*arguments, "--json")
    assert told.status == 0, told.err
    assert members <= set(told.json)
    assert told.out.count("\n") == 1
    assert not re.findall(r'nusd":\s*-?\d+\.\d', told.out), "money is whole nano-dollars"
    shown = jevons(*arguments, *(["--once"] if arguments == ["top"] else []))
    assert shown.status == 0, shown.err
    assert shown.out.strip()


def test_what_gemini_costs(jevons: Run) -> None:
    """The figure of the README."""
    asked = ("cost", "--model", "Gemini 3.1 Pro", "--input", "50000", "--output", "2000")
    assert jevons(*asked, "--json").json["cost_nusd"] == 124_000_000
    shown = jevons(*asked).out
    assert "total = $0.124" in shown
    assert "50,000 × $2 / 1M tokens" in shown
    assert re.search(r"\d{4}-\d\d-\d\d", shown)


def test_what_a_free_call_lists_at(jevons: Run) -> None:
    asked = ("cost", "--model", "deepseek/deepseek-r1:free", "--input", "1000")
    told = jevons(*asked, "--not-billed", "--json").json
    assert told["context"] == {"billed": "no"} and told["provider"] == "openrouter" and told["cost_nusd"] > 0
    refused = jevons(*asked)
    assert refused.status == 1 and "--not-billed" in refused.err and told["row"] in refused.err
    shown = jevons("prices", "show", "deepseek/deepseek-r1:free").out
    assert f"{told['row']}   from" in shown and "if billed=no" in shown


def test_tokens_of_a_text(jevons: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = jevons("tokens", "unhappily, running!", "--json").json
    assert "".join(piece["text"] for piece in told["pieces"]) == "unhappily, running!"
    assert told["tokens"] == len(told["pieces"]) == len({piece["id"] for piece in told["pieces"]})
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    assert jevons("tokens", "-", "--json").json["characters"] == len("from a pipe")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert jevons("tokens", "--json").json["tokens"] == 0


def test_prices_from_a_file(jevons: Run, tmp_path: Path) -> None:
    """As genai-prices publishes them: the prices that are installed, and one model more."""
    more = {"id": "test-1", "match": {"equals": "test-1"}, "prices": {"input_mtok": 3, "output_mtok": 15}}
    raw = [published(provider) for provider in providers]
    openai = next(provider for provider in raw if provider["id"] == "openai")
    source = tmp_path / "prices.json"
    source.write_bytes(as_json([*(one for one in raw if one is not openai), {**openai, "models": [*openai["models"], more]}]))
    told = jevons("prices", "update", "--from", str(source), "--json")
    assert told.status == 0, told.err
    assert isinstance(told.json, dict)
    assert jevons("cost", "--model", "test-1", "--input", "1000000", "--json").json["cost_nusd"] == 3 * 10**9
    assert jevons("prices", "update", "--from", str(source)).out.strip().endswith("to use it.")


def test_corrections_and_backups(jevons: Run, home: Path, tmp_path: Path) -> None:
    jevons("keys", "create", "agent", "--limit-usd", "1")
    assert jevons("adjust", "agent", "0.25", "--reason", "an invoice").status == 0
    assert jevons("adjust", "agent", "-0.05", "--reason", "a credit").status == 0
    assert jevons("bill", "--json").json["total_nusd"] == 200_000_000
    assert jevons("bill", "--json").json["adjustments_nusd"] == 200_000_000
    target = tmp_path / "copy.db"
    assert str(target) in jevons("backup", str(target)).out
    assert check(target) == check(home / "ledger.db") == []
    jevons("backup")
    assert len(list((home / "backups").glob("ledger-*.db"))) == 1


MISTAKES: list[tuple[list[str], str]] = [
    (["keys", "create", ""], "cannot name a key"),
    (["keys", "create", "agent"], "already"),
    (["keys", "create", "x", "--limit-usd", "ten"], "ten"),
    (["keys", "create", "x", "--limit-usd", "-1"], "at least 0"),
    (["keys", "create", "x", "--denial-status", "200"], "200"),
    (["keys", "limit", "nobody", "5"], "no key 'nobody'"),
    (["keys", "revoke", "nobody"], "no key 'nobody'"),
    (["adjust", "agent", "much", "--reason", "r"], "much"),
    (["adjust", "agent", "1", "--reason", " "], "reason"),
    (["adjust", "agent", "1", "--reason", "r", "--request", "req_1"], "req_1"),
    (["bill", "--from", "yesterday"], "yesterday"),
    (["bill", "--by", "colour"], "colour"),
    (["cost", "--model", "gpt-4o-minni", "--input", "5"], "gpt-4o-mini"),
    (["cost", "--model", "gpt-4o", "--output", "1", "--reasoning", "2"], "reasoning"),
    (["cost", "--model", "gpt-4o", "--input", "-5"], "-5"),
    (["prices", "show", "no-such-model-at-all"], "no-such-model-at-all"),
    (["prices", "update", "--from", "/no/such/file.json"], "/no/such/file.json"),
    (["backup", "/dev/null/x.db"], "/dev/null"),
    (["init", "--add", "openai"], "openai"),
    (["serve", "--config", "/no/such/jevons.toml"], "/no/such/jevons.toml"),
    (["nonsense"], "nonsense"),
]


@pytest.mark.parametrize(("arguments", "word"), MISTAKES, ids=[" ".join(one[0]) for one in MISTAKES])
def test_mistakes_are_told_in_a_line(jevons: Run, home: Path, arguments: list[str], word: str) -> None:
    jevons("keys", "create", "agent")
    jevons("init")
    told = jevons(*arguments)
    assert told.status in (1, 2)
    assert told.out == ""
    assert word in told.err
    assert "Traceback" not in told.err
    usage = told.status == 2
    assert len(told.err.strip().splitlines()) <= (5 if usage else 1), told.err


@pytest.mark.parametrize("arguments", [["bill"], ["top", "--once"], ["keys", "list"]])
def test_without_a_ledger(jevons: Run, arguments: list[str]) -> None:
    told = jevons(*arguments)
    assert told.status == 1
    assert "There is no ledger" in told.err


def test_a_home_that_cannot_be_written(jevons: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JEVONS_HOME", str(tmp_path / "file" / "home"))
    told = jevons("keys", "create", "agent")
    assert told.status == 1
    assert "JEVONS_HOME" in told.err


def test_init_writes_what_is_in_the_environment(jevons: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By reference: the key itself is never written."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")
    assert "openai" in jevons("init").out
    text = (home / "jevons.toml").read_text()
    assert "OPENAI_API_KEY" in text
    assert "sk-canary" not in text
    assert os.stat(home / "jevons.toml").st_mode & 0o077 == 0
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-2")
    assert "not changed" in jevons("init").out
    assert jevons("init", "--add", "anthropic").status == 0
    assert "ANTHROPIC_API_KEY" in (home / "jevons.toml").read_text()
    again = jevons("init", "--add", "anthropic")
    assert again.status == 2
    assert "already" in again.err


def test_doctor_finds_what_is_wrong(jevons: Run, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "jevons.toml").write_text('[[upstreams]]\nname = "x"\nbase_url = "http://127.0.0.1:9"\nauth = "none"\n')
    (home / "prices.toml").write_text("[[price]]\nprovider = 7\n")
    told = jevons("doctor", "--json")
    verdicts: dict[str, Any] = {finding["subject"]: finding["verdict"] for finding in told.json["findings"]}
    assert told.status == 1
    assert (verdicts["upstream x"], verdicts["prices"]) == ("bad", "bad")
    (home / "jevons.toml").write_text("nonsense = 1\n")
    assert "nonsense" in jevons("doctor").out


def test_help_of_every_command(jevons: Run) -> None:
    listed = jevons("--help").out
    names = re.findall(r"^  (\w+) ", listed.partition("Commands:")[2], re.MULTILINE)
    assert {"serve", "init", "doctor", "keys", "bill", "top", "tokens", "cost", "prices", "backup", "adjust"} <= set(names)
    for name in names:
        assert jevons(name, "--help").status == 0
    assert re.search(r"\d+\.\d+", jevons("--version").out)
