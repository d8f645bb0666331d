"""Cells of the local engine, predicted against observed, as a picture: a dot for each, by how many conversations go together.

Comes in: what was observed, models. Goes out: SVG text. Does not know: how cells are measured, which of them are a calibration.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jevons.economics.plane import COLOURS, Axis, Dot, Words, number, plane

OBSERVED, PREDICTED = Axis("observed tokens a second", number), Axis("predicted", number)


class Cell(NamedTuple):
    """One file, phase, size and number of tokens kept."""

    file: str
    phase: str
    size: int
    """Conversations together, or new tokens of a prompt."""
    kept: int
    observed_tok_s: float
    predicted_tok_s: float

    @property
    def group(self) -> str:
        if self.phase == "prefill":
            return "prompts"
        return "one conversation" if self.size == 1 else f"{self.size} together"


def picture(cells: Sequence[Cell], says: str) -> str:
    """`says`: under the title."""
    colours = dict(zip(dict.fromkeys(cell.group for cell in cells), COLOURS, strict=False))
    dots = [
        Dot(
            cell.observed_tok_s,
            cell.predicted_tok_s,
            colours[cell.group],
            f"{cell.file}, {cell.group}, {cell.kept:,} kept: {cell.observed_tok_s:.1f} observed, {cell.predicted_tok_s:.1f} predicted",
        )
        for cell in cells
    ]
    files = len({cell.file for cell in cells})
    words = Words(
        f"The local engine: {len(cells)} cells of {files} files", says, says, [(colour, name) for name, colour in colours.items()]
    )
    return plane(words, OBSERVED, PREDICTED, [], dots, equal=True)
