"""All parts on one plane: how fast each computes against how fast it reads, drawn as SVG that stands by itself.

Both axes are logarithmic; the lines across are equal FLOP per byte, so that what lies on one line turns from memory-bound to
compute-bound at the same work (Williams et al. 2009: the ridge of the roofline). Comes in: parts, a precision. Goes out: SVG text, light
and dark by the viewer's preference, readable aloud. Does not know: where the figures are from.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil, floor, hypot, log10
from typing import NamedTuple

from jevons.economics.unitcost.machine import NAME
from jevons.economics.unitcost.part import THROUGHPUT, Part
from jevons.economics.waterfall import STYLE, WIDTH

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 760, 74, 42, 58, 34
LETTER, NARROW, LINE = 7.6, 4.4, 13.0
"""Width of a name's letters, of what is between them, and height, about: names keep off each other."""
POINT, GAP = 6.0, 8.0
"""Half of the room that a point takes; from its middle to a name beside it."""
OFFS = (0, 8, 16, 26, 38, 52, 68, 86, 106, 130)
NEAR = 12.0
"""How far off a name may stand; from where on it is tied to its point."""
WAYS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)),
    *((1, -0.5), (-1, -0.5), (1, 0.5), (-1, 0.5), (0.4, -1), (-0.4, -1), (0.4, 1), (-0.4, 1)),
)
"""To which side of its point a name may stand, in units of how far off: across and down. The best first."""
STEP = 5.0
"""Between the places of a tie that are looked at."""
ROOFS = (1, 10, 100, 1_000, 10_000)
"""FLOP per byte of the lines across."""
CLASSES = {"gpu": "k1", "consumer gpu": "k2", "soc": "k2", "tpu": "k3", "asic": "k3", "wafer": "k3", "cpu": "k0"}
OPEN = "k1 open"
LEGEND = (("k1", "GPU"), ("k3", "TPU, ASIC"), ("k2", "on desks"), ("k0", "processor"), (OPEN, "announced"))
ROOF_STYLE = """
.roof .grid{stroke:#e6e8eb}.roof .equal{stroke:#b9bec6;stroke-dasharray:3 4}.roof text.part{font-size:11px}
.roof .k0{fill:#24262b;stroke:#24262b}.roof .k1{fill:#3b6fb5;stroke:#3b6fb5}.roof .k2{fill:#c4532d;stroke:#c4532d}
.roof .k3{fill:#1f8a70;stroke:#1f8a70}.roof circle.open{fill:none;stroke-width:1.6}.roof text.part{stroke:none}
.roof path.tie{fill:none;stroke-width:.7;opacity:.6}.roof .middle{text-anchor:middle}
@media(prefers-color-scheme:dark){.roof .grid{stroke:#2a2e34}.roof .equal{stroke:#4b525c}.roof .k0{fill:#e6e8eb;stroke:#e6e8eb}
.roof .k1{fill:#7aa7e0;stroke:#7aa7e0}.roof .k2{fill:#e8825d;stroke:#e8825d}.roof .k3{fill:#4cb89a;stroke:#4cb89a}}
"""


class _Point(NamedTuple):
    part: Part
    gb_s: float
    tflops: float


_Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class _Place(NamedTuple):
    """Where a name stands."""

    box: _Box
    ends: bool
    """At the right of its box, beside its point; else it begins at the left."""
    near: tuple[float, float]
    """The end of its tie."""
    tied: bool
    tie: list[_Box]


