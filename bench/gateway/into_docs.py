"""Puts the figures of a run into the pages that show them: `make bench-gateway | tee run.log; python -m bench.gateway.into_docs run.log`.

Comes in: a file whose last line is the run's JSON. Goes out: the pages with every cell that ends in
`<!-- bench: NAME -->` filled anew; a figure that could not be measured (null) leaves an empty cell, one that the run does not have keeps its
cell: other benchmarks fill it. Does not know: what the figures mean.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/measured.md")
CELL = re.compile(r"(?<=\| )[^|\n]*<!-- bench: (\w+) -->")
UNITS = (
    ("_pct", "{:,.3g}"),
    ("_us", "{:,.0f} µs"),
    ("rps", "{:,.0f}"),
    ("_ms", "{:,.2f} ms"),
    ("mib", "{:,.0f} MiB"),
    ("start_s", "{:.2f} s"),
)
"""Part of a figure's name -> how it is written."""


def shown(name: str, value: object) -> str:
    """A figure for people, with its unit."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    return next((form for part, form in UNITS if part in name), "{:,.3g}").format(value)


def filled(page: str, figures: dict[str, object]) -> str:
    """The page with the marked cells of these figures filled."""

    def fill(cell: re.Match[str]) -> str:
        if cell[1] not in figures:
            return cell[0]
        return f"{shown(cell[1], figures[cell[1]])} <!-- bench: {cell[1]} -->".strip()

    return CELL.sub(fill, page)


def main(log: str) -> None:
    figures = json.loads(Path(log).read_text(encoding="utf-8").strip().rpartition("\n")[2])
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
