"""Indices over time as lines on one logarithmic chart, drawn as SVG that stands by itself, in the look of the waterfall.

On a logarithmic axis a doubling is as far up wherever it happens, and what multiplies to the bill adds up to its line. Comes in: names of
periods, and series of values about 100. Goes out: SVG text, light and dark by the viewer's preference, readable aloud. Does not know: what is drawn.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log
from typing import NamedTuple

from jevons.economics.waterfall import STYLE, WIDTH

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 400, 56, 34, 44, 158
LABEL_GAP = 17
"""Between the names at the ends of lines: their height."""
TICKS_MAX = 8
STEPS = (1.05, 1.1, 1.25, 2**0.5, 2, 4, 10, 100, 1_000)
"""Ratios between the lines of the grid, the finest that does not need too many of them."""
LINES_STYLE = """
.lines path.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.lines .grid{stroke:#e6e8eb}.lines .hundred{stroke:#9aa1ab}
.lines path.s0{stroke:#24262b;stroke-width:3}.lines path.s1{stroke:#1f8a70}.lines path.s2{stroke:#1f8a70;stroke-dasharray:5 4}.lines path.s3{stroke:#3b6fb5}
.lines path.s4{stroke:#c4532d}.lines path.s5{stroke:#8a5bb0}.lines path.s6{stroke:#b08a1f}.lines circle{stroke:none}
.lines circle.s0,.lines text.s0{fill:#24262b}.lines circle.s1,.lines text.s1,.lines circle.s2,.lines text.s2{fill:#1f8a70}
.lines circle.s3,.lines text.s3{fill:#3b6fb5}.lines circle.s4,.lines text.s4{fill:#c4532d}.lines circle.s5,.lines text.s5{fill:#8a5bb0}
.lines circle.s6,.lines text.s6{fill:#967414}.lines text.name{stroke:none}.lines .middle{text-anchor:middle}
@media(prefers-color-scheme:dark){.lines .grid{stroke:#2a2e34}.lines .hundred{stroke:#6a6f78}.lines path.s0{stroke:#e6e8eb}
.lines circle.s0,.lines text.s0{fill:#e6e8eb}.lines path.s1,.lines path.s2{stroke:#4cb89a}
.lines circle.s1,.lines text.s1,.lines circle.s2,.lines text.s2{fill:#4cb89a}.lines path.s3{stroke:#7aa7e0}.lines circle.s3,.lines text.s3{fill:#7aa7e0}
.lines path.s4{stroke:#e8825d}.lines circle.s4,.lines text.s4{fill:#e8825d}.lines path.s5{stroke:#b893da}.lines circle.s5,.lines text.s5{fill:#b893da}
.lines path.s6{stroke:#d3ad48}.lines circle.s6,.lines text.s6{fill:#d3ad48}}
"""
COLOURS = 7


class Line(NamedTuple):
    name: str
    values: Sequence[float | None]
    """One for each period; None = nothing to show there."""


class _Scale(NamedTuple):
    low: float
    high: float
    periods: int

    def x(self, place: int) -> float:
        return round(LEFT + place * (WIDTH - LEFT - RIGHT) / max(1, self.periods - 1), 1)

    def y(self, value: float) -> float:
        share = (log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def chart(title: str, subtitle: str, periods: Sequence[str], lines: Sequence[Line]) -> str:
    """The picture; the first line is drawn strongest. At most COLOURS lines, all values > 0. Lines without a value are left out."""
    drawn = [line for line in lines if any(value is not None for value in line.values)]
    assert len(drawn) <= COLOURS and all(len(line.values) == len(periods) for line in drawn)
    ticks = _ticks([value for line in drawn for value in line.values if value is not None])
    scale = _Scale(ticks[0], ticks[-1], len(periods))
    labelled = 'role="img" aria-labelledby="lines-title lines-desc"'
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall lines" viewBox="0 0 {WIDTH} {HEIGHT}" {labelled}>',
            f'<title id="lines-title">{escape(title)}</title>',
            f'<desc id="lines-desc">{escape(_aloud(periods, drawn))}</desc>',
            f"<style>{STYLE}{LINES_STYLE}</style>",
            f'<text class="head" x="0" y="20">{escape(title)}</text>',
            f'<text class="quiet" x="0" y="39">{escape(subtitle)}</text>',
            *_grid(scale, ticks, periods),
            *(part for place, line in reversed(list(enumerate(drawn))) for part in _line(scale, place, line, periods)),
            *_names(scale, drawn),
            "</svg>",
        ]
    )


def _ticks(values: Sequence[float]) -> list[float]:
    """Lines of the grid: 100 and its neighbours by one ratio, around all values."""
    low, high = min([100.0, *values]), max([100.0, *values])
    for step in STEPS:
        first, last = floor(log(low / 100) / log(step) + 1e-9), ceil(log(high / 100) / log(step) - 1e-9)
        if last - first < TICKS_MAX:
            break
    return [100 * step**n for n in range(min(first, -1), max(last, 1) + 1)]


def _grid(scale: _Scale, ticks: Sequence[float], periods: Sequence[str]) -> Iterator[str]:
    for tick in ticks:
        y = scale.y(tick)
        yield f'<path class="{"hundred" if round(tick) == 100 else "grid"}" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
        yield f'<text class="quiet end" x="{LEFT - 8}" y="{y + 4}">{_short(tick)}</text>'
    every = max(1, ceil(len(periods) / 8))
    for place in range(0, len(periods), every):
        middle = " middle" if place else ""
        yield f'<text class="quiet{middle}" x="{scale.x(place)}" y="{HEIGHT - 12}">{escape(periods[place])}</text>'


def _line(scale: _Scale, place: int, line: Line, periods: Sequence[str]) -> Iterator[str]:
    path, pen = [], "M"
    for at, value in enumerate(line.values):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{scale.x(at)} {scale.y(value)}")
        pen = "L"
    yield f'<path class="line s{place}" d="{"".join(path)}"/>'
    for at, value in enumerate(line.values):
        if value is not None:
            said = escape(f"{line.name}, {periods[at]}: {_short(value)}")
            yield f'<circle class="s{place}" cx="{scale.x(at)}" cy="{scale.y(value)}" r="2.6"><title>{said}</title></circle>'


def _names(scale: _Scale, lines: Sequence[Line]) -> Iterator[str]:
    """At the end of each line, moved apart where they would lie over each other."""
    ends = sorted((scale.y(_last(line)), place) for place, line in enumerate(lines))
    wanted = [y for y, _ in ends]
    for at in range(1, len(wanted)):
        wanted[at] = max(wanted[at], wanted[at - 1] + LABEL_GAP)
    over = max(0.0, wanted[-1] - (HEIGHT - BOTTOM)) if wanted else 0.0
    for at in reversed(range(len(wanted))):
        ceiling = (HEIGHT - BOTTOM) if at == len(wanted) - 1 else wanted[at + 1] - LABEL_GAP
        wanted[at] = min(wanted[at], ceiling) if over else wanted[at]
    for y, (_, place) in zip(wanted, ends, strict=True):
        line = lines[place]
        strong = " strong" if place == 0 else ""
        yield f'<text class="name s{place}{strong}" x="{WIDTH - RIGHT + 8}" y="{round(y + 4, 1)}">{escape(line.name)} {_short(_last(line))}</text>'


def _last(line: Line) -> float:
    return next(value for value in reversed(line.values) if value is not None)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _aloud(periods: Sequence[str], lines: Sequence[Line]) -> str:
    said = [f"{line.name} {_short(_last(line))}" for line in lines]
    return f"The first period is 100. At the end ({periods[-1] if periods else 'no period'}): {', '.join(said)}."