class _Scale(NamedTuple):
    """Decades of both axes."""

    left: int
    right: int
    low: int
    high: int

    def x(self, gb_s: float) -> float:
        return round(LEFT + (log10(gb_s) - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, tflops: float) -> float:
        return round(HEIGHT - BOTTOM - (log10(tflops) - self.low) / (self.high - self.low) * (HEIGHT - BOTTOM - TOP), 1)


def picture(parts: Sequence[Part], precision: str = "bf16") -> str:
    """Parts whose throughput in `precision` and whose bandwidth are known; how many are not is said. `precision`: see THROUGHPUT."""
    points = [
        _Point(part, part.bandwidth_gb_s, rate)
        for part in parts
        if part.bandwidth_gb_s is not None and (rate := getattr(part, THROUGHPUT[precision])) is not None
    ]
    scale = _scale(points)
    title = f"What parts compute and what they read, {precision}"
    across = "dashed: FLOP for a byte read, above which a part computes and below which it waits"
    labelled = 'role="img" aria-labelledby="roof-title roof-desc"'
    places = _places_of(points, scale)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="waterfall roof" viewBox="0 0 {WIDTH} {HEIGHT}" {labelled}>',
            f'<title id="roof-title">{escape(title)}</title>',
            f'<desc id="roof-desc">{escape(_aloud(points))}</desc>',
            f"<style>{STYLE}{ROOF_STYLE}</style>",
            f'<text class="head" x="0" y="20">{escape(title)}</text>',
            f'<text class="quiet" x="0" y="39">{escape(across)}</text>',
            *_legend(points),
            f'<text class="quiet end" x="{WIDTH}" y="59">{escape(_counted(len(parts), len(points), len(places)))}</text>',
            *_grid(scale),
            *_marks(points, scale, places),
            "</svg>",
        ]
    )


def _counted(parts: int, drawn: int, named: int) -> str:
    unknown = f"; of {parts - drawn} a figure is unknown" if parts > drawn else ""
    return f"{drawn} of {parts} parts{unknown}" + (f"; {drawn - named} points without room for a name" if drawn > named else "")


def _scale(points: Sequence[_Point]) -> _Scale:
    """Whole decades around all points; two decades where there is nothing to draw."""
    wide = [log10(point.gb_s) for point in points] or [1.0, 3.0]
    tall = [log10(point.tflops) for point in points] or [1.0, 3.0]
    left, low = floor(min(wide)), floor(min(tall))
    return _Scale(left, max(left + 1, ceil(max(wide))), low, max(low + 1, ceil(max(tall))))


def _legend(points: Sequence[_Point]) -> Iterator[str]:
    """Of what is drawn."""
    there = {_style(point.part) for point in points}
    x = 4.0
    for style, name in LEGEND:
        if style in there or (style == OPEN and any(found.endswith(" open") for found in there)):
            yield f'<circle class="{style}" cx="{x}" cy="55" r="4"/><text class="quiet" x="{x + 9}" y="59">{name}</text>'
            x += 26 + len(name) * 7


def _style(part: Part) -> str:
    return CLASSES[part.kind] + (" open" if part.status == "announced" else "")


def _grid(scale: _Scale) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for decade in range(scale.left, scale.right + 1):
        x = scale.x(10.0**decade)
        yield f'<path class="grid" d="M{x} {TOP}V{bottom}"/>'
        yield f'<text class="quiet middle" x="{x}" y="{bottom + 16}">{_short(10.0**decade * 1e9)}B/s</text>'
    for decade in range(scale.low, scale.high + 1):
        y = scale.y(10.0**decade)
        yield f'<path class="grid" d="M{LEFT} {y}H{right}"/>'
        yield f'<text class="quiet end" x="{LEFT - 6}" y="{y + 4}">{_short(10.0**decade * 1e12)}</text>'
    yield f'<text class="quiet" x="{LEFT}" y="{HEIGHT - 8}">across: memory bandwidth; upwards: dense operations a second</text>'
    for roof in ROOFS:
        line = _equal(scale, roof)
        if line:
            x1, y1, x2, y2 = line
            yield f'<path class="equal" d="M{x1} {y1}L{x2} {y2}"/>'
            yield f'<text class="quiet end" x="{x2 - 4}" y="{y2 + 14}">{roof:,}</text>'


def _equal(scale: _Scale, roof: float) -> tuple[float, float, float, float] | None:
    """From where to where the line of that many FLOP per byte lies in the picture: TFLOP/s = GB/s x roof / 1000."""
    first, last = max(10.0**scale.left, 10.0**scale.low * 1e3 / roof), min(10.0**scale.right, 10.0**scale.high * 1e3 / roof)
    if first >= last:
        return None
    return scale.x(first), scale.y(first * roof / 1e3), scale.x(last), scale.y(last * roof / 1e3)


