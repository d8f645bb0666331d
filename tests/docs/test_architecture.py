"""ARCHITECTURE.md names files; they are there, and it leaves no room of the house out."""

import re

import pytest

from tests.docs.pages import ROOT, blocks, inline, read

PACKAGE = ROOT / "src" / "jevons"
PLUMBING = {"__init__.py", "__main__.py"}


def test_every_path_is_there() -> None:
    for text in inline("ARCHITECTURE.md"):
        if re.fullmatch(r"[\w./]+(\.\w+|/)", text) and "/" in text and not text.startswith("/"):
            places = [base / text for base in (ROOT, PACKAGE)]
            assert any(place.exists() for place in places), f"{text} is not there"


def test_every_room_is_in_the_picture() -> None:
    [picture] = blocks("ARCHITECTURE.md", "text")
    for item in PACKAGE.iterdir():
        if item.name not in PLUMBING and (item.suffix == ".py" or (item / "__init__.py").exists()):
            assert re.search(rf"^  {item.name}\b", picture.text, re.MULTILINE), item.name


@pytest.mark.parametrize("room", ["gateway", "ledger", "policy", "wire"])
def test_the_request_passes_every_file(room: str) -> None:
    text = read("ARCHITECTURE.md")
    aside = {"settings.py", "metrics.py"}  # values, and counters
    for file in (PACKAGE / room).glob("*.py"):
        assert file.name in PLUMBING | aside or f"`{room}/{file.name}`" in text, f"{room}/{file.name}"


def test_named_functions_exist() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    for text in inline("ARCHITECTURE.md"):
        if match := re.fullmatch(r"(?:[A-Z]\w+\.)?([a-z]+_?[a-z_]*)", text):
            assert match[1] in source, text
