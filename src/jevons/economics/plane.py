"""Curves and dots on a plane of two logarithmic axes, drawn as SVG that stands by itself, in the look of the waterfall.

Comes in: curves, some within a band; dots, some with an interval; what the axes are. Goes out: SVG text, light and dark by the viewer's
preference, readable aloud. Does not know: what is drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import ceil, floor, log, log10
from typing import NamedTuple

from jevons.economics.chart import LINES_STYLE
from jevons.economics.waterfall import STYLE, WIDTH

TOP, BOTTOM, LEFT, RIGHT = 77, 46, 66, 28
"""Around the plane; `TOP` without the legend."""
TALL, SQUARE = 300, WIDTH - LEFT - RIGHT
"""Of the plane."""
COLOURS = ("s1", "s3", "s4", "s5", "s6", "s0")
"""Of curves and dots, in their order."""
ROUND = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,))
"""Times powers of ten: ticks, the closest that are not too many."""
TICKS_MAX = 10
LEGEND_ROW, LETTER = 17, 7.2
"""Of the legend: height of a row, width of a letter, about."""
PLANE_STYLE = """
.plane path.plain{fill:none;stroke:#9aa1ab;stroke-width:1.6;stroke-dasharray:5 4}.plane circle.plain{fill:#9aa1ab;opacity:.55}
.plane path.band{opacity:.14}.plane path.band.s1{fill:#1f8a70}.plane path.whisker{stroke-width:1;opacity:.35}
.plane path.s1.whisker{stroke-dasharray:none}.plane .middle{text-anchor:middle}.plane .equal{stroke:#6a6f78;stroke-width:1.2}
.plane .mark{stroke:#c4532d;stroke-dasharray:7 4}
@media(prefers-color-scheme:dark){.plane path.plain{stroke:#6a6f78}.plane circle.plain{fill:#6a6f78}.plane path.band.s1{fill:#4cb89a}
.plane .equal{stroke:#9aa1ab}.plane .mark{stroke:#e8825d}}
"""


class Axis(NamedTuple):
    says: str
    """What it is, and its unit."""
    short: Callable[[float], str]
    """A tick in few letters."""


class Curve(NamedTuple):
    """Through points, in their order. All coordinates > 0."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    """Of COLOURS, or "plain": in grey, dashed."""
    band: Sequence[tuple[float, float]] = ()
    """Lowest and highest of upwards at each point."""


class Dot(NamedTuple):
    """All > 0."""

    across: float
    upwards: float
    colour: str
    says: str
    """In full, where a pointer rests."""
    name: str = ""
    """Beside it, above."""
    under: bool = False
    """The name is below."""
    interval: tuple[float, float] | None = None
    """Of upwards."""
    large: bool = False


class Words(NamedTuple):
    title: str
    subtitle: str
    aloud: str
    """The whole, for who cannot see it."""
    legend: Sequence[tuple[str, str]] = ()
    """(Colour, name), beside the curves' own."""


class _Scale(NamedTuple):
    across: Sequence[float]
    """Ticks."""
    upwards: Sequence[float]
    top: float
    bottom: float

    def x(self, value: float) -> float:
        return round(LEFT + _share(value, self.across) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(self.bottom - _share(value, self.upwards) * (self.bottom - self.top), 1)


def plane(
    words: Words,
    across: Axis,
    upwards: Axis,
    curves: Sequence[Curve],
    dots: Sequence[Dot],
    *,
    equal: bool = False,
    mark: tuple[float, str] | None = None,
) -> str:
    """The picture. `equal`: both axes are one, and a line says where they agree; else `mark` may be a place across, and its name."""
    xs = [x for curve in curves for x, _ in curve.points] + [dot.across for dot in dots] + ([mark[0]] if mark else [])
    ys = [y for curve in curves for _, y in curve.points] + [dot.upwards for dot in dots]
    ys += [end for curve in curves for ends in curve.band for end in ends] + [end for dot in dots for end in dot.interval or ()]
    first, second = (ticks(xs + ys),) * 2 if equal else (ticks(xs), ticks(ys))
    legend = _legend([*((curve.colour, curve.name) for curve in curves), *words.legend])
    top = TOP + LEGEND_ROW * len(legend)
    scale = _Scale(first, second, top, top + (SQUARE if equal else TALL))
    labelled = 'role="img" aria-labelledby="plane-title plane-desc"'
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall lines plane" viewBox="0 0 {WIDTH} {scale.bottom + BOTTOM}" {labelled}>',
            f'<title id="plane-title">{escape(words.title)}</title>',
            f'<desc id="plane-desc">{escape(words.aloud)}</desc>',
            f"<style>{STYLE}{LINES_STYLE}{PLANE_STYLE}</style>",
            f'<text class="head" x="0" y="20">{escape(words.title)}</text>',
            f'<text class="quiet" x="0" y="39">{escape(words.subtitle)}</text>',
            *(part for row in legend for part in row),
            *_grid(scale, across, upwards),
            *(_equal(scale) if equal else _marked(scale, mark)),
            *(part for curve in curves for part in _curve(scale, curve)),
            *(part for dot in dots for part in _dot(scale, dot)),
            "</svg>",
        ]
    )


def ticks(values: Sequence[float], among: Sequence[Sequence[float]] = ROUND) -> list[float]:
    """Around all values, which are > 0: the first of `among`, times powers of ten, that needs no more than TICKS_MAX; at least two."""
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    for steps in among:
        powers = range(floor(log10(low)) - 1, ceil(log10(high)) + 2)
        every = [step * 10.0**power for power in powers for step in steps]
        first = max(place for place, tick in enumerate(every) if tick <= low)
        last = min(place for place, tick in enumerate(every) if tick >= high and place > first)
        if last - first < TICKS_MAX:
            break
    return every[first : last + 1]


def number(tick: float) -> str:
    """A tick that has no unit of its own."""
    return f"{tick:,.10g}"


def _share(value: float, among: Sequence[float]) -> float:
    return (log(value) - log(among[0])) / (log(among[-1]) - log(among[0]))


def _legend(names: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Its rows."""
    rows: list[list[str]] = [[]]
    x = 4.0
    for colour, name in names:
        wide = 30 + len(name) * LETTER
        if x + wide > WIDTH and rows[-1]:
            rows.append([])
            x = 4.0
        y = 57 + LEGEND_ROW * (len(rows) - 1)
        rows[-1].append(
            f'<circle class="{colour}" cx="{round(x)}" cy="{y}" r="4"/><text class="quiet" x="{round(x + 9)}" y="{y + 4}">{escape(name)}</text>'
        )
        x += wide
    return rows


def _grid(scale: _Scale, across: Axis, upwards: Axis) -> Iterator[str]:
    for tick in scale.upwards:
        y = scale.y(tick)
        yield f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/><text class="quiet end" x="{LEFT - 8}" y="{y + 4}">{upwards.short(tick)}</text>'
    for tick in scale.across:
        x = scale.x(tick)
        yield f'<path class="grid" d="M{x} {scale.top}V{scale.bottom}"/><text class="quiet middle" x="{x}" y="{scale.bottom + 18}">{across.short(tick)}</text>'
    yield f'<text class="quiet" x="{LEFT}" y="{scale.top - 12}">↑ {escape(upwards.says)}</text>'
    yield f'<text class="quiet end" x="{WIDTH - RIGHT}" y="{scale.bottom + 38}">{escape(across.says)} →</text>'


def _equal(scale: _Scale) -> Iterator[str]:
    yield f'<path class="equal" d="M{scale.x(scale.across[0])} {scale.bottom}L{scale.x(scale.across[-1])} {scale.top}"/>'


def _marked(scale: _Scale, mark: tuple[float, str] | None) -> Iterator[str]:
    if mark is not None:
        x = scale.x(mark[0])
        yield f'<path class="mark" d="M{x} {scale.top}V{scale.bottom}"/><text class="quiet" x="{x + 5}" y="{scale.top + 16}">{escape(mark[1])}</text>'


def _curve(scale: _Scale, curve: Curve) -> Iterator[str]:
    xs = [scale.x(x) for x, _ in curve.points]
    if curve.band:
        over = [(x, scale.y(high)) for x, (_, high) in zip(xs, curve.band, strict=True)]
        under = [(x, scale.y(low)) for x, (low, _) in zip(xs, curve.band, strict=True)]
        yield f'<path class="band {curve.colour}" d="M{_path([*over, *reversed(under)])}Z"/>'
    line = "" if curve.colour == "plain" else "line "
    drawn = _path([(x, scale.y(y)) for x, (_, y) in zip(xs, curve.points, strict=True)])
    yield f'<path class="{line}{curve.colour}" d="M{drawn}"><title>{escape(curve.name)}</title></path>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{x} {y}" for x, y in points)


def _dot(scale: _Scale, dot: Dot) -> Iterator[str]:
    x, y = scale.x(dot.across), scale.y(dot.upwards)
    if dot.interval is not None:
        low, high = dot.interval
        yield f'<path class="{dot.colour} whisker" d="M{x} {scale.y(low)}V{scale.y(high)}"/>'
    yield f'<circle class="{dot.colour}" cx="{x}" cy="{y}" r="{5.5 if dot.large else 3}"><title>{escape(dot.says)}</title></circle>'
    if dot.name:
        yield f'<text class="quiet" x="{x + 8}" y="{round(y + (14 if dot.under else -5), 1)}">{escape(dot.name)}</text>'