def _marks(points: Sequence[_Point], scale: _Scale, places: Mapping[str, _Place]) -> Iterator[str]:
    """Each part's point, and its name where there is room; one that stands off is tied to its point by a line."""
    for point in points:
        x, y, part = scale.x(point.gb_s), scale.y(point.tflops), point.part
        said = f"{part.name}: {_short(point.tflops * 1e12)}FLOP/s, {_short(point.gb_s * 1e9)}B/s, {point.tflops / point.gb_s * 1e3:,.0f} FLOP/byte"
        yield f'<circle class="{_style(part)}" cx="{x}" cy="{y}" r="4"><title>{escape(said)}</title></circle>'
        place = places.get(part.name)
        if place is None:
            continue
        if place.tied:
            yield f'<path class="tie {CLASSES[part.kind]}" d="M{x} {y}L{place.near[0]} {place.near[1]}"/>'
        strong = " strong" if part.name == NAME else ""
        at = f'x="{round(place.box[2], 1)}"' if place.ends else f'x="{round(place.box[0], 1)}"'
        style = f"part {_style(part)}{strong}{' end' if place.ends else ''}"
        yield f'<text class="{style}" {at} y="{round(place.box[1] + 11, 1)}">{escape(_called(part))}</text>'


def _called(part: Part) -> str:
    return part.name.partition(" (")[0]


def _places_of(points: Sequence[_Point], scale: _Scale) -> dict[str, _Place]:
    """Part -> where its name stands: off other names, points and ties. This machine has the first choice, then what can be rented."""
    dots = {p.part.name: (scale.x(p.gb_s), scale.y(p.tflops)) for p in points}
    taken = {name: _box(x - POINT, y - POINT, 2 * POINT, 2 * POINT) for name, (x, y) in dots.items()}
    ties: list[_Box] = []
    found: dict[str, _Place] = {}
    for point in sorted(points, key=lambda p: (p.part.name != NAME, p.part.price_typical_usd_h is None)):
        name = point.part.name
        for place in _places(*dots[name], _wide(_called(point.part))):
            others = [box for who, box in taken.items() if who != name or not place.tied]
            if not any(_meet(one, other) for one in (place.box, *place.tie) for other in (*others, *ties)):
                found[name] = place
                taken[f"name of {name}"] = place.box
                ties += place.tie
                break
    return found


def _wide(name: str) -> float:
    return sum(NARROW if letter in " -.+i1lI" else LETTER for letter in name)


def _places(x: float, y: float, wide: float) -> Iterator[_Place]:
    """Where a name may stand, the best first: right, left, above, below its point, then farther off; all within the picture."""
    for off in OFFS:
        for across, upwards in WAYS:
            left = x + across * (GAP + off) - (wide if across < 0 else 0 if across else wide / 2)
            top = y - LINE / 2 + upwards * (LINE / 2 + GAP + off)
            if left > LEFT and left + wide < WIDTH and TOP + 22 < top < HEIGHT - BOTTOM - LINE:
                box = _box(left, top, wide, LINE)
                near = (round(min(max(x, box[0]), box[2]), 1), round(min(max(y, box[1] + 2), box[3] - 1), 1))
                tied = hypot(near[0] - x, near[1] - y) > NEAR
                yield _Place(box, across < 0, near, tied, _steps((x, y), near) if tied else [])


def _steps(start: tuple[float, float], end: tuple[float, float]) -> list[_Box]:
    """Small boxes along a tie, but for its beginning: points may lie on each other."""
    long = hypot(end[0] - start[0], end[1] - start[1])
    along = [(2 * POINT + STEP * at) / long for at in range(ceil((long - 2 * POINT) / STEP))]
    return [_box(start[0] + (end[0] - start[0]) * t - 1, start[1] + (end[1] - start[1]) * t - 1, 2, 2) for t in along]


def _box(left: float, top: float, wide: float, tall: float) -> _Box:
    return left, top, left + wide, top + tall


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _short(value: float) -> str:
    """With the prefix of its thousand: 2.2e15 -> "2.2 P"."""
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if value >= unit:
            return f"{value / unit:,.3g} {name}"
    return f"{value / 1e6:,.3g} M"


def _aloud(points: Sequence[_Point]) -> str:
    said = (f"{p.part.name} {_short(p.tflops * 1e12)}FLOP/s at {_short(p.gb_s * 1e9)}B/s" for p in points)
    return "; ".join(said) or "Of no part both figures are known."
