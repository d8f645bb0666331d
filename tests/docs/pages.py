"""The documentation as data: its pages, fenced blocks, tables, inline code and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "ARCHITECTURE.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)\s]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `note` is what follows the language."""

    page: str
    line: int
    language: str
    note: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> list[Block]:
    """Fenced blocks of a page, in order; of these languages only, if any are named."""
    text = read(name)
    found = [
        Block(name, text.count("\n", 0, fence.start()) + 1, fence[1], fence[2].strip(), fence[3])
        for fence in _FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def prose(name: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", read(name))


def inline(name: str) -> list[str]:
    """What stands between single backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose(name))


def links(name: str) -> list[tuple[str, str]]:
    """(path, anchor without #) of every link that stays in this repository."""
    return [(link[1], (link[2] or "")[1:]) for link in _LINK.finditer(prose(name)) if not link[1].startswith("http")]


def anchors(name: str) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    heads = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def table(name: str, heading: str) -> list[list[str]]:
    """Cells of the first table after a heading (its text, backticks included), without its head; `\\|` is not used."""
    rest = read(name).partition(f"# {heading}\n")[2]
    assert rest, f"{name} has no heading {heading!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def code(cell: str) -> list[str]:
    """The inline code of a table's cell."""
    return re.findall(r"`([^`]+)`", cell)
