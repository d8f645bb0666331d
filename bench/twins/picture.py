"""Experts met by batch, counted against what chance predicts: one SVG that stands by itself, in the look of the other charts.

Comes in: shares by batch. Goes out: SVG text, light and dark by the viewer's preference. Does not know: models.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log2

from jevons.economics.waterfall import STYLE

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 760, 360, 60, 46, 48, 170
LABEL_GAP = 17
LINES = {
    "predicted": ("chance, 1-(1-k/E)^B", "#8b919b", "6 5"),
    "both": ("both languages", "#1f8a70", ""),
    "en": ("English", "#3b6fb5", ""),
    "es": ("Spanish", "#c4532d", ""),
}
TITLE = "What a batch takes back"
SUBTITLE = "Share of a layer’s 8 experts that one step reads, by texts decoded together; a token uses 2. Counted, and by chance"


def picture(coverage: Mapping[str, Sequence[float]], batches: Sequence[int]) -> str:
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">',
            f'<title id="t">{TITLE}</title><desc id="d">{escape(_aloud(coverage, batches))}</desc><style>{STYLE}</style>',
            f'<text class="head" x="0" y="20">{TITLE}</text>',
            f'<text class="quiet" x="0" y="39">{SUBTITLE}</text>',
            *_grid(batches),
            *(part for key in LINES for part in _line(coverage[key], batches, *LINES[key][1:])),
            *_names(coverage),
            "</svg>",
        ]
    )


def _x(batch: float, batches: Sequence[int]) -> float:
    return round(LEFT + log2(batch) / log2(batches[-1]) * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def _grid(batches: Sequence[int]) -> Iterator[str]:
    for share in (0, 0.25, 0.5, 0.75, 1):
        yield f'<path d="M{LEFT} {_y(share)}H{WIDTH - RIGHT}" stroke="#8b919b" stroke-opacity=".3"/>'
        yield f'<text class="quiet" x="{LEFT - 8}" y="{_y(share) + 4}" style="text-anchor:end">{share:.0%}</text>'
    for batch in batches:
        yield f'<text class="quiet" x="{_x(batch, batches)}" y="{HEIGHT - 22}" style="text-anchor:middle">{batch}</text>'


def _line(shares: Sequence[float], batches: Sequence[int], colour: str, dash: str) -> Iterator[str]:
    points = [f"{_x(batch, batches)} {_y(share)}" for batch, share in zip(batches, shares, strict=True)]
    yield f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    for point, share in zip(points, shares, strict=True):
        x, y = point.split()
        yield f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"><title>{share:.1%}</title></circle>'


def _names(coverage: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """At the ends of the lines, moved apart."""
    below = 0.0
    for key in sorted(LINES, key=lambda key: -coverage[key][-1]):
        name, colour, _ = LINES[key]
        below = max(below + LABEL_GAP, _y(coverage[key][-1]) + 4)
        yield f'<text x="{WIDTH - RIGHT + 10}" y="{below}" style="fill:{colour}">{escape(name)}</text>'


def _aloud(coverage: Mapping[str, Sequence[float]], batches: Sequence[int]) -> str:
    said = [
        f"{name}: " + ", ".join(f"{share:.0%} of {batch}" for batch, share in zip(batches, coverage[key], strict=True))
        for key, (name, _, _) in LINES.items()
    ]
    return "; ".join(said)
