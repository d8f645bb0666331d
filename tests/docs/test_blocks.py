"""Every block of the documentation says what it is, and every example in it can be read by what it is for."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from jevons.cli.main import commands
from jevons.config import load
from jevons.economics.unitcost.hardware import parts
from jevons.meter.overrides import parse_overrides
from tests.docs.pages import NAMES, ROOT, anchors, blocks, inline, links

TESTED = {
    "sh": {"", "make", "by-hand", "restore"},
    "toml": {"", "prices", "codex", "hardware"},
    **{language: {""} for language in ("console", "python", "sql", "json", "yaml", "text")},
}
"""Language of a block -> what may follow it."""
BY_HAND = {
    "claude": "Claude Code is an npm package",
    "codex": "an npm package",
    "opencode": "an npm package",
    "aider": "pins another openai SDK than our tests",
    "uvx": "uv brings it, and a package index",
    "pipx": "needs a package index",
    "sqlite3": "SQLite's own shell is a package of the system",
}
"""Commands that stand in the documentation and are not run by tests, and why. Each was run by hand as it stands there."""


@pytest.mark.parametrize("page", NAMES)
def test_every_block_is_of_a_kind_that_is_tested(page: str) -> None:
    for block in blocks(page):
        assert block.note in TESTED.get(block.language, set()), f"{block.place}: ```{block.language} {block.note}"


@pytest.mark.parametrize("page", NAMES)
def test_configurations_are_loaded(page: str, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        if block.note == "prices":
            assert parse_overrides(block.text, block.place)
        elif block.note == "hardware":
            (tmp_path / "hardware.toml").write_text(block.text)
            assert parts(tmp_path)
        elif block.note == "codex":
            client = tomllib.loads(block.text)
            assert client["model_providers"][client["model_provider"]]["base_url"].endswith("/v1"), block.place
        else:
            file = tmp_path / "jevons.toml"
            file.write_text(block.text)
            load(file, {})


@pytest.mark.parametrize("page", NAMES)
def test_json_is_json(page: str) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)


@pytest.mark.parametrize("page", NAMES)
def test_what_is_run_by_hand_has_a_reason(page: str) -> None:
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
        assert not done.returncode, f"{block.place}: {done.stderr}"
        if block.note == "by-hand":
            for line in block.text.splitlines():
                words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
                assert line.startswith("export ") or words[0] in BY_HAND or '"' in line, f"{block.place}: {line}"


def test_no_reason_is_left_over() -> None:
    text = "\n".join(block.text for page in NAMES for block in blocks(page, "sh") if block.note == "by-hand")
    assert all(name in text for name in BY_HAND)


@pytest.mark.parametrize("page", NAMES)
def test_make_targets_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = [line for block in blocks(page, "sh") if block.note == "make" for line in block.text.splitlines()]
    named += [text for text in inline(page) if text.startswith("make ")]
    for command in named:
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), f"{page}: {command}"


@pytest.mark.parametrize("page", NAMES)
def test_commands_in_the_text_exist(page: str) -> None:
    for text in inline(page):
        if text.startswith("jevons "):
            _known(text, page)


def test_commands_in_our_own_messages_exist() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for text in re.findall(r"`(jevons [^`\n]+)`", path.read_text(encoding="utf-8")):
            _known(text, path.name)


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page: str) -> None:
    for path, anchor in links(page):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {path}"
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), f"{page}: {path}#{anchor}"


def _known(text: str, place: str) -> None:
    """Fails unless `jevons …` names a command that there is, with options that it has."""
    words = text.split()[1:]
    command: click.Command = commands
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{place}: `{text}`: there is no {name!r}"
        command = command.commands[name]
    known = {option for param in command.params for option in param.opts} | {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{place}: `{text}`: {command.name} has no {word}"
