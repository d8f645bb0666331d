"""Tables and sentences at a terminal that is narrower than they are, and in a pipe."""

import re
import time
from pathlib import Path

import pytest
from rich.table import Table

from jevons.cli import tables
from jevons.core.usage import Usage
from tests.cli.conftest import Run
from tests.economics.energy.recorded import DAY_MS, record
from tests.ledger.making import NOON_MS

STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = 80


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setattr(tables.console, "_width", None)  # that of COLUMNS, where it was set as this process began


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in STYLE.sub("", capsys.readouterr().out).splitlines()]


def wide() -> Table:
    table = tables.plain("model", "median", "95 %", "share of the whole bill", title=None)
    table.add_row("a-model-with-a-name-to-copy and what it is for, said at length", "$1,234.56", "$1.00 to $2.00", "5 %")
    return table


def test_a_pipe_gets_all_of_it_on_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tables.fitting(wide(), "95 %")
    tables.say("word " * 60)
    lines = shown(capsys)
    assert len(lines) == 3 and "said at length  $1,234.56  $1.00 to $2.00" in lines[1] and lines[2].count("word") == 60


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_what_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and headers wrap first, then columns go; a figure and a name are whole."""
    tables.fitting(wide(), "95 %")
    tables.say("word " * 60)
    lines = shown(capsys)
    assert max(map(len, lines)) <= COLUMNS and sum(line.count("word") for line in lines) == 60
    assert any("$1,234.56  $1.00 to $2.00" in line for line in lines) and "No room" not in "".join(lines)
    monkeypatch.setenv("COLUMNS", "50")
    tables.fitting(wide(), "nothing", "95 %")
    lines = shown(capsys)
    assert max(map(len, lines)) <= 50 and lines[-1] == "No room here for: 95 % (--json has all)."
    assert any(line.startswith("a-model-with-a-name-to-copy") and "$1,234.56" in line and "$1.00" not in line for line in lines)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("command", "figure"),
    [
        (("forecast", "--paths", "200", "--months", "3", "--budget", "500"), "80 %"),
        (("build-or-buy", "--model", "gpt-oss-120b", "--on", "H100-SXM-80GB"), "gpt-oss-120b, at a host"),
        (("synergy",), "8 x A100-SXM-80GB"),
        (("energy",), "5 to 95 %"),
        (("energy", "--grids"), "us-texas-south-plains"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_no_line_is_wider_than_the_terminal(jevons: Run, home: Path, command: tuple[str, ...], figure: str) -> None:
    usage = Usage(input=9_000, cache_read=60_000, output=4_000)
    days = [int(time.time() * 1000) - NOON_MS - back * DAY_MS for back in range(60)]
    models = ("anthropic/claude-sonnet-4-5", "openai/gpt-5")
    calls = [(model, usage, {"agent": "support", "after_ms": ms + n}) for ms in days for n, model in enumerate(models)]
    record(home / "ledger.db", *calls)
    done = jevons(*command)
    assert done.status == 0, done.err
    text = STYLE.sub("", done.out)
    assert figure in text and max(len(line) for line in text.splitlines()) <= COLUMNS
